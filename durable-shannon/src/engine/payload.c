/* See payload.h. */
#include "engine/payload.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "engine/private.h"

json_t *sh_payload_json(const struct sh_payload *p) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(&p->hash, hex);
    return json_pack("{s:s, s:I}", "blob", hex, "bytes", (json_int_t)p->bytes);
}

bool sh_payload_parse(const json_t *ref, struct sh_payload *ret) {
    int64_t bytes = sh_json_get_int(ref, "bytes", 0);

    if (bytes < 1 || bytes > (int64_t)SH_PAYLOAD_MAX ||
        sh_hash_parse(sh_json_get_str(ref, "blob"), &ret->hash) < 0) {
        return false;
    }
    ret->bytes = (uint64_t)bytes;
    return true;
}

void sh_payload_names(const json_t *body, json_t *set) {
    static const char *const members[] = {SH_INPUT_KEPT, SH_OUTPUT_KEPT};
    char hex[SH_HASH_HEX_BYTES];
    struct sh_payload p;

    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        if (sh_payload_parse(json_object_get(body, members[i]), &p)) {
            sh_hash_hex(&p.hash, hex);
            json_object_set_new(set, hex, json_false());
        }
    }
}

void sh_payload_named(struct sh_workflow *wf, const struct sh_payload *p) {
    char hex[SH_HASH_HEX_BYTES];

    if (p->bytes > 0) {
        sh_hash_hex(&p->hash, hex);
        sh_auto(sh_json_done) json_t *set = json_pack("{s:b}", hex, 1);
        sh_blobs_named(wf, set, INT64_MAX);
    }
}

/* ---- held: {hash: how many hold it} ---- */

static void hold(struct sh_engine *e, const char *hex) {
    if (!e->blobs.held) {
        e->blobs.held = json_object();
    }
    json_object_set_new(e->blobs.held, hex,
                        json_integer(sh_json_get_int(e->blobs.held, hex, 0) + 1));
}

/* A sweep looks at it: what nobody named goes, what is named loses its note. */
void sh_payload_release(struct sh_engine *e, const struct sh_payload *p) {
    char hex[SH_HASH_HEX_BYTES];
    int64_t n;

    if (p->bytes == 0) {
        return;
    }
    sh_hash_hex(&p->hash, hex);
    n = sh_json_get_int(e->blobs.held, hex, 0);
    SH_ASSERT(n > 0);
    if (n > 1) {
        json_object_set_new(e->blobs.held, hex, json_integer(n - 1));
        return;
    }
    json_object_del(e->blobs.held, hex);
    if (!e->stopping) {
        sh_blobs_sweep(e, NULL, NULL);
    }
}

bool sh_payload_is_held(const struct sh_engine *e, const char *hex) {
    return json_object_get(e->blobs.held, hex) != NULL;
}

/* ---- keeping ---- */

struct keeping {
    struct sh_job job;
    struct sh_engine *engine;
    struct sh_buf text;
    enum sh_payload_how how;
    bool held;
    struct sh_payload kept;
    struct sh_err err;
    sh_payload_fn cb;
    void *arg;
};

static void keeping_end(struct keeping *k) {
    struct sh_engine *e = k->engine;
    bool failed = k->err.code != 0;

    if (failed && k->held) {
        sh_payload_release(e, &k->kept);
    }
    k->cb(k->arg, failed ? NULL : &k->kept, failed ? &k->err : NULL);
    sh_buf_done(&k->text);
    sh_free(k);
    sh_engine_unpin(e);
}

static int blob_write(const char *folder, const struct sh_hash *hash, struct sh_str text,
                      struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(hash, hex);
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", folder);
    }
    return sh_file_write_durable(path, text, 0400, err);
}

static void write_work(struct sh_job *job) {
    struct keeping *k = sh_container_of(job, struct keeping, job);
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", k->engine->config.data_dir);

    SH_CRASH_POINT(payload_noted);
    (void)blob_write(folder, &k->kept.hash, sh_buf_str(&k->text), &k->err);
    sh_buf_done(&k->text); /* not wanted while the commit is on its way */
    SH_CRASH_POINT(payload_written);
}

static void write_done(struct sh_job *job) {
    keeping_end(sh_container_of(job, struct keeping, job));
}

static void noted(void *arg, const struct sh_err *err) {
    struct keeping *k = arg;

    if (err) {
        k->err = *err;
        keeping_end(k);
        return;
    }
    k->job.work = write_work;
    k->job.done = write_done;
    sh_loop_submit(k->engine->loop, SH_POOL_FILES, &k->job);
}

static int as_string(struct sh_buf *text, struct sh_err *err) {
    struct sh_buf string;

    sh_buf_init(&string, SH_PAYLOAD_MAX + 1);
    sh_json_escape(&string, sh_buf_str(text));
    if (string.failed) {
        size_t n = text->len;
        sh_buf_done(&string);
        return sh_fail(err, SH_E_OUTPUT,
                       "the result of %zu bytes is no JSON, and as a JSON string it has more than "
                       "%llu bytes",
                       n, SH_PAYLOAD_MAX);
    }
    sh_buf_done(text);
    *text = string;
    return 0;
}

static void check_work(struct sh_job *job) {
    struct keeping *k = sh_container_of(job, struct keeping, job);

    if (sh_json_check(sh_buf_str(&k->text), &k->err) < 0 && k->how != SH_PAYLOAD_INPUT) {
        k->err = (struct sh_err){0};
        (void)as_string(&k->text, &k->err);
    }
    if (!k->err.code) {
        sh_sha256(k->text.p, k->text.len, &k->kept.hash);
        k->kept.bytes = k->text.len;
    }
}

