/* The intersection of policy, manifest and request: tables of cases, and the texts of denials. */
#include "lib/check_main.h"

#include "policy/policy.h"

#define MODULE "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static json_t *json(const char *text) {
    json_t *v = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &v, &err), &err);
    return v;
}

static struct sh_policy *policy(const char *text) {
    struct sh_policy *p = NULL;
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = text ? json(text) : NULL;
    sh_assert_ok(sh_policy_parse(doc, "/home/ann", "/base", &p, &err), &err);
    return p;
}

static struct sh_capabilities *caps(const char *text) {
    struct sh_err err = {0};
    if (!text) {
        return NULL;
    }
    struct sh_capabilities *c = sh_new(struct sh_capabilities);
    sh_auto(sh_json_done) json_t *doc = json(text);
    sh_assert_ok(sh_capabilities_parse(doc, "/home/ann", "/base", c, &err), &err);
    return c;
}

static void caps_free(struct sh_capabilities **c) {
    sh_capabilities_done(*c);
    sh_free(*c);
}

static void decide_with(const struct sh_policy *p, const char *manifest, const char *request,
                        struct sh_decision *d) {
    struct sh_err err = {0};
    struct sh_hash module;
    ck_assert_int_eq(sh_hash_parse(SH_STR(MODULE), &module), 0);
    sh_auto(caps_free) struct sh_capabilities *m = caps(manifest);
    sh_auto(caps_free) struct sh_capabilities *r = caps(request);
    sh_assert_ok(sh_policy_decide(p, SH_STR("bot"), &module, m, r, d, &err), &err);
}

static void decide(const char *policy_text, const char *manifest, const char *request,
                   struct sh_decision *d) {
    struct sh_policy *p = policy(policy_text);
    decide_with(p, manifest, request, d);
    sh_policy_free(p);
}

/* One member of the effective capabilities as JSON, and how many denials there are. */
static void expect(const char *policy_text, const char *manifest, const char *request,
                   const char *member, const char *want, size_t denials) {
    struct sh_decision d = {0};
    decide(policy_text, manifest, request, &d);
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(&d.effective);
    sh_auto(sh_free_p) char *got = sh_json_text(json_object_get(doc, member));
    ck_assert_str_eq(got, want);
    ck_assert_msg(d.n_denials == denials, "%zu denials, the first %s: %s", d.n_denials,
                  d.n_denials ? d.denials[0].capability : "", d.n_denials ? d.denials[0].rule : "");
    sh_decision_done(&d);
}

static void expect_denial(const char *policy_text, const char *manifest, const char *request,
                          enum sh_verdict verdict, const char *capability, const char *says) {
    struct sh_decision d = {0};
    decide(policy_text, manifest, request, &d);
    ck_assert_uint_eq(d.n_denials, 1);
    ck_assert_int_eq(d.denials[0].verdict, verdict);
    ck_assert_str_eq(d.denials[0].capability, capability);
    ck_assert_msg(strstr(d.denials[0].rule, says) != NULL, "\"%s\" lacks \"%s\"", d.denials[0].rule,
                  says);
    sh_decision_done(&d);
}

START_TEST(an_absent_policy_allows_llm_calculator_and_kv) {
    expect(NULL, NULL, NULL, "tools", "[\"calculator\",\"kv\",\"llm\"]", 0);
    expect(NULL, NULL, "{\"tools\":[\"*\"]}", "tools", "[\"calculator\",\"kv\",\"llm\"]", 0);
    expect(NULL, NULL, "{\"tools\":[]}", "tools", "[]", 0);
    expect(NULL, NULL, NULL, "filesystem", "[]", 0);
    expect(NULL, NULL, NULL, "env", "{}", 0);
    expect(NULL, NULL, NULL, "network", "[]", 0);
    expect_denial(NULL, NULL, "{\"tools\":[\"llm\",\"web_search\"]}", SH_ASK, "tool web_search",
                  "--tool web_search");
    expect_denial(NULL, NULL, "{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/notes\"}]}", SH_ASK,
                  "filesystem /notes read", "--dir /a::/notes::ro");
    expect_denial(NULL, NULL, "{\"env\":{\"A\":\"1\"}}", SH_ASK, "env A", "--env A=");
    expect_denial(NULL, NULL, "{\"network\":[{\"scheme\":\"https\",\"host\":\"a.b\"}]}", SH_ASK,
                  "network https://a.b:443", "--allow-net");
}
END_TEST

