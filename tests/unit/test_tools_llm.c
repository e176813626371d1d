/* llm against the scripted server: what is sent, what comes back, and every way to fail. */
#include "lib/check_main.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/scripted_server.h"
#include "tools/tools.h"

#define SECRET "sk-very-secret-key"
#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"hi there\"}]}"

/* One server, one loop, one call. */
struct world {
    pid_t server;
    int port;
    char dir[64], base_url[128];
    struct sh_loop *loop;
    struct sh_tools *tools;
    struct sh_tool_run *run;
    struct sh_tools_config config;
    struct sh_buf deltas;
    json_t *result;
    struct sh_err err;
    bool done, retryable, cancel_on_delta, traceparent;
    const char *key;
    uint64_t retry_after_ms, timeout_ms;
};

static void write_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static void start_server(struct world *w, const char *script) {
    char script_file[128];
    char log_file[128];
    snprintf(w->dir, sizeof(w->dir), "/tmp/sh-llm-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    snprintf(script_file, sizeof(script_file), "%s/script", w->dir);
    snprintf(log_file, sizeof(log_file), "%s/log", w->dir);
    write_file(script_file, script);
    const char *const args[] = {"--port",        "0",  "--script", script_file, "--log", log_file,
                                "--max-seconds", "60", NULL};
    w->server = scripted_start("scripted_llm.py", args, &w->port);
    snprintf(w->base_url, sizeof(w->base_url), "http://127.0.0.1:%d/v1/", w->port);
}

static void stop_server(struct world *w) {
    if (w->server > 0) {
        kill(w->server, SIGKILL);
        waitpid(w->server, NULL, 0);
        w->server = 0;
    }
}

static void begin(struct world *w, const char *script) {
    *w = (struct world){.key = "wf-1:0"};
    signal(SIGPIPE, SIG_IGN);
    sh_buf_init(&w->deltas, SH_MIB);
    if (script) {
        start_server(w, script);
    }
    w->config.llm_base_url = w->base_url;
    w->config.llm_model = "tiny";
    w->config.llm_api_key_env = "SH_TEST_KEY";
    unsetenv("SH_TEST_KEY");
    sh_assert_ok(sh_loop_new(&w->loop, &w->err), &w->err);
}

static void end(struct world *w) {
    stop_server(w);
    if (w->dir[0]) {
        char path[128];
        snprintf(path, sizeof(path), "%s/script", w->dir);
        unlink(path);
        snprintf(path, sizeof(path), "%s/log", w->dir);
        unlink(path);
        rmdir(w->dir);
    }
    json_decref(w->result);
    sh_buf_done(&w->deltas);
    sh_tools_free(w->tools);
    sh_loop_free(w->loop);
}

static void on_delta(void *arg, struct sh_str text) {
    struct world *w = arg;
    sh_buf_add(&w->deltas, text.p, text.len);
    if (w->cancel_on_delta) {
        sh_tool_cancel(w->run);
        sh_loop_stop(w->loop);
    }
}

static void on_done(void *arg, const struct sh_tool_outcome *o) {
    struct world *w = arg;
    ck_assert(!w->done);
    w->done = true;
    w->retryable = o->retryable;
    w->retry_after_ms = o->retry_after_ms;
    json_decref(w->result);
    w->result = o->err ? NULL : json_deep_copy(o->result);
    w->err = o->err ? *o->err : (struct sh_err){0};
    sh_loop_stop(w->loop);
}

static int start(struct world *w, const char *args, bool stream) {
    sh_auto(sh_json_done) json_t *doc = NULL;
    sh_assert_ok(sh_json_parse(sh_str(args), SH_MIB, &doc, &w->err), &w->err);
    if (!w->tools) {
        sh_assert_ok(sh_tools_new(w->loop, &w->config, &w->tools, &w->err), &w->err);
    }
    struct sh_tool_call call = {
        .tool = sh_tool_find(SH_STR("llm")),
        .args = doc,
        .idempotency_key = w->key,
        .timeout_ms = w->timeout_ms,
        .traceparent = w->traceparent ? "00-abc-def-01" : NULL,
        .on_delta = stream ? on_delta : NULL,
        .done = on_done,
        .arg = w,
    };
    w->done = false;
    return sh_tools_call(w->tools, &call, &w->run, &w->err);
}

static void call(struct world *w, const char *args, bool stream) {
    sh_buf_clear(&w->deltas);
    sh_assert_ok(start(w, args, stream), &w->err);
    ck_assert(!w->done); /* never inside the call */
    sh_loop_run(w->loop);
    ck_assert(w->done || w->cancel_on_delta);
}

/* The n-th line (from 0) of the server's log. */
static json_t *logged(struct world *w, size_t n) {
    char path[128];
    char line[16384];
    json_t *doc = NULL;
    snprintf(path, sizeof(path), "%s/log", w->dir);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i <= n; i++) {
        ck_assert_msg(fgets(line, sizeof(line), f), "the log has fewer lines");
    }
    sh_assert_ok(sh_json_parse(sh_str(line), SH_MIB, &doc, &w->err), &w->err);
    fclose(f);
    return doc;
}

