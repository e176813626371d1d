/* The op http against a real server on loopback: what leaves, what comes back, and what never
 * leaves: other hosts, hidden addresses, injected headers, redirects to where no rule goes. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

#include <arpa/inet.h>

#define SECRET "tok-very-secret"

static const char *const script =
    "{\"/"
    "ok\":{\"body\":\"hello\",\"headers\":{\"X-A\":[\"1\",\"2\"],\"Set-Cookie\":[\"a=1\",\"b=2\"]}}"
    ","
    "\"/echo\":{\"echo\":true},"
    "\"/v1/echo\":{\"echo\":true},"
    "\"/binary\":{\"body_base64\":\"/wD+\"},"
    "\"/big\":{\"body\":\"0123456789\",\"repeat\":1000},"
    "\"/chunks\":{\"chunked\":[\"0123456789\",\"0123456789\"]},"
    "\"/teapot\":{\"status\":418,\"body\":\"short and stout\"},"
    "\"/cut\":{\"body\":\"0123456789\",\"cut\":3},"
    "\"/to-ok\":{\"status\":302,\"headers\":{\"Location\":\"/ok\"}},"
    "\"/v1/away\":{\"status\":302,\"headers\":{\"Location\":\"http://localhost:${PORT}/echo\"}},"
    "\"/to-metadata\":{\"status\":302,\"headers\":{\"Location\":\"http://169.254.169.254/"
    "latest\"}},"
    "\"/to-decimal\":{\"status\":301,\"headers\":{\"Location\":\"http://2852039166/\"}},"
    "\"/to-file\":{\"status\":302,\"headers\":{\"Location\":\"file:///etc/passwd\"}},"
    "\"/to-user\":{\"status\":302,\"headers\":{\"Location\":\"http://a:b@127.0.0.1:${PORT}/ok\"}},"
    "\"/loop\":{\"status\":302,\"headers\":{\"Location\":\"/loop\"}},"
    "\"/secret\":{\"body\":\"you sent " SECRET " to us\",\"headers\":{\"X-Echo\":\"" SECRET "\"}}}";

static const char *text_of(const struct web *w, const char *member) {
    const char *s = json_string_value(json_object_get(web_good(w), member));
    ck_assert_msg(s != NULL, "no %s", member);
    return s;
}

START_TEST(an_answer_has_status_headers_and_body) {
    struct web w;
    web_begin(&w, script);
    web_call(&w, "http", "{\"url\":\"%s/ok#part\"}");
    ck_assert_int_eq(sh_json_get_int(web_good(&w), "status", 0), 200);
    ck_assert_str_eq(text_of(&w, "body"), "hello");
    ck_assert_ptr_null(strchr(text_of(&w, "url"), '#'));
    const json_t *headers = json_object_get(w.result, "headers");
    sh_assert_str(sh_json_get_str(headers, "x-a"), "1, 2");
    sh_assert_str(sh_json_get_str(headers, "set-cookie"), "a=1\nb=2");
    web_call(&w, "http", "{\"url\":\"%s/teapot\"}");
    ck_assert_int_eq(sh_json_get_int(web_good(&w), "status", 0), 418);
    web_call(&w, "http", "{\"url\":\"%s/binary\"}");
    ck_assert_str_eq(text_of(&w, "body_base64"), "/wD+");
    web_call(&w, "http", "{\"url\":\"%s/ok\",\"method\":\"HEAD\"}");
    ck_assert_str_eq(text_of(&w, "body"), "");
    web_end(&w);
}
END_TEST

START_TEST(what_was_asked_is_what_is_sent) {
    struct web w;
    web_begin(&w, script);
    web_call(&w, "http",
             "{\"url\":\"%s/echo?q=1\",\"method\":\"POST\",\"body\":{\"a\":[1]},"
             "\"headers\":{\"X-One\":\"1\",\"X-Empty\":\"\"}}");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *headers = json_object_get(json_array_get(log, 0), "headers");
    sh_assert_str(sh_json_get_str(json_array_get(log, 0), "body"), "{\"a\":[1]}");
    sh_assert_str(sh_json_get_str(json_array_get(log, 0), "path"), "/echo?q=1");
    sh_assert_str(sh_json_get_str(headers, "content-type"), "application/json");
    sh_assert_str(sh_json_get_str(headers, "idempotency-key"), "wf-1:0");
    sh_assert_str(sh_json_get_str(headers, "x-one"), "1");
    ck_assert_ptr_null(json_object_get(headers, "authorization"));
    web_call(&w, "http",
             "{\"url\":\"%s/echo\",\"method\":\"PUT\",\"body_base64\":\"aGk=\","
             "\"headers\":{\"idempotency-key\":\"mine\"}}");
    sh_auto(sh_json_done) json_t *more = web_log(&w);
    sh_assert_str(sh_json_get_str(json_array_get(more, 1), "body"), "hi");
    sh_assert_str(
        sh_json_get_str(json_object_get(json_array_get(more, 1), "headers"), "idempotency-key"),
        "mine");
    web_end(&w);
}
END_TEST

START_TEST(unsafe_methods_are_made_once_unless_they_say_otherwise) {
    const struct sh_tool *t = sh_tool_find(SH_STR("http"));
    static const struct {
        const char *args;
        bool once;
    } rows[] = {{"{}", false},
                {"{\"method\":\"GET\"}", false},
                {"{\"method\":\"PUT\"}", false},
                {"{\"method\":\"DELETE\"}", false},
                {"{\"method\":\"POST\"}", true},
                {"{\"method\":\"PATCH\"}", true}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sh_auto(sh_json_done) json_t *args = NULL;
        ck_assert_int_eq(sh_json_parse(sh_str(rows[i].args), SH_MIB, &args, NULL), 0);
        ck_assert_msg(t->at_most_once(t, args) == rows[i].once, "%s", rows[i].args);
    }
}
END_TEST

START_TEST(nothing_leaves_without_a_rule) {
    struct web w;
    web_begin(&w, script);
    static const struct {
        const char *rules, *args;
    } rows[] = {
        {"{\"tools\":[\"http\"]}", "{\"url\":\"%s/ok\"}"},
        /* a wildcard stands for no address of this machine */
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%}]}",
         "{\"url\":\"%s/ok\"}"},
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":1}]}",
         "{\"url\":\"%s/ok\"}"},
        {"{\"network\":[{\"scheme\":\"https\",\"host\":\"127.0.0.1\",\"port\":%PORT%}]}",
         "{\"url\":\"%s/ok\"}"},
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,\"methods\":"
         "[\"GET\"]}]}",
         "{\"url\":\"%s/ok\",\"method\":\"POST\"}"},
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,\"path\":"
         "\"/public/*\"}]}",
         "{\"url\":\"%s/ok\"}"},
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,\"path\":"
         "\"/public/*\"}]}",
         "{\"url\":\"%s/public/../ok\"}"},
        {"{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,\"path\":"
         "\"/public/*\"}]}",
         "{\"url\":\"%s/%70ublic/x\"}"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        web_allow(&w, rows[i].rules);
        web_call(&w, "http", rows[i].args);
        ck_assert_msg(w.err.code == SH_E_DENIED, "row %zu: %s", i, w.err.message);
    }
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 0);
    web_end(&w);
}
END_TEST