START_TEST(tools_are_intersected_by_name_and_wildcard) {
    const char *p = "{\"rules\":[{\"agent\":\"*\",\"deny\":{\"tools\":[\"mcp:f/write\"]},"
                    "\"allow\":{\"tools\":[\"mcp:f/*\",\"mcp:g/read\",\"llm\"]}},"
                    "{\"agent\":\"*\",\"deny\":{\"tools\":[\"*\"]}}]}";
    expect(p, NULL, "{\"tools\":[\"mcp:f/read\"]}", "tools", "[\"mcp:f/read\"]", 0);
    expect(p, NULL, "{\"tools\":[\"mcp:f/write\"]}", "tools", "[]", 1);
    expect(p, NULL, "{\"tools\":[\"mcp:f/*\"]}", "tools", "[]", 1); /* would include write */
    expect(p, NULL, "{\"tools\":[\"mcp:g/*\"]}", "tools", "[\"mcp:g/read\"]", 0);
    expect(p, NULL, "{\"tools\":[\"mcp:ff/x\"]}", "tools", "[]", 1);
    expect(p, NULL, NULL, "tools", "[\"llm\",\"mcp:g/read\"]", 0);
    expect(p, "{\"tools\":[\"mcp:g/*\",\"llm\",\"kv\"]}", NULL, "tools", "[\"llm\",\"mcp:g/read\"]",
           0);
    expect(p, "{\"tools\":[\"mcp:g/*\"]}", "{\"tools\":[\"mcp:g/read\"]}", "tools",
           "[\"mcp:g/read\"]", 0);
    expect(p, "{\"tools\":[\"mcp:g/read\"]}", "{\"tools\":[\"*\"]}", "tools", "[\"mcp:g/read\"]",
           0);
    expect_denial(p, "{\"tools\":[\"llm\"]}", "{\"tools\":[\"llm\",\"mcp:g/read\"]}", SH_DENY,
                  "tool mcp:g/read", "manifest");
}
END_TEST

START_TEST(what_a_manifest_requires_is_a_denial) {
    expect(NULL, "{\"tools\":[\"web_search\"]}", NULL, "tools", "[]", 0);
    expect_denial(NULL, "{\"tools\":[\"web_search\"],\"required\":[\"web_search\"]}", NULL, SH_ASK,
                  "tool web_search", "person");
    expect_denial(NULL,
                  "{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/n\"}],\"required\":[\"/n\"]}",
                  NULL, SH_ASK, "filesystem /n read", "/a");
    expect_denial(NULL, "{\"env\":{\"A\":\"1\"},\"required\":[\"A\"]}", NULL, SH_ASK, "env A",
                  "A = true");
}
END_TEST

#define ALLOW_DIR(host, perms)                                                                     \
    "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"filesystem\":[{\"host\":\"" host                    \
    "\",\"guest\":\"/p\",\"dir_perms\":" perms ",\"file_perms\":" perms "}]}}]}"
#define ASK_DIR(host, perms)                                                                       \
    "{\"filesystem\":[{\"host\":\"" host "\",\"guest\":\"/x\",\"dir_perms\":" perms                \
    ",\"file_perms\":" perms "}]}"
#define R "[\"read\"]"
#define RW "[\"read\",\"write\"]"

START_TEST(mounts_are_within_by_components_and_permissions) {
    static const struct {
        const char *policy, *request;
        bool allowed;
    } rows[] = {
        {ALLOW_DIR("/a/b", R), ASK_DIR("/a/b", R), true},
        {ALLOW_DIR("/a/b", R), ASK_DIR("/a/b/c/d", R), true},
        {ALLOW_DIR("/a/b", R), ASK_DIR("/a/bc", R), false},
        {ALLOW_DIR("/a/b", R), ASK_DIR("/a", R), false},
        {ALLOW_DIR("/a/b", R), ASK_DIR("/", R), false},
        {ALLOW_DIR("/a/b/", R), ASK_DIR("//a/./b/c", R), true},
        {ALLOW_DIR("/", R), ASK_DIR("/a", R), true},
        {ALLOW_DIR("/a", R), ASK_DIR("/a", RW), false},
        {ALLOW_DIR("/a", RW), ASK_DIR("/a", R), true},
        {ALLOW_DIR("/a", "[]"), ASK_DIR("/a", R), false},
        {ALLOW_DIR("~", RW), ASK_DIR("/home/ann/x", RW), true},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_decision d = {0};
        decide(rows[i].policy, NULL, rows[i].request, &d);
        ck_assert_msg(d.effective.n_mounts == (rows[i].allowed ? 1 : 0), "row %zu", i);
        ck_assert_msg(d.n_denials == (rows[i].allowed ? 0 : 1), "row %zu", i);
        if (rows[i].allowed) {
            ck_assert_str_eq(d.effective.mounts[0].guest, "/x");
        }
        sh_decision_done(&d);
    }
}
END_TEST