static void check_done(struct sh_job *job) {
    struct keeping *k = sh_container_of(job, struct keeping, job);
    char hex[SH_HASH_HEX_BYTES];

    if (k->err.code || k->how == SH_PAYLOAD_VERIFY) {
        keeping_end(k);
        return;
    }
    k->held = true;
    sh_hash_hex(&k->kept.hash, hex);
    hold(k->engine, hex);
    sh_blobs_note(k->engine, hex, noted, k);
}

void sh_payload_keep(struct sh_engine *e, struct sh_buf *text, enum sh_payload_how how,
                     sh_payload_fn cb, void *arg) {
    struct keeping *k = sh_new(struct keeping);

    *k = (struct keeping){.engine = e, .text = *text, .how = how, .cb = cb, .arg = arg};
    *text = (struct sh_buf){0};
    e->pins++;
    k->job.work = check_work;
    k->job.done = check_done;
    sh_loop_submit(e->loop, SH_POOL_FILES, &k->job);
}

int sh_payload_read(const char *folder, const struct sh_payload *p, struct sh_buf *ret,
                    struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash actual;
    int r;

    sh_hash_hex(&p->hash, hex);
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    sh_buf_init(ret, SH_PAYLOAD_MAX + 1);
    r = sh_file_read(path, SH_PAYLOAD_MAX, ret, err);
    if (r == 0) {
        sh_sha256(ret->p, ret->len, &actual);
    }
    if ((r < 0 && err->code != SH_E_NOMEM && err->code != SH_E_IO) ||
        (r == 0 && !sh_hash_eq(&actual, &p->hash))) {
        return sh_fail(err, SH_E_CORRUPT,
                       "%s is not there, or does not have the hash that is its name: put it back",
                       path);
    }
    return r;
}

int sh_engine_payload_open(const struct sh_engine *e, const json_t *ref, int *ret_fd,
                           uint64_t *ret_bytes, struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_payload p = {0};
    struct stat st;

    if (!sh_payload_parse(ref, &p)) {
        return sh_fail(err, SH_E_CORRUPT, "the task refers to a payload that cannot be one");
    }
    sh_hash_hex(&p.hash, hex);
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/blobs/%s", e->config.data_dir, hex);
    sh_auto(sh_close_p) int fd = SH_FAULT_IO(payload_open) ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0) {
        return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot open %s", path);
    }
    if ((uint64_t)st.st_size != p.bytes) {
        return sh_fail(err, SH_E_CORRUPT, "%s has %lld bytes, not the %llu that were kept", path,
                       (long long)st.st_size, (unsigned long long)p.bytes);
    }
    *ret_fd = fd;
    *ret_bytes = p.bytes;
    fd = -1;
    return 0;
}

/* ---- results ---- */

struct released {
    struct sh_engine *engine;
    struct sh_payload kept;
};

static void named(struct sh_workflow *wf, void *arg, const struct sh_err *err) {
    struct released *r = arg;

    (void)wf;
    (void)err;
    sh_payload_release(r->engine, &r->kept);
    sh_free(r);
}

/* Its name is durable before it may be let go. */
static void result_kept(struct sh_workflow *wf, const struct sh_payload *kept) {
    wf->output_kept = *kept;
    json_decref(wf->output);
    wf->output = NULL;
    if (wf->leaving) {
        sh_payload_release(wf->engine, kept);
    } else if (!wf->verify) {
        struct released *r = sh_new(struct released);
        *r = (struct released){wf->engine, *kept};
        sh_payload_named(wf, kept);
        sh_journal_commit(wf, named, r);
    }
}

static void output_done(void *arg, const struct sh_payload *kept, const struct sh_err *err) {
    struct sh_task *task = arg;
    struct sh_workflow *wf = sh_container_of(task, struct sh_workflow, task);

    if (kept) {
        result_kept(wf, kept);
    } else if (sh_end_is_the_hosts(err->code)) {
        wf->phase = SH_PHASE_HELD;
        if (wf->leaving) {
            sh_workflow_dispose(wf);
        } else if (!wf->engine->stopping) {
            sh_workflow_park(wf, err->code, err->message);
        }
        sh_workflow_unpin(wf);
        return;
    } else {
        sh_workflow_doom(wf, err->code, err->message);
    }
    sh_workflow_stepped(task);
}

/* Older versions had up to SH_ACTIVITY_RESULT_MAX bytes in the event: so has a replay of theirs. */
static bool was_a_value(const struct sh_workflow *wf, const struct sh_buf *text) {
    return text->len <= SH_ACTIVITY_RESULT_MAX && json_object_get(wf->history.final, "output");
}

bool sh_output_keep(struct sh_task *task) {
    struct sh_workflow *wf = sh_container_of(task, struct sh_workflow, task);
    struct sh_buf *text = wf->leaving ? NULL : sh_agent_result(wf->agent);

    if (text && was_a_value(wf, text)) {
        json_decref(wf->output);
        wf->output = sh_guest_json(sh_buf_str(text));
        sh_buf_done(text);
        return false;
    }
    if (text) {
        sh_payload_keep(wf->engine, text, wf->verify ? SH_PAYLOAD_VERIFY : SH_PAYLOAD_RESULT,
                        output_done, task);
    }
    return text != NULL;
}

/* ---- the operation input ---- */

void sh_input_run(struct sh_activity *a) {
    const struct sh_spec *spec = &a->wf->spec;
    struct sh_err err = {0};

    if (spec->input) {
        sh_activity_succeed(a, json_incref(spec->input));
        return;
    }
    sh_fail(&err, SH_E_LIMIT,
            "the input has %llu bytes, too many for a line: read it from /dev/input",
            (unsigned long long)spec->input_kept.bytes);
    sh_activity_fail(a, &err, false, 0);
}
