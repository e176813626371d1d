/* Flags in every form, their errors, and the flags of `run` as capabilities. */
#include "../lib/check_main.h"

#include "cli/run_flags.h"
#include "flags.h"

struct parsed {
    bool json, help;
    const char *name;
    struct sh_values tools, operands;
    struct sh_err err;
};

static int parse(struct parsed *p, const char *const argv[]) {
    const struct sh_flag flags[] = {
        {"json", SH_FLAG_BOOL, &p->json, NULL, "in JSON"},
        {"name", SH_FLAG_TEXT, &p->name, "NAME", "a name"},
        {"tool", SH_FLAG_LIST, &p->tools, "TOOL", "a tool"},
    };
    int argc = 0;
    while (argv[argc]) {
        argc++;
    }
    return sh_flags_parse(flags, 3, argc, (char *const *)(uintptr_t)argv, &p->operands, &p->help,
                          &p->err);
}

#define ARGV(...) ((const char *const[]){"cmd", __VA_ARGS__, NULL})

static void done(struct parsed *p) {
    sh_values_done(&p->tools);
    sh_values_done(&p->operands);
}

START_TEST(flags_and_operands_mix) {
    struct parsed p = {0};
    sh_assert_ok(
        parse(&p, ARGV("a.wasm", "--name=x=y", "--tool", "llm", "b", "--json", "--tool=kv")),
        &p.err);
    ck_assert(p.json && !p.help);
    ck_assert_str_eq(p.name, "x=y");
    ck_assert_uint_eq(p.tools.n, 2);
    ck_assert_str_eq(p.tools.v[1], "kv");
    ck_assert_uint_eq(p.operands.n, 2);
    ck_assert_ptr_null(p.operands.v[2]);
    done(&p);
}
END_TEST

START_TEST(double_dash_ends_the_flags) {
    struct parsed p = {0};
    sh_assert_ok(parse(&p, ARGV("a", "-", "--", "--json", "--", "-x")), &p.err);
    ck_assert(!p.json);
    ck_assert_uint_eq(p.operands.n, 5);
    ck_assert_str_eq(p.operands.v[1], "-");
    ck_assert_str_eq(p.operands.v[3], "--");
    done(&p);
}
END_TEST

START_TEST(errors_name_the_flag_and_the_nearest) {
    struct parsed p = {0};
    sh_assert_fails(parse(&p, ARGV("--nmae", "x")), SH_E_INVAL, &p.err);
    ck_assert_ptr_nonnull(strstr(p.err.message, "did you mean --name?"));
    sh_assert_fails(parse(&p, ARGV("--name")), SH_E_INVAL, &p.err);
    ck_assert_ptr_nonnull(strstr(p.err.message, "--name NAME"));
    sh_assert_fails(parse(&p, ARGV("--name", "--", "x")), SH_E_INVAL, &p.err);
    sh_assert_fails(parse(&p, ARGV("--json=1")), SH_E_INVAL, &p.err);
    sh_assert_fails(parse(&p, ARGV("-x")), SH_E_INVAL, &p.err);
    done(&p);
}
END_TEST

START_TEST(help_is_asked_for_anywhere) {
    struct parsed p = {0};
    sh_assert_ok(parse(&p, ARGV("x", "-h")), &p.err);
    ck_assert(p.help);
    done(&p);
}
END_TEST

START_TEST(values_are_bounded) {
    struct parsed p = {0};
    const char **argv = sh_new_array(const char *, SH_FLAG_VALUES_MAX + 3);
    argv[0] = "cmd";
    for (size_t i = 1; i <= SH_FLAG_VALUES_MAX; i++) {
        argv[i] = "x";
    }
    sh_assert_ok(parse(&p, argv), &p.err);
    done(&p);
    argv[SH_FLAG_VALUES_MAX + 1] = argv[1];
    sh_assert_fails(parse(&p, argv), SH_E_INVAL, &p.err);
    done(&p);
    sh_free(argv);
}
END_TEST

/* --- run ------------------------------------------------------------------------------------ */

static const char *fake_env(const char *name) {
    return strcmp(name, "HERE") == 0 ? "there" : NULL;
}

