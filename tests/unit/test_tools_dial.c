/* Connections of agents' own: which rule opens which target, in every spelling of an address, and
 * what is said where none does. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "tools/egress.h"
#include "tools/tools.h"

static struct sh_loop *l;
static struct sh_tools *tools;
static struct sh_capabilities caps;
static struct sh_dial *dial;
static struct sh_timer watchdog;
static uint16_t port;
static int listener;

static void give_up(struct sh_timer *t) {
    (void)t;
    ck_abort_msg("nothing came in 30 s");
}

static bool may_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    (void)arg;
    ck_assert_str_eq(what->scheme, "tcp");
    ck_assert_ptr_null(what->path);
    return sh_capabilities_net(&caps, what, written_out);
}

static void changed(void *arg) {
    (void)arg;
    sh_loop_stop(l);
}

static void begin(void) {
    struct sh_tools_config config = {.llm_base_url = "http://127.0.0.1:1/v1", .llm_model = "m"};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(in);
    struct sh_err err = {0};

    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
    ck_assert_int_eq(listen(listener, 50), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &n), 0);
    port = ntohs(in.sin_port);
    sh_assert_ok(sh_loop_new(&l, &err), &err);
    sh_assert_ok(sh_tools_new(l, &config, &tools, &err), &err);
    sh_timer_start(l, &watchdog, 30000000000, give_up);
}

static void end(void) {
    sh_timer_stop(&watchdog);
    sh_capabilities_done(&caps);
    sh_tools_free(tools);
    sh_loop_free(l);
    close(listener);
}

static void allow_port(const char *host, json_t *ports) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc =
        json_pack("{s:[{s:s, s:s, s:o}]}", "network", "scheme", "tcp", "host", host, "port", ports);

    sh_capabilities_done(&caps);
    sh_assert_ok(sh_capabilities_parse(doc, NULL, NULL, &caps, &err), &err);
}

static void allow(const char *host) {
    allow_port(host, json_integer(port));
}

/* The errno of the status, -1 when no rule covers it, -2 when the host is none. */
static int outcome(const char *host, uint16_t to, struct sh_err *err) {
    const struct sh_dial_request req = {
        .host = host, .port = to, .may_reach = may_reach, .changed = changed};
    int r = sh_tools_dial(tools, &req, &dial, err), error;

    if (r < 0) {
        ck_assert_int_ne(err->message[0], 0);
        return err->code == SH_E_DENIED ? -1 : -2;
    }
    while (!sh_tcp_status(sh_dial_tcp(dial)).connected && !sh_tcp_status(sh_dial_tcp(dial)).ended) {
        sh_loop_run(l);
    }
    error = sh_tcp_status(sh_dial_tcp(dial)).error;
    if (error) {
        sh_dial_failure(dial, err);
    }
    sh_dial_close(dial, true);
    return error;
}

START_TEST(a_rule_opens_what_it_names) {
    static const struct {
        const char *rule, *host;
        int outcome;
    } rows[] = {
        {"127.0.0.1", "127.0.0.1", 0},
        {"127.0.0.1", "127.1", 0},      /* the same in its usual form */
        {"127.0.0.1", "2130706433", 0}, /* and as one number */
        {"127.0.0.1", "0x7f.1", 0},     /* and in hex */
        {"127.0.0.1", "127.0.0.2", -1}, /* another address */
        {"127.0.0.1", "localhost", -1}, /* a name that nobody named */
        {"localhost", "localhost", 0},  /* stands for this machine */
        {"localhost", "LOCALHOST", 0},  /* however it is written */
        {"*", "127.0.0.1", EACCES},     /* a wildcard is for public addresses */
        {"*", "localhost", EACCES},
        {"*", "2130706433", EACCES},
        {"*", "::ffff:127.0.0.1", EACCES},
        {"*", "[::ffff:7f00:1]", EACCES},
        {"*", "::1", EACCES},
        {"*", "0.0.0.0", EACCES},
        {"*", "0", EACCES},
        {"*", "169.254.169.254", EACCES},
        {"*", "10.0.0.1", EACCES},
        {"*", "192.168.1.1", EACCES},
        {"*", "[fe80::1]", EACCES},
        {"*", "64:ff9b::7f00:1", EACCES},
        {"*", "2002:7f00:1::", EACCES},
        {"127.0.0.1", "::ffff:127.0.0.1", -1},
        {"*", "", -2},
        {"*", "a b", -2},
        {"*", "a@127.0.0.1", -2},
        {"*", "127.0.0.1/x", -2},
        {"*", "127.0.0.1:80", -2},
        {"*", "127.0.0.1#", -2},
        {"*", "127.0.0.1?", -2},
        {"*", "a%00b", -2},
        {"*", "[::1", -2},
        {"*", "::1%lo", -2},
        {"*", "..", -2},
        {"*", "x.", -2},
        {"*", "\xc3\xa4", -2},
    };

    begin();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_err err = {0};
        int got;

        allow(rows[i].rule);
        got = outcome(rows[i].host, port, &err);
        ck_assert_msg(got == rows[i].outcome, "%s under %s: %d (%s)", rows[i].host, rows[i].rule,
                      got, err.message);
    }
    end();
}
END_TEST

START_TEST(a_rule_opens_the_ports_that_it_spans) {
    struct sh_err err = {0};

    begin();
    allow_port("127.0.0.1", json_string("*"));
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), 0);
    allow_port("127.0.0.1", json_sprintf("%u-%u", port, port));
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), 0);
    allow_port("127.0.0.1", json_sprintf("1-%u", port - 1));
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), -1);
    allow_port("*", json_string("*")); /* all ports of public addresses */
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), EACCES);
    end();
}
END_TEST

START_TEST(a_refusal_says_how_it_is_granted) {
    struct sh_err err = {0};
    char want[64];

    begin();
    allow("127.0.0.1");
    ck_assert_int_eq(outcome("db.example", 5432, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.message, "tcp://db.example:5432"));
    ck_assert_ptr_nonnull(strstr(err.message, "`--allow-net tcp://db.example:5432`"));
    ck_assert_int_eq(outcome("127.0.0.1", (uint16_t)(port ^ 1), &err), -1);
    allow("*");
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), EACCES);
    ck_assert_int_eq(err.code, SH_E_DENIED);
    snprintf(want, sizeof(want), "`--allow-net tcp://ADDRESS:%u`", port);
    ck_assert_ptr_nonnull(strstr(err.message, want));
    ck_assert_int_eq(outcome("127.0.0.1", 0, &err), -2);
    end();
}
END_TEST

START_TEST(our_own_listener_is_never_reached) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct sh_err err = {0};

    begin();
    in.sin_port = htons(port);
    sh_tools_own_listener(tools, (const struct sockaddr *)&in);
    allow("127.0.0.1");
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), EACCES);
    allow("localhost");
    ck_assert_int_eq(outcome("localhost", port, &err), EACCES);
    end();
}
END_TEST

START_TEST(nobody_there_is_an_outcome) {
    struct sh_err err = {0};

    begin();
    allow("127.0.0.1");
    close(listener);
    ck_assert_int_eq(outcome("127.0.0.1", port, &err), ECONNREFUSED);
    ck_assert_int_eq(err.code, SH_E_UNAVAILABLE);
    end();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_rule_opens_what_it_names,       a_rule_opens_the_ports_that_it_spans,
        a_refusal_says_how_it_is_granted, our_own_listener_is_never_reached,
        nobody_there_is_an_outcome,       NULL,
    };
    return sh_suite("tools_dial", tests);
}

SH_TEST_MAIN(suite)
