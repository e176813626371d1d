/* Connections of agents, and polls of mixtures, against a peer in this process: what is journaled
 * and when, what a crash at each commit leaves, what counts and what ends a wait. The peer answers
 * each line with the same in brackets; "bye" ends the connection, "drop" resets it, and a line of
 * "quiet" is not answered.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;
static int listener;
static unsigned port;
static atomic_int accepted, gone; /* connections begun, and ended, as the peer saw it */
static atomic_size_t received;
static atomic_bool deaf; /* it reads nothing */

/* ---- the peer ---- */

static void serve_line(int fd, const char *line, size_t n) {
    char out[300];

    if (n == 5 && memcmp(line, "quiet", 5) == 0) {
        return;
    }
    (void)send(fd, out, (size_t)snprintf(out, sizeof(out), "<%.*s>", (int)n, line), MSG_NOSIGNAL);
}

static void *serve(void *arg) {
    const struct linger none = {.l_onoff = 1};
    int fd = (int)(intptr_t)arg;
    char buf[65536];
    ssize_t n;

    while (atomic_load(&deaf)) {
        usleep(1000);
    }
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0) {
        atomic_fetch_add(&received, (size_t)n);
        if (n == 3 && memcmp(buf, "bye", 3) == 0) {
            break;
        }
        if (n == 4 && memcmp(buf, "drop", 4) == 0) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof(none));
            break;
        }
        if (n < 200) {
            serve_line(fd, buf, (size_t)n);
        }
    }
    close(fd);
    atomic_fetch_add(&gone, 1);
    return NULL;
}

static void *accept_all(void *arg) {
    int fd;

    (void)arg;
    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        pthread_t thread;

        atomic_fetch_add(&accepted, 1);
        ck_assert_int_eq(pthread_create(&thread, NULL, serve, (void *)(intptr_t)fd), 0);
        pthread_detach(thread);
    }
    return NULL;
}

static void peer_start(void) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(in);
    const int small = 65536; /* of each connection */
    pthread_t thread;

    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(listener, 50), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &n), 0);
    port = ntohs(in.sin_port);
    ck_assert_int_eq(pthread_create(&thread, NULL, accept_all, NULL), 0);
    pthread_detach(thread);
}

static void await_gone(int n) {
    for (int i = 0; i < 2000 && atomic_load(&gone) < n; i++) {
        fixture_run_ms(&f, 5);
    }
    ck_assert_int_ge(atomic_load(&gone), n);
}

/* ---- the engine ---- */

static json_t *policy;

static void begin(const char *name) {
    peer_start();
    policy = json_pack("{s:[{s:s, s:{s:[{s:s, s:s, s:i}], s:[s,s,s]}}]}", "rules", "agent", "*",
                       "allow", "network", "scheme", "tcp", "host", "127.0.0.1", "port", (int)port,
                       "tools", "llm", "calculator", "kv");
    f.policy_doc = policy;
    fixture_open(&f, name);
}

static void end(void) {
    fixture_close(&f);
    json_decref(policy);
    close(listener);
}

/* A program whose first line connects to the peer. */
static char *submit(const char *rest, const struct sh_submit *extra) {
    sh_auto(sh_free_p) char *program = sh_asprintf("(module\nconnect 127.0.0.1 %u\n%s", port, rest);
    char *id = fixture_submit(&f, program, extra);

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    return id;
}

/* How it ended, and what it printed. */
static void expect(const char *id, const char *status, const char *text) {
    sh_auto(sh_json_done) json_t *row = fixture_wait(&f, id);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), status);
    if (text) {
        ck_assert_str_eq(json_string_value(json_object_get(row, "result")), text);
    }
}

static void expect_verified(const char *id) {
    sh_auto(sh_json_done) json_t *report = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(report);

    ck_assert_msg(strcmp(json_string_value(json_object_get(report, "replay")), "ok") == 0, "%s",
                  text);
}

START_TEST(a_connection_is_journaled_and_replays_without_its_peer) {
    json_t *first = NULL;

    begin("echo");
    sh_auto(sh_free_p) char *id = submit("send hello\nrecv\nsend bye\nrecv\nrecv\n", NULL);
    expect(id, "completed", "open 0 \nwrite 0 \nread 0 <hello>\nwrite 0 \nread 0 \nread 0 ");
    close(listener);
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Observed", &first), 6);
    ck_assert_str_eq(json_string_value(json_object_get(first, "kind")), "net.open");
    expect_verified(id);
    ck_assert_int_eq(atomic_load(&accepted), 1);
    end();
}
END_TEST