static const char *content(const struct world *w) {
    ck_assert_msg(w->err.code == 0, "%s", w->err.message);
    return json_string_value(json_object_get(w->result, "content"));
}

START_TEST(plain_and_streamed_answers_are_equal) {
    struct world w;
    begin(&w, "{}");
    json_t *prices = json_pack("{s:{s:f,s:f}}", "tiny", "input", 2.0, "output", 10.0);
    w.config.llm_prices = prices;
    w.traceparent = true;
    ck_assert_int_eq(setenv("SH_TEST_KEY", SECRET, 1), 0);
    call(&w, HELLO, false);
    ck_assert_ptr_nonnull(strstr(content(&w), "to: hi there"));
    ck_assert_uint_eq(w.deltas.len, 0);
    json_t *plain = json_incref(w.result);
    call(&w, HELLO, true);
    ck_assert_msg(json_equal(plain, w.result), "differ");
    sh_assert_str(sh_buf_str(&w.deltas), content(&w));
    const json_t *usage = json_object_get(w.result, "usage");
    ck_assert_int_eq(sh_json_get_int(usage, "input_tokens", -1), 2);
    ck_assert_int_eq(sh_json_get_int(usage, "output_tokens", -1), 5);
    ck_assert_int_eq(sh_json_get_int(usage, "total_tokens", -1), 7);
    ck_assert_double_eq_tol(json_real_value(json_object_get(usage, "cost_usd")), 54e-6, 1e-12);
    ck_assert_str_eq(sh_json_get_str(w.result, "provider").p, "openai");
    sh_auto(sh_json_done) json_t *line = logged(&w, 1);
    sh_assert_str(sh_json_get_str(line, "idempotency_key"), "wf-1:0");
    ck_assert(sh_json_get_bool(line, "authorized", false));
    ck_assert(sh_json_get_bool(line, "sent", false));
    sh_assert_str(sh_json_get_str(json_object_get(line, "headers"), "traceparent"),
                  "00-abc-def-01");
    sh_assert_str(sh_json_get_str(json_object_get(line, "body"), "model"), "tiny");
    ck_assert(sh_json_get_bool(json_object_get(line, "body"), "stream", false));
    json_decref(plain);
    json_decref(prices);
    end(&w);
}
END_TEST

START_TEST(only_the_protocol_is_sent) {
    struct world w;
    begin(&w, "{}");
    call(
        &w,
        "{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}],\"model\":\"big\",\"temperature\":0,"
        "\"retry\":{\"attempts\":2},\"timeout_ms\":9,\"at_most_once\":true}",
        false);
    ck_assert_str_eq(sh_json_get_str(w.result, "model").p, "big");
    sh_auto(sh_json_done) json_t *line = logged(&w, 0);
    sh_auto(sh_free_p) char *body = sh_json_text(json_object_get(line, "body"));
    ck_assert_str_eq(body,
                     "{\"messages\":[{\"content\":\"x\",\"role\":\"user\"}],\"model\":\"big\","
                     "\"temperature\":0}");
    ck_assert(!sh_json_get_bool(line, "authorized", true));
    end(&w);
}
END_TEST

