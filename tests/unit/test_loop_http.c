/* HTTP requests against a small server on the loopback address: what comes back, every way of not
 * getting it, and cancelling at each moment. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "loop/loop.h"

/* The server: one thread, one connection at a time, which answers by path until it is closed.
 * Paths: /ok /missing /later-seconds /later-date /later-past /large /chunked /endless /silent /cut
 * /echo /headers */

static struct {
    char url[64];
    atomic_int connections;
} server;

static void send_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent <= 0) {
            return;
        }
        p += sent;
        n -= (size_t)sent;
    }
}

static void send_text(int fd, const char *text) {
    send_all(fd, text, strlen(text));
}

static void answer(int fd, const char *status, const char *headers, const char *body) {
    char text[1024];
    snprintf(text, sizeof(text), "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, headers,
             strlen(body), body);
    send_text(fd, text);
}

/* Blocks of 1000 bytes until the peer goes away. */
static void send_endless(int fd) {
    char block[1000];
    memset(block, 'x', sizeof(block));
    send_text(fd, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0) {
    }
}

static void send_headers(int fd) {
    char line[1000];
    memset(line, 'h', sizeof(line));
    memcpy(line, "X-Long: ", 8);
    memcpy(line + sizeof(line) - 2, "\r\n", 2);
    send_text(fd, "HTTP/1.1 200 OK\r\n");
    while (send(fd, line, sizeof(line), MSG_NOSIGNAL) > 0) {
    }
}

/* Until the peer closes. */
static void wait_for_end(int fd) {
    char byte = 0;
    while (recv(fd, &byte, 1, 0) > 0) {
    }
}

/* False when the connection is used up. */
static bool serve(int fd, const char *request) {
    char path[100] = "";
    char date[100];
    sscanf(request, "%*s %99s", path);
    if (strcmp(path, "/ok") == 0) {
        answer(fd, "200 OK", "", "hello");
    } else if (strcmp(path, "/missing") == 0) {
        answer(fd, "404 Not Found", "", "no");
    } else if (strcmp(path, "/redirect") == 0) {
        answer(fd, "302 Found", "Location: /ok\r\n", "");
    } else if (strcmp(path, "/later-seconds") == 0) {
        answer(fd, "429 Too Many Requests", "Retry-After: 7\r\n", "");
    } else if (strcmp(path, "/later-huge") == 0) {
        answer(fd, "503 No", "Retry-After: 99999999999\r\n", "");
    } else if (strcmp(path, "/later-date") == 0) {
        time_t when = time(NULL) + 3600;
        struct tm tm;
        gmtime_r(&when, &tm);
        strftime(date, sizeof(date), "Retry-After: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        answer(fd, "503 No", date, "");
    } else if (strcmp(path, "/later-past") == 0) {
        answer(fd, "503 No", "Retry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n", "");
    } else if (strcmp(path, "/large") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nsome");
        wait_for_end(fd);
        return false;
    } else if (strcmp(path, "/chunked") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    } else if (strcmp(path, "/endless") == 0) {
        send_endless(fd);
        return false;
    } else if (strcmp(path, "/headers") == 0) {
        send_headers(fd);
        return false;
    } else if (strcmp(path, "/silent") == 0) {
        wait_for_end(fd);
        return false;
    } else if (strcmp(path, "/cut") == 0) {
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        return false;
    } else { /* the request itself, as far as it is in one piece */
        char copy[900];
        snprintf(copy, sizeof(copy), "%.899s", request);
        answer(fd, "200 OK", "Content-Type: text/plain\r\n", copy);
    }
    return true;
}

/* Reads one request, headers and Content-Length bytes; keeps as much as there is room for. */
static bool receive(int fd, char *request, size_t size) {
    size_t used = 0;
    size_t whole = SIZE_MAX; /* once the headers are there: how long the request is */
    size_t got = 0;
    char block[65536];
    while (got < whole) {
        ssize_t n = recv(fd, block, sizeof(block), 0);
        if (n <= 0) {
            return false;
        }
        size_t room = size - 1 - used;
        size_t part = (size_t)n < room ? (size_t)n : room;
        memcpy(request + used, block, part);
        used += part;
        request[used] = '\0';
        got += (size_t)n;
        const char *end = strstr(request, "\r\n\r\n");
        const char *length = strstr(request, "Content-Length: ");
        if (end) {
            whole = (size_t)(end + 4 - request) + (length ? strtoul(length + 16, NULL, 10) : 0);
        }
    }
    return true;
}

static void *run_connection(void *arg) {
    int fd = *(int *)arg;
    char request[4096];
    sh_free(arg);
    while (receive(fd, request, sizeof(request)) && serve(fd, request)) {
    }
    close(fd);
    return NULL;
}

static void *run_server(void *arg) {
    int listener = (int)(intptr_t)arg;
    for (;;) {
        int *fd = sh_new(int);
        *fd = accept(listener, NULL, NULL);
        pthread_t t;
        if (*fd < 0 || pthread_create(&t, NULL, run_connection, fd) != 0) {
            sh_free(fd);
            return NULL;
        }
        atomic_fetch_add(&server.connections, 1);
        pthread_detach(t);
    }
}

static void start_server(int listener) {
    pthread_t t;
    ck_assert_int_eq(listen(listener, 16), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, run_server, (void *)(intptr_t)listener), 0);
    pthread_detach(t);
}