START_TEST(a_refusal_is_an_event_that_says_what_would_do) {
    json_t *first = NULL;

    begin("denied");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nconnect 127.0.0.2 99\nprint on\n", NULL);
    expect(id, "completed", "open 2 \non"); /* EACCES */
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Observed", &first), 1);
    ck_assert_str_eq(json_string_value(json_object_get(first, "error")), "permission_denied");
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(first, "message")), "tcp://127.0.0.2:99"));
    expect_verified(id);
    end();
}
END_TEST

START_TEST(a_reset_and_a_lost_connection_have_their_number) {
    begin("reset");
    sh_auto(sh_free_p) char *id = submit("send drop\nrecv\nsend more\nhang\nrecv\nawait 5000\n"
                                         "shut\n",
                                         NULL);
    /* 15: ECONNRESET. After hang there is no such connection: it is as one of another process */
    expect(id, "completed",
           "open 0 \nwrite 0 \nread 15 \nwrite 15 \nread 15 \npoll 0 ready\nshut 15 ");
    expect_verified(id);
    end();
}
END_TEST

START_TEST(polls_end_with_bytes_or_with_time) {
    begin("poll");
    sh_auto(sh_free_p) char *id =
        submit("await 20\nsend hello\nawait 20000\nrecv\nsend quiet\nawait 20\n", NULL);
    expect(id, "completed",
           "open 0 \npoll 0 late\nwrite 0 \npoll 0 ready\nread 0 <hello>\nwrite 0 \npoll 0 late");
    expect_verified(id);
    end();
}
END_TEST

/* Asks the disk: the engine would answer behind a commit that is held back, so never. */
static bool has_ended(const struct sh_twin *twin, const char *id) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(twin);

    return json_object_get(json_object_get(json_object_get(durable, "workflow"), id),
                           "completed_at") != NULL;
}

/* Runs until the k-th commit is held back, and takes the power away; false: it ended before. */
static bool crash_at(const char *program, size_t k, enum sh_twin_loss loss, char *id) {
    struct sh_twin *twin = sh_twin_named(f.endpoint + 5);
    sh_auto(sh_free_p) char *got = submit(program, NULL);
    size_t commits = 0;

    snprintf(id, SH_ID_MAX + 1, "%s", got);
    sh_twin_hold(twin, true);
    for (int idle = 0; idle < 20000;) {
        idle = sh_twin_held(twin) > 0 ? 0 : idle + 1;
        if (commits == k && sh_twin_held(twin) > 0) {
            fixture_crash(&f, loss);
            return true;
        }
        commits += sh_twin_release(twin, 1);
        fixture_run_ms(&f, 1);
        if (idle > 20 && has_ended(twin, id)) {
            sh_twin_hold(twin, false);
            return false;
        }
    }
    ck_abort_msg("neither a commit nor an end");
}

/* Every read that the journal has is there after the crash; the first new call says ECONNRESET, if
 * the connection was open; and a new connection works. */
START_TEST(power_loss_at_every_commit) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE};
    static const char program[] = "send one\nrecv\nsend two\nrecv\nhang\n";
    static const char whole[] = "open 0 \nwrite 0 \nread 0 <one>\nwrite 0 \nread 0 <two>";
    size_t resets = 0;

    begin("power");
    for (size_t loss = 0; loss < 2; loss++) {
        for (size_t k = 0;; k++) {
            char id[SH_ID_MAX + 1];
            bool crashed = crash_at(program, k, losses[loss], id);
            sh_auto(sh_json_done) json_t *row = fixture_wait(&f, id);
            const char *text = json_string_value(json_object_get(row, "result"));

            ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
            if (strcmp(text, whole) != 0) {
                const char *first = strstr(text, " 15 ");

                ck_assert_msg(crashed && first, "commit %zu: %s", k, text);
                ck_assert_msg(strncmp(text, whole, strlen("open 0 \n")) == 0, "%s", text);
                resets++;
            }
            expect_verified(id);
            if (!crashed) {
                ck_assert_str_eq(text, whole);
                ck_assert_uint_ge(k, 5);
                break;
            }
        }
    }
    ck_assert_uint_ge(resets, 4);
    end();
}
END_TEST

/* ---- polls of a mixture ---- */

static char *submit_live(const char *program) {
    char *id = fixture_submit(&f, program, &(struct sh_submit){.stdin_live = true});

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    return id;
}

static void type(const char *id, const char *text, bool eof) {
    struct sh_err err = {0};

    sh_assert_ok(sh_engine_stdin(f.engine, sh_str(id), sh_str(text), eof, &err), &err);
}