START_TEST(a_name_that_stands_for_this_machine_needs_the_address_too) {
    struct web w;
    web_begin(&w, script);
    sh_auto(sh_free_p) char *args = sh_asprintf("{\"url\":\"http://localhost:%d/ok\"}", w.port);
    web_call(&w, "http", args);
    web_fails(&w, SH_E_DENIED, "no network rule");
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%}]}");
    web_call(&w, "http", args);
    web_fails(&w, SH_E_DENIED, "writes that address out");
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%},"
                  "{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%}]}");
    web_call(&w, "http", args);
    ck_assert_str_eq(text_of(&w, "body"), "hello");
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"localhost\",\"port\":%PORT%}]}");
    web_call(&w, "http", args);
    ck_assert_str_eq(text_of(&w, "body"), "hello");
    web_end(&w);
}
END_TEST

START_TEST(other_spellings_are_the_same_address) {
    struct web w;
    web_begin(&w, script);
    static const char *const hosts[] = {"2130706433", "0x7f000001", "0177.0.0.1", "127.1", NULL};
    for (size_t i = 0; hosts[i]; i++) {
        sh_auto(sh_free_p) char *args =
            sh_asprintf("{\"url\":\"http://%s:%d/ok\"}", hosts[i], w.port);
        web_call(&w, "http", args); /* the rule for 127.0.0.1 is meant */
        ck_assert_str_eq(text_of(&w, "body"), "hello");
    }
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%}]}");
    static const char *const disguises[] = {"2130706433",        "[::ffff:127.0.0.1]",
                                            "[::ffff:7f00:1]",   "[::]",
                                            "0.0.0.0",           "0",
                                            "[64:ff9b::7f00:1]", NULL};
    for (size_t i = 0; disguises[i]; i++) {
        sh_auto(sh_free_p) char *args =
            sh_asprintf("{\"url\":\"http://%s:%d/ok\"}", disguises[i], w.port);
        web_call(&w, "http", args);
        ck_assert_msg(w.err.code == SH_E_DENIED, "%s: %s: %s", disguises[i],
                      sh_code_info(w.err.code)->name, w.err.message);
    }
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 4);
    web_end(&w);
}
END_TEST

