/* Of a mapped file that is too long to be copied, reads that follow each other are answered from
 * large pieces, which are kept beside the journal; a replay needs nothing of the file. */
#include "../lib/wasi_tape.h"

enum { LONG = 3 * WASI_AHEAD_MAX + 1000, STEP = 8000, TAPE_MAX = 1000 };

static char blobs[96];

static char byte(size_t at, int age) {
    return (char)('a' + (at * 31 + at / 1000 + (size_t)age) % 23);
}

static void file(struct fx *f, size_t n, int age) {
    char *text = sh_alloc(n + 1);

    for (size_t i = 0; i < n; i++) {
        text[i] = byte(i, age);
    }
    text[n] = '\0';
    fx_host_file(f, "mapped/a", text);
    sh_free(text);
}

static void set_up(struct fx *f, uint64_t capture) {
    fx_dirs(f);
    fx_map(f, 3, 3, true);
    f->mount[0].capture = capture;
    (void)snprintf(blobs, sizeof(blobs), "%s/blobs", f->dir);
    f->config.blobs = blobs;
    file(f, LONG, 0);
    fx_start(f);
}

static size_t bytes_of(const struct fx_tape *t) {
    size_t sum = 0;

    for (size_t i = 0; i < t->n; i++) {
        sum += t->item[i].bytes.len;
    }
    return sum;
}

static size_t number_of(const struct fx_tape *t, const char *kind) {
    size_t n = 0;

    for (size_t i = 0; i < t->n; i++) {
        n += sh_str_eqz(t->item[i].what, kind);
    }
    return n;
}

static void again(struct fx *f, const struct fx_tape *t, size_t n, bool verify) {
    f->config.verify = verify;
    fx_replay(f, t, n);
}

static void is_right(struct fx *f, size_t at, int n, int age) {
    int wrong = 0;

    for (int i = 0; i < n; i++) {
        wrong += f->m[FX_DATA + i] != (uint8_t)byte(at + (size_t)i, age);
    }
    ck_assert_int_eq(wrong, 0);
}

/* Read on from `at` to the end, all of each step but the last. */
static void read_on(struct fx *f, int fd, size_t at, size_t end, struct fx_tape *t) {
    while (at < end) {
        size_t want = end - at < STEP ? end - at : STEP;

        ck_assert_int_eq(fx_read(f, fd, STEP), (int)want);
        is_right(f, at, (int)want, 0);
        at += want;
        if (t) {
            fx_record(f, t);
        }
    }
}

static int open_it(struct fx *f, uint64_t rights) {
    int fd = fx_open(f, 3, "a", 0, rights);

    ck_assert_int_ge(fd, 0);
    return fd;
}

START_TEST(a_long_file_costs_the_journal_little_and_replays_without_it) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f, 1000);
    read_on(&f, open_it(&f, R_FD_READ), 0, LONG, &t);
    ck_assert_uint_eq(number_of(&t, "read.ahead.kept"), 3);
    ck_assert_uint_eq(number_of(&t, "read"),
                      1); /* the first: nobody knows yet that others follow */
    ck_assert_uint_lt(bytes_of(&t), 2 * STEP + 2000);
    ck_assert_uint_eq(f.w->copies, 0);
    file(&f, 10, 5);
    for (int verify = 0; verify < 2; verify++) {
        again(&f, &t, t.n, verify);
        read_on(&f, open_it(&f, R_FD_READ), 0, LONG, NULL);
        ck_assert_uint_eq(f.g.n_effects, 0);
        ck_assert(!f.g.ended);
    }
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

/* The journal ends anywhere: what it does not have is read from the file, which is as it was. */
START_TEST(a_run_goes_on_wherever_its_journal_ends) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f, 1000);
    read_on(&f, open_it(&f, R_FD_READ), 0, LONG, &t);
    for (size_t n = 0; n <= t.n; n++) {
        struct fx_tape more = {.max = TAPE_MAX};

        again(&f, &t, n, false);
        read_on(&f, open_it(&f, R_FD_READ), 0, LONG, &more);
        ck_assert_uint_eq(more.n, t.n - n);
        fx_tape_done(&more);
    }
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(journals_from_before_it_replay) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f, 0); /* as if nothing were read ahead */
    read_on(&f, open_it(&f, R_FD_READ), 0, LONG, &t);
    ck_assert_uint_eq(number_of(&t, "read.ahead.kept") + number_of(&t, "read.ahead"), 0);
    f.mount[0].capture = 1000;
    again(&f, &t, t.n, true);
    read_on(&f, open_it(&f, R_FD_READ), 0, LONG, NULL);
    ck_assert(!f.g.ended);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(who_goes_back_reads_the_file_again) {
    struct fx f;
    int fd;

    set_up(&f, 1000);
    fd = open_it(&f, R_FD_READ);
    read_on(&f, fd, 0, 3 * STEP, NULL);
    file(&f, LONG, 7);
    ck_assert_int_eq(fx_read(&f, fd, STEP), STEP); /* of the piece */
    is_right(&f, 3 * STEP, STEP, 0);
    fx_iov(&f, FX_DATA, 100);
    ck_assert_int_eq(fx_call(&f, "fd_pread", (uint64_t)fd, FX_IOV, 1, 2 * STEP, FX_OUT), E_OK);
    is_right(&f, 2 * STEP, 100, 7);
    fx_done(&f);
}
END_TEST