START_TEST(tool_calls_and_missing_usage_are_read) {
    struct world w;
    begin(&w, "{\"default\":{\"tool_calls\":[{\"id\":\"c1\",\"type\":\"function\",\"function\":"
              "{\"name\":\"f\",\"arguments\":\"{}\"}}],\"usage\":null}}");
    for (int stream = 0; stream < 2; stream++) {
        call(&w, HELLO, stream == 1);
        ck_assert_str_eq(content(&w), "");
        sh_assert_str(sh_json_get_str(w.result, "finish_reason"), "tool_calls");
        const json_t *c = json_array_get(json_object_get(w.result, "tool_calls"), 0);
        sh_assert_str(sh_json_get_str(c, "id"), "c1");
        sh_assert_str(sh_json_get_str(json_object_get(c, "function"), "name"), "f");
        const json_t *usage = json_object_get(w.result, "usage");
        ck_assert(sh_json_get_bool(usage, "estimated", false));
        ck_assert_int_gt(sh_json_get_int(usage, "input_tokens", 0), 0);
    }
    end(&w);
}
END_TEST

START_TEST(a_server_that_ignores_stream_works) {
    struct world w;
    begin(&w, "{\"default\":{\"ignore_stream\":true,\"content\":\"flat\"}}");
    call(&w, HELLO, true);
    ck_assert_str_eq(content(&w), "flat");
    sh_assert_str(sh_buf_str(&w.deltas), "flat");
    end(&w);
}
END_TEST

/* A rule of the script, and what the one call must end in. */
struct failure {
    const char *rule;
    int code;
    bool retryable;
    uint64_t retry_after_ms;
    const char *says;
};

static void check_failure(const struct failure *f, bool stream) {
    struct world w;
    sh_auto(sh_free_p) char *script = sh_asprintf("{\"default\":%s}", f->rule);
    begin(&w, script);
    ck_assert_int_eq(setenv("SH_TEST_KEY", SECRET, 1), 0);
    w.timeout_ms = strstr(f->rule, "hang") ? 300 : 20000;
    call(&w, HELLO, stream);
    ck_assert_msg(w.err.code == f->code, "%s (stream %d): %s: %s", f->rule, stream,
                  sh_code_info(w.err.code)->name, w.err.message);
    ck_assert_msg(w.retryable == f->retryable, "%s", f->rule);
    ck_assert_msg(w.retry_after_ms == f->retry_after_ms, "%s", f->rule);
    ck_assert_msg(strstr(w.err.message, f->says) != NULL, "%s: \"%s\" lacks \"%s\"", f->rule,
                  w.err.message, f->says);
    ck_assert_ptr_null(strstr(w.err.message, SECRET));
    end(&w);
}

