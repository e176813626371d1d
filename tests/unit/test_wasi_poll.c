/* poll_oneoff: clocks, descriptors, and every mixture of those that have to be waited for; what
 * came first is on the tape, and a replay is told the same. */
#include "lib/wasi_poll.h"

enum { CLOCK = 1, STDIN = 2, SHANNON = 4, PEER = 8, KINDS = 4, ALL = 15 };
enum { NET_FD = 5, TIMEOUT_NS = 1000000000 };

static struct sh_net_rule rule;
static struct sh_buf observed; /* the engine's last answer */

/* ---- an agent that has all of them: live input, a connection, an activity ---- */

static int shannon, peer;

static void push(struct fx *f, uint64_t call, uint64_t seq, const char *kind) {
    sh_guest_push(&f->g, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                                .seq = seq,
                                                .time_us = f->config.start_us + 2000,
                                                .number = call,
                                                .what = sh_str(kind),
                                                .bytes = sh_buf_str(&observed)});
}

/* The engine's answer begins: the question, and that there was no error. */
static struct sh_buf *answer(struct fx *f, const char *kind) {
    const struct sh_net_ask *q = &f->g.wait.net;

    ck_assert_int_eq(f->g.wait.kind, SH_WAIT_NET);
    ck_assert_str_eq(q->kind, kind);
    sh_buf_clear(&observed);
    sh_buf_add(&observed, q->question.p, q->question.len);
    sh_buf_u32(&observed, 0);
    return &observed;
}

static void open_peer(struct fx *f) {
    uint64_t n = fx_put(f, FX_PATH, "tcp/h/7");
    const uint64_t a[9] = {NET_FD, 1, FX_PATH, n, 0, FX_RW, 0, 0, FX_OUT};

    ck_assert_int_eq(fx_step(f, false, "path_open", a), SH_CALL_PENDING);
    (void)answer(f, SH_NET_OPEN);
    push(f, f->g.wait.call_number, 1, SH_NET_OPEN);
    ck_assert_int_eq(fx_step(f, true, "path_open", a), E_OK);
    peer = (int)fx_u32(f, FX_OUT);
}

static void begin(struct fx *f) {
    fx_dirs(f);
    sh_buf_init(&observed, SH_MIB);
    rule = (struct sh_net_rule){.scheme = sh_strdup("tcp"), .host = sh_strdup("h"), .port = 7};
    f->caps.net = &rule;
    f->caps.n_net = 1;
    f->config.stdin_live = true;
    fx_start(f);
    shannon = fx_open(f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(f, shannon, "x\n"), 2);
    open_peer(f);
}

static void end(struct fx *f) {
    fx_done(f);
    sh_free(rule.scheme);
    sh_free(rule.host);
    sh_buf_done(&observed);
}

/* Subscriptions in the order of the bits; how many. */
static int subscribe(struct fx *f, unsigned mask) {
    int n = 0;

    if (mask & CLOCK) {
        fx_sub_clock(f, n++, 1, TIMEOUT_NS, 0);
    }
    if (mask & STDIN) {
        fx_sub_fd(f, n++, 0, 1);
    }
    if (mask & SHANNON) {
        fx_sub_fd(f, n++, shannon, 1);
    }
    if (mask & PEER) {
        fx_sub_fd(f, n++, peer, 1);
    }
    return n;
}

/* The engine's answer to a mixture: this came first. */
static void answer_mixture(struct fx *f, unsigned first) {
    struct sh_buf *b = answer(f, SH_POLL);

    sh_buf_u8(b, first == CLOCK);
    if (f->g.wait.net.n_poll) {
        sh_buf_u32(b, first == PEER ? 7 : 0);
    }
    sh_buf_u8(b, first == STDIN);
    if (first == STDIN) {
        sh_buf_bytes32(b, SH_STR("line"));
    }
}

static void check_first(struct fx *f, unsigned mask, unsigned first) {
    int place = 0;

    for (unsigned bit = 1; bit < first; bit <<= 1) {
        place += (mask & bit) != 0;
    }
    ck_assert_uint_eq(fx_u32(f, FX_IOV), 1);
    ck_assert_uint_eq(fx_event_user(f, 0), (uint64_t)(100 + place));
    ck_assert_uint_eq(f->m[FX_OUT + 8], E_OK);
    if (first != CLOCK) {
        ck_assert_uint_eq(fx_u64(f, FX_OUT + 16), first == STDIN ? 4 : first == PEER ? 7 : 2);
    }
}

