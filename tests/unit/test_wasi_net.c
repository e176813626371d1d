/* /net/tcp as a guest sees it, the engine's part being played here: each errno, pieces and short
 * reads, polls, sock_*, limits; and a replay that needs nobody to answer. */
#include "lib/wasi_fixture.h"

enum { NET = 5, CONN = 6 };

static struct sh_net_rule rule;
static struct { /* what was answered, for a replay */
    struct sh_buf bytes[256];
    char kind[256][16];
    uint64_t call[256];
    size_t n;
} tape;

static void begin(struct fx *f) {
    fx_dirs(f);
    rule = (struct sh_net_rule){.scheme = sh_strdup("tcp"), .host = sh_strdup("h"), .port = 7};
    f->caps.net = &rule;
    f->caps.n_net = 1;
    fx_start(f);
}

static void end(struct fx *f) {
    fx_done(f);
    sh_free(rule.scheme);
    sh_free(rule.host);
    for (size_t i = 0; i < tape.n; i++) {
        sh_buf_done(&tape.bytes[i]);
    }
    tape.n = 0;
}

static void push(struct fx *f, size_t i) {
    sh_guest_push(&f->g, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                                .seq = i + 1,
                                                .time_us = f->config.start_us + (int64_t)i * 1000,
                                                .number = tape.call[i],
                                                .what = sh_str(tape.kind[i]),
                                                .bytes = sh_buf_str(&tape.bytes[i])});
}

/* The buffer of the answer to what the guest waits for, with this errno at its beginning. */
static struct sh_buf *answer(struct fx *f, const char *kind, uint32_t error) {
    const struct sh_net_ask *q = &f->g.wait.net;
    struct sh_buf *b = &tape.bytes[tape.n];

    ck_assert_int_eq(f->g.wait.kind, SH_WAIT_NET);
    ck_assert_str_eq(q->kind, kind);
    (void)snprintf(tape.kind[tape.n], sizeof(tape.kind[0]), "%s", kind);
    tape.call[tape.n] = f->g.wait.call_number;
    sh_buf_init(b, SH_MIB);
    sh_buf_add(b, q->question.p, q->question.len);
    sh_buf_u32(b, error);
    return b;
}

static void answered(struct fx *f) {
    push(f, tape.n++);
}

static uint64_t args[9];

/* Begin a call that has to wait. */
static void starts(struct fx *f, const char *name, const uint64_t a[9]) {
    memcpy(args, a, sizeof(args));
    ck_assert_int_eq(fx_step(f, false, name, args), SH_CALL_PENDING);
    ck_assert_int_eq(f->g.wait.kind, SH_WAIT_NET);
}

static int goes_on(struct fx *f, const char *name) {
    return fx_step(f, true, name, args);
}

static void starts_open(struct fx *f, const char *path, uint64_t rights, uint64_t flags) {
    uint64_t n = fx_put(f, FX_PATH, path);

    starts(f, "path_open", (uint64_t[9]){NET, 1, FX_PATH, n, 0, rights, 0, flags, FX_OUT});
}

/* A connection; its descriptor, or -errno. */
static int connected(struct fx *f, uint64_t flags, uint32_t error) {
    int rc;

    starts_open(f, "tcp/h/7", FX_RW, flags);
    ck_assert_str_eq(f->g.wait.net.host, "h");
    ck_assert_uint_eq(f->g.wait.net.port, 7);
    (void)answer(f, SH_NET_OPEN, error);
    answered(f);
    rc = goes_on(f, "path_open");
    return rc ? -rc : (int)fx_u32(f, FX_OUT);
}

