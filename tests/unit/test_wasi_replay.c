/* Mapped directories are inputs: a recorded tape gives the same answers without the directory, and
 * a run that goes on live finds the same files, or stops. */
#include "../lib/wasi_tape.h"

enum { TAPE_MAX = 64, LOG_MAX = 8192 };

static void record_in_between(struct fx *f) {
    fx_record(f, f->user);
}

static size_t note(struct fx *f, uint8_t *log, size_t at, int rc, size_t n) {
    ck_assert_uint_lt(at + n + 4, LOG_MAX);
    put32(log + at, (uint32_t)rc);
    memcpy(log + at + 4, f->m + FX_OUT, n);
    return at + 4 + n;
}

/* Everything that looks at or changes a mapped directory; all answers are logged. */
static size_t program(struct fx *f, uint8_t *log) {
    size_t at = 0;
    int fd = fx_open(f, 3, "a", 0, R_FD_READ), dir, out;

    at = note(f, log, at, fd, 4);
    at = note(f, log, at, fx_read(f, fd, 3), 4);
    memcpy(f->m + FX_OUT, f->m + FX_DATA, 3);
    at = note(f, log, at, 0, 3);
    at = note(f, log, at, fx_read(f, fd, 100), 4);
    at = note(f, log, at, fx_call(f, "fd_filestat_get", (uint64_t)fd, FX_OUT), 64);
    at = note(f, log, at, fx_call(f, "fd_seek", (uint64_t)fd, 0, 2, FX_OUT), 8);
    at = note(f, log, at, fx_open(f, 3, "missing", 0, R_FD_READ), 4);
    at = note(f, log, at, fx_stat(f, 3, "l", false), 64);
    at = note(f, log, at,
              fx_call(f, "path_readlink", 3, FX_PATH, fx_put(f, FX_PATH, "l"), FX_OUT, 64, FX_IOV),
              1);
    at = note(f, log, at, fx_path(f, "path_create_directory", 3, "d"), 0);
    dir = fx_open(f, 3, "d", O_WASI_DIRECTORY, R_FD_READ);
    out = fx_open(f, dir, "new", O_WASI_CREAT, FX_RW);
    at = note(f, log, at, fx_write(f, out, "first "), 4);
    ck_assert_int_eq(fx_call(f, "fd_fdstat_set_flags", (uint64_t)out, FD_APPEND), E_OK);
    at = note(f, log, at, fx_write(f, out, "second"), 4);
    at = note(f, log, at, fx_rename(f, dir, "new", 3, "moved"), 0);
    at = note(f, log, at, fx_link(f, 3, "moved", dir, "again"), 0);
    at = note(f, log, at, fx_symlink(f, "a", dir, "s"), 0);
    at = note(f, log, at, fx_path(f, "path_unlink_file", dir, "s"), 0);
    at = note(f, log, at, fx_path(f, "path_unlink_file", dir, "s"), 0);
    at = note(f, log, at, fx_call(f, "fd_filestat_set_size", (uint64_t)out, 8), 0);
    at = note(f, log, at, fx_call(f, "fd_sync", (uint64_t)out), 0);
    at = note(f, log, at, fx_call(f, "fd_filestat_set_times", (uint64_t)out, 5, 6, 5), 0);
    at = note(f, log, at, fx_call(f, "fd_readdir", 3, FX_OUT, 512, 0, FX_IOV), 256);
    at = note(f, log, at, fx_call(f, "fd_readdir", (uint64_t)dir, FX_OUT, 512, 0, FX_IOV), 100);
    return at;
}

static void set_up(struct fx *f) {
    char link[160];

    fx_dirs(f);
    fx_map(f, 3, 3, true);
    fx_host_file(f, "mapped/a", "hello world");
    (void)snprintf(link, sizeof(link), "%s/l", f->mapped);
    ck_assert_int_eq(symlink("a", link), 0);
    fx_start(f);
}

