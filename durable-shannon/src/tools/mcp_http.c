/* MCP over HTTP ("streamable"). Each message is a POST, answered by one JSON text or a stream of
 * events in which the server may ask and tell things before it answers. A GET is a stream on which
 * it speaks of its own accord; a DELETE ends the session.
 *
 *   POST --one JSON text--> done
 *     \--stream--> the answer came: closed by us
 *           \--ended before it, events had ids--> GET with Last-Event-ID --> as before
 *
 * A message may end the server or its other requests, so after each one the post is looked up again
 * by its number. */
#include <stdio.h>
#include <strings.h>

#include "tools/mcp.h"
#include "tools/outbound.h"
#include "tools/secret.h"

#define PART_MS 1000ULL   /* of a DELETE, which we may be waiting for on our way out */
#define POST_MS 300000ULL /* of what no call waits for; a call has a time limit of its own */
#define CONNECT_MS 10000ULL
#define STREAM_BYTES (8 * SH_MCP_MESSAGE_MAX) /* an answer, and what is told before it */
#define AGAIN_MS 1000ULL                      /* where the server does not say when */
#define AGAIN_LEAST_MS 100ULL
#define AGAIN_MOST_MS 60000ULL
enum { TRIES_MOST = 5, EVENT_ID_MOST = 256 };

struct post {
    struct sh_list link;
    struct sh_mcp_server *server;
    uint64_t number;
    int64_t id;             /* of the request that waits for an answer here; 0: none */
    bool get;               /* a stream that we opened to hear, or to hear the rest */
    bool parting;           /* the end of a session */
    bool looked, events;    /* what kind of answer it is, once its first bytes came */
    bool skip_lf, has_data; /* of the stream's text */
    struct sh_buf text;     /* an answer that is no stream */
    struct sh_buf line, data;
    char *last_event;  /* id of the last event, or NULL */
    uint64_t again_ms; /* the server's wish */
    unsigned tries;    /* in vain, one after the other */
    struct sh_timer again;
    struct sh_http *http; /* NULL: it waits to be opened again */
    struct sh_buf headers;
    struct sh_secret key;
};

static void post_free(struct post *p) {
    sh_http_cancel(p->http);
    sh_timer_stop(&p->again);
    sh_list_unlink(&p->link);
    sh_buf_done(&p->headers);
    sh_buf_done(&p->text);
    sh_buf_done(&p->line);
    sh_buf_done(&p->data);
    sh_secret_done(&p->key);
    sh_free(p->last_event);
    sh_free(p);
}

static struct post *find(const struct sh_mcp_server *s, uint64_t number) {
    sh_list_each (node, &s->posts) {
        struct post *p = sh_container_of(node, struct post, link);
        if (p->number == number) {
            return p;
        }
    }
    return NULL;
}

static void free_all(struct sh_list *posts) {
    while (!sh_list_empty(posts)) {
        post_free(sh_container_of(posts->next, struct post, link));
    }
}

void sh_mcp_http_forget(struct sh_mcp_server *s, int64_t id) {
    sh_list_each (node, &s->posts) {
        struct post *p = sh_container_of(node, struct post, link);
        if (id && p->id == id) {
            post_free(p);
            return;
        }
    }
}

/* The request that it carries fails, and with it the server where that is what failed. */
static void give_up(struct post *p, int code, bool whole, const char *what) {
    struct sh_mcp_server *s = p->server;
    struct sh_err err = {0};
    int64_t id = p->id;
    sh_fail(&err, code, "the MCP server %s at %.120s: %.300s", s->name, s->url, what);
    post_free(p);
    if (whole) {
        sh_mcp_down(s, &err);
    } else {
        sh_mcp_failed(s, id, &err);
    }
}

/* Messages. */

/* false: p is gone, or has what it waited for and was closed. */
static bool tell(struct post *p, struct sh_str text) {
    struct sh_mcp_server *s = p->server;
    uint64_t number = p->number;
    bool waited = sh_mcp_waits(s, p->id);
    sh_auto(sh_buf_done) struct sh_buf clean = {0};
    sh_buf_init(&clean, text.len * 3 + 1);
    if (sh_secret_in(&p->key, text)) {
        sh_secret_redact(&p->key, text, &clean);
        text = sh_buf_str(&clean);
    }
    sh_mcp_message(s, text);
    p = find(s, number);
    if (p && waited && !sh_mcp_waits(s, p->id)) {
        post_free(p);
        p = NULL;
    }
    return p != NULL;
}

