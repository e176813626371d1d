/* Export: the journal is read page by page, then a pool job adds the module and makes the archive.
 * See export.h for the format. */
#include "engine/export.h"

#include "engine/archive.h"
#include "engine/compact.h"
#include "engine/export_blobs.h"
#include "engine/private.h"

struct export {
    struct sh_job job;
    struct sh_engine *engine;
    char *id;
    bool with_interpreter;
    json_t *row;
    struct sh_buf lines, out;
    json_t *blobs; /* that the events name */
    uint64_t last;
    struct sh_hash head, module, interpreter, python_module;
    bool has_module, has_interpreter, has_python_module;
    struct sh_err err;
    sh_engine_bytes_fn cb;
    void *arg;
};

static void export_end(struct export *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;

    sh_journal_release(e, x->id);
    x->cb(x->arg, err ? (struct sh_str){0} : sh_buf_str(&x->out), err);
    json_decref(x->row);
    json_decref(x->blobs);
    sh_buf_done(&x->lines);
    sh_buf_done(&x->out);
    sh_free(x->id);
    sh_free(x);
    sh_engine_unpin(e);
}

static void add_line(struct export *x, const struct sh_event_record *ev) {
    char hash[SH_HASH_HEX_BYTES];
    struct sh_buf *b = &x->lines;

    sh_hash_hex(&ev->hash, hash);
    sh_buf_adds(b, "{\"body\":");
    sh_json_escape(b, ev->body);
    sh_buf_addf(b, ",\"hash\":\"%s\",\"seq\":%llu,\"time_us\":%lld,\"type\":", hash,
                (unsigned long long)ev->seq, (long long)ev->time_us);
    sh_json_escape(b, ev->type);
    sh_buf_adds(b, "}\n");
}

/* What event 1 names, and what others keep beside the journal. */
static void learn(struct export *x, const struct sh_event_record *ev) {
    sh_auto(sh_json_done) json_t *body = NULL;

    sh_auto(sh_json_done) json_t *state = NULL;
    struct sh_event first = {0};
    bool names = sh_str_eqz(ev->type, "Checkpoint") || sh_str_eqz(ev->type, "Observed");

    if ((x->has_module && !names) ||
        sh_json_parse(ev->body, SH_EVENT_BODY_MAX * 2, &body, NULL) < 0) {
        return;
    }
    sh_blobs_of_event(ev->type, body, x->blobs);
    if (x->has_module) {
        return;
    }
    first.body = body;
    if (sh_str_eqz(ev->type, "Compacted") &&
        (sh_compacted_state(body, &state, NULL) < 0 || !sh_compacted_kept(state, 0, &first))) {
        return;
    }
    x->has_module = sh_hash_parse(sh_json_get_str(first.body, "module"), &x->module) == 0;
    x->has_interpreter =
        sh_hash_parse(sh_json_get_str(first.body, "interpreter"), &x->interpreter) == 0;
    x->has_python_module =
        sh_hash_parse(sh_json_get_str(first.body, "python_module"), &x->python_module) == 0;
}

static json_t *file_json(const char *name, struct sh_str bytes) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_sha256(bytes.p, bytes.len, &hash);
    sh_hash_hex(&hash, hex);
    return json_pack("{s:s, s:I, s:s}", "name", name, "bytes", (json_int_t)bytes.len, "sha256",
                     hex);
}

static int add_module(struct export *x, const struct sh_hash *hash, json_t *files,
                      struct sh_buf *body) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash actual;
    sh_auto(sh_free_p) char *path = sh_modules_path(x->engine, hash);
    sh_auto(sh_buf_done) struct sh_buf bytes;

    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    if (sh_file_read(path, SH_MODULE_BYTES_MAX, &bytes, &x->err) < 0) {
        return -x->err.code;
    }
    sh_sha256(bytes.p, bytes.len, &actual);
    if (!sh_hash_eq(&actual, hash)) {
        return sh_fail(&x->err, SH_E_CORRUPT, "%s does not have the hash that is its name", path);
    }
    sh_hash_hex(hash, hex);
    sh_auto(sh_free_p) char *name = sh_asprintf("modules/%s", hex);
    json_array_append_new(files, file_json(name, sh_buf_str(&bytes)));
    sh_archive_add(body, name, sh_buf_str(&bytes));
    return 0;
}

/* An end was signed when it was written; an imported journal keeps the signature that it came with.
 * Whatever else is exported is signed now. */
