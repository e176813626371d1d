/* The table of tools, and the check of arguments against its schemas. */
#include "lib/check_main.h"

#include "tools/schema.h"
#include "tools/tools.h"

static json_t *json(const char *text) {
    json_t *v = NULL;
    struct sh_err err = {0};
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &v, &err), &err);
    return v;
}

static void accepts(const char *op, const char *args) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *v = json(args);
    sh_assert_ok(sh_tool_check(sh_tool_find(sh_str(op)), v, &err), &err);
}

static void refuses(const char *op, const char *args, const char *says) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *v = json(args);
    sh_assert_fails(sh_tool_check(sh_tool_find(sh_str(op)), v, &err), SH_E_INVAL, &err);
    ck_assert_msg(strstr(err.message, says) != NULL, "%s: \"%s\" lacks \"%s\"", args, err.message,
                  says);
}

START_TEST(the_table_is_sorted_and_found_by_name) {
    const struct sh_tool *const *list = sh_tools_list();
    for (size_t i = 0; list[i]; i++) {
        ck_assert_ptr_eq(sh_tool_find(sh_str(list[i]->name)), list[i]);
        ck_assert(i == 0 || strcmp(list[i - 1]->name, list[i]->name) < 0);
        ck_assert(list[i]->description && list[i]->category);
        sh_auto(sh_json_done) json_t *args = json(list[i]->args_schema);
        sh_auto(sh_json_done) json_t *result = json(list[i]->result_schema);
        sh_schema_assert_known(args);
        sh_schema_assert_known(result);
    }
    ck_assert_ptr_null(sh_tool_find(SH_STR("llmx")));
    ck_assert_ptr_null(sh_tool_find((struct sh_str){0}));
    ck_assert_str_eq(sh_tool_find(SH_STR("kv.get"))->capability, "kv");
    ck_assert_ptr_null(sh_tool_find(SH_STR("sleep"))->capability);
}
END_TEST

START_TEST(good_arguments_are_accepted) {
    accepts("calculator", "{\"expression\":\"1\"}");
    accepts("llm", "{\"messages\":[{\"role\":\"user\",\"content\":\"hi\",\"extra\":1}],"
                   "\"temperature\":0,\"seed\":-5,\"stop\":[\"x\"]}");
    accepts("llm", "{\"messages\":[{\"role\":\"assistant\",\"content\":null}],\"retry\":"
                   "{\"attempts\":3,\"backoff_ms\":0},\"timeout_ms\":5,\"at_most_once\":true}");
    accepts("sleep", "{\"ms\":0}");
    accepts("sleep", "{\"seconds\":0.5,\"timeout_ms\":1}");
    accepts("sleep", "{\"until\":\"2026-01-31T12:00:00Z\"}");
    accepts("sleep", "{\"until\":1}");
    accepts("kv.get", "{\"key\":\"a\"}");
    accepts("kv.put", "{\"key\":\"a\",\"value\":null}");
    accepts("input", "{}");
    accepts("output", "{\"value\":[1]}");
    accepts("emit", "{\"type\":\"t\"}");
    accepts("publish", "{\"name\":\"n\",\"data\":{}}");
}
END_TEST

START_TEST(wrong_arguments_name_the_member) {
    refuses("calculator", "[]", "calculator: expected object, not array");
    refuses("calculator", "{}", "calculator: expected a member \"expression\"");
    refuses("calculator", "{\"expression\":1}", "calculator.expression: expected string, not 1");
    refuses("calculator", "{\"expresion\":\"1\"}", "\"expression\"");
    refuses("llm", "{\"messages\":[]}", "llm.messages: expected at least 1 items, not 0");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"},{\"role\":\"boss\"}]}",
            "llm.messages[1].role: expected one of \"system\"");
    refuses("llm", "{\"messages\":[{\"role\":\"user\",\"content\":5}]}",
            "llm.messages[0].content: expected string or array or null, not 5");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"}],\"temperature\":2.5}",
            "llm.temperature: expected at most 2, not 2.5");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"}],\"max_tokens\":0}", "at least 1, not 0");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"}],\"max_tokens\":1.5}", "expected integer");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"}],\"stream\":true}", "\"stream\"");
    refuses("llm", "{\"messages\":[{\"role\":\"user\"}],\"retry\":{\"max\":1}}", "max");
    refuses("sleep", "{}", "at least 1 members, not 0");
    refuses("sleep", "{\"ms\":1,\"seconds\":1}", "at most 1 members, not 2");
    refuses("sleep", "{\"ms\":-1}", "sleep.ms: expected at least 0, not -1");
    refuses("sleep", "{\"ms\":1,\"timeout_ms\":0}", "timeout_ms");
    refuses("kv.get", "{\"key\":\"\"}", "at least 1 characters, not 0");
    refuses("kv.put", "{\"key\":\"a\"}", "\"value\"");
    refuses("input", "{\"x\":1}", "\"x\"");
}
END_TEST

START_TEST(lengths_count_characters_at_their_edge) {
    for (size_t n = 512; n <= 513; n++) {
        struct sh_buf b;
        sh_buf_init(&b, SH_KIB * 4);
        sh_buf_adds(&b, "{\"key\":\"");
        for (size_t i = 0; i < n; i++) {
            sh_buf_adds(&b, "\xc3\xa4");
        }
        sh_buf_adds(&b, "\"}");
        if (n == 512) {
            accepts("kv.get", b.p);
        } else {
            refuses("kv.get", b.p, "at most 512 characters, not 513");
        }
        sh_buf_done(&b);
    }
}
END_TEST

START_TEST(a_long_member_path_is_cut_and_stays_text) {
    sh_auto(sh_json_done) json_t *schema =
        json("{\"type\":\"object\",\"properties\":{"
             "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
             "aaaaaaaaa"
             "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":{\"type\":"
             "\"array\","
             "\"items\":{\"type\":\"integer\"}}}}");
    sh_auto(sh_json_done) json_t *value = json_object();
    const char *key = json_object_iter_key(json_object_iter(json_object_get(schema, "properties")));
    json_object_set_new(value, key, json("[\"x\"]"));
    struct sh_err err = {0};
    sh_assert_fails(sh_schema_check(schema, value, "args", &err), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "expected integer"));
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        the_table_is_sorted_and_found_by_name,    good_arguments_are_accepted,
        wrong_arguments_name_the_member,          lengths_count_characters_at_their_edge,
        a_long_member_path_is_cut_and_stays_text, NULL};
    return sh_suite("tools_tools", tests);
}

SH_TEST_MAIN(suite)