static bool event_ends(struct post *p) {
    struct sh_buf data = p->data;
    bool has = p->has_data && data.len;
    sh_buf_init(&p->data, SH_MCP_MESSAGE_MAX);
    p->has_data = false;
    p->tries = 0;
    bool stays = !has || tell(p, sh_buf_str(&data));
    sh_buf_done(&data);
    return stays;
}

static bool is_field(struct sh_str line, const char *name, struct sh_str *ret) {
    size_t n = strlen(name);
    if (line.len <= n || memcmp(line.p, name, n) != 0 || line.p[n] != ':') {
        return false;
    }
    n += 1 + (line.len > n + 1 && line.p[n + 1] == ' ');
    *ret = sh_strn(line.p + n, line.len - n);
    return true;
}

static void keep_event_id(struct post *p, struct sh_str id) {
    bool good = id.len > 0 && id.len <= EVENT_ID_MOST;
    for (size_t i = 0; i < id.len; i++) {
        good = good && id.p[i] >= 0x20 && id.p[i] < 0x7f; /* it becomes part of a header */
    }
    if (good) {
        sh_free(p->last_event);
        p->last_event = sh_strndup0(id.p, id.len);
    }
}

static bool line_ends(struct post *p) {
    struct sh_str line = sh_buf_str(&p->line), value = {0};
    if (line.len == 0) {
        return event_ends(p);
    }
    if (is_field(line, "data", &value)) {
        if (p->has_data) {
            sh_buf_addc(&p->data, '\n');
        }
        p->has_data = true;
        sh_buf_add(&p->data, value.p, value.len);
    } else if (is_field(line, "id", &value)) {
        keep_event_id(p, value);
    } else if (is_field(line, "retry", &value)) {
        uint64_t ms = 0;
        for (size_t i = 0; i < value.len && ms < AGAIN_MOST_MS; i++) {
            ms = value.p[i] >= '0' && value.p[i] <= '9' ? ms * 10 + (uint64_t)(value.p[i] - '0')
                                                        : AGAIN_MOST_MS;
        }
        p->again_ms = ms < AGAIN_LEAST_MS  ? AGAIN_LEAST_MS
                      : ms > AGAIN_MOST_MS ? AGAIN_MOST_MS
                                           : ms;
    }
    sh_buf_clear(&p->line);
    return true;
}

/* Lines end with CR, LF or both (HTML Living Standard, 9.2.5). */
static void feed(struct post *p, struct sh_str bytes) {
    for (size_t i = 0; i < bytes.len;) {
        if (p->skip_lf && bytes.p[i] == '\n') {
            p->skip_lf = false;
            i++;
            continue;
        }
        p->skip_lf = false;
        size_t n = 0;
        while (i + n < bytes.len && bytes.p[i + n] != '\n' && bytes.p[i + n] != '\r') {
            n++;
        }
        sh_buf_add(&p->line, bytes.p + i, n);
        i += n;
        if (p->line.failed || p->data.failed) {
            give_up(p, SH_E_LIMIT, false, "a message of more than 8 MiB");
            return;
        }
        if (i < bytes.len) {
            p->skip_lf = bytes.p[i++] == '\r';
            if (!line_ends(p)) {
                return;
            }
        }
    }
}

/* Answers. */

static void look(struct post *p) {
    struct sh_mcp_server *s = p->server;
    struct sh_str headers = sh_buf_str(&p->headers);
    struct sh_str session = sh_header_value(headers, "mcp-session-id");
    struct sh_str type = sh_header_value(headers, "content-type");
    if (!p->looked && session.len && session.len <= 256 && !s->session) {
        s->session = sh_strndup0(session.p, session.len);
    }
    p->looked = true;
    p->events = type.len >= 17 && strncasecmp(type.p, "text/event-stream", 17) == 0;
}

static void on_data(void *arg, struct sh_str bytes) {
    struct post *p = arg;
    if (!p->looked) {
        look(p);
    }
    sh_mcp_alive(p->server, p->id);
    if (p->events) {
        feed(p, bytes);
        return;
    }
    sh_buf_add(&p->text, bytes.p, bytes.len);
    if (p->text.failed) {
        give_up(p, SH_E_LIMIT, false, "a message of more than 8 MiB");
    }
}