START_TEST(failures_say_whether_trying_again_helps) {
    static const struct failure rows[] = {
        {"{\"status\":429,\"headers\":{\"Retry-After\":\"7\"},\"error\":\"slow down\"}", SH_E_RATE,
         true, 7000, "answered 429: \"slow down\""},
        {"{\"status\":429,\"code\":\"insufficient_quota\"}", SH_E_UPSTREAM_REJECTED, false, 0,
         "429"},
        {"{\"status\":500}", SH_E_UPSTREAM, true, 0, "answered 500"},
        {"{\"status\":503,\"headers\":{\"Retry-After\":\"1\"},\"body\":\"busy\",\"content_type\":"
         "\"text/plain\"}",
         SH_E_UPSTREAM, true, 1000, "\"busy\""},
        {"{\"status\":400,\"error\":\"bad " SECRET " key\"}", SH_E_UPSTREAM_REJECTED, false, 0,
         "bad *** key"},
        {"{\"status\":404}", SH_E_UPSTREAM_REJECTED, false, 0, "SHANNON_LLM_MODEL"},
        {"{\"status\":302,\"headers\":{\"Location\":\"http://127.0.0.1:1/\"}}",
         SH_E_UPSTREAM_REJECTED, false, 0, "redirects are not followed"},
        {"{\"body\":\"<html>hello\",\"content_type\":\"text/html\"}", SH_E_UPSTREAM, false, 0,
         "<html>hello"},
        {"{\"body\":\"{\\\"choices\\\":[]}\"}", SH_E_UPSTREAM, false, 0, "choices[0].message"},
        {"{\"body\":\"{\\\"choices\\\"\"}", SH_E_UPSTREAM, false, 0, "not JSON"},
        {"{\"body\":\"" SECRET "\"}", SH_E_UPSTREAM, false, 0, "***"},
        {"{\"hang\":true}", SH_E_TIMEOUT, true, 0, "300 ms"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_failure(&rows[i], false);
        check_failure(&rows[i], true);
    }
}
END_TEST

START_TEST(broken_streams_are_told_apart) {
    static const struct failure rows[] = {
        {"{\"content\":\"a b c d\",\"cut\":3}", SH_E_UPSTREAM, true, 0, "broke off after"},
        {"{\"content\":\"a b c d\",\"hang_after\":3}", SH_E_TIMEOUT, true, 0, "bytes came"},
        {"{\"body\":\"data: {\\\"error\\\":{\\\"message\\\":\\\"no " SECRET "\\\"}}\\n\\n\"}",
         SH_E_UPSTREAM, true, 0, "no ***"},
        {"{\"body\":\"data: nope\\n\\n\"}", SH_E_UPSTREAM, false, 0, "not JSON"},
        {"{\"body\":\"data: [DONE]\\n\\n\"}", SH_E_UPSTREAM, false, 0, "no answer"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        check_failure(&rows[i], true);
    }
}
END_TEST

START_TEST(nothing_listening_names_the_url_and_the_setting) {
    struct world w;
    begin(&w, "{}");
    stop_server(&w); /* its port is free now */
    call(&w, HELLO, true);
    ck_assert_int_eq(w.err.code, SH_E_UNAVAILABLE);
    ck_assert(w.retryable);
    ck_assert_ptr_nonnull(strstr(w.err.message, w.base_url));
    ck_assert_ptr_nonnull(strstr(w.err.message, "[llm] base_url"));
    end(&w);
}
END_TEST

START_TEST(a_missing_key_is_named_on_401) {
    struct world w;
    begin(&w, "{\"default\":{\"status\":401,\"error\":\"who are you\"}}");
    call(&w, HELLO, false);
    ck_assert_int_eq(w.err.code, SH_E_UPSTREAM_REJECTED);
    ck_assert_ptr_nonnull(strstr(w.err.message, "set the variable SH_TEST_KEY"));
    end(&w);
}
END_TEST

START_TEST(headers_cannot_be_injected) {
    struct world w;
    begin(&w, "{}");
    static const char *const keys[] = {"a\r\nX-Evil: 1", "a\nb", "", "a\x7f", "\xc3\xa4", NULL};
    for (size_t i = 0; keys[i]; i++) {
        w.key = keys[i];
        sh_assert_fails(start(&w, HELLO, false), SH_E_INVAL, &w.err);
        ck_assert_ptr_nonnull(strstr(w.err.message, "Idempotency-Key"));
    }
    w.key = "good";
    ck_assert_int_eq(setenv("SH_TEST_KEY", "sk-bad\r\nX-Evil: 1", 1), 0);
    sh_assert_fails(start(&w, HELLO, false), SH_E_INVAL, &w.err);
    ck_assert_ptr_nonnull(strstr(w.err.message, "SH_TEST_KEY"));
    ck_assert_ptr_null(strstr(w.err.message, "sk-bad"));
    end(&w);
}
END_TEST

START_TEST(a_key_file_is_read_and_its_faults_named) {
    struct world w;
    char path[128];
    begin(&w, "{}");
    snprintf(path, sizeof(path), "%s/key", w.dir);
    w.config.llm_api_key_file = path;
    sh_assert_fails(start(&w, HELLO, false), SH_E_INVAL, &w.err);
    ck_assert_ptr_nonnull(strstr(w.err.message, path));
    write_file(path, SECRET "\n");
    call(&w, HELLO, false);
    sh_auto(sh_json_done) json_t *line = logged(&w, 0);
    ck_assert(sh_json_get_bool(line, "authorized", false));
    write_file(path, SECRET " and more\n");
    sh_assert_fails(start(&w, HELLO, false), SH_E_INVAL, &w.err);
    ck_assert_ptr_null(strstr(w.err.message, SECRET));
    for (size_t n = SH_SECRET_MAX; n <= SH_SECRET_MAX + 1; n++) {
        sh_auto(sh_free_p) char *key = sh_zalloc(n + 2);
        memset(key, 'k', n);
        key[n] = '\n';
        write_file(path, key);
        if (n == SH_SECRET_MAX) {
            call(&w, HELLO, false);
            ck_assert_int_eq(w.err.code, 0);
        } else {
            sh_assert_fails(start(&w, HELLO, false), SH_E_INVAL, &w.err);
        }
    }
    unlink(path);
    end(&w);
}
END_TEST

START_TEST(a_cancel_is_silent_and_may_come_from_a_delta) {
    struct world w;
    begin(&w, "{\"rules\":[{\"hang\":true},{\"content\":\"a b\",\"hang_after\":2}]}");
    sh_assert_ok(start(&w, HELLO, false), &w.err);
    sh_tool_cancel(w.run);
    w.cancel_on_delta = true;
    sh_assert_ok(start(&w, HELLO, true), &w.err); /* the first may never have reached the server */
    sh_tool_cancel(w.run);
    ck_assert(!w.done);
    end(&w);
    begin(&w, "{\"default\":{\"content\":\"a b\",\"hang_after\":2}}");
    w.cancel_on_delta = true;
    call(&w, HELLO, true);
    ck_assert(!w.done);
    sh_assert_str(sh_buf_str(&w.deltas), "a");
    end(&w);
    begin(&w, "{\"default\":{\"content\":\"a b\",\"ignore_stream\":true}}");
    w.cancel_on_delta = true;
    call(&w, HELLO, true);
    ck_assert(!w.done);
    end(&w);
}
END_TEST

START_TEST(a_wrong_configuration_is_refused_at_start) {
    struct world w;
    begin(&w, NULL);
    json_t *bad_prices = json_pack("{s:{s:f}}", "m", "inptu", 1.0);
    struct sh_tools *t = NULL;
    struct {
        struct sh_tools_config config;
        int code;
        const char *says;
    } rows[] = {
        {{.llm_base_url = "localhost:1"}, SH_E_INVAL, "[llm] base_url"},
        {{.llm_provider = "athropic"}, SH_E_UNSUPPORTED, "\"openai\""},
        {{.llm_model = ""}, SH_E_INVAL, "[llm] model"},
        {{.llm_prices = bad_prices}, SH_E_INVAL, "[llm] prices.m"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sh_assert_fails(sh_tools_new(w.loop, &rows[i].config, &t, &w.err), rows[i].code, &w.err);
        ck_assert_msg(strstr(w.err.message, rows[i].says) != NULL, "%s", w.err.message);
    }
    struct sh_tools_config nothing = {0};
    sh_assert_ok(sh_tools_new(w.loop, &nothing, &t, &w.err), &w.err);
    sh_tools_free(t);
    json_decref(bad_prices);
    end(&w);
}
END_TEST

START_TEST(wrong_arguments_never_leave) {
    struct world w;
    begin(&w, "{}");
    sh_assert_fails(start(&w, "{\"messages\":[]}", false), SH_E_INVAL, &w.err);
    end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {plain_and_streamed_answers_are_equal,
                                  only_the_protocol_is_sent,
                                  tool_calls_and_missing_usage_are_read,
                                  a_server_that_ignores_stream_works,
                                  failures_say_whether_trying_again_helps,
                                  broken_streams_are_told_apart,
                                  nothing_listening_names_the_url_and_the_setting,
                                  a_missing_key_is_named_on_401,
                                  headers_cannot_be_injected,
                                  a_key_file_is_read_and_its_faults_named,
                                  a_cancel_is_silent_and_may_come_from_a_delta,
                                  a_wrong_configuration_is_refused_at_start,
                                  wrong_arguments_never_leave,
                                  NULL};
    return sh_suite("tools_llm", tests);
}

SH_TEST_MAIN(suite)
