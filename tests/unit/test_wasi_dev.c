/* Standard streams and /dev/shannon: what waits, for what, and in which order. */
#include "../lib/wasi_poll.h"

START_TEST(lines_start_activities_and_results_come_in_journal_order) {
    struct fx f;
    int fd;
    const uint64_t a[4] = {5, FX_IOV, 1, FX_OUT};

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fd, 5);
    ck_assert_int_eq(fx_read(&f, fd, 10), 0); /* nothing outstanding */
    ck_assert_int_eq(fx_write(&f, fd, "{\"op\":"), 6);
    ck_assert_uint_eq(f.g.n_effects, 0);
    ck_assert_int_eq(fx_write(&f, fd, "1}\r\n\n{\"op\":2}\n"), 14);
    ck_assert_uint_eq(f.g.n_effects, 2);
    ck_assert_int_eq(f.g.effects[0].kind, SH_EFFECT_START);
    ck_assert_uint_eq(f.g.effects[0].a.len, 0);
    sh_assert_str(f.g.effects[0].b, "{\"op\":1}");
    sh_assert_str(f.g.effects[1].b, "{\"op\":2}");
    fx_iov(&f, FX_DATA, 5);
    ck_assert_int_eq(fx_step(&f, false, "fd_read", a), SH_CALL_PENDING);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_ACTIVITY);
    ck_assert_uint_eq(f.g.wait.n_handles, 2);
    fx_complete(&f, 2, 10, "{\"ok\":\"two\"}");
    fx_complete(&f, 1, 11, "{\"ok\":1}");
    ck_assert_int_eq(fx_step(&f, true, "fd_read", a), E_OK);
    ck_assert_mem_eq(f.m + FX_DATA, "{\"ok\"", 5);
    ck_assert_int_eq(fx_read(&f, fd, 100), 8);
    ck_assert(fx_data_is(&f, ":\"two\"}\n"));
    ck_assert_int_eq(fx_read(&f, fd, 100), 9);
    ck_assert(fx_data_is(&f, "{\"ok\":1}\n"));
    ck_assert_int_eq(fx_read(&f, fd, 100), 0);
    ck_assert_uint_eq(f.g.n_handles, 0);
    fx_done(&f);
}
END_TEST

START_TEST(a_reader_and_a_writer_share_a_channel) {
    struct fx f;
    int out, in;

    fx_plain(&f);
    out = fx_open(&f, 3, "dev/shannon", O_WASI_CREAT | O_WASI_TRUNC, R_FD_WRITE);
    ck_assert_int_eq(fx_write(&f, out, "x\n"), 2);
    ck_assert_int_eq(fx_close(&f, out), E_OK);
    in = fx_open(&f, 4, "shannon", 0, R_FD_READ);
    fx_complete(&f, 1, 5, "result");
    ck_assert_int_eq(fx_read(&f, in, 100), 7);
    ck_assert(fx_data_is(&f, "result\n"));
    fx_done(&f);
}
END_TEST

START_TEST(closing_drops_what_is_outstanding) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "a\nb\nc"), 5);
    ck_assert_uint_eq(f.g.n_handles, 2);
    ck_assert_int_eq(fx_close(&f, fd), E_OK);
    ck_assert_uint_eq(f.g.n_handles, 0);
    fx_done(&f);
}
END_TEST

START_TEST(lines_end_at_their_limit) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    memset(f.m + FX_DATA, 'x', SH_DEV_LINE_MAX + 1);
    f.m[FX_DATA + SH_DEV_LINE_MAX] = '\n';
    fx_iov(&f, FX_DATA, SH_DEV_LINE_MAX + 1);
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, 1, FX_OUT), E_OK);
    ck_assert_uint_eq(f.g.effects[0].b.len, SH_DEV_LINE_MAX);
    sh_guest_effects_taken(&f.g);
    f.m[FX_DATA + SH_DEV_LINE_MAX] = 'x';
    ck_assert_int_eq(fx_call(&f, "fd_write", (uint64_t)fd, FX_IOV, 1, FX_OUT), E_MSGSIZE);
    ck_assert_int_eq(fx_write(&f, fd, "rest\nnext\n"), 10);
    ck_assert_uint_eq(f.g.n_effects, 1);
    sh_assert_str(f.g.effects[0].b, "next");
    fx_done(&f);
}
END_TEST

