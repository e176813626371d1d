/* What the HTTP library lets through and the checks do not: smuggling shapes, foreign hosts and
 * origins, keys. */
#include "../lib/check_main.h"

#include "http/checks.h"

#define H(name, value) {SH_STR(name), SH_STR(value)}
#define CHECK(...)                                                                                 \
    check((struct sh_header[]){__VA_ARGS__},                                                       \
          sizeof((struct sh_header[]){__VA_ARGS__}) / sizeof(struct sh_header))

static struct sh_err err;

static int check(const struct sh_header *headers, size_t n) {
    err = (struct sh_err){0};
    return sh_check_headers(headers, n, true, &err);
}

START_TEST(ordinary_headers_pass) {
    sh_assert_ok(CHECK(H("Host", "a"), H("Content-Length", "0"), H("X", "a\tb"), H("Accept", "*/*"),
                       H("Accept", "x")),
                 &err);
    sh_assert_ok(CHECK(H("Host", "a"), H("Transfer-Encoding", "Chunked")), &err);
}
END_TEST

START_TEST(smuggling_shapes_are_refused) {
    sh_assert_fails(CHECK(H("Accept", "x")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("host", "a")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Content-Length", "1"), H("content-length", "1")),
                    SH_E_INVAL, &err);
    sh_assert_fails(
        CHECK(H("Host", "a"), H("Content-Length", "1"), H("Transfer-Encoding", "chunked")),
        SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Transfer-Encoding", "xchunked")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Transfer-Encoding", "gzip, chunked")), SH_E_INVAL,
                    &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Content-Length", "+1")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Content-Length", "")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Content-Length", "1,1")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("X", "a\0b")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("X", "a\r\n b")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("X ", "a")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("", "a")), SH_E_INVAL, &err);
    sh_assert_fails(CHECK(H("Host", "a"), H("Authorization", "a"), H("Authorization", "b")),
                    SH_E_INVAL, &err);
}
END_TEST

static struct sh_door_rules rules = {.host = "127.0.0.1", .port = 8765};

static int host(const char *text) {
    return sh_check_host(&rules, sh_str(text), &err);
}

static int origin(const char *text) {
    return sh_check_origin(&rules, sh_str(text), &err);
}

START_TEST(only_our_own_host_is_served) {
    sh_assert_ok(host("127.0.0.1:8765"), &err);
    sh_assert_ok(host("localhost:8765"), &err);
    sh_assert_ok(host("[::1]:8765"), &err);
    static const char *const foreign[] = {
        "evil.example",    "evil.example:8765", "127.0.0.1", "127.0.0.1:80",
        "localhost:87650", "localhost.:8765",   "",          "127.0.0.1:8765 "};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        sh_assert_fails(host(foreign[i]), SH_E_DENIED, &err);
    }
    rules.hosts = json_pack("[s]", "box.lan:8765");
    sh_assert_ok(host("box.lan:8765"), &err);
    rules.host = "0.0.0.0";
    sh_assert_fails(host("localhost:8765"), SH_E_DENIED, &err);
    json_decref((json_t *)(uintptr_t)rules.hosts);
}
END_TEST

START_TEST(only_known_origins_are_served) {
    rules.origins = json_pack("[s]", "tauri://localhost");
    sh_assert_ok(origin(""), &err);
    sh_assert_ok(origin("http://127.0.0.1:8765"), &err);
    sh_assert_ok(origin("http://localhost:8765"), &err);
    sh_assert_ok(origin("tauri://localhost"), &err);
    static const char *const foreign[] = {"null",
                                          "http://evil.example",
                                          "http://127.0.0.1:8766",
                                          "https://127.0.0.1:8765",
                                          "tauri://localhost.evil",
                                          "http://127.0.0.1:8765.evil",
                                          "http://"};
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        sh_assert_fails(origin(foreign[i]), SH_E_DENIED, &err);
    }
    json_decref((json_t *)(uintptr_t)rules.origins);
    rules.origins = json_pack("[s]", "null");
    sh_assert_fails(origin("null"), SH_E_DENIED, &err);
    json_decref((json_t *)(uintptr_t)rules.origins);
}
END_TEST

static int key(const char *authorization, const char *header, const char *query, bool stream) {
    struct sh_credentials c = {authorization, header, query, NULL};
    return sh_check_key(&c, "secret", stream, &err);
}

START_TEST(keys_are_taken_where_they_may_stand) {
    sh_assert_ok(key("Bearer secret", NULL, NULL, false), &err);
    sh_assert_ok(key("bearer  secret", NULL, NULL, false), &err);
    sh_assert_ok(key(NULL, "secret", NULL, false), &err);
    sh_assert_ok(key(NULL, NULL, "secret", true), &err);
    sh_assert_fails(key(NULL, NULL, "secret", false), SH_E_AUTH, &err);
    sh_assert_fails(key(NULL, NULL, NULL, true), SH_E_AUTH, &err);
    sh_assert_fails(key("Basic secret", NULL, NULL, false), SH_E_AUTH, &err);
    sh_assert_fails(key("Bearer secre", NULL, NULL, false), SH_E_AUTH, &err);
    sh_assert_fails(key("Bearer secrets", "", NULL, false), SH_E_AUTH, &err);
    ck_assert_ptr_null(strstr(err.message, "secrets"));
}
END_TEST

START_TEST(the_key_of_mcp_is_taken_in_headers_and_is_never_absent) {
    struct sh_credentials bearer = {.authorization = "Bearer secret"};
    struct sh_credentials header = {.api_key = "secret"};
    struct sh_credentials query = {.query_api_key = "secret", .query_token = "secret"};
    struct sh_credentials none = {0};
    sh_assert_ok(sh_check_mcp_key(&bearer, "secret", &err), &err);
    sh_assert_ok(sh_check_mcp_key(&header, "secret", &err), &err);
    sh_assert_fails(sh_check_mcp_key(&query, "secret", &err), SH_E_AUTH, &err);
    sh_assert_fails(sh_check_mcp_key(&none, "secret", &err), SH_E_AUTH, &err);
    sh_assert_fails(sh_check_mcp_key(&bearer, NULL, &err), SH_E_AUTH, &err);
    sh_assert_fails(sh_check_mcp_key(&none, NULL, &err), SH_E_AUTH, &err);
}
END_TEST

START_TEST(resume_ids_are_digits_or_nothing) {
    ck_assert_uint_eq(sh_resume_after("17"), 17);
    ck_assert_uint_eq(sh_resume_after("18446744073709551615"), UINT64_MAX);
    ck_assert_uint_eq(sh_resume_after("18446744073709551616"), 0);
    ck_assert_uint_eq(sh_resume_after("1-0"), 0);
    ck_assert_uint_eq(sh_resume_after(""), 0);
    ck_assert_uint_eq(sh_resume_after(NULL), 0);
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = ordinary_headers_pass;
    tests[n++] = smuggling_shapes_are_refused;
    tests[n++] = only_our_own_host_is_served;
    tests[n++] = only_known_origins_are_served;
    tests[n++] = keys_are_taken_where_they_may_stand;
    tests[n++] = the_key_of_mcp_is_taken_in_headers_and_is_never_absent;
    tests[n++] = resume_ids_are_digits_or_nothing;
    return sh_suite("api_checks", tests);
}

SH_TEST_MAIN(suite)