START_TEST(a_refused_directory_refuses_what_contains_it) {
    const char *p = "{\"rules\":[{\"agent\":\"*\",\"deny\":{\"filesystem\":[{\"host\":"
                    "\"~/.ssh\"}]},\"allow\":{\"filesystem\":[{\"host\":\"/home\","
                    "\"dir_perms\":[\"read\"]}]}}]}";
    expect_denial(p, NULL, ASK_DIR("/home/ann", R), SH_DENY, "filesystem /x read", "rule 1");
    expect_denial(p, NULL, ASK_DIR("/home/ann/.ssh/keys", R), SH_DENY, "filesystem /x read",
                  "denies it");
    struct sh_decision d = {0};
    decide(p, NULL, ASK_DIR("/home/ann/.sshx", R), &d);
    ck_assert_uint_eq(d.n_denials, 0);
    sh_decision_done(&d);
}
END_TEST

START_TEST(write_allowances_and_captures_take_the_least) {
    struct sh_decision d = {0};
    decide("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"filesystem\":[{\"host\":\"/a\",\"guest\":"
           "\"/p\",\"dir_perms\":[\"write\",\"read\"],\"bytes\":1000,\"capture\":3000}]}}]}",
           "{\"filesystem\":[{\"host\":\"/\",\"dir_perms\":[\"read\",\"write\"],\"bytes\":500,"
           "\"capture\":4000}]}",
           "{\"filesystem\":[{\"host\":\"/a/b\",\"dir_perms\":[\"write\"],\"bytes\":700}]}", &d);
    ck_assert_uint_eq(d.effective.n_mounts, 1);
    ck_assert_uint_eq(d.effective.mounts[0].bytes, 500);
    ck_assert_uint_eq(d.effective.mounts[0].capture, 3000);
    sh_decision_done(&d);
}
END_TEST

#define NET(members) "{\"scheme\":\"https\"," members "}"
#define ALLOW_NET(rule) "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"network\":[" rule "]}}]}"
#define TCP(ports) "{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":" ports "}"
#define ASK_NET(rule) "{\"network\":[" rule "]}"

