/* What a person is told of a decision is what the decision gives; and what lies within what. */
#include "lib/check_main.h"

#include "policy/policy.h"

static json_t *json(const char *text) {
    json_t *v = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &v, &err), &err);
    return v;
}

static struct sh_capabilities caps(const char *text) {
    struct sh_capabilities c = {0};
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = json(text ? text : "{}");
    sh_assert_ok(sh_capabilities_parse(doc, "/home/ann", "/base", &c, &err), &err);
    return c;
}

static struct sh_policy *policy(const char *text) {
    struct sh_policy *p = NULL;
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = text ? json(text) : NULL;
    sh_assert_ok(sh_policy_parse(doc, "/home/ann", "/base", &p, &err), &err);
    return p;
}

static json_t *explain(const char *policy_text, const char *manifest, const char *request) {
    struct sh_policy *p = policy(policy_text);
    struct sh_capabilities m = caps(manifest);
    struct sh_capabilities r = caps(request);
    struct sh_err err = {0};
    json_t *told = NULL;
    sh_assert_ok(sh_policy_explain(p, SH_STR("bot"), NULL, &m, &r, &told, &err), &err);
    sh_capabilities_done(&m);
    sh_capabilities_done(&r);
    sh_policy_free(p);
    return told;
}

static json_t *row(json_t *told, const char *capability) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(told, "capabilities"), i, item) {
        if (sh_str_eqz(sh_json_get_str(item, "capability"), capability)) {
            return item;
        }
    }
    return NULL;
}

static void says(json_t *told, const char *capability, const char *verdict, const char *gets,
                 const char *rule) {
    json_t *item = row(told, capability);
    ck_assert_msg(item != NULL, "nothing is said of %s", capability);
    sh_auto(sh_free_p) char *got = sh_json_text(json_object_get(item, "gets"));
    const char *why = json_string_value(json_object_get(item, "rule"));
    ck_assert_msg(sh_str_eqz(sh_json_get_str(item, "verdict"), verdict), "%s: %s (%s)", capability,
                  json_string_value(json_object_get(item, "verdict")), why);
    ck_assert_msg(strcmp(got, gets) == 0, "%s: gets %s", capability, got);
    ck_assert_msg(strstr(why, rule) != NULL, "%s: \"%s\" lacks \"%s\"", capability, why, rule);
}

START_TEST(an_absent_policy_allows_three_tools_and_asks_for_others) {
    sh_auto(sh_json_done) json_t *told = explain(NULL, NULL, NULL);
    says(told, "tool llm", "allow", "[\"llm\"]", "the default policy allows it");
    says(told, "tool kv", "allow", "[\"kv\"]", "the default policy");
    ck_assert_uint_eq(json_array_size(json_object_get(told, "capabilities")), 3);
    ck_assert_str_eq(json_string_value(json_object_get(told, "other_tools")), "ask");
    ck_assert(!sh_json_get_bool(told, "refused", true));
}
END_TEST

#define RULES                                                                                      \
    "{\"rules\":[{\"agent\":\"other\",\"allow\":{\"tools\":[\"*\"]}},"                             \
    "{\"agent\":\"bot\",\"deny\":{\"tools\":[\"http\"],\"env\":{\"TOKEN\":true}},"                 \
    "\"ask\":{\"tools\":[\"web_search\"],\"filesystem\":[{\"host\":\"/srv\"}]},"                   \
    "\"allow\":{\"tools\":[\"llm\"],\"filesystem\":[{\"host\":\"/home/ann/notes\"}],"              \
    "\"env\":{\"LANG\":\"C\"},\"network\":[{\"scheme\":\"https\",\"host\":\"*.x.org\"}]},"         \
    "\"limits\":{\"fuel\":500}}]}"

