/* The loop: messages in order from many threads, timers in order, the turn hook, and the pools. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "lib/check_main.h"
#include "loop/loop.h"

static struct sh_loop *new_loop(void) {
    struct sh_loop *l = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_loop_new(&l, &err), &err);
    return l;
}

/* messages */

enum { THREADS = 4, POSTS = 25000 };

struct numbered {
    struct sh_msg msg;
    int thread, number;
};

static struct {
    struct sh_loop *loop;
    int next[THREADS]; /* the number expected from each thread */
    int ran;
} posts;

static void run_numbered(struct sh_msg *msg) {
    struct numbered *m = sh_container_of(msg, struct numbered, msg);
    SH_ON_LOOP(posts.loop);
    ck_assert_int_eq(m->number, posts.next[m->thread]);
    posts.next[m->thread]++;
    if (++posts.ran == THREADS * POSTS) {
        sh_loop_stop(posts.loop);
    }
    sh_free(m); /* a message may free its owner */
}

static void *post_all(void *arg) {
    int thread = *(int *)arg;
    ck_assert(!sh_loop_is_current(posts.loop));
    for (int i = 0; i < POSTS; i++) {
        struct numbered *m = sh_new(struct numbered);
        m->msg.run = run_numbered;
        m->thread = thread;
        m->number = i;
        sh_loop_post(posts.loop, &m->msg);
    }
    return NULL;
}

START_TEST(messages_of_each_thread_run_in_their_order) {
    pthread_t threads[THREADS];
    int names[THREADS];
    posts.loop = new_loop();
    for (int i = 0; i < THREADS; i++) {
        names[i] = i;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, post_all, &names[i]), 0);
    }
    sh_loop_run(posts.loop);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_int_eq(posts.next[i], POSTS);
    }
    posts.loop = sh_loop_free(posts.loop);
    ck_assert_ptr_null(posts.loop);
}
END_TEST

struct again {
    struct sh_msg msg;
    struct sh_loop *loop;
    int left;
};

static void post_again(struct sh_msg *msg) {
    struct again *a = sh_container_of(msg, struct again, msg);
    if (--a->left == 0) {
        sh_loop_stop(a->loop);
    } else {
        sh_loop_post(a->loop, &a->msg);
    }
}

START_TEST(a_message_may_post_itself_again) {
    struct again a = {.msg.run = post_again, .loop = new_loop(), .left = 1000};
    sh_loop_post(a.loop, &a.msg);
    sh_loop_run(a.loop);
    ck_assert_int_eq(a.left, 0);
    sh_loop_free(a.loop);
}
END_TEST

START_TEST(free_runs_what_was_posted) {
    struct again a = {.msg.run = post_again, .loop = new_loop(), .left = 3};
    sh_loop_post(a.loop, &a.msg);
    sh_loop_free(a.loop);
    ck_assert_int_eq(a.left, 0);
    ck_assert_ptr_null(sh_loop_free(NULL));
}
END_TEST

/* timers */

enum { TIMERS = 10000 };

static struct {
    struct sh_loop *loop;
    struct sh_timer timers[TIMERS];
    bool stopped[TIMERS];
    uint64_t last_due;
    size_t fired, expected;
} clock_test;

static void note_fired(struct sh_timer *t) {
    size_t i = (size_t)(t - clock_test.timers);
    ck_assert(!clock_test.stopped[i]);
    ck_assert_uint_eq(t->slot, 0);
    ck_assert_uint_ge(t->due_ns, clock_test.last_due);
    ck_assert_uint_ge(sh_boot_ns(), t->due_ns); /* never early */
    clock_test.last_due = t->due_ns;
    if (++clock_test.fired == clock_test.expected) {
        sh_loop_stop(clock_test.loop);
    }
}

