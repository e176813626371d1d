/* The private directory on a disk that fills up: ENOSPC at the edge, recorded, and the same in a
 * replay whatever is free then. */
#include "wasi_fixture.h"

#ifdef SH_FAULTS

enum { SEEN_MAX = 8 };

static struct fx f;
static char seen[SEEN_MAX][8]; /* of the observations "nospace", in order */
static uint64_t seen_call[SEEN_MAX];
static size_t n_seen;

static void keep_seen(void) {
    n_seen = 0;
    for (size_t i = 0; i < f.g.n_effects; i++) {
        const struct sh_effect *e = &f.g.effects[i];
        if (e->kind == SH_EFFECT_OBSERVED) {
            sh_assert_str(e->a, "nospace");
            ck_assert_uint_eq(e->b.len, 8);
            memcpy(seen[n_seen], e->b.p, 8);
            seen_call[n_seen++] = e->number;
        }
    }
}

/* Write five times, room going and coming: "+" or "-" for each, then what the file holds. */
static void five_writes(const uint64_t room[5], char ret[6]) {
    int fd = fx_open(&f, FX_MOUNT_FD, "a", O_WASI_CREAT, FX_RW);

    ck_assert_int_ge(fd, 0);
    for (int i = 0; i < 5; i++) {
        int n;
        sh_disk_pretend(room[i]);
        f.w->room.unlooked = 0; /* as if much had been written since the last look */
        n = fx_write(&f, fd, "x");
        ck_assert(n == 1 || n == -E_NOSPC);
        ret[i] = n == 1 ? '+' : '-';
    }
    ret[5] = '\0';
    sh_disk_pretend(UINT64_MAX);
}

static const uint64_t changing[5] = {SH_DISK_GUEST_MIN, SH_DISK_GUEST_MIN - 1, SH_GIB, 0,
                                     SH_DISK_GUEST_MIN};
static const uint64_t plenty[5] = {SH_GIB, SH_GIB, SH_GIB, SH_GIB, SH_GIB};
static const uint64_t nothing[5] = {0, 0, 0, 0, 0};

static void begin(bool again, bool verify) {
    fx_dirs(&f);
    f.config.observe = true;
    f.config.again = again;
    f.config.verify = verify;
    fx_start(&f);
}

static void push_seen(void) {
    for (size_t i = 0; i < n_seen; i++) {
        sh_guest_push(&f.g, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                                   .seq = i + 2,
                                                   .number = seen_call[i],
                                                   .what = SH_STR("nospace"),
                                                   .bytes = sh_strn(seen[i], 8)});
    }
}

START_TEST(a_write_is_refused_below_the_mark_and_not_at_it) {
    char got[6];

    begin(false, false);
    five_writes(changing, got);
    ck_assert_str_eq(got, "+-+-+");
    keep_seen();
    ck_assert_uint_eq(n_seen, 2);
    fx_done(&f);
}
END_TEST

START_TEST(a_replay_refuses_the_same_writes_whatever_is_free) {
    static const uint64_t *const rooms[] = {plenty, nothing};
    char got[6];

    begin(false, false);
    five_writes(changing, got);
    keep_seen();
    fx_done(&f);
    for (int i = 0; i < 4; i++) { /* after a crash, and to verify */
        begin(true, i / 2 == 1);
        push_seen();
        five_writes(rooms[i % 2], got);
        ck_assert_str_eq(got, "+-+-+");
        ck_assert(!f.g.ended);
        ck_assert_uint_eq(f.g.call_number, 2);
        fx_done(&f);
    }
}
END_TEST

START_TEST(what_ran_before_meets_the_disk_only_once_it_is_live) {
    char got[6];

    begin(true, false);
    five_writes(nothing, got);
    ck_assert_str_eq(got, "+++++");
    f.g.live = true;
    five_writes(nothing, got);
    ck_assert_str_eq(got, "-----");
    fx_done(&f);
}
END_TEST

START_TEST(room_that_is_asked_for_is_refused_and_lengths_are_not) {
    int fd;

    begin(false, false);
    fd =
        fx_open(&f, FX_MOUNT_FD, "a", O_WASI_CREAT, FX_RW | R_FD_ALLOCATE | R_FD_FILESTAT_SET_SIZE);
    ck_assert_int_ge(fd, 0);
    sh_disk_pretend(SH_DISK_GUEST_MIN - 1);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 100), E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)fd, 100), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 100), E_OK); /* it is that long */
    sh_disk_pretend(SH_DISK_GUEST_MIN);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 200), E_OK);
    sh_disk_pretend(UINT64_MAX);
    fx_done(&f);
}
END_TEST

START_TEST(much_written_since_the_last_look_is_looked_at_again) {
    char *megabyte = sh_alloc(SH_MIB + 1);
    int fd;

    memset(megabyte, 'x', SH_MIB);
    megabyte[SH_MIB] = '\0';
    begin(false, false);
    fd = fx_open(&f, FX_MOUNT_FD, "a", O_WASI_CREAT, FX_RW);
    sh_disk_pretend(SH_DISK_GUEST_MIN);
    ck_assert_int_eq(fx_write(&f, fd, "x"), 1);
    sh_disk_pretend(SH_DISK_GUEST_MIN - 1);
    ck_assert_int_eq(fx_write(&f, fd, "x"), 1); /* it has not looked */
    ck_assert_int_eq(fx_write(&f, fd, megabyte), -E_NOSPC);
    ck_assert_int_eq(fx_write(&f, fd, "x"), -E_NOSPC);
    sh_disk_pretend(UINT64_MAX);
    sh_free(megabyte);
    fx_done(&f);
}
END_TEST

#endif

static Suite *suite(void) {
    const TTest *const tests[] = {
#ifdef SH_FAULTS
        a_write_is_refused_below_the_mark_and_not_at_it,
        a_replay_refuses_the_same_writes_whatever_is_free,
        what_ran_before_meets_the_disk_only_once_it_is_live,
        room_that_is_asked_for_is_refused_and_lengths_are_not,
        much_written_since_the_last_look_is_looked_at_again,
#endif
        NULL};
    return sh_suite("wasi_room", tests);
}

SH_TEST_MAIN(suite)