START_TEST(a_tape_answers_without_the_directory) {
    static uint8_t live[LOG_MAX], replayed[LOG_MAX];
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    char command[320];
    size_t n;

    set_up(&f);
    f.room = record_in_between;
    f.user = &t;
    n = program(&f, live);
    fx_record(&f, &t);
    ck_assert_uint_gt(t.n, 20);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f.mapped);
    ck_assert_int_eq(system(command), 0);
    for (int run = 0; run < 2; run++) {
        f.config.verify = run;
        fx_replay(&f, &t, t.n);
        ck_assert_uint_eq(program(&f, replayed), n);
        ck_assert_mem_eq(live, replayed, n);
        ck_assert_uint_eq(f.g.n_effects, 0);
        ck_assert(!f.g.ended);
    }
    ck_assert_int_eq(access(f.mapped, F_OK), -1);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(a_run_goes_on_with_the_file_it_had) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    int fd;

    set_up(&f);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, 6), 6);
    fx_record(&f, &t);
    fx_replay(&f, &t, t.n);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, 6), 6);
    ck_assert_int_eq(fx_read(&f, fd, 100), 5); /* live, where the tape ends */
    ck_assert(fx_data_is(&f, "world"));
    ck_assert_uint_eq(f.g.n_effects, 1);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(a_file_that_changed_ends_the_run) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    int fd;

    set_up(&f);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, 6), 6);
    fx_record(&f, &t);
    fx_host_file(&f, "mapped/a", "another text");
    fx_replay(&f, &t, t.n);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, 6), 6);
    ck_assert_int_eq(fx_read(&f, fd, 100), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_INPUT_CHANGED);
    ck_assert_ptr_nonnull(strstr(f.g.end.message, "mapped/a"));
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(another_question_is_nondeterminism) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f);
    (void)fx_open(&f, 3, "a", 0, R_FD_READ);
    fx_record(&f, &t);
    fx_replay(&f, &t, t.n);
    ck_assert_int_eq(fx_open(&f, 3, "b", 0, R_FD_READ), -SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    fx_replay(&f, &t, t.n);
    ck_assert_int_eq(fx_stat(&f, 3, "a", true), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(a_cut_answer_is_corrupt) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f);
    (void)fx_stat(&f, 3, "a", true);
    fx_record(&f, &t);
    t.item[0].bytes.len -= 3;
    fx_replay(&f, &t, t.n);
    ck_assert_int_eq(fx_stat(&f, 3, "a", true), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

START_TEST(changes_that_the_crash_hid_are_made_again_and_succeed) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;

    set_up(&f);
    ck_assert_int_eq(fx_stat(&f, 3, "a", true), E_OK);
    fx_record(&f, &t);
    for (int run = 0; run < 2; run++) { /* the second time all of it is so already */
        ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
        ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "e"), E_OK);
        ck_assert_int_eq(fx_link(&f, 3, "a", 3, "h"), E_OK);
        ck_assert_int_eq(fx_rename(&f, 3, "a", 3, "b"), E_OK);
        ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l"), E_OK);
        if (run == 0) {
            fx_replay(&f, &t, t.n);
            ck_assert_int_eq(fx_stat(&f, 3, "a", true), E_OK);
        }
    }
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "n"), E_OK); /* this one was not */
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_EXIST);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l"), E_NOENT);
    fx_tape_done(&t);
    fx_done(&f);
}
END_TEST

