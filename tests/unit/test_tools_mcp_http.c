/* MCP over HTTP as the official servers speak it: answers as streams of events, with what the
 * server tells and asks in between, streams that break off and go on, and the one on which it
 * speaks of its own accord. Arguments are checked here, before they are sent. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

/* The scripted server with this behaviour, as [mcp.h]. */
static void begin(struct web *w, const char *behaviour) {
    static char url[64];
    char log[128];
    web_begin(w, NULL);
    snprintf(log, sizeof(log), "%s/log", w->dir);
    const char *const args[] = {"--log", log, behaviour, NULL};
    w->server = scripted_start("scripted_mcp_http.py", args, &w->port);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/mcp", w->port);
    w->config.mcp = json_pack("{s:{s:s}}", "h", "url", url);
}

static void finish(struct web *w) {
    json_decref((json_t *)(uintptr_t)w->config.mcp);
    w->config.mcp = NULL;
    web_end(w);
}

static const char *said(const struct web *w) {
    const json_t *content = json_object_get(web_good(w), "content");
    return json_string_value(json_object_get(json_array_get(content, 0), "text"));
}

/* How many lines of the log have that in that member. */
static size_t count(const struct web *w, const char *member, const char *value) {
    size_t n = 0;
    sh_auto(sh_json_done) json_t *log = web_log(w);
    for (size_t i = 0; i < json_array_size(log); i++) {
        n += sh_str_eqz(sh_json_get_str(json_array_get(log, i), member), value);
    }
    return n;
}

START_TEST(answers_come_as_streams_and_as_one_text) {
    static const char *const behaviours[] = {"sse", "json", "strict", "no-get"};
    for (size_t i = 0; i < sizeof(behaviours) / sizeof(behaviours[0]); i++) {
        struct web w;
        begin(&w, behaviours[i]);
        web_call(&w, "mcp:h/echo", "{\"a\":[1]}");
        ck_assert_str_eq(said(&w), "{\"a\": [1]}");
        web_call(&w, "mcp:h/talk", "{}");
        ck_assert_str_eq(said(&w), "done");
        ck_assert_uint_eq(count(&w, "method", "initialize"), 1);
        ck_assert_uint_ge(count(&w, "version", "2025-11-25"), 4);
        ck_assert_uint_ge(count(&w, "session", "s1"), 4);
        finish(&w);
    }
}
END_TEST

START_TEST(what_the_server_asks_within_a_stream_is_answered) {
    struct web w;
    begin(&w, "sse");
    web_call(&w, "mcp:h/ask", "{}"); /* it waits for the answer to its ping */
    ck_assert_ptr_nonnull(strstr(said(&w), "q1"));
    finish(&w);
}
END_TEST

START_TEST(an_answer_that_breaks_off_is_fetched_where_it_stopped) {
    struct web w;
    begin(&w, "sse");
    web_call(&w, "mcp:h/cut", "{}");
    ck_assert_str_eq(said(&w), "after all");
    ck_assert_uint_eq(count(&w, "get", "e1"), 1);
    web_call(&w, "mcp:h/lost", "{}");
    web_fails(&w, SH_E_UPSTREAM, "ended without the answer");
    web_call(&w, "mcp:h/echo", "{}"); /* the session is as it was */
    web_good(&w);
    ck_assert_uint_eq(count(&w, "method", "initialize"), 1);
    finish(&w);
}
END_TEST

START_TEST(one_call_that_fails_takes_no_other_with_it) {
    struct web w;
    begin(&w, "sse");
    web_call(&w, "mcp:h/refuse", "{}");
    web_fails(&w, SH_E_UPSTREAM_REJECTED, "not like this");
    web_call(&w, "mcp:h/flood", "{}");
    web_fails(&w, SH_E_LIMIT, "8 MiB");
    w.timeout_ms = 300;
    web_call(&w, "mcp:h/wait", "{}");
    web_fails(&w, SH_E_TIMEOUT, "300 ms");
    w.timeout_ms = 20000;
    for (int i = 0; i < 400; i++) { /* nobody waits for a notification */
        web_call(&w, "mcp:h/echo", "{}");
        web_good(&w);
        if (count(&w, "method", "notifications/cancelled") > 0) {
            break;
        }
    }
    ck_assert_uint_eq(count(&w, "method", "initialize"), 1);
    ck_assert_uint_eq(count(&w, "method", "notifications/cancelled"), 1);
    finish(&w);
}
END_TEST