static int listen_loopback(uint16_t *ret_port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(addr);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&addr, &size), 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static struct sh_loop *loop;

static void setup(void) {
    struct sh_err err = {0};
    uint16_t port = 0;
    sh_assert_ok(sh_loop_new(&loop, &err), &err);
    int listener = listen_loopback(&port);
    snprintf(server.url, sizeof(server.url), "http://127.0.0.1:%u", port);
    start_server(listener);
}

/* One exchange and what came of it. */
struct exchange {
    struct sh_http *http;
    struct sh_buf body, streamed;
    struct sh_err err;
    bool failed, done, stop_at_end, cancel_in_data, cancel_in_done, start_in_done;
    int status, status_in_data, pieces, asked,
        refuse_from; /* allow() says no from this call on; 0: never */
    uint64_t retry_after_ms;
    struct exchange *other; /* for start_in_done, and canceled by cancel_other */
    bool cancel_other;
    struct sh_timer timer; /* of cancel_and_stop */
};

static void start(struct exchange *x, const struct sh_http_request *more, const char *path);

static bool on_allow(void *arg, const struct sockaddr *addr) {
    struct exchange *x = arg;
    ck_assert(addr->sa_family == AF_INET || addr->sa_family == AF_UNIX);
    return ++x->asked < x->refuse_from || x->refuse_from == 0;
}

static void on_data(void *arg, struct sh_str bytes) {
    struct exchange *x = arg;
    ck_assert(!x->done);
    ck_assert_uint_gt(bytes.len, 0);
    sh_buf_add(&x->streamed, bytes.p, bytes.len);
    x->pieces++;
    x->status_in_data = sh_http_status(x->http);
    if (x->cancel_in_data) {
        sh_http_cancel(x->http);
        sh_loop_stop(loop);
    }
    if (x->cancel_other) {
        sh_http_cancel(x->other->http);
        x->cancel_other = false;
    }
}

static void on_done(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                    const struct sh_err *err) {
    struct exchange *x = arg;
    ck_assert(!x->done);
    x->done = true;
    x->status = status;
    x->retry_after_ms = retry_after_ms;
    x->failed = err != NULL;
    if (err) {
        x->err = *err;
        ck_assert_int_eq(status, 0);
        ck_assert_uint_eq(body.len, 0);
    }
    sh_buf_add(&x->body, body.p, body.len);
    if (x->cancel_in_done) {
        sh_http_cancel(x->http);
    }
    if (x->start_in_done) {
        start(x->other, NULL, "/ok");
        ck_assert(!x->other->done); /* never inside start */
    } else {
        sh_loop_stop(loop);
    }
}

