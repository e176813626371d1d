/* The bridge between curl's multi interface and the loop: sockets through uv_poll, its one timeout
 * through a timer of ours.
 *
 * User callbacks never run inside curl. What a request has to tell is collected while curl works
 * and told by tell() afterwards, so a callback may start and cancel any request, its own too: the
 * one whose callback runs is pinned and freed after it. */
#include "loop/http_internal.h"

/* One socket that curl wants watched. */
struct watch {
    struct sh_list link;
    struct sh_http_client *client;
    curl_socket_t fd;
    int events; /* UV_READABLE | UV_WRITABLE */
    uv_poll_t poll;
};

static void tell(struct sh_http_client *c);

static void start_curl(void) {
    SH_ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static void act(struct sh_http_client *c, curl_socket_t fd, int mask) {
    int running = 0;
    c->in_curl = true;
    CURLMcode code = curl_multi_socket_action(c->multi, fd, mask, &running);
    c->in_curl = false;
    SH_ASSERT(code == CURLM_OK);
    tell(c);
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void watch_start(struct watch *w) {
    int rc = uv_poll_start(&w->poll, w->events, on_poll);
    SH_ASSERT(rc == 0);
}

static void on_poll(uv_poll_t *handle, int status, int events) {
    struct watch *w = handle->data;
    int mask = (events & UV_READABLE ? CURL_CSELECT_IN : 0) |
               (events & UV_WRITABLE ? CURL_CSELECT_OUT : 0);
    if (status < 0) {
        /* libuv has stopped watching, because the socket has an error that curl has yet to read; if
         * curl keeps the socket after that, it must be watched again. */
        mask = CURL_CSELECT_IN | CURL_CSELECT_OUT | CURL_CSELECT_ERR;
        watch_start(w);
    }
    act(w->client, w->fd, mask);
}

static void on_watch_closed(uv_handle_t *handle) {
    sh_free(handle->data);
}

static void watch_close(struct watch *w) {
    sh_list_unlink(&w->link);
    uv_poll_stop(&w->poll);
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static struct watch *watch_new(struct sh_http_client *c, curl_socket_t fd) {
    struct watch *w = sh_new(struct watch);
    w->client = c;
    w->fd = fd;
    /* Fails only if the descriptor is watched twice, or cannot be set non-blocking. */
    SH_ASSERT(uv_poll_init_socket(&c->loop->uv, &w->poll, fd) == 0);
    w->poll.data = w;
    sh_list_push(&c->watches, &w->link);
    curl_multi_assign(c->multi, fd, w);
    return w;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg) {
    struct sh_http_client *c = arg;
    struct watch *w = socket_arg;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w) {
            curl_multi_assign(c->multi, fd, NULL);
            watch_close(w);
        }
        return 0;
    }
    if (!w) {
        w = watch_new(c, fd);
    }
    w->events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    watch_start(w);
    return 0;
}

static void on_timer(struct sh_timer *t) {
    act(sh_container_of(t, struct sh_http_client, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timeout_wish(CURLM *multi, long timeout_ms, void *arg) {
    struct sh_http_client *c = arg;
    (void)multi;
    if (timeout_ms < 0) {
        sh_timer_stop(&c->timer);
    } else {
        sh_timer_start(c->loop, &c->timer, (uint64_t)timeout_ms * 1000000u, on_timer);
    }
    return 0;
}

static struct sh_http_client *client_new(struct sh_loop *l) {
    struct sh_http_client *c = sh_new(struct sh_http_client);
    c->loop = l;
    c->multi = curl_multi_init();
    SH_ASSERT(c->multi);
    sh_list_init(&c->watches);
    sh_list_init(&c->requests);
    sh_list_init(&c->ready);
    SH_ASSERT(curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_socket) == CURLM_OK);
    SH_ASSERT(curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c) == CURLM_OK);
    SH_ASSERT(curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_timeout_wish) == CURLM_OK);
    SH_ASSERT(curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c) == CURLM_OK);
    SH_ASSERT(curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, 64L) == CURLM_OK);
    return c;
}

void sh_http_client_close(struct sh_http_client *c) {
    SH_ASSERT(sh_list_empty(&c->requests)); /* their owners cancel them first */
    c->in_curl = true;
    curl_multi_cleanup(c->multi);
    c->in_curl = false;
    c->multi = NULL;
    sh_timer_stop(&c->timer);
    while (!sh_list_empty(&c->watches)) {
        watch_close(sh_container_of(c->watches.next, struct watch, link));
    }
}