START_TEST(a_tool_that_is_announced_on_the_open_stream_can_be_called) {
    struct web w;
    begin(&w, "sse");
    web_call(&w, "mcp:h/more", "{}");
    web_fails(&w, SH_E_UNKNOWN_TOOL, "more");
    web_call(&w, "mcp:h/grow", "{}");
    web_good(&w);
    for (int i = 0; i < 400; i++) { /* the news and the answer come by two ways */
        web_call(&w, "mcp:h/more", "{}");
        if (w.err.code == 0) {
            break;
        }
        ck_assert_int_eq(w.err.code, SH_E_UNKNOWN_TOOL);
        web_call(&w, "mcp:h/echo", "{}");
    }
    web_good(&w);
    ck_assert_uint_ge(count(&w, "method", "tools/list"), 2);
    finish(&w);
}
END_TEST

/* As when the program ends. */
static void leave(struct web *w) {
    w->tools = sh_tools_free(w->tools);
}

START_TEST(a_session_is_ended_when_we_leave) {
    static const struct {
        const char *behaviour;
        size_t deletes;
    } rows[] = {{"sse", 1}, {"json", 1}, {"no-get", 1}, {"no-delete", 1}, {"no-session", 0}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        begin(&w, rows[i].behaviour);
        web_call(&w, "mcp:h/echo", "{}");
        web_good(&w);
        ck_assert_uint_eq(count(&w, "delete", "s1"), 0);
        leave(&w);
        ck_assert_uint_eq(count(&w, "delete", "s1"), rows[i].deletes);
        ck_assert_uint_eq(count(&w, "delete", "none"), 0);
        finish(&w);
    }
}
END_TEST

START_TEST(a_server_that_does_not_let_us_leave_is_left) {
    struct web w;
    begin(&w, "mute");
    web_call(&w, "mcp:h/echo", "{}");
    uint64_t before = sh_mono_ns();
    leave(&w);
    ck_assert_uint_ge(sh_mono_ns() - before, 900000000ULL);
    ck_assert_uint_eq(count(&w, "delete", "s1"), 1);
    finish(&w);
    begin(&w, "sse");
    web_call(&w, "mcp:h/echo", "{}");
    kill(w.server, SIGKILL);
    waitpid(w.server, NULL, 0);
    w.server = 0;
    leave(&w);
    finish(&w);
}
END_TEST

START_TEST(a_session_is_ended_unless_the_server_has_forgotten_it) {
    struct web w;
    begin(&w, "sse");
    web_call(&w, "mcp:h/forget", "{}");
    web_fails(&w, SH_E_UNAVAILABLE, "404");
    leave(&w);
    ck_assert_uint_eq(count(&w, "delete", "s1"), 0);
    web_call(&w, "mcp:h/break", "{}");
    web_fails(&w, SH_E_UNAVAILABLE, "503");
    leave(&w);
    ck_assert_uint_eq(count(&w, "delete", "s1"), 1);
    finish(&w);
}
END_TEST

START_TEST(arguments_are_checked_before_they_are_sent) {
    static const struct {
        const char *args, *says;
    } rows[] = {{"{\"a\":1}", "mcp:h/add.b: expected a value; the member is missing"},
                {"{\"a\":1,\"b\":\"2\"}", "mcp:h/add.b: expected integer"},
                {"{\"a\":1,\"b\":11}", "mcp:h/add.b: expected at most 10, not 11"},
                {"{\"a\":1,\"b\":2,\"c\":3}", "mcp:h/add.c: expected no such member"}};
    struct web w;
    begin(&w, "sse");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        web_call(&w, "mcp:h/add", rows[i].args);
        web_fails(&w, SH_E_INVAL, rows[i].says);
        ck_assert(!w.retryable);
    }
    ck_assert_uint_eq(count(&w, "method", "tools/call"), 0);
    web_call(&w, "mcp:h/add", "{\"a\":1,\"b\":10}");
    web_good(&w);
    finish(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {answers_come_as_streams_and_as_one_text,
                                  what_the_server_asks_within_a_stream_is_answered,
                                  an_answer_that_breaks_off_is_fetched_where_it_stopped,
                                  one_call_that_fails_takes_no_other_with_it,
                                  a_tool_that_is_announced_on_the_open_stream_can_be_called,
                                  a_session_is_ended_when_we_leave,
                                  a_server_that_does_not_let_us_leave_is_left,
                                  a_session_is_ended_unless_the_server_has_forgotten_it,
                                  arguments_are_checked_before_they_are_sent,
                                  NULL};
    return sh_suite("tools_mcp_http", tests);
}

SH_TEST_MAIN(suite)