static json_t *statement(const struct export *x) {
    json_t *said = json_object_get(x->row, "signed");

    if (said && (uint64_t)sh_json_get_int(said, "seq", 0) == x->last) {
        return json_incref(said);
    }
    return sh_head_sign(&x->engine->key, x->id, x->last, &x->head);
}

static void export_work(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);
    sh_auto(sh_json_done) json_t *files = json_array();
    sh_auto(sh_buf_done) struct sh_buf body;
    char hex[SH_HASH_HEX_BYTES];

    sh_buf_init(&body, SH_EXPORT_MAX);
    json_array_append_new(files, file_json("journal.jsonl", sh_buf_str(&x->lines)));
    sh_archive_add(&body, "journal.jsonl", sh_buf_str(&x->lines));
    if (add_module(x, &x->module, files, &body) < 0 ||
        (x->has_python_module && !sh_hash_eq(&x->python_module, &x->module) &&
         add_module(x, &x->python_module, files, &body) < 0) ||
        (x->has_interpreter && x->with_interpreter &&
         add_module(x, &x->interpreter, files, &body) < 0)) {
        return;
    }
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", x->engine->config.data_dir);
    if (sh_blobs_export(x->blobs, folder, files, &body, &x->err) < 0) {
        return;
    }
    sh_auto(sh_json_done) json_t *manifest = json_pack(
        "{s:s, s:i, s:s, s:s, s:I, s:o, s:O}", "format", "shannon export", "version",
        SH_EXPORT_VERSION, "id", x->id, "runtime", sh_sandbox_runtime(x->engine->config.sandbox),
        "exported_at_us", (json_int_t)sh_wall_us(), "signed", statement(x), "files", files);
    if (x->has_interpreter) {
        sh_hash_hex(&x->interpreter, hex);
        json_object_set_new(manifest, "interpreter", json_string(hex));
    }
    sh_auto(sh_free_p) char *text = sh_json_text(manifest);
    sh_archive_add(&x->out, "manifest.json", sh_str(text));
    sh_buf_add(&x->out, body.p, body.len);
    sh_archive_end(&x->out);
    if (body.failed || x->out.failed) {
        sh_fail(&x->err, SH_E_LIMIT, "the export is larger than %llu MiB", SH_EXPORT_MAX / SH_MIB);
    }
}

static void export_done(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);

    export_end(x, x->err.code ? &x->err : NULL);
}

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct export *x = arg;
    struct sh_err bad = {0};

    for (size_t i = 0; i < n && !err; i++) {
        struct sh_event_record ev = events[i];
        uint64_t k = sh_compacted_k(&ev);
        if (ev.seq <= x->last) {
            continue; /* Compacted stands for it */
        }
        ev.seq = k > ev.seq ? k : ev.seq;
        add_line(x, &ev);
        learn(x, &ev);
        x->last = ev.seq;
        x->head = events[i].hash;
    }
    if (!err && x->lines.failed) {
        sh_fail(&bad, SH_E_LIMIT, "the journal is larger than %llu MiB", SH_EXPORT_MAX / SH_MIB);
        err = &bad;
    } else if (!err && n < SH_JOURNAL_PAGE && !x->has_module) {
        sh_fail(&bad, SH_E_CORRUPT, "the journal of %s has no beginning", x->id);
        err = &bad;
    }
    if (err) {
        export_end(x, err);
    } else if (n == SH_JOURNAL_PAGE) {
        sh_store_read_events(x->engine->store, sh_str(x->id), x->last, SH_JOURNAL_PAGE, page_read,
                             x);
    } else {
        x->job.work = export_work;
        x->job.done = export_done;
        sh_loop_submit(x->engine->loop, SH_POOL_FILES, &x->job);
    }
}

static void row_found(void *arg, json_t *row, const struct sh_err *err) {
    struct export *x = arg;

    if (err) {
        export_end(x, err);
        return;
    }
    x->row = json_incref(row);
    sh_store_read_events(x->engine->store, sh_str(x->id), 0, SH_JOURNAL_PAGE, page_read, x);
}

void sh_engine_export(struct sh_engine *e, struct sh_str id, bool with_interpreter,
                      sh_engine_bytes_fn cb, void *arg) {
    struct export *x = sh_new(struct export);

    x->engine = e;
    x->blobs = json_object();
    x->id = sh_strndup0(id.p, id.len);
    x->with_interpreter = with_interpreter;
    x->cb = cb;
    x->arg = arg;
    sh_buf_init(&x->lines, SH_EXPORT_MAX);
    sh_buf_init(&x->out, SH_EXPORT_MAX);
    e->pins++;
    sh_journal_hold(e, x->id);
    sh_engine_get(e, id, row_found, x);
}
