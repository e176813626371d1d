/* Modules: kept on disk by hash, loaded once, listed in the store. Reading, writing and compiling
 * are pool jobs; the loop only moves results. */
#include "engine/call.h"
#include "engine/private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NAMES_MAX = 64,  /* of one module, that go with it */
    LIST_MAX = 1000, /* modules, and names, that a list shows */
};

struct loaded {
    struct sh_list link;
    struct sh_hash hash;
    struct sh_module *module;
};

/* A load under way. Several may ask for the same module: the sandbox compiles each hash once. */
struct load {
    struct sh_job job;
    struct sh_msg later; /* of a module that is loaded already */
    struct sh_engine *engine;
    struct sh_hash hash;                /* what it must be, unless it is the interpreter */
    char *path;                         /* of the module's file */
    struct sh_interpreter *interpreter; /* of any hash; a copy is kept under modules/ */
    struct sh_module *module;
    struct sh_hash python_module; /* of an interpreter: what scripts import */
    bool has_python_module;
    sh_module_ready_fn cb;
    void *arg;
    struct sh_err err;
};

/* A module being added. */
struct adding {
    struct sh_job job;
    struct sh_engine *engine;
    struct sh_buf bytes;
    struct sh_hash hash;
    bool script;
    char *name;
    json_t *manifest, *record;
    struct sh_module *module;
    sh_engine_json_fn cb;
    void *arg;
    struct sh_err err;
};

void sh_module_cache_done(struct sh_module_cache *c) {
    while (!sh_list_empty(&c->loaded)) {
        struct loaded *l = sh_container_of(sh_list_pop(&c->loaded), struct loaded, link);
        sh_module_unref(l->module);
        sh_free(l);
    }
}

static struct sh_module *cached(struct sh_engine *e, const struct sh_hash *hash) {
    sh_list_each (node, &e->modules.loaded) {
        struct loaded *l = sh_container_of(node, struct loaded, link);
        if (sh_hash_eq(&l->hash, hash)) {
            return l->module;
        }
    }
    return NULL;
}

static void remember(struct sh_engine *e, struct sh_module *m) {
    struct loaded *l;

    if (cached(e, sh_module_hash(m))) {
        return;
    }
    l = sh_new(struct loaded);
    l->hash = *sh_module_hash(m);
    l->module = sh_module_ref(m);
    sh_list_push(&e->modules.loaded, &l->link);
}

/* Behind a "(": does a module, or a part of one, begin here? A script may begin with "(", too. */
static bool begins_a_module(struct sh_str s) {
    static const char *const words[] = {"module", "component", "func",   "memory", "table",
                                        "type",   "import",    "export", "global", "data",
                                        "elem",   "start",     "tag",    "rec"};

    if (s.len == 0 || s.p[0] == ';' || s.p[0] == '@') { /* a comment, an annotation */
        return true;
    }
    while (s.len && strchr(" \t\r\n", s.p[0])) {
        s = sh_strn(s.p + 1, s.len - 1);
    }
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i]);

        if (s.len >= n && memcmp(s.p, words[i], n) == 0 &&
            (s.len == n || strchr(i == 0 ? " \t\r\n();" : " \t\r\n);", s.p[n]))) {
            return true;
        }
    }
    return false;
}

bool sh_module_is_script(struct sh_str bytes) {
    size_t i = 0;

    if (bytes.len >= 4 && memcmp(bytes.p, "\0asm", 4) == 0) {
        return false;
    }
    if (memchr(bytes.p ? bytes.p : "", 0, bytes.len) || !sh_utf8_valid(bytes)) {
        return false; /* not text: let the module reader say what is wrong with it */
    }
    while (i < bytes.len) { /* WebAssembly text begins with "(" after blanks and ;; comments */
        if (strchr(" \t\r\n", bytes.p[i])) {
            i++;
        } else if (i + 1 < bytes.len && bytes.p[i] == ';' && bytes.p[i + 1] == ';') {
            while (i < bytes.len && bytes.p[i] != '\n') {
                i++;
            }
        } else {
            return bytes.p[i] != '(' ||
                   !begins_a_module(sh_strn(bytes.p + i + 1, bytes.len - i - 1));
        }
    }
    return bytes.len > 0;
}

char *sh_modules_path(const struct sh_engine *e, const struct sh_hash *hash) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(hash, hex);
    return sh_asprintf("%s/modules/%s", e->config.data_dir, hex);
}

