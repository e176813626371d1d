/* Reading capabilities strictly, and writing them so that reading gives the same again. */
#include "lib/check_main.h"

#include "policy/policy.h"

static json_t *json(const char *text) {
    json_t *v = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &v, &err), &err);
    return v;
}

static int parse(const char *text, struct sh_capabilities *ret, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *doc = json(text);
    return sh_capabilities_parse(doc, "/home/ann", "/srv/base", ret, err);
}

static void refused(const char *text, const char *says) {
    struct sh_capabilities c = {0};
    struct sh_err err = {0};
    int r = parse(text, &c, &err);
    ck_assert_msg(r < 0, "accepted: %s", text);
    ck_assert_msg(strstr(err.message, says) != NULL, "%s: \"%s\" lacks \"%s\"", text, err.message,
                  says);
}

static void dumps(const char *text, const char *want) {
    struct sh_capabilities c = {0};
    struct sh_capabilities again = {0};
    struct sh_err err = {0};
    sh_assert_ok(parse(text, &c, &err), &err);
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(&c);
    sh_auto(sh_free_p) char *got = sh_json_text(doc);
    ck_assert_str_eq(got, want);
    sh_assert_ok(sh_capabilities_parse(doc, NULL, NULL, &again, &err), &err);
    sh_auto(sh_json_done) json_t *doc2 = sh_capabilities_json(&again);
    sh_auto(sh_free_p) char *got2 = sh_json_text(doc2);
    ck_assert_str_eq(got, got2);
    sh_capabilities_done(&c);
    sh_capabilities_done(&again);
}

START_TEST(every_member_survives_a_round_trip) {
    dumps("{}", "{}");
    dumps("{\"capabilities\":{\"tools\":[]}}", "{\"tools\":[]}");
    dumps("{\"tools\":[\"llm\",\"kv\",\"llm\",\"mcp:files/*\"],\"workspace\":\"1KiB\"}",
          "{\"tools\":[\"kv\",\"llm\",\"mcp:files/*\"],\"workspace\":1024}");
    dumps("{\"env\":{\"LANG\":\"C.UTF-8\",\"TERM\":true}}",
          "{\"env\":{\"LANG\":\"C.UTF-8\",\"TERM\":true}}");
    dumps(
        "{\"limits\":{\"fuel\":10,\"memory\":\"1MiB\",\"wall_clock\":\"1.5s\",\"cost_usd\":1}}",
        "{\"limits\":{\"cost_usd\":1.0,\"fuel\":10,\"memory\":1048576,\"wall_clock\":\"1500ms\"}}");
    dumps("{\"network\":[{\"scheme\":\"https\",\"host\":\"*.x.org\",\"path\":\"/wiki/*\","
          "\"methods\":[\"POST\",\"GET\"]}]}",
          "{\"network\":[{\"host\":\"*.x.org\",\"methods\":[\"GET\",\"POST\"],"
          "\"path\":\"/wiki/*\",\"port\":443,\"scheme\":\"https\"}]}");
    dumps("{\"network\":[{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":\"5000-5999\"},"
          "{\"scheme\":\"http\",\"host\":\"a\",\"port\":\"*\"},"
          "{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":\"7-7\"}]}",
          "{\"network\":[{\"host\":\"a\",\"port\":\"5000-5999\",\"scheme\":\"tcp\"},"
          "{\"host\":\"a\",\"port\":\"*\",\"scheme\":\"http\"},"
          "{\"host\":\"a\",\"port\":7,\"scheme\":\"tcp\"}]}");
    dumps("{\"filesystem\":[{\"host\":\"~/notes//a/./b/\",\"guest\":\".\"}]}",
          "{\"filesystem\":[{\"dir_perms\":[\"read\"],\"file_perms\":[\"read\"],\"guest\":\"/\","
          "\"host\":\"/home/ann/notes/a/b\"}]}");
    dumps("{\"filesystem\":[{\"host\":\"data\",\"guest\":\"/d\",\"dir_perms\":[\"write\","
          "\"read\"]}],\"required\":[\"/d\"]}",
          "{\"filesystem\":[{\"bytes\":1073741824,\"dir_perms\":[\"read\",\"write\"],"
          "\"file_perms\":[\"read\"],\"guest\":\"/d\",\"host\":\"/srv/base/data\"}],"
          "\"required\":[\"/d\"]}");
    dumps("{\"filesystem\":[{\"host\":\"/\",\"capture\":\"1GiB\"}]}",
          "{\"filesystem\":[{\"capture\":1073741824,\"dir_perms\":[\"read\"],"
          "\"file_perms\":[\"read\"],\"guest\":\"/\",\"host\":\"/\"}]}");
    dumps("{\"filesystem\":[{\"host\":\"/\",\"capture\":0}]}",
          "{\"filesystem\":[{\"capture\":0,\"dir_perms\":[\"read\"],"
          "\"file_perms\":[\"read\"],\"guest\":\"/\",\"host\":\"/\"}]}");
    dumps("{\"filesystem\":[{\"host\":\"/\",\"capture\":\"16MiB\"}]}",
          "{\"filesystem\":[{\"dir_perms\":[\"read\"],\"file_perms\":[\"read\"],\"guest\":\"/\","
          "\"host\":\"/\"}]}");
    dumps("{\"filesystem\":[{\"host\":\"/\"}]}",
          "{\"filesystem\":[{\"dir_perms\":[\"read\"],\"file_perms\":[\"read\"],\"guest\":\"/\","
          "\"host\":\"/\"}]}");
}
END_TEST

