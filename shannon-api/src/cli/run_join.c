/* Up to four requests are under way at once: `presence`, by which the owner knows that we are here
 * and we that it is; `reading`, which waits for the next events of the journal; `giving`, a chunk
 * of standard input; and `canceling`. Reading page by page is what makes a slow terminal slow the
 * reading, not fill the owner's memory. */
#include "cli/run_join.h"

#include "cli/run_stdin.h"

#define PAGE_EVENTS 32
#define WAIT_S 20
#define ANSWER_MAX SH_MIB
#define GIVE_AGAIN_NS 50000000ULL

struct sh_join {
    struct sh_client *client;
    struct sh_run_view *view;
    struct sh_http *presence, *reading, *giving, *canceling;
    struct sh_buf head; /* of the answer to presence, until row is in it */
    json_t *row;
    const char *id; /* in row */
    bool answered, gone;
    uint64_t after, page;
    struct sh_run_stdin in;
    char *chunk; /* the body of giving, until it is taken */
    struct sh_timer again;
    bool full; /* it takes no more */
    struct sh_err err;
};

static void stop(struct sh_join *j) {
    sh_loop_stop(j->client->app.loop);
}

typedef void (*done_fn)(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                        const struct sh_err *err);

static int ask(struct sh_join *j, const char *method, const char *path, struct sh_str body,
               done_fn done, struct sh_http **slot, struct sh_err *err) {
    sh_auto(sh_free_p) char *url = sh_asprintf("http://localhost%s", path);
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct sh_http_request request = {
        .method = method,
        .url = url,
        .headers = headers,
        .body = body,
        .max_response_bytes = SH_JSON_TEXT_MAX,
        .connect_timeout_ms = 5000,
        .unix_socket = j->client->app.dir.sock,
        .done = done,
        .arg = j,
    };
    return sh_http_start(j->client->app.loop, &request, slot, err);
}

static int owner_gone(const struct sh_join *j, struct sh_err *err) {
    return sh_fail(
        err, SH_E_UNAVAILABLE,
        "process %ld, which owned the data directory, has left; the task %s goes on when "
        "it is served again: shannon serve --data-dir %s",
        j->client->owner, j->id ? j->id : "", j->client->app.dir.path);
}

/* --- presence --------------------------------------------------------------------------------- */

/* The first event of the stream is all that is read of it. */
static void presence_data(void *arg, struct sh_str bytes) {
    struct sh_join *j = arg;
    if (j->row) {
        return;
    }
    sh_buf_add(&j->head, bytes.p, bytes.len);
    sh_buf_addc(&j->head, 0);
    j->head.len -= !j->head.failed;
    const char *data = j->head.failed ? NULL : strstr(j->head.p, "data: ");
    const char *end = data ? strstr(data, "\n\n") : NULL;
    struct sh_err err = {0};
    data = data ? data + strlen("data: ") : NULL;
    if (end && sh_json_parse(sh_strn(data, (size_t)(end - data)), ANSWER_MAX, &j->row, &err) == 0) {
        j->id = json_string_value(json_object_get(j->row, "task_id"));
        j->answered = true;
        stop(j);
    }
}

static void presence_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                          const struct sh_err *err) {
    struct sh_join *j = arg;
    sh_auto(sh_json_done) json_t *value = NULL;
    (void)body;
    (void)retry_after_ms;
    j->presence = NULL;
    j->gone = true;
    if (j->row) {
        stop(j);
        return;
    }
    if (status >= 400) {
        sh_json_parse(sh_buf_str(&j->head), ANSWER_MAX, &value, NULL);
        sh_client_error(status, value, &j->err);
    } else {
        sh_fail(&j->err, SH_E_UNAVAILABLE, "process %ld, which owns the data directory, left: %s",
                j->client->owner, err ? err->message : "it did not answer");
    }
    j->answered = true;
    stop(j);
}

