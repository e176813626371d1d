/* Descriptors, reading, writing, sizes, times, listings: each at its limits. */
#include "../lib/wasi_fixture.h"

START_TEST(there_are_46_functions_with_their_signatures) {
    ck_assert_uint_eq(sh_wasi_functions_n, 46);
    for (size_t i = 0; i < sh_wasi_functions_n; i++) {
        ck_assert(sh_wasi_functions[i].fn != NULL);
        ck_assert_uint_eq(strspn(sh_wasi_functions[i].params, "iI"),
                          strlen(sh_wasi_functions[i].params));
        ck_assert(sh_wasi_functions[i].returns ==
                  (strcmp(sh_wasi_functions[i].name, "proc_exit") != 0));
    }
}
END_TEST

START_TEST(arguments_fit_exactly_or_fault) {
    static const char *const argv[] = {"prog", "", "x y", NULL};
    struct fx f;

    fx_dirs(&f);
    f.config.argv = argv;
    fx_start(&f);
    ck_assert_int_eq(fx_call(&f, "args_sizes_get", 0, 4), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 0), 3);
    ck_assert_uint_eq(fx_u32(&f, 4), 10);
    ck_assert_int_eq(fx_call(&f, "args_get", FX_MEM - 12, 100), E_OK);
    ck_assert_int_eq(fx_call(&f, "args_get", FX_MEM - 11, 100), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "args_get", 0, FX_MEM - 10), E_OK);
    ck_assert_int_eq(fx_call(&f, "args_get", 0, FX_MEM - 9), E_FAULT);
    ck_assert_str_eq((char *)f.m + fx_u32(&f, 8), "x y");
    ck_assert_int_eq(fx_call(&f, "environ_sizes_get", 0, 4), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 0), 0);
    fx_done(&f);
}
END_TEST

START_TEST(clocks_are_the_workflows) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "clock_time_get", 0, 0, 0), E_OK);
    ck_assert_uint_eq(fx_u64(&f, 0), 1700000000000001000ULL);
    ck_assert_int_eq(fx_call(&f, "clock_time_get", 1, 0, 0), E_OK);
    ck_assert_uint_eq(fx_u64(&f, 0), 2000);
    ck_assert_int_eq(fx_call(&f, "clock_res_get", 3, 0), E_OK);
    ck_assert_uint_eq(fx_u64(&f, 0), 1000);
    ck_assert_int_eq(fx_call(&f, "clock_time_get", 4, 0, 0), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "clock_time_get", 0, 0, FX_MEM - 7), E_FAULT);
    fx_done(&f);
}
END_TEST

START_TEST(exit_and_raise_end_the_agent) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "proc_exit", 7), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_EXIT);
    ck_assert_int_eq(f.g.end.exit_status, 7);
    fx_done(&f);
    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "proc_exit", 0), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_OK);
    fx_done(&f);
    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "proc_raise", 31), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "proc_raise", 6), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_TRAP);
    ck_assert_ptr_nonnull(strstr(f.g.end.message, "SIGABRT"));
    fx_done(&f);
}
END_TEST

START_TEST(random_bytes_are_the_workflows) {
    struct fx f;
    uint8_t want[200000];

    fx_plain(&f);
    sh_random_stream(f.config.seed, 0, want, sizeof(want));
    ck_assert_int_eq(fx_call(&f, "random_get", FX_DATA, sizeof(want)), E_OK);
    ck_assert_mem_eq(f.m + FX_DATA, want, sizeof(want));
    ck_assert_int_eq(fx_call(&f, "random_get", 1, UINT32_MAX), E_FAULT);
    fx_done(&f);
}
END_TEST

START_TEST(preopens_come_in_their_order) {
    struct fx f;

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    fx_start(&f);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", 3, 0), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 4), 2);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_dir_name", 3, 16, 1), E_NAMETOOLONG);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_dir_name", 3, 16, 2), E_OK);
    ck_assert_mem_eq(f.m + 16, "/m", 2);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_dir_name", 4, 16, 9), E_OK);
    ck_assert_mem_eq(f.m + 16, "/m", 1);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_dir_name", 5, 16, 9), E_OK);
    ck_assert_mem_eq(f.m + 16, "/dev", 4);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", 6, 0), E_BADF);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", 0, 0), E_BADF);
    fx_done(&f);
}
END_TEST

