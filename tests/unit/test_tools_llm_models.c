/* llm with other protocols and several models: what is sent to Anthropic's API, what is made of its
 * answers whole and streamed, JSON answers checked by the host, models that stand in for others,
 * and servers that fall silent. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

#define MESSAGES "\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]"
#define SECRET "sk-ant-secret"

static const char *const stream_text =
    "event: message_start\\ndata: "
    "{\\\"type\\\":\\\"message_start\\\",\\\"message\\\":{\\\"model\\\":"
    "\\\"claude-x\\\",\\\"usage\\\":{\\\"input_tokens\\\":10,\\\"cache_read_input_tokens\\\":5,"
    "\\\"output_tokens\\\":1}}}\\n\\n"
    "event: ping\\ndata: {\\\"type\\\":\\\"ping\\\"}\\n\\n"
    "data: "
    "{\\\"type\\\":\\\"content_block_start\\\",\\\"index\\\":0,\\\"content_block\\\":{\\\"type\\\":"
    "\\\"text\\\",\\\"text\\\":\\\"\\\"}}\\n\\n"
    "data: {\\\"type\\\":\\\"content_block_delta\\\",\\\"index\\\":0,\\\"delta\\\":{\\\"type\\\":"
    "\\\"text_delta\\\",\\\"text\\\":\\\"Hal\\\"}}\\n\\n"
    "data: {\\\"type\\\":\\\"content_block_delta\\\",\\\"index\\\":0,\\\"delta\\\":{\\\"type\\\":"
    "\\\"text_delta\\\",\\\"text\\\":\\\"lo\\\"}}\\n\\n"
    "data: {\\\"type\\\":\\\"content_block_stop\\\",\\\"index\\\":0}\\n\\n";
static const char *const stream_call =
    "data: "
    "{\\\"type\\\":\\\"content_block_start\\\",\\\"index\\\":1,\\\"content_block\\\":{\\\"type\\\":"
    "\\\"tool_use\\\",\\\"id\\\":\\\"t1\\\",\\\"name\\\":\\\"NAME\\\",\\\"input\\\":{}}}\\n\\n"
    "data: {\\\"type\\\":\\\"content_block_delta\\\",\\\"index\\\":1,\\\"delta\\\":{\\\"type\\\":"
    "\\\"input_json_delta\\\",\\\"partial_json\\\":\\\"{\\\\\\\"a\\\\\\\":\\\"}}\\n\\n"
    "data: {\\\"type\\\":\\\"content_block_delta\\\",\\\"index\\\":1,\\\"delta\\\":{\\\"type\\\":"
    "\\\"input_json_delta\\\",\\\"partial_json\\\":\\\"1}\\\"}}\\n\\n";
static const char *const stream_end =
    "data: {\\\"type\\\":\\\"message_delta\\\",\\\"delta\\\":{\\\"stop_reason\\\":\\\"REASON\\\"},"
    "\\\"usage\\\":{\\\"output_tokens\\\":7}}\\n\\n"
    "data: {\\\"type\\\":\\\"message_stop\\\"}\\n\\n";

static struct sh_buf deltas;

static void on_delta(void *arg, struct sh_str text) {
    (void)arg;
    sh_buf_add(&deltas, text.p, text.len);
}

static void configure(struct web *w, const char *provider) {
    static char url[100];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/v1", w->port);
    w->config.llm_provider = provider;
    w->config.llm_base_url = url;
    w->config.llm_model = "tiny";
    w->config.llm_api_key_env = "SH_TEST_KEY";
}

static void ask(struct web *w, const char *args) {
    sh_buf_clear(&deltas);
    if (!w->tools) {
        sh_assert_ok(sh_tools_new(w->loop, &w->config, &w->tools, &w->err), &w->err);
    }
    sh_auto(sh_json_done) json_t *doc = web_args(w, args);
    struct sh_tool_call call = {.tool = sh_tool_find(SH_STR("llm")),
                                .args = doc,
                                .idempotency_key = "wf-1:0",
                                .timeout_ms = w->timeout_ms,
                                .on_delta = on_delta,
                                .done = web_on_done,
                                .arg = w};
    json_decref(w->result);
    w->result = NULL;
    w->done = false;
    w->err = (struct sh_err){0};
    if (sh_tools_call(w->tools, &call, &w->run, &w->err) == 0) {
        sh_loop_run(w->loop);
        ck_assert(w->done);
    }
}

static const char *content(const struct web *w) {
    return json_string_value(json_object_get(web_good(w), "content"));
}

/* The n-th request's body, parsed. */
static json_t *sent(const struct web *w, size_t n) {
    sh_auto(sh_json_done) json_t *log = web_log(w);
    json_t *body = NULL;
    ck_assert_int_eq(
        sh_json_parse(sh_json_get_str(json_array_get(log, n), "body"), SH_MIB, &body, NULL), 0);
    return body;
}