static void append_again(const char *foreign, const char *expected) {
    struct fx_tape t = {.max = TAPE_MAX};
    struct fx f;
    char text[64] = "", path[160];
    FILE *file;
    int fd;

    set_up(&f);
    for (int run = 0; run < 2; run++) {
        fd = fx_open(&f, 3, "a", 0, FX_RW);
        ck_assert_int_eq(fx_call(&f, "fd_fdstat_set_flags", (uint64_t)fd, FD_APPEND), E_OK);
        ck_assert_int_eq(fx_write(&f, fd, "+x"), 2);
        if (run == 0) {
            fx_record(&f, &t); /* what comes now is lost from the journal */
        }
        ck_assert_int_eq(fx_write(&f, fd, "+x"), 2);
        if (run == 0 || !*foreign) {
            ck_assert_int_eq(fx_call(&f, "fd_tell", (uint64_t)fd, FX_OUT), E_OK);
            ck_assert_uint_eq(fx_u64(&f, FX_OUT), strlen("hello world+x+x"));
        }
        if (run == 0) {
            if (*foreign) { /* somebody else was there before the second */
                (void)snprintf(text, sizeof(text), "hello world+x%s", foreign);
                fx_host_file(&f, "mapped/a", text);
            }
            fx_replay(&f, &t, t.n);
        }
    }
    ck_assert_int_eq(fx_write(&f, fd, "+x"), 2); /* this one was never made */
    (void)snprintf(path, sizeof(path), "%s/a", f.mapped);
    memset(text, 0, sizeof(text));
    file = fopen(path, "r");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_gt(fread(text, 1, sizeof(text) - 1, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_str_eq(text, expected);
    fx_tape_done(&t);
    fx_done(&f);
}

START_TEST(an_append_that_the_crash_hid_is_there_once) {
    append_again("", "hello world+x+x+x");
    append_again("other", "hello world+xother+x+x");
    append_again("+", "hello world+x++x+x");
}
END_TEST

START_TEST(a_first_change_that_the_crash_hid_succeeds_though_the_journal_shows_nothing) {
    struct fx f;

    set_up(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
    fx_stop(&f);
    f.config.again = true;
    fx_start(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "e"), E_OK);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_EXIST);
    fx_done(&f);
}
END_TEST

START_TEST(a_fresh_run_is_told_that_a_directory_exists) {
    struct fx f;

    set_up(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "a"), E_EXIST);
    fx_done(&f);
}
END_TEST

START_TEST(full_effects_wait_for_room_and_lose_nothing) {
    struct fx f;
    const uint64_t a[5] = {3, 1, FX_PATH, 1, FX_OUT};
    int n = 0;

    set_up(&f);
    fx_put(&f, FX_PATH, "a");
    while (fx_step(&f, false, "path_filestat_get", a) == E_OK) {
        n++;
    }
    ck_assert_int_eq(n, SH_EFFECTS_MAX);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_ROOM);
    ck_assert_uint_eq(f.g.call_number, (uint64_t)n); /* the one that waits was not counted */
    sh_guest_effects_taken(&f.g);
    ck_assert_int_eq(fx_step(&f, true, "path_filestat_get", a), E_OK);
    ck_assert_uint_eq(f.g.call_number, (uint64_t)n + 1);
    fx_done(&f);
}
END_TEST

START_TEST(bytes_written_to_a_mapped_directory_are_limited) {
    struct fx f;
    int fd;

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    f.mount[0].bytes = 10;
    fx_start(&f);
    fd = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "0123456"), 7);
    ck_assert_int_eq(fx_write(&f, fd, "0123456"), 3);
    ck_assert_int_eq(fx_write(&f, fd, "x"), -E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 11), E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)fd, 5), E_OK);
    fx_stop(&f);
    fx_start(&f);
    fd = fx_open(&f, 3, "b", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 11), E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)fd, 0, 10), E_OK); /* the last byte */
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)fd, 11), E_NOSPC);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_replay",
                    (const TTest *const[]){
                        a_tape_answers_without_the_directory, a_run_goes_on_with_the_file_it_had,
                        a_file_that_changed_ends_the_run, another_question_is_nondeterminism,
                        a_cut_answer_is_corrupt,
                        changes_that_the_crash_hid_are_made_again_and_succeed,
                        an_append_that_the_crash_hid_is_there_once,
                        a_first_change_that_the_crash_hid_succeeds_though_the_journal_shows_nothing,
                        a_fresh_run_is_told_that_a_directory_exists,
                        full_effects_wait_for_room_and_lose_nothing,
                        bytes_written_to_a_mapped_directory_are_limited, NULL});
}

SH_TEST_MAIN(suite)