START_TEST(padding_is_zero) {
    struct fx f;

    fx_plain(&f);
    memset(f.m, 0xff, 128);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_get", 3, 0), E_OK);
    ck_assert_uint_eq(f.m[1] | f.m[4] | f.m[5] | f.m[6] | f.m[7], 0);
    memset(f.m, 0xff, 128);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_get", 3, 0), E_OK);
    for (int i = 17; i < 24; i++) {
        ck_assert_uint_eq(f.m[i], 0);
    }
    memset(f.m, 0xff, 128);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 3, 0, 128, 0, 256), E_OK);
    ck_assert_uint_eq(f.m[21] | f.m[22] | f.m[23], 0);
    memset(f.m, 0xff, 128);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", 3, 0), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 0), 0);
    fx_done(&f);
}
END_TEST

START_TEST(renumbering_leaks_nothing) {
    struct fx f;
    size_t open;

    fx_plain(&f);
    open = f.w->n_open;
    for (int i = 0; i < 300; i++) {
        int a = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW),
            b = fx_open(&f, 3, "b", O_WASI_CREAT, FX_RW);

        ck_assert_int_eq(fx_call(&f, "fd_renumber", (uint64_t)a, (uint64_t)b), E_OK);
        ck_assert_int_eq(fx_call(&f, "fd_renumber", (uint64_t)b, (uint64_t)b), E_OK);
        ck_assert_int_eq(fx_call(&f, "fd_renumber", (uint64_t)b, (uint64_t)a), E_BADF);
        ck_assert_int_eq(fx_close(&f, a), E_BADF);
        ck_assert_int_eq(fx_close(&f, b), E_OK);
    }
    ck_assert_uint_eq(f.w->n_open, open);
    ck_assert_int_eq(fx_call(&f, "fd_renumber", 4, 3), E_OK); /* over a preopen */
    ck_assert_int_eq(fx_close(&f, 3), E_OK);
    fx_done(&f);
}
END_TEST

START_TEST(descriptors_end_at_their_limit) {
    struct fx f;
    int fd = 0, n = 0;

    fx_plain(&f);
    for (int i = 0; i < 10000; i++) {
        fd = fx_open(&f, 4, "null", 0, FX_RW);
        n += fd >= 0;
    }
    ck_assert_int_eq(fd, -E_MFILE);
    ck_assert_int_eq(n, SH_DESCRIPTORS_MAX - 5);
    ck_assert_int_eq(fx_close(&f, 100), E_OK);
    ck_assert_int_eq(fx_open(&f, 4, "null", 0, FX_RW), 100);
    ck_assert_int_eq(fx_call(&f, "fd_close", UINT32_MAX), E_BADF);
    ck_assert_int_eq(fx_call(&f, "fd_close", SH_DESCRIPTORS_MAX), E_BADF);
    fx_done(&f);
}
END_TEST

START_TEST(vectors_are_bounded_and_checked) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    memset(f.m + FX_IOV, 0, 8 * 2048);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, 1000000, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, SH_IOVECS_MAX + 1, FX_OUT),
                     E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, SH_IOVECS_MAX, FX_OUT), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_read", (uint64_t)fd, FX_IOV, SH_IOVECS_MAX, FX_OUT), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_read", (uint64_t)fd, FX_MEM - 7, 1, FX_OUT), E_FAULT);
    fx_iov(&f, FX_MEM - 4, 5);
    ck_assert_int_eq(fx_call(&f, "fd_read", (uint64_t)fd, FX_IOV, 1, FX_OUT), E_FAULT);
    fx_iov(&f, 16, UINT32_MAX);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, 1, FX_OUT), E_FAULT);
    fx_iov(&f, 16, 5);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, 1, FX_MEM - 3), E_FAULT);
    ck_assert_int_eq(fx_stat(&f, 3, "a", true), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 32), 0); /* nothing was written */
    ck_assert_int_eq(fx_write(&f, fd, "abcdef"), 6);
    fx_iov(&f, FX_IOV, 6); /* reading over the vector itself */
    ck_assert_int_eq(fx_call(&f, "fd_pread", (uint64_t)fd, FX_IOV, 1, 0, FX_OUT), E_OK);
    ck_assert_mem_eq(f.m + FX_IOV, "abcdef", 6);
    ck_assert_int_eq(fx_call(&f, "fd_pread", (uint64_t)fd, FX_IOV, 0, UINT64_MAX, FX_OUT), E_INVAL);
    fx_done(&f);
}
END_TEST

