/* MCP servers as tools: a scripted one as a child, and one behind HTTP; what they are given, what
 * they may do, how they die and come back, and what happens when a tool becomes another. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

static char program[4096], log_path[128], tools_path[128], pins_path[128];

/* [mcp.s] with the scripted server and these behaviours. */
static void configure(struct web *w, const char *behaviour) {
    scripted_path(program, sizeof(program), "scripted_mcp.py");
    if (program[0] != '/') {
        char *cwd = getcwd(NULL, 0);
        sh_auto(sh_free_p) char *full = sh_asprintf("%s/%s", cwd, program);
        snprintf(program, sizeof(program), "%s", full);
        sh_free(cwd);
    }
    snprintf(log_path, sizeof(log_path), "%s/log", w->dir);
    snprintf(tools_path, sizeof(tools_path), "%s/script", w->dir);
    snprintf(pins_path, sizeof(pins_path), "%s/secret", w->dir);
    web_write(w, "script", "{}");
    w->config.mcp_pins = pins_path;
    json_t *command =
        json_pack("[s,s,s,s,s,s]", "python3", program, "--log", log_path, "--tools", tools_path);
    if (behaviour) {
        json_array_append_new(command, json_string(behaviour));
    }
    ck_assert_int_eq(setenv("SH_TEST_SECRET", "s3cret", 1), 0);
    w->config.mcp = json_pack("{s:{s:o,s:{s:s,s:s}}}", "s", "command", command, "env", "MINE", "1",
                              "GIVEN", "$SH_TEST_SECRET");
}

static void finish(struct web *w) {
    json_decref((json_t *)(uintptr_t)w->config.mcp);
    w->config.mcp = NULL;
    web_end(w);
}

static size_t count(const struct web *w, const char *member) {
    size_t n = 0;
    sh_auto(sh_json_done) json_t *log = web_log(w);
    for (size_t i = 0; i < json_array_size(log); i++) {
        n += json_object_get(json_array_get(log, i), member) != NULL;
    }
    return n;
}

static const char *said(const struct web *w) {
    const json_t *content = json_object_get(web_good(w), "content");
    return json_string_value(json_object_get(json_array_get(content, 0), "text"));
}

#define RPC(id, result) "{\"jsonrpc\":\"2.0\",\"id\":" #id ",\"result\":" result "}"
#define INIT RPC(1, "{\"protocolVersion\":\"2025-06-18\",\"capabilities\":{}}")
#define LIST RPC(2, "{\"tools\":[{\"name\":\"t\",\"inputSchema\":{\"type\":\"object\"}}]}")

static void over_http(struct web *w, const char *answer) {
    sh_auto(sh_free_p) char *script = sh_asprintf(
        "{\"POST /mcp\":[{\"json\":%s,\"headers\":{\"Mcp-Session-Id\":\"abc\"}},{\"status\":202},"
        "{\"json\":%s},%s]}",
        INIT, LIST, answer);
    static char url[64];
    web_begin(w, script);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/mcp", w->port);
    ck_assert_int_eq(setenv("SH_TEST_KEY", "k3y", 1), 0);
    w->config.mcp = json_pack("{s:{s:s,s:s}}", "h", "url", url, "api_key_env", "SH_TEST_KEY");
}

START_TEST(a_tool_is_called_with_little_around_it) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/echo", "{\"a\":[1]}");
    ck_assert_str_eq(said(&w), "{\"a\": [1]}");
    ck_assert(!sh_json_get_bool(w.result, "is_error", true));
    const json_t *seen = json_object_get(w.result, "structured");
    const json_t *names = json_object_get(seen, "environment");
    bool mine = false;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        ck_assert_msg(strcmp(name, "SH_TEST_SECRET") != 0 && strcmp(name, "SHANNON_SOURCE") != 0,
                      "%s was passed on", name);
        mine = mine || strcmp(name, "MINE") == 0;
    }
    ck_assert(mine);
    ck_assert_uint_eq(json_array_size(json_object_get(seen, "descriptors")), 3);
    ck_assert(sh_json_get_bool(seen, "group", false));
    web_call(&w, "mcp:s/echo", "{}");
    ck_assert_uint_eq(count(&w, "start"), 1); /* it stays */
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *meta = json_object_get(json_array_get(log, 1), "meta");
    sh_assert_str(sh_json_get_str(meta, "shannon/idempotency-key"), "wf-1:0");
    finish(&w);
}
END_TEST