START_TEST(unknown_members_are_refused_with_the_nearest) {
    refused("{\"tool\":[]}", "\"tools\"");
    refused("{\"limits\":{\"memroy\":1}}", "\"memory\"");
    refused("{\"filesystem\":[{\"hots\":\"/a\"}]}", "\"host\"");
    refused("{\"network\":[{\"schema\":\"https\"}]}", "\"scheme\"");
}
END_TEST

START_TEST(wrong_types_and_values_name_the_member) {
    refused("[]", "capabilities: expected an object, not an array");
    refused("{\"tools\":\"llm\"}", "tools: expected an array");
    refused("{\"tools\":[\"a b\"]}", "not \"a b\"");
    refused("{\"tools\":[\"ll*\"]}", "not \"ll*\"");
    refused("{\"tools\":[\"mcp:a/b/*\"]}", "tools");
    refused("{\"tools\":[\"mcp:/*\"]}", "tools");
    refused("{\"env\":{\"A=B\":\"x\"}}", "A=B");
    refused("{\"env\":{\"A\":1}}", "env.A: expected a string without NUL, or true, not an integer");
    refused("{\"env\":{\"A\":false}}", "env.A");
    refused("{\"filesystem\":[{\"guest\":\"/a\"}]}", "filesystem[0].host");
    refused("{\"filesystem\":[{\"host\":\"/a/../b\",\"guest\":\"/a\"}]}", "filesystem[0].host");
    refused("{\"filesystem\":[{\"host\":\"~bob/x\"}]}", "filesystem[0].host");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"a\"}]}", "filesystem[0].guest");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/dev/x\"}]}", "devices");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/net\"}]}", "devices");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"guest\":\"/x\"},"
            "{\"host\":\"/b\",\"guest\":\"/x/.\"}]}",
            "filesystem[1].guest: \"/x\" is taken by filesystem[0]");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"dir_perms\":[\"exec\"]}]}", "\"read\" or");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"dir_perms\":[\"read\",\"read\"]}]}", "each once");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"bytes\":5}]}", "bytes");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"capture\":1073741825}]}", "at most 1 GiB");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"capture\":-1}]}", "capture");
    refused("{\"filesystem\":[{\"host\":\"/a\",\"capture\":\"much\"}]}", "capture");
    refused("{\"network\":[{\"scheme\":\"ftp\",\"host\":\"a\"}]}", "network[0].scheme");
    refused("{\"network\":[{\"scheme\":\"tcp\",\"host\":\"a\"}]}", "network[0].port");
    static const char *const ports[] = {"",     "x",   "-",       "1-",    "-2",
                                        "2-1",  "0-9", "1-65536", "1-2-3", " 1-2",
                                        "1-2 ", "**",  "1,2",     "80",    "1-9999999999999999",
                                        "+1-2", "*-*"};
    for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text),
                 "{\"network\":[{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":\"%s\"}]}", ports[i]);
        refused(text, "network[0].port: expected an integer from 1 to 65535, \"FIRST-LAST\"");
    }
    refused("{\"network\":[{\"scheme\":\"tcp\",\"host\":\"a\",\"port\":1,\"path\":\"/\"}]}",
            "path");
    refused("{\"network\":[{\"scheme\":\"https\",\"host\":\"A.org\"}]}", "lower-case");
    refused("{\"network\":[{\"scheme\":\"https\",\"host\":\"a.*\"}]}", "host");
    refused("{\"network\":[{\"scheme\":\"https\",\"host\":\"a\",\"path\":\"/a/../b\"}]}", "path");
    refused("{\"network\":[{\"scheme\":\"https\",\"host\":\"a\",\"path\":\"/a*b\"}]}", "path");
    refused("{\"network\":[{\"scheme\":\"https\",\"host\":\"a\",\"methods\":[\"get\"]}]}",
            "capitals");
    refused("{\"required\":[\"llm\"]}", "required: \"llm\"");
    refused("{\"workspace\":0}", "workspace");
}
END_TEST