/* Wait for `mask`; `first` comes. Then the same from the tape. */
static void mixture(unsigned mask, unsigned first) {
    struct fx f;
    uint64_t call;
    int n;

    begin(&f);
    n = subscribe(&f, mask);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_NET);
    ck_assert_uint_eq(f.g.wait.n_handles, mask & SHANNON ? 1 : 0);
    ck_assert_uint_eq(f.g.wait.max_bytes, mask & STDIN ? WASI_SEEN_MAX : 0);
    ck_assert_uint_eq(f.g.wait.net.n_poll, mask & PEER ? 1 : 0);
    ck_assert_uint_eq(f.g.wait.net.timeout_ns, mask & CLOCK ? TIMEOUT_NS : UINT64_MAX);
    call = f.g.wait.call_number;
    if (first == SHANNON) {
        fx_complete(&f, 1, 0, "r");
    } else {
        answer_mixture(&f, first);
        push(&f, call, 2, SH_POLL);
    }
    ck_assert_int_eq(fx_poll(&f, true, n), E_OK);
    check_first(&f, mask, first);
    fx_stop(&f);

    fx_start(&f); /* a replay: nobody is asked */
    shannon = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(&f, shannon, "x\n"), 2);
    if (first == SHANNON) {
        fx_complete(&f, 1, 0, "r");
    } else {
        push(&f, call, 2, SH_POLL);
    }
    open_peer(&f);
    n = subscribe(&f, mask);
    ck_assert_int_eq(fx_poll(&f, false, n), E_OK);
    check_first(&f, mask, first);
    end(&f);
}

START_TEST(every_mixture_ends_with_whatever_comes_first) {
    unsigned seen = 0;

    for (unsigned mask = 1; mask <= ALL; mask++) {
        int kinds = __builtin_popcount(mask);

        for (unsigned first = 1; first <= ALL; first <<= 1) {
            if (kinds > 1 && mask != (CLOCK | PEER) && (mask & first)) {
                mixture(mask, first);
                seen++;
            }
        }
    }
    ck_assert_uint_eq(seen, 26);
}
END_TEST

START_TEST(of_a_delay_and_a_result_the_one_that_the_journal_has_first_comes_first) {
    struct fx f;
    int n;

    begin(&f);
    n = subscribe(&f, CLOCK | SHANNON);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    answer_mixture(&f, CLOCK);
    fx_complete(&f, 1, 3, "r");
    push(&f, f.g.wait.call_number, 2, SH_POLL);
    ck_assert_int_eq(fx_poll(&f, true, n), E_OK);
    check_first(&f, CLOCK | SHANNON, CLOCK);
    n = subscribe(&f, CLOCK | SHANNON);
    ck_assert_int_eq(fx_poll(&f, false, n), E_OK); /* the result was there already */
    ck_assert_uint_eq(fx_event_user(&f, fx_u32(&f, FX_IOV) == 2 ? 1 : 0), 101);
    end(&f);
}
END_TEST

START_TEST(a_poll_that_a_result_ended_counts_no_call) {
    struct fx f;
    uint64_t serial, call;
    int n;

    begin(&f);
    ck_assert_int_eq(fx_write(&f, shannon, "y\n"), 2);
    n = subscribe(&f, CLOCK | SHANNON);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    serial = f.g.wait.net.poll_serial;
    call = f.g.wait.call_number;
    fx_complete(&f, 2, 0, "second");
    ck_assert_int_eq(fx_poll(&f, true, n), E_OK);
    ck_assert_int_eq(fx_read(&f, shannon, 99), 7);
    n = subscribe(&f, CLOCK | SHANNON);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    ck_assert_uint_eq(f.g.wait.call_number, call); /* as in journals from before */
    ck_assert_uint_ne(f.g.wait.net.poll_serial, serial);
    ck_assert_int_eq(fx_poll(&f, true, n), SH_CALL_PENDING);
    ck_assert_uint_ne(f.g.wait.net.poll_serial, serial); /* still the same one */
    end(&f);
}
END_TEST

START_TEST(a_cancel_ends_a_mixture_that_has_an_activity) {
    struct fx f;
    int n;

    begin(&f);
    n = subscribe(&f, ALL);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    sh_guest_push(&f.g, &(struct sh_tape_item){.kind = SH_TAPE_CANCEL, .seq = 4});
    ck_assert_int_eq(fx_poll(&f, true, n), E_OK);
    ck_assert_uint_eq(fx_u32(&f, FX_IOV), 1);
    ck_assert_uint_eq(fx_event_user(&f, 0), 102);
    ck_assert_uint_eq(f.m[FX_OUT + 8], E_CANCELED);
    end(&f);
}
END_TEST