static const char *one[2];
static struct sh_values single(const char *value) {
    one[0] = value;
    return (struct sh_values){one, 1};
}

static json_t *capabilities(const struct sh_run_flags *f, const char *document) {
    struct sh_err err = {0};
    json_t *doc = NULL, *caps = NULL;
    if (document) {
        sh_assert_ok(sh_json_parse(sh_str(document), SH_MIB, &doc, &err), &err);
    }
    sh_assert_ok(sh_run_capabilities(f, doc, "/cwd", fake_env, &caps, &err), &err);
    json_decref(doc);
    return caps;
}

static void assert_dump(json_t *value, const char *want) {
    char *text = sh_json_text(value);
    ck_assert_str_eq(text, want);
    sh_free(text);
    json_decref(value);
}

START_TEST(run_flags_become_capabilities) {
    struct sh_run_flags f = {.dirs = single("./notes::/notes::ro")};
    assert_dump(capabilities(&f, NULL),
                "{\"filesystem\":[{\"dir_perms\":[\"read\"],\"file_perms\":[\"read\"],\"guest\":"
                "\"/notes\",\"host\":\"/cwd/./notes\"}]}");
    f = (struct sh_run_flags){
        .env = single("A=b=c"), .fuel = "1_000", .memory = "1MiB", .timeout = "2s"};
    assert_dump(capabilities(&f, NULL),
                "{\"env\":{\"A\":\"b=c\"},\"limits\":{\"fuel\":1000,\"memory\":\"1MiB\","
                "\"wall_clock\":\"2s\"}}");
    f = (struct sh_run_flags){.env = single("HERE")};
    assert_dump(capabilities(&f, NULL), "{\"env\":{\"HERE\":\"there\"}}");
    f = (struct sh_run_flags){0};
    ck_assert_ptr_null(capabilities(&f, NULL));
}
END_TEST

START_TEST(network_rules_are_read_from_urls) {
    static const struct {
        const char *rule, *want;
    } rules[] = {
        {"https://example.org", "{\"host\":\"example.org\",\"scheme\":\"https\"}"},
        {"https://*.wikipedia.org:443/wiki/*",
         "{\"host\":\"*.wikipedia.org\",\"path\":\"/wiki/*\",\"port\":443,\"scheme\":\"https\"}"},
        {"GET,POST  http://[::1]:8080/",
         "{\"host\":\"[::1]\",\"methods\":[\"GET\",\"POST\"],\"path\":\"/\",\"port\":8080,"
         "\"scheme\":\"http\"}"},
        {"tcp://db.local:5432", "{\"host\":\"db.local\",\"port\":5432,\"scheme\":\"tcp\"}"},
        {"tcp://*.local:5000-5999",
         "{\"host\":\"*.local\",\"port\":\"5000-5999\",\"scheme\":\"tcp\"}"},
        {"tcp://[::1]:*", "{\"host\":\"[::1]\",\"port\":\"*\",\"scheme\":\"tcp\"}"},
    };
    for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
        struct sh_run_flags f = {.nets = single(rules[i].rule)};
        json_t *caps = capabilities(&f, NULL);
        ck_assert_uint_eq(json_array_size(json_object_get(caps, "network")), 1);
        assert_dump(json_incref(json_array_get(json_object_get(caps, "network"), 0)),
                    rules[i].want);
        json_decref(caps);
    }
    struct sh_run_flags f = {.nets = single("https://b.org")};
    assert_dump(capabilities(&f, "{\"network\":[{\"scheme\":\"https\",\"host\":\"a.org\"}]}"),
                "{\"network\":[{\"host\":\"a.org\",\"scheme\":\"https\"},{\"host\":\"b.org\","
                "\"scheme\":\"https\"}]}");
}
END_TEST

START_TEST(run_flags_add_to_the_document) {
    struct sh_run_flags f = {.tools = single("llm")};
    assert_dump(capabilities(&f, "{\"capabilities\":{\"tools\":[\"kv\"],\"limits\":{\"fuel\":5}}}"),
                "{\"limits\":{\"fuel\":5},\"tools\":[\"kv\",\"llm\"]}");
}
END_TEST