START_TEST(too_many_at_once_is_a_short_write_then_an_error) {
    struct fx f;
    char lines[2 * (SH_PARALLEL_ACTIVITIES_MAX + 2) + 1];
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    for (int i = 0; i < SH_PARALLEL_ACTIVITIES_MAX + 2; i++) {
        memcpy(lines + (ptrdiff_t)i * 2, "x\n", 3);
    }
    ck_assert_int_eq(fx_write(&f, fd, lines), 2 * SH_PARALLEL_ACTIVITIES_MAX + 1);
    ck_assert_int_eq(fx_write(&f, fd, "\n"), -E_MFILE);
    fx_complete(&f, 1, 5, "r");
    ck_assert_int_eq(fx_read(&f, fd, 100), 2);
    ck_assert_int_eq(fx_write(&f, fd, "\n"), 1);
    fx_done(&f);
}
END_TEST

START_TEST(nonblocking_reads_wait_for_poll) {
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_set_flags", (uint64_t)fd, FD_NONBLOCK), E_OK);
    ck_assert_int_eq(fx_write(&f, fd, "x\n"), 2);
    fx_complete(&f, 1, 5, "r");
    ck_assert_int_eq(fx_read(&f, fd, 10), -E_AGAIN); /* on the tape, but not revealed */
    fx_sub_fd(&f, 0, fd, 1);
    ck_assert_int_eq(fx_poll(&f, false, 1), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT + 16), 2);
    ck_assert_int_eq(fx_read(&f, fd, 10), 2);
    fx_done(&f);
}
END_TEST

START_TEST(given_standard_input_is_read_to_its_end) {
    struct fx f;

    fx_dirs(&f);
    f.config.stdin_bytes = SH_STR("hello");
    fx_start(&f);
    ck_assert_int_eq(fx_read(&f, 0, 3), 3);
    ck_assert_int_eq(fx_read(&f, fx_open(&f, 4, "stdin", 0, R_FD_READ), 9), 2);
    ck_assert_int_eq(fx_read(&f, 0, 3), 0);
    ck_assert_int_eq(fx_write(&f, 0, "x"), -E_BADF);
    ck_assert_int_eq(fx_read(&f, 1, 1), -E_BADF);
    fx_done(&f);
}
END_TEST

START_TEST(live_standard_input_comes_from_the_tape) {
    struct fx f;
    const uint64_t a[4] = {0, FX_IOV, 1, FX_OUT};

    fx_dirs(&f);
    f.config.stdin_live = true;
    fx_start(&f);
    fx_iov(&f, FX_DATA, 4);
    ck_assert_int_eq(fx_step(&f, false, "fd_read", a), SH_CALL_PENDING);
    ck_assert_int_eq(f.g.wait.kind, SH_WAIT_STDIN);
    ck_assert_uint_eq(f.g.wait.call_number, 0);
    sh_guest_push(&f.g, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                               .seq = 1,
                                               .what = SH_STR("stdin"),
                                               .bytes = SH_STR("abcdef")});
    ck_assert_int_eq(fx_step(&f, true, "fd_read", a), E_OK);
    ck_assert_int_eq(fx_read(&f, 0, 4), 2);
    fx_sub_fd(&f, 0, 0, 1);
    ck_assert_int_eq(fx_poll(&f, false, 1), SH_CALL_PENDING);
    ck_assert_uint_eq(f.g.wait.call_number, 1);
    sh_guest_push(&f.g,
                  &(struct sh_tape_item){
                      .kind = SH_TAPE_OBSERVED, .seq = 2, .number = 1, .what = SH_STR("stdin")});
    ck_assert_int_eq(fx_poll(&f, true, 1), E_OK);
    ck_assert_int_eq(fx_read(&f, 0, 4), 0); /* end of file, for good */
    ck_assert_int_eq(fx_read(&f, 0, 4), 0);
    fx_done(&f);
}
END_TEST