START_TEST(our_own_listener_is_never_reached) {
    struct web w;
    web_begin(&w, script);
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)w.port)};
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    web_call(&w, "http", "{\"url\":\"%s/ok\"}");
    web_good(&w);
    sh_tools_own_listener(w.tools, (const struct sockaddr *)&own);
    web_call(&w, "http", "{\"url\":\"%s/ok\"}"); /* over the open connection, too */
    ck_assert_int_eq(w.err.code, SH_E_DENIED);
    web_end(&w);
}
END_TEST

START_TEST(redirects_are_checked_hop_by_hop) {
    struct web w;
    web_begin(&w, script);
    web_call(&w, "http", "{\"url\":\"%s/to-ok\"}");
    ck_assert_str_eq(text_of(&w, "body"), "hello");
    ck_assert_ptr_nonnull(strstr(text_of(&w, "url"), "/ok"));
    web_call(&w, "http", "{\"url\":\"%s/to-ok\",\"redirects\":0}");
    ck_assert_int_eq(sh_json_get_int(web_good(&w), "status", 0), 302);
    web_call(&w, "http", "{\"url\":\"%s/to-ok\",\"method\":\"POST\"}");
    ck_assert_int_eq(sh_json_get_int(web_good(&w), "status", 0), 302);
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%},"
                  "{\"scheme\":\"http\",\"host\":\"*\"}]}");
    static const char *const denied[] = {"to-metadata", "to-decimal", NULL};
    for (size_t i = 0; denied[i]; i++) {
        sh_auto(sh_free_p) char *args = sh_asprintf("{\"url\":\"%%s/%s\"}", denied[i]);
        web_call(&w, "http", args);
        web_fails(&w, SH_E_DENIED, "address");
    }
    static const char *const invalid[] = {"to-file", "to-user", NULL};
    for (size_t i = 0; invalid[i]; i++) {
        sh_auto(sh_free_p) char *args = sh_asprintf("{\"url\":\"%%s/%s\"}", invalid[i]);
        web_call(&w, "http", args);
        web_fails(&w, SH_E_INVAL, "redirect 1");
    }
    web_call(&w, "http", "{\"url\":\"%s/loop\",\"redirects\":3}");
    web_fails(&w, SH_E_LIMIT, "more than 3 redirects");
    web_end(&w);
}
END_TEST

START_TEST(answers_are_bounded_at_their_edge) {
    struct web w;
    web_begin(&w, script);
    web_call(&w, "http", "{\"url\":\"%s/big\",\"max_bytes\":10000}");
    ck_assert_uint_eq(strlen(text_of(&w, "body")), 10000);
    web_call(&w, "http", "{\"url\":\"%s/big\",\"max_bytes\":9999}");
    web_fails(&w, SH_E_LIMIT, "/big");
    ck_assert(!w.retryable);
    web_call(&w, "http", "{\"url\":\"%s/chunks\",\"max_bytes\":20}");
    ck_assert_uint_eq(strlen(text_of(&w, "body")), 20);
    web_call(&w, "http", "{\"url\":\"%s/chunks\",\"max_bytes\":19}");
    web_fails(&w, SH_E_LIMIT, "19");
    web_call(&w, "http", "{\"url\":\"%s/cut\"}");
    web_fails(&w, SH_E_UNAVAILABLE, "no whole HTTP response");
    ck_assert(w.retryable);
    web_end(&w);
}
END_TEST

