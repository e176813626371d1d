/* What cannot work is told before anyone is asked to allow it: no server, no key, no rule. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

static int ready(struct web *w, const char *op, const char *args) {
    if (!w->tools) {
        sh_assert_ok(sh_tools_new(w->loop, &w->config, &w->tools, &w->err), &w->err);
    }
    sh_auto(sh_json_done) json_t *doc = web_args(w, args);
    struct sh_tool_call call = {.tool = sh_tools_find(w->tools, sh_str(op)),
                                .args = doc,
                                .may_reach = web_may_reach,
                                .may_use = web_may_use,
                                .arg = w};
    w->err = (struct sh_err){0};
    return sh_tools_ready(w->tools, &call, &w->err);
}

static void again(struct web *w) {
    w->tools = sh_tools_free(w->tools);
}

START_TEST(a_search_needs_a_server_and_the_key_that_it_asks_for) {
    struct web w;
    web_begin(&w, NULL);
    unsetenv("SH_TEST_KEY");
    ck_assert_int_eq(ready(&w, "web_search", "{\"query\":\"q\"}"), -SH_E_UNCONFIGURED);
    web_fails(&w, w.err.code, "[search]");
    web_call(&w, "web_search", "{\"query\":\"q\"}"); /* and it is no crash to try */
    web_fails(&w, SH_E_UNCONFIGURED, "base_url");
    ck_assert(!sh_code_info(SH_E_UNCONFIGURED)->retryable);
    again(&w);
    w.config.search_provider = "tavily";
    w.config.search_api_key_env = "SH_TEST_KEY";
    ck_assert_int_eq(ready(&w, "web_search", "{\"query\":\"q\"}"), -SH_E_UNCONFIGURED);
    web_fails(&w, w.err.code, "SH_TEST_KEY");
    ck_assert_int_eq(setenv("SH_TEST_KEY", "k", 1), 0);
    sh_assert_ok(ready(&w, "web_search", "{\"query\":\"q\"}"), &w.err);
    again(&w);
    w.config.search_provider = "searxng";
    w.config.search_base_url = "http://127.0.0.1:1";
    unsetenv("SH_TEST_KEY");
    sh_assert_ok(ready(&w, "web_search", "{\"query\":\"q\"}"), &w.err);
    web_end(&w);
}
END_TEST

START_TEST(a_model_needs_a_key_only_where_its_server_does) {
    struct web w;
    web_begin(&w, NULL);
    unsetenv("ANTHROPIC_API_KEY");
    sh_assert_ok(ready(&w, "llm", "{\"messages\":[]}"), &w.err);
    again(&w);
    w.config.llm_provider = "anthropic";
    ck_assert_int_eq(ready(&w, "llm", "{\"messages\":[]}"), -SH_E_UNCONFIGURED);
    web_fails(&w, w.err.code, "ANTHROPIC_API_KEY");
    ck_assert_int_eq(setenv("ANTHROPIC_API_KEY", "k", 1), 0);
    sh_assert_ok(ready(&w, "llm", "{\"messages\":[]}"), &w.err);
    unsetenv("ANTHROPIC_API_KEY");
    again(&w);
    w.config.llm_base_url = "http://127.0.0.1:1/v1"; /* somebody's own, which may ask for none */
    sh_assert_ok(ready(&w, "llm", "{\"messages\":[]}"), &w.err);
    again(&w);
    w.config.llm_base_url = NULL;
    sh_auto(sh_json_done) json_t *models =
        json_pack("{s:{s:s,s:s}}", "small", "base_url", "http://127.0.0.1:1/v1", "model", "m");
    sh_auto(sh_json_done) json_t *fallback = json_pack("[s]", "small");
    w.config.llm_models = models;
    w.config.llm_fallback = fallback;
    sh_assert_ok(ready(&w, "llm", "{\"messages\":[]}"), &w.err); /* another can stand in */
    sh_assert_ok(ready(&w, "llm", "{\"messages\":[],\"model\":\"small\"}"), &w.err);
    ck_assert_int_eq(ready(&w, "llm", "{\"messages\":[],\"fallback\":[]}"), -SH_E_UNCONFIGURED);
    ck_assert_int_eq(ready(&w, "llm", "{\"messages\":[],\"model\":\"x\"}"), -SH_E_UNCONFIGURED);
    ck_assert_int_eq(ready(&w, "llm", "{\"messages\":[],\"fallback\":[\"x\"]}"), -SH_E_INVAL);
    web_end(&w);
}
END_TEST

START_TEST(a_request_needs_a_rule_and_the_credential_that_it_names) {
    struct web w;
    web_begin(&w, NULL);
    w.config.worker = "/bin/true";
    sh_assert_ok(ready(&w, "http", "{\"url\":\"%s/a\",\"method\":\"POST\"}"), &w.err);
    ck_assert_int_eq(ready(&w, "http", "{\"url\":\"%s/a\",\"credential\":\"none\"}"),
                     -SH_E_UNCONFIGURED);
    web_fails(&w, w.err.code, "[http.credentials.none]");
    ck_assert_int_eq(ready(&w, "http", "{\"url\":\"file:///etc/passwd\"}"), -SH_E_INVAL);
    sh_assert_ok(ready(&w, "web_fetch", "{\"url\":\"%s/a\"}"), &w.err);
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,"
                  "\"methods\":[\"GET\"],\"path\":\"/a\"}]}");
    sh_assert_ok(ready(&w, "http", "{\"url\":\"%s/a\"}"), &w.err);
    ck_assert_int_eq(ready(&w, "http", "{\"url\":\"%s/a\",\"method\":\"POST\"}"), -SH_E_DENIED);
    web_fails(&w, w.err.code, "--allow-net");
    ck_assert_int_eq(ready(&w, "web_fetch", "{\"url\":\"%s/b\"}"), -SH_E_DENIED);
    again(&w);
    w.config.worker = NULL;
    ck_assert_int_eq(ready(&w, "web_fetch", "{\"url\":\"%s/a\"}"), -SH_E_UNCONFIGURED);
    web_end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_search_needs_a_server_and_the_key_that_it_asks_for,
                                  a_model_needs_a_key_only_where_its_server_does,
                                  a_request_needs_a_rule_and_the_credential_that_it_names, NULL};
    return sh_suite("tools_ready", tests);
}

SH_TEST_MAIN(suite)