static void starts_read(struct fx *f, uint32_t n) {
    fx_iov(f, FX_DATA, n);
    starts(f, "fd_read", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
}

static void piece(struct fx *f, const char *text) {
    sh_buf_bytes32(answer(f, SH_NET_READ, 0), sh_str(text));
    answered(f);
}

static void reads(struct fx *f, const char *name, const char *text) {
    ck_assert_int_eq(goes_on(f, name), 0);
    ck_assert_uint_eq(fx_u32(f, FX_OUT), strlen(text));
    ck_assert(fx_data_is(f, text));
}

START_TEST(paths_name_connections) {
    static const struct {
        const char *path;
        int error, kind;
        const char *host;
        uint16_t port;
    } rows[] = {
        {".", 0, SH_NET_ROOT, "", 0},
        {"./", 0, SH_NET_ROOT, "", 0},
        {"tcp", 0, SH_NET_TCP, "", 0},
        {"./tcp/", 0, SH_NET_TCP, "", 0},
        {"tcp/h", 0, SH_NET_HOST, "h", 0},
        {"tcp/h/", 0, SH_NET_HOST, "h", 0},
        {"tcp/h/1", 0, SH_NET_TARGET, "h", 1},
        {"tcp//h//65535", 0, SH_NET_TARGET, "h", 65535},
        {"tcp/db.example/5432", 0, SH_NET_TARGET, "db.example", 5432},
        {"tcp/::1/80", 0, SH_NET_TARGET, "::1", 80},
        {"tcp/[::1]/80", 0, SH_NET_TARGET, "[::1]", 80},
        {"..", E_PERM, 0, NULL, 0},
        {"../etc", E_PERM, 0, NULL, 0},
        {"tcp/..", E_PERM, 0, NULL, 0},
        {"tcp/../tcp/h/1", E_PERM, 0, NULL, 0},
        {"udp", E_NOENT, 0, NULL, 0},
        {"tcpx/h/1", E_NOENT, 0, NULL, 0},
        {"tcp/h/0", E_NOENT, 0, NULL, 0},
        {"tcp/h/65536", E_NOENT, 0, NULL, 0},
        {"tcp/h/99999999999", E_NOENT, 0, NULL, 0},
        {"tcp/h/080", E_NOENT, 0, NULL, 0},
        {"tcp/h/-1", E_NOENT, 0, NULL, 0},
        {"tcp/h/+1", E_NOENT, 0, NULL, 0},
        {"tcp/h/8o", E_NOENT, 0, NULL, 0},
        {"tcp/h/http", E_NOENT, 0, NULL, 0},
        {"tcp/h /1", E_NOENT, 0, NULL, 0},
        {"tcp/u@h/1", E_NOENT, 0, NULL, 0},
        {"tcp/h%/1", E_NOENT, 0, NULL, 0},
        {"tcp/\xc3\xa4/1", E_NOENT, 0, NULL, 0},
        {"tcp/h/1/", E_NOTDIR, 0, NULL, 0},
        {"tcp/h/1/x", E_NOTDIR, 0, NULL, 0},
    };
    struct sh_net_path p;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int error = sh_net_path(rows[i].path, &p);

        ck_assert_msg(error == rows[i].error, "%s: %d", rows[i].path, error);
        if (!error) {
            ck_assert_int_eq(p.kind, rows[i].kind);
            ck_assert_str_eq(p.host, rows[i].host);
            ck_assert_uint_eq(p.port, rows[i].port);
        }
    }
}
END_TEST

START_TEST(a_host_is_as_long_as_it_may_be) {
    char path[600] = "tcp/";
    struct sh_net_path p;

    memset(path + 4, 'a', SH_NET_HOST_BYTES - 1);
    memcpy(path + 4 + SH_NET_HOST_BYTES - 1, "/1", 3);
    ck_assert_int_eq(sh_net_path(path, &p), 0);
    ck_assert_uint_eq(strlen(p.host), SH_NET_HOST_BYTES - 1);
    memset(path + 4, 'a', SH_NET_HOST_BYTES);
    memcpy(path + 4 + SH_NET_HOST_BYTES, "/1", 3);
    ck_assert_int_eq(sh_net_path(path, &p), E_NOENT);
}
END_TEST

