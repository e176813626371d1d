/* Sessions as the clients see them. What a session adds up to is read from the rows of its tasks,
 * page by page, newest first; one walk at a time for each request. */
#include "http/api.h"
#include "http/session_view.h"
#include "http/submit_body.h"

#include <ctype.h>

#define ROWS_AT_ONCE 100
#define TITLE_CHARS_MAX 60
#define HISTORY_MAX 1000
#define HISTORY_BYTES_MAX (SH_JSON_TEXT_MAX / 2)

struct walk {
    struct sh_request *r;
    json_t *records;           /* of the sessions to walk */
    size_t at, read, limit;    /* record, rows of it so far, rows at most */
    struct sh_session_sum sum; /* of the session under way */
    json_t *views;             /* finished sessions, or history items */
    size_t total, bytes;       /* of the list; of the history's texts */
    void (*row)(struct walk *w, const json_t *row);
    void (*next)(struct walk *w); /* all rows of this session were seen */
};

static struct walk *walk_new(struct sh_request *r, json_t *records) {
    struct walk *w = sh_new(struct walk);
    w->r = r;
    w->records = json_incref(records);
    w->views = json_array();
    w->limit = SIZE_MAX;
    return w;
}

/* `reply` is taken; with an error it is not looked at. */
static void walk_end(struct walk *w, json_t *reply, const struct sh_err *err) {
    struct sh_request *r = w->r;
    json_decref(w->records);
    json_decref(w->views);
    sh_session_sum_done(&w->sum);
    sh_free(w);
    if (err) {
        json_decref(reply);
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, reply);
    }
}

static void walk_rows(void *arg, json_t *value, const struct sh_err *err);

static void walk_on(struct walk *w) {
    json_t *record = json_array_get(w->records, w->at);
    size_t left = w->limit - w->read;
    sh_engine_list(w->r->api->app->engine, NULL,
                   json_string_value(json_object_get(record, "session")), w->read,
                   left < ROWS_AT_ONCE ? left : ROWS_AT_ONCE, walk_rows, w);
}

static void walk_rows(void *arg, json_t *value, const struct sh_err *err) {
    struct walk *w = arg;
    struct sh_err large = {0};
    if (err) {
        walk_end(w, NULL, err);
        return;
    }
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(value, "tasks"), i, row) {
        w->row(w, row);
    }
    w->read += i;
    w->sum.task_count = (size_t)sh_json_get_int(value, "total", 0);
    if (w->bytes > HISTORY_BYTES_MAX) {
        sh_fail(&large, SH_E_LIMIT,
                "the answers of this session are more than fits one reply; ask for fewer with "
                "limit and offset");
        walk_end(w, NULL, &large);
    } else if (i > 0 && w->read < w->sum.task_count && w->read < w->limit) {
        walk_on(w);
    } else {
        w->next(w);
    }
}

/* --- one, and all ----------------------------------------------------------------------------- */

static void sum_row(struct walk *w, const json_t *row) {
    sh_session_sum_add(&w->sum, row);
}

static json_t *summed(struct walk *w) {
    json_t *view = sh_session_json(json_array_get(w->records, w->at), &w->sum);
    sh_session_sum_done(&w->sum);
    return view;
}

static void list_next(struct walk *w) {
    json_array_append_new(w->views, summed(w));
    w->at++;
    w->read = 0;
    if (w->at < json_array_size(w->records)) {
        walk_on(w);
    } else {
        walk_end(w,
                 json_pack("{s:O, s:I}", "sessions", w->views, "total_count", (json_int_t)w->total),
                 NULL);
    }
}

static void listed(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    json_t *sessions = json_object_get(value, "sessions");
    if (err) {
        sh_reply_error(r, err);
    } else if (json_array_size(sessions) == 0) {
        sh_reply_json(r, 200,
                      json_pack("{s:[], s:I}", "sessions", "total_count",
                                (json_int_t)sh_json_get_int(value, "total", 0)));
    } else {
        struct walk *w = walk_new(r, sessions);
        w->total = (size_t)sh_json_get_int(value, "total", 0);
        w->row = sum_row;
        w->next = list_next;
        walk_on(w);
    }
}

