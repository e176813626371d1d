/* Connections of the loop against small peers on the loopback address: what comes and goes, each
 * way of not getting a connection, and closing at each moment. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "loop/loop.h"

static struct sh_loop *l;
static struct sh_tcp *tcp;
static struct sh_timer watchdog;
static bool (*enough)(struct sh_tcp_status s);
static int listener, asked;
static bool refuse;

static void give_up(struct sh_timer *t) {
    (void)t;
    ck_abort_msg("nothing came in 30 s");
}

static void changed(void *arg) {
    ck_assert_ptr_eq(arg, &listener);
    if (enough(sh_tcp_status(tcp))) {
        sh_loop_stop(l);
    }
}

static bool allow(void *arg, const struct sockaddr *addr) {
    ck_assert_ptr_eq(arg, &listener);
    ck_assert(addr->sa_family == AF_INET || addr->sa_family == AF_INET6);
    asked++;
    return !refuse;
}

static void run_until(bool (*fn)(struct sh_tcp_status s)) {
    enough = fn;
    if (!fn(sh_tcp_status(tcp))) {
        sh_loop_run(l);
    }
    ck_assert(fn(sh_tcp_status(tcp)));
}

static bool is_connected(struct sh_tcp_status s) {
    return s.connected || s.ended;
}

static bool has_ended(struct sh_tcp_status s) {
    return s.ended;
}

static bool is_sent(struct sh_tcp_status s) {
    return s.to_send == 0;
}

static uint16_t listen_on(const char *host) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);

    inet_pton(AF_INET, host, &in.sin_addr);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(listener, 5), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &n), 0);
    return ntohs(in.sin_port);
}

static void open_to(const char *host, uint16_t port, uint64_t timeout_ms) {
    struct sh_err err = {0};
    const struct sh_tcp_options o = {.host = host,
                                     .port = port,
                                     .timeout_ms = timeout_ms,
                                     .allow = allow,
                                     .changed = changed,
                                     .arg = &listener};

    sh_assert_ok(sh_loop_new(&l, &err), &err);
    sh_timer_start(l, &watchdog, 30000000000, give_up);
    sh_assert_ok(sh_tcp_open(l, &o, &tcp, &err), &err);
}

/* A connection, and the peer's end of it. */
static int pair(void) {
    int fd;

    open_to("127.0.0.1", listen_on("127.0.0.1"), 20000);
    run_until(is_connected);
    ck_assert_int_eq(sh_tcp_status(tcp).error, 0);
    fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    return fd;
}

static void done(void) {
    sh_timer_stop(&watchdog);
    sh_tcp_close(tcp, true);
    sh_loop_free(l);
    close(listener);
}

static bool five_came(struct sh_tcp_status s) {
    return s.received.len == 5;
}

START_TEST(bytes_go_both_ways) {
    int fd = pair();
    char got[8];

    ck_assert_int_eq(asked, 1);
    sh_tcp_send(tcp, SH_STR("ping"));
    run_until(is_sent);
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 4);
    ck_assert_int_eq(memcmp(got, "ping", 4), 0);
    ck_assert_int_eq(send(fd, "hello", 5, 0), 5);
    run_until(five_came);
    ck_assert(sh_str_eqz(sh_tcp_status(tcp).received, "hello"));
    sh_tcp_take(tcp, 2);
    ck_assert(sh_str_eqz(sh_tcp_status(tcp).received, "llo"));
    sh_tcp_take(tcp, 3);
    close(fd);
    run_until(has_ended);
    ck_assert_int_eq(sh_tcp_status(tcp).error, 0);
    done();
}
END_TEST

START_TEST(an_end_of_sending_leaves_the_other_way_open) {
    int fd = pair();
    char got[8];

    sh_tcp_send(tcp, SH_STR("last"));
    sh_tcp_end(tcp);
    sh_tcp_send(tcp, SH_STR("too late"));
    run_until(is_sent);
    ck_assert_int_eq(recv(fd, got, sizeof(got), MSG_WAITALL), 4);
    ck_assert_int_eq(recv(fd, got, sizeof(got), 0), 0);
    ck_assert_int_eq(send(fd, "hello", 5, 0), 5);
    run_until(five_came);
    close(fd);
    done();
}
END_TEST

START_TEST(nobody_listening_is_refused) {
    uint16_t port = listen_on("127.0.0.1");

    close(listener);
    open_to("127.0.0.1", port, 20000);
    run_until(has_ended);
    ck_assert_int_eq(sh_tcp_status(tcp).error, ECONNREFUSED);
    ck_assert(!sh_tcp_status(tcp).connected);
    done();
}
END_TEST

START_TEST(an_address_that_is_not_allowed_gets_no_packet) {
    refuse = true;
    open_to("127.0.0.1", listen_on("127.0.0.1"), 20000);
    run_until(has_ended);
    ck_assert_int_eq(sh_tcp_status(tcp).error, EACCES);
    ck_assert_int_eq(asked, 1);
    done();
}
END_TEST

START_TEST(a_name_that_is_none) {
    open_to("no-such-name.invalid", 80, 20000);
    run_until(has_ended);
    ck_assert(sh_tcp_status(tcp).error == ENOENT || sh_tcp_status(tcp).error == EHOSTUNREACH ||
              sh_tcp_status(tcp).error == ETIMEDOUT);
    ck_assert_int_eq(asked, 0);
    done();
}
END_TEST