START_TEST(the_folder_is_there_where_a_rule_speaks_of_tcp) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", NET, FX_OUT), E_BADF);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "net"), 0); /* a name like any other */
    fx_done(&f);
    begin(&f);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", NET, FX_OUT), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT + 4), 4);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_dir_name", NET, FX_OUT, 4), 0);
    ck_assert_int_eq(memcmp(f.m + FX_OUT, "/net", 4), 0);
    ck_assert_int_eq(fx_stat(&f, NET, ".", true), 0);
    ck_assert_uint_eq(f.m[FX_OUT + 16], SH_VFS_DIR);
    ck_assert_int_eq(fx_stat(&f, 3, "net/tcp/h/7", true), 0); /* as libc may cut it */
    ck_assert_uint_eq(f.m[FX_OUT + 16], SH_VFS_SOCKET);
    ck_assert_int_eq(fx_stat(&f, NET, "tcp/h/0", true), E_NOENT);
    ck_assert_int_eq(fx_call(&f, "fd_readdir", NET, FX_DATA, 4096, 0, FX_OUT), 0);
    ck_assert_ptr_nonnull(memmem(f.m + FX_DATA, fx_u32(&f, FX_OUT), "tcp", 3));
    ck_assert_int_eq(fx_open(&f, NET, ".", O_WASI_DIRECTORY, R_FD_READ), CONN);
    ck_assert_int_eq(fx_close(&f, CONN), 0);
    ck_assert_int_eq(fx_read(&f, NET, 1), -E_ISDIR);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", NET, "x"), E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", NET, "tcp"), E_PERM);
    end(&f);
}
END_TEST

START_TEST(opens_that_nobody_needs_to_be_asked_for) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(fx_open(&f, NET, "tcp", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, NET, "tcp", 0, FX_RW), -E_ISDIR);
    ck_assert_int_eq(fx_open(&f, NET, "tcp/h/7", O_WASI_DIRECTORY, R_FD_READ), -E_NOTDIR);
    ck_assert_int_eq(fx_open(&f, NET, "tcp/h/7", O_WASI_CREAT | O_WASI_EXCL, FX_RW), -E_EXIST);
    ck_assert_int_eq(fx_open(&f, NET, "x", O_WASI_CREAT, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_open(&f, NET, "..", 0, R_FD_READ), -E_PERM);
    ck_assert_uint_eq(f.g.call_number, 0);
    end(&f);
}
END_TEST

START_TEST(each_way_of_not_getting_a_connection) {
    static const int errors[] = {E_ACCES,      E_CONNREFUSED, E_CONNRESET, E_HOSTUNREACH,
                                 E_NETUNREACH, E_TIMEDOUT,    E_NOENT,     E_IO};
    struct fx f;

    begin(&f);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        ck_assert_int_eq(connected(&f, 0, (uint32_t)errors[i]), -errors[i]);
    }
    ck_assert_uint_eq(f.w->net.n_open, 0);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    end(&f);
}
END_TEST

START_TEST(without_a_rule_a_target_is_asked_for_all_the_same) {
    struct fx f;
    uint64_t n;

    fx_plain(&f); /* so that somebody is told what would grant it */
    n = fx_put(&f, FX_PATH, "net/tcp/h/7");
    starts(&f, "path_open", (uint64_t[9]){3, 1, FX_PATH, n, 0, FX_RW, 0, 0, FX_OUT});
    (void)answer(&f, SH_NET_OPEN, E_ACCES);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "path_open"), E_ACCES);
    fx_done(&f);
    sh_buf_done(&tape.bytes[0]);
    tape.n = 0;
}
END_TEST