static void limit(const char *member, const char *at, const char *past) {
    sh_auto(sh_free_p) char *good = sh_asprintf("{\"limits\":{\"%s\":%s}}", member, at);
    sh_auto(sh_free_p) char *bad = sh_asprintf("{\"limits\":{\"%s\":%s}}", member, past);
    struct sh_capabilities c = {0};
    struct sh_err err = {0};
    sh_assert_ok(parse(good, &c, &err), &err);
    sh_capabilities_done(&c);
    refused(bad, member);
}

START_TEST(limits_hold_at_their_edges) {
    limit("fuel", "1", "0");
    limit("fuel", "4611686018427387904", "4611686018427387905");
    limit("memory", "\"4GiB\"", "4294967297");
    limit("parallel_activities", "256", "257");
    limit("activities", "2147483646", "2147483647");
    limit("wall_clock", "\"1ms\"", "\"0ms\"");
    limit("wall_clock", "\"10m\"", "600000");
    limit("cost_usd", "0.000001", "0");
    limit("cost_usd", "1000000000", "1000000001");
    limit("tokens", "1", "-1");
}
END_TEST

/* n entries made by `entry` (given their number), inside `before` ... `after`. */
static char *many(const char *before, const char *entry, const char *after, size_t n) {
    struct sh_buf b;
    sh_buf_init(&b, SH_MIB);
    sh_buf_adds(&b, before);
    for (size_t i = 0; i < n; i++) {
        sh_auto(sh_free_p) char *number = sh_asprintf("%zu", i);
        sh_buf_adds(&b, i ? "," : "");
        for (const char *p = entry; *p; p++) {
            if (*p == '#') {
                sh_buf_adds(&b, number);
            } else {
                sh_buf_addc(&b, *p);
            }
        }
    }
    sh_buf_adds(&b, after);
    return sh_buf_take(&b);
}