static char *anthropic_script(const char *call_name, const char *reason) {
    sh_auto(sh_buf_done) struct sh_buf b = {0};
    sh_buf_init(&b, SH_MIB);
    sh_buf_addf(&b,
                "{\"POST /v1/messages\":{\"headers\":{\"Content-Type\":\"text/event-stream\"},"
                "\"body\":\"%s",
                stream_text);
    for (const char *p = call_name ? stream_call : ""; *p;) {
        if (strncmp(p, "NAME", 4) == 0) {
            sh_buf_adds(&b, call_name);
            p += 4;
        } else {
            sh_buf_addc(&b, *p++);
        }
    }
    for (const char *p = stream_end; *p;) {
        if (strncmp(p, "REASON", 6) == 0) {
            sh_buf_adds(&b, reason);
            p += 6;
        } else {
            sh_buf_addc(&b, *p++);
        }
    }
    sh_buf_adds(&b, "\"}}");
    return sh_buf_take(&b);
}

START_TEST(anthropic_text_is_streamed_and_counted) {
    struct web w;
    sh_auto(sh_free_p) char *script = anthropic_script(NULL, "end_turn");
    web_begin(&w, script);
    configure(&w, "anthropic");
    ck_assert_int_eq(setenv("SH_TEST_KEY", SECRET, 1), 0);
    ask(&w, "{" MESSAGES "}");
    ck_assert_str_eq(content(&w), "Hallo");
    sh_assert_str(sh_buf_str(&deltas), "Hallo");
    sh_assert_str(sh_json_get_str(w.result, "finish_reason"), "stop");
    sh_assert_str(sh_json_get_str(w.result, "model"), "claude-x");
    sh_assert_str(sh_json_get_str(w.result, "provider"), "anthropic");
    const json_t *usage = json_object_get(w.result, "usage");
    ck_assert_int_eq(sh_json_get_int(usage, "input_tokens", 0), 15);
    ck_assert_int_eq(sh_json_get_int(usage, "output_tokens", 0), 7);
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *headers = json_object_get(json_array_get(log, 0), "headers");
    sh_assert_str(sh_json_get_str(headers, "x-api-key"), SECRET);
    sh_assert_str(sh_json_get_str(headers, "anthropic-version"), "2023-06-01");
    sh_assert_str(sh_json_get_str(headers, "idempotency-key"), "wf-1:0");
    ck_assert_ptr_null(json_object_get(headers, "authorization"));
    web_end(&w);
}
END_TEST

START_TEST(anthropic_requests_say_the_same_in_their_form) {
    struct web w;
    sh_auto(sh_free_p) char *script = anthropic_script("f", "tool_use");
    web_begin(&w, script);
    configure(&w, "anthropic");
    ask(&w,
        "{\"messages\":[{\"role\":\"system\",\"content\":\"be brief\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":\"image_"
        "url\","
        "\"image_url\":{\"url\":\"data:image/png;base64,AAAA\"}}]},"
        "{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"id\":\"a\",\"type\":"
        "\"function\","
        "\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"x\\\":1}\"}},{\"id\":\"b\",\"type\":"
        "\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"one\"},"
        "{\"role\":\"tool\",\"tool_call_id\":\"b\",\"content\":\"two\"}],"
        "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"description\":\"d\","
        "\"parameters\":{\"type\":\"object\"}}}],\"tool_choice\":\"required\",\"temperature\":1.5,"
        "\"stop\":\"X\",\"max_tokens\":9,\"seed\":3}");
    sh_assert_str(sh_json_get_str(web_good(&w), "finish_reason"), "tool_calls");
    const json_t *call = json_array_get(json_object_get(w.result, "tool_calls"), 0);
    sh_assert_str(sh_json_get_str(json_object_get(call, "function"), "arguments"), "{\"a\":1}");
    sh_auto(sh_json_done) json_t *body = sent(&w, 0);
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    ck_assert_str_eq(
        text,
        "{\"max_tokens\":9,\"messages\":[{\"content\":[{\"text\":\"see\",\"type\":\"text\"},"
        "{\"source\":{\"data\":\"AAAA\",\"media_type\":\"image/png\",\"type\":\"base64\"},\"type\":"
        "\"image\"}],\"role\":\"user\"},{\"content\":[{\"id\":\"a\",\"input\":{\"x\":1},\"name\":"
        "\"f\","
        "\"type\":\"tool_use\"},{\"id\":\"b\",\"input\":{},\"name\":\"f\",\"type\":\"tool_use\"}],"
        "\"role\":\"assistant\"},{\"content\":[{\"content\":[{\"text\":\"one\",\"type\":\"text\"}],"
        "\"tool_use_id\":\"a\",\"type\":\"tool_result\"},{\"content\":[{\"text\":\"two\",\"type\":"
        "\"text\"}],\"tool_use_id\":\"b\",\"type\":\"tool_result\"}],\"role\":\"user\"}],\"model\":"
        "\"tiny\",\"stop_sequences\":[\"X\"],\"stream\":true,\"system\":[{\"text\":\"be brief\","
        "\"type\":\"text\"}],\"temperature\":1.0,\"tool_choice\":{\"type\":\"any\"},\"tools\":["
        "{\"description\":\"d\",\"input_schema\":{\"type\":\"object\"},\"name\":\"f\"}]}");
    web_end(&w);
}
END_TEST