START_TEST(ten_thousand_timers_fire_in_order_but_for_the_stopped) {
    clock_test.loop = new_loop();
    uint64_t seed = 1;
    for (size_t i = 0; i < TIMERS; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t delay = (seed >> 33) % 200000000u;
        sh_timer_start(clock_test.loop, &clock_test.timers[i], delay, note_fired);
    }
    for (size_t i = 0; i < TIMERS; i += 3) { /* from the middle of the heap, too */
        sh_timer_stop(&clock_test.timers[i]);
        sh_timer_stop(&clock_test.timers[i]);
        clock_test.stopped[i] = true;
    }
    for (size_t i = 1; i < TIMERS; i += 3) { /* starting again moves it */
        sh_timer_start(clock_test.loop, &clock_test.timers[i], (i % 2) * 150000000u, note_fired);
    }
    clock_test.expected = TIMERS - (TIMERS + 2) / 3;
    sh_loop_run(clock_test.loop);
    ck_assert_uint_eq(clock_test.fired, clock_test.expected);
    sh_loop_free(clock_test.loop);
}
END_TEST

static size_t order[8];
static size_t n_order;

static void note_order(struct sh_timer *t) {
    order[n_order++] = (size_t)(t - clock_test.timers);
    if (n_order == 4) {
        sh_loop_stop(clock_test.loop);
    }
}

START_TEST(an_earlier_timer_overtakes_and_never_is_far_away) {
    struct sh_loop *l = clock_test.loop = new_loop();
    sh_timer_start(l, &clock_test.timers[0], UINT64_MAX, note_order);
    sh_timer_start(l, &clock_test.timers[1], 30000000, note_order);
    sh_timer_start(l, &clock_test.timers[2], 20000000, note_order);
    sh_timer_start(l, &clock_test.timers[3], 10000000, note_order);
    sh_timer_start(l, &clock_test.timers[4], 0, note_order);
    ck_assert_uint_eq(n_order, 0); /* never inside start */
    sh_loop_run(l);
    ck_assert(order[0] == 4 && order[1] == 3 && order[2] == 2 && order[3] == 1);
    ck_assert_uint_ne(clock_test.timers[0].slot, 0);
    sh_loop_free(l);
    ck_assert_uint_eq(clock_test.timers[0].slot, 0);
    sh_timer_stop(&clock_test.timers[0]); /* harmless after the loop is gone */
}
END_TEST

static int rounds;

static void restart_at_once(struct sh_timer *t) {
    rounds++;
    sh_timer_start(t->loop, t, 0, restart_at_once);
}