static int open_post(struct post *p, struct sh_str message, struct sh_err *err);

static void on_again(struct sh_timer *t) {
    struct post *p = sh_container_of(t, struct post, again);
    struct sh_err err = {0};
    if (open_post(p, (struct sh_str){0}, &err) != 0) {
        give_up(p, err.code, false, err.message);
    }
}

/* The rest of an answer, or of what the server says by itself, is asked for a little later. */
static void go_on(struct post *p) {
    if (++p->tries > TRIES_MOST) {
        give_up(p, SH_E_UPSTREAM, false, "its stream ends again and again without an answer");
        return;
    }
    p->get = true;
    p->looked = p->events = p->skip_lf = p->has_data = false;
    sh_buf_clear(&p->headers);
    sh_buf_clear(&p->text);
    sh_buf_clear(&p->line);
    sh_buf_clear(&p->data);
    sh_secret_done(&p->key);
    sh_timer_start(p->server->tools->loop, &p->again,
                   (p->again_ms ? p->again_ms : AGAIN_MS) * 1000000, on_again);
}

static void stream_ended(struct post *p) {
    if (p->line.len) { /* the last event counts without the blank line, too */
        (void)line_ends(p);
    }
    if (p->has_data && !event_ends(p)) {
        return;
    }
    bool waited = sh_mcp_waits(p->server, p->id);
    if ((p->id == 0 && p->get) || (waited && p->last_event)) {
        go_on(p);
    } else if (waited) {
        give_up(p, SH_E_UPSTREAM, false, "its stream ended without the answer");
    } else {
        post_free(p);
    }
}

static void refused(struct post *p, int status) {
    char text[160];
    struct sh_mcp_server *s = p->server;
    struct sh_str body = sh_buf_str(&p->text);
    if (p->get && p->id == 0) { /* 405: it offers none; whatever it is, calls will tell */
        post_free(p);
        return;
    }
    sh_auto(sh_buf_done) struct sh_buf clean = {0};
    sh_buf_init(&clean, 4096);
    sh_secret_redact(&p->key, sh_strn(body.p, body.len < 400 ? body.len : 400), &clean);
    snprintf(text, sizeof(text), "it answered %d: %.100s", status, clean.len ? clean.p : "");
    bool whole = status == 404 || status >= 500; /* 404: it has forgotten the session */
    if (status == 404) {
        s->session = sh_free(s->session);
    }
    give_up(p, whole ? SH_E_UNAVAILABLE : SH_E_UPSTREAM_REJECTED, whole, text);
}

static bool all_parted(const struct sh_tools *t) {
    sh_list_each (node, &t->mcp) {
        if (!sh_list_empty(&sh_container_of(node, struct sh_mcp_server, link)->partings)) {
            return false;
        }
    }
    return true;
}

static void parted(struct post *p) {
    struct sh_tools *t = p->server->tools;
    post_free(p);
    if (t->leaving && all_parted(t)) {
        sh_loop_stop(t->loop);
    }
}

static void on_posted(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                      const struct sh_err *http_err) {
    struct post *p = arg;
    (void)body;
    (void)retry_after_ms;
    p->http = NULL;
    if (p->parting) { /* whatever it says: 405 is that it ends sessions itself */
        parted(p);
        return;
    }
    if (http_err) {
        bool limit = http_err->code == SH_E_LIMIT;
        if (!limit && p->events && (p->get || p->last_event)) {
            stream_ended(p); /* the connection was cut: there may be more behind it */
        } else if (!limit && p->get) {
            go_on(p);
        } else {
            give_up(p, limit ? SH_E_LIMIT : SH_E_UNAVAILABLE, !limit, http_err->message);
        }
        return;
    }
    if (status < 200 || status >= 300) {
        refused(p, status);
        return;
    }
    if (!p->looked) {
        look(p);
    }
    if (p->events) {
        stream_ended(p);
    } else if (p->get && p->id == 0) {
        post_free(p); /* no stream */
    } else if (p->text.len && status != 202) {
        struct sh_buf text = p->text;
        sh_buf_init(&p->text, 1);
        if (tell(p, sh_buf_str(&text))) {
            give_up(p, SH_E_UPSTREAM, false, "what it sent is no answer");
        }
        sh_buf_done(&text);
    } else if (sh_mcp_waits(p->server, p->id)) {
        give_up(p, SH_E_UPSTREAM, false, "it answered with nothing");
    } else {
        struct sh_mcp_server *s = p->server;
        post_free(p);
        sh_mcp_sent(s);
    }
}