START_TEST(network_rules_are_contained_in_every_part) {
    static const struct {
        const char *policy, *request;
        size_t granted;
    } rows[] = {
        {ALLOW_NET(NET("\"host\":\"a.org\"")), ASK_NET(NET("\"host\":\"a.org\"")), 1},
        {ALLOW_NET(NET("\"host\":\"*.a.org\"")), ASK_NET(NET("\"host\":\"x.y.a.org\"")), 1},
        {ALLOW_NET(NET("\"host\":\"*.a.org\"")), ASK_NET(NET("\"host\":\"*.x.a.org\"")), 1},
        {ALLOW_NET(NET("\"host\":\"*.a.org\"")), ASK_NET(NET("\"host\":\"a.org\"")), 0},
        {ALLOW_NET(NET("\"host\":\"*.a.org\"")), ASK_NET(NET("\"host\":\"bada.org\"")), 0},
        {ALLOW_NET(NET("\"host\":\"*.a.org\"")), ASK_NET(NET("\"host\":\"*\"")), 0},
        {ALLOW_NET(NET("\"host\":\"*\"")), ASK_NET(NET("\"host\":\"[2001:db8::1]\"")), 1},
        {ALLOW_NET(NET("\"host\":\"a\",\"port\":8443")), ASK_NET(NET("\"host\":\"a\"")), 0},
        {ALLOW_NET(NET("\"host\":\"a\"")), ASK_NET("{\"scheme\":\"http\",\"host\":\"a\"}"), 0},
        {ALLOW_NET(NET("\"host\":\"a\",\"methods\":[\"GET\"]")), ASK_NET(NET("\"host\":\"a\"")), 0},
        {ALLOW_NET(NET("\"host\":\"a\",\"methods\":[\"GET\",\"PUT\"]")),
         ASK_NET(NET("\"host\":\"a\",\"methods\":[\"GET\"]")), 1},
        {ALLOW_NET(NET("\"host\":\"a\",\"path\":\"/w/*\"")),
         ASK_NET(NET("\"host\":\"a\",\"path\":\"/w/x\"")), 1},
        {ALLOW_NET(NET("\"host\":\"a\",\"path\":\"/w/*\"")),
         ASK_NET(NET("\"host\":\"a\",\"path\":\"/wx\"")), 0},
        {ALLOW_NET(NET("\"host\":\"a\",\"path\":\"/w/x\"")),
         ASK_NET(NET("\"host\":\"a\",\"path\":\"/w/*\"")), 0},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("5000")), 1},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("5999")), 1},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("4999")), 0},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("6000")), 0},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("\"5999-6000\"")), 0},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("\"5000-5999\"")), 1},
        {ALLOW_NET(TCP("\"5000-5999\"")), ASK_NET(TCP("\"*\"")), 0},
        {ALLOW_NET(TCP("5000")), ASK_NET(TCP("\"5000-5001\"")), 0},
        {ALLOW_NET(TCP("\"*\"")), ASK_NET(TCP("65535")), 1},
        {ALLOW_NET(TCP("\"*\"")), ASK_NET(TCP("1")), 1},
        {ALLOW_NET(TCP("\"*\"")), ASK_NET(TCP("\"1-65535\"")), 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_decision d = {0};
        decide(rows[i].policy, NULL, rows[i].request, &d);
        ck_assert_msg(d.effective.n_net == rows[i].granted, "row %zu", i);
        ck_assert_msg(d.n_denials == 1 - rows[i].granted, "row %zu", i);
        sh_decision_done(&d);
    }
}
END_TEST

START_TEST(a_refused_port_refuses_every_range_with_it) {
    static const struct {
        const char *asked;
        size_t granted;
    } rows[] = {{"22", 0},    {"\"20-22\"", 0}, {"\"22-30\"", 0},
                {"\"*\"", 0}, {"21", 1},        {"\"23-65535\"", 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_decision d = {0};
        char asked[128];
        snprintf(asked, sizeof(asked),
                 "{\"network\":[{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":%s}]}", rows[i].asked);
        decide("{\"rules\":[{\"agent\":\"*\",\"deny\":{\"network\":[" TCP(
                   "22") "]},\"allow\":{\"network\":[" TCP("\"*\"") "]}}]}",
               NULL, asked, &d);
        ck_assert_msg(d.effective.n_net == rows[i].granted, "row %zu", i);
        sh_decision_done(&d);
    }
    expect_denial(NULL, NULL, "{\"network\":[" TCP("\"20-22\"") "]}", SH_ASK,
                  "network tcp://a:20-22", "port = \"20-22\"");
}
END_TEST

START_TEST(variables_are_allowed_by_name_or_exact_value) {
    const char *any = "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"env\":{\"LANG\":true}}}]}";
    const char *exact = "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"env\":{\"LANG\":\"C\"}}}]}";
    expect(any, NULL, "{\"env\":{\"LANG\":\"de\"}}", "env", "{\"LANG\":\"de\"}", 0);
    expect(any, NULL, "{\"env\":{\"LANG\":true}}", "env", "{}", 1);
    expect(any, NULL, NULL, "env", "{}", 0);
    expect(any, "{\"env\":{\"LANG\":\"fr\"}}", "{\"env\":{\"LANG\":true}}", "env",
           "{\"LANG\":\"fr\"}", 0);
    expect(any, "{\"env\":{\"LANG\":\"fr\"}}", "{\"env\":{\"LANG\":\"de\"}}", "env", "{}", 1);
    expect(exact, NULL, "{\"env\":{\"LANG\":\"C\"}}", "env", "{\"LANG\":\"C\"}", 0);
    expect(exact, NULL, "{\"env\":{\"LANG\":\"de\"}}", "env", "{}", 1);
    expect(exact, NULL, "{\"env\":{\"LANG\":true}}", "env", "{\"LANG\":\"C\"}", 0);
    expect(exact, NULL, NULL, "env", "{\"LANG\":\"C\"}", 0);
    expect(exact, NULL, "{\"env\":{\"LANGX\":\"C\"}}", "env", "{}", 1);
}
END_TEST