static void stop_loop(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

START_TEST(a_timer_without_delay_does_not_keep_the_loop) {
    struct sh_loop *l = new_loop();
    struct sh_timer busy = {0};
    struct sh_timer end = {0};
    sh_timer_start(l, &busy, 0, restart_at_once);
    sh_timer_start(l, &end, 20000000, stop_loop);
    sh_loop_run(l);
    ck_assert_int_gt(rounds, 10);
    sh_timer_stop(&busy);
    sh_loop_free(l);
}
END_TEST

static void stop_other(struct sh_timer *t) {
    n_order++;
    sh_timer_stop(t == &clock_test.timers[0] ? &clock_test.timers[1] : &clock_test.timers[0]);
}

START_TEST(a_timer_may_stop_one_that_is_due) {
    struct sh_loop *l = new_loop();
    struct sh_timer end = {0};
    sh_timer_start(l, &clock_test.timers[0], 1000, stop_other);
    sh_timer_start(l, &clock_test.timers[1], 1000, stop_other);
    sh_timer_start(l, &end, 5000000, stop_loop);
    sh_loop_run(l);
    ck_assert_uint_eq(n_order, 1);
    sh_loop_free(l);
}
END_TEST

/* turns */

static struct {
    struct sh_loop *loop;
    int hooks, depth, ran, ran_at_hook, uv_ran;
} turns;

static void hook(void *arg) {
    ck_assert_ptr_eq(arg, &turns);
    ck_assert_int_eq(turns.depth, 0); /* never inside a message */
    turns.hooks++;
    turns.ran_at_hook = turns.ran;
}

static struct sh_timer end_of_turns;

static void check_turn_and_stop(struct sh_timer *t) {
    ck_assert_int_eq(turns.ran_at_hook, turns.ran);
    sh_loop_stop(t->loop);
}

static void count_turn(struct sh_msg *msg) {
    (void)msg;
    turns.depth++;
    if (++turns.ran == 100) { /* fires in the next turn */
        sh_timer_start(turns.loop, &end_of_turns, 0, check_turn_and_stop);
    }
    turns.depth--;
}

START_TEST(the_hook_runs_once_for_all_messages_of_a_turn) {
    struct sh_loop *l = turns.loop = new_loop();
    struct sh_msg msgs[100];
    sh_loop_on_turn(l, hook, &turns);
    for (size_t i = 0; i < 100; i++) {
        msgs[i].run = count_turn;
        sh_loop_post(l, &msgs[i]);
    }
    sh_loop_run(l);
    ck_assert_int_eq(turns.ran, 100);
    /* before the first sleep, after the messages, after the timer that stopped the loop */
    ck_assert_int_eq(turns.hooks, 3);
    sh_loop_free(l);
    ck_assert_int_eq(turns.hooks, 3);
}
END_TEST

static void on_uv_timer(uv_timer_t *t) {
    turns.uv_ran++;
    turns.ran++;
    if (turns.uv_ran == 3) {
        uv_close((uv_handle_t *)t, NULL);
        sh_loop_stop(t->data);
    } else {
        ck_assert_int_eq(turns.ran_at_hook, turns.ran - 1); /* the hook ran since the last one */
    }
}

START_TEST(the_hook_runs_after_handles_of_others) {
    struct sh_loop *l = new_loop();
    uv_timer_t timer;
    sh_loop_on_turn(l, hook, &turns);
    ck_assert_int_eq(uv_timer_init(sh_loop_uv(l), &timer), 0);
    timer.data = l;
    ck_assert_int_eq(uv_timer_start(&timer, on_uv_timer, 2, 2), 0);
    sh_loop_run(l);
    ck_assert_int_eq(turns.uv_ran, 3);
    ck_assert_int_eq(turns.ran_at_hook, turns.ran);
    sh_loop_free(l);
}
END_TEST

/* pools */

struct counted {
    struct sh_job job;
    struct sh_loop *loop;
    int worked, done;
    bool last;
};

static atomic_int jobs_left;

static void work(struct sh_job *job) {
    struct counted *c = sh_container_of(job, struct counted, job);
    ck_assert(!sh_loop_is_current(c->loop));
    c->worked++;
}

static void work_done(struct sh_job *job) {
    struct counted *c = sh_container_of(job, struct counted, job);
    SH_ON_LOOP(c->loop);
    ck_assert_int_eq(c->worked, 1);
    c->done++;
    if (atomic_fetch_sub(&jobs_left, 1) == 1) {
        sh_loop_stop(c->loop);
    }
}

START_TEST(jobs_work_on_a_thread_and_end_on_the_loop) {
    enum { JOBS = 1000 };
    struct sh_loop *l = new_loop();
    struct counted *jobs = sh_new_array(struct counted, JOBS);
    atomic_store(&jobs_left, JOBS);
    for (int i = 0; i < JOBS; i++) {
        jobs[i].loop = l;
        jobs[i].job.work = work;
        jobs[i].job.done = work_done;
        sh_loop_submit(l, i % 2 ? SH_POOL_FILES : SH_POOL_COMPUTE, &jobs[i].job);
    }
    sh_loop_run(l);
    for (int i = 0; i < JOBS; i++) {
        ck_assert_int_eq(jobs[i].done, 1);
    }
    sh_loop_free(l);
    sh_free(jobs);
}
END_TEST

START_TEST(free_waits_for_jobs_and_runs_their_done) {
    struct sh_loop *l = new_loop();
    struct counted c = {.job = {.work = work, .done = work_done}, .loop = l};
    atomic_store(&jobs_left, 1);
    sh_loop_submit(l, SH_POOL_FILES, &c.job);
    sh_loop_free(l);
    ck_assert_int_eq(c.done, 1);
}
END_TEST

static void look_at_mask(struct sh_job *job) {
    static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE};
    sigset_t blocked;
    (void)job;
    ck_assert_int_eq(pthread_sigmask(SIG_SETMASK, NULL, &blocked), 0);
    ck_assert_int_eq(sigismember(&blocked, SIGTERM), 1);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        ck_assert_int_eq(sigismember(&blocked, faults[i]), 0);
    }
}

START_TEST(pool_threads_leave_signals_to_others_but_not_their_own_faults) {
    struct sh_loop *l = new_loop();
    struct counted c = {.job = {.work = look_at_mask, .done = work_done}, .loop = l, .worked = 1};
    atomic_store(&jobs_left, 1);
    sh_loop_submit(l, SH_POOL_FILES, &c.job);
    sh_loop_run(l);
    ck_assert_int_eq(c.done, 1);
    sh_loop_free(l);
}
END_TEST