START_TEST(each_verdict_names_its_rule) {
    sh_auto(sh_json_done) json_t *told = explain(
        RULES,
        "{\"tools\":[\"llm\",\"http\",\"web_search\"],\"env\":{\"LANG\":true,\"TOKEN\":true},"
        "\"network\":[{\"scheme\":\"https\",\"host\":\"en.x.org\"},"
        "{\"scheme\":\"https\",\"host\":\"y.org\"}],\"filesystem\":[{\"host\":"
        "\"/home/ann/notes/a\",\"guest\":\"/a\"},{\"host\":\"/srv/b\",\"guest\":\"/b\"}],"
        "\"required\":[\"http\",\"/b\"]}",
        NULL);
    const char *bot = "rule 2 of the policy (agent \"bot\")";
    says(told, "tool llm", "allow", "[\"llm\"]", bot);
    says(told, "tool http", "deny", "null", "rule 2 of the policy (agent \"bot\") denies it");
    says(told, "tool web_search", "ask", "[\"web_search\"]", "asks a person first");
    says(told, "tool kv", "deny", "null", "the agent's manifest does not ask for it");
    says(told, "env LANG", "allow", "\"C\"", bot);
    says(told, "env TOKEN", "deny", "null", bot);
    says(told, "network https://y.org:443", "ask",
         "{\"host\":\"y.org\",\"port\":443,\"scheme\":\"https\"}",
         "no rule of the policy speaks of it");
    says(told, "filesystem /a read", "allow",
         "{\"dir_perms\":[\"read\"],\"file_perms\":[\"read\"],\"guest\":\"/a\",\"host\":"
         "\"/home/ann/notes/a\"}",
         bot);
    ck_assert(sh_json_get_bool(row(told, "tool http"), "needed", false));
    ck_assert(sh_json_get_bool(row(told, "filesystem /b read"), "needed", false));
    ck_assert(!sh_json_get_bool(row(told, "tool web_search"), "needed", true));
    ck_assert_ptr_null(row(told, "filesystem /home/ann/notes read"));
    ck_assert(sh_json_get_bool(told, "refused", false));
    ck_assert_str_eq(json_string_value(json_object_get(told, "other_tools")), "deny");
}
END_TEST

START_TEST(a_question_alone_refuses_nothing) {
    sh_auto(sh_json_done) json_t *told =
        explain(RULES, "{\"tools\":[\"web_search\"],\"required\":[\"web_search\"]}", NULL);
    says(told, "tool web_search", "ask", "[\"web_search\"]", "asks a person first");
    ck_assert(!sh_json_get_bool(told, "refused", true));
}
END_TEST

START_TEST(a_request_narrows_a_manifest_and_says_so) {
    sh_auto(sh_json_done) json_t *told = explain(
        "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"*\"],\"filesystem\":"
        "[{\"host\":\"/\",\"dir_perms\":[\"read\",\"write\"],\"file_perms\":[\"read\"]}]}}]}",
        "{\"tools\":[\"llm\",\"kv\"],\"filesystem\":[{\"host\":\"/d\",\"dir_perms\":[\"read\","
        "\"write\"]}]}",
        "{\"tools\":[\"llm\",\"http\"],\"filesystem\":[{\"host\":\"/d\"}]}");
    says(told, "tool llm", "allow", "[\"llm\"]", "rule 1");
    says(told, "tool kv", "deny", "null", "the request does not ask for it");
    says(told, "tool http", "deny", "null", "the agent's manifest does not ask for it");
    says(told, "filesystem /d read and write", "deny", "null",
         "the request asks for another part of it");
    ck_assert(sh_json_get_bool(told, "refused", false));
    json_t *by = json_object_get(row(told, "tool llm"), "named_by");
    sh_auto(sh_free_p) char *text = sh_json_text(by);
    ck_assert_str_eq(text, "[\"request\",\"manifest\",\"policy\"]");
}
END_TEST

START_TEST(a_wildcard_is_told_as_what_it_comes_to) {
    sh_auto(sh_json_done) json_t *told = explain(NULL, NULL, "{\"tools\":[\"*\"]}");
    says(told, "tool *", "allow", "[\"calculator\",\"kv\",\"llm\"]", "narrowed");
    ck_assert_str_eq(json_string_value(json_object_get(told, "other_tools")), "ask");
    sh_auto(sh_json_done) json_t *fewer =
        explain(NULL, "{\"tools\":[\"llm\"]}", "{\"tools\":[\"*\"]}");
    says(fewer, "tool *", "allow", "[\"llm\"]", "narrowed");
    says(fewer, "tool llm", "allow", "[\"llm\"]", "the default policy");
}
END_TEST