START_TEST(limits_are_the_least_of_those_said) {
    const char *p = "{\"rules\":[{\"agent\":\"other\",\"limits\":{\"fuel\":1}},"
                    "{\"agent\":\"bot\",\"limits\":{\"fuel\":100}},"
                    "{\"agent\":\"*\",\"limits\":{\"fuel\":5,\"tokens\":50,\"cost_usd\":0.5}}]}";
    expect(p, "{\"limits\":{\"fuel\":200,\"tokens\":20},\"workspace\":\"2MiB\"}",
           "{\"limits\":{\"fuel\":150,\"activities\":7,\"cost_usd\":2},\"workspace\":\"1MiB\"}",
           "limits",
           "{\"activities\":7,\"cost_usd\":0.5,\"fuel\":100,\"journal\":67108864,"
           "\"memory\":268435456,\"output\":8388608,\"parallel_activities\":16,\"tokens\":20,"
           "\"wall_clock\":\"600000ms\"}",
           0);
    expect(NULL, NULL, "{\"limits\":{\"fuel\":99999999999999}}", "workspace", "268435456", 0);
}
END_TEST

START_TEST(the_first_rule_that_speaks_of_it_decides) {
    const char *p = "{\"rules\":["
                    "{\"agent\":\"bot\",\"module\":\"" MODULE "\",\"allow\":{\"tools\":[\"a\"]}},"
                    "{\"agent\":\"other\",\"allow\":{\"tools\":[\"b\"]}},"
                    "{\"agent\":\"bot\",\"ask\":{\"tools\":[\"a\",\"c\"]},"
                    "\"allow\":{\"tools\":[\"c\",\"d\"]},\"deny\":{\"tools\":[\"d\"]}},"
                    "{\"agent\":\"*\",\"allow\":{\"tools\":[\"b2\",\"d\"]}}]}";
    struct sh_policy *pol = policy(p);
    struct sh_hash module;
    struct sh_hash wrong = {{0}};
    ck_assert_int_eq(sh_hash_parse(SH_STR(MODULE), &module), 0);
    const struct {
        const char *tool;
        const struct sh_hash *module;
        enum sh_verdict want;
    } rows[] = {
        {"a", &module, SH_ALLOW}, {"a", &wrong, SH_ASK},   {"a", NULL, SH_ASK},
        {"b", &module, SH_ASK},   {"c", &module, SH_ASK},  {"d", &module, SH_DENY},
        {"b2", NULL, SH_ALLOW},   {"llm", NULL, SH_ALLOW}, {"zzz", NULL, SH_ASK},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(sh_policy_tool(pol, SH_STR("bot"), rows[i].module, sh_str(rows[i].tool)) ==
                          rows[i].want,
                      "row %zu", i);
    }
    sh_policy_free(pol);
}
END_TEST

START_TEST(flags_allow_exactly_what_they_name) {
    struct sh_capabilities *c = caps("{\"tools\":[\"llm\"],\"env\":{\"A\":\"1\"},"
                                     "\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/g\"}],"
                                     "\"limits\":{\"fuel\":7}}");
    struct sh_policy *alone = sh_policy_with(NULL, c);
    struct sh_policy *base = policy("{\"rules\":[{\"agent\":\"*\",\"limits\":{\"fuel\":3,"
                                    "\"tokens\":9},\"deny\":{\"tools\":[\"llm\"]}}]}");
    struct sh_policy *on_top = sh_policy_with(base, c);
    sh_policy_free(base);
    caps_free(&c);
    struct sh_decision d = {0};
    decide_with(alone, NULL, NULL, &d);
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(&d.effective);
    sh_auto(sh_free_p) char *tools = sh_json_text(json_object_get(doc, "tools"));
    ck_assert_str_eq(tools, "[\"llm\"]");
    ck_assert_uint_eq(d.effective.n_mounts, 1);
    ck_assert_str_eq(json_string_value(json_object_get(d.effective.env, "A")), "1");
    ck_assert_uint_eq(d.effective.limits.fuel, 7);
    sh_decision_done(&d);
    ck_assert_int_eq(sh_policy_tool(alone, SH_STR("x"), NULL, SH_STR("kv")), SH_DENY);
    ck_assert_int_eq(sh_policy_tool(on_top, SH_STR("x"), NULL, SH_STR("kv")), SH_ALLOW);
    ck_assert_int_eq(sh_policy_tool(on_top, SH_STR("x"), NULL, SH_STR("llm")), SH_ALLOW);
    decide_with(on_top, NULL, NULL, &d);
    ck_assert_uint_eq(d.effective.limits.fuel, 7);
    ck_assert_uint_eq(d.effective.limits.tokens, 9);
    sh_decision_done(&d);
    sh_policy_free(alone);
    sh_policy_free(on_top);
}
END_TEST