START_TEST(a_connection_is_a_stream) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    ck_assert_int_eq(fx_call(&f, "fd_fdstat_get", CONN, FX_OUT), 0);
    ck_assert_uint_eq(f.m[FX_OUT], SH_VFS_SOCKET);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_get", CONN, FX_OUT), 0);
    ck_assert_uint_eq(f.m[FX_OUT + 16], SH_VFS_SOCKET);
    ck_assert_int_eq(fx_call(&f, "fd_seek", CONN, 0, 0, FX_OUT), E_SPIPE);
    ck_assert_int_eq(fx_call(&f, "fd_tell", CONN, FX_OUT), E_SPIPE);
    ck_assert_int_eq(fx_call(&f, "fd_pread", CONN, FX_IOV, 1, 0, FX_OUT), E_SPIPE);
    ck_assert_int_eq(fx_call(&f, "fd_sync", CONN), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "fd_prestat_get", CONN, FX_OUT), E_BADF);
    ck_assert_int_eq(fx_read(&f, CONN, 0), 0); /* nothing is asked */
    end(&f);
}
END_TEST

START_TEST(small_reads_are_served_from_one_piece) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    starts_read(&f, 2);
    piece(&f, "hello");
    reads(&f, "fd_read", "he");
    ck_assert_int_eq(fx_read(&f, CONN, 2), 2);
    ck_assert(fx_data_is(&f, "ll"));
    ck_assert_int_eq(fx_read(&f, CONN, 9), 1);
    ck_assert_uint_eq(tape.n, 2);
    starts_read(&f, 9);
    piece(&f, ""); /* the end */
    reads(&f, "fd_read", "");
    ck_assert_int_eq(fx_read(&f, CONN, 9), 0); /* and again, nobody being asked */
    ck_assert_uint_eq(tape.n, 3);
    end(&f);
}
END_TEST