static void start(struct exchange *x, const struct sh_http_request *more, const char *path) {
    struct sh_http_request req = {.method = "GET", .max_response_bytes = 1000};
    struct sh_err err = {0};
    char url[200];
    snprintf(url, sizeof(url), "%s%s", server.url, path);
    if (more) {
        req = *more;
    }
    req.url = req.url ? req.url : url;
    req.method = req.method ? req.method : "GET";
    req.timeout_ms = req.timeout_ms ? req.timeout_ms : 30000;
    req.done = on_done;
    req.arg = x;
    sh_buf_init(&x->body, SH_MIB);
    sh_buf_init(&x->streamed, 64 * SH_MIB);
    sh_assert_ok(sh_http_start(loop, &req, &x->http, &err), &err);
}

/* Ends one test: everything is given back, which the sanitizer checks. */
static void finish(struct exchange *x) {
    sh_buf_done(&x->body);
    sh_buf_done(&x->streamed);
}

static void get(struct exchange *x, const struct sh_http_request *more, const char *path) {
    start(x, more, path);
    ck_assert(!x->done);
    sh_loop_run(loop);
}

static void assert_failed(const struct exchange *x, int code, const char *says) {
    ck_assert(x->done && x->failed);
    ck_assert_msg(x->err.code == code, "%s: %s", sh_code_info(x->err.code)->name, x->err.message);
    ck_assert_msg(strstr(x->err.message, says), "\"%s\"", x->err.message);
}

START_TEST(answers_come_with_status_and_body) {
    static const struct {
        const char *path, *body;
        int status;
    } cases[] = {{"/ok", "hello", 200},
                 {"/missing", "no", 404},
                 {"/chunked", "abcdefg", 200},
                 {"/redirect", "", 302}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct exchange x = {0};
        get(&x, NULL, cases[i].path);
        ck_assert_msg(x.done && !x.failed, "%s", x.err.message);
        ck_assert_int_eq(x.status, cases[i].status);
        sh_assert_str(sh_buf_str(&x.body), cases[i].body);
        ck_assert_uint_eq(x.retry_after_ms, 0);
        finish(&x);
    }
    ck_assert_int_eq(atomic_load(&server.connections), 1); /* one connection, kept */
    sh_loop_free(loop);
}
END_TEST

START_TEST(retry_after_comes_in_milliseconds) {
    static const struct {
        const char *path;
        uint64_t least, most;
    } cases[] = {{"/later-seconds", 7000, 7000},
                 {"/later-date", 3500000, 3600000},
                 {"/later-past", 0, 0},
                 {"/later-huge", 0, SH_HTTP_RETRY_AFTER_MAX_MS}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct exchange x = {0};
        get(&x, NULL, cases[i].path);
        ck_assert(!x.failed);
        ck_assert_uint_ge(x.retry_after_ms, cases[i].least);
        ck_assert_uint_le(x.retry_after_ms, cases[i].most);
        finish(&x);
    }
    sh_loop_free(loop);
}
END_TEST