START_TEST(wildcards_match_whole_servers_only) {
    struct sh_capabilities *c = caps("{\"tools\":[\"kv\",\"mcp:files/*\"]}");
    ck_assert(sh_capabilities_tool(c, SH_STR("kv")));
    ck_assert(!sh_capabilities_tool(c, SH_STR("kv.get")));
    ck_assert(!sh_capabilities_tool(c, SH_STR("k")));
    ck_assert(sh_capabilities_tool(c, SH_STR("mcp:files/read")));
    ck_assert(!sh_capabilities_tool(c, SH_STR("mcp:filesx/read")));
    ck_assert(!sh_capabilities_tool(c, SH_STR("mcp:files")));
    ck_assert(!sh_capabilities_tool(c, (struct sh_str){0}));
    caps_free(&c);
    struct sh_capabilities none = {0};
    ck_assert(!sh_capabilities_tool(&none, SH_STR("kv")));
}
END_TEST

START_TEST(a_wrong_policy_names_the_rule) {
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"[]", "policy: expected an object"},
        {"{\"rule\":[]}", "\"rules\""},
        {"{\"rules\":{}}", "array"},
        {"{\"rules\":[1]}", "rules[0]"},
        {"{\"rules\":[{}]}", "rules[0]: expected \"agent\""},
        {"{\"rules\":[{\"agent\":\"\"}]}", "rules[0].agent"},
        {"{\"rules\":[{\"agent\":\"*\"},{\"agent\":\"*\",\"alow\":{}}]}", "rules[1]"},
        {"{\"rules\":[{\"module\":\"xyz\"}]}", "rules[0].module"},
        {"{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[1]}}]}", "rules[0].allow: tools"},
        {"{\"rules\":[{\"agent\":\"*\",\"deny\":{\"limits\":{\"fuel\":1}}}]}", "rules[0].deny"},
        {"{\"rules\":[{\"agent\":\"*\",\"limits\":{\"fuel\":0}}]}", "rules[0].limits"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_policy *p = NULL;
        struct sh_err err = {0};
        sh_auto(sh_json_done) json_t *doc = json(rows[i].text);
        ck_assert_msg(sh_policy_parse(doc, NULL, NULL, &p, &err) < 0, "row %zu", i);
        ck_assert_msg(strstr(err.message, rows[i].says) != NULL, "row %zu: %s", i, err.message);
    }
}
END_TEST

START_TEST(the_number_of_rules_holds_at_its_edge) {
    for (int n = SH_POLICY_RULES_MAX; n <= SH_POLICY_RULES_MAX + 1; n++) {
        sh_auto(sh_json_done) json_t *doc = json("{\"rules\":[]}");
        for (int i = 0; i < n; i++) {
            json_array_append_new(json_object_get(doc, "rules"), json("{\"agent\":\"a\"}"));
        }
        struct sh_policy *p = NULL;
        struct sh_err err = {0};
        int r = sh_policy_parse(doc, NULL, NULL, &p, &err);
        ck_assert_int_eq(r, n == SH_POLICY_RULES_MAX ? 0 : -SH_E_LIMIT);
        sh_policy_free(p);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {an_absent_policy_allows_llm_calculator_and_kv,
                                  tools_are_intersected_by_name_and_wildcard,
                                  what_a_manifest_requires_is_a_denial,
                                  mounts_are_within_by_components_and_permissions,
                                  a_refused_directory_refuses_what_contains_it,
                                  write_allowances_and_captures_take_the_least,
                                  network_rules_are_contained_in_every_part,
                                  a_refused_port_refuses_every_range_with_it,
                                  variables_are_allowed_by_name_or_exact_value,
                                  limits_are_the_least_of_those_said,
                                  the_first_rule_that_speaks_of_it_decides,
                                  flags_allow_exactly_what_they_name,
                                  wildcards_match_whole_servers_only,
                                  a_wrong_policy_names_the_rule,
                                  the_number_of_rules_holds_at_its_edge,
                                  NULL};
    return sh_suite("policy_decide", tests);
}

SH_TEST_MAIN(suite)
