/* The records of blobs for journals that an older version wrote. Task after task, a page of its
 * journal at a time, in the background; when all were read, a mark says so, and only from then on
 * anything is removed. A task that goes meanwhile would make others be passed over: then it begins
 * again. */
#include "engine/blobs.h"

#include "engine/export_blobs.h"
#include "engine/private.h"

#define PAGE 100

struct count {
    struct sh_job job;
    struct sh_engine *engine;
    json_t *rows; /* a page of tasks */
    size_t next;  /* in it */
    char *after;  /* the last of the page, or NULL */
    char *id, *folder;
    uint64_t last; /* event of it */
    bool more;     /* its journal goes on */
    bool failed;   /* a manifest could not be read */
    json_t *set;   /* {hash: is it a manifest?} of a page */
    void (*done)(struct sh_engine *e, void *arg);
    void *arg;
};

static void count_end(struct count *c) {
    struct sh_engine *e = c->engine;

    e->blobs.counting = false;
    c->done(e, c->arg);
    json_decref(c->set);
    json_decref(c->rows);
    sh_free(c->after);
    sh_free(c->id);
    sh_free(c->folder);
    sh_free(c);
    sh_engine_unpin(e);
}

static void next_row(struct count *c);
static void next_page(struct count *c);

static void marked(void *arg, const struct sh_err *err) {
    struct count *c = arg;

    c->engine->blobs.counted = !err;
    count_end(c);
}

static void recorded(void *arg, const struct sh_err *err) {
    struct count *c = arg;

    if (err || c->engine->stopping) {
        count_end(c);
    } else if (c->more) {
        next_page(c);
    } else {
        next_row(c);
    }
}

static void expand_work(struct sh_job *job) {
    struct count *c = sh_container_of(job, struct count, job);
    sh_auto(sh_json_done) json_t *more = json_object();
    const char *hex;
    json_t *manifest;

    json_object_foreach(c->set, hex, manifest) {
        if (json_is_true(manifest)) {
            struct sh_err err = {0};
            c->failed |= sh_blobs_of_manifest(c->folder, hex, more, &err) < 0 &&
                         err.code != SH_E_NOT_FOUND && err.code != SH_E_JSON;
        }
    }
    json_object_update(c->set, more);
}

static void expand_done(struct sh_job *job) {
    struct count *c = sh_container_of(job, struct count, job);

    if (c->engine->stopping || c->failed) {
        count_end(c);
    } else {
        sh_blobs_name_all(c->engine, c->id, c->set, c->last, recorded, c);
    }
}

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct count *c = arg;
    struct sh_err bad = {0};

    if (err || c->engine->stopping) {
        count_end(c);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        bool may =
            sh_str_eqz(events[i].type, "Checkpoint") || sh_str_eqz(events[i].type, "Observed");
        sh_auto(sh_json_done) json_t *body = NULL;
        if (may && sh_json_parse(events[i].body, 2 * SH_EVENT_BODY_MAX, &body, &bad) == 0) {
            sh_blobs_of_event(events[i].type, body, c->set);
        } else if (may && bad.code == SH_E_NOMEM) { /* what it names would be nobody's, and go */
            count_end(c);
            return;
        }
        c->last = events[i].seq;
    }
    c->more = n == SH_JOURNAL_PAGE;
    if (json_object_size(c->set) == 0) {
        recorded(c, NULL);
        return;
    }
    c->job.work = expand_work;
    c->job.done = expand_done;
    sh_loop_submit(c->engine->loop, SH_POOL_FILES, &c->job);
}

static void next_page(struct count *c) {
    sh_store_read_events(c->engine->store, sh_str(c->id), c->last, SH_JOURNAL_PAGE, page_read, c);
}

static void rows_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct count *c = arg;
    sh_auto(sh_json_done) json_t *value = json_pack("{s:i}", "version", 1);
    struct sh_put put = {SH_TABLE_META, SH_STR("blobs"), value};
    struct sh_err bad = {0};

    (void)total;
    if (err || c->engine->stopping) {
        count_end(c);
    } else if (json_array_size(records) > 0) {
        json_decref(c->rows);
        c->rows = json_incref(records);
        c->next = 0;
        sh_free(c->after);
        c->after = sh_strdup(json_string_value(
            json_object_get(json_array_get(records, json_array_size(records) - 1), "id")));
        next_row(c);
    } else if (sh_engine_append(c->engine, NULL, 0, &put, 1, marked, c, &bad) < 0) {
        count_end(c);
    }
}

static void next_row(struct count *c) {
    struct sh_blobs *b = &c->engine->blobs;
    const char *id = json_string_value(json_object_get(json_array_get(c->rows, c->next), "id"));

    if (b->changed) {
        b->changed = false;
        c->after = sh_free(c->after);
        id = NULL;
    }
    if (id) {
        sh_free(c->id);
        c->id = sh_strdup(id);
        c->next++;
        c->last = 0;
        next_page(c);
        return;
    }
    struct sh_store_filter f = {.uncounted = true, .after = c->after, .limit = PAGE};
    sh_store_list(c->engine->store, SH_TABLE_WORKFLOW, &f, rows_read, c);
}

void sh_blobs_count(struct sh_engine *e, void (*done)(struct sh_engine *e, void *arg), void *arg) {
    struct count *c = sh_new(struct count);

    c->engine = e;
    c->folder = sh_asprintf("%s/blobs", e->config.data_dir);
    c->set = json_object();
    c->done = done;
    c->arg = arg;
    e->blobs.counting = true;
    e->blobs.changed = false;
    e->pins++;
    next_row(c);
}