static int gate[2];

static void wait_at_gate(struct sh_job *job) {
    char byte = 0;
    (void)job;
    ck_assert_int_eq(read(gate[0], &byte, 1), 1);
}

static void open_gate(struct sh_job *job) {
    (void)job;
    ck_assert_int_eq(write(gate[1], "xxxx", 4), 4);
}

/* As many jobs wait as a pool can have threads; who lets them go works in another pool. */
START_TEST(a_pool_that_waits_does_not_hold_up_another) {
    enum { WAITERS = 4 };
    enum sh_pool waiting = _i ? SH_POOL_COMPILE : SH_POOL_FILES;
    struct sh_loop *l = new_loop();
    struct counted *c = sh_new_array(struct counted, WAITERS + 1);
    ck_assert_int_eq(pipe(gate), 0);
    atomic_store(&jobs_left, WAITERS + 1);
    for (int i = 0; i <= WAITERS; i++) {
        c[i].loop = l;
        c[i].worked = 1;
        c[i].job.work = i < WAITERS ? wait_at_gate : open_gate;
        c[i].job.done = work_done;
        sh_loop_submit(l, i < WAITERS ? waiting : SH_POOL_COMPUTE, &c[i].job);
    }
    sh_loop_run(l);
    for (int i = 0; i <= WAITERS; i++) {
        ck_assert_int_eq(c[i].done, 1);
    }
    sh_loop_free(l);
    sh_free(c);
}
END_TEST

static void *leave_thread(void *arg) {
    sh_loop_stop(arg);
    return NULL;
}

START_TEST(stopping_from_another_thread_is_a_bug) {
    struct sh_loop *l = new_loop();
    pthread_t t;
    pthread_create(&t, NULL, leave_thread, l);
    pthread_join(t, NULL);
}
END_TEST

START_TEST(without_descriptors_there_is_no_loop_but_an_error) {
    struct rlimit limit;
    bool made = false;
    sh_loop_free(new_loop()); /* libuv's own globals first: it aborts without those */
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(STDIN_FILENO); /* what is open below stays open */
    ck_assert_int_ge(lowest, 0);
    close(lowest);
    int failures = 0;
    /* By fours, because a uv_loop_init that fails keeps a descriptor or two. */
    for (int extra = 0; extra < 64 && !made; extra += 4) {
        struct sh_loop *l = NULL;
        struct sh_err err = {0};
        limit.rlim_cur = (rlim_t)(lowest + extra);
        ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int rc = sh_loop_new(&l, &err);
        made = rc == 0;
        if (made) {
            sh_loop_free(l);
        } else {
            ck_assert_int_eq(rc, -SH_E_IO);
            ck_assert_ptr_null(l);
            failures++;
        }
    }
    ck_assert_msg(made && failures > 0, "made %d after %d failures", made, failures);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        messages_of_each_thread_run_in_their_order,
        a_message_may_post_itself_again,
        free_runs_what_was_posted,
        ten_thousand_timers_fire_in_order_but_for_the_stopped,
        an_earlier_timer_overtakes_and_never_is_far_away,
        a_timer_without_delay_does_not_keep_the_loop,
        a_timer_may_stop_one_that_is_due,
        the_hook_runs_once_for_all_messages_of_a_turn,
        the_hook_runs_after_handles_of_others,
        jobs_work_on_a_thread_and_end_on_the_loop,
        free_waits_for_jobs_and_runs_their_done,
        pool_threads_leave_signals_to_others_but_not_their_own_faults,
        without_descriptors_there_is_no_loop_but_an_error,
        NULL,
    };
    Suite *s = sh_suite("loop_loop", tests);
    TCase *aborts = tcase_create("abort"), *pools = tcase_create("pools");
    tcase_set_timeout(pools, SH_TEST_SECONDS);
    tcase_add_loop_test(pools, a_pool_that_waits_does_not_hold_up_another, 0, 2);
    suite_add_tcase(s, pools);
    tcase_add_test_raise_signal(aborts, stopping_from_another_thread_is_a_bug, SIGABRT);
    suite_add_tcase(s, aborts);
    return s;
}

SH_TEST_MAIN(suite)