START_TEST(what_comes_behind_the_end_is_seen) {
    struct fx f;
    int fd;

    set_up(&f, 1000);
    fd = open_it(&f, R_FD_READ);
    read_on(&f, fd, 0, LONG, NULL);
    ck_assert_int_eq(fx_read(&f, fd, STEP), 0);
    file(&f, LONG + 100, 0);
    ck_assert_int_eq(fx_read(&f, fd, STEP), 100);
    is_right(&f, LONG, 100, 0);
    fx_done(&f);
}
END_TEST

START_TEST(who_writes_to_a_file_reads_what_it_wrote) {
    struct fx f;
    int fd, to;

    set_up(&f, 1000);
    fd = open_it(&f, R_FD_READ);
    read_on(&f, fd, 0, 3 * STEP, NULL);
    ck_assert_uint_gt(f.w->copies, 0);
    to = open_it(&f, R_FD_WRITE);
    ck_assert_uint_eq(f.w->copies, 0);
    memset(f.m + FX_DATA, '!', 100);
    fx_iov(&f, FX_DATA, 100);
    ck_assert_int_eq(fx_call(&f, "fd_pwrite", (uint64_t)to, FX_IOV, 1, 3 * STEP, FX_OUT), E_OK);
    ck_assert_int_eq(fx_read(&f, fd, 100), 100);
    ck_assert_int_eq(f.m[FX_DATA], '!');
    ck_assert_uint_eq(f.w->copies, 0); /* nothing is read ahead while it is open */
    ck_assert_int_eq(fx_call(&f, "fd_close", (uint64_t)to), E_OK);
    ck_assert_int_eq(fx_read(&f, fd, STEP), STEP);
    ck_assert_uint_gt(f.w->copies, 0);
    fx_done(&f);
}
END_TEST

START_TEST(memory_for_it_is_bounded_and_so_is_what_is_kept) {
    struct fx f;

    set_up(&f, 1000);
    for (int i = 0; i < 64; i++) {
        read_on(&f, open_it(&f, R_FD_READ), 0, 2 * STEP, NULL);
        sh_guest_effects_taken(&f.g);
        ck_assert_uint_le(f.w->copies, WASI_COPIES_MAX + WASI_AHEAD_MAX);
    }
    ck_assert_uint_gt(f.w->copies, WASI_COPIES_MAX);
    fx_stop(&f);
    fx_start(&f);
    f.w->kept.used = SH_KEPT_BYTES_MAX - WASI_AHEAD_MAX + 1;
    read_on(&f, open_it(&f, R_FD_READ), 0, 2 * STEP, NULL);
    ck_assert_uint_eq(f.w->copies, 0);
    fx_done(&f);
}
END_TEST

START_TEST(answers_that_make_no_sense_end_the_replay) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    int fd;

    set_up(&f, 1000);
    read_on(&f, open_it(&f, R_FD_READ), 0, 2 * STEP, &t);
    ck_assert_uint_eq(number_of(&t, "read.ahead.kept"), 1);
    t.item[t.n - 1].bytes.len -= 4;
    again(&f, &t, t.n, true);
    fd = open_it(&f, R_FD_READ);
    read_on(&f, fd, 0, STEP, NULL);
    ck_assert_int_lt(fx_read(&f, fd, STEP), 0);
    ck_assert(f.g.ended);
    t.item[t.n - 1].bytes.len += 4;
    again(&f, &t, t.n, true);
    fd = open_it(&f, R_FD_READ);
    read_on(&f, fd, 0, STEP, NULL);
    fx_iov(&f, FX_DATA, 100); /* another place than in the journal */
    ck_assert_int_lt(fx_call(&f, "fd_pread", (uint64_t)fd, FX_IOV, 1, 7, FX_OUT), 0);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_ahead",
                    (const TTest *const[]){
                        a_long_file_costs_the_journal_little_and_replays_without_it,
                        a_run_goes_on_wherever_its_journal_ends, journals_from_before_it_replay,
                        who_goes_back_reads_the_file_again, what_comes_behind_the_end_is_seen,
                        who_writes_to_a_file_reads_what_it_wrote,
                        memory_for_it_is_bounded_and_so_is_what_is_kept,
                        answers_that_make_no_sense_end_the_replay, NULL});
}

SH_TEST_MAIN(suite)
