/* The fault plan and the crash plan. */
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check_main.h"

START_TEST(the_kth_hit_fails_once_or_from_then_on) {
    sh_fault_plan(3, false);
    bool got[5];
    for (int i = 0; i < 5; i++) {
        got[i] = sh_fault_hit("x");
    }
    ck_assert(!got[0] && !got[1] && got[2] && !got[3] && !got[4]);
    ck_assert_uint_eq(sh_fault_plan(2, true), 5);
    for (int i = 0; i < 4; i++) {
        got[i] = sh_fault_hit("y");
    }
    ck_assert(!got[0] && got[1] && got[2] && got[3]);
    sh_fault_plan(0, false);
    ck_assert(!sh_fault_hit("x"));
    ck_assert_uint_eq(sh_fault_plan(0, false), 1);
}
END_TEST

/* Runs the points of a child under this environment; its wait status. */
static int child_status(const char *at, const char *count_file) {
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        if (at) {
            setenv("SHANNON_CRASH_AT", at, 1);
        }
        if (count_file) {
            setenv("SHANNON_CRASH_COUNT", count_file, 1);
        }
        sh_crash_hit("commit");
        sh_crash_hit("tell");
        sh_crash_hit("commit");
        exit(7);
    }
    int status = 0;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

START_TEST(the_named_hit_kills) {
    int status = child_status("commit:2", NULL);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    status = child_status("commit:3", NULL);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = child_status("other:1", NULL);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    status = child_status(NULL, NULL);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}
END_TEST

START_TEST(a_malformed_plan_is_refused) {
    static const char *const bad[] = {"commit", "commit:", "commit:0", "commit:x",
                                      ":1",     "a:1x",    ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int status = child_status(bad[i], NULL);
        ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 125, "\"%s\"", bad[i]);
    }
}
END_TEST

START_TEST(hits_are_counted_into_a_file) {
    char path[] = "/tmp/sh-test-fault-XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    int status = child_status(NULL, path);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    char text[200] = "";
    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    ck_assert_str_eq(text, "commit 2\ntell 1\n");
    close(fd);
    unlink(path);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        the_kth_hit_fails_once_or_from_then_on,
        the_named_hit_kills,
        a_malformed_plan_is_refused,
        hits_are_counted_into_a_file,
        NULL,
    };
    return sh_suite("base_fault", tests);
}

SH_TEST_MAIN(suite)