int sh_file_read(const char *path, size_t max, struct sh_buf *ret, struct sh_err *err) {
    sh_auto(sh_close_p) int fd = SH_FAULT_IO(file_read) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    ssize_t n;

    if (fd < 0) {
        return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot open %s", path);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return sh_fail(err, SH_E_INVAL, "%s is not a regular file", path);
    }
    if ((uint64_t)st.st_size > max) {
        return sh_fail(err, SH_E_LIMIT, "%s has %lld bytes, at most %zu can be taken", path,
                       (long long)st.st_size, max);
    }
    do {
        char *room = sh_buf_room(ret, 65536 < max - ret->len ? 65536 : max - ret->len);
        if (!room) {
            return sh_fail(err, SH_E_NOMEM, "no memory for the %lld bytes of %s",
                           (long long)st.st_size, path);
        }
        n = SH_FAULT_IO(file_more)
                ? -1
                : read(fd, room, 65536 < max - ret->len ? 65536 : max - ret->len);
        ret->len += n > 0 ? (size_t)n : 0;
    } while (n > 0 && ret->len < max);
    return n < 0 ? sh_fail_errno(err, SH_E_IO, errno, "cannot read %s", path) : 0;
}

static void sync_folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    sh_auto(sh_free_p) char *folder = sh_strndup0(path, slash ? (size_t)(slash - path) : 0);
    sh_auto(sh_close_p) int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
    }
}

/* What a file is to hold: bytes, or those of another file. */
struct content {
    struct sh_str bytes;
    int from; /* or -1 */
    uint64_t at, n;
};

static int fill(int fd, const struct content *c, const char *path, struct sh_err *err) {
    if (c->from >= 0) {
        return sh_spool_copy(c->from, c->at, c->n, fd, NULL, err);
    }
    int r = sh_write_all(fd, c->bytes.p, c->bytes.len);
    return r < 0 ? sh_fail_errno(err, SH_E_IO, -r, "cannot write %s", path) : 0;
}

static int file_write(const char *path, const struct content *content, unsigned mode, bool durable,
                      struct sh_err *err) {
    sh_auto(sh_free_p) char *temporary = sh_asprintf("%s.XXXXXX", path);
    sh_auto(sh_close_p) int fd = SH_FAULT_IO(file_make) ? -1 : mkostemp(temporary, O_CLOEXEC);

    if (fd < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot create a file beside %s", path);
    }
    int r = fill(fd, content, path, err);
    if (r == 0 && (SH_FAULT_IO(file_write) || fchmod(fd, mode) < 0 || (durable && fsync(fd) < 0) ||
                   rename(temporary, path) < 0)) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot write %s", path);
    }
    if (r < 0) {
        unlink(temporary);
    } else if (durable) {
        sync_folder_of(path);
    }
    return r;
}

int sh_file_write(const char *path, struct sh_str bytes, unsigned mode, struct sh_err *err) {
    return file_write(path, &(struct content){.bytes = bytes, .from = -1}, mode, false, err);
}

int sh_file_write_durable(const char *path, struct sh_str bytes, unsigned mode,
                          struct sh_err *err) {
    return file_write(path, &(struct content){.bytes = bytes, .from = -1}, mode, true, err);
}

int sh_file_copy_durable(const char *path, int from, uint64_t at, uint64_t n, unsigned mode,
                         struct sh_err *err) {
    return file_write(path, &(struct content){.from = from, .at = at, .n = n}, mode, true, err);
}

/* A file under modules/. An engine that keeps nothing (--ephemeral) has nobody to outlive for. */
static int module_write(const struct sh_engine *e, const struct sh_hash *hash, struct sh_str bytes,
                        struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_modules_path(e, hash);

    return e->config.observe ? sh_file_write_durable(path, bytes, 0400, err)
                             : sh_file_write(path, bytes, 0400, err);
}

/* ---- loading ---- */

/* Journals name the interpreter by its hash, and it may be upgraded: what they began with stays.
 * Without a journal that lasts there is nothing to stay for. */
static int interpreter_keep(struct load *l) {
    const struct sh_hash *hash = sh_module_hash(l->module);
    sh_auto(sh_free_p) char *path = sh_modules_path(l->engine, hash);
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    struct sh_hash actual;
    int r;

    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    if (!l->engine->config.observe || access(path, R_OK) == 0) {
        return 0;
    }
    if ((r = sh_file_read(l->path, SH_MODULE_BYTES_MAX, &bytes, &l->err)) < 0) {
        return r;
    }
    sh_sha256(bytes.p, bytes.len, &actual);
    if (!sh_hash_eq(&actual, hash)) {
        return sh_fail(&l->err, SH_E_IO, "%s changed while it was being loaded; try again",
                       l->path);
    }
    return module_write(l->engine, hash, sh_buf_str(&bytes), &l->err);
}