START_TEST(headers_and_urls_cannot_smuggle) {
    struct web w;
    web_begin(&w, script);
    static const char *const rows[] = {
        "{\"url\":\"%s/ok\",\"headers\":{\"X\":\"a\\r\\nEvil: 1\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"X: a\\r\\nEvil\":\"1\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"X Y\":\"1\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"\":\"1\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"Host\":\"other\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"Content-Length\":\"5\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"transfer-encoding\":\"chunked\"}}",
        "{\"url\":\"%s/ok\",\"headers\":{\"X\":1}}",
        "{\"url\":\"%s/ok\\r\\nEvil: 1\"}",
        "{\"url\":\"%s/a%2e%2e/%2e%2e/ok\"}",
        "{\"url\":\"%s/a/..%2fok\"}",
        "{\"url\":\"%s/a\\\\..\\\\ok\"}",
        "{\"url\":\"%s/%00\"}",
        "{\"url\":\"%s/%zz\"}",
        "{\"url\":\"ftp://127.0.0.1/\"}",
        "{\"url\":\"file:///etc/passwd\"}",
        "{\"url\":\"gopher://127.0.0.1/\"}",
        "{\"url\":\"http://\"}",
        "{\"url\":\"http://user@127.0.0.1/\"}",
        "{\"url\":\"http://a..b/\"}",
        "{\"url\":\"http://[fe80::1%25eth0]/\"}",
        "{\"url\":\"%s/ok\",\"body\":\"a\",\"body_base64\":\"YQ==\"}",
        "{\"url\":\"%s/ok\",\"body_base64\":\"!\"}",
        NULL};
    for (size_t i = 0; rows[i]; i++) {
        web_call(&w, "http", rows[i]);
        ck_assert_msg(w.err.code == SH_E_INVAL, "%s: %s: %s", rows[i],
                      sh_code_info(w.err.code)->name, w.err.message);
    }
    web_call(&w, "http", "{\"url\":\"%s/ok\",\"credential\":\"nobody\"}");
    web_fails(&w, SH_E_UNCONFIGURED, "[http.credentials.nobody]");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 0);
    web_end(&w);
}
END_TEST

static void with_credential(struct web *w) {
    web_begin(w, script);
    sh_auto(sh_free_p) char *url = sh_asprintf("http://127.0.0.1:%d/v1", w->port);
    json_t *all =
        json_pack("{s:{s:s,s:s},s:{s:s,s:s,s:s}}", "api", "url", url, "env", "SH_TEST_TOKEN",
                  "whole", "url", "http://127.0.0.1:1/", "env", "SH_TEST_TOKEN", "header", "X-Key");
    sh_auto(sh_free_p) char *root = sh_asprintf("http://127.0.0.1:%d/", w->port);
    json_object_set_new(json_object_get(all, "whole"), "url", json_string(root));
    w->config.http_credentials = all;
    ck_assert_int_eq(setenv("SH_TEST_TOKEN", SECRET, 1), 0);
}

