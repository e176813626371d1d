/* A workflow under which the process died three times is set aside; its neighbours, and those that
 * got on in between, are not. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include "engine/crash.h"
#include "engine/modules.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static struct fixture f;

static const char waiting[] = "(module\nstart signal {\"name\":\"go\"}\nwait any\nprint went\n";

/* The process dies of `sig` while `id` is on an executor: a child does it in our place. */
static void die(const char *id, int sig) {
    int status = 0;
    pid_t pid;

    fixture_stop_engine(&f);
    pid = fork();
    if (pid == 0) {
        struct rlimit none = {0, 0};
        struct sh_crash *c = NULL;
        setrlimit(RLIMIT_CORE, &none);
        sh_crash_handlers();
        sh_crash_open(f.dir, &c, NULL);
        sh_crash_enter(c, id, SH_CRASH_RUN);
        kill(getpid(), sig);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
}

/* Submit one and let it come to rest: from there on it does nothing new by itself. */
static char *submit_waiting(void) {
    char *id = fixture_submit(&f, waiting, NULL);

    for (int i = 0; i < 2000; i++) {
        json_t *events = fixture_events(&f, id);
        size_t n = fixture_count(events, "ActivityScheduled", NULL);
        json_decref(events);
        if (n == 1) {
            return id;
        }
        fixture_run_ms(&f, 5);
    }
    ck_abort_msg("it never waited");
    return NULL;
}

static int64_t count_of(const char *id) {
    sh_auto(sh_free_p) char *key = sh_asprintf("crash:%s", id);
    json_t *all = sh_twin_snapshot(sh_twin_named(f.endpoint + 5));
    int64_t n = sh_json_get_int(json_object_get(json_object_get(all, "meta"), key), "count", 0);

    json_decref(all);
    return n;
}

START_TEST(three_crashes_set_a_workflow_aside_and_no_other) {
    struct sh_str message, code;
    json_t *row, *v;

    fixture_open(&f, "quarantine");
    sh_auto(sh_free_p) char *poison = submit_waiting();
    sh_auto(sh_free_p) char *other = submit_waiting();
    for (int i = 1; i < SH_CRASHES_MAX; i++) {
        die(poison, SIGABRT);
        fixture_start_engine(&f);
        fixture_run_ms(&f, 20);
        ck_assert_int_eq(count_of(poison), i);
        row = fixture_row(&f, poison); /* one less than the limit: it goes on */
        ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "running");
        json_decref(row);
    }
    die(poison, SIGSEGV);
    fixture_start_engine(&f);
    row = fixture_wait(&f, poison);
    code = sh_json_get_str(json_object_get(row, "error"), "code");
    message = sh_json_get_str(json_object_get(row, "error"), "message");
    ck_assert(sh_str_eqz(code, "quarantined"));
    ck_assert_ptr_nonnull(
        memmem(message.p, message.len, json_string_value(json_object_get(row, "module")), 64));
    json_decref(row);
    ck_assert_int_eq(count_of(poison), 0);
    v = fixture_verify(&f, poison);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    ck_assert_int_eq(fixture_signal(&f, other, "go", NULL), 0);
    row = fixture_wait(&f, other);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_new_event_begins_the_count_again) {
    fixture_open(&f, "progress");
    sh_auto(sh_free_p) char *id = submit_waiting();
    for (int i = 0; i < 2 * SH_CRASHES_MAX; i++) {
        die(id, SIGABRT);
        fixture_start_engine(&f);
        fixture_run_ms(&f, 10);
        ck_assert_int_eq(count_of(id), 1);
        ck_assert_int_eq(fixture_signal(&f, id, "other", NULL), 0);
        ck_assert_int_eq(count_of(id), 0);
    }
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    json_decref(fixture_wait(&f, id));
    fixture_close(&f);
}
END_TEST

START_TEST(kills_never_count) {
    fixture_open(&f, "kills");
    sh_auto(sh_free_p) char *id = submit_waiting();
    for (int i = 0; i < 2 * SH_CRASHES_MAX; i++) {
        die(id, SIGKILL);
        fixture_start_engine(&f);
        ck_assert_int_eq(count_of(id), 0);
    }
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    json_decref(fixture_wait(&f, id));
    fixture_close(&f);
}
END_TEST

/* The counts are durable before the stamp is given up; a stop between both must not count twice. */
START_TEST(one_crash_is_counted_once) {
    struct sh_buf stamp;
    struct sh_err err = {0};

    fixture_open(&f, "once");
    sh_auto(sh_free_p) char *id = submit_waiting();
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/crash-stamp", f.dir);
    die(id, SIGABRT);
    sh_buf_init(&stamp, SH_MIB);
    sh_assert_ok(sh_file_read(path, SH_MIB, &stamp, &err), &err);
    for (int i = 0; i < SH_CRASHES_MAX; i++) {
        fixture_start_engine(&f);
        ck_assert_int_eq(count_of(id), 1);
        fixture_stop_engine(&f);
        sh_assert_ok(sh_file_write(path, sh_buf_str(&stamp), 0600, &err), &err);
    }
    sh_buf_done(&stamp);
    fixture_start_engine(&f);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {three_crashes_set_a_workflow_aside_and_no_other,
                                  a_new_event_begins_the_count_again, kills_never_count,
                                  one_crash_is_counted_once, NULL};
    return sh_suite("engine_quarantine", tests);
}
SH_TEST_MAIN(suite)
