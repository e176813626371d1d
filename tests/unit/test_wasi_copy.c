/* A file that is opened only to be read is read from a copy of that moment, now and in a replay,
 * whatever becomes of the file. */
#include "../lib/wasi_tape.h"

enum { TAPE_MAX = 32, SHORT = 1000, LONG = 200000, SHORTEST_KEPT = SH_KEPT_MIN - 256 - 1 };

static char blobs[96];

static void file(struct fx *f, size_t n, char first) {
    char *text = sh_alloc(n + 1);

    for (size_t i = 0; i < n; i++) {
        text[i] = (char)(first + (char)(i % 19));
    }
    text[n] = '\0';
    fx_host_file(f, "mapped/a", text);
    sh_free(text);
}

static void set_up_with(struct fx *f, size_t n, uint64_t capture) {
    fx_dirs(f);
    fx_map(f, 3, 3, true);
    f->mount[0].capture = capture;
    (void)snprintf(blobs, sizeof(blobs), "%s/blobs", f->dir);
    f->config.blobs = blobs;
    file(f, n, 'a');
    fx_start(f);
}

static void set_up(struct fx *f, size_t n) {
    set_up_with(f, n, SH_CAPTURE_DEFAULT);
}

static void again(struct fx *f, const struct fx_tape *t, bool verify) {
    f->config.verify = verify;
    fx_replay(f, t, t->n);
}

static bool data_is(struct fx *f, size_t at, size_t n, char first) {
    for (size_t i = 0; i < n; i++) {
        if (f->m[FX_DATA + i] != (uint8_t)(first + (char)((at + i) % 19))) {
            return false;
        }
    }
    return true;
}

static int pread_at(struct fx *f, int fd, uint32_t n, uint64_t at) {
    int rc;

    fx_iov(f, FX_DATA, n);
    rc = fx_call(f, "fd_pread", (uint64_t)fd, FX_IOV, 1, at, FX_OUT);
    return rc > 0 ? -rc : rc < 0 ? rc : (int)fx_u32(f, FX_OUT);
}

static uint64_t size_of(struct fx *f, int fd) {
    ck_assert_int_eq(fx_call(f, "fd_filestat_get", (uint64_t)fd, FX_OUT), E_OK);
    return fx_u64(f, FX_OUT + 32);
}

/* The file as it was, however it is looked at. */
static void reads_as_it_was(struct fx *f, int fd, size_t n) {
    ck_assert_int_ge(fd, 0);
    ck_assert_uint_eq(size_of(f, fd), n);
    ck_assert_int_eq(fx_read(f, fd, LONG * 2), (int)n);
    ck_assert(data_is(f, 0, n, 'a'));
    ck_assert_int_eq(fx_read(f, fd, 10), 0);
    ck_assert_int_eq(pread_at(f, fd, 10, n - 5), 5);
    ck_assert(data_is(f, n - 5, 5, 'a'));
    ck_assert_int_eq(pread_at(f, fd, 10, n), 0);
    ck_assert_int_eq(pread_at(f, fd, 10, INT64_MAX), 0);
}

static void one_moment(size_t n, const char *kind) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    int fd;

    set_up(&f, n);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    file(&f, n / 2, 'f');
    reads_as_it_was(&f, fd, n);
    ck_assert_uint_eq(f.g.n_effects, 1); /* reading needs no record */
    sh_assert_str(f.g.effects[0].a, kind);
    fx_record(&f, &t);
    for (int verify = 0; verify < 2; verify++) {
        again(&f, &t, verify);
        reads_as_it_was(&f, fx_open(&f, 3, "a", 0, R_FD_READ), n);
        ck_assert_uint_eq(f.g.n_effects, 0);
        ck_assert(!f.g.ended);
    }
    fx_tape_done(&t);
    fx_done(&f);
}

START_TEST(a_file_is_what_it_was_when_it_was_opened_now_and_in_a_replay) {
    one_moment(SHORT, "open.copy");
    one_moment(SHORTEST_KEPT - 1, "open.copy");
    one_moment(SHORTEST_KEPT, "open.copy.kept");
    one_moment(LONG, "open.copy.kept");
}
END_TEST

START_TEST(an_empty_file_is_empty_whatever_comes_later) {
    struct fx f;
    int fd;

    set_up(&f, 0);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    file(&f, SHORT, 'a');
    ck_assert_int_eq(fx_read(&f, fd, 10), 0);
    ck_assert_uint_eq(size_of(&f, fd), 0);
    fx_done(&f);
}
END_TEST

START_TEST(a_file_as_long_as_the_mount_captures_is_copied_and_a_longer_one_is_not) {
    struct fx f;

    for (int i = 0; i < 2; i++) {
        size_t n = i ? LONG : SHORT;

        set_up_with(&f, n, n);
        ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
        sh_assert_str(f.g.effects[0].a, i ? "open.copy.kept" : "open.copy");
        fx_done(&f);
        set_up_with(&f, n, n - 1);
        ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
        sh_assert_str(f.g.effects[0].a, "open");
        ck_assert_int_eq(access(blobs, F_OK), -1);
        fx_done(&f);
    }
}
END_TEST

START_TEST(a_mount_that_captures_nothing_shows_the_file_itself) {
    struct fx f;
    int fd;

    set_up_with(&f, SHORT, 0);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    file(&f, SHORT, 'f');
    ck_assert_int_eq(fx_read(&f, fd, SHORT), SHORT);
    ck_assert(data_is(&f, 0, SHORT, 'f'));
    fx_done(&f);
}
END_TEST