START_TEST(writes_say_what_they_were_and_no_more) {
    struct fx f;
    struct sh_hash hash;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    fx_iov(&f, FX_DATA, (uint32_t)fx_put(&f, FX_DATA, "secret"));
    starts(&f, "fd_write", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
    ck_assert(sh_str_eqz(f.g.wait.net.bytes, "secret"));
    sh_sha256("secret", 6, &hash);
    ck_assert_uint_eq(f.g.wait.net.question.len, 8 + 4 + sizeof(hash.b));
    ck_assert_int_eq(memcmp(f.g.wait.net.question.p + 12, hash.b, sizeof(hash.b)), 0);
    (void)answer(&f, SH_NET_WRITE, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_write"), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), 6);
    fx_iov(&f, FX_DATA, SH_NET_PIECE_MAX + 1); /* a piece and no more */
    starts(&f, "fd_write", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
    ck_assert_uint_eq(f.g.wait.net.bytes.len, SH_NET_PIECE_MAX);
    (void)answer(&f, SH_NET_WRITE, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_write"), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), SH_NET_PIECE_MAX);
    end(&f);
}
END_TEST

START_TEST(a_lost_connection_is_a_reset_then_an_end) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    starts_read(&f, 9);
    (void)answer(&f, SH_NET_READ, E_CONNRESET);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_read"), E_CONNRESET);
    ck_assert_int_eq(fx_read(&f, CONN, 9), 0);
    ck_assert_int_eq(fx_write(&f, CONN, "x"), -E_PIPE);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", CONN, 2), E_NOTCONN);
    ck_assert_uint_eq(tape.n, 2);
    ck_assert_int_eq(fx_close(&f, CONN), 0);
    ck_assert_int_eq(connected(&f, 0, 0), CONN); /* it may connect again */
    fx_iov(&f, FX_DATA, 1);
    starts(&f, "fd_write", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
    (void)answer(&f, SH_NET_WRITE, E_CONNRESET);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_write"), E_CONNRESET);
    ck_assert_int_eq(fx_write(&f, CONN, "x"), -E_PIPE);
    end(&f);
}
END_TEST

START_TEST(rights_are_those_it_was_opened_with) {
    struct fx f;
    int rc;

    begin(&f);
    starts_open(&f, "tcp/h/7", R_FD_WRITE, 0);
    (void)answer(&f, SH_NET_OPEN, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "path_open"), 0);
    ck_assert_int_eq(fx_read(&f, CONN, 1), -E_BADF);
    fx_iov(&f, FX_DATA, 1);
    ck_assert_int_eq(fx_call(&f, "sock_recv", CONN, FX_IOV, 1, 0, FX_OUT, FX_OUT + 8), E_BADF);
    starts_open(&f, "tcp/h/7", R_FD_READ, 0);
    (void)answer(&f, SH_NET_OPEN, 0);
    answered(&f);
    rc = goes_on(&f, "path_open");
    ck_assert_int_eq(rc, 0);
    ck_assert_int_eq(fx_write(&f, CONN + 1, "x"), -E_BADF);
    end(&f);
}
END_TEST

START_TEST(as_many_as_may_be_open) {
    struct fx f;

    begin(&f);
    for (unsigned i = 0; i < SH_NET_CONNECTIONS_MAX; i++) {
        ck_assert_int_eq(connected(&f, 0, 0), (int)(CONN + i));
    }
    ck_assert_int_eq(fx_open(&f, NET, "tcp/h/7", 0, FX_RW), -E_MFILE);
    ck_assert_int_eq(fx_call(&f, "fd_renumber", CONN, CONN + 1), 0); /* that one is closed */
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    ck_assert_int_eq(fx_open(&f, NET, "tcp/h/7", 0, FX_RW), -E_MFILE);
    ck_assert_uint_eq(f.g.n_effects, 1);
    ck_assert_int_eq(f.g.effects[0].kind, SH_EFFECT_NET_CLOSE);
    ck_assert_uint_eq(f.g.effects[0].number, 1); /* named by the call that opened it */
    end(&f);
}
END_TEST

START_TEST(bytes_sent_have_a_limit) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    f.w->net.sent = SH_NET_SENT_MAX - 1;
    fx_iov(&f, FX_DATA, 2);
    starts(&f, "fd_write", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
    ck_assert_uint_eq(f.g.wait.net.bytes.len, 1);
    (void)answer(&f, SH_NET_WRITE, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_write"), 0);
    ck_assert_int_eq(fx_write(&f, CONN, "x"), -E_DQUOT);
    end(&f);
}
END_TEST

START_TEST(reads_that_do_not_wait) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, FD_NONBLOCK, 0), CONN);
    ck_assert_int_eq(fx_read(&f, CONN, 9), -E_AGAIN);
    ck_assert_int_eq(fx_read(&f, CONN, 9), -E_AGAIN); /* until a poll has said so */
    end(&f);
}
END_TEST

static void subscribe(struct fx *f, size_t i, uint8_t kind, uint32_t what, uint64_t ns) {
    uint8_t *p = f->m + FX_DATA + i * 48;

    memset(p, 0, 48);
    put64(p, 100 + i);
    p[8] = kind;
    put32(p + 16, what);
    if (kind == 0) {
        put64(p + 24, ns);
    }
}

static void starts_poll(struct fx *f, uint32_t n) {
    starts(f, "poll_oneoff", (uint64_t[9]){FX_DATA, FX_DATA + 8192, n, FX_OUT});
}

START_TEST(a_poll_waits_for_the_first_of_several) {
    struct fx f;
    struct sh_buf *b;

    begin(&f);
    ck_assert_int_eq(connected(&f, FD_NONBLOCK, 0), CONN);
    ck_assert_int_eq(connected(&f, FD_NONBLOCK, 0), CONN + 1);
    subscribe(&f, 0, 1, CONN, 0);
    subscribe(&f, 1, 1, CONN, 0); /* twice the same */
    subscribe(&f, 2, 1, CONN + 1, 0);
    subscribe(&f, 3, 0, 1, 5000000000);
    starts_poll(&f, 4);
    ck_assert_uint_eq(f.g.wait.net.n_poll, 2);
    ck_assert_uint_eq(f.g.wait.net.poll[0], 0);
    ck_assert_uint_eq(f.g.wait.net.poll[1], 1);
    ck_assert_uint_eq(f.g.wait.net.timeout_ns, 5000000000);
    b = answer(&f, SH_NET_POLL, 0);
    sh_buf_u8(b, 0);
    sh_buf_u32(b, 0);
    sh_buf_u32(b, 5);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "poll_oneoff"), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), 1);
    ck_assert_uint_eq(fx_u64(&f, FX_DATA + 8192), 102);
    ck_assert_uint_eq(fx_u64(&f, FX_DATA + 8192 + 16), 5);
    ck_assert_int_eq(fx_read(&f, CONN, 1), -E_AGAIN);
    fx_iov(&f, FX_DATA, 9);
    starts(&f, "fd_read", (uint64_t[9]){CONN + 1, FX_IOV, 1, FX_OUT});
    piece(&f, "hello");
    reads(&f, "fd_read", "hello");
    ck_assert_int_eq(fx_call(&f, "fd_read", CONN + 1, FX_IOV, 1, FX_OUT), E_AGAIN);
    end(&f);
}
END_TEST