struct sh_http_client *sh_http_client_free(struct sh_http_client *c) {
    return sh_free(c);
}

/* Take it back from curl; no callback of curl names it after this. */
static void detach(struct sh_http *h) {
    struct sh_http_client *c = h->client;
    if (sh_list_linked(&h->link)) {
        sh_list_unlink(&h->link);
        sh_list_unlink(&h->ready);
        c->in_curl = true;
        CURLMcode code = curl_multi_remove_handle(c->multi, h->easy);
        c->in_curl = false;
        SH_ASSERT(code == CURLM_OK);
    }
}

static uint64_t retry_after_ms(CURL *easy) {
    curl_off_t seconds = 0; /* curl has turned a date into seconds from now; the past is < 0 */
    if (curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK || seconds <= 0) {
        return 0;
    }
    uint64_t most = SH_HTTP_RETRY_AFTER_MAX_MS / 1000;
    return ((uint64_t)seconds < most ? (uint64_t)seconds : most) * 1000;
}

int sh_http_status(const struct sh_http *h) {
    long status = 0; /* what curl says before a response has come */
    curl_easy_getinfo(h->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

static void complete(struct sh_http *h) {
    struct sh_err err = {0};
    int status = 0;
    uint64_t wait_ms = 0;
    bool failed = sh_http_outcome(h, &err) != 0;
    if (!failed) {
        status = sh_http_status(h);
        wait_ms = retry_after_ms(h->easy);
    }
    detach(h);
    h->canceled = true; /* a cancel from here on finds nothing to do */
    h->done(h->arg, status, failed ? (struct sh_str){0} : sh_buf_str(&h->body), wait_ms,
            failed ? &err : NULL);
}

/* Tell one request's news; afterwards it may be gone. */
static void tell_one(struct sh_http *h) {
    struct sh_http_client *c = h->client;
    c->current = h;
    if (h->on_data && h->body.len) {
        h->on_data(h->arg, sh_buf_str(&h->body));
        sh_buf_clear(&h->body);
    }
    if (h->finished && !h->canceled) {
        complete(h);
    }
    c->current = NULL;
    if (h->canceled) {
        sh_http_free(h);
    }
}

static void tell(struct sh_http_client *c) {
    int left = 0;
    CURLMsg *msg = NULL;
    while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
        char *private = NULL;
        SH_ASSERT(msg->msg == CURLMSG_DONE);
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
        struct sh_http *h = (struct sh_http *)(void *)private;
        h->finished = true;
        h->result = msg->data.result;
        if (!sh_list_linked(&h->ready)) {
            sh_list_push(&c->ready, &h->ready);
        }
    }
    struct sh_list *link = NULL;
    while ((link = sh_list_pop(&c->ready)) != NULL) {
        tell_one(sh_container_of(link, struct sh_http, ready));
    }
}

int sh_http_start(struct sh_loop *l, const struct sh_http_request *req, struct sh_http **ret,
                  struct sh_err *err) {
    static pthread_once_t curl_once = PTHREAD_ONCE_INIT; /* not at program start: it loads TLS */
    SH_ON_LOOP(l);
    pthread_once(&curl_once, start_curl);
    struct sh_http *h = NULL;
    int rc = sh_http_build(req, &h, err);
    if (rc) {
        return rc;
    }
    if (!l->http) {
        l->http = client_new(l);
    }
    struct sh_http_client *c = l->http;
    SH_ASSERT(!c->in_curl); /* allow() only decides */
    h->client = c;
    sh_list_push(&c->requests, &h->link);
    c->in_curl = true;
    CURLMcode code = curl_multi_add_handle(c->multi, h->easy); /* only sets the timer to now */
    c->in_curl = false;
    SH_ASSERT(code == CURLM_OK);
    *ret = h;
    return 0;
}

void sh_http_cancel(struct sh_http *h) {
    if (!h || h->canceled) {
        return;
    }
    struct sh_http_client *c = h->client;
    SH_ON_LOOP(c->loop);
    SH_ASSERT(!c->in_curl);
    h->canceled = true;
    detach(h);
    if (c->current != h) {
        sh_http_free(h);
    }
}