START_TEST(a_variable_without_a_value_is_told) {
    sh_auto(sh_json_done) json_t *told =
        explain("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"env\":{\"TERM\":true}}}]}",
                "{\"env\":{\"TERM\":true}}", NULL);
    says(told, "env TERM", "deny", "null", "no value is given for it");
}
END_TEST

static void from(json_t *told, const char *name, json_int_t value, const char *who) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(told, "limits"), i, item) {
        if (sh_str_eqz(sh_json_get_str(item, "name"), name)) {
            ck_assert_int_eq(sh_json_get_int(item, "value", 0), value);
            ck_assert_str_eq(json_string_value(json_object_get(item, "from")), who);
            return;
        }
    }
    ck_abort_msg("no limit is called %s", name);
}

START_TEST(each_limit_says_whose_it_is) {
    sh_auto(sh_json_done) json_t *told = explain(
        RULES, "{\"limits\":{\"fuel\":900,\"memory\":65536,\"activities\":7,\"cost_usd\":1}}",
        "{\"limits\":{\"activities\":5,\"tokens\":9,\"cost_usd\":0.5}}");
    from(told, "fuel", 500, "rule 2 of the policy (agent \"bot\")");
    from(told, "memory", 65536, "the manifest");
    from(told, "activities", 5, "the request");
    from(told, "tokens", 9, "the request");
    from(told, "output", SH_OUTPUT_DEFAULT, "the default");
    from(told, "deadline", 0, "the default");
    size_t last = json_array_size(json_object_get(told, "limits")) - 1;
    json_t *cost = json_array_get(json_object_get(told, "limits"), last);
    ck_assert_str_eq(json_string_value(json_object_get(cost, "from")), "the request");
    ck_assert(json_real_value(json_object_get(cost, "value")) < 0.6);
}
END_TEST

/* Whatever the documents: allowed rows are the effective capabilities, all of them, and these lie
 * within each document that speaks. */
START_TEST(what_is_told_is_what_is_decided) {
    static const char *const docs[] = {
        NULL,
        "{\"tools\":[]}",
        "{\"tools\":[\"llm\",\"http\"]}",
        "{\"tools\":[\"*\"],\"env\":{\"LANG\":true,\"TOKEN\":\"x\"}}",
        "{\"tools\":[\"mcp:files/*\",\"web_search\"],\"network\":[{\"scheme\":\"https\",\"host\":"
        "\"a.x.org\",\"methods\":[\"GET\"]}]}",
        "{\"filesystem\":[{\"host\":\"/home/ann/notes/b\",\"guest\":\"/b\"},{\"host\":\"/srv\","
        "\"guest\":\"/s\"}],\"network\":[]}",
    };
    static const char *const policies[] = {NULL, RULES, "{\"rules\":[]}"};
    for (size_t i = 0; i < 3 * 6 * 6; i++) {
        struct sh_policy *p = policy(policies[i / 36]);
        struct sh_capabilities m = caps(docs[i / 6 % 6]);
        struct sh_capabilities r = caps(docs[i % 6]);
        struct sh_decision d = {0};
        struct sh_err err = {0};
        json_t *told = NULL, *item;
        size_t j, seen[4] = {0};
        sh_assert_ok(sh_policy_decide(p, SH_STR("bot"), NULL, &m, &r, &d, &err), &err);
        sh_assert_ok(sh_policy_explain(p, SH_STR("bot"), NULL, &m, &r, &told, &err), &err);
        json_array_foreach(json_object_get(told, "capabilities"), j, item) {
            bool allowed = sh_str_eqz(sh_json_get_str(item, "verdict"), "allow");
            struct sh_str kind = sh_json_get_str(item, "kind");
            ck_assert(!allowed || !json_is_null(json_object_get(item, "gets")));
            ck_assert(!allowed || json_string_length(json_object_get(item, "rule")) > 0);
            size_t k = kind.p[0] == 't' ? 0 : kind.p[0] == 'f' ? 1 : kind.p[0] == 'n' ? 2 : 3;
            seen[k] += allowed;
        }
        ck_assert_uint_eq(seen[1], d.effective.n_mounts);
        ck_assert_uint_eq(seen[2], d.effective.n_net);
        ck_assert_uint_eq(seen[3], json_object_size(d.effective.env));
        for (size_t t = 0; d.effective.tools && d.effective.tools[t]; t++) {
            ck_assert_uint_gt(seen[0], 0);
        }
        if (i % 6 == 3 && i / 6 % 6 == 3) { /* both speak of tools and variables only */
            ck_assert(sh_capabilities_subset(&d.effective, &d.effective));
        }
        struct sh_capabilities grants = d.effective;
        grants.mounts = NULL;
        grants.n_mounts = 0;
        grants.n_net = 0;
        struct sh_capabilities wide = caps("{\"tools\":[\"*\"],\"env\":{\"LANG\":true,\"TOKEN\":"
                                           "true}}");
        ck_assert(sh_capabilities_subset(&grants, &wide));
        sh_capabilities_done(&wide);
        json_decref(told);
        sh_decision_done(&d);
        sh_capabilities_done(&m);
        sh_capabilities_done(&r);
        sh_policy_free(p);
    }
}
END_TEST