START_TEST(output_is_an_effect_and_limited) {
    struct fx f;

    fx_dirs(&f);
    f.caps.limits.output_bytes = 8;
    f.config.tty[1] = true;
    fx_start(&f);
    ck_assert_int_eq(fx_write(&f, 1, "out"), 3);
    ck_assert_int_eq(fx_write(&f, 2, "err"), 3);
    ck_assert_uint_eq(f.g.n_effects, 2);
    ck_assert_int_eq(f.g.effects[1].stream, 2);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_get", 1, 0), E_OK);
    ck_assert_uint_eq(f.m[0], SH_VFS_CHAR);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_get", 2, 0), E_OK);
    ck_assert_uint_eq(f.m[0], SH_VFS_FILE);
    ck_assert_int_eq(fx_write(&f, 1, "xyz"), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_OUTPUT);
    fx_done(&f);
}
END_TEST

START_TEST(a_line_asks_to_begin_anew_and_the_write_does_not_return) {
    struct fx f;
    int fd;
    const uint64_t a[4] = {5, FX_IOV, 1, FX_OUT};

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fd, 5);
    fx_iov(&f, FX_DATA,
           (uint32_t)fx_put(&f, FX_DATA,
                            "{\"id\":1,\"op\":\"checkpoint\",\"args\":{\"state\":"
                            "{\"b\":[1, \"\\u00e4\"],\"a\":null}}}\n{\"op\":2}\n"));
    ck_assert_int_eq(fx_step(&f, false, "fd_write", a), SH_CALL_PENDING);
    ck_assert(!f.g.checkpointed); /* nothing is read on a fiber */
    ck_assert(sh_guest_line_read(&f.g));
    ck_assert(!sh_guest_line_read(&f.g));
    ck_assert_int_eq(fx_step(&f, true, "fd_write", a), SH_CALL_PENDING);
    ck_assert(f.g.checkpointed);
    sh_assert_str(f.g.wait.state, "{\"a\":null,\"b\":[1,\"\u00e4\"]}");
    ck_assert_uint_eq(f.g.wait.input.len, 0);
    ck_assert_int_eq(fx_step(&f, true, "fd_write", a), SH_CALL_PENDING);
    ck_assert_uint_eq(f.g.n_effects, 0); /* no activity, and nothing after it */
    ck_assert_uint_eq(f.g.ordinal, 0);
    fx_done(&f);

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    ck_assert_int_eq(fx_write(&f, fd, "{\"op\":\"continue_as_new\",\"args\":{\"input\":7}}\n"),
                     SH_CALL_PENDING);
    sh_assert_str(f.g.wait.input, "7");
    ck_assert_uint_eq(f.g.wait.state.len, 0);
    fx_done(&f);
}
END_TEST

START_TEST(a_line_that_may_not_begin_anew_is_refused_as_the_host_function_does) {
    static const char *const wrong[] = {
        "{\"op\":\"checkpoint\"}\n",
        "{\"op\":\"checkpoint\",\"args\":{\"input\":1}}\n",
        "{\"op\":\"checkpoint\",\"args\":[1]}\n",
        "{\"op\":\"continue_as_new\",\"args\":{\"state\":1}}\n",
    };
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_int_eq(fx_write(&f, fd, wrong[i]), -E_INVAL);
    }
    ck_assert_uint_eq(f.g.n_effects, 0);
    ck_assert_int_eq(fx_write(&f, fd, "{\"op\":\"sleep\"}\n"), 15);
    ck_assert_int_eq(fx_write(&f, fd, "{\"op\":\"checkpoint\",\"args\":{\"state\":1}}\n"), -E_BUSY);
    fx_complete(&f, 1, 10, "{\"ok\":1}");
    ck_assert_int_eq(fx_read(&f, fd, 100), 9);
    ck_assert_int_eq(fx_write(&f, fd, "{\"op\":\"checkpoint\",\"args\":{\"state\":1}}\n"),
                     SH_CALL_PENDING);
    ck_assert(f.g.checkpointed);
    fx_done(&f);
}
END_TEST