START_TEST(six_in_brackets_is_an_address) {
    open_to("[::1]", 9, 20000);
    run_until(has_ended); /* refused, or a machine without IPv6 */
    ck_assert_int_ne(sh_tcp_status(tcp).error, ENOENT);
    ck_assert_int_eq(asked, 1);
    done();
}
END_TEST

START_TEST(a_full_queue_of_connections_is_a_timeout) {
    struct sockaddr_in in = {.sin_family = AF_INET};
    socklen_t n = sizeof(in);
    int fill[16];

    (void)listen_on("127.0.0.1");
    ck_assert_int_eq(listen(listener, 0), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &n), 0);
    for (int i = 0; i < 16; i++) { /* nobody accepts them */
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(fill[i], (struct sockaddr *)&in, sizeof(in));
    }
    open_to("127.0.0.1", ntohs(in.sin_port), 300);
    run_until(has_ended);
    ck_assert_int_eq(sh_tcp_status(tcp).error, ETIMEDOUT);
    for (int i = 0; i < 16; i++) {
        close(fill[i]);
    }
    done();
}
END_TEST

START_TEST(a_reset_is_an_error) {
    const struct linger none = {.l_onoff = 1};
    int fd = pair();

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
    close(fd);
    run_until(has_ended);
    ck_assert_int_eq(sh_tcp_status(tcp).error, ECONNRESET);
    sh_tcp_send(tcp, SH_STR("lost"));
    ck_assert_uint_eq(sh_tcp_status(tcp).to_send, 0);
    done();
}
END_TEST

static bool is_full(struct sh_tcp_status s) {
    return s.received.len >= SH_NET_BUFFER_MAX;
}

static size_t taken;
static bool million_taken(struct sh_tcp_status s) {
    for (size_t i = 0; i < s.received.len; i++) {
        ck_assert_int_eq((uint8_t)s.received.p[i], (uint8_t)((taken + i) % 251));
    }
    taken += s.received.len;
    sh_tcp_take(tcp, s.received.len);
    return s.ended;
}

static void *send_million(void *arg) {
    int fd = *(int *)arg;
    uint8_t block[1000];

    for (size_t i = 0; i < 1000; i++) {
        for (size_t k = 0; k < sizeof(block); k++) {
            block[k] = (uint8_t)((i * 1000 + k) % 251);
        }
        ck_assert_int_eq(send(fd, block, sizeof(block), MSG_NOSIGNAL), sizeof(block));
    }
    close(fd);
    return NULL;
}

START_TEST(a_peer_that_sends_too_much_waits_and_nothing_is_lost) {
    int fd = pair();
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, send_million, &fd), 0);
    run_until(is_full);
    ck_assert_uint_eq(sh_tcp_status(tcp).received.len, SH_NET_BUFFER_MAX);
    run_until(million_taken);
    ck_assert_uint_eq(taken, 1000000);
    pthread_join(thread, NULL);
    done();
}
END_TEST

static void *count_bytes(void *arg) {
    char block[4096];
    ssize_t n;

    for (taken = 0; (n = recv(*(int *)arg, block, sizeof(block), 0)) > 0;) {
        taken += (size_t)n;
    }
    return NULL;
}

START_TEST(what_was_written_before_a_close_arrives) {
    int fd = pair();
    char *much = sh_zalloc(4 * SH_MIB);
    pthread_t thread;

    sh_tcp_send(tcp, sh_strn(much, 4 * SH_MIB));
    ck_assert_uint_eq(sh_tcp_status(tcp).to_send, 4 * SH_MIB);
    sh_tcp_close(tcp, false);
    ck_assert_int_eq(pthread_create(&thread, NULL, count_bytes, &fd), 0);
    tcp = NULL;
    done(); /* the loop waits for it */
    pthread_join(thread, NULL);
    ck_assert_uint_eq(taken, 4 * SH_MIB);
    close(fd);
    sh_free(much);
}
END_TEST

START_TEST(a_peer_that_reads_nothing_keeps_no_loop) {
    int fd = pair();
    char *much = sh_zalloc(16 * SH_MIB);

    sh_tcp_send(tcp, sh_strn(much, 16 * SH_MIB));
    sh_tcp_close(tcp, false);
    tcp = NULL;
    done();
    close(fd);
    sh_free(much);
}
END_TEST

START_TEST(it_can_be_closed_at_any_moment) {
    uint16_t port = listen_on("127.0.0.1");

    open_to("127.0.0.1", port, 20000); /* resolving */
    sh_tcp_close(tcp, false);
    tcp = NULL;
    done();
    port = listen_on("127.0.0.1");
    open_to("127.0.0.1", port, 20000);
    run_until(is_connected);
    done(); /* connected, with a reset */
    sh_tcp_close(NULL, true);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        bytes_go_both_ways,
        an_end_of_sending_leaves_the_other_way_open,
        nobody_listening_is_refused,
        an_address_that_is_not_allowed_gets_no_packet,
        a_name_that_is_none,
        six_in_brackets_is_an_address,
        a_full_queue_of_connections_is_a_timeout,
        a_reset_is_an_error,
        a_peer_that_sends_too_much_waits_and_nothing_is_lost,
        what_was_written_before_a_close_arrives,
        a_peer_that_reads_nothing_keeps_no_loop,
        it_can_be_closed_at_any_moment,
        NULL,
    };
    return sh_suite("loop_tcp", tests);
}

SH_TEST_MAIN(suite)
