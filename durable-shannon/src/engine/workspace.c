/* See workspace.h. A manifest is a JSON array in the order of a walk that takes names by their
 * bytes, so that equal trees give equal manifests:
 *
 *     ["d", path]  ["f", path, sha256, bytes]  ["l", path, target]  ["h", path, earlier path]
 *
 * `h` is a further name of a file that came before. Times are not in it: to the guest that starts
 * anew all files are as old as the checkpoint. */
#include "engine/workspace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/modules.h"

enum { CHUNK = 64 * 1024 };

/* --- blobs ------------------------------------------------------------------------------------ */

static char *blob_path(const char *blobs, const struct sh_hash *hash) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(hash, hex);
    return sh_asprintf("%s/%s", blobs, hex);
}

/* Copy all of `from` to `to`, hashing; -1 with errno. */
static int copy_hashed(int from, int to, struct sh_hash *ret, uint64_t *ret_bytes) {
    sh_auto(sh_free_p) char *chunk = sh_alloc(CHUNK);
    struct sh_hasher h;
    ssize_t n;

    sh_hasher_init(&h);
    *ret_bytes = 0;
    while ((n = read(from, chunk, CHUNK)) > 0) {
        sh_hasher_add(&h, chunk, (size_t)n);
        *ret_bytes += (uint64_t)n;
        for (ssize_t done = 0, put; done < n; done += put) {
            put = write(to, chunk + done, (size_t)(n - done));
            if (put <= 0) {
                return -1;
            }
        }
    }
    sh_hasher_done(&h, ret);
    return n < 0 ? -1 : 0;
}

/* It will pass, or somebody repairs it: the files themselves are not to blame. */
static bool is_the_machines(int error) {
    return error == EIO || error == ENOSPC || error == EDQUOT || error == EMFILE ||
           error == ENFILE || error == ENOMEM;
}

static int fail_io(struct sh_err *err, const char *what, const char *path) {
    return sh_fail_errno(err, errno == ENOSPC || errno == EDQUOT ? SH_E_NOSPC : SH_E_IO, errno,
                         "%s %.200s", what, path);
}

/* The file `name` in `dir` as a blob, durable but for its name's folder. */
static int blob_keep(int dir, const char *name, const char *blobs, struct sh_hash *ret,
                     uint64_t *ret_bytes, struct sh_err *err) {
    static atomic_uint counter;
    sh_auto(sh_free_p) char *temporary =
        sh_asprintf("%s/new.%d.%u", blobs, (int)getpid(), atomic_fetch_add(&counter, 1));
    sh_auto(sh_free_p) char *path = NULL;
    sh_auto(sh_close_p) int from =
        SH_FAULT_IO(workspace_read) ? -1 : openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    sh_auto(sh_close_p) int to = -1;

    if (from < 0) {
        return fail_io(err, "cannot read, for a checkpoint, the file", name);
    }
    to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (to < 0 || SH_FAULT_IO(workspace_blob) || copy_hashed(from, to, ret, ret_bytes) != 0 ||
        fdatasync(to) != 0) {
        int r = fail_io(err, "cannot keep, for a checkpoint, the file", name);

        (void)unlink(temporary);
        return r;
    }
    path = blob_path(blobs, ret);
    if (rename(temporary, path) != 0) {
        (void)unlink(temporary);
        return fail_io(err, "cannot make", path);
    }
    return 0;
}

/* --- keeping ---------------------------------------------------------------------------------- */

struct keeping {
    const char *blobs;
    json_t *list;
    json_t *seen; /* {inode: path} of files with more than one name */
    uint64_t files, bytes;
    struct sh_err *err;
};

struct names {
    char **v;
    size_t n, cap;
};

