/* Modules: found by hash among those in memory, else loaded, from bytes or from a file. Counted
 * under the sandbox's lock, so that a module on its way out is never handed to someone new. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

/* One more reference to the module of this hash, or NULL. needs  the sandbox's lock */
static struct sh_module *find_locked(struct sh_sandbox *s, const struct sh_hash *hash) {
    sh_list_each (node, &s->modules) {
        struct sh_module *m = sh_container_of(node, struct sh_module, node);

        if (sh_hash_eq(&m->hash, hash)) {
            m->refs++;
            return m;
        }
    }
    return NULL;
}

static struct sh_module *find(struct sh_sandbox *s, const struct sh_hash *hash) {
    struct sh_module *m;

    (void)pthread_mutex_lock(&s->lock);
    m = find_locked(s, hash);
    (void)pthread_mutex_unlock(&s->lock);
    return m;
}

static struct sh_module *module_delete(struct sh_module *m) {
    if (m->pre) {
        wasmtime_instance_pre_delete(m->pre);
    }
    if (m->wasmtime) {
        wasmtime_module_delete(m->wasmtime);
    }
    sh_close_p(&m->lines_fd);
    return sh_free(m);
}

/* Let others find it. Two threads may have loaded the same one: the first stays. */
static struct sh_module *module_share(struct sh_sandbox *s, struct sh_module *m) {
    struct sh_module *found;

    (void)pthread_mutex_lock(&s->lock);
    found = find_locked(s, &m->hash);
    if (!found) {
        sh_list_push(&s->modules, &m->node);
    }
    (void)pthread_mutex_unlock(&s->lock);
    if (found) {
        (void)module_delete(m);
        return found;
    }
    return m;
}

static struct sh_module *module_new(struct sh_sandbox *s, const struct sh_hash *hash) {
    struct sh_module *m = sh_new(struct sh_module);

    m->sandbox = s;
    m->refs = 1;
    m->lines_fd = -1;
    m->hash = *hash;
    return m;
}

/* The last step: linked and found by others, or gone. */
static int module_link(struct sh_module *m, struct sh_module **ret, struct sh_err *err) {
    wasmtime_error_t *error =
        wasmtime_linker_instantiate_pre(m->sandbox->linker, m->wasmtime, &m->pre);

    if (error) {
        (void)module_delete(m);
        return sh_runtime_error(err, SH_E_IMPORT, "the module cannot be linked", error);
    }
    *ret = module_share(m->sandbox, m);
    return 0;
}

static int module_make(struct sh_sandbox *s, const struct sh_hash *hash, struct sh_str wasm,
                       struct sh_module **ret, struct sh_err *err) {
    struct sh_module *m = module_new(s, hash);
    int r;

    if ((r = sh_guest_scan(wasm, sh_hostcalls_resolve, &m->scan, err)) < 0 ||
        (r = sh_artifact_load(s, hash, wasm, &m->wasmtime, &m->lines_fd, err)) < 0) {
        (void)module_delete(m);
        return r;
    }
    return module_link(m, ret, err);
}

int sh_module_load(struct sh_sandbox *s, struct sh_str wasm, struct sh_module **ret,
                   struct sh_err *err) {
    struct sh_hash hash;
    struct sh_module *m;

    sh_sha256(wasm.p, wasm.len, &hash);
    m = find(s, &hash);
    if (m) {
        *ret = m;
        return 0;
    }
    return module_make(s, &hash, wasm, ret, err);
}

/* Without its bytes, when they are known and their artifact is there. */
static struct sh_module *load_indexed(struct sh_sandbox *s, int fd, const struct stat *st) {
    struct sh_hash hash;
    struct sh_scan scan;
    struct sh_module *m;

    if (!sh_index_find(s, fd, st, &hash, &scan)) {
        return NULL;
    }
    m = find(s, &hash);
    if (m) {
        return m;
    }
    m = module_new(s, &hash);
    m->scan = scan;
    if (sh_artifact_find(s, &hash, &m->wasmtime) != 0) {
        return module_delete(m);
    }
    return module_link(m, &m, NULL) == 0 ? m : NULL;
}