#define FORMAT                                                                                     \
    "\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"n\",\"schema\":"    \
    "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"type\":\"integer\"}}}}}"

START_TEST(anthropic_gives_json_through_a_tool) {
    struct web w;
    sh_auto(sh_free_p) char *script = anthropic_script("json_answer", "tool_use");
    web_begin(&w, script);
    configure(&w, "anthropic");
    ask(&w, "{" MESSAGES "," FORMAT "}");
    ck_assert_str_eq(content(&w), "{\"a\":1}");
    sh_assert_str(sh_json_get_str(w.result, "finish_reason"), "stop");
    ck_assert_ptr_null(json_object_get(w.result, "tool_calls"));
    sh_auto(sh_json_done) json_t *body = sent(&w, 0);
    sh_assert_str(sh_json_get_str(json_object_get(body, "tool_choice"), "name"), "json_answer");
    web_end(&w);
}
END_TEST

START_TEST(anthropic_failures_are_told_apart) {
    static const struct {
        const char *answer;
        int code;
        bool retryable;
        const char *says;
    } rows[] = {
        {"{\"status\":529,\"json\":{\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
         "\"message\":\"Overloaded " SECRET "\"}}}",
         SH_E_UPSTREAM, true, "Overloaded ***"},
        {"{\"status\":400,\"json\":{\"error\":{\"message\":\"bad\"}}}", SH_E_UPSTREAM_REJECTED,
         false, "\"bad\""},
        {"{\"body\":\"data: "
         "{\\\"type\\\":\\\"error\\\",\\\"error\\\":{\\\"message\\\":\\\"no " SECRET
         "\\\"}}\\n\\n\"}",
         SH_E_UPSTREAM, true, "no ***"},
        {"{\"body\":\"data: {\\\"type\\\":\\\"content_block_delta\\\",\\\"delta\\\":{\\\"type\\\":"
         "\\\"input_json_delta\\\",\\\"partial_json\\\":\\\"1\\\"}}\\n\\n\"}",
         SH_E_UPSTREAM, false, "before their tool call"},
        {"{\"body\":\"data: {\\\"type\\\":\\\"message_stop\\\"}\\n\\n\"}", SH_E_UPSTREAM, false,
         "no answer"},
        {"{\"body\":\"<html>\"}", SH_E_UPSTREAM, false, "no answer"},
        {"{\"json\":{\"type\":\"message\"}}", SH_E_UPSTREAM, false, "no content"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        sh_auto(sh_free_p) char *script = sh_asprintf("{\"*\":%s}", rows[i].answer);
        web_begin(&w, script);
        configure(&w, "anthropic");
        ck_assert_int_eq(setenv("SH_TEST_KEY", SECRET, 1), 0);
        ask(&w, "{" MESSAGES "}");
        web_fails(&w, rows[i].code, rows[i].says);
        ck_assert_msg(w.retryable == rows[i].retryable, "row %zu", i);
        ck_assert_ptr_null(strstr(w.err.message, SECRET));
        web_end(&w);
    }
}
END_TEST

START_TEST(an_anthropic_answer_that_is_not_streamed_is_read) {
    struct web w;
    web_begin(&w,
              "{\"*\":{\"json\":{\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"hey\"},"
              "{\"type\":\"tool_use\",\"id\":\"1\",\"name\":\"f\",\"input\":{\"z\":2}}],"
              "\"stop_reason\":\"tool_use\",\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}}");
    configure(&w, "anthropic");
    ask(&w, "{" MESSAGES "}");
    ck_assert_str_eq(content(&w), "hey");
    ck_assert_uint_eq(json_array_size(json_object_get(w.result, "tool_calls")), 1);
    web_end(&w);
}
END_TEST

#define CHAT(text)                                                                                 \
    "{\"json\":{\"model\":\"m\",\"choices\":[{\"message\":{\"content\":" text                      \
    "},\"finish_reason\":\"stop\"}]}}"

START_TEST(json_answers_are_checked_by_the_host) {
    static const struct {
        const char *answer;
        int code; /* 0: good */
        const char *says;
    } rows[] = {
        {CHAT("\"{\\\"a\\\":1}\""), 0, "{\"a\":1}"},
        {CHAT("\"```json\\n{\\\"a\\\":1}\\n```\""), 0, "{\"a\":1}\n"},
        {CHAT("\"{\\\"a\\\":\\\"x\\\"}\""), SH_E_UPSTREAM, "content.a: expected integer"},
        {CHAT("\"{}\""), SH_E_UPSTREAM, "content.a"},
        {CHAT("\"Sure! {\""), SH_E_UPSTREAM, "JSON was asked for"},
        {CHAT("\"\""), SH_E_UPSTREAM, "JSON was asked for"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        sh_auto(sh_free_p) char *script = sh_asprintf("{\"*\":%s}", rows[i].answer);
        web_begin(&w, script);
        configure(&w, "openai");
        ask(&w, "{" MESSAGES "," FORMAT "}");
        if (rows[i].code) {
            web_fails(&w, rows[i].code, rows[i].says);
            ck_assert(w.retryable);
        } else {
            ck_assert_str_eq(content(&w), rows[i].says);
        }
        web_end(&w);
    }
}
END_TEST

static json_t *two_models(struct web *w) {
    sh_auto(sh_free_p) char *url = sh_asprintf("http://127.0.0.1:%d/second", w->port);
    return json_pack("{s:{s:s,s:s},s:{s:s,s:s,s:s}}", "second", "base_url", url, "model", "big",
                     "third", "provider", "anthropic", "base_url", url, "model", "claude");
}

START_TEST(a_model_that_cannot_answer_is_stood_in_for) {
    struct web w;
    web_begin(&w, "{\"/v1/chat/completions\":{\"status\":503},"
                  "\"/second/chat/completions\":" CHAT("\"from the second\"") "}");
    configure(&w, "openai");
    json_t *models = two_models(&w);
    json_t *fallback = json_pack("[s]", "second");
    w.config.llm_models = models;
    w.config.llm_fallback = fallback;
    ask(&w, "{" MESSAGES "}");
    ck_assert_str_eq(content(&w), "from the second");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 2);
    sh_assert_str(
        sh_json_get_str(json_object_get(json_array_get(log, 0), "headers"), "idempotency-key"),
        "wf-1:0");
    sh_assert_str(
        sh_json_get_str(json_object_get(json_array_get(log, 1), "headers"), "idempotency-key"),
        "wf-1:0.f1");
    sh_auto(sh_json_done) json_t *body = sent(&w, 1);
    sh_assert_str(sh_json_get_str(body, "model"), "big");
    /* who names a model means it; who names none to stand in, too */
    ask(&w, "{" MESSAGES ",\"model\":\"other\"}");
    web_fails(&w, SH_E_UPSTREAM, "503");
    ask(&w, "{" MESSAGES ",\"fallback\":[]}");
    web_fails(&w, SH_E_UPSTREAM, "503");
    ask(&w, "{" MESSAGES ",\"model\":\"other\",\"fallback\":[\"second\"]}");
    ck_assert_str_eq(content(&w), "from the second");
    ask(&w, "{" MESSAGES ",\"model\":\"second\"}");
    ck_assert_str_eq(content(&w), "from the second");
    ask(&w, "{" MESSAGES ",\"fallback\":[\"nobody\"]}");
    web_fails(&w, SH_E_INVAL, "nobody");
    json_decref(models);
    json_decref(fallback);
    web_end(&w);
}
END_TEST

START_TEST(when_all_fail_the_last_reason_is_told_once) {
    struct web w;
    web_begin(&w, "{\"/v1/chat/completions\":{\"status\":503},"
                  "\"/second/chat/completions\":{\"status\":429},"
                  "\"/second/messages\":{\"status\":500}}");
    configure(&w, "openai");
    json_t *models = two_models(&w);
    json_t *fallback = json_pack("[s,s]", "second", "third");
    w.config.llm_models = models;
    w.config.llm_fallback = fallback;
    ask(&w, "{" MESSAGES "}");
    web_fails(&w, SH_E_UPSTREAM, "answered 500");
    ck_assert(w.retryable);
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 3);
    json_decref(models);
    json_decref(fallback);
    web_end(&w);
}
END_TEST