/* They are looked at, and start their activities all the same: once, and in their order. */
START_TEST(lines_that_only_speak_of_it_are_ordinary) {
    static const char *const lines[] = {
        "{\"op\":\"llm\",\"args\":{\"prompt\":\"checkpoint\"}}",
        "{\"op\":{\"checkpoint\":1}}",
        "{\"x\":\"checkpoint\"",
        "\"continue_as_new\"",
        "{\"op\":\"\\u0063heckpoint\"}",
        "checkpoint",
    };
    enum { N = sizeof(lines) / sizeof(lines[0]) };
    struct fx f;
    int fd;

    fx_plain(&f);
    fd = fx_open(&f, 4, "shannon", 0, FX_RW);
    for (size_t i = 0; i < N; i++) {
        sh_auto(sh_free_p) char *line = sh_asprintf("%s\n", lines[i]);

        sh_guest_effects_taken(&f.g);
        ck_assert_int_eq(fx_write(&f, fd, line), (int)strlen(line));
        ck_assert_uint_eq(f.g.n_effects, 1);
        sh_assert_str(f.g.effects[0].b, lines[i]);
        ck_assert_uint_eq(f.g.ordinal, i + 1);
    }
    ck_assert(!f.g.checkpointed);
    fx_done(&f);
}
END_TEST

START_TEST(devices_do_what_they_are_for) {
    struct fx f;
    int zero, null, random;
    uint8_t want[16];

    fx_plain(&f);
    zero = fx_open(&f, 4, "zero", 0, FX_RW);
    null = fx_open(&f, 4, "null", 0, FX_RW);
    random = fx_open(&f, 4, "urandom", 0, FX_RW);
    f.m[FX_DATA] = 1;
    ck_assert_int_eq(fx_read(&f, zero, 100), 100);
    ck_assert_uint_eq(f.m[FX_DATA], 0);
    ck_assert_int_eq(fx_read(&f, null, 100), 0);
    ck_assert_int_eq(fx_write(&f, null, "abc"), 3);
    sh_random_stream(f.config.seed, 0, want, 16);
    ck_assert_int_eq(fx_read(&f, random, 16), 16);
    ck_assert_mem_eq(f.m + FX_DATA, want, 16);
    ck_assert_int_eq(fx_open(&f, 4, "null", O_WASI_DIRECTORY, FX_RW), -E_NOTDIR);
    ck_assert_int_eq(fx_open(&f, 4, "null", O_WASI_CREAT | O_WASI_EXCL, FX_RW), -E_EXIST);
    ck_assert_int_eq(fx_open(&f, 4, "stdin", 0, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 4, 0, 1024, 0, FX_IOV), E_OK);
    ck_assert_int_eq(fx_open(&f, 4, ".", 0, FX_RW), -E_ISDIR);
    fx_done(&f);
}
END_TEST

START_TEST(the_input_is_a_file_that_is_not_listed) {
    struct fx f;
    int fd;

    fx_plain(&f);
    f.config.input = SH_STR("{\"n\":123}");
    ck_assert_int_eq(fx_open(&f, 4, "input", 0, FX_RW), -E_PERM);
    fd = fx_open(&f, 4, "input", 0, R_FD_READ);
    ck_assert_int_gt(fd, 0);
    ck_assert_int_eq(fx_read(&f, fd, 4), 4);
    ck_assert(fx_data_is(&f, "{\"n\""));
    ck_assert_int_eq(fx_read(&f, fd, 100), 5);
    ck_assert(fx_data_is(&f, ":123}"));
    ck_assert_int_eq(fx_read(&f, fd, 100), 0);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, (uint64_t)-2, 2, FX_OUT), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT), 7);
    ck_assert_int_eq(fx_read(&f, fd, 100), 2);
    ck_assert(fx_data_is(&f, "3}"));
    ck_assert_int_eq(fx_call(&f, "fd_tell", (uint64_t)fd, FX_OUT), E_OK);
    ck_assert_uint_eq(fx_u64(&f, FX_OUT), 9);
    ck_assert_int_eq(fx_call(&f, "fd_seek", (uint64_t)fd, 100, 0, FX_OUT), E_OK);
    ck_assert_int_eq(fx_read(&f, fd, 100), 0);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", 4, FX_DATA, 1024, 0, FX_IOV), E_OK);
    ck_assert_ptr_null(memmem(f.m + FX_DATA, fx_u32(&f, FX_IOV), "input", 5));
    fx_done(&f);
}
END_TEST