START_TEST(past_what_one_agent_may_keep_the_file_itself_is_read) {
    struct fx f;

    set_up(&f, LONG);
    f.w->kept.used = SH_KEPT_BYTES_MAX - LONG;
    ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
    sh_assert_str(f.g.effects[0].a, "open.copy.kept");
    ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
    sh_assert_str(f.g.effects[1].a, "open");
    fx_done(&f);
}
END_TEST

START_TEST(who_writes_to_a_file_reads_what_it_wrote) {
    static const size_t sizes[] = {SHORT, LONG};
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    for (size_t i = 0; i < 2; i++) {
        int in = -1, out = -1, later = -1;

        set_up(&f, sizes[i]);
        for (int run = 0; run < 2; run++) {
            in = fx_open(&f, 3, "a", 0, R_FD_READ);
            out = fx_open(&f, 3, "a", 0, FX_RW);
            ck_assert_int_eq(fx_write(&f, out, "NEW"), 3);
            later = fx_open(&f, 3, "a", 0, R_FD_READ); /* while it is open to be changed */
            ck_assert_int_eq(fx_write(&f, out, "ER"), 2);
            ck_assert_int_eq(fx_read(&f, in, 5), 5);
            ck_assert(fx_data_is(&f, "NEWER"));
            ck_assert_int_eq(fx_read(&f, later, 5), 5);
            ck_assert(fx_data_is(&f, "NEWER"));
            if (run == 0) {
                fx_record(&f, &t);
                again(&f, &t, false);
            }
        }
        ck_assert_uint_eq(f.g.n_effects, 0);
        fx_tape_done(&t);
        fx_done(&f);
    }
}
END_TEST

START_TEST(times_that_the_guest_set_are_seen) {
    struct fx f;
    int fd;

    set_up(&f, SHORT);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_times", (uint64_t)fd, 5, 7000000000, 5), E_OK);
    (void)size_of(&f, fd);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 48), 7000000000);
    fx_done(&f);
}
END_TEST

START_TEST(copying_leaves_the_time_of_access_alone) {
    static const size_t sizes[] = {SHORT, LONG};
    const struct timespec long_ago[] = {{.tv_sec = 7}, {.tv_sec = 9}}; /* reading would renew it */
    struct stat st;
    struct fx f;
    char path[128];

    for (size_t i = 0; i < 2; i++) {
        set_up(&f, sizes[i]);
        (void)snprintf(path, sizeof(path), "%s/mapped/a", f.dir);
        ck_assert_int_eq(utimensat(AT_FDCWD, path, long_ago, 0), 0);
        ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
        ck_assert_uint_eq(f.g.n_effects, 1);
        ck_assert_int_eq(stat(path, &st), 0);
        ck_assert_int_eq(st.st_atim.tv_sec, 7);
        fx_done(&f);
    }
}
END_TEST

static void ends_as(const char *command, int code) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    char line[512];
    int fd;

    set_up(&f, LONG);
    ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
    fx_record(&f, &t);
    again(&f, &t, true);
    (void)snprintf(line, sizeof(line), "cd '%s' && %s", blobs, command);
    ck_assert_int_eq(system(line), 0);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, LONG), SH_CALL_END);
    ck_assert_msg(f.g.end.code == code, "%s: %s", command, f.g.end.message);
    fx_tape_done(&t);
    fx_done(&f);
}

START_TEST(a_copy_that_changed_or_is_gone_ends_the_replay) {
    ends_as("rm -f *", SH_E_NOT_FOUND);
    ends_as("chmod 600 * && printf X | dd of=$(ls) conv=notrunc status=none", SH_E_CORRUPT);
    ends_as("chmod 600 * && printf X >> $(ls)", SH_E_CORRUPT);
    ends_as("n=$(ls) && rm -f $n && mkfifo $n", SH_E_CORRUPT);
    ends_as("n=$(ls) && rm -f $n && ln -s /dev/zero $n", SH_E_IO);
}
END_TEST

START_TEST(a_record_that_was_cut_is_corrupt) {
    static const size_t sizes[] = {SHORT, LONG};
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    for (size_t i = 0; i < 2; i++) {
        set_up(&f, sizes[i]);
        ck_assert_int_ge(fx_open(&f, 3, "a", 0, R_FD_READ), 0);
        fx_record(&f, &t);
        t.item[0].bytes.len--;
        again(&f, &t, true);
        ck_assert_int_eq(fx_open(&f, 3, "a", 0, R_FD_READ), -SH_CALL_END);
        ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
        fx_tape_done(&t);
        fx_done(&f);
    }
}
END_TEST

START_TEST(a_folder_that_cannot_take_the_copy_is_the_hosts_failure) {
    struct fx f;

    set_up(&f, LONG);
    fx_host_file(&f, "blobs", "x");
    ck_assert_int_eq(fx_open(&f, 3, "a", 0, R_FD_READ), -SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_IO);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_file_is_what_it_was_when_it_was_opened_now_and_in_a_replay,
        an_empty_file_is_empty_whatever_comes_later,
        a_file_as_long_as_the_mount_captures_is_copied_and_a_longer_one_is_not,
        a_mount_that_captures_nothing_shows_the_file_itself,
        past_what_one_agent_may_keep_the_file_itself_is_read,
        who_writes_to_a_file_reads_what_it_wrote,
        times_that_the_guest_set_are_seen,
        copying_leaves_the_time_of_access_alone,
        a_copy_that_changed_or_is_gone_ends_the_replay,
        a_record_that_was_cut_is_corrupt,
        a_folder_that_cannot_take_the_copy_is_the_hosts_failure,
        NULL};

    return sh_suite("wasi_copy", tests);
}
SH_TEST_MAIN(suite)