START_TEST(text_that_was_shown_is_not_followed_by_another_models) {
    struct web w;
    web_begin(&w,
              "{\"/v1/chat/completions\":{\"chunked\":[\"data: {\\\"choices\\\":[{\\\"delta\\\":"
              "{\\\"content\\\":\\\"half\\\"}}]}\\n\\n\"],\"cut\":1},"
              "\"/second/chat/completions\":" CHAT("\"no\"") "}");
    configure(&w, "openai");
    json_t *models = two_models(&w);
    json_t *fallback = json_pack("[s]", "second");
    w.config.llm_models = models;
    w.config.llm_fallback = fallback;
    ask(&w, "{" MESSAGES "}");
    web_fails(&w, SH_E_UPSTREAM, "broke off");
    ck_assert(w.retryable);
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    ck_assert_uint_eq(json_array_size(log), 1);
    json_decref(models);
    json_decref(fallback);
    web_end(&w);
}
END_TEST

START_TEST(silence_is_given_up_before_the_whole_time_is) {
    struct web w;
    web_begin(&w, "{\"*\":{\"hang\":true}}");
    configure(&w, "openai");
    w.timeout_ms = 50000;
    w.config.llm_first_ms = 200;
    ask(&w, "{" MESSAGES "}");
    web_fails(&w, SH_E_TIMEOUT, "sent nothing for 200 ms");
    ck_assert(w.retryable);
    web_end(&w);
    web_begin(&w, "{\"*\":{\"chunked\":[\"data: {\\\"choices\\\":[{\\\"delta\\\":{\\\"content\\\":"
                  "\\\"a\\\"}}]}\\n\\n\"],\"hang_after\":true}}");
    configure(&w, "openai");
    w.timeout_ms = 50000;
    w.config.llm_between_ms = 200;
    ask(&w, "{" MESSAGES "}");
    web_fails(&w, SH_E_TIMEOUT, "fell silent for 200 ms");
    web_end(&w);
}
END_TEST