static void names_done(struct names *l) {
    for (size_t i = 0; i < l->n; i++) {
        sh_free(l->v[i]);
    }
    sh_free(l->v);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names in `fd`, sorted. Takes fd. */
static int names_read(int fd, struct names *ret) {
    DIR *d = SH_FAULT_IO(workspace_list) ? NULL : fdopendir(fd);

    if (!d) {
        close(fd);
        return -1;
    }
    errno = 0;
    for (struct dirent *e; (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            if (ret->n == ret->cap) {
                ret->cap = ret->cap ? ret->cap * 2 : 16;
                ret->v = sh_grow(ret->v, ret->cap * sizeof(*ret->v));
            }
            ret->v[ret->n++] = sh_strdup(e->d_name);
        }
        errno = 0;
    }
    if (errno) {
        int e = errno;

        closedir(d);
        errno = e;
        return -1;
    }
    closedir(d);
    if (ret->n) {
        qsort(ret->v, ret->n, sizeof(*ret->v), by_bytes);
    }
    return 0;
}

static int keep_file(struct keeping *k, int dir, const char *name, const char *path,
                     const struct stat *st) {
    char hex[SH_HASH_HEX_BYTES], ino[32];
    struct sh_hash hash;
    uint64_t bytes;
    int r;

    (void)snprintf(ino, sizeof(ino), "%llu", (unsigned long long)st->st_ino);
    if (st->st_nlink > 1 && json_object_get(k->seen, ino)) {
        json_array_append_new(k->list,
                              json_pack("[s, s, O]", "h", path, json_object_get(k->seen, ino)));
        return 0;
    }
    r = blob_keep(dir, name, k->blobs, &hash, &bytes, k->err);
    if (r < 0) {
        return r;
    }
    sh_hash_hex(&hash, hex);
    json_array_append_new(k->list, json_pack("[s, s, s, I]", "f", path, hex, (json_int_t)bytes));
    if (st->st_nlink > 1) {
        json_object_set_new(k->seen, ino, json_string(path));
    }
    k->files++;
    k->bytes += bytes;
    return 0;
}

static int keep_dir(struct keeping *k, int fd, const char *prefix, unsigned depth);

static int keep_one(struct keeping *k, int dir, const char *name, const char *path,
                    unsigned depth) {
    char target[SH_PATH_MAX + 1];
    struct stat st;
    ssize_t n;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail_io(k->err, "cannot look at", path);
    }
    if (S_ISDIR(st.st_mode)) {
        int sub = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

        if (sub < 0) {
            return fail_io(k->err, "cannot open", path);
        }
        json_array_append_new(k->list, json_pack("[s, s]", "d", path));
        return keep_dir(k, sub, path, depth + 1);
    }
    if (S_ISREG(st.st_mode)) {
        return keep_file(k, dir, name, path, &st);
    }
    n = readlinkat(dir, name, target, sizeof(target) - 1);
    if (n < 0) {
        return fail_io(k->err, "cannot read the link", path);
    }
    target[n] = '\0';
    json_array_append_new(k->list, json_pack("[s, s, s]", "l", path, target));
    return 0;
}

/* Takes fd. */
static int keep_dir(struct keeping *k, int fd, const char *prefix, unsigned depth) {
    sh_auto(sh_close_p) int dir = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    sh_auto(names_done) struct names names = {0};
    int r = 0;

    if (names_read(fd, &names) != 0 || dir < 0) {
        return fail_io(k->err, "cannot list, for a checkpoint, the directory", prefix);
    }
    if (depth > SH_WORKSPACE_DEPTH_MAX) {
        return sh_fail(k->err, SH_E_LIMIT,
                       "a checkpoint keeps at most %d directories in each other, and the private "
                       "directory has more: make it flatter",
                       SH_WORKSPACE_DEPTH_MAX);
    }
    for (size_t i = 0; r == 0 && i < names.n; i++) {
        sh_auto(sh_free_p) char *path =
            sh_asprintf("%s%s%s", prefix, *prefix ? "/" : "", names.v[i]);

        r = keep_one(k, dir, names.v[i], path, depth);
    }
    return r;
}

/* The manifest as a blob; then all names are made durable at once. */
static int keep_manifest(struct keeping *k, json_t **ret) {
    sh_auto(sh_free_p) char *text = sh_json_text(k->list);
    sh_auto(sh_free_p) char *path = NULL;
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;
    int r;

    sh_sha256(text, strlen(text), &hash);
    path = blob_path(k->blobs, &hash);
    r = sh_file_write_durable(path, sh_str(text), 0400, k->err);
    if (r < 0) {
        return r;
    }
    sh_hash_hex(&hash, hex);
    *ret = json_pack("{s:s, s:I, s:I}", "manifest", hex, "files", (json_int_t)k->files, "bytes",
                     (json_int_t)k->bytes);
    return 0;
}

int sh_workspace_keep(const char *dir, const char *blobs, json_t **ret, struct sh_err *err) {
    struct keeping k = {.blobs = blobs, .err = err};
    int fd = SH_FAULT_IO(workspace_keep) ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    *ret = NULL;
    if (fd < 0) {
        return fail_io(err, "cannot open the private directory", dir);
    }
    if (SH_FAULT_IO(blob_folder) || (mkdir(blobs, 0700) != 0 && errno != EEXIST)) {
        r = fail_io(err, "cannot make", blobs);
        close(fd);
        return r;
    }
    k.list = json_array();
    k.seen = json_object();
    r = keep_dir(&k, fd, "", 0);
    if (r == 0 && json_array_size(k.list)) {
        r = keep_manifest(&k, ret);
    }
    json_decref(k.list);
    json_decref(k.seen);
    return r;
}

/* --- restoring -------------------------------------------------------------------------------- */

struct restoring {
    const char *blobs;
    int root;
    struct sh_err *err;
};

/* The folder that `path` lies in, opened without leaving the root or following anything, and the
 * last name; -1 with errno. */
static int parent_of(int root, const char *path, const char **ret_name) {
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
    const char *slash = strrchr(path, '/');
    sh_auto(sh_free_p) char *folder = sh_strndup0(path, slash ? (size_t)(slash - path) : 0);

    *ret_name = slash ? slash + 1 : path;
    if (!**ret_name || strcmp(*ret_name, ".") == 0 || strcmp(*ret_name, "..") == 0) {
        errno = EINVAL;
        return -1;
    }
    return SH_FAULT_IO(workspace_walk)
               ? -1
               : (int)syscall(SYS_openat2, root, *folder ? folder : ".", &how, sizeof(how));
}