START_TEST(positions_and_append) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "0123456789"), 10);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, (uint64_t)-3, 2, FX_OUT), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT), 7);
    ck_assert_int_eq(fx_read(&f, fd, 10), 3);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, (uint64_t)-11, 1, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, INT64_MAX, 0, FX_OUT), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, 1, 1, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, 0, 3, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_write(&f, fd, "x"), -E_FBIG);
    ck_assert_int_eq(fx_read(&f, fd, 1), 0);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, 0, 0, FX_OUT), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_set_flags", (uint64_t)fd, FD_APPEND), E_OK);
    ck_assert_int_eq(fx_write(&f, fd, "ab"), 2);
    ck_assert_int_eq(fx_call(&f, "fd_tell", (uint64_t)fd, FX_OUT), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT), 12);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_set_flags", (uint64_t)fd, 32), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_seek", 1, 0, 1, FX_OUT), E_SPIPE);
    ck_assert_int_eq(fx_call(&f, "fd_seek", 3, 0, 1, FX_OUT), E_BADF);
    fx_done(&f);
}
END_TEST

START_TEST(the_quota_of_bytes_holds) {
    struct fx f;
    int a, b;

    fx_dirs(&f);
    f.caps.limits.workspace_bytes = 100;
    fx_start(&f);
    a = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    b = fx_open(&f, 3, "b", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)a, 101), E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)a, 95), E_OK);
    ck_assert_int_eq(fx_write(&f, b, "123456789"), 5); /* what fits */
    ck_assert_int_eq(fx_write(&f, b, "6"), -E_NOSPC);
    ck_assert_int_eq(fx_write(&f, b, ""), 0);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)b, 5, 1), E_NOSPC);
    ck_assert_int_eq(fx_symlink(&f, "x", 3, "l"), E_NOSPC);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)a, 94), E_OK);
    ck_assert_int_eq(fx_symlink(&f, "xy", 3, "l"), E_NOSPC);
    ck_assert_int_eq(fx_symlink(&f, "x", 3, "l"), E_OK); /* the last byte */
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l"), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)a, 95), E_OK);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_OK);
    ck_assert_int_eq(fx_write(&f, b, "6"), -E_NOSPC); /* still open */
    ck_assert_int_eq(fx_close(&f, a), E_OK);
    ck_assert_int_eq(fx_write(&f, b, "6"), 1);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)b, 0, 100), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)b, 0, 0), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_allocate", (uint64_t)b, INT64_MAX, 2), E_FBIG);
    ck_assert_int_gt(fx_open(&f, 3, "b", O_WASI_TRUNC, FX_RW), 0);
    ck_assert_uint_eq(f.w->space.bytes, 0);
    ck_assert_int_eq(fx_open(&f, 3, "c", O_WASI_CREAT, FX_RW), fx_u32(&f, FX_OUT));
    ck_assert_int_eq(fx_rename(&f, 3, "b", 3, "c"), E_OK);
    ck_assert_uint_eq(f.w->space.files, 2); /* c, and the one that was c and is open */
    fx_done(&f);
}
END_TEST

START_TEST(the_quota_of_files_holds) {
    struct fx f;

    fx_plain(&f);
    f.w->space.files_max = 3;
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
    ck_assert_int_eq(fx_symlink(&f, "d", 3, "l"), E_OK);
    ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, "d/f", O_WASI_CREAT, FX_RW)), E_OK);
    ck_assert_int_eq(fx_open(&f, 3, "g", O_WASI_CREAT, FX_RW), -E_DQUOT);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "e"), E_DQUOT);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_EXIST);
    ck_assert_int_eq(fx_symlink(&f, "d", 3, "m"), E_DQUOT);
    ck_assert_int_gt(fx_open(&f, 3, "d/f", O_WASI_CREAT, FX_RW), 0);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l"), E_OK);
    ck_assert_int_gt(fx_open(&f, 3, "g", O_WASI_CREAT, FX_RW), 0);
    fx_done(&f);
}
END_TEST

