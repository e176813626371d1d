/* Export: the journal is read page by page into a file of its own, since the manifest, which comes
 * first, has its hash; then a pool job writes the archive: manifest, journal, modules and blobs,
 * each copied piece by piece. See export.h for the format. */
#include "engine/export.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/archive.h"
#include "engine/compact.h"
#include "engine/export_blobs.h"
#include "engine/private.h"

#define PAGE_FIRST 16           /* events; more or fewer then, as they turn out small or large */
#define PAGE_BYTES (1 * SH_MIB) /* of a page that is small */
#define LINES_MAX (4 * SH_GIB)  /* of a page of the largest events */
#define JOURNAL_NAME "journal.jsonl" /* all other files are where their names say */

struct export {
    struct sh_job job;
    struct sh_engine *engine;
    char *id;
    bool with_interpreter;
    json_t *row;
    struct sh_buf lines; /* of the page that was read last */
    size_t page;         /* events that are read at once */
    bool whole;          /* it was the last */
    int journal, out;    /* files; -1 */
    uint64_t journal_bytes, out_bytes;
    struct sh_hasher hasher; /* of the journal's lines */
    json_t *blobs;           /* that the events name */
    uint64_t last;
    struct sh_hash head, module, interpreter, python_module;
    bool has_module, has_interpreter, has_python_module;
    struct sh_err err;
    sh_engine_file_fn cb;
    void *arg;
};

static void export_end(struct export *x, const struct sh_err *err) {
    struct sh_engine *e = x->engine;

    sh_journal_release(e, x->id);
    if (err) {
        sh_close_p(&x->out);
    }
    x->cb(x->arg, err ? -1 : x->out, err ? 0 : x->out_bytes, err);
    sh_close_p(&x->journal);
    json_decref(x->row);
    json_decref(x->blobs);
    sh_buf_done(&x->lines);
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
    bool names = sh_str_eqz(ev->type, "Checkpoint") || sh_str_eqz(ev->type, "Observed") ||
                 sh_event_is_final(ev->type);

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
    sh_payload_names(first.body, x->blobs);
    x->has_module = sh_hash_parse(sh_json_get_str(first.body, "module"), &x->module) == 0;
    x->has_interpreter =
        sh_hash_parse(sh_json_get_str(first.body, "interpreter"), &x->interpreter) == 0;
    x->has_python_module =
        sh_hash_parse(sh_json_get_str(first.body, "python_module"), &x->python_module) == 0;
}

/* ---- the archive: a pool job ---- */

static void list_file(json_t *files, const char *name, uint64_t bytes, const struct sh_hash *hash) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(hash, hex);
    json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                           (json_int_t)bytes, "sha256", hex));
}

static int list_module(struct export *x, const struct sh_hash *hash, json_t *files) {
    char hex[SH_HASH_HEX_BYTES];
    sh_auto(sh_free_p) char *path = sh_modules_path(x->engine, hash);
    struct stat st;

    if (stat(path, &st) < 0) {
        return sh_fail_errno(&x->err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot look at %s", path);
    }
    sh_hash_hex(hash, hex);
    sh_auto(sh_free_p) char *name = sh_asprintf("modules/%s", hex);
    list_file(files, name, (uint64_t)st.st_size, hash);
    return 0;
}

static int list_files(struct export *x, json_t *files) {
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", x->engine->config.data_dir);
    struct sh_hash hash;

    sh_hasher_done(&x->hasher, &hash);
    list_file(files, JOURNAL_NAME, x->journal_bytes, &hash);
    if (list_module(x, &x->module, files) < 0 ||
        (x->has_python_module && !sh_hash_eq(&x->python_module, &x->module) &&
         list_module(x, &x->python_module, files) < 0) ||
        (x->has_interpreter && x->with_interpreter && list_module(x, &x->interpreter, files) < 0)) {
        return -x->err.code;
    }
    return sh_blobs_list(x->blobs, folder, files, &x->err);
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

static int add_text(struct export *x, const struct sh_buf *text) {
    x->out_bytes += text->len;
    return sh_spool_write(x->out, text->p, text->len, &x->err);
}

static int add_manifest(struct export *x, json_t *files) {
    char hex[SH_HASH_HEX_BYTES];
    sh_auto(sh_buf_done) struct sh_buf b = {0};
    sh_auto(sh_json_done) json_t *manifest = json_pack(
        "{s:s, s:i, s:s, s:s, s:I, s:o, s:O}", "format", "shannon export", "version",
        SH_EXPORT_VERSION, "id", x->id, "runtime", sh_sandbox_runtime(x->engine->config.sandbox),
        "exported_at_us", (json_int_t)sh_wall_us(), "signed", statement(x), "files", files);

    if (x->has_interpreter) {
        sh_hash_hex(&x->interpreter, hex);
        json_object_set_new(manifest, "interpreter", json_string(hex));
    }
    sh_auto(sh_free_p) char *text = sh_json_text(manifest);
    if (strlen(text) > SH_EXPORT_MANIFEST_MAX) {
        return sh_fail(&x->err, SH_E_LIMIT,
                       "the export names %zu files: their list is larger than %llu MiB",
                       json_array_size(files), SH_EXPORT_MANIFEST_MAX / SH_MIB);
    }
    sh_buf_init_sure(&b, SH_EXPORT_MANIFEST_MAX + 2 * SH_KIB);
    sh_archive_add(&b, "manifest.json", sh_str(text));
    return add_text(x, &b);
}

static int open_file(struct export *x, const char *name) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", x->engine->config.data_dir, name);
    int fd = SH_FAULT_IO(file_read) ? -1 : open(path, O_RDONLY | O_CLOEXEC);

    return fd >= 0 ? fd : sh_fail_errno(&x->err, SH_E_IO, errno, "cannot open %s", path);
}

static int add_file(struct export *x, const json_t *file) {
    const char *name = json_string_value(json_object_get(file, "name"));
    uint64_t bytes = (uint64_t)sh_json_get_int(file, "bytes", 0);
    bool ours = strcmp(name, JOURNAL_NAME) == 0;
    sh_auto(sh_close_p) int opened = ours ? -1 : open_file(x, name);
    sh_auto(sh_buf_done) struct sh_buf b = {0};
    struct sh_hash hash, want;

    if ((!ours && opened < 0) || sh_hash_parse(sh_json_get_str(file, "sha256"), &want) < 0) {
        return -x->err.code;
    }
    if (bytes > SH_ARCHIVE_FILE_MAX || x->out_bytes + bytes > SH_EXPORT_MAX - 4 * SH_KIB) {
        return sh_fail(&x->err, SH_E_LIMIT, "the export is larger than %llu MiB with %s",
                       SH_EXPORT_MAX / SH_MIB, name);
    }
    sh_buf_init_sure(&b, 2 * SH_KIB);
    sh_archive_begin(&b, name, bytes);
    if (add_text(x, &b) < 0 ||
        sh_spool_copy(ours ? x->journal : opened, 0, bytes, x->out, &hash, &x->err) < 0) {
        return -x->err.code;
    }
    if (!sh_hash_eq(&hash, &want)) {
        return sh_fail(&x->err, SH_E_CORRUPT, "%s/%s does not have the hash that is its name",
                       x->engine->config.data_dir, name);
    }
    x->out_bytes += bytes;
    sh_buf_clear(&b);
    sh_archive_pad(&b, bytes);
    return add_text(x, &b);
}

static void export_work(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);
    sh_auto(sh_json_done) json_t *files = json_array();
    sh_auto(sh_buf_done) struct sh_buf end = {0};

    if ((x->out = sh_spool_open(x->engine->config.data_dir, &x->err)) < 0 ||
        list_files(x, files) < 0 || add_manifest(x, files) < 0) {
        return;
    }
    for (size_t i = 0; i < json_array_size(files); i++) {
        if (add_file(x, json_array_get(files, i)) < 0) {
            return;
        }
    }
    sh_buf_init_sure(&end, 2 * SH_KIB);
    sh_archive_end(&end);
    add_text(x, &end);
}