static size_t signs_of_life;

static void alive(void *arg) {
    (void)arg;
    signs_of_life++;
}

START_TEST(what_is_told_of_progress_is_a_sign_of_life) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/echo", "{}");
    sh_auto(sh_json_done) json_t *args = json_object();
    struct sh_tool_call call = {.tool = sh_tools_find(w.tools, SH_STR("mcp:s/hang")),
                                .args = args,
                                .idempotency_key = "wf-1:1",
                                .timeout_ms = 1500,
                                .on_alive = alive,
                                .done = web_on_done,
                                .arg = &w};
    w.done = false;
    sh_assert_ok(sh_tools_call(w.tools, &call, &w.run, &w.err), &w.err);
    sh_loop_run(w.loop);
    ck_assert_int_eq(w.err.code, SH_E_TIMEOUT);
    ck_assert_uint_eq(signs_of_life, 3);
    finish(&w);
}
END_TEST

START_TEST(a_secret_that_is_echoed_is_not_seen) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    json_t *server = json_object_get(w.config.mcp, "s");
    json_object_set_new(json_object_get(server, "env"), "API_TOKEN",
                        json_string("$SH_TEST_SECRET"));
    web_call(&w, "mcp:s/echo", "{\"say\":\"it is s3cret, s3cret\"}");
    ck_assert_str_eq(said(&w), "{\"say\": \"it is ***, ***\"}");
    finish(&w);
    over_http(&w, "{\"json\":" RPC(
                      3, "{\"content\":[{\"type\":\"text\",\"text\":\"your k3y is k3y\"}]}") "}");
    web_call(&w, "mcp:h/t", "{}");
    ck_assert_str_eq(said(&w), "your *** is ***");
    finish(&w);
}
END_TEST

START_TEST(errors_are_told_apart) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/fail", "{}");
    ck_assert(sh_json_get_bool(web_good(&w), "is_error", false));
    ck_assert_str_eq(said(&w), "it went wrong");
    web_call(&w, "mcp:s/refuse", "{}");
    web_fails(&w, SH_E_UPSTREAM_REJECTED, "no such thing");
    web_call(&w, "mcp:s/nothing", "{}");
    web_fails(&w, SH_E_UNKNOWN_TOOL, "has no tool nothing");
    web_call(&w, "mcp:s/sample", "{}");
    ck_assert_str_eq(said(&w), "refused: -32601");
    w.timeout_ms = 300;
    web_call(&w, "mcp:s/hang", "{}");
    web_fails(&w, SH_E_TIMEOUT, "300 ms");
    w.timeout_ms = 20000;
    ck_assert_int_eq(web_start(&w, "mcp:s/hang", "{}"), 0);
    sh_tool_cancel(w.run);
    web_call(&w, "mcp:s/echo", "{}");
    web_good(&w);
    ck_assert_ptr_null(sh_tools_find(w.tools, SH_STR("mcp:other/x")));
    ck_assert_ptr_null(sh_tools_find(w.tools, SH_STR("mcp:s/")));
    ck_assert_ptr_null(sh_tools_find(w.tools, SH_STR("mcp:s/a b")));
    ck_assert_ptr_null(sh_tools_find(w.tools, SH_STR("mcp:s")));
    finish(&w);
}
END_TEST

START_TEST(a_server_that_died_is_started_again) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/die", "{}");
    web_fails(&w, SH_E_UNAVAILABLE, "status 3");
    ck_assert_ptr_nonnull(strstr(w.err.message, "dying as asked"));
    ck_assert(w.retryable);
    for (int i = 0; i < 200; i++) { /* it rests for a moment */
        web_call(&w, "mcp:s/echo", "{}");
        if (w.err.code == 0) {
            break;
        }
        ck_assert_int_eq(w.err.code, SH_E_UNAVAILABLE);
        usleep(50000);
    }
    web_good(&w);
    ck_assert_uint_eq(count(&w, "start"), 2);
    finish(&w);
}
END_TEST