void sh_handle_session_list(struct sh_request *r) {
    struct sh_err err = {0};
    uint64_t limit = 0, offset = 0;
    if (sh_request_number(r, "limit", 20, 1, 100, &limit, &err) < 0 ||
        sh_request_number(r, "offset", 0, 0, INT32_MAX, &offset, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_session_list(r->api->app->engine, (size_t)offset, (size_t)limit, listed, r);
}

static void one_done(struct walk *w) {
    walk_end(w, summed(w), NULL);
}

/* The session's record as the answer, with what its tasks add up to. */
static void found(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_auto(sh_json_done) json_t *records = json_pack("[O]", record);
    struct walk *w = walk_new(r, records);
    w->row = sum_row;
    w->next = one_done;
    walk_on(w);
}

void sh_handle_session_get(struct sh_request *r) {
    sh_engine_session_get(r->api->app->engine, sh_str(r->id), found, r);
}

/* --- history ---------------------------------------------------------------------------------- */

/* Rows come newest first; a conversation reads the other way. */
static void history_row(struct walk *w, const json_t *row) {
    json_t *item = sh_session_task_json(row);
    w->bytes += sh_json_get_str(item, "result").len + sh_json_get_str(item, "query").len;
    if (w->bytes <= HISTORY_BYTES_MAX) {
        json_array_insert_new(w->views, 0, item);
    } else {
        json_decref(item);
    }
}

static void history_done(struct walk *w) {
    walk_end(w,
             json_pack("{s:s, s:O, s:I}", "session_id", w->r->id, "tasks", w->views, "total",
                       (json_int_t)w->sum.task_count),
             NULL);
}

static void history_found(void *arg, json_t *record, const struct sh_err *err) {
    struct sh_request *r = arg;
    struct sh_err wrong = {0};
    uint64_t limit = 0, offset = 0;
    if (!err && (sh_request_number(r, "limit", HISTORY_MAX, 1, HISTORY_MAX, &limit, &wrong) < 0 ||
                 sh_request_number(r, "offset", 0, 0, INT32_MAX, &offset, &wrong) < 0)) {
        err = &wrong;
    }
    if (err) {
        sh_reply_error(r, err);
        return;
    }
    sh_auto(sh_json_done) json_t *records = json_pack("[O]", record);
    struct walk *w = walk_new(r, records);
    w->read = (size_t)offset;
    w->limit = (size_t)(offset + limit);
    w->row = history_row;
    w->next = history_done;
    walk_on(w);
}

void sh_handle_session_history(struct sh_request *r) {
    sh_engine_session_get(r->api->app->engine, sh_str(r->id), history_found, r);
}

/* --- changes ---------------------------------------------------------------------------------- */

static int read_title(const struct sh_request *r, json_t **ret_body, const char **ret,
                      struct sh_err *err) {
    static const char *const known[] = {"title", NULL};
    int rc = sh_request_json(r, false, ret_body, err);
    rc = rc < 0 ? rc : sh_json_only(*ret_body, known, "the body", err);
    if (rc < 0) {
        return rc;
    }
    json_t *title = json_object_get(*ret_body, "title");
    const char *text = json_string_value(title);
    size_t chars = sh_utf8_count(sh_str(text)), blank = 0;
    while (text && isspace((unsigned char)text[blank])) {
        blank++;
    }
    if (!text || !text[blank] || chars > TITLE_CHARS_MAX) {
        return sh_fail(err, SH_E_INVAL, "title must be a text of 1 to %d characters, not %s",
                       TITLE_CHARS_MAX,
                       !title                    ? "absent"
                       : !text                   ? "another type"
                       : chars > TITLE_CHARS_MAX ? "longer"
                                                 : "blank");
    }
    *ret = text;
    return 0;
}

void sh_handle_session_title(struct sh_request *r) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    const char *title = NULL;
    if (read_title(r, &body, &title, &err) < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_session_title(r->api->app->engine, sh_str(r->id), title, found, r);
}

static void forgotten(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    (void)value;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_text(r, 204, NULL, SH_STR(""));
    }
}

void sh_handle_session_forget(struct sh_request *r) {
    sh_engine_session_forget(r->api->app->engine, sh_str(r->id), forgotten, r);
}