static void export_done(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);

    export_end(x, x->err.code ? &x->err : NULL);
}

/* ---- the journal ---- */

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err);

static void read_page(struct export *x) {
    sh_store_read_events(x->engine->store, sh_str(x->id), x->last, x->page, page_read, x);
}

static void lines_work(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);

    if (x->journal < 0) {
        sh_hasher_init(&x->hasher);
        if ((x->journal = sh_spool_open(x->engine->config.data_dir, &x->err)) < 0) {
            return;
        }
    }
    sh_hasher_add(&x->hasher, x->lines.p, x->lines.len);
    x->journal_bytes += x->lines.len;
    if (x->journal_bytes > SH_ARCHIVE_FILE_MAX) {
        sh_fail(&x->err, SH_E_LIMIT, "the journal is larger than %llu MiB",
                SH_ARCHIVE_FILE_MAX / SH_MIB);
    } else {
        sh_spool_write(x->journal, x->lines.p, x->lines.len, &x->err);
    }
}

static void lines_done(struct sh_job *job) {
    struct export *x = sh_container_of(job, struct export, job);

    if (x->err.code) {
        export_end(x, &x->err);
    } else if (x->whole) {
        x->job.work = export_work;
        x->job.done = export_done;
        sh_loop_submit(x->engine->loop, SH_POOL_FILES, &x->job);
    } else {
        if (x->lines.len > 8 * PAGE_BYTES) {
            x->page = x->page > 8 ? x->page / 4 : x->page;
        } else if (x->lines.len < PAGE_BYTES && x->page < SH_JOURNAL_PAGE) {
            x->page *= 2;
        }
        read_page(x);
    }
}

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct export *x = arg;
    struct sh_err bad = {0};

    sh_buf_clear(&x->lines);
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
    x->whole = n < x->page;
    if (!err && x->lines.failed) {
        sh_fail(&bad, SH_E_NOMEM, "no memory for %zu events of the journal", n);
        err = &bad;
    } else if (!err && x->whole && !x->has_module) {
        sh_fail(&bad, SH_E_CORRUPT, "the journal of %s has no beginning", x->id);
        err = &bad;
    }
    if (err) {
        export_end(x, err);
        return;
    }
    x->job.work = lines_work;
    x->job.done = lines_done;
    sh_loop_submit(x->engine->loop, SH_POOL_FILES, &x->job);
}

static void row_found(void *arg, json_t *row, const struct sh_err *err) {
    struct export *x = arg;

    if (err) {
        export_end(x, err);
        return;
    }
    x->row = json_incref(row);
    read_page(x);
}

void sh_engine_export(struct sh_engine *e, struct sh_str id, bool with_interpreter,
                      sh_engine_file_fn cb, void *arg) {
    struct export *x = sh_new(struct export);

    x->engine = e;
    x->blobs = json_object();
    x->id = sh_strndup0(id.p, id.len);
    x->with_interpreter = with_interpreter;
    x->page = PAGE_FIRST;
    x->journal = x->out = -1;
    x->cb = cb;
    x->arg = arg;
    sh_buf_init(&x->lines, LINES_MAX);
    e->pins++;
    sh_journal_hold(e, x->id);
    sh_engine_get(e, id, row_found, x);
}