START_TEST(only_harmless_tools_may_be_repeated) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/echo", "{}");
    const struct sh_tool *echo = sh_tools_find(w.tools, SH_STR("mcp:s/echo"));
    const struct sh_tool *fail = sh_tools_find(w.tools, SH_STR("mcp:s/fail"));
    ck_assert(!echo->at_most_once(echo, NULL));
    ck_assert(fail->at_most_once(fail, NULL));
    ck_assert_str_eq(echo->capability, "mcp:s/echo");
    finish(&w);
}
END_TEST

START_TEST(a_tool_that_changed_waits_for_a_new_decision) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/echo", "{}");
    web_good(&w);
    w.tools = sh_tools_free(w.tools);
    web_write(&w, "script", "{\"echo\":{\"description\":\"sends your files away\"}}");
    web_call(&w, "mcp:s/echo", "{}");
    web_fails(&w, SH_E_DENIED, "--accept mcp:s/echo");
    ck_assert(!w.retryable);
    web_call(&w, "mcp:s/fail", "{}"); /* the others are what they were */
    web_good(&w);
    sh_assert_ok(sh_tools_mcp_accept(pins_path, "mcp:s/echo", &w.err), &w.err);
    web_call(&w, "mcp:s/echo", "{}");
    web_good(&w);
    sh_assert_fails(sh_tools_mcp_accept(pins_path, "mcp:s/no", &w.err), SH_E_NOT_FOUND, &w.err);
    finish(&w);
}
END_TEST

START_TEST(pages_of_tools_are_all_read) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, "pages");
    web_call(&w, "mcp:s/sample", "{}");
    web_good(&w);
    sh_auto(sh_json_done) json_t *list = sh_tools_mcp_list(w.tools, SH_STR("s"));
    ck_assert_uint_eq(json_array_size(list), 7);
    finish(&w);
}
END_TEST

START_TEST(messages_are_bounded) {
    struct web w;
    web_begin(&w, NULL);
    configure(&w, NULL);
    web_call(&w, "mcp:s/big", "{\"n\":1000000}");
    ck_assert_uint_eq(strlen(said(&w)), 1000000);
    sh_auto(sh_free_p) char *args = sh_asprintf("{\"n\":%llu}", SH_MCP_MESSAGE_MAX);
    web_call(&w, "mcp:s/big", args);
    web_fails(&w, SH_E_LIMIT, "more than");
    finish(&w);
}
END_TEST

START_TEST(servers_that_are_none_are_given_up) {
    static const char *const behaviours[] = {"garbage", "old", NULL};
    for (size_t i = 0; behaviours[i]; i++) {
        struct web w;
        web_begin(&w, NULL);
        configure(&w, behaviours[i]);
        web_call(&w, "mcp:s/echo", "{}");
        web_fails(&w, SH_E_UPSTREAM, "MCP server s");
        finish(&w);
    }
    struct web w;
    web_begin(&w, NULL);
    configure(&w, "silent");
    w.timeout_ms = 500;
    web_call(&w, "mcp:s/echo", "{}");
    web_fails(&w, SH_E_TIMEOUT, "did not answer");
    finish(&w);
}
END_TEST

START_TEST(a_server_behind_http_is_called_with_its_session) {
    struct web w;
    over_http(&w, "{\"json\":" RPC(3, "{\"content\":[{\"type\":\"text\",\"text\":\"yes\"}]}") "}");
    web_call(&w, "mcp:h/t", "{\"x\":1}");
    ck_assert_str_eq(said(&w), "yes");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *headers = NULL;
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *line = json_array_get(log, i);
        bool call = strstr(json_string_value(json_object_get(line, "body")), "tools/call");
        headers = call ? json_object_get(line, "headers") : headers;
    }
    sh_assert_str(sh_json_get_str(headers, "mcp-session-id"), "abc");
    sh_assert_str(sh_json_get_str(headers, "mcp-protocol-version"), "2025-06-18");
    sh_assert_str(sh_json_get_str(headers, "authorization"), "Bearer k3y");
    finish(&w);
}
END_TEST