START_TEST(a_poll_whose_time_is_over_moves_the_clock) {
    struct fx f;
    struct sh_buf *b;
    int64_t before;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    before = f.g.clock_ns;
    subscribe(&f, 0, 1, CONN, 0);
    subscribe(&f, 1, 0, 1, 7000000000);
    starts_poll(&f, 2);
    b = answer(&f, SH_NET_POLL, 0);
    sh_buf_u8(b, 1);
    sh_buf_u32(b, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "poll_oneoff"), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), 1);
    ck_assert_uint_eq(fx_u64(&f, FX_DATA + 8192), 101);
    ck_assert_int_ge(f.g.clock_ns, before + 7000000000);
    end(&f);
}
END_TEST

START_TEST(writing_is_always_possible) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    subscribe(&f, 0, 1, CONN, 0);
    subscribe(&f, 1, 2, CONN, 0);
    ck_assert_int_eq(fx_call(&f, "poll_oneoff", FX_DATA, FX_DATA + 8192, 2, FX_OUT), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), 1);
    ck_assert_uint_eq(fx_u64(&f, FX_DATA + 8192), 101);
    end(&f);
}
END_TEST

START_TEST(recv_peeks_and_waits_for_all) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    fx_iov(&f, FX_DATA, 4);
    starts(&f, "sock_recv", (uint64_t[9]){CONN, FX_IOV, 1, 1, FX_OUT, FX_OUT + 8});
    piece(&f, "abcdef");
    reads(&f, "sock_recv", "abcd");
    ck_assert_int_eq(fx_call(&f, "sock_recv", CONN, FX_IOV, 1, 0, FX_OUT, FX_OUT + 8), 0);
    ck_assert(fx_data_is(&f, "abcd")); /* again: it was only looked at */
    starts(&f, "sock_recv", (uint64_t[9]){CONN, FX_IOV, 1, 2, FX_OUT, FX_OUT + 8});
    piece(&f, "g");
    ck_assert_int_eq(goes_on(&f, "sock_recv"), SH_CALL_PENDING);
    piece(&f, "hij");
    reads(&f, "sock_recv", "efgh");
    ck_assert_int_eq(fx_read(&f, CONN, 2), 2);
    starts(&f, "sock_recv", (uint64_t[9]){CONN, FX_IOV, 1, 2, FX_OUT, FX_OUT + 8});
    piece(&f, "k");
    ck_assert_int_eq(goes_on(&f, "sock_recv"), SH_CALL_PENDING);
    (void)answer(&f, SH_NET_READ, E_CONNRESET);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "sock_recv"), 0);
    ck_assert_uint_eq(fx_u32(&f, FX_OUT), 1); /* short; the next one says why */
    ck_assert_int_eq(fx_read(&f, CONN, 2), -E_CONNRESET);
    ck_assert_int_eq(fx_read(&f, CONN, 2), 0);
    end(&f);
}
END_TEST