START_TEST(times_outside_of_the_clock_are_cut) {
    struct fx f;
    char name[160];
    struct timespec old[2] = {{.tv_sec = -1000}, {.tv_sec = -1000}};

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    fx_host_file(&f, "mapped/old", "x");
    (void)snprintf(name, sizeof(name), "%s/old", f.mapped);
    ck_assert_int_eq(utimensat(AT_FDCWD, name, old, 0), 0);
    fx_start(&f);
    ck_assert_int_eq(fx_stat(&f, 3, "old", true), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 48), 0);
    ck_assert_int_eq(fx_call(&f, "path_filestat_set_times", 3, 0, FX_PATH,
                             fx_put(&f, FX_PATH, "old"), 0, 1500000000000000123ULL, 4),
                     E_OK);
    ck_assert_int_eq(fx_stat(&f, 3, "old", true), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 48), 1500000000000000123ULL);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 40), 0);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_times", 3, 0, 0, 12), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_times", 3, 0, 0, 16), E_INVAL);
    fx_done(&f);
}
END_TEST

/* What a guest sees of its private directory must not depend on the host's inode numbers. */
START_TEST(two_runs_see_the_same_numbers_and_times) {
    uint8_t seen[2][10 * 64];

    for (int run = 0; run < 2; run++) {
        struct fx f;

        fx_dirs(&f);
        if (run) { /* disturb the host's numbering */
            fx_host_file(&f, "one", "1");
            fx_host_file(&f, "two", "2");
        }
        fx_start(&f);
        for (int i = 0; i < 10; i++) {
            int fd = fx_open(&f, 3, "f", O_WASI_CREAT, FX_RW);

            ck_assert_int_eq(fx_write(&f, fd, "text"), 4);
            ck_assert_int_eq(fx_close(&f, fd), E_OK);
            ck_assert_int_eq(fx_stat(&f, 3, i % 3 ? "f" : ".", true), E_OK);
            memcpy(seen[run] + (size_t)i * 64, f.m + FX_OUT, 64);
            if (i % 2) {
                ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "f"), E_OK);
            } else {
                ck_assert_int_eq(fx_rename(&f, 3, "f", 3, "g"), E_OK);
            }
            if (run) {
                char name[32];

                (void)snprintf(name, sizeof(name), "noise%d", i);
                fx_host_file(&f, name, "x");
            }
        }
        fx_done(&f);
    }
    ck_assert_mem_eq(seen[0], seen[1], sizeof(seen[0]));
}
END_TEST

START_TEST(ten_thousand_names_come_once_and_sorted_through_a_tiny_buffer) {
    struct fx f;
    uint64_t cookie = 0;
    char last[64] = "", name[64];
    int n = 0;

    fx_plain(&f);
    for (int i = 0; i < 10000; i++) {
        (void)snprintf(name, sizeof(name), "file-%d", i * 7919 % 10000);
        ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, name, O_WASI_CREAT, FX_RW)), E_OK);
    }
    for (;;) {
        uint32_t used, len;

        ck_assert_int_eq(fx_call(&f, "fd_readdir", 3, 0, 24 + 12, cookie, 256), E_OK);
        used = fx_u32(&f, 256);
        if (!used) {
            break;
        }
        cookie = fx_u64(&f, 0);
        len = fx_u32(&f, 16);
        ck_assert_uint_le(24 + len, used);
        memcpy(name, f.m + 24, len);
        name[len] = '\0';
        if (n >= 2) {
            ck_assert_str_gt(name, last);
        }
        (void)snprintf(last, sizeof(last), "%s", name);
        n++;
        if (n > 2 && n % 3 == 0) { /* going away while being listed */
            ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, name), E_OK);
        }
    }
    ck_assert_int_eq(n, 10002);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 3, 0, 100, UINT64_MAX, 256), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 256), 0);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 3, 0, 10, 0, 256), E_OK);
    ck_assert_uint_eq(fx_u32(&f, 256), 10); /* a part of an entry fills the buffer */
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 1, 0, 10, 0, 256), E_NOTDIR);
    fx_done(&f);
}
END_TEST