START_TEST(a_stream_of_events_carries_messages_too) {
    struct web w;
    over_http(
        &w,
        "{\"headers\":{\"Content-Type\":\"text/event-stream\"},\"body\":\"event: message\\n"
        "data: {\\\"jsonrpc\\\":\\\"2.0\\\",\\\"method\\\":\\\"notifications/progress\\\"}\\n\\n"
        "data: {\\\"jsonrpc\\\":\\\"2.0\\\",\\\"id\\\":3,\\\"result\\\":{\\\"content\\\":"
        "[{\\\"type\\\":\\\"text\\\",\\\"text\\\":\\\"streamed\\\"}]}}\\n\\n\"}");
    web_call(&w, "mcp:h/t", "{}");
    ck_assert_str_eq(said(&w), "streamed");
    finish(&w);
}
END_TEST

START_TEST(failures_behind_http_end_the_session) {
    static const struct {
        const char *answer;
        int code;
    } rows[] = {
        {"{\"status\":404,\"body\":\"k3y\"}", SH_E_UNAVAILABLE},
        {"{\"status\":401,\"body\":\"who is k3y\"}", SH_E_UPSTREAM_REJECTED},
        {"{\"body\":\"<html>\"}", SH_E_UPSTREAM},
        {"{\"body\":\"0123456789\",\"repeat\":1000000}", SH_E_LIMIT},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        over_http(&w, rows[i].answer);
        web_call(&w, "mcp:h/t", "{}");
        web_fails(&w, rows[i].code, "MCP server h");
        ck_assert_ptr_null(strstr(w.err.message, "k3y"));
        finish(&w);
    }
}
END_TEST

START_TEST(wrong_configurations_are_refused_at_start) {
    static const char *const rows[] = {"{\"a\":1}",
                                       "{\"a\":{}}",
                                       "{\"a b\":{\"url\":\"http://x/\"}}",
                                       "{\"a\":{\"url\":\"http://x/\",\"command\":[\"true\"]}}",
                                       "{\"a\":{\"url\":\"ftp://x/\"}}",
                                       "{\"a\":{\"command\":[]}}",
                                       "{\"a\":{\"command\":[1]}}",
                                       "{\"a\":{\"command\":[\"no-such-program-anywhere\"]}}",
                                       "{\"a\":{\"command\":[\"./x\"]}}",
                                       "{\"a\":{\"command\":[\"true\"],\"env\":{\"A\":1}}}",
                                       "{\"a\":{\"commando\":[\"true\"]}}",
                                       NULL};
    struct web w;
    web_begin(&w, NULL);
    for (size_t i = 0; rows[i]; i++) {
        json_t *doc = web_args(&w, rows[i]);
        struct sh_tools *t = NULL;
        w.config.mcp = doc;
        sh_assert_fails(sh_tools_new(w.loop, &w.config, &t, &w.err), SH_E_INVAL, &w.err);
        ck_assert_ptr_nonnull(strstr(w.err.message, "[mcp."));
        json_decref(doc);
    }
    w.config.mcp = NULL;
    web_end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_tool_is_called_with_little_around_it,
                                  a_secret_that_is_echoed_is_not_seen,
                                  what_is_told_of_progress_is_a_sign_of_life,
                                  errors_are_told_apart,
                                  a_server_that_died_is_started_again,
                                  only_harmless_tools_may_be_repeated,
                                  a_tool_that_changed_waits_for_a_new_decision,
                                  pages_of_tools_are_all_read,
                                  messages_are_bounded,
                                  servers_that_are_none_are_given_up,
                                  a_server_behind_http_is_called_with_its_session,
                                  a_stream_of_events_carries_messages_too,
                                  failures_behind_http_end_the_session,
                                  wrong_configurations_are_refused_at_start,
                                  NULL};
    return sh_suite("tools_mcp", tests);
}

SH_TEST_MAIN(suite)