START_TEST(run_flags_that_are_wrong_are_named) {
    static const struct {
        struct sh_run_flags f;
        const char *dir, *env, *net, *tool, *flag;
    } wrong[] = {
        {.tool = "lmm", .flag = "--tool lmm: there is no such tool to grant; did you mean llm?"},
        {.tool = "kv.get", .flag = "--tool kv.get"},
        {.tool = "", .flag = "--tool"},
        {.dir = "::/x", .flag = "--dir"},
        {.dir = "a::", .flag = "--dir"},
        {.dir = "a::/b::rx", .flag = "--dir"},
        {.env = "=v", .flag = "--env"},
        {.env = "ABSENT", .flag = "--env"},
        {.net = "example.org", .flag = "--allow-net example.org: expected [METHODS ]SCHEME"},
        {.net = "https://", .flag = "--allow-net"},
        {.net = "https:///path", .flag = "--allow-net"},
        {.net = "ftp://example.org", .flag = "scheme: expected"},
        {.net = "HTTPS://example.org", .flag = "scheme: expected"},
        {.net = "https://EXAMPLE.org", .flag = "host: expected"},
        {.net = "https://me:secret@example.org", .flag = "--allow-net"},
        {.net = "https://example.org?q", .flag = "host: expected"},
        {.net = "https://example.org:", .flag = "port: expected"},
        {.net = "https://example.org:0", .flag = "port: expected"},
        {.net = "https://example.org:65536", .flag = "port: expected"},
        {.net = "https://example.org:443x/", .flag = "port: expected"},
        {.net = "https://example.org:-1", .flag = "port: expected"},
        {.net = "tcp://example.org:6-5", .flag = "port: expected"},
        {.net = "tcp://example.org:5-", .flag = "port: expected"},
        {.net = "tcp://example.org:99999999999999999999", .flag = "port: expected"},
        {.net = "https://[::1", .flag = "host: expected"},
        {.net = "https://example.org/../x", .flag = "path: expected"},
        {.net = "https://example.org/a*b", .flag = "path: expected"},
        {.net = "get https://example.org", .flag = "capitals"},
        {.net = "GET, https://example.org", .flag = "--allow-net"},
        {.net = " https://example.org", .flag = "--allow-net"},
        {.net = "tcp://example.org", .flag = "port: expected"},
        {.net = "GET tcp://example.org:5432", .flag = "methods"},
        {.f = {.fuel = "0"}, .flag = "--fuel"},
        {.f = {.fuel = "-1"}, .flag = "--fuel"},
        {.f = {.fuel = "ten"}, .flag = "--fuel"},
        {.f = {.fuel = "18446744073709551615"}, .flag = "from 1 to 4611686018427387904"},
        {.f = {.fuel = "000000000000000000000001234"}, .flag = "--fuel"},
        {.f = {.memory = "lots"}, .flag = "--memory"},
        {.f = {.timeout = "soon"}, .flag = "--timeout"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sh_run_flags f = wrong[i].f;
        struct sh_err err = {0};
        json_t *caps = NULL;
        if (wrong[i].dir) {
            f.dirs = single(wrong[i].dir);
        } else if (wrong[i].env) {
            f.env = single(wrong[i].env);
        } else if (wrong[i].net) {
            f.nets = single(wrong[i].net);
        } else if (wrong[i].tool) {
            f.tools = single(wrong[i].tool);
        }
        sh_assert_fails(sh_run_capabilities(&f, NULL, "/cwd", fake_env, &caps, &err), SH_E_INVAL,
                        &err);
        ck_assert_msg(strstr(err.message, wrong[i].flag), "%s", err.message);
    }
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = flags_and_operands_mix;
    tests[n++] = double_dash_ends_the_flags;
    tests[n++] = errors_name_the_flag_and_the_nearest;
    tests[n++] = help_is_asked_for_anywhere;
    tests[n++] = values_are_bounded;
    tests[n++] = run_flags_become_capabilities;
    tests[n++] = network_rules_are_read_from_urls;
    tests[n++] = run_flags_add_to_the_document;
    tests[n++] = run_flags_that_are_wrong_are_named;
    return sh_suite("api_flags", tests);
}

SH_TEST_MAIN(suite)