START_TEST(a_file_without_a_name_keeps_its_identity) {
    struct fx f;
    uint64_t ino;
    int fd, dir;

    fx_plain(&f);
    fd = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_get", (uint64_t)fd, FX_OUT), E_OK);
    ino = fx_u64(&f, FX_OUT + 8);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_OK);
    ck_assert_int_eq(fx_write(&f, fd, "abc"), 3);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_get", (uint64_t)fd, FX_OUT), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 8), ino);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 24), 0); /* no links */
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 32), 3);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_OK);
    dir = fx_open(&f, 3, "d", O_WASI_DIRECTORY, R_FD_READ);
    ck_assert_int_eq(fx_path(&f, "path_remove_directory", 3, "d"), E_OK);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", (uint64_t)dir, 0, 512, 0, FX_IOV), E_OK);
    ck_assert_int_eq(fx_open(&f, dir, "x", O_WASI_CREAT, FX_RW), -E_NOENT);
    for (int i = 0; i < 10; i++) {
        size_t nodes = f.w->space.n_nodes;

        ck_assert_int_eq(fx_close(&f, fx_open(&f, dir, ".", 0, R_FD_READ)), E_OK);
        ck_assert_int_eq(fx_stat(&f, dir, ".", true), E_OK);
        ck_assert_uint_eq(f.w->space.n_nodes, nodes);
    }
    ck_assert_int_eq(fx_close(&f, dir), E_OK);
    ck_assert_int_eq(fx_close(&f, fd), E_OK);
    ck_assert_uint_eq(f.w->space.bytes, 0);
    ck_assert_uint_eq(f.w->space.files, 0);
    for (int i = 0; i < 200; i++) { /* the host gives the numbers out again */
        char name[16];

        (void)snprintf(name, sizeof(name), "n%d", i);
        ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, name, O_WASI_CREAT, FX_RW)), E_OK);
    }
    ck_assert_uint_eq(f.w->space.files, 200);
    fx_done(&f);
}
END_TEST

START_TEST(what_was_there_before_has_to_fit_the_quota) {
    struct fx f;
    struct sh_err err = {0};
    int fd;

    fx_dirs(&f);
    f.caps.limits.workspace_bytes = 100;
    fx_start(&f);
    fd = fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)fd, 100), E_OK);
    fx_stop(&f);
    fx_start(&f);
    ck_assert_uint_eq(f.w->space.bytes, 100);
    fx_stop(&f);
    f.caps.limits.workspace_bytes = 99;
    sh_guest_init(&f.g, &f.config);
    sh_assert_fails(sh_wasi_new(&f.g, &f.w, &err), SH_E_LIMIT, &err);
    sh_guest_done(&f.g);
    fx_done(&f);
}
END_TEST

START_TEST(links_count_to_the_quota_of_files) {
    struct fx f;

    fx_plain(&f);
    f.w->space.files_max = 3;
    ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, "a", O_WASI_CREAT, FX_RW)), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "a", 3, "b"), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "b", 3, "c"), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "a", 3, "d"), E_DQUOT);
    ck_assert_int_eq(fx_link(&f, 3, "a", 3, "c"), E_EXIST);
    ck_assert_int_eq(fx_symlink(&f, "a", 3, "c"), E_EXIST);
    fx_stop(&f); /* they are counted as they were made */
    fx_start(&f);
    ck_assert_uint_eq(f.w->space.files, 3);
    f.w->space.files_max = 3;
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "b", 3, "d"), E_OK);
    ck_assert_int_eq(fx_rename(&f, 3, "b", 3, "d"), E_OK); /* one file: nothing happens */
    ck_assert_uint_eq(f.w->space.files, 3);
    for (const char *name = "bcd"; *name; name++) {
        char one[] = {*name, '\0'};

        ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, one), E_OK);
    }
    ck_assert_uint_eq(f.w->space.files, 0);
    ck_assert_uint_eq(f.w->space.bytes, 0);
    fx_done(&f);
}
END_TEST

