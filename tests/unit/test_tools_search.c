/* web_search with servers of each shape: what is asked, what is made of the answers, what fails. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

#define SECRET "search-secret"

static void configure(struct web *w, const char *provider) {
    static char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", w->port);
    w->config.search_provider = provider;
    w->config.search_base_url = url;
    w->config.search_api_key_env = "SH_TEST_KEY";
    ck_assert_int_eq(setenv("SH_TEST_KEY", SECRET, 1), 0);
}

static const json_t *first(const struct web *w) {
    return json_array_get(json_object_get(web_good(w), "results"), 0);
}

START_TEST(searxng_is_asked_and_read) {
    struct web w;
    web_begin(&w,
              "{\"GET /search\":{\"json\":{\"query\":\"x\",\"results\":[{\"url\":"
              "\"https://a.example/1\",\"title\":\"A &amp; <b>B</b>\",\"content\":\"one\\n  two\"},"
              "{\"url\":\"javascript:alert(1)\",\"title\":\"bad\"},{\"title\":\"no address\"},7,"
              "{\"url\":\"http://b.example/\"}]}}}");
    configure(&w, "searxng");
    unsetenv("SH_TEST_KEY");
    web_call(&w, "web_search",
             "{\"query\":\"caf\xc3\xa9 & more?\",\"language\":\"de\",\"time_range\":\"week\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(web_good(&w), "results")), 2);
    sh_assert_str(sh_json_get_str(first(&w), "title"), "A & B");
    sh_assert_str(sh_json_get_str(first(&w), "snippet"), "one two");
    sh_assert_str(sh_json_get_str(first(&w), "url"), "https://a.example/1");
    sh_assert_str(sh_json_get_str(w.result, "provider"), "searxng");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    sh_assert_str(sh_json_get_str(json_array_get(log, 0), "path"),
                  "/search?q=caf%C3%A9%20%26%20more%3F&format=json&language=de&time_range=week");
    web_end(&w);
}
END_TEST

START_TEST(tavily_is_asked_and_read) {
    struct web w;
    web_begin(&w, "{\"POST /search\":{\"json\":{\"results\":[{\"url\":\"https://t.example/\","
                  "\"title\":\"T\",\"content\":\"c\",\"score\":0.5}]}}}");
    configure(&w, "tavily");
    web_call(&w, "web_search", "{\"query\":\"q\",\"count\":3}");
    sh_assert_str(sh_json_get_str(first(&w), "snippet"), "c");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *request = json_array_get(log, 0);
    sh_assert_str(sh_json_get_str(json_object_get(request, "headers"), "authorization"),
                  "Bearer " SECRET);
    sh_assert_str(sh_json_get_str(request, "body"), "{\"max_results\":3,\"query\":\"q\"}");
    web_end(&w);
}
END_TEST

START_TEST(brave_is_asked_and_read) {
    struct web w;
    web_begin(
        &w, "{\"GET /res/v1/web/search\":[{\"json\":{\"web\":{\"results\":[{\"url\":"
            "\"https://b.example/\",\"title\":\"B\",\"description\":\"a <strong>b</strong> 1 < 2\"}"
            "]}}},{\"json\":{\"type\":\"search\"}}]}");
    configure(&w, "brave");
    web_call(&w, "web_search", "{\"query\":\"q\",\"count\":2,\"time_range\":\"day\"}");
    sh_assert_str(sh_json_get_str(first(&w), "snippet"), "a b 1 < 2");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    const json_t *request = json_array_get(log, 0);
    sh_assert_str(sh_json_get_str(json_object_get(request, "headers"), "x-subscription-token"),
                  SECRET);
    sh_assert_str(sh_json_get_str(request, "path"), "/res/v1/web/search?q=q&count=2&freshness=pd");
    web_call(&w, "web_search", "{\"query\":\"nothing\"}");
    ck_assert_uint_eq(json_array_size(json_object_get(web_good(&w), "results")), 0);
    web_end(&w);
}
END_TEST

START_TEST(a_key_that_is_echoed_is_not_seen) {
    struct web w;
    web_begin(&w, "{\"*\":{\"json\":{\"results\":[{\"url\":\"https://t.example/\",\"title\":"
                  "\"key " SECRET "\",\"content\":\"c\"}]}}}");
    configure(&w, "tavily");
    web_call(&w, "web_search", "{\"query\":\"q\"}");
    sh_assert_str(sh_json_get_str(first(&w), "title"), "key ***");
    web_end(&w);
}
END_TEST

START_TEST(counts_and_lengths_end_at_their_edge) {
    struct web w;
    sh_auto(sh_buf_done) struct sh_buf script = {0};
    sh_buf_init(&script, SH_MIB);
    sh_buf_adds(&script, "{\"*\":{\"json\":{\"results\":[");
    for (int i = 0; i < 30; i++) {
        sh_buf_addf(&script, "%s{\"url\":\"http://x/%d\",\"title\":\"", i ? "," : "", i);
        for (int k = 0; k < 300 + (i == 1); k++) {
            sh_buf_adds(&script, "\xc3\xa4");
        }
        sh_buf_adds(&script, "\"}");
    }
    sh_buf_adds(&script, "]}}}");
    web_begin(&w, script.p);
    configure(&w, "searxng");
    web_call(&w, "web_search", "{\"query\":\"q\"}");
    const json_t *list = json_object_get(web_good(&w), "results");
    ck_assert_uint_eq(json_array_size(list), 10);
    ck_assert_uint_eq(sh_utf8_count(sh_json_get_str(json_array_get(list, 0), "title")), 300);
    ck_assert_uint_eq(sh_utf8_count(sh_json_get_str(json_array_get(list, 1), "title")), 300);
    web_call(&w, "web_search", "{\"query\":\"q\",\"count\":20}");
    ck_assert_uint_eq(json_array_size(json_object_get(web_good(&w), "results")), 20);
    web_call(&w, "web_search", "{\"query\":\"q\",\"count\":21}");
    web_fails(&w, SH_E_INVAL, "at most 20");
    web_call(&w, "web_search", "{\"query\":\"\"}");
    web_fails(&w, SH_E_INVAL, "at least 1");
    web_end(&w);
}
END_TEST

START_TEST(failures_say_what_to_do) {
    static const struct {
        const char *provider, *answer;
        int code;
        bool retryable;
        const char *says;
    } rows[] = {
        {"searxng", "{\"status\":403}", SH_E_UPSTREAM_REJECTED, false, "search.formats"},
        {"tavily", "{\"status\":401,\"body\":\"bad key " SECRET "\"}", SH_E_UPSTREAM_REJECTED,
         false, "bad key ***\"; check [search] api_key_env"},
        {"brave", "{\"status\":429,\"headers\":{\"Retry-After\":\"3\"}}", SH_E_RATE, true, "429"},
        {"searxng", "{\"status\":500}", SH_E_UPSTREAM, true, "500"},
        {"searxng", "{\"body\":\"<html>\"}", SH_E_UPSTREAM, false, "did not answer with results"},
        {"searxng", "{\"json\":{\"results\":{}}}", SH_E_UPSTREAM, false, "missing"},
        {"brave", "{\"json\":{\"web\":1}}", SH_E_UPSTREAM, false, "missing"},
        {"brave", "{\"json\":[]}", SH_E_UPSTREAM, false, "missing"},
        {"searxng", "{\"body\":\"0123456789\",\"repeat\":500000}", SH_E_LIMIT, false,
         "search server"},
        {"searxng", "{\"body\":\"{\\\"results\\\":[\",\"cut\":5}", SH_E_UNAVAILABLE, true,
         "base_url"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        sh_auto(sh_free_p) char *script = sh_asprintf("{\"*\":%s}", rows[i].answer);
        web_begin(&w, script);
        configure(&w, rows[i].provider);
        web_call(&w, "web_search", "{\"query\":\"q\"}");
        web_fails(&w, rows[i].code, rows[i].says);
        ck_assert_msg(w.retryable == rows[i].retryable, "row %zu", i);
        ck_assert_ptr_null(strstr(w.err.message, SECRET));
        web_end(&w);
    }
}
END_TEST

START_TEST(a_key_that_is_needed_is_asked_for) {
    struct web w;
    web_begin(&w, "{}");
    configure(&w, "tavily");
    unsetenv("SH_TEST_KEY");
    web_call(&w, "web_search", "{\"query\":\"q\"}");
    web_fails(&w, SH_E_UNCONFIGURED, "SH_TEST_KEY");
    web_end(&w);
    web_begin(&w, NULL);
    struct sh_tools *t = NULL;
    w.config.search_provider = "altavista";
    sh_assert_fails(sh_tools_new(w.loop, &w.config, &t, &w.err), SH_E_UNSUPPORTED, &w.err);
    w.config.search_provider = "searxng";
    w.config.search_base_url = "searx.lan";
    sh_assert_fails(sh_tools_new(w.loop, &w.config, &t, &w.err), SH_E_INVAL, &w.err);
    web_end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {searxng_is_asked_and_read,
                                  tavily_is_asked_and_read,
                                  brave_is_asked_and_read,
                                  a_key_that_is_echoed_is_not_seen,
                                  counts_and_lengths_end_at_their_edge,
                                  failures_say_what_to_do,
                                  a_key_that_is_needed_is_asked_for,
                                  NULL};
    return sh_suite("tools_search", tests);
}

SH_TEST_MAIN(suite)