START_TEST(sock_calls_check_their_arguments) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    fx_iov(&f, FX_DATA, 1);
    ck_assert_int_eq(fx_call(&f, "sock_accept", CONN, 0, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "sock_accept", 0, 0, FX_OUT), E_NOTSOCK);
    ck_assert_int_eq(fx_call(&f, "sock_recv", NET, FX_IOV, 1, 0, FX_OUT, FX_OUT), E_BADF);
    ck_assert_int_eq(fx_call(&f, "sock_recv", 99, FX_IOV, 1, 0, FX_OUT, FX_OUT), E_BADF);
    ck_assert_int_eq(fx_call(&f, "sock_recv", CONN, FX_IOV, 1, 4, FX_OUT, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "sock_recv", CONN, FX_IOV, 1, 0, FX_MEM, FX_OUT), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "sock_recv", CONN, FX_MEM, 1, 0, FX_OUT, FX_OUT), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "sock_send", CONN, FX_IOV, 1, 1, FX_OUT), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "sock_send", CONN, FX_IOV, 1, 0, FX_MEM), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", CONN, 0), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", CONN, 4), E_INVAL);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", CONN, 1), 0);
    ck_assert_int_eq(fx_read(&f, CONN, 1), 0);
    starts(&f, "sock_shutdown", (uint64_t[9]){CONN, 2});
    (void)answer(&f, SH_NET_SHUT, 0);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "sock_shutdown"), 0);
    ck_assert_int_eq(fx_write(&f, CONN, "x"), -E_PIPE);
    ck_assert_int_eq(fx_call(&f, "sock_shutdown", CONN, 2), 0); /* so it is */
    end(&f);
}
END_TEST

/* What a small program does; with everything on the tape it never waits. */
static void program(struct fx *f, bool live) {
    struct sh_buf *b;

    if (live) {
        ck_assert_int_eq(connected(f, 0, 0), CONN);
        fx_iov(f, FX_DATA, (uint32_t)fx_put(f, FX_DATA, "GET"));
        starts(f, "fd_write", (uint64_t[9]){CONN, FX_IOV, 1, FX_OUT});
        (void)answer(f, SH_NET_WRITE, 0);
        answered(f);
        ck_assert_int_eq(goes_on(f, "fd_write"), 0);
        subscribe(f, 0, 1, CONN, 0);
        starts_poll(f, 1);
        b = answer(f, SH_NET_POLL, 0);
        sh_buf_u8(b, 0);
        sh_buf_u32(b, 5);
        answered(f);
        ck_assert_int_eq(goes_on(f, "poll_oneoff"), 0);
        starts_read(f, 9);
        piece(f, "value");
        reads(f, "fd_read", "value");
        return;
    }
    ck_assert_int_eq(fx_open(f, NET, "tcp/h/7", 0, FX_RW), CONN);
    ck_assert_int_eq(fx_write(f, CONN, "GET"), 3);
    subscribe(f, 0, 1, CONN, 0);
    ck_assert_int_eq(fx_call(f, "poll_oneoff", FX_DATA, FX_DATA + 8192, 1, FX_OUT), 0);
    ck_assert_int_eq(fx_read(f, CONN, 9), 5);
    ck_assert(fx_data_is(f, "value"));
}