START_TEST(a_mixture_ends_with_time_input_a_peer_or_a_result) {
    begin("mixture");
    sh_auto(sh_free_p) char *program = sh_asprintf("(module\nselect 20\nselect 60000\nselect 30\n"
                                                   "connect 127.0.0.1 %u\nsend hello\n"
                                                   "select 60001\nrecv\n"
                                                   "start sleep {\"ms\":20}\nselect 60002\n"
                                                   "select 60003\nselect 60004\n",
                                                   port);
    sh_auto(sh_free_p) char *id = submit_live(program);
    fixture_await(&f, id, "Output", 1);
    type(id, "line", false);
    fixture_await(&f, id, "TimerFired", 1);
    type(id, "end", true);
    expect(id, "completed",
           "select late\nselect 4 bytes\nselect late\nopen 0 \nwrite 0 \nselect connection\n"
           "read 0 <hello>\n1 {\"ok\":{\"slept_ms\":20}}\nselect 3 bytes\nselect 0 bytes");
    expect_verified(id);
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Observed", NULL), 9); /* none for the result */
    end();
}
END_TEST

static void heard(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    ck_assert_ptr_null(err);
}

static void await_held(struct sh_twin *twin) {
    for (int i = 0; i < 4000 && sh_twin_held(twin) == 0; i++) {
        fixture_run_ms(&f, 5);
    }
    ck_assert_uint_eq(sh_twin_held(twin), 1);
}

/* The result is on its way to disk when the time is over: what the agent is told is the result, and
 * no observation may follow, which would be taken for an answer to the next poll. */
START_TEST(no_delay_is_journaled_behind_a_result_that_is_under_way) {
    struct sh_twin *twin;

    begin("race");
    twin = sh_twin_named(f.endpoint + 5);
    sh_auto(sh_free_p) char *id =
        submit_live("(module\nselect 1\nstart signal {\"name\":\"go\"}\nselect 1000\nselect 77\n");
    fixture_await(&f, id, "Output", 1);
    sh_twin_hold(twin, true);
    sh_engine_signal(f.engine, sh_str(id), SH_STR("go"), json_null(), heard, NULL);
    await_held(twin);
    (void)sh_twin_release(twin, 1); /* that it was received; the result of the wait follows */
    await_held(twin);
    fixture_run_ms(&f, 1200); /* the 1000 ms are over */
    ck_assert_uint_eq(sh_twin_held(twin), 1);
    sh_twin_hold(twin, false);
    (void)sh_twin_release(twin, 1);
    expect(id, "completed",
           "select late\n1 {\"ok\":{\"name\":\"go\",\"payload\":null}}\nselect late");
    expect_verified(id);
    end();
}
END_TEST

/* The first poll's timer runs on when a result has ended it; it is none of the second's. */
START_TEST(each_poll_has_its_own_time) {
    int64_t result_us = 0, late_us = 0;
    json_t *event;
    size_t i;

    begin("times");
    sh_auto(sh_free_p) char *id =
        submit_live("(module\nstart sleep {\"ms\":250}\nselect 300\nselect 300\n");
    expect(id, "completed", "1 {\"ok\":{\"slept_ms\":250}}\nselect late");
    sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
    json_array_foreach(events, i, event) {
        const char *what = json_string_value(json_object_get(event, "type"));

        if (strcmp(what, "TimerFired") == 0) {
            result_us = sh_json_get_int(event, "time_us", 0);
        } else if (strcmp(what, "Observed") == 0) {
            late_us = sh_json_get_int(event, "time_us", 0);
        }
    }
    ck_assert_int_gt(result_us, 0);
    ck_assert_int_ge(late_us - result_us, 300000);
    end();
}
END_TEST

/* Delays, results and a peer in any order: whatever a crash leaves is what the run goes on from. */
START_TEST(power_loss_at_every_commit_of_mixtures) {
    static const enum sh_twin_loss losses[] = {SH_TWIN_LOSE_ALL, SH_TWIN_LOSE_NONE};
    static const char program[] = "start sleep {\"ms\":4}\nstart sleep {\"ms\":9}\nselect 5\n"
                                  "send hello\nselect 6\nselect 7\nselect 8\nselect 9\n"
                                  "print end\n";

    begin("mixtures");
    for (size_t loss = 0; loss < 2; loss++) {
        bool crashed = true;

        for (size_t k = 0; crashed; k++) {
            char id[SH_ID_MAX + 1];

            crashed = crash_at(program, k, losses[loss], id);
            expect(id, "completed", NULL);
            expect_verified(id);
            ck_assert(crashed || k >= 5);
        }
    }
    end();
}
END_TEST

START_TEST(a_mixture_without_a_peer_costs_no_wall_clock) {
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:s}}", "limits", "wall_clock", "200ms");
    const struct sh_submit extra = {.capabilities = caps, .stdin_live = true};

    begin("free");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nselect 500\n", &extra);
    expect(id, "completed", "select late");
    sh_auto(sh_free_p) char *other = submit("select 60000\n", &extra);
    expect(other, "timeout", NULL);
    end();
}
END_TEST

