/* A process that dies of a signal says under which workflow; one that is killed says nothing. */
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/crash.h"
#include "lib/check_main.h"

static char dir[64];

static void make_dir(void) {
    snprintf(dir, sizeof(dir), "/tmp/shannon-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void remove_dir(void) {
    sh_tree_remove(dir);
}

/* Run `die` in a child that has its own crash file; the child's wait status. */
static int in_child(void (*die)(struct sh_crash *c)) {
    int status = 0;
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        struct sh_err err = {0};
        struct sh_crash *c = NULL;
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        sh_crash_handlers();
        if (sh_crash_open(dir, &c, &err) < 0) {
            _exit(77);
        }
        die(c);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* "workflow phase" of the n-th that was stamped, "" when there is none. */
static char *stamped(size_t n) {
    json_t *found = sh_crash_read(dir);
    json_t *item = json_array_get(json_object_get(found, "stamped"), n);
    char *text = item ? sh_asprintf("%s %s", json_string_value(json_object_get(item, "workflow")),
                                    json_string_value(json_object_get(item, "phase")))
                      : sh_strdup("");

    json_decref(found);
    return text;
}

static void assert_stamped(const char *first, const char *second) {
    sh_auto(sh_free_p) char *a = stamped(0), *b = stamped(1);

    ck_assert_str_eq(a, first);
    ck_assert_str_eq(b, second);
}

struct companion {
    struct sh_crash *crash;
    const char *id;
    enum sh_crash_phase phase;
    pthread_barrier_t *ready;
};

static void *keep_company(void *arg) {
    struct companion *w = arg;

    sh_crash_enter(w->crash, w->id, w->phase);
    pthread_barrier_wait(w->ready);
    pause();
    return NULL;
}

/* Threads that work for wf-b (on an executor) and wf-c (its effects). */
static void company(struct sh_crash *c) {
    static pthread_barrier_t ready;
    static struct companion b, d;
    pthread_t t;

    pthread_barrier_init(&ready, NULL, 3);
    b = (struct companion){c, "wf-b", SH_CRASH_RUN, &ready};
    d = (struct companion){c, "wf-c", SH_CRASH_EFFECTS, &ready};
    pthread_create(&t, NULL, keep_company, &b);
    pthread_create(&t, NULL, keep_company, &d);
    pthread_barrier_wait(&ready);
}

static void abort_at_work(struct sh_crash *c) {
    company(c);
    sh_crash_enter(c, "wf-a", SH_CRASH_RUN);
    abort();
}

static void fault_at_work(struct sh_crash *c) {
    company(c);
    sh_crash_enter(c, "wf-a", SH_CRASH_LAUNCH);
    raise(SIGSEGV);
}

static void abort_of_nobody(struct sh_crash *c) {
    company(c);
    sh_crash_enter(c, "wf-a", SH_CRASH_RUN);
    sh_crash_leave(c);
    abort();
}

static void killed_at_work(struct sh_crash *c) {
    sh_crash_enter(c, "wf-a", SH_CRASH_RUN);
    kill(getpid(), SIGKILL);
}

static void exit_at_work(struct sh_crash *c) {
    sh_crash_enter(c, "wf-a", SH_CRASH_RUN);
    _exit(3);
}

START_TEST(the_thread_that_dies_names_its_workflow_alone) {
    make_dir();
    int status = in_child(abort_at_work);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_stamped("wf-a run", "");
    in_child(fault_at_work);
    assert_stamped("wf-a launch", "");
    remove_dir();
}
END_TEST

START_TEST(a_thread_of_nobody_suspects_all_that_are_on_an_executor) {
    make_dir();
    in_child(abort_of_nobody);
    assert_stamped("wf-b run", "");
    remove_dir();
}
END_TEST

START_TEST(kills_and_exits_stamp_nothing) {
    make_dir();
    int status = in_child(killed_at_work);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_ptr_null(sh_crash_read(dir));
    in_child(exit_at_work);
    ck_assert_ptr_null(sh_crash_read(dir));
    remove_dir();
}
END_TEST

static void earlier(int sig) {
    (void)sig;
    _exit(42);
}

START_TEST(a_handler_that_was_there_before_is_passed_on_to) {
    int status = 0;

    make_dir();
    pid_t pid = fork();
    if (pid == 0) {
        struct sh_crash *c = NULL;
        signal(SIGILL, earlier);
        sh_crash_handlers();
        sh_crash_open(dir, &c, NULL);
        sh_crash_enter(c, "wf-a", SH_CRASH_RUN);
        raise(SIGILL);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    assert_stamped("wf-a run", "");
    remove_dir();
}
END_TEST

START_TEST(a_damaged_file_accuses_nobody) {
    make_dir();
    in_child(abort_at_work);
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/crash-stamp", dir);
    ck_assert_int_eq(truncate(path, 5000), 0);
    ck_assert_ptr_null(sh_crash_read(dir));
    in_child(abort_at_work);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ck_assert_int_eq(pwrite(fd, "x", 1, 0), 1);
    close(fd);
    ck_assert_ptr_null(sh_crash_read(dir));
    unlink(path);
    ck_assert_ptr_null(sh_crash_read(dir));
    in_child(abort_at_work);
    fd = open(path, O_WRONLY | O_CLOEXEC); /* an id that is none */
    for (off_t at = 28; at < 3000; at++) {
        ck_assert_int_eq(pwrite(fd, "/", 1, at), 1);
    }
    close(fd);
    assert_stamped("", "");
    remove_dir();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_thread_that_dies_names_its_workflow_alone,
                                  a_thread_of_nobody_suspects_all_that_are_on_an_executor,
                                  kills_and_exits_stamp_nothing,
                                  a_handler_that_was_there_before_is_passed_on_to,
                                  a_damaged_file_accuses_nobody,
                                  NULL};
    return sh_suite("engine_crash_stamp", tests);
}
SH_TEST_MAIN(suite)