START_TEST(the_result_is_what_was_written_when_it_is_closed) {
    struct fx f;
    int fd;

    fx_plain(&f);
    ck_assert_int_eq(fx_open(&f, 4, "output", 0, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 4, "output", 0, R_FD_READ), -E_PERM);
    fd = fx_open(&f, 4, "output", 0, R_FD_WRITE);
    ck_assert_int_gt(fd, 0);
    ck_assert_int_eq(fx_open(&f, 4, "output", 0, R_FD_WRITE), -E_BUSY);
    ck_assert_int_eq(fx_write(&f, fd, "{\"n\":"), 5);
    ck_assert_int_eq(fx_write(&f, fd, "1}"), 2);
    ck_assert_uint_eq(f.g.n_effects, 0);
    ck_assert_int_eq(fx_call(&f, "fd_close", (uint64_t)fd), E_OK);
    ck_assert_uint_eq(f.g.n_effects, 1);
    ck_assert_int_eq(f.g.effects[0].kind, SH_EFFECT_RESULT);
    sh_assert_str(f.g.effects[0].b, "{\"n\":1}");
    ck_assert_int_eq(fx_open(&f, 4, "output", 0, R_FD_WRITE), -E_EXIST);
    fx_done(&f);
}
END_TEST

START_TEST(a_result_is_bounded_and_one_that_is_nothing_is_none) {
    struct fx f;
    int fd;
    const uint64_t a[4] = {5, FX_IOV, 1, FX_OUT};

    fx_plain(&f);
    fd = fx_open(&f, 4, "output", 0, R_FD_WRITE);
    ck_assert_int_eq(fd, 5);
    ck_assert_int_eq(fx_call(&f, "fd_close", (uint64_t)fd), E_OK);
    ck_assert(!f.g.result_given);
    ck_assert_int_eq(fx_open(&f, 4, "output", 0, R_FD_WRITE), 5);
    fx_iov(&f, FX_DATA, 1000);
    for (size_t n = 0; n + 1000 <= SH_PAYLOAD_MAX; n += 1000) {
        ck_assert_int_eq(fx_step(&f, false, "fd_write", a), E_OK);
    }
    ck_assert_int_eq(fx_step(&f, false, "fd_write", a), E_FBIG);
    fx_iov(&f, FX_DATA, SH_PAYLOAD_MAX % 1000);
    ck_assert_int_eq(fx_step(&f, false, "fd_write", a), E_OK);
    fx_iov(&f, FX_DATA, 1);
    ck_assert_int_eq(fx_step(&f, false, "fd_write", a), E_FBIG);
    ck_assert_int_eq(fx_call(&f, "fd_close", (uint64_t)fd), E_OK);
    ck_assert_uint_eq(f.g.n_effects, 0);
    ck_assert_uint_eq(f.g.result.len, SH_PAYLOAD_MAX);
    ck_assert(f.g.result_given);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_dev",
                    (const TTest *const[]){
                        lines_start_activities_and_results_come_in_journal_order,
                        a_reader_and_a_writer_share_a_channel, closing_drops_what_is_outstanding,
                        a_line_asks_to_begin_anew_and_the_write_does_not_return,
                        a_line_that_may_not_begin_anew_is_refused_as_the_host_function_does,
                        lines_that_only_speak_of_it_are_ordinary, lines_end_at_their_limit,
                        too_many_at_once_is_a_short_write_then_an_error,
                        nonblocking_reads_wait_for_poll, given_standard_input_is_read_to_its_end,
                        live_standard_input_comes_from_the_tape, output_is_an_effect_and_limited,
                        devices_do_what_they_are_for, the_input_is_a_file_that_is_not_listed,
                        the_result_is_what_was_written_when_it_is_closed,
                        a_result_is_bounded_and_one_that_is_nothing_is_none, NULL});
}

SH_TEST_MAIN(suite)