START_TEST(requests_carry_method_headers_and_body) {
    static const char *const headers[] = {"X-Key: value", "X-Empty:", NULL};
    struct sh_http_request req = {.method = "POST",
                                  .headers = headers,
                                  .body = SH_STR("{\"a\":1}"),
                                  .max_response_bytes = 1000};
    struct exchange x = {0};
    get(&x, &req, "/echo?q=1");
    ck_assert_int_eq(x.status, 200);
    sh_buf_addc(&x.body, '\0');
    ck_assert_ptr_eq(strstr(x.body.p, "POST /echo?q=1 HTTP/1.1\r\n"), x.body.p);
    ck_assert_ptr_nonnull(strstr(x.body.p, "\r\nX-Key: value\r\n"));
    ck_assert_ptr_nonnull(strstr(x.body.p, "\r\nX-Empty:"));
    ck_assert_ptr_nonnull(strstr(x.body.p, "\r\n\r\n{\"a\":1}"));
    ck_assert_ptr_null(strstr(x.body.p, "Content-Type"));
    ck_assert_ptr_null(strstr(x.body.p, "Expect"));
    ck_assert_ptr_null(strstr(x.body.p, "Accept-Encoding"));
    finish(&x);
    struct sh_http_request head = {.method = "HEAD", .max_response_bytes = 3};
    struct exchange y = {0};
    get(&y, &head, "/ok");
    ck_assert_msg(!y.failed && y.status == 200 && y.body.len == 0, "%s", y.err.message);
    finish(&y);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_body_larger_than_any_socket_buffer_is_sent_whole) {
    size_t n = 16 * SH_MIB;
    char *body = sh_zalloc(n);
    struct sh_http_request req = {
        .method = "PUT", .body = sh_strn(body, n), .max_response_bytes = 1000};
    struct exchange x = {0};
    start(&x, &req, "/echo");
    sh_free(body); /* it was copied */
    sh_loop_run(loop);
    ck_assert_msg(x.status == 200, "%s", x.err.message);
    sh_buf_addc(&x.body, '\0');
    ck_assert_ptr_nonnull(strstr(x.body.p, "Content-Length: 16777216\r\n"));
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_body_comes_from_a_file_and_no_more_of_it_than_was_said) {
    int fd = memfd_create("body", MFD_CLOEXEC);
    struct sh_http_request req = {.method = "POST",
                                  .body_file = fd,
                                  .body_file_bytes = 3 * SH_MIB,
                                  .max_response_bytes = 1000};
    struct exchange x = {0}, y = {0}, z = {0};
    ck_assert_int_eq(ftruncate(fd, 4 * SH_MIB), 0);
    ck_assert_int_eq(pwrite(fd, "{\"a\":1}", 7, 0), 7);
    get(&x, &req, "/echo");
    ck_assert_msg(x.status == 200, "%s", x.err.message);
    sh_buf_addc(&x.body, '\0');
    ck_assert_ptr_nonnull(strstr(x.body.p, "Content-Length: 3145728\r\n"));
    finish(&x);
    req.body_file_bytes = 7;
    get(&y, &req, "/echo");
    sh_buf_addc(&y.body, '\0');
    ck_assert_ptr_nonnull(strstr(y.body.p, "\r\n\r\n{\"a\":1}"));
    finish(&y);
    req.body_file_bytes = 5 * SH_MIB; /* than there are */
    get(&z, &req, "/echo");
    assert_failed(&z, SH_E_CORRUPT, "too early");
    finish(&z);
    close(fd);
    sh_loop_free(loop);
}
END_TEST

START_TEST(the_environment_names_no_proxy) {
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    struct exchange x = {0};
    get(&x, NULL, "/ok");
    ck_assert_int_eq(x.status, 200);
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_body_may_have_its_maximum_and_no_more) {
    struct sh_http_request req = {.max_response_bytes = 5};
    struct exchange x = {0};
    get(&x, &req, "/ok");
    ck_assert_int_eq(x.status, 200);
    finish(&x);
    static const char *const paths[] = {"/ok", "/large", "/chunked", "/endless"};
    for (size_t i = 0; i < 4; i++) {
        struct exchange y = {0};
        req.max_response_bytes = i ? 6 : 4;
        get(&y, &req, paths[i]);
        assert_failed(&y, SH_E_LIMIT, "");
        finish(&y);
    }
    req.max_response_bytes = 0;
    struct exchange z = {0};
    get(&z, &req, "/redirect");
    ck_assert_int_eq(z.status, 302);
    finish(&z);
    sh_loop_free(loop);
}
END_TEST