static int restore_file(struct restoring *s, int parent, const char *name, const json_t *entry) {
    const char *hex = json_string_value(json_array_get(entry, 2));
    json_int_t bytes = json_integer_value(json_array_get(entry, 3));
    sh_auto(sh_free_p) char *path = NULL;
    sh_auto(sh_close_p) int from = -1;
    sh_auto(sh_close_p) int to = -1;
    struct sh_hash want, got;
    uint64_t n;

    if (!hex || sh_hash_parse(sh_str(hex), &want) != 0) {
        errno = EINVAL;
        return -1;
    }
    path = blob_path(s->blobs, &want);
    from = SH_FAULT_IO(blob_read) ? -1 : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0) {
        return sh_fail_errno(s->err, is_the_machines(errno) ? SH_E_IO : SH_E_NOT_FOUND, errno,
                             "a file that a checkpoint kept cannot be read: %.200s", path);
    }
    to = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0 || SH_FAULT_IO(workspace_put) || copy_hashed(from, to, &got, &n) != 0) {
        return fail_io(s->err, "cannot put back, after a checkpoint, the file", name);
    }
    if (!sh_hash_eq(&want, &got) || n != (uint64_t)bytes) {
        return sh_fail(s->err, SH_E_CORRUPT,
                       "%.200s does not have the bytes that its name promises: put the right "
                       "file back, from a backup",
                       path);
    }
    return 0;
}

static int restore_link(struct restoring *s, int parent, const char *name, const char *earlier) {
    const char *old;
    sh_auto(sh_close_p) int folder = parent_of(s->root, earlier, &old);
    struct stat st;

    if (folder < 0 || fstatat(folder, old, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -1;
    }
    if (!S_ISREG(st.st_mode)) {
        errno = EINVAL;
        return -1;
    }
    return linkat(folder, old, parent, name, 0);
}

/* -1: what the entry says makes no sense, errno may say why; else 0 or what the error is. */
static int restore_entry(struct restoring *s, const json_t *entry) {
    const char *kind = json_string_value(json_array_get(entry, 0));
    const char *path = json_string_value(json_array_get(entry, 1)), *name;
    const char *third = json_string_value(json_array_get(entry, 2));
    sh_auto(sh_close_p) int parent = path ? parent_of(s->root, path, &name) : -1;

    if (parent < 0 || !kind) {
        return -1;
    }
    switch (kind[0]) {
    case 'd':
        return mkdirat(parent, name, 0700);
    case 'f':
        return restore_file(s, parent, name, entry);
    case 'l':
        return third && third[0] != '/' ? symlinkat(third, parent, name) : -1;
    case 'h':
        return third ? restore_link(s, parent, name, third) : -1;
    default:
        return -1;
    }
}

static int manifest_read(const char *blobs, const json_t *kept, json_t **ret, struct sh_err *err) {
    struct sh_str hex = sh_json_get_str(kept, "manifest");
    sh_auto(sh_free_p) char *path = NULL;
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    struct sh_hash want, got;
    int r;

    sh_buf_init(&text, SH_JSON_TEXT_MAX);
    if (sh_hash_parse(hex, &want) != 0) {
        return sh_fail(err, SH_E_CORRUPT, "a checkpoint names no manifest of its files");
    }
    path = blob_path(blobs, &want);
    r = sh_file_read(path, SH_JSON_TEXT_MAX, &text, err);
    if (r < 0) {
        return r;
    }
    sh_sha256(text.p, text.len, &got);
    r = sh_json_parse(sh_buf_str(&text), SH_JSON_TEXT_MAX, ret, err);
    if (r == -SH_E_NOMEM) {
        return r;
    }
    if (!sh_hash_eq(&want, &got) || r < 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "%.200s does not have the bytes that its name promises: put the right "
                       "file back, from a backup",
                       path);
    }
    return 0;
}

int sh_workspace_restore(const json_t *kept, const char *blobs, const char *dir,
                         struct sh_err *err) {
    struct restoring s = {.blobs = blobs, .err = err, .root = -1};
    json_t *list = NULL;
    int r = manifest_read(blobs, kept, &list, err);

    if (r == 0) {
        s.root = SH_FAULT_IO(workspace_restore) ? -1 : open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
        r = s.root < 0 ? fail_io(err, "cannot open the private directory", dir) : 0;
    }
    for (size_t i = 0; r == 0 && i < json_array_size(list); i++) {
        errno = 0;
        r = restore_entry(&s, json_array_get(list, i));
        if (r == -1 && err->code == 0) {
            r = is_the_machines(errno)
                    ? fail_io(err, "cannot put back the files of a checkpoint in", dir)
                    : sh_fail(err, SH_E_CORRUPT,
                              "entry %zu of the files that a checkpoint kept cannot be put back: "
                              "%s",
                              i, errno ? strerrordesc_np(errno) : "it makes no sense");
        }
    }
    json_decref(list);
    sh_close_p(&s.root);
    return r;
}