START_TEST(a_credential_is_sent_to_its_place_alone) {
    struct web w;
    with_credential(&w);
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%},"
                  "{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%}],"
                  "\"tools\":[\"http\"]}");
    web_call(&w, "http", "{\"url\":\"%s/v1/echo\",\"credential\":\"api\"}");
    web_fails(&w, SH_E_DENIED, "not granted");
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"*\",\"port\":%PORT%},"
                  "{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%}],"
                  "\"tools\":[\"http\",\"credential:api\",\"credential:whole\"]}");
    web_call(&w, "http", "{\"url\":\"%s/v1/echo\",\"credential\":\"api\"}");
    ck_assert_ptr_null(strstr(text_of(&w, "body"), SECRET)); /* the server echoed it */
    ck_assert_ptr_nonnull(strstr(text_of(&w, "body"), "Bearer ***"));
    web_call(&w, "http", "{\"url\":\"%s/echo\",\"credential\":\"api\"}");
    web_fails(&w, SH_E_DENIED, "is not for GET");
    web_call(&w, "http",
             "{\"url\":\"%s/v1/echo\",\"credential\":\"api\",\"headers\":"
             "{\"authorization\":\"mine\"}}");
    web_fails(&w, SH_E_INVAL, "not the agent's");
    /* another origin does not get it */
    web_call(&w, "http",
             "{\"url\":\"%s/v1/away\",\"credential\":\"api\",\"headers\":"
             "{\"Cookie\":\"c=1\",\"X-One\":\"1\"}}");
    ck_assert_ptr_null(strstr(text_of(&w, "body"), "authorization"));
    ck_assert_ptr_null(strstr(text_of(&w, "body"), "cookie"));
    ck_assert_ptr_nonnull(strstr(text_of(&w, "body"), "x-one"));
    web_call(&w, "http", "{\"url\":\"%s/secret\",\"credential\":\"whole\"}");
    ck_assert_str_eq(text_of(&w, "body"), "you sent *** to us");
    sh_assert_str(sh_json_get_str(json_object_get(w.result, "headers"), "x-echo"), "***");
    unsetenv("SH_TEST_TOKEN");
    web_call(&w, "http", "{\"url\":\"%s/v1/echo\",\"credential\":\"api\"}");
    web_fails(&w, SH_E_INVAL, "SH_TEST_TOKEN");
    json_decref((json_t *)(uintptr_t)w.config.http_credentials);
    web_end(&w);
}
END_TEST

START_TEST(wrong_credentials_are_refused_at_start) {
    static const char *const rows[] = {
        "{\"a\":1}",
        "{\"a b\":{\"url\":\"http://x/\",\"env\":\"E\"}}",
        "{\"a\":{\"url\":\"http://x/\"}}",
        "{\"a\":{\"env\":\"E\"}}",
        "{\"a\":{\"url\":\"ftp://x/\",\"env\":\"E\"}}",
        "{\"a\":{\"url\":\"http://x/\",\"env\":\"E\",\"file\":\"f\"}}",
        "{\"a\":{\"url\":\"http://x/\",\"env\":\"E\",\"header\":\"X: \"}}",
        "{\"a\":{\"url\":\"http://x/\",\"env\":\"E\",\"prefix\":\"a\\r\\nb\"}}",
        "{\"a\":{\"url\":\"http://x/\",\"env\":\"E\",\"methods\":[]}}",
        "{\"a\":{\"url\":\"http://x/\",\"evn\":\"E\"}}",
        NULL};
    struct web w;
    web_begin(&w, NULL);
    for (size_t i = 0; rows[i]; i++) {
        json_t *doc = web_args(&w, rows[i]);
        struct sh_tools *t = NULL;
        w.config.http_credentials = doc;
        sh_assert_fails(sh_tools_new(w.loop, &w.config, &t, &w.err), SH_E_INVAL, &w.err);
        ck_assert_ptr_nonnull(strstr(w.err.message, "[http.credentials."));
        json_decref(doc);
    }
    w.config.http_credentials = NULL;
    web_end(&w);
}
END_TEST

START_TEST(a_cancel_is_silent) {
    struct web w;
    web_begin(&w, "{\"*\":{\"hang\":true}}");
    ck_assert_int_eq(web_start(&w, "http", "{\"url\":\"%s/x\"}"), 0);
    sh_tool_cancel(w.run);
    ck_assert(!w.done);
    w.timeout_ms = 200;
    web_call(&w, "http", "{\"url\":\"%s/x\"}");
    web_fails(&w, SH_E_TIMEOUT, "GET");
    ck_assert(w.retryable);
    web_end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {an_answer_has_status_headers_and_body,
                                  what_was_asked_is_what_is_sent,
                                  unsafe_methods_are_made_once_unless_they_say_otherwise,
                                  nothing_leaves_without_a_rule,
                                  a_name_that_stands_for_this_machine_needs_the_address_too,
                                  other_spellings_are_the_same_address,
                                  our_own_listener_is_never_reached,
                                  redirects_are_checked_hop_by_hop,
                                  answers_are_bounded_at_their_edge,
                                  headers_and_urls_cannot_smuggle,
                                  a_credential_is_sent_to_its_place_alone,
                                  wrong_credentials_are_refused_at_start,
                                  a_cancel_is_silent,
                                  NULL};
    return sh_suite("tools_http_op", tests);
}

SH_TEST_MAIN(suite)
