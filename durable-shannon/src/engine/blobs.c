/* See blobs.h. A sweep takes one note after the other: is the blob named? Else a pool job removes
 * it, and the note goes. Notes of young blobs stay, and a timer brings the next sweep. */
#include "engine/blobs.h"

#include "engine/export_blobs.h"
#include "engine/private.h"

#define PAGE 100
#define GRACE_MS 60000 /* from keeping a blob to the commit that names it: milliseconds */
#define COUNTED "blobs"
#define NOTE "blob:"

/* ---- records ---- */

/* takes key and value; value NULL deletes */
static void put(struct sh_blob_puts *p, enum sh_table table, char *key, json_t *value) {
    if (p->n == p->cap) {
        p->cap = p->cap ? p->cap * 2 : 16;
        p->v = sh_grow(p->v, p->cap * sizeof(*p->v));
    }
    p->v[p->n++] = (struct sh_put){table, sh_str(key), value};
}

void sh_blob_puts_name(struct sh_blob_puts *p, const char *id, const char *hex, uint64_t seq) {
    put(p, SH_TABLE_BLOB, sh_asprintf("%s/%s", id, hex),
        json_pack("{s:s, s:I}", "blob", hex, "seq", (json_int_t)seq));
    put(p, SH_TABLE_BLOB, sh_asprintf("%s/%s", hex, id), json_pack("{s:s}", "workflow", id));
}

void sh_blob_puts_drop(struct sh_blob_puts *p, const char *id, const char *hex) {
    put(p, SH_TABLE_BLOB, sh_asprintf("%s/%s", id, hex), NULL);
    put(p, SH_TABLE_BLOB, sh_asprintf("%s/%s", hex, id), NULL);
    put(p, SH_TABLE_META, sh_asprintf(NOTE "%s", hex), json_pack("{s:s}", "blob", hex));
}

void sh_blob_puts_done(struct sh_blob_puts *p) {
    for (size_t i = 0; i < p->n; i++) {
        /* key and value were made by put(); the views lend them to the store */
        char *key;
        json_t *value;
        memcpy(&key, &p->v[i].key.p, sizeof(key));
        memcpy(&value, &p->v[i].value, sizeof(value));
        sh_free(key);
        json_decref(value);
    }
    sh_free(p->v);
    *p = (struct sh_blob_puts){0};
}

void sh_blobs_named(struct sh_workflow *wf, const json_t *set, uint64_t seq) {
    struct sh_blob_puts p = {0};
    const char *hex;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)set, hex, value) {
        sh_blob_puts_name(&p, wf->id.s, hex, seq);
    }
    for (size_t i = 0; i < p.n; i++) {
        sh_journal_put(wf, p.v[i].table, p.v[i].key.p,
                       json_incref((json_t *)(uintptr_t)p.v[i].value));
    }
    sh_blob_puts_done(&p);
}

struct naming {
    struct sh_engine *engine;
    char *id;
    json_t *set;
    uint64_t seq;
    sh_store_done_fn cb;
    void *arg;
};

static void named(void *arg, const struct sh_err *err) {
    struct naming *n = arg;
    struct sh_blob_puts p = {0};
    struct sh_err bad = {0};
    const char *hex;
    json_t *value;
    void *next;

    json_object_foreach_safe(n->set, next, hex, value) {
        if (!err && p.n < (size_t)2 * SH_BLOBS_AT_ONCE) {
            sh_blob_puts_name(&p, n->id, hex, n->seq);
            json_object_del(n->set, hex);
        }
    }
    if (p.n == 0 || sh_engine_append(n->engine, NULL, 0, p.v, p.n, named, n, &bad) < 0) {
        n->cb(n->arg, err ? err : bad.code ? &bad : NULL);
        json_decref(n->set);
        sh_free(n->id);
        sh_free(n);
    }
    sh_blob_puts_done(&p);
}

void sh_blobs_name_all(struct sh_engine *e, const char *id, json_t *set, uint64_t seq,
                       sh_store_done_fn cb, void *arg) {
    struct naming *n = sh_new(struct naming);

    *n = (struct naming){e, sh_strdup(id), json_incref(set), seq, cb, arg};
    named(n, NULL);
}

struct note {
    struct sh_msg msg;
    struct sh_err err;
    sh_store_done_fn cb;
    void *arg;
};

/* An error that is known at once still comes in a later turn. */
static void note_refused(struct sh_msg *msg) {
    struct note *n = sh_container_of(msg, struct note, msg);

    n->cb(n->arg, &n->err);
    sh_free(n);
}