/* The name of a file under modules/ is the hash of what must be in it. */
static int module_check(struct load *l) {
    char expected[SH_HASH_HEX_BYTES], actual[SH_HASH_HEX_BYTES];

    if (sh_hash_eq(&l->hash, sh_module_hash(l->module))) {
        return 0;
    }
    sh_hash_hex(&l->hash, expected);
    sh_hash_hex(sh_module_hash(l->module), actual);
    return sh_fail(&l->err, SH_E_CORRUPT,
                   "modules/%s holds a module of hash %s; put the original back or remove the file "
                   "and register the agent again",
                   expected, actual);
}

static int interpreter_accept(struct load *l) {
    int r = interpreter_keep(l);

    r = r < 0 ? r : sh_pysdk_keep(l->engine, &l->python_module, &l->err);
    l->has_python_module = r > 0;
    return r;
}

static void load_accept(struct load *l) {
    if ((l->interpreter ? interpreter_accept(l) : module_check(l)) < 0) {
        l->module = sh_module_unref(l->module);
    }
}

static void load_compile(struct sh_job *job) {
    struct load *l = sh_container_of(job, struct load, job);

    if (sh_module_load_file(l->engine->config.sandbox, l->path, &l->module, &l->err) == 0) {
        load_accept(l);
    }
}

/* What is compiled already never queues behind what is not. */
static void load_find(struct sh_job *job) {
    struct load *l = sh_container_of(job, struct load, job);

    l->module = sh_module_find_file(l->engine->config.sandbox, l->path);
    if (l->module) {
        load_accept(l);
    }
}

static void load_end(struct load *l) {
    struct sh_engine *e = l->engine;

    if (l->module) {
        remember(e, l->module);
        if (l->interpreter) {
            *l->interpreter =
                (struct sh_interpreter){.hash = *sh_module_hash(l->module), .known = true};
            if (l->has_python_module) { /* not of one that was known already */
                e->modules.python_module = l->python_module;
                e->modules.python_module_known = true;
            }
        }
    }
    l->cb(l->arg, l->module, l->module ? NULL : &l->err);
    sh_module_unref(l->module);
    sh_free(l->path);
    sh_free(l);
    sh_engine_unpin(e);
}

static void load_done(struct sh_job *job) {
    load_end(sh_container_of(job, struct load, job));
}

static void load_found(struct sh_job *job) {
    struct load *l = sh_container_of(job, struct load, job);

    if (l->module || l->err.code) {
        load_done(job);
        return;
    }
    l->job.work = load_compile;
    l->job.done = load_done;
    sh_loop_submit(l->engine->loop, SH_POOL_COMPILE, &l->job);
}

static void load_cached(struct sh_msg *msg) {
    load_end(sh_container_of(msg, struct load, later));
}

/* interpreter or NULL; hash is then what the module must have */
static void load_start(struct sh_engine *e, char *path, struct sh_interpreter *interpreter,
                       const struct sh_hash *hash, sh_module_ready_fn cb, void *arg) {
    struct load *l = sh_new(struct load);
    struct sh_module *known = hash ? cached(e, hash) : NULL;

    l->engine = e;
    l->path = path;
    l->interpreter = interpreter;
    l->hash = hash ? *hash : (struct sh_hash){0};
    l->cb = cb;
    l->arg = arg;
    l->module = known ? sh_module_ref(known) : NULL;
    l->job.work = load_find;
    l->job.done = load_found;
    l->later.run = load_cached;
    e->pins++;
    if (known) {
        sh_loop_post(e->loop, &l->later);
    } else {
        sh_loop_submit(e->loop, SH_POOL_COMPUTE, &l->job);
    }
}

void sh_modules_load(struct sh_engine *e, const struct sh_hash *hash, sh_module_ready_fn cb,
                     void *arg) {
    load_start(e, sh_modules_path(e, hash), NULL, hash, cb, arg);
}

void sh_modules_python(struct sh_engine *e, bool image, sh_module_ready_fn cb, void *arg) {
    struct sh_interpreter *i = image ? &e->modules.python_image : &e->modules.python;
    const char *path = image ? e->config.python_image : e->config.python;

    load_start(e, sh_strdup(path ? path : ""), i, i->known ? &i->hash : NULL, cb, arg);
}

/* ---- adding, listing, removing ---- */

static void adding_free(struct adding *a) {
    struct sh_engine *e = a->engine;

    sh_buf_done(&a->bytes);
    sh_free(a->name);
    json_decref(a->manifest);
    json_decref(a->record);
    sh_module_unref(a->module);
    sh_free(a);
    sh_engine_unpin(e);
}