START_TEST(rows_hold_at_their_edge) {
    for (size_t extra = 0; extra <= 1; extra++) {
        json_t *rules = json_array();
        size_t made = 3; /* of the default policy */
        for (size_t i = 0; made < SH_EXPLAIN_ROWS_MAX + extra; i++) {
            json_t *tools = json_array();
            for (size_t j = 0; j < SH_CAPABILITY_ITEMS_MAX && made < SH_EXPLAIN_ROWS_MAX + extra;
                 j++, made++) {
                sh_auto(sh_free_p) char *name = sh_asprintf("t%zu", made);
                json_array_append_new(tools, json_string(name));
            }
            json_array_append_new(
                rules, json_pack("{s:s, s:{s:o}}", "agent", "*", "allow", "tools", tools));
            ck_assert_uint_lt(i, SH_POLICY_RULES_MAX);
        }
        sh_auto(sh_json_done) json_t *doc = json_pack("{s:o}", "rules", rules);
        struct sh_policy *p = NULL;
        struct sh_err err = {0};
        json_t *told = NULL;
        struct sh_capabilities none = caps("{\"tools\":[\"llm\"]}");
        sh_assert_ok(sh_policy_parse(doc, NULL, NULL, &p, &err), &err);
        int r = sh_policy_explain(p, SH_STR("bot"), NULL, &none, NULL, &told, &err);
        ck_assert_int_eq(r, extra ? -SH_E_LIMIT : 0);
        json_decref(told);
        sh_capabilities_done(&none);
        sh_policy_free(p);
    }
}
END_TEST

/* Rules are passed over by hash: no rule may be lost by it, and none gained. */
START_TEST(a_long_policy_decides_as_its_rules_say) {
    json_t *rules = json_array();
    for (int i = 0; i < 400; i++) {
        sh_auto(sh_free_p) char *agent = sh_asprintf("a%d", i % 100);
        sh_auto(sh_free_p) char *tool = sh_asprintf(i % 7 ? "t%d" : "mcp:t%d/*", i);
        json_array_append_new(rules, json_pack("{s:s, s:{s:[s]}}", "agent", i % 10 ? agent : "*",
                                               i % 3 ? "allow" : "deny", "tools", tool));
    }
    sh_auto(sh_json_done) json_t *doc = json_pack("{s:o}", "rules", rules);
    struct sh_policy *p = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_policy_parse(doc, NULL, NULL, &p, &err), &err);
    for (int a = 0; a < 100; a++) {
        sh_auto(sh_free_p) char *agent = sh_asprintf("a%d", a);
        for (int i = 0; i < 400; i++) {
            sh_auto(sh_free_p) char *tool = sh_asprintf(i % 7 ? "t%d" : "mcp:t%d/x", i);
            bool speaks = i % 10 == 0 || i % 100 == a;
            enum sh_verdict want = !speaks ? SH_ASK : i % 3 ? SH_ALLOW : SH_DENY;
            ck_assert_int_eq(sh_policy_tool(p, sh_str(agent), NULL, sh_str(tool)), want);
        }
    }
    sh_policy_free(p);
}
END_TEST