void sh_blobs_note(struct sh_engine *e, const char *hex, sh_store_done_fn cb, void *arg) {
    sh_auto(sh_free_p) char *key = sh_asprintf(NOTE "%s", hex);
    sh_auto(sh_json_done) json_t *value = json_pack("{s:s}", "blob", hex);
    struct sh_put put = {SH_TABLE_META, sh_str(key), value};
    struct sh_err err = {0};

    if (sh_engine_append(e, NULL, 0, &put, 1, cb, arg, &err) < 0) {
        struct note *n = sh_new(struct note);
        *n = (struct note){.msg.run = note_refused, .err = err, .cb = cb, .arg = arg};
        sh_loop_post(e->loop, &n->msg);
    }
}

void sh_blobs_observed(struct sh_workflow *wf, struct sh_str kind, struct sh_str bytes,
                       uint64_t seq) {
    sh_auto(sh_json_done) json_t *set = json_object();

    sh_blobs_of_observation(kind, bytes, set);
    sh_blobs_named(wf, set, seq);
}

/* ---- a sweep ---- */

struct sweep {
    struct sh_job job;
    struct sh_engine *engine;
    char *folder;
    json_t *notes;     /* this page's hashes */
    size_t next, kept; /* of the page; notes that stay */
    char hex[SH_HASH_HEX_BYTES];
    enum sh_blob_fate fate;
    void (*cb)(void *arg);
    void *arg;
};

static void sweep_end(struct sweep *s) {
    struct sh_engine *e = s->engine;

    if (s->cb) {
        s->cb(s->arg);
    }
    json_decref(s->notes);
    sh_free(s->folder);
    sh_free(s);
    sh_engine_unpin(e);
}

static void again(struct sh_timer *t) {
    struct sh_blobs *b = sh_container_of(t, struct sh_blobs, timer);

    sh_blobs_sweep(sh_container_of(b, struct sh_engine, blobs), NULL, NULL);
}

static uint64_t grace_ms(const struct sh_engine *e) {
    return e->config.blob_grace_ms ? e->config.blob_grace_ms : GRACE_MS;
}

static void list_notes(struct sweep *s);

static void next_note(struct sweep *s);

static void note_gone(void *arg, const struct sh_err *err) {
    if (err) {
        sweep_end(arg);
    } else {
        next_note(arg);
    }
}

static void drop_note(struct sweep *s) {
    sh_auto(sh_free_p) char *key = sh_asprintf(NOTE "%s", s->hex);
    struct sh_put put = {SH_TABLE_META, sh_str(key), NULL};
    struct sh_err err = {0};

    if (sh_engine_append(s->engine, NULL, 0, &put, 1, note_gone, s, &err) < 0) {
        sweep_end(s);
    }
}

static void remove_work(struct sh_job *job) {
    struct sweep *s = sh_container_of(job, struct sweep, job);

    s->fate = sh_blob_remove(s->folder, s->hex, grace_ms(s->engine));
}

static void remove_done(struct sh_job *job) {
    struct sweep *s = sh_container_of(job, struct sweep, job);
    struct sh_engine *e = s->engine;

    if (s->fate == SH_BLOB_GONE) {
        drop_note(s);
        return;
    }
    s->kept++;
    if (s->fate == SH_BLOB_YOUNG && !e->stopping && !e->config.passive) {
        sh_timer_start(e->loop, &e->blobs.timer, (grace_ms(e) + 1) * 1000000, again);
    }
    next_note(s);
}

static void names_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sweep *s = arg;

    (void)total;
    if (err) {
        sweep_end(s);
    } else if (sh_payload_is_held(s->engine, s->hex)) {
        s->kept++; /* its release brings a sweep */
        next_note(s);
    } else if (json_array_size(records) > 0) {
        drop_note(s);
    } else {
        s->job.work = remove_work;
        s->job.done = remove_done;
        sh_loop_submit(s->engine->loop, SH_POOL_FILES, &s->job);
    }
}

static void next_note(struct sweep *s) {
    struct sh_str hex = sh_json_get_str(json_array_get(s->notes, s->next), "blob");
    struct sh_hash hash;

    if (s->engine->stopping) {
        sweep_end(s);
        return;
    }
    if (s->next == json_array_size(s->notes)) {
        list_notes(s);
        return;
    }
    s->next++;
    if (sh_hash_parse(hex, &hash) < 0) {
        s->kept++;
        next_note(s);
        return;
    }
    sh_hash_hex(&hash, s->hex);
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", s->hex);
    struct sh_store_filter f = {.prefix = prefix, .limit = 1};
    sh_store_list(s->engine->store, SH_TABLE_BLOB, &f, names_read, s);
}

