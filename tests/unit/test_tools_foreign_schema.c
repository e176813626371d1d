/* Schemas that others wrote: what fits, what does not and where, and schemas made to hurt. */
#include "lib/check_main.h"

#include "tools/foreign_schema.h"

static int check(const char *schema, const char *value, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *s = NULL;
    sh_auto(sh_json_done) json_t *v = NULL;
    sh_assert_ok(sh_json_parse(sh_str(schema), SH_MIB, &s, err), err);
    sh_assert_ok(sh_json_parse(sh_str(value), SH_MIB, &v, err), err);
    return sh_foreign_schema_check(s, v, "v", err);
}

START_TEST(what_fits_and_what_does_not) {
    static const struct {
        const char *schema, *good, *bad, *says;
    } rows[] = {
        {"{\"type\":\"integer\"}", "1.0", "1.5", "v: expected integer"},
        {"{\"type\":[\"string\",\"null\"]}", "null", "1", "another type"},
        {"{\"enum\":[1,\"a\"]}", "\"a\"", "2", "listed"},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[1]}", "{}", "one value"},
        {"{\"required\":[\"a\"]}", "{\"a\":0}", "{}", "v.a: expected a value"},
        {"{\"properties\":{\"a\":{\"type\":\"string\"}},\"additionalProperties\":false}",
         "{\"a\":\"\"}", "{\"b\":1}", "v.b: expected no such member"},
        {"{\"additionalProperties\":{\"type\":\"number\"}}", "{\"x\":1}", "{\"x\":\"\"}",
         "v.x: expected number"},
        {"{\"items\":{\"type\":\"number\"},\"maxItems\":2}", "[1,2]", "[1,\"a\"]",
         "v[1]: expected number"},
        {"{\"items\":{\"type\":\"number\"},\"maxItems\":2}", "[]", "[1,2,3]",
         "at most 2 items, not 3"},
        {"{\"prefixItems\":[{\"type\":\"string\"}],\"items\":false}", "[\"a\"]", "[\"a\",1]",
         "v[1]"},
        {"{\"uniqueItems\":true}", "[1,2]", "[1,2,1]", "differ"},
        {"{\"minimum\":1,\"exclusiveMaximum\":3}", "2.9", "3", "less than 3"},
        {"{\"minLength\":2}", "\"\xc3\xa4\xc3\xb6\"", "\"\xc3\xa4\"", "at least 2 characters"},
        {"{\"minProperties\":1}", "{\"a\":1}", "{}", "at least 1 members"},
        {"{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":5}]}", "7", "3", "one of several"},
        {"{\"oneOf\":[{\"minimum\":1},{\"minimum\":5}]}", "3", "7", "exactly one"},
        {"{\"allOf\":[{\"minimum\":1},{\"maximum\":5}]}", "3", "7", "at most 5"},
        {"{\"not\":{\"type\":\"string\"}}", "1", "\"\"", "does not fit"},
        {"{\"$ref\":\"#/$defs/a~1b\",\"$defs\":{\"a/b\":{\"type\":\"string\"}}}", "\"\"", "1",
         "string"},
        {"{\"$defs\":{\"t\":{\"properties\":{\"l\":{\"$ref\":\"#/$defs/t\"}},"
         "\"additionalProperties\":false}},\"$ref\":\"#/$defs/t\"}",
         "{\"l\":{\"l\":{}}}", "{\"l\":{\"l\":{\"x\":1}}}", "v.l.l.x"},
        {"false", "1", "1", "nothing"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sh_err err = {0};
        if (strcmp(rows[i].good, rows[i].bad) != 0) {
            ck_assert_msg(check(rows[i].schema, rows[i].good, &err) == 0, "%s: %s", rows[i].schema,
                          err.message);
        }
        ck_assert_msg(check(rows[i].schema, rows[i].bad, &err) == -SH_E_INVAL, "%s",
                      rows[i].schema);
        ck_assert_msg(strstr(err.message, rows[i].says) != NULL, "%s: %s", rows[i].schema,
                      err.message);
    }
}
END_TEST

START_TEST(words_of_a_wrong_type_count_as_absent) {
    static const char *const schemas[] = {"1",
                                          "[]",
                                          "\"x\"",
                                          "{\"type\":1}",
                                          "{\"type\":[1,2,\"number\"]}",
                                          "{\"enum\":1}",
                                          "{\"required\":1}",
                                          "{\"required\":[1,{}]}",
                                          "{\"properties\":[]}",
                                          "{\"properties\":{\"a\":7}}",
                                          "{\"items\":1}",
                                          "{\"minimum\":\"x\"}",
                                          "{\"maxItems\":{}}",
                                          "{\"anyOf\":1}",
                                          "{\"allOf\":[1,null,\"a\"]}",
                                          "{\"$ref\":1}",
                                          "{\"$ref\":\"\"}",
                                          "{\"$ref\":\"http://x/\"}",
                                          "{\"$ref\":\"#/no/such\"}",
                                          "{\"$ref\":\"#nothing\"}",
                                          "{\"pattern\":\"(a+)+$\",\"format\":\"email\"}",
                                          NULL};
    for (size_t i = 0; schemas[i]; i++) {
        struct sh_err err = {0};
        ck_assert_msg(check(schemas[i], "1", &err) == 0, "%s: %s", schemas[i], err.message);
    }
}
END_TEST

START_TEST(schemas_made_to_hurt_end_by_their_limit) {
    struct sh_err err = {0};
    ck_assert_int_eq(check("{\"$ref\":\"#\"}", "1", &err), -SH_E_LIMIT);
    ck_assert_int_eq(check("{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}", "1", &err),
                     -SH_E_LIMIT);
    sh_auto(sh_buf_done) struct sh_buf list = {0};
    sh_buf_init(&list, SH_MIB);
    sh_buf_adds(&list, "[0");
    for (int i = 1; i < 5000; i++) {
        sh_buf_addf(&list, ",%d", i);
    }
    sh_buf_adds(&list, "]");
    ck_assert_int_eq(check("{\"uniqueItems\":true}", list.p, &err), -SH_E_LIMIT);
    ck_assert_int_eq(
        check("{\"items\":{\"anyOf\":[{\"type\":\"string\"},{\"minimum\":0}]}}", list.p, &err), 0);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {what_fits_and_what_does_not,
                                  words_of_a_wrong_type_count_as_absent,
                                  schemas_made_to_hurt_end_by_their_limit, NULL};
    return sh_suite("tools_foreign_schema", tests);
}

SH_TEST_MAIN(suite)