/* Then, a delay did not end a poll of standard input, whose bytes were a "stdin". */
START_TEST(journals_from_before_mixtures_replay) {
    struct fx f;
    int n;

    begin(&f);
    n = subscribe(&f, CLOCK | STDIN);
    sh_buf_clear(&observed);
    sh_buf_adds(&observed, "line");
    push(&f, f.g.call_number, 2, "stdin");
    ck_assert_int_eq(fx_poll(&f, false, n), E_OK);
    check_first(&f, CLOCK | STDIN, STDIN);
    n = subscribe(&f, CLOCK | SHANNON);
    fx_complete(&f, 1, 3, "r");
    sh_buf_clear(&observed);
    push(&f, f.g.call_number, 4, "stdin"); /* of the read behind it */
    ck_assert_int_eq(fx_poll(&f, false, n), E_OK);
    ck_assert_int_eq(fx_read(&f, 0, 9), 4);
    ck_assert_int_eq(fx_read(&f, 0, 9), 0);
    end(&f);
}
END_TEST

START_TEST(standard_input_that_is_over_is_a_hangup) {
    struct fx f;
    struct sh_buf *b;
    int n;

    begin(&f);
    n = subscribe(&f, CLOCK | STDIN);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    b = answer(&f, SH_POLL);
    sh_buf_u8(b, 0);
    sh_buf_u8(b, 1);
    sh_buf_bytes32(b, (struct sh_str){NULL, 0});
    push(&f, f.g.wait.call_number, 2, SH_POLL);
    ck_assert_int_eq(fx_poll(&f, true, n), E_OK);
    ck_assert_uint_eq(fx_event_user(&f, 0), 101);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 16), 0);
    ck_assert_uint_eq(f.m[FX_OUT + 24], 1);
    ck_assert_int_eq(fx_read(&f, 0, 9), 0);
    end(&f);
}
END_TEST

START_TEST(answers_that_make_no_sense_end_the_run) {
    for (size_t cut = 0; cut < 4; cut++) {
        struct fx f;
        int n;

        begin(&f);
        n = subscribe(&f, CLOCK | STDIN | PEER);
        ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
        answer_mixture(&f, cut ? STDIN : 0); /* 0: nothing came */
        observed.len -= cut;
        push(&f, f.g.wait.call_number, 2, SH_POLL);
        ck_assert_int_eq(fx_poll(&f, true, n), SH_CALL_END);
        ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
        end(&f);
    }
}
END_TEST

START_TEST(another_question_is_nondeterminism) {
    struct fx f;
    int n;

    begin(&f);
    n = subscribe(&f, CLOCK | STDIN);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_PENDING);
    answer_mixture(&f, CLOCK);
    push(&f, f.g.wait.call_number, 2, SH_POLL);
    n = subscribe(&f, STDIN | PEER);
    ck_assert_int_eq(fx_poll(&f, false, n), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    end(&f);
}
END_TEST

START_TEST(poll_waits_for_activities_and_reports_delays_that_passed) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "x\n"), 2);
    fx_sub_fd(&f, 0, fd, 1);
    fx_sub_clock(&f, 1, 1, 2000000000, 0);
    fx_sub_clock(&f, 2, 1, 3000000000000, 0);
    ck_assert_int_eq(fx_poll(&f, false, 3), SH_CALL_PENDING);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_NET);
    fx_complete(&f, 1, 5, "r"); /* five seconds after the start */
    ck_assert_int_eq(fx_poll(&f, true, 3), E_OK);
    ck_assert_uint_eq(fx_u32(&f, FX_IOV), 2);
    ck_assert_uint_eq(fx_event_user(&f, 0), 100);
    ck_assert_uint_eq(fx_event_user(&f, 1), 101);
    fx_done(&f);
}
END_TEST

START_TEST(a_cancel_is_told_to_who_polls) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "x\n"), 2);
    fx_sub_fd(&f, 0, fd, 1);
    ck_assert_int_eq(fx_poll(&f, false, 1), SH_CALL_PENDING);
    sh_guest_push(&f.g, &(struct sh_tape_item){.kind = SH_TAPE_CANCEL, .seq = 4});
    ck_assert_int_eq(fx_poll(&f, true, 1), E_OK);
    ck_assert_uint_eq(f.m[FX_OUT + 8], E_CANCELED);
    fx_done(&f);
}
END_TEST

