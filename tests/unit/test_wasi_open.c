/* Opening and appending as Linux does it; found by comparing whole programs with it. */
#include "../lib/wasi_fixture.h"

START_TEST(a_creating_open_does_not_take_a_directory) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
    ck_assert_int_eq(fx_symlink(&f, "d", 3, "l"), E_OK);
    ck_assert_int_eq(fx_open(&f, 3, "d", O_WASI_CREAT, R_FD_READ), -E_ISDIR);
    ck_assert_int_eq(fx_open(&f, 3, "l", O_WASI_CREAT, R_FD_READ), -E_ISDIR);
    ck_assert_int_gt(fx_open(&f, 3, "d", 0, R_FD_READ), 0);
    fx_done(&f);
}
END_TEST

START_TEST(an_exclusive_create_follows_no_link) {
    static const char *const targets[] = {"file", "nowhere", "../../out", "l"};
    struct fx f;

    fx_plain(&f);
    ck_assert_int_gt(fx_open(&f, 3, "file", O_WASI_CREAT, FX_RW), 0);
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        ck_assert_int_eq(fx_symlink(&f, targets[i], 3, "l"), E_OK);
        ck_assert_int_eq(fx_open(&f, 3, "l", O_WASI_CREAT | O_WASI_EXCL, FX_RW), -E_EXIST);
        ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l"), E_OK);
    }
    ck_assert_int_eq(fx_stat(&f, 3, "nowhere", true), E_NOENT);
    fx_done(&f);
}
END_TEST

/* In both kinds of directory: recorded answers are no other ones. */
START_TEST(a_directory_asked_for_writing_is_looked_at_first) {
    for (int observe = 0; observe < 2; observe++) {
        struct fx f;

        fx_dirs(&f);
        fx_map(&f, 3, 3, observe);
        fx_start(&f);
        ck_assert_int_gt(fx_open(&f, 3, "file", O_WASI_CREAT, FX_RW), 0);
        ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
        ck_assert_int_eq(fx_open(&f, 3, "none", O_WASI_DIRECTORY, FX_RW), -E_NOENT);
        ck_assert_int_eq(fx_open(&f, 3, "file", O_WASI_DIRECTORY, FX_RW), -E_NOTDIR);
        ck_assert_int_eq(fx_open(&f, 3, "d", O_WASI_DIRECTORY, FX_RW), -E_ISDIR);
        ck_assert_int_eq(fx_open(&f, 3, "..", O_WASI_DIRECTORY, FX_RW), -E_PERM);
        fx_done(&f);
    }
}
END_TEST

START_TEST(appending_nothing_moves_nothing) {
    for (int dir = 3; dir <= 4; dir++) { /* mapped, private */
        struct fx f;
        int fd;

        fx_dirs(&f);
        fx_map(&f, 3, 3, true);
        fx_start(&f);
        fd = fx_open(&f, dir, "a", O_WASI_CREAT, FX_RW);
        ck_assert_int_eq(fx_write(&f, fd, "0123456789"), 10);
        ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, 4, 0, FX_OUT), E_OK);
        ck_assert_int_eq(fx_call(&f, "fd_fdstat_set_flags", (uint64_t)fd, FD_APPEND), E_OK);
        ck_assert_int_eq(fx_write(&f, fd, ""), 0);
        ck_assert_int_eq(fx_call(&f, "fd_tell", (uint64_t)fd, FX_OUT), E_OK);
        ck_assert_uint_eq(fx_u64(&f, FX_OUT), 4);
        ck_assert_int_eq(fx_write(&f, fd, "x"), 1);
        ck_assert_int_eq(fx_call(&f, "fd_tell", (uint64_t)fd, FX_OUT), E_OK);
        ck_assert_uint_eq(fx_u64(&f, FX_OUT), 11);
        fx_done(&f);
    }
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_open",
                    (const TTest *const[]){a_creating_open_does_not_take_a_directory,
                                           an_exclusive_create_follows_no_link,
                                           a_directory_asked_for_writing_is_looked_at_first,
                                           appending_nothing_moves_nothing, NULL});
}

SH_TEST_MAIN(suite)