/* The body as text, and an input that stays text as its member. */
static void body_text(const json_t *body, const struct sh_buf *input_text, struct sh_buf *ret) {
    sh_buf_init(ret, SH_HTTP_SUBMIT_BODY_MAX + 1);
    sh_json_dump(body, ret);
    if (input_text->len > 0 && !ret->failed) {
        SH_ASSERT(ret->len > 2); /* it has other members */
        ret->len--;
        sh_buf_adds(ret, ",\"input\":");
        sh_buf_add(ret, input_text->p, input_text->len);
        sh_buf_addc(ret, '}');
    }
}

int sh_join_start(struct sh_client *c, const json_t *body, const struct sh_buf *input_text,
                  struct sh_run_view *view, struct sh_join **ret, struct sh_err *err) {
    struct sh_join *j = sh_new(struct sh_join);
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    body_text(body, input_text, &text);
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    struct sh_http_request request = {
        .method = "POST",
        .url = "http://localhost/api/v1/run",
        .headers = headers,
        .body = sh_buf_str(&text),
        .max_response_bytes = SIZE_MAX,
        .connect_timeout_ms = 5000,
        .unix_socket = c->app.dir.sock,
        .on_data = presence_data,
        .done = presence_done,
        .arg = j,
    };
    j->client = c;
    j->view = view;
    j->page = PAGE_EVENTS;
    sh_buf_init(&j->head, ANSWER_MAX);
    int rc = text.failed ? sh_fail(err, SH_E_LIMIT, "the task is larger than %llu bytes",
                                   SH_HTTP_SUBMIT_BODY_MAX)
                         : sh_http_start(c->app.loop, &request, &j->presence, err);
    while (rc == 0 && !j->answered) {
        sh_loop_run(c->app.loop);
    }
    if (rc == 0 && j->err.code) {
        *err = j->err;
        rc = -err->code;
    }
    if (rc < 0) {
        sh_join_free(j);
        return rc;
    }
    *ret = j;
    return 0;
}

const json_t *sh_join_row(const struct sh_join *j) {
    return j->row;
}

/* --- what comes out --------------------------------------------------------------------------- */

static void read_on(struct sh_join *j);

static void fail(struct sh_join *j, const struct sh_err *err) {
    if (!j->err.code) {
        j->err = *err;
    }
    stop(j);
}

/* The page was larger than we take at once, or compacted away since: read otherwise. */
static bool read_otherwise(struct sh_join *j, const struct sh_err *err) {
    if (err->code == SH_E_LIMIT && j->page > 1) {
        j->page = 1;
        return true;
    }
    if (err->code == SH_E_GONE && j->after > 0) {
        j->after = 0; /* output is told by offset, never twice */
        return true;
    }
    return false;
}

static void page_read(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                      const struct sh_err *err) {
    struct sh_join *j = arg;
    sh_auto(sh_json_done) json_t *page = NULL;
    struct sh_err bad = {0};
    size_t i;
    json_t *event;
    (void)retry_after_ms;
    j->reading = NULL;
    if (err && err->code != SH_E_LIMIT) {
        owner_gone(j, &bad);
        fail(j, &bad);
        return;
    }
    if (err) {
        bad = *err;
    } else if (sh_json_parse(body, SH_JSON_TEXT_MAX, &page, &bad) == 0 && status >= 400) {
        sh_client_error(status, page, &bad);
    }
    if (bad.code) {
        if (read_otherwise(j, &bad)) {
            read_on(j);
        } else {
            fail(j, &bad);
        }
        return;
    }
    json_array_foreach(json_object_get(page, "events"), i, event) {
        if (!j->view->ended) {
            j->after = (uint64_t)sh_json_get_int(event, "seq", 0);
            sh_run_view_event(j->view, j->after, sh_json_get_int(event, "time_us", 0),
                              sh_json_get_str(event, "type"), json_object_get(event, "body"));
        }
    }
    if (j->view->ended) {
        stop(j);
    } else {
        read_on(j);
    }
}