static void notes_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sweep *s = arg;

    (void)total;
    if (err || json_array_size(records) == 0 || s->engine->stopping) {
        sweep_end(s);
        return;
    }
    json_decref(s->notes);
    s->notes = json_incref(records);
    s->next = 0;
    next_note(s);
}

/* Those that stay are passed over; those that go make the next ones move up. */
static void list_notes(struct sweep *s) {
    struct sh_store_filter f = {.prefix = NOTE, .offset = s->kept, .limit = PAGE};

    sh_store_list(s->engine->store, SH_TABLE_META, &f, notes_listed, s);
}

static void restore_work(struct sh_job *job) {
    sh_blobs_restore(sh_container_of(job, struct sweep, job)->folder);
}

static void restore_done(struct sh_job *job) {
    list_notes(sh_container_of(job, struct sweep, job));
}

static void is_counted(struct sweep *s) {
    struct sh_engine *e = s->engine;

    if (e->blobs.restored) {
        list_notes(s);
        return;
    }
    e->blobs.restored = true;
    s->job.work = restore_work;
    s->job.done = restore_done;
    sh_loop_submit(e->loop, SH_POOL_FILES, &s->job);
}

static void count_done(struct sh_engine *e, void *arg) {
    if (e->blobs.counted && !e->stopping) {
        is_counted(arg);
    } else {
        sweep_end(arg);
    }
}

static void mark_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct sweep *s = arg;
    struct sh_engine *e = s->engine;

    (void)total;
    e->blobs.counted = !err && json_array_size(records) > 0;
    if (e->blobs.counted) {
        is_counted(s);
    } else if (err || (e->config.passive && !s->cb) || e->blobs.counting || e->stopping) {
        sweep_end(s);
    } else {
        sh_blobs_count(e, count_done, s);
    }
}

void sh_blobs_sweep(struct sh_engine *e, void (*cb)(void *arg), void *arg) {
    struct sweep *s = sh_new(struct sweep);

    s->engine = e;
    s->folder = sh_asprintf("%s/blobs", e->config.data_dir);
    s->cb = cb;
    s->arg = arg;
    e->pins++;
    if (e->blobs.counted) {
        is_counted(s);
    } else {
        sh_store_get(e->store, SH_TABLE_META, SH_STR(COUNTED), mark_read, s);
    }
}

void sh_blobs_stop(struct sh_engine *e) {
    sh_timer_stop(&e->blobs.timer);
}

/* ---- after a compaction ---- */

struct cut {
    struct sh_engine *engine;
    char *id;
    uint64_t k;
    size_t kept;
    bool any; /* went */
};

static void cut_end(struct cut *c) {
    struct sh_engine *e = c->engine;

    if (c->any && !e->stopping) {
        sh_blobs_sweep(e, NULL, NULL);
    }
    sh_free(c->id);
    sh_free(c);
    sh_engine_unpin(e);
}

static void list_named(struct cut *c);

static void names_dropped(void *arg, const struct sh_err *err) {
    struct cut *c = arg;

    c->any |= !err;
    if (err || c->engine->stopping) {
        cut_end(c);
    } else {
        list_named(c);
    }
}

static void named_listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct cut *c = arg;
    struct sh_blob_puts p = {0};
    struct sh_err bad = {0};
    json_t *record;
    size_t i;

    (void)total;
    json_array_foreach(records, i, record) {
        const char *hex = json_string_value(json_object_get(record, "blob"));
        if (hex && (uint64_t)sh_json_get_int(record, "seq", INT64_MAX) <= c->k) {
            sh_blob_puts_drop(&p, c->id, hex);
        } else {
            c->kept++;
        }
    }
    if (err || json_array_size(records) == 0) {
        cut_end(c);
    } else if (p.n == 0) {
        list_named(c);
    } else if (sh_engine_append(c->engine, NULL, 0, p.v, p.n, names_dropped, c, &bad) < 0) {
        cut_end(c);
    }
    sh_blob_puts_done(&p);
}

static void list_named(struct cut *c) {
    sh_auto(sh_free_p) char *prefix = sh_asprintf("%s/", c->id);
    struct sh_store_filter f = {.prefix = prefix, .offset = c->kept, .limit = PAGE};

    sh_store_list(c->engine->store, SH_TABLE_BLOB, &f, named_listed, c);
}

void sh_blobs_cut(struct sh_engine *e, const char *id, uint64_t k) {
    struct cut *c = sh_new(struct cut);

    c->engine = e;
    c->id = sh_strdup(id);
    c->k = k;
    e->pins++;
    list_named(c);
}