static void add_work(struct sh_job *job) {
    struct adding *a = sh_container_of(job, struct adding, job);

    if (!a->script) {
        struct sh_buf wasm;
        sh_buf_init(&wasm, SH_MODULE_BYTES_MAX);
        if (sh_module_from_text(sh_buf_str(&a->bytes), &wasm, &a->err) == 0 &&
            sh_module_load(a->engine->config.sandbox, sh_buf_str(&wasm), &a->module, &a->err) ==
                0) {
            sh_buf_done(&a->bytes);
            a->bytes = wasm;
            a->hash = *sh_module_hash(a->module);
        } else {
            sh_buf_done(&wasm);
            return;
        }
    } else {
        sh_sha256(a->bytes.p, a->bytes.len, &a->hash);
    }
    module_write(a->engine, &a->hash, sh_buf_str(&a->bytes), &a->err);
}

static void add_stored(void *arg, const struct sh_err *err) {
    struct adding *a = arg;

    a->cb(a->arg, err ? NULL : a->record, err);
    adding_free(a);
}

static void add_record(struct adding *a) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_put puts[2];
    json_t *name_record;
    size_t n = 1;

    sh_hash_hex(&a->hash, hex);
    a->record =
        json_pack("{s:s, s:I, s:s, s:I}", "hash", hex, "bytes", (json_int_t)a->bytes.len, "kind",
                  a->script ? "python" : "wasm", "created_at", (json_int_t)sh_wall_us());
    if (a->name) {
        json_object_set_new(a->record, "name", json_string(a->name));
    }
    if (a->manifest) {
        json_object_set(a->record, "manifest", a->manifest);
    }
    name_record = json_pack("{s:s*, s:s}", "name", a->name, "hash", hex);
    puts[0] = (struct sh_put){SH_TABLE_MODULE, sh_str(hex), a->record};
    if (a->name) {
        puts[n++] = (struct sh_put){SH_TABLE_NAME, sh_str(a->name), name_record};
    }
    sh_registry_changes(a->engine);
    if (sh_engine_append(a->engine, NULL, 0, puts, n, add_stored, a, &a->err) < 0) {
        add_stored(a, &a->err);
    }
    json_decref(name_record);
}

/* Bytes without a name or a manifest (a file that is run) say nothing about a module that is
 * registered: its name and its manifest stay. */
static void add_known(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct adding *a = arg;
    json_t *known = json_array_get(records, 0);

    (void)total;
    if (!err && !known) {
        add_record(a);
        return;
    }
    a->record = known ? json_incref(known) : NULL;
    add_stored(a, err);
}

/* It was refused: the answer still comes in a later turn. */
static void add_nothing(struct sh_job *job) {
    (void)job;
}

static void add_done(struct sh_job *job) {
    struct adding *a = sh_container_of(job, struct adding, job);
    char hex[SH_HASH_HEX_BYTES];

    if (a->err.code) {
        a->cb(a->arg, NULL, &a->err);
        adding_free(a);
        return;
    }
    if (a->module) {
        remember(a->engine, a->module);
    }
    if (a->name || a->manifest) {
        add_record(a);
        return;
    }
    sh_hash_hex(&a->hash, hex);
    sh_store_get(a->engine->store, SH_TABLE_MODULE, sh_str(hex), add_known, a);
}

static int adding_copy(struct adding *a, struct sh_str bytes) {
    sh_buf_init(&a->bytes, SH_MODULE_BYTES_MAX);
    if (bytes.len > SH_MODULE_BYTES_MAX) {
        return sh_fail(&a->err, SH_E_LIMIT, "the module has %zu bytes; at most %llu are taken",
                       bytes.len, SH_MODULE_BYTES_MAX);
    }
    sh_buf_add(&a->bytes, bytes.p, bytes.len);
    if (a->bytes.failed) {
        return sh_fail(&a->err, SH_E_NOMEM, "no memory for a module of %zu bytes; try again later",
                       bytes.len);
    }
    return 0;
}

void sh_engine_module_add(struct sh_engine *e, struct sh_str bytes, const char *name,
                          const json_t *manifest, sh_engine_json_fn cb, void *arg) {
    struct adding *a = sh_new(struct adding);

    a->engine = e;
    a->cb = cb;
    a->arg = arg;
    a->name = name ? sh_strdup(name) : NULL;
    a->manifest = manifest ? json_deep_copy(manifest) : NULL;
    a->script = sh_module_is_script(bytes);
    a->job.work =
        sh_disk_check(e, &a->err) < 0 || adding_copy(a, bytes) < 0 ? add_nothing : add_work;
    a->job.done = add_done;
    e->pins++;
    sh_loop_submit(e->loop, a->script ? SH_POOL_COMPUTE : SH_POOL_COMPILE, &a->job);
}

