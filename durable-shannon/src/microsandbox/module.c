/* Modules: found by hash among those in memory, else loaded. Counted under the sandbox's lock, so
 * that a module on its way out is never handed to someone new. */
#include <stdlib.h>

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

static int module_make(struct sh_sandbox *s, const struct sh_hash *hash, struct sh_str wasm,
                       struct sh_module **ret, struct sh_err *err) {
    struct sh_module *m = sh_new(struct sh_module);
    wasmtime_error_t *error;
    int r;

    m->sandbox = s;
    m->refs = 1;
    m->hash = *hash;
    if ((r = sh_guest_scan(wasm, sh_hostcalls_resolve, &m->scan, err)) < 0 ||
        (r = sh_artifact_load(s, hash, wasm, &m->wasmtime, err)) < 0) {
        (void)module_delete(m);
        return r;
    }
    error = wasmtime_linker_instantiate_pre(s->linker, m->wasmtime, &m->pre);
    if (error) {
        (void)module_delete(m);
        return sh_runtime_error(err, SH_E_IMPORT, "the module cannot be linked", error);
    }
    *ret = module_share(s, m);
    return 0;
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