START_TEST(a_file_has_so_many_names_and_not_one_more) {
    struct fx f;
    char name[16];

    fx_plain(&f);
    ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, "1", O_WASI_CREAT, FX_RW)), E_OK);
    for (int i = 2; i <= SH_WORKSPACE_LINKS_MAX; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        ck_assert_int_eq(fx_link(&f, 3, "1", 3, name), E_OK);
    }
    ck_assert_int_eq(fx_link(&f, 3, "1", 3, "more"), E_MLINK);
    ck_assert_int_eq(fx_link(&f, 3, "1", 3, "2"), E_EXIST);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "2"), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "1", 3, "more"), E_OK);
    fx_done(&f);
}
END_TEST

/* The one unused for longest is dropped; its reader goes on where it was. */
START_TEST(listings_are_kept_within_their_budget_and_none_is_cut_short) {
    enum { NAMES = 1700, LENGTH = 200, READERS = 100 };
    char name[LENGTH + 1];
    int fd[READERS];
    struct fx f;

    fx_plain(&f);
    for (int i = 0; i < NAMES; i++) {
        (void)snprintf(name, sizeof(name), "%0*d", LENGTH, i);
        ck_assert_int_eq(fx_close(&f, fx_open(&f, 3, name, O_WASI_CREAT, FX_RW)), E_OK);
    }
    for (int i = 0; i < READERS; i++) {
        fd[i] = fx_open(&f, 3, ".", O_WASI_DIRECTORY, R_FD_READ);
        ck_assert_int_eq(fx_call(&f, "fd_readdir", (uint64_t)fd[i], FX_DATA, 64, 0, FX_OUT), E_OK);
        ck_assert_uint_le(f.w->listings, WASI_LISTINGS_MAX);
    }
    ck_assert_uint_gt(f.w->listings, WASI_LISTINGS_MAX / 2);
    ck_assert_ptr_null(f.w->fds[fd[0]]->listing.bytes);
    ck_assert_int_eq(
        fx_call(&f, "fd_readdir", (uint64_t)fd[0], FX_DATA, 24 + LENGTH, 2 + 1000, FX_OUT), E_OK);
    (void)snprintf(name, sizeof(name), "%0*d", LENGTH, 1000);
    ck_assert_mem_eq(f.m + FX_DATA + 24, name, LENGTH);
    for (int i = 0; i < READERS; i++) {
        ck_assert_int_eq(fx_close(&f, fd[i]), E_OK);
    }
    ck_assert_uint_eq(f.w->listings, 0);
    fx_done(&f);
}
END_TEST

START_TEST(sockets_are_not_there) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", 1, 0), E_NOTSOCK);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", 3, 0), E_BADF);
    ck_assert_int_eq(fx_call(&f, "sock_accept", 50, 0, 0), E_BADF);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_fd", (const TTest *const[]){
                                   there_are_46_functions_with_their_signatures,
                                   arguments_fit_exactly_or_fault,
                                   clocks_are_the_workflows,
                                   exit_and_raise_end_the_agent,
                                   random_bytes_are_the_workflows,
                                   preopens_come_in_their_order,
                                   padding_is_zero,
                                   renumbering_leaks_nothing,
                                   descriptors_end_at_their_limit,
                                   vectors_are_bounded_and_checked,
                                   positions_and_append,
                                   the_quota_of_bytes_holds,
                                   the_quota_of_files_holds,
                                   what_was_there_before_has_to_fit_the_quota,
                                   listings_are_kept_within_their_budget_and_none_is_cut_short,
                                   links_count_to_the_quota_of_files,
                                   a_file_has_so_many_names_and_not_one_more,
                                   times_outside_of_the_clock_are_cut,
                                   two_runs_see_the_same_numbers_and_times,
                                   ten_thousand_names_come_once_and_sorted_through_a_tiny_buffer,
                                   a_file_without_a_name_keeps_its_identity,
                                   sockets_are_not_there,
                                   NULL});
}

SH_TEST_MAIN(suite)
