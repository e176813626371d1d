/* The calls: each makes the engine's call on its thread and gives the answer as text. */
#include "library/library.h"

#include <stdio.h>

/* What a call was given; which members are used is its own matter. */
struct args {
    const char *id, *name, *other, *reason;
    const json_t *json;
    struct sh_str bytes;
    struct sh_buf *input_text; /* of a submission, cut out of it; or NULL */
    struct sh_hash digest;     /* then: of the whole */
    uint64_t after, wait_ms;
    size_t offset, limit;
    bool allow;
    void (*control)(struct sh_engine *, struct sh_str, const char *, const char *,
                    sh_engine_json_fn, void *);
};

/* Run it and give its answer as text; ret may be NULL. */
static int answer(struct durable *d, void (*start)(struct durable_call *), const struct args *in,
                  char **ret, struct durable_error *error) {
    struct durable_call c = {.start = start, .in = in};
    int r = durable_call_run(d, &c, error);

    if (r == 0 && ret) {
        *ret = sh_json_text(c.value);
    }
    json_decref(c.value);
    return r;
}

static int parse(const char *text, const char *what, json_t **ret, struct durable_error *error) {
    struct sh_err err = {0}, why = {0};

    if (text && sh_json_parse(sh_str(text), SH_INPUT_MAX * 2, ret, &why) < 0) {
        sh_fail(&err, why.code, "%s: %s", what, why.message);
        return durable_error_set(error, &err);
    }
    return 0;
}

static void start_module(struct durable_call *c) {
    const struct args *in = c->in;

    /* a copy of this thread: counts of references are nobody's but one thread's */
    sh_auto(sh_json_done) json_t *manifest = json_deep_copy(in->json);
    sh_engine_module_add(c->d->engine, in->bytes, in->name, manifest, durable_call_json, c);
}

int durable_module(struct durable *d, const char *name, const void *bytes, size_t n,
                   const char *manifest, char **ret, struct durable_error *error) {
    sh_auto(sh_json_done) json_t *doc = NULL;

    if (parse(manifest, "manifest", &doc, error) < 0) {
        return -1;
    }
    return answer(d, start_module,
                  &(struct args){.name = name, .bytes = sh_strn(bytes, n), .json = doc}, ret,
                  error);
}

static void submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    durable_call_end(arg, row, err);
}

static int read_args(const json_t *task, const char **list, size_t max, struct sh_err *err) {
    json_t *args = json_object_get(task, "args"), *item;
    size_t i;

    if (args && (!json_is_array(args) || json_array_size(args) >= max)) {
        return sh_fail(err, SH_E_INVAL, "args: expected a list of fewer than %zu texts", max);
    }
    json_array_foreach(args, i, item) {
        if (!json_is_string(item)) {
            return sh_fail(err, SH_E_INVAL, "args[%zu]: expected text", i);
        }
        list[i] = json_string_value(item);
    }
    return 0;
}

static void start_submit(struct durable_call *c) {
    static const char *const known[] = {"agent",   "query",           "input",
                                        "session", "capabilities",    "metadata",
                                        "args",    "idempotency_key", NULL};
    const struct args *in = c->in;
    sh_auto(sh_json_done) json_t *task = json_deep_copy(in->json);
    const char *list[257] = {0};
    struct sh_err err = {0};

    if (!json_is_object(task)) {
        sh_fail(&err, SH_E_INVAL, "the task: expected an object {\"agent\", \"query\", ...}");
    } else if (sh_json_only(task, known, "the task", &err) == 0) {
        read_args(task, list, 256, &err);
    }
    if (err.code) {
        durable_call_end(c, NULL, &err);
        return;
    }
    sh_auto(sh_free_p) char *text = sh_json_text(task);
    struct sh_submit s = {
        .agent = sh_json_get_str(task, "agent"),
        .query = sh_json_get_str(task, "query"),
        .input = json_object_get(task, "input"),
        .session = sh_json_get_str(task, "session"),
        .capabilities = json_object_get(task, "capabilities"),
        .metadata = json_object_get(task, "metadata"),
        .args = list[0] ? list : NULL,
        .idempotency_key = sh_json_get_str(task, "idempotency_key"),
    };
    if (in->input_text) {
        s.input = NULL;
        s.input_text = in->input_text;
        s.idempotency_digest = in->digest;
    } else {
        sh_sha256(text, strlen(text), &s.idempotency_digest);
    }
    sh_engine_submit(c->d->engine, &s, submitted, c);
}

/* An input that is too large to become values is cut out of the task, here: in the caller's thread.
 */
static int cut_input(const char *task, struct sh_buf *rest, struct sh_buf *ret,
                     struct durable_error *error) {
    struct sh_err err = {0}, why = {0};
    struct sh_str value;

    if (sh_json_cut(sh_str(task), "input", SH_INPUT_MAX, &value, rest, &why) < 0) {
        sh_fail(&err, why.code, "the task: %s", why.message);
        return durable_error_set(error, &err);
    }
    sh_buf_init(ret, SIZE_MAX);
    sh_buf_add(ret, value.p, value.len);
    if (ret->failed) {
        sh_fail(&err, SH_E_NOMEM, "no memory for an input of %zu bytes", value.len);
        return durable_error_set(error, &err);
    }
    return 0;
}