START_TEST(counts_hold_at_their_edges) {
    static const struct {
        const char *before, *entry, *after;
        size_t most;
    } rows[] = {
        {"{\"tools\":[", "\"t#\"", "]}", SH_CAPABILITY_ITEMS_MAX},
        {"{\"env\":{", "\"E#\":\"x\"", "}}", SH_CAPABILITY_ITEMS_MAX},
        {"{\"network\":[", "{\"scheme\":\"http\",\"host\":\"h#\"}", "]}", SH_CAPABILITY_ITEMS_MAX},
        {"{\"filesystem\":[", "{\"host\":\"/h#\"}", "]}", SH_MOUNTS_MAX},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_capabilities c = {0};
        struct sh_err err = {0};
        sh_auto(sh_free_p) char *at =
            many(rows[i].before, rows[i].entry, rows[i].after, rows[i].most);
        sh_auto(sh_free_p) char *past =
            many(rows[i].before, rows[i].entry, rows[i].after, rows[i].most + 1);
        sh_assert_ok(parse(at, &c, &err), &err);
        sh_capabilities_done(&c);
        sh_assert_fails(parse(past, &c, &err), SH_E_LIMIT, &err);
    }
}
END_TEST

/* Names and values together, with their "=" and NUL. */
START_TEST(variables_hold_at_their_bytes) {
    for (size_t over = 0; over < 2; over++) {
        sh_auto(sh_json_done) json_t *env = json_object(), *doc = json_object();
        sh_auto(sh_buf_done) struct sh_buf value = {0};
        struct sh_capabilities c = {0};
        struct sh_err err = {0};

        sh_buf_init(&value, SH_MIB);
        while (value.len < SH_ARGS_BYTES_MAX - strlen("NAME=") - 1 + over) {
            sh_buf_addc(&value, 'x');
        }
        json_object_set_new(env, "NAME", json_stringn(value.p, value.len));
        json_object_set(doc, "env", env);
        if (over) {
            sh_assert_fails(sh_capabilities_parse(doc, "/h", "/b", &c, &err), SH_E_LIMIT, &err);
            ck_assert_ptr_nonnull(strstr(err.message, "env: 131073 bytes"));
        } else {
            sh_assert_ok(sh_capabilities_parse(doc, "/h", "/b", &c, &err), &err);
        }
        sh_capabilities_done(&c);
    }
}
END_TEST

START_TEST(a_path_holds_at_its_edge) {
    for (size_t n = SH_PATH_MAX - 1; n <= SH_PATH_MAX; n++) {
        struct sh_capabilities c = {0};
        struct sh_err err = {0};
        sh_auto(sh_free_p) char *path = sh_zalloc(n + 1);
        memset(path, 'a', n);
        path[0] = '/';
        sh_auto(sh_free_p) char *text = sh_asprintf("{\"filesystem\":[{\"host\":\"%s\"}]}", path);
        int r = parse(text, &c, &err);
        ck_assert_int_eq(r, n < SH_PATH_MAX ? 0 : -SH_E_INVAL);
        sh_capabilities_done(&c);
    }
}
END_TEST

START_TEST(home_and_base_may_be_unknown) {
    struct sh_capabilities c = {0};
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *home = json("{\"filesystem\":[{\"host\":\"~/x\"}]}");
    sh_auto(sh_json_done) json_t *relative = json("{\"filesystem\":[{\"host\":\"x\"}]}");
    sh_assert_fails(sh_capabilities_parse(home, NULL, "/b", &c, &err), SH_E_INVAL, &err);
    sh_assert_fails(sh_capabilities_parse(relative, "/h", NULL, &c, &err), SH_E_INVAL, &err);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {every_member_survives_a_round_trip,
                                  unknown_members_are_refused_with_the_nearest,
                                  wrong_types_and_values_name_the_member,
                                  limits_hold_at_their_edges,
                                  counts_hold_at_their_edges,
                                  a_path_holds_at_its_edge,
                                  variables_hold_at_their_bytes,
                                  home_and_base_may_be_unknown,
                                  NULL};
    return sh_suite("policy_capabilities", tests);
}

SH_TEST_MAIN(suite)