START_TEST(a_silent_peer_costs_wall_clock) {
    sh_auto(sh_json_done) json_t *caps = json_pack("{s:{s:s}}", "limits", "wall_clock", "300ms");

    begin("wall");
    sh_auto(sh_free_p) char *id = submit("recv\n", &(struct sh_submit){.capabilities = caps});
    expect(id, "timeout", NULL);
    await_gone(1);
    expect_verified(id);
    end();
}
END_TEST

START_TEST(a_cancel_ends_a_wait) {
    begin("cancel");
    f.cancel_grace_ms = 50;
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    sh_auto(sh_free_p) char *id = submit("recv\n", NULL);
    fixture_await(&f, id, "Observed", 1);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    expect(id, "canceled", NULL);
    await_gone(1);
    expect_verified(id);
    end();
}
END_TEST

START_TEST(an_end_and_a_checkpoint_close_what_is_open) {
    begin("close");
    sh_auto(sh_free_p) char *id = submit("send hello\nrecv\n", NULL);
    expect(id, "completed", NULL);
    await_gone(1);
    sh_auto(sh_free_p) char *other = submit("checkpoint mark\nsend hello\nrecv\n", NULL);
    expect(other, "completed", NULL);
    await_gone(3); /* one before the checkpoint, one behind it */
    expect_verified(other);
    end();
}
END_TEST

START_TEST(an_open_connection_keeps_its_task_in_memory) {
    begin("rest");
    f.passivate_after_ms = 40;
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    sh_auto(sh_free_p) char *id =
        submit("start sleep {\"ms\":400}\nwait any\nsend hello\nrecv\n", NULL);
    expect(id, "completed", NULL);
    ck_assert_int_eq(atomic_load(&accepted), 1);
    sh_auto(sh_json_done) json_t *row = fixture_row(&f, id);
    ck_assert_ptr_nonnull(
        strstr(json_string_value(json_object_get(row, "result")), "read 0 <hello>"));
    end();
}
END_TEST

START_TEST(a_long_pause_loses_it) {
    begin("pause");
    f.passivate_after_ms = 40;
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    sh_auto(sh_free_p) char *id =
        submit("start signal {\"name\":\"go\"}\nwait any\nsend hello\nrecv\n", NULL);
    fixture_await(&f, id, "Observed", 1);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    await_gone(1);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    ck_assert_int_eq(fixture_signal(&f, id, "go", json_true()), 0);
    expect(id, "completed", NULL);
    sh_auto(sh_json_done) json_t *row = fixture_row(&f, id);
    ck_assert_ptr_nonnull(strstr(json_string_value(json_object_get(row, "result")), "write 15 "));
    expect_verified(id);
    end();
}
END_TEST

START_TEST(a_peer_that_does_not_read_makes_the_agent_wait_and_gets_all) {
    enum { PIECES = 400 };
    sh_auto(sh_buf_done) struct sh_buf text = {0};

    begin("slow");
    atomic_store(&deaf, true);
    sh_buf_init(&text, SH_MIB);
    for (int i = 0; i < PIECES; i++) {
        sh_buf_adds(&text, "much 65536\n");
    }
    sh_buf_adds(&text, "print all\n");
    sh_auto(sh_free_p) char *id = submit(text.p, NULL);
    fixture_await(&f, id, "Observed", 4);
    for (int i = 0, same = 0, last = 0; same < 20; i++) { /* until it stands still */
        sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
        int n = (int)fixture_count(events, "Observed", NULL);

        same = n == last ? same + 1 : 0;
        last = n;
        ck_assert_int_lt(n, PIECES);
        fixture_run_ms(&f, 10);
    }
    atomic_store(&deaf, false);
    expect(id, "completed", NULL);
    await_gone(1);
    ck_assert_uint_eq(atomic_load(&received), (size_t)PIECES * 65536);
    end();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_connection_is_journaled_and_replays_without_its_peer,
        a_refusal_is_an_event_that_says_what_would_do,
        a_reset_and_a_lost_connection_have_their_number,
        polls_end_with_bytes_or_with_time,
        power_loss_at_every_commit,
        a_mixture_ends_with_time_input_a_peer_or_a_result,
        no_delay_is_journaled_behind_a_result_that_is_under_way,
        each_poll_has_its_own_time,
        power_loss_at_every_commit_of_mixtures,
        a_mixture_without_a_peer_costs_no_wall_clock,
        a_silent_peer_costs_wall_clock,
        a_cancel_ends_a_wait,
        an_end_and_a_checkpoint_close_what_is_open,
        an_open_connection_keeps_its_task_in_memory,
        a_long_pause_loses_it,
        a_peer_that_does_not_read_makes_the_agent_wait_and_gets_all,
        NULL,
    };
    return sh_suite("engine_net", tests);
}

SH_TEST_MAIN(suite)