START_TEST(a_replay_asks_nobody_and_then_goes_on) {
    struct fx f;
    int64_t clock_ns;

    begin(&f);
    program(&f, true);
    clock_ns = f.g.clock_ns;
    fx_stop(&f);
    f.config.again = true;
    fx_start(&f);
    for (size_t i = 0; i < tape.n; i++) {
        push(&f, i);
    }
    program(&f, false);
    ck_assert_int_eq(f.g.clock_ns, clock_ns);
    starts_read(&f, 9); /* the first new call: of a connection that is gone */
    (void)answer(&f, SH_NET_READ, E_CONNRESET);
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_read"), E_CONNRESET);
    end(&f);
}
END_TEST

START_TEST(a_replay_that_writes_something_else_is_found_out) {
    struct fx f;

    begin(&f);
    program(&f, true);
    fx_stop(&f);
    fx_start(&f);
    for (size_t i = 0; i < tape.n; i++) {
        push(&f, i);
    }
    ck_assert_int_eq(fx_open(&f, NET, "tcp/h/7", 0, FX_RW), CONN);
    ck_assert_int_eq(fx_write(&f, CONN, "PUT"), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    end(&f);
}
END_TEST

START_TEST(a_verification_stops_where_the_journal_does) {
    struct fx f;

    begin(&f);
    program(&f, true);
    fx_stop(&f);
    f.config.verify = true;
    fx_start(&f);
    for (size_t i = 0; i < tape.n; i++) {
        push(&f, i);
    }
    program(&f, false);
    starts_read(&f, 9); /* it waits, as it did when it was ended from outside */
    end(&f);
}
END_TEST

START_TEST(answers_that_make_no_sense_end_the_run) {
    struct fx f;

    begin(&f);
    ck_assert_int_eq(connected(&f, 0, 0), CONN);
    starts_read(&f, 9);
    sh_buf_u32(answer(&f, SH_NET_READ, 0), 1000); /* a length without its bytes */
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "fd_read"), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
    end(&f);
    begin(&f);
    starts_open(&f, "tcp/h/7", FX_RW, 0);
    (void)answer(&f, SH_NET_OPEN, 77); /* no errno */
    answered(&f);
    ck_assert_int_eq(goes_on(&f, "path_open"), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
    end(&f);
}
END_TEST

START_TEST(errors_of_the_host_have_their_number) {
    ck_assert_uint_eq(sh_net_errno(0), E_OK);
    ck_assert_uint_eq(sh_net_errno(ECONNREFUSED), E_CONNREFUSED);
    ck_assert_uint_eq(sh_net_errno(ECONNRESET), E_CONNRESET);
    ck_assert_uint_eq(sh_net_errno(ETIMEDOUT), E_TIMEDOUT);
    ck_assert_uint_eq(sh_net_errno(EPERM), E_ACCES);
    ck_assert_uint_eq(sh_net_errno(EUCLEAN), E_IO);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        paths_name_connections,
        a_host_is_as_long_as_it_may_be,
        the_folder_is_there_where_a_rule_speaks_of_tcp,
        opens_that_nobody_needs_to_be_asked_for,
        each_way_of_not_getting_a_connection,
        without_a_rule_a_target_is_asked_for_all_the_same,
        a_connection_is_a_stream,
        small_reads_are_served_from_one_piece,
        writes_say_what_they_were_and_no_more,
        a_lost_connection_is_a_reset_then_an_end,
        rights_are_those_it_was_opened_with,
        as_many_as_may_be_open,
        bytes_sent_have_a_limit,
        reads_that_do_not_wait,
        a_poll_waits_for_the_first_of_several,
        a_poll_whose_time_is_over_moves_the_clock,
        writing_is_always_possible,
        recv_peeks_and_waits_for_all,
        sock_calls_check_their_arguments,
        a_replay_asks_nobody_and_then_goes_on,
        a_replay_that_writes_something_else_is_found_out,
        a_verification_stops_where_the_journal_does,
        answers_that_make_no_sense_end_the_run,
        errors_of_the_host_have_their_number,
        NULL,
    };
    return sh_suite("wasi_net", tests);
}

SH_TEST_MAIN(suite)
