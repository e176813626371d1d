/* Which scripts get the module beside them, and that old starts are readable. */
#include "check_main.h"
#include "engine/private.h"

#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

START_TEST(a_script_that_names_it_wants_it) {
    static const char *const wanting[] = {"import shannon", "shannon",
                                          "import json, shannon as s\n",
                                          "open('/dev/shannon')\nimport shannon"};

    for (size_t i = 0; i < sizeof(wanting) / sizeof(wanting[0]); i++) {
        ck_assert_msg(sh_pysdk_wanted(sh_str(wanting[i])), "%s", wanting[i]);
    }
}
END_TEST

START_TEST(the_device_alone_is_no_wish_for_it) {
    static const char *const others[] = {"", "print(1)", "open('/dev/shannon', 'r+b')", "shanno",
                                         "/shannon/shannon"};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_msg(!sh_pysdk_wanted(sh_str(others[i])), "%s", others[i]);
    }
    ck_assert(!sh_pysdk_wanted((struct sh_str){0}));
}
END_TEST

START_TEST(its_bytes_say_what_it_is_called) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *name;
    } rows[] = {
        {"", 0, "shannon.py"},
        {"\"\"\"What an agent is written against.\"\"\"\n", 41, "shannon.py"},
        {"a=\r\n    1 # a source", 22, "shannon.py"}, /* whatever its lines end with */
        {"\xcb\r\r\n\1\0\0\0hashhash", 16, "shannon.pyc"},
        {"\xcb\r\r\n\0\0\0\0timesize\xe3", 17, "shannon.pyc"},
        {"\xcb\r\r\n\1\0\0\0hashhas", 15, "shannon.py"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_str_eq(sh_pysdk_name(sh_strn(rows[i].bytes, rows[i].len)), rows[i].name);
    }
}
END_TEST

/* A start with that module, or without one. */
static int parsed(const char *module, struct sh_spec *ret) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:s*, s:s, s:s, s:[s], s:[], s:{}}", "v", 1, "agent", "a",
        "session", "s", "kind", "python", "module", ZERO, "interpreter", ZERO, "python_module",
        module, "script_name", "main.py", "seed", ZERO, "argv", "python", "env", "input");

    *ret = (struct sh_spec){0};
    sh_buf_init(&ret->stdin_bytes, 16);
    return sh_spec_parse(body, 1, ret, &err);
}

START_TEST(a_start_without_it_is_one_of_an_older_version) {
    struct sh_spec spec;

    ck_assert_int_eq(parsed(NULL, &spec), 0);
    ck_assert(!spec.has_python_module);
    sh_spec_done(&spec);
    ck_assert_int_eq(parsed(ZERO, &spec), 0);
    ck_assert(spec.has_python_module);
    sh_spec_done(&spec);
}
END_TEST

START_TEST(a_start_that_names_no_hash_is_corrupt) {
    static const char *const bad[] = {"", "00", "../../etc/passwd", ZERO "0"};
    struct sh_spec spec;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(parsed(bad[i], &spec), -SH_E_CORRUPT);
        sh_spec_done(&spec);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_script_that_names_it_wants_it,       its_bytes_say_what_it_is_called,
        the_device_alone_is_no_wish_for_it,    a_start_without_it_is_one_of_an_older_version,
        a_start_that_names_no_hash_is_corrupt, NULL};
    return sh_suite("engine_pysdk", tests);
}
SH_TEST_MAIN(suite)