static void read_on(struct sh_join *j) {
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *path =
        sh_asprintf("/api/v1/tasks/%s/journal?after=%llu&limit=%llu&wait=%d", j->id,
                    (unsigned long long)j->after, (unsigned long long)j->page, WAIT_S);
    if (ask(j, "GET", path, (struct sh_str){0}, page_read, &j->reading, &err) < 0) {
        fail(j, &err);
    }
}

/* --- what goes in ----------------------------------------------------------------------------- */

static void give_on(struct sh_join *j);

static void give_again(struct sh_timer *t) {
    give_on(sh_container_of(t, struct sh_join, again));
}

/* Full for the moment, or the task is not in memory yet: the same bytes once more. */
static void given(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                  const struct sh_err *err) {
    struct sh_join *j = arg;
    sh_auto(sh_json_done) json_t *value = NULL;
    struct sh_err why = {0};
    (void)retry_after_ms;
    j->giving = NULL;
    if (!err && status >= 400) {
        sh_json_parse(body, ANSWER_MAX, &value, NULL);
        sh_client_error(status, value, &why);
    }
    if (why.code == SH_E_LIMIT || why.code == SH_E_NOT_FOUND) {
        sh_timer_start(j->client->app.loop, &j->again, GIVE_AGAIN_NS, give_again);
        return;
    }
    j->full = err || why.code;
    j->chunk = sh_free(j->chunk);
}

static void give_on(struct sh_join *j) {
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s/stdin", j->id);
    if (ask(j, "POST", path, sh_str(j->chunk), given, &j->giving, &err) < 0) {
        j->full = true;
        j->chunk = sh_free(j->chunk);
    }
}

static int give(void *arg, struct sh_str bytes, bool eof) {
    struct sh_join *j = arg;
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    if (j->chunk || j->full) {
        return j->full ? -SH_E_STATE : -SH_E_LIMIT;
    }
    sh_buf_init(&text, SH_MIB);
    sh_base64_encode(&text, bytes.p, bytes.len);
    json_t *body = json_pack("{s:s%, s:b}", "base64", text.p ? text.p : "", text.len, "eof", eof);
    j->chunk = sh_json_text(body);
    json_decref(body);
    give_on(j);
    return 0;
}

/* --- steering --------------------------------------------------------------------------------- */

static void canceled(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                     const struct sh_err *err) {
    struct sh_join *j = arg;
    (void)status; /* it has ended by itself, then */
    (void)body;
    (void)retry_after_ms;
    (void)err;
    j->canceling = NULL;
}

void sh_join_cancel(struct sh_join *j, const char *reason) {
    sh_auto(sh_json_done) json_t *body = json_pack("{s:s}", "reason", reason);
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s/cancel", j->id);
    if (!j->canceling) {
        ask(j, "POST", path, sh_str(text), canceled, &j->canceling, NULL);
    }
}

int sh_join_follow(struct sh_join *j, bool takes_stdin, struct sh_err *err) {
    read_on(j);
    if (takes_stdin) {
        sh_run_stdin_start(&j->in, j->client->app.loop, give, j);
    }
    while (!j->view->ended && !j->err.code && !j->gone) {
        sh_loop_run(j->client->app.loop);
    }
    if (j->view->ended) {
        return 0;
    }
    if (!j->err.code) {
        owner_gone(j, &j->err);
    }
    *err = j->err;
    return -err->code;
}

struct sh_join *sh_join_free(struct sh_join *j) {
    struct sh_http **const slots[] = {&j->presence, &j->reading, &j->giving, &j->canceling};
    sh_run_stdin_stop(&j->in);
    sh_timer_stop(&j->again);
    for (size_t i = 0; i < SH_N(slots); i++) {
        if (*slots[i]) {
            sh_http_cancel(*slots[i]);
        }
    }
    sh_buf_done(&j->head);
    json_decref(j->row);
    sh_free(j->chunk);
    return sh_free(j);
}