static int read_whole(int fd, size_t size, char *to) {
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(fd, to + at, size - at, (off_t)at);

        if (n == 0) {
            errno = EIO; /* it became shorter meanwhile */
        }
        if (n == 0 || (n < 0 && errno != EINTR)) {
            return -1;
        }
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static bool same_file(const struct stat *a, const struct stat *b) {
    return a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_ctim.tv_sec == b->st_ctim.tv_sec &&
           a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static int load_read(struct sh_sandbox *s, int fd, const struct stat *before, const char *path,
                     struct sh_module **ret, struct sh_err *err) {
    size_t size = (size_t)before->st_size;
    sh_auto(sh_free_p) char *bytes = sh_try_alloc(size ? size : 1, SH_MODULE_BYTES_MAX);
    struct stat after;
    int r;

    if (!bytes) {
        return sh_fail(err, SH_E_NOMEM, "no memory for the %zu bytes of %s", size, path);
    }
    if (read_whole(fd, size, bytes) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot read %s", path);
    }
    r = sh_module_load(s, sh_strn(bytes, size), ret, err);
    if (r == 0 && fstat(fd, &after) == 0 && same_file(before, &after)) {
        sh_index_note(s, fd, before, &(*ret)->hash, &(*ret)->scan);
    }
    return r;
}

int sh_module_load_file(struct sh_sandbox *s, const char *path, struct sh_module **ret,
                        struct sh_err *err) {
    sh_auto(sh_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct sh_module *m;
    struct stat st;

    if (fd < 0) {
        return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot open %s", path);
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        return sh_fail(err, SH_E_INVAL, "%s is not a regular file", path);
    }
    if ((uint64_t)st.st_size > SH_MODULE_BYTES_MAX) {
        return sh_fail(err, SH_E_LIMIT, "%s has %lld bytes, at most %llu are accepted", path,
                       (long long)st.st_size, (unsigned long long)SH_MODULE_BYTES_MAX);
    }
    m = load_indexed(s, fd, &st);
    if (m) {
        *ret = m;
        return 0;
    }
    return load_read(s, fd, &st, path, ret, err);
}

struct sh_module *sh_module_find_file(struct sh_sandbox *s, const char *path) {
    sh_auto(sh_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;

    return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? load_indexed(s, fd, &st) : NULL;
}

struct sh_module *sh_module_ref(struct sh_module *m) {
    (void)pthread_mutex_lock(&m->sandbox->lock);
    m->refs++;
    (void)pthread_mutex_unlock(&m->sandbox->lock);
    return m;
}

struct sh_module *sh_module_unref(struct sh_module *m) {
    bool last;

    if (!m) {
        return NULL;
    }
    (void)pthread_mutex_lock(&m->sandbox->lock);
    last = --m->refs == 0;
    if (last) {
        sh_list_unlink(&m->node);
    }
    (void)pthread_mutex_unlock(&m->sandbox->lock);
    return last ? module_delete(m) : NULL;
}

const struct sh_hash *sh_module_hash(const struct sh_module *m) {
    return &m->hash;
}

int sh_module_from_text(struct sh_str text, struct sh_buf *ret, struct sh_err *err) {
    wasm_byte_vec_t binary;
    wasmtime_error_t *error;

    if (text.len > SH_MODULE_BYTES_MAX) {
        return sh_fail(err, SH_E_LIMIT, "the module has %zu bytes, at most %llu are accepted",
                       text.len, (unsigned long long)SH_MODULE_BYTES_MAX);
    }
    if (text.len >= 4 && memcmp(text.p, "\0asm", 4) == 0) {
        sh_buf_add(ret, text.p, text.len);
    } else {
        error = wasmtime_wat2wasm(text.len ? text.p : "", text.len, &binary);
        if (error) {
            return sh_runtime_error(err, SH_E_MODULE, "not WebAssembly text", error);
        }
        sh_buf_add(ret, binary.data, binary.size);
        wasm_byte_vec_delete(&binary);
    }
    return ret->failed ? sh_fail(err, SH_E_LIMIT, "the module has more than %zu bytes", ret->max)
                       : 0;
}