START_TEST(wrong_models_are_refused_at_start) {
    static const struct {
        const char *models, *fallback, *says;
    } rows[] = {
        {"{\"a\":1}", "[]", "[llm.models.a]"},
        {"{\"a\":{}}", "[]", "[llm.models.a] model"},
        {"{\"a\":{\"model\":\"m\",\"provider\":\"x\"}}", "[]", "[llm.models.a] provider"},
        {"{\"a\":{\"model\":\"m\",\"base_url\":\"x\"}}", "[]", "[llm.models.a] base_url"},
        {"{\"a\":{\"model\":\"m\",\"mxodel\":\"x\"}}", "[]", "mxodel"},
        {"{\"a\":{\"model\":\"m\"}}", "[\"b\"]", "\"b\""},
        {"{\"a\":{\"model\":\"m\"}}", "[1]", "another value"},
        {"{\"a\":{\"model\":\"m\"}}", "[\"a\",\"a\",\"a\",\"a\",\"a\"]", "at most 4"},
    };
    struct web w;
    web_begin(&w, NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        json_t *models = web_args(&w, rows[i].models);
        json_t *fallback = web_args(&w, rows[i].fallback);
        struct sh_tools *t = NULL;
        w.config.llm_models = models;
        w.config.llm_fallback = fallback;
        ck_assert_int_lt(sh_tools_new(w.loop, &w.config, &t, &w.err), 0);
        ck_assert_msg(strstr(w.err.message, rows[i].says) != NULL, "%s", w.err.message);
        json_decref(models);
        json_decref(fallback);
    }
    w.config.llm_models = w.config.llm_fallback = NULL;
    web_end(&w);
}
END_TEST

static void setup(void) {
    sh_buf_init(&deltas, SH_MIB);
    unsetenv("SH_TEST_KEY");
}

static Suite *suite(void) {
    const TTest *const tests[] = {anthropic_text_is_streamed_and_counted,
                                  anthropic_requests_say_the_same_in_their_form,
                                  anthropic_gives_json_through_a_tool,
                                  anthropic_failures_are_told_apart,
                                  an_anthropic_answer_that_is_not_streamed_is_read,
                                  json_answers_are_checked_by_the_host,
                                  a_model_that_cannot_answer_is_stood_in_for,
                                  when_all_fail_the_last_reason_is_told_once,
                                  text_that_was_shown_is_not_followed_by_another_models,
                                  silence_is_given_up_before_the_whole_time_is,
                                  wrong_models_are_refused_at_start,
                                  NULL};
    setup();
    return sh_suite("tools_llm_models", tests);
}

SH_TEST_MAIN(suite)