/* A record keeps the name it was registered under; a name that is another module's since, or
 * nobody's, is not shown, because it would not find this one. */
static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    size_t i;
    json_t *record;

    (void)total;
    json_array_foreach(records, i, record) {
        const char *name = json_string_value(json_object_get(record, "name"));
        json_t *owner = name ? json_object_get(q->value, name) : NULL;
        if (name && !json_equal(owner, json_object_get(record, "hash"))) {
            json_object_del(record, "name");
        }
    }
    sh_call_end(q, records, err);
}

static void list_named(void *arg, json_t *names, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_store_filter all = {.limit = LIST_MAX};
    size_t i;
    json_t *name;

    (void)total;
    if (err) {
        sh_call_end(q, NULL, err);
        return;
    }
    q->value = json_object();
    json_array_foreach(names, i, name) {
        struct sh_str text = sh_json_get_str(name, "name");
        json_object_setn(q->value, text.p ? text.p : "", text.len, json_object_get(name, "hash"));
    }
    sh_store_list(q->engine->store, SH_TABLE_MODULE, &all, listed, q);
}

void sh_engine_module_list(struct sh_engine *e, sh_engine_json_fn cb, void *arg) {
    struct sh_store_filter all = {.limit = LIST_MAX};

    sh_store_list(e->store, SH_TABLE_NAME, &all, list_named,
                  sh_call_new(e, (struct sh_str){0}, cb, arg));
}

static void removed(void *arg, const struct sh_err *err) {
    struct sh_call *q = arg;

    sh_call_end(q, q->value, err);
}

/* The record and its names go; the file stays, because journals may name it. A name that has been
 * given to another module since is that one's. */
static void names_found(void *arg, json_t *names, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_put puts[1 + NAMES_MAX] = {
        {SH_TABLE_MODULE, sh_json_get_str(q->value, "hash"), NULL}};
    struct sh_err own = {0};
    size_t n = 1, i;
    json_t *name;

    (void)total;
    json_array_foreach(names, i, name) {
        if (n <= NAMES_MAX) {
            puts[n++] = (struct sh_put){SH_TABLE_NAME, sh_json_get_str(name, "name"), NULL};
        }
    }
    sh_registry_changes(q->engine);
    if (!err && sh_engine_append(q->engine, NULL, 0, puts, n, removed, q, &own) == 0) {
        return;
    }
    sh_call_end(q, NULL, err ? err : &own);
}

static void remove_found(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_call *q = arg;
    struct sh_store_filter named = {.member = {"hash"}, .limit = NAMES_MAX};

    if (err) {
        sh_call_end(q, NULL, err);
        return;
    }
    q->value = json_incref(record);
    named.value[0] = json_string_value(json_object_get(record, "hash"));
    sh_store_list(q->engine->store, SH_TABLE_NAME, &named, names_found, q);
}

void sh_engine_module_remove(struct sh_engine *e, struct sh_str name_or_hash, sh_engine_json_fn cb,
                             void *arg) {
    sh_modules_find(e, name_or_hash, remove_found, sh_call_new(e, name_or_hash, cb, arg));
}

/* ---- finding by name or hash ---- */

static void find_ended(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    json_t *record = json_array_get(records, 0);
    struct sh_err none = {0};

    (void)total;
    if (!err && !record) {
        sh_fail(&none, SH_E_NOT_FOUND,
                "there is no agent \"%.80s\"; `shannon modules` lists those that are registered",
                q->id);
        err = &none;
    }
    sh_call_end(q, record, err);
}

static void find_named(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sh_call *q = arg;
    json_t *record = json_array_get(records, 0);

    if (err || !record) {
        find_ended(arg, records, total, err);
        return;
    }
    sh_store_get(q->engine->store, SH_TABLE_MODULE, sh_json_get_str(record, "hash"), find_ended, q);
}

void sh_modules_find(struct sh_engine *e, struct sh_str name_or_hash, sh_engine_json_fn cb,
                     void *arg) {
    struct sh_call *q = sh_call_new(e, name_or_hash, cb, arg);
    struct sh_hash hash;

    if (sh_hash_parse(name_or_hash, &hash) == 0) {
        sh_store_get(e->store, SH_TABLE_MODULE, name_or_hash, find_ended, q);
    } else {
        sh_store_get(e->store, SH_TABLE_NAME, name_or_hash, find_named, q);
    }
}