static bool on_allow(void *arg, const struct sockaddr *addr) {
    const struct post *p = arg;
    return sh_egress_peer_allows(&p->server->peer, addr);
}

/* p stays, whatever happens. */
static int open_post(struct post *p, struct sh_str message, struct sh_err *err) {
    struct sh_mcp_server *s = p->server;
    int r = sh_secret_read(s->key_env, s->key_file, &p->key, err);
    char *key = p->key.len ? sh_asprintf("Authorization: Bearer %s", p->key.p) : NULL;
    sh_auto(sh_free_p) char *session =
        s->session ? sh_asprintf("Mcp-Session-Id: %s", s->session) : NULL;
    sh_auto(sh_free_p) char *version =
        s->version[0] ? sh_asprintf("MCP-Protocol-Version: %s", s->version) : NULL;
    sh_auto(sh_free_p) char *last =
        p->get && p->last_event ? sh_asprintf("Last-Event-ID: %s", p->last_event) : NULL;
    const char *given[] = {p->get || p->parting ? NULL : "Content-Type: application/json",
                           p->get ? "Accept: text/event-stream"
                                  : "Accept: application/json, text/event-stream",
                           version,
                           session,
                           last,
                           key};
    const char *lines[7] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        if (given[i]) {
            lines[n++] = given[i];
        }
    }
    struct sh_http_request request = {
        .method = p->parting ? "DELETE"
                  : p->get   ? "GET"
                             : "POST",
        .url = s->url,
        .headers = lines,
        .body = message,
        .max_response_bytes = p->get ? SIZE_MAX : STREAM_BYTES,
        .timeout_ms = p->parting        ? PART_MS
                      : p->get || p->id ? 0
                                        : POST_MS,
        .connect_timeout_ms = CONNECT_MS,
        .allow = on_allow,
        .response_headers = &p->headers,
        .on_data = on_data,
        .done = on_posted,
        .arg = p,
    };
    r = r ? r : sh_http_start(s->tools->loop, &request, &p->http, err);
    if (key) {
        explicit_bzero(key, strlen(key));
        sh_free(key);
    }
    return r;
}

static struct post *post_new(struct sh_mcp_server *s, int64_t id, bool get) {
    struct post *p = sh_new(struct post);
    p->server = s;
    p->number = ++s->n_posts;
    p->id = id;
    p->get = get;
    sh_buf_init(&p->headers, SH_HTTP_HEADER_BYTES_MAX);
    sh_buf_init(&p->text, SH_MCP_MESSAGE_MAX);
    sh_buf_init(&p->line, SH_MCP_MESSAGE_MAX + 16);
    sh_buf_init(&p->data, SH_MCP_MESSAGE_MAX);
    sh_list_push(&s->posts, &p->link);
    return p;
}

int sh_mcp_http_post(struct sh_mcp_server *s, int64_t id, struct sh_str message,
                     struct sh_err *err) {
    struct post *p = post_new(s, id, false);
    int r = open_post(p, message, err);
    if (r) {
        post_free(p);
    }
    return r;
}

void sh_mcp_http_listen(struct sh_mcp_server *s) {
    sh_list_each (node, &s->posts) {
        const struct post *p = sh_container_of(node, struct post, link);
        if (p->get && p->id == 0) {
            return; /* it listens since the list before this one */
        }
    }
    struct post *p = post_new(s, 0, true);
    if (open_post(p, (struct sh_str){0}, NULL) != 0) {
        post_free(p);
    }
}

void sh_mcp_http_stop(struct sh_mcp_server *s) {
    free_all(&s->posts);
    if (s->session) {
        struct post *p = post_new(s, 0, false);
        p->parting = true;
        sh_list_unlink(&p->link);
        sh_list_push(&s->partings, &p->link);
        if (open_post(p, (struct sh_str){0}, NULL) != 0) {
            post_free(p);
        }
        s->session = sh_free(s->session);
    }
    s->version[0] = '\0';
}

void sh_mcp_http_part(struct sh_tools *t) {
    t->leaving = true;
    while (!all_parted(t)) {
        sh_loop_run(t->loop);
    }
}

void sh_mcp_http_done(struct sh_mcp_server *s) {
    free_all(&s->posts);
    free_all(&s->partings);
}
