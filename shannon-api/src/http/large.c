/* See large.h. The input is the larger part: it is moved within the body's memory, and the rest of
 * the body is copied. */
#include "http/large.h"

#include "http/api.h"

struct cut {
    struct sh_job job;
    struct sh_request *r;
    struct sh_err err;
    void (*then)(struct sh_request *r, const struct sh_err *err);
};

static int cut(struct sh_request *r, struct sh_err *err) {
    struct sh_str value = {NULL, 0};
    sh_auto(sh_buf_done) struct sh_buf rest = {0};

    sh_buf_init(&rest, SH_HTTP_BODY_MAX);
    int rc = sh_json_cut(sh_buf_str(&r->body), "input", SH_INPUT_MAX, &value, &rest, err);
    if (rc < 0 || !value.p) {
        return rc;
    }
    sh_buf_drop(&r->body, (size_t)(value.p - r->body.p));
    r->body.len = value.len;
    r->body.p[value.len] = '\0';
    r->input_text = r->body;
    r->body = rest;
    rest = (struct sh_buf){0};
    return 0;
}

static void cut_work(struct sh_job *job) {
    struct cut *c = sh_container_of(job, struct cut, job);

    sh_sha256(c->r->body.p, c->r->body.len, &c->r->digest);
    (void)cut(c->r, &c->err);
}

static void cut_done(struct sh_job *job) {
    struct cut *c = sh_container_of(job, struct cut, job);

    c->r->api->cutting--;
    if (c->r->api->stopping) {
        sh_fail(&c->err, SH_E_UNAVAILABLE, "the server is stopping; try again when it runs");
    }
    c->then(c->r, c->err.code ? &c->err : NULL);
    sh_free(c);
}

void sh_request_cut(struct sh_request *r,
                    void (*then)(struct sh_request *r, const struct sh_err *err)) {
    if (r->body.len <= SH_INPUT_MAX) {
        sh_sha256(r->body.p, r->body.len, &r->digest);
        then(r, NULL);
        return;
    }
    struct cut *c = sh_new(struct cut);

    r->api->cutting++;
    c->r = r;
    c->then = then;
    c->job.work = cut_work;
    c->job.done = cut_done;
    sh_loop_submit(r->api->app->loop, SH_POOL_COMPUTE, &c->job);
}