START_TEST(endless_headers_are_cut_off) {
    struct exchange x = {0};
    get(&x, NULL, "/headers");
    assert_failed(&x, SH_E_LIMIT, "headers");
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(no_memory_for_the_body_is_an_error) {
    if (!SH_TEST_HAS_FAULTS) {
        sh_loop_free(loop);
        return;
    }
    struct exchange x = {0};
    start(&x, NULL, "/ok");
    sh_fault_plan(1, true);
    sh_loop_run(loop);
    sh_fault_plan(0, false);
    assert_failed(&x, SH_E_NOMEM, "no memory");
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(silence_times_out) {
    struct sh_http_request req = {.max_response_bytes = 10, .timeout_ms = 50};
    struct exchange x = {0};
    get(&x, &req, "/silent");
    assert_failed(&x, SH_E_TIMEOUT, "timed out");
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(broken_and_refused_connections_are_unavailable) {
    struct exchange x = {0};
    get(&x, NULL, "/cut");
    assert_failed(&x, SH_E_UNAVAILABLE, "");
    finish(&x);
    uint16_t port = 0;
    int fd = listen_loopback(&port); /* bound and not listening: refuses */
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", port);
    struct sh_http_request req = {.url = url, .max_response_bytes = 10};
    struct exchange y = {0};
    get(&y, &req, NULL);
    assert_failed(&y, SH_E_UNAVAILABLE, "");
    finish(&y);
    close(fd);
    sh_loop_free(loop);
}
END_TEST

START_TEST(an_address_that_is_not_allowed_is_never_connected_to) {
    struct sh_http_request req = {.max_response_bytes = 10, .allow = on_allow};
    struct exchange x = {.refuse_from = 1};
    get(&x, &req, "/ok");
    assert_failed(&x, SH_E_DENIED, "127.0.0.1");
    ck_assert_int_eq(atomic_load(&server.connections), 0);
    finish(&x);
    struct exchange y = {0};
    get(&y, &req, "/ok");
    ck_assert_int_eq(y.status, 200);
    ck_assert_int_eq(y.asked, 2); /* before connecting, and before sending */
    finish(&y);
    struct exchange z = {.refuse_from = 1}; /* the connection of y is still open */
    get(&z, &req, "/ok");
    assert_failed(&z, SH_E_DENIED, "127.0.0.1");
    ck_assert_int_eq(z.asked, 1);
    finish(&z);
    sh_loop_free(loop);
}
END_TEST

START_TEST(data_is_told_as_it_comes_and_not_kept) {
    struct sh_http_request req = {.max_response_bytes = 7, .on_data = on_data};
    struct exchange x = {0};
    get(&x, &req, "/chunked");
    ck_assert(!x.failed);
    sh_assert_str(sh_buf_str(&x.streamed), "abcdefg");
    ck_assert_uint_eq(x.body.len, 0);
    finish(&x);
    struct exchange y = {0};
    req.max_response_bytes = 100000;
    get(&y, &req, "/endless");
    assert_failed(&y, SH_E_LIMIT, "100000");
    ck_assert_uint_le(y.streamed.len, 100000);
    ck_assert_int_gt(y.pieces, 0);
    ck_assert_int_eq(y.status_in_data, 200);
    finish(&y);
    struct exchange z = {0};
    get(&z, &req, "/missing");
    sh_assert_str(sh_buf_str(&z.streamed), "no");
    ck_assert_int_eq(z.status_in_data, 404);
    finish(&z);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_request_may_cancel_itself_and_others) {
    struct sh_http_request req = {.max_response_bytes = 64 * SH_MIB, .on_data = on_data};
    struct exchange x = {.cancel_in_data = true};
    get(&x, &req, "/endless");
    ck_assert(!x.done && x.pieces == 1);
    finish(&x);
    struct exchange y = {.cancel_in_done = true};
    get(&y, NULL, "/ok");
    ck_assert_int_eq(y.status, 200);
    finish(&y);
    struct exchange silent = {0};
    struct exchange z = {.cancel_other = true, .other = &silent};
    start(&silent, NULL, "/silent");
    get(&z, &req, "/ok");
    ck_assert(z.done && !silent.done && !z.cancel_other);
    finish(&z);
    finish(&silent);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_request_may_be_canceled_before_it_ran_and_while_it_waits) {
    struct exchange x = {0};
    start(&x, NULL, "/ok");
    sh_http_cancel(x.http);
    finish(&x);
    struct exchange silent = {0};
    struct exchange y = {0};
    start(&silent, NULL, "/silent");
    get(&y, NULL, "/ok");
    sh_http_cancel(silent.http);
    sh_http_cancel(NULL);
    ck_assert(!x.done && !silent.done && y.status == 200);
    finish(&y);
    finish(&silent);
    sh_loop_free(loop);
}
END_TEST

static void cancel_and_stop(struct sh_timer *t) {
    struct exchange *x = sh_container_of(t, struct exchange, timer);
    sh_http_cancel(x->http);
    sh_loop_stop(t->loop);
}

START_TEST(canceling_while_the_name_is_looked_up_does_not_wait) {
    struct sh_http_request req = {.url = "http://localhost:1/", .max_response_bytes = 10};
    struct exchange x = {0};
    start(&x, &req, NULL);
    sh_timer_start(loop, &x.timer, 0, cancel_and_stop);
    sh_loop_run(loop);
    ck_assert(!x.done);
    finish(&x);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_request_may_start_the_next_at_its_end) {
    struct exchange second = {0};
    struct exchange first = {.start_in_done = true, .other = &second};
    get(&first, NULL, "/ok");
    ck_assert(first.status == 200 && second.status == 200);
    finish(&first);
    finish(&second);
    sh_loop_free(loop);
}
END_TEST

START_TEST(a_unix_socket_is_reached) {
    char path[] = "/tmp/sh-test-http-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(path));
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    start_server(listener);
    struct sh_http_request req = {.url = "http://localhost/ok",
                                  .max_response_bytes = 100,
                                  .unix_socket = addr.sun_path,
                                  .allow = on_allow};
    struct exchange x = {0};
    get(&x, &req, NULL);
    ck_assert_msg(x.status == 200, "%s", x.err.message);
    finish(&x);
    struct exchange y = {.refuse_from = 1};
    get(&y, &req, NULL);
    assert_failed(&y, SH_E_DENIED, "");
    finish(&y);
    unlink(addr.sun_path);
    rmdir(path);
    sh_loop_free(loop);
}
END_TEST

static void assert_invalid(const struct sh_http_request *req, const char *says) {
    struct sh_http_request copy = *req;
    struct sh_http *h = NULL;
    struct sh_err err = {0};
    copy.done = on_done;
    copy.url = copy.url ? copy.url : "http://127.0.0.1/";
    copy.method = copy.method ? copy.method : "GET";
    sh_assert_fails(sh_http_start(loop, &copy, &h, &err), SH_E_INVAL, &err);
    ck_assert_msg(strstr(err.message, says), "\"%s\"", err.message);
    ck_assert_ptr_null(h);
}

START_TEST(invalid_requests_are_refused_at_once) {
    static const char *const urls[] = {"",
                                       "127.0.0.1/",
                                       "ftp://h/",
                                       "file:///etc/passwd",
                                       "http://",
                                       "http://h/\r\nX: y",
                                       "http://h/ a",
                                       "gopher://h/",
                                       "http://h:99999/"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        assert_invalid(&(struct sh_http_request){.url = urls[i]}, "expected an http or https URL");
    }
    assert_invalid(&(struct sh_http_request){.url = "http://u:p@h/"}, "as a header instead");
    static const char *const lines[] = {"X: a\r\nY: b", "X: a\nb", "X a",    "",
                                        ": v",          "X : a",   "X: \x7f"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *const headers[] = {lines[i], NULL};
        assert_invalid(&(struct sh_http_request){.headers = headers}, "header");
    }
    const char *const framing[] = {"content-length: 3", NULL};
    assert_invalid(&(struct sh_http_request){.headers = framing}, "not the caller's");
    static const char *const methods[] = {"",      "get",   "GET /x",           "CONNECT",
                                          "TRACE", "A\r\n", "ABCDEFGHIJKLMNOPQ"};
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        assert_invalid(&(struct sh_http_request){.method = methods[i]}, "method");
    }
    char path[200];
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_invalid(&(struct sh_http_request){.unix_socket = path}, "unix socket");
    assert_invalid(&(struct sh_http_request){.unix_socket = ""}, "unix socket");
    char *url = sh_alloc(SH_HTTP_URL_MAX + 2);
    memset(url, 'u', SH_HTTP_URL_MAX + 1);
    memcpy(url, "http://h/", 9);
    url[SH_HTTP_URL_MAX + 1] = '\0';
    assert_invalid(&(struct sh_http_request){.url = url}, "bytes, at most");
    url[SH_HTTP_URL_MAX] = '\0'; /* exactly the longest */
    struct exchange x = {0};
    start(&x, &(struct sh_http_request){.url = url}, NULL);
    sh_http_cancel(x.http);
    finish(&x);
    sh_free(url);
    sh_loop_free(loop);
}
END_TEST

static void count_down(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                       const struct sh_err *err) {
    int *left = arg;
    (void)body;
    (void)retry_after_ms;
    ck_assert_msg(status == 200, "%s", err ? err->message : "");
    if (--*left == 0) {
        sh_loop_stop(loop);
    }
}

START_TEST(many_requests_run_side_by_side) {
    int left = 100;
    char url[100];
    snprintf(url, sizeof(url), "%s/ok", server.url);
    struct sh_http_request req = {.method = "GET",
                                  .url = url,
                                  .max_response_bytes = 5,
                                  .timeout_ms = 30000,
                                  .done = count_down,
                                  .arg = &left};
    for (int i = 0; i < 100; i++) {
        struct sh_http *h = NULL;
        struct sh_err err = {0};
        sh_assert_ok(sh_http_start(loop, &req, &h, &err), &err);
    }
    sh_loop_run(loop);
    ck_assert_int_eq(left, 0);
    sh_loop_free(loop);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        answers_come_with_status_and_body,
        retry_after_comes_in_milliseconds,
        requests_carry_method_headers_and_body,
        a_body_larger_than_any_socket_buffer_is_sent_whole,
        a_body_comes_from_a_file_and_no_more_of_it_than_was_said,
        the_environment_names_no_proxy,
        a_body_may_have_its_maximum_and_no_more,
        endless_headers_are_cut_off,
        no_memory_for_the_body_is_an_error,
        silence_times_out,
        broken_and_refused_connections_are_unavailable,
        an_address_that_is_not_allowed_is_never_connected_to,
        data_is_told_as_it_comes_and_not_kept,
        a_request_may_cancel_itself_and_others,
        a_request_may_be_canceled_before_it_ran_and_while_it_waits,
        canceling_while_the_name_is_looked_up_does_not_wait,
        a_request_may_start_the_next_at_its_end,
        a_unix_socket_is_reached,
        invalid_requests_are_refused_at_once,
        many_requests_run_side_by_side,
        NULL,
    };
    Suite *s = suite_create("loop_http");
    TCase *tcase = tcase_create("loop_http");
    tcase_set_timeout(tcase, SH_TEST_SECONDS);
    tcase_add_checked_fixture(tcase, setup, NULL);
    for (size_t i = 0; tests[i]; i++) {
        tcase_add_test(tcase, tests[i]);
    }
    suite_add_tcase(s, tcase);
    return s;
}

SH_TEST_MAIN(suite)