int durable_submit(struct durable *d, const char *task, char **ret_id,
                   struct durable_error *error) {
    sh_auto(sh_json_done) json_t *doc = NULL;
    sh_auto(sh_buf_done) struct sh_buf rest = {0}, input = {0};
    struct args in = {0};

    sh_buf_init(&rest, SH_HTTP_BODY_MAX);
    sh_buf_init(&input, 1);
    if (task && strlen(task) > SH_INPUT_MAX) {
        if (cut_input(task, &rest, &input, error) < 0) {
            return -1;
        }
        in.input_text = input.len > 0 ? &input : NULL;
        sh_sha256(task, strlen(task), &in.digest);
    }
    if (parse(rest.len > 0 ? rest.p : task ? task : "", "the task", &doc, error) < 0) {
        return -1;
    }
    in.json = doc;
    struct durable_call c = {.start = start_submit, .in = &in};
    int r = durable_call_run(d, &c, error);
    if (r == 0 && ret_id) {
        const char *id = json_string_value(json_object_get(c.value, "id"));
        *ret_id = sh_strdup(id ? id : "");
    }
    json_decref(c.value);
    return r;
}

static void start_get(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_get(c->d->engine, sh_str(in->id), durable_call_json, c);
}

int durable_get(struct durable *d, const char *id, char **ret, struct durable_error *error) {
    return answer(d, start_get, &(struct args){.id = id}, ret, error);
}

static void start_events(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_events(c->d->engine, sh_str(in->id), in->after, in->limit, durable_call_json, c);
}

int durable_events(struct durable *d, const char *id, uint64_t after, size_t limit, char **ret,
                   struct durable_error *error) {
    return answer(d, start_events, &(struct args){.id = id, .after = after, .limit = limit}, ret,
                  error);
}

static void start_signal(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_signal(c->d->engine, sh_str(in->id), sh_str(in->name), in->json, durable_call_json,
                     c);
}

int durable_signal(struct durable *d, const char *id, const char *name, const char *payload,
                   struct durable_error *error) {
    sh_auto(sh_json_done) json_t *doc = NULL;

    if (parse(payload, "payload", &doc, error) < 0) {
        return -1;
    }
    return answer(d, start_signal, &(struct args){.id = id, .name = name, .json = doc}, NULL,
                  error);
}

static void start_update(struct durable_call *c) {
    const struct args *in = c->in;
    struct sh_update u = {.name = sh_str(in->name),
                          .id = sh_str(in->other ? in->other : ""),
                          .payload = in->json,
                          .wait_ms = in->wait_ms};

    sh_engine_update(c->d->engine, sh_str(in->id), &u, durable_call_json, c);
}

int durable_update(struct durable *d, const char *id, const char *name, const char *update,
                   const char *payload, uint64_t wait_ms, char **ret, struct durable_error *error) {
    sh_auto(sh_json_done) json_t *doc = NULL;

    if (parse(payload, "payload", &doc, error) < 0) {
        return -1;
    }
    return answer(
        d, start_update,
        &(struct args){.id = id, .name = name, .other = update, .json = doc, .wait_ms = wait_ms},
        ret, error);
}

static void start_query(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_query(c->d->engine, sh_str(in->id), sh_str(in->name), durable_call_json, c);
}

int durable_query(struct durable *d, const char *id, const char *name, char **ret,
                  struct durable_error *error) {
    return answer(d, start_query, &(struct args){.id = id, .name = name}, ret, error);
}

static void start_control(struct durable_call *c) {
    const struct args *in = c->in;

    in->control(c->d->engine, sh_str(in->id), "library", in->reason ? in->reason : "",
                durable_call_json, c);
}

int durable_cancel(struct durable *d, const char *id, const char *reason,
                   struct durable_error *error) {
    return answer(d, start_control,
                  &(struct args){.id = id, .reason = reason, .control = sh_engine_cancel}, NULL,
                  error);
}

int durable_pause(struct durable *d, const char *id, const char *reason,
                  struct durable_error *error) {
    return answer(d, start_control,
                  &(struct args){.id = id, .reason = reason, .control = sh_engine_pause}, NULL,
                  error);
}

int durable_resume(struct durable *d, const char *id, const char *reason,
                   struct durable_error *error) {
    return answer(d, start_control,
                  &(struct args){.id = id, .reason = reason, .control = sh_engine_resume}, NULL,
                  error);
}

static void start_approvals(struct durable_call *c) {
    sh_engine_approvals(c->d->engine, durable_call_json, c);
}

int durable_approvals(struct durable *d, char **ret, struct durable_error *error) {
    return answer(d, start_approvals, NULL, ret, error);
}

static void start_decide(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_decide(c->d->engine, sh_str(in->id), sh_str(in->name), in->allow,
                     in->other ? in->other : "once", "library", in->reason ? in->reason : "",
                     durable_call_json, c);
}

int durable_decide(struct durable *d, const char *id, const char *approval, bool allow,
                   const char *scope, const char *reason, struct durable_error *error) {
    return answer(d, start_decide,
                  &(struct args){
                      .id = id, .name = approval, .other = scope, .reason = reason, .allow = allow},
                  NULL, error);
}

static void start_verify(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_verify(c->d->engine, sh_str(in->id), durable_call_json, c);
}

int durable_verify(struct durable *d, const char *id, char **ret, struct durable_error *error) {
    return answer(d, start_verify, &(struct args){.id = id}, ret, error);
}

static void start_memory(struct durable_call *c) {
    const struct args *in = c->in;

    sh_engine_kv_list(c->d->engine, sh_str(in->id), sh_str(in->name ? in->name : ""), in->offset,
                      in->limit, durable_call_json, c);
}

int durable_memory(struct durable *d, const char *session, const char *prefix, size_t offset,
                   size_t limit, char **ret, struct durable_error *error) {
    size_t most = limit == 0 || limit > 1000 ? 1000 : limit;

    return answer(d, start_memory,
                  &(struct args){.id = session, .name = prefix, .offset = offset, .limit = most},
                  ret, error);
}