static void within(const char *a, const char *b, bool want) {
    struct sh_capabilities x = caps(a);
    struct sh_capabilities y = caps(b);
    ck_assert_msg(sh_capabilities_subset(&x, &y) == want, "%s in %s: not %d", a, b, want);
    ck_assert(sh_capabilities_subset(&x, &x));
    ck_assert(sh_capabilities_subset(&y, &y));
    sh_capabilities_done(&x);
    sh_capabilities_done(&y);
}

START_TEST(a_subset_holds_in_each_part) {
    within("{}", "{\"tools\":[\"llm\"]}", true);
    within("{\"tools\":[\"llm\"]}", "{}", false);
    within("{\"tools\":[\"mcp:a/b\"]}", "{\"tools\":[\"mcp:a/*\"]}", true);
    within("{\"tools\":[\"mcp:a/*\"]}", "{\"tools\":[\"mcp:a/b\"]}", false);
    within("{\"env\":{\"A\":\"1\"}}", "{\"env\":{\"A\":true}}", true);
    within("{\"env\":{\"A\":true}}", "{\"env\":{\"A\":\"1\"}}", false);
    within("{\"env\":{\"A\":\"1\"}}", "{\"env\":{\"A\":\"2\"}}", false);
    within("{\"filesystem\":[{\"host\":\"/a/b\"}]}", "{\"filesystem\":[{\"host\":\"/a\"}]}", true);
    within("{\"filesystem\":[{\"host\":\"/ab\"}]}", "{\"filesystem\":[{\"host\":\"/a\"}]}", false);
    within("{\"filesystem\":[{\"host\":\"/a\",\"file_perms\":[\"write\"],\"bytes\":9}]}",
           "{\"filesystem\":[{\"host\":\"/a\",\"file_perms\":[\"write\"],\"bytes\":8}]}", false);
    within("{\"filesystem\":[{\"host\":\"/a\",\"file_perms\":[\"write\"],\"bytes\":8}]}",
           "{\"filesystem\":[{\"host\":\"/a\",\"file_perms\":[\"write\"],\"bytes\":8}]}", true);
    within("{\"filesystem\":[{\"host\":\"/a\",\"dir_perms\":[\"write\"]}]}",
           "{\"filesystem\":[{\"host\":\"/a\"}]}", false);
    within("{\"network\":[{\"scheme\":\"https\",\"host\":\"a.x.org\",\"path\":\"/w/*\"}]}",
           "{\"network\":[{\"scheme\":\"https\",\"host\":\"*.x.org\"}]}", true);
    within("{\"network\":[{\"scheme\":\"https\",\"host\":\"*.x.org\"}]}",
           "{\"network\":[{\"scheme\":\"https\",\"host\":\"a.x.org\"}]}", false);
}
END_TEST

START_TEST(a_subset_holds_in_limits) {
    within("{\"limits\":{\"fuel\":10}}", "{\"limits\":{\"fuel\":10}}", true);
    within("{\"limits\":{\"fuel\":11}}", "{\"limits\":{\"fuel\":10}}", false);
    within("{}", "{\"limits\":{\"fuel\":10}}", false);
    within("{\"limits\":{\"fuel\":10}}", "{}", true);
    within("{\"limits\":{\"cost_usd\":0.5}}", "{\"limits\":{\"cost_usd\":0.5}}", true);
    within("{\"limits\":{\"cost_usd\":0.6}}", "{\"limits\":{\"cost_usd\":0.5}}", false);
    within("{}", "{\"limits\":{\"cost_usd\":0.5}}", false);
    within("{\"workspace\":5}", "{\"workspace\":4}", false);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {an_absent_policy_allows_three_tools_and_asks_for_others,
                                  each_verdict_names_its_rule,
                                  a_question_alone_refuses_nothing,
                                  a_request_narrows_a_manifest_and_says_so,
                                  a_wildcard_is_told_as_what_it_comes_to,
                                  a_variable_without_a_value_is_told,
                                  each_limit_says_whose_it_is,
                                  what_is_told_is_what_is_decided,
                                  rows_hold_at_their_edge,
                                  a_long_policy_decides_as_its_rules_say,
                                  a_subset_holds_in_each_part,
                                  a_subset_holds_in_limits,
                                  NULL};
    return sh_suite("policy_explain", tests);
}

SH_TEST_MAIN(suite)