START_TEST(clocks_alone_sleep_the_earliest_delay) {
    struct fx f;
    int64_t before;

    fx_plain(&f);
    before = f.g.clock_ns;
    fx_sub_clock(&f, 0, 0, (uint64_t)before + 7000, 1); /* absolute */
    fx_sub_clock(&f, 1, 1, 5000, 0);
    fx_sub_clock(&f, 2, 1, 5000, 1); /* monotonic counts from the start */
    ck_assert_int_eq(fx_poll(&f, false, 3), SH_CALL_PENDING);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_SLEEP);
    ck_assert_uint_eq(f.g.wait.delay_ns, 5000);
    ck_assert_uint_eq(f.g.wait.call_number, 0);
    ck_assert_int_eq(f.g.wait.clock_us, before / 1000);
    ck_assert_int_eq(fx_poll(&f, true, 3), SH_CALL_PENDING); /* nobody woke it */
    ck_assert_uint_eq(f.g.wait.call_number, 0);
    f.g.woken = true;
    ck_assert_int_eq(fx_poll(&f, true, 3), E_OK);
    ck_assert_uint_eq(fx_u32(&f, FX_IOV), 2);
    ck_assert_uint_eq(fx_event_user(&f, 0), 101);
    ck_assert_int_eq(f.g.clock_ns, before + 5000);
    ck_assert_uint_eq(f.g.call_number, 1);
    fx_done(&f);
}
END_TEST

START_TEST(polls_that_need_not_wait_do_not) {
    struct fx f;

    fx_plain(&f);
    fx_sub_clock(&f, 0, 1, 0, 0);
    fx_sub_clock(&f, 1, 1, 1000000000, 0);
    fx_sub_fd(&f, 2, 1, 2);
    fx_sub_fd(&f, 3, 99, 1);
    fx_sub_fd(&f, 4, 0, 1);
    ck_assert_int_eq(fx_poll(&f, false, 5), E_OK);
    ck_assert_uint_eq(fx_u32(&f, FX_IOV), 4);
    ck_assert_uint_eq(fx_event_user(&f, 1), 102);
    ck_assert_uint_eq(f.m[FX_OUT + 64 + 8], E_BADF);
    ck_assert_uint_eq(f.m[FX_OUT + 96 + 24], 1); /* standard input is at its end: hang-up */
    ck_assert_uint_eq(f.g.call_number, 0);
    fx_done(&f);
}
END_TEST

START_TEST(polls_are_bounded_and_checked) {
    struct fx f;

    fx_plain(&f);
    memset(f.m, 0, FX_MEM);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", 0, 0, 0, 0), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", 0, 0, SH_SUBSCRIPTIONS_MAX + 1, 0), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", 0, SH_MIB, SH_SUBSCRIPTIONS_MAX, 2 * SH_MIB), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 2 * SH_MIB), SH_SUBSCRIPTIONS_MAX);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", FX_MEM - 47, 0, 1, 0), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", 0, FX_MEM - 31, 1, 0), E_FAULT);
    fx_sub_fd(&f, 0, 1, 3);
    ck_assert_int_eq(fx_poll(&f, false, 1), E_INVAL);
    fx_sub_clock(&f, 0, 4, 0, 0);
    ck_assert_int_eq(fx_poll(&f, false, 1), E_INVAL);
    fx_sub_clock(&f, 0, 1, 0, 2);
    ck_assert_int_eq(fx_poll(&f, false, 1), E_INVAL);
    fx_sub_clock(&f, 0, 1, UINT64_MAX, 0);
    ck_assert_int_eq(fx_poll(&f, false, 1), SH_CALL_PENDING);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        poll_waits_for_activities_and_reports_delays_that_passed,
        a_cancel_is_told_to_who_polls,
        clocks_alone_sleep_the_earliest_delay,
        polls_that_need_not_wait_do_not,
        polls_are_bounded_and_checked,
        every_mixture_ends_with_whatever_comes_first,
        of_a_delay_and_a_result_the_one_that_the_journal_has_first_comes_first,
        a_poll_that_a_result_ended_counts_no_call,
        a_cancel_ends_a_mixture_that_has_an_activity,
        journals_from_before_mixtures_replay,
        standard_input_that_is_over_is_a_hangup,
        answers_that_make_no_sense_end_the_run,
        another_question_is_nondeterminism,
        NULL,
    };

    return sh_suite("wasi_poll", tests);
}

SH_TEST_MAIN(suite)
