/* The configuration: defaults, every kind of wrong value, the environment, addresses. */
#include "../lib/check_main.h"

#include "config.h"
#include "nearest.h"

static struct sh_config config;
static struct sh_err err;

static void setup(void) {
    err = (struct sh_err){0};
    sh_config_init(&config);
}

static int apply(const char *text) {
    json_t *doc = NULL;
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &doc, &err), &err);
    int rc = sh_config_apply(&config, doc, "test.toml", &err);
    json_decref(doc);
    return rc;
}

START_TEST(defaults_are_complete_and_valid) {
    setup();
    ck_assert_str_eq(config.server_listen, "127.0.0.1:8765");
    ck_assert_str_eq(config.store_endpoint, "rocksdb:db");
    ck_assert_str_eq(config.agents_default, "chain_of_thought");
    ck_assert_uint_eq(config.llm_timeout_ms, 300000);
    ck_assert_uint_eq(config.policy_approval_timeout_ms, 600000);
    ck_assert_uint_eq(json_array_size(config.server_origins), 3);
    ck_assert_uint_eq(json_array_size(config.server_hosts), 0);
    sh_assert_ok(sh_config_check(&config, &err), &err);
    sh_config_done(&config);
}
END_TEST

START_TEST(file_values_replace_defaults) {
    setup();
    sh_assert_ok(apply("{\"server\":{\"listen\":\"[::1]:0\",\"executors\":3,\"hosts\":[\"a:1\"]},"
                       "\"llm\":{\"model\":\"m\",\"timeout\":\"90s\",\"prices\":{\"m\":{}}}}"),
                 &err);
    ck_assert_str_eq(config.server_listen, "[::1]:0");
    ck_assert_uint_eq(config.server_executors, 3);
    ck_assert_str_eq(config.llm_model, "m");
    ck_assert_uint_eq(config.llm_timeout_ms, 90000);
    ck_assert_ptr_nonnull(config.llm_prices);
    sh_config_done(&config);
}
END_TEST

START_TEST(unknown_keys_and_sections_name_the_nearest) {
    setup();
    sh_assert_fails(apply("{\"server\":{\"listn\":\"x\"}}"), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "did you mean listen?"));
    sh_assert_fails(apply("{\"sever\":{}}"), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "did you mean [server]?"));
    sh_assert_fails(apply("{\"zzzzzzzzzzz\":{}}"), SH_E_INVAL, &err);
    ck_assert_ptr_null(strstr(err.message, "did you mean"));
    sh_config_done(&config);
}
END_TEST

START_TEST(wrong_types_are_refused_by_name) {
    static const char *const wrong[] = {
        "{\"server\":{\"listen\":1}}",
        "{\"server\":{\"executors\":-1}}",
        "{\"server\":{\"executors\":1025}}",
        "{\"server\":{\"hosts\":\"a\"}}",
        "{\"server\":{\"hosts\":[1]}}",
        "{\"llm\":{\"timeout\":5}}",
        "{\"llm\":{\"timeout\":\"soon\"}}",
        "{\"llm\":{\"prices\":[]}}",
        "{\"server\":[]}",
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        setup();
        sh_assert_fails(apply(wrong[i]), SH_E_INVAL, &err);
        sh_config_done(&config);
    }
    setup();
    sh_assert_ok(apply("{\"server\":{\"executors\":1024}}"), &err);
    sh_assert_fails(apply("{\"mcp\":1}"), SH_E_INVAL, &err);
    sh_config_done(&config);
}
END_TEST

static const char *fake_env(const char *name) {
    if (strcmp(name, "SHANNON_LLM_BASE_URL") == 0) {
        return "http://127.0.0.1:1/v1";
    }
    if (strcmp(name, "SHANNON_SERVER_HOSTS") == 0) {
        return "a:1, b:2,";
    }
    return NULL;
}

static const char *bad_env(const char *name) {
    return strcmp(name, "SHANNON_SERVER_EXECUTORS") == 0 ? "many" : NULL;
}

START_TEST(environment_wins_over_the_file) {
    setup();
    sh_assert_ok(apply("{\"llm\":{\"base_url\":\"http://file\"}}"), &err);
    sh_assert_ok(sh_config_env(&config, fake_env, &err), &err);
    ck_assert_str_eq(config.llm_base_url, "http://127.0.0.1:1/v1");
    ck_assert_uint_eq(json_array_size(config.server_hosts), 2);
    ck_assert_str_eq(json_string_value(json_array_get(config.server_hosts, 1)), "b:2");
    sh_assert_fails(sh_config_env(&config, bad_env, &err), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "SHANNON_SERVER_EXECUTORS"));
    sh_config_done(&config);
}
END_TEST

static const char *compaction_env(const char *name) {
    return strcmp(name, "SHANNON_COMPACTION_BYTES") == 0 ? "0B" : NULL;
}

static const char *bare_env(const char *name) {
    return strcmp(name, "SHANNON_COMPACTION_BYTES") == 0 ? "many" : NULL;
}

START_TEST(the_size_of_a_journal_is_set_by_file_and_environment) {
    setup();
    ck_assert_uint_eq(config.compaction_bytes, 16 * SH_MIB);
    ck_assert_uint_eq(config.compaction_after, 10000);
    sh_assert_ok(apply("{\"compaction\":{\"bytes\":\"3KiB\"}}"), &err);
    ck_assert_uint_eq(config.compaction_bytes, 3 * SH_KIB);
    ck_assert_uint_eq(config.compaction_after, 10000);
    sh_assert_fails(apply("{\"compaction\":{\"bytes\":3}}"), SH_E_INVAL, &err);
    sh_assert_fails(apply("{\"compaction\":{\"byte\":\"3KiB\"}}"), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "did you mean bytes?"));
    sh_assert_fails(sh_config_env(&config, bare_env, &err), SH_E_INVAL, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "SHANNON_COMPACTION_BYTES"));
    ck_assert_uint_eq(config.compaction_bytes, 3 * SH_KIB); /* what is wrong changes nothing */
    sh_assert_ok(sh_config_env(&config, compaction_env, &err), &err);
    ck_assert_uint_eq(config.compaction_bytes, 0);
    sh_config_done(&config);
}
END_TEST

START_TEST(addresses_are_read_strictly) {
    char host[64];
    uint16_t port = 0;
    sh_assert_ok(sh_listen_parse("127.0.0.1:65535", host, &port, &err), &err);
    ck_assert_str_eq(host, "127.0.0.1");
    ck_assert_uint_eq(port, 65535);
    sh_assert_ok(sh_listen_parse("[::1]:0", host, &port, &err), &err);
    ck_assert_str_eq(host, "::1");
    static const char *const wrong[] = {"",           ":1",     "host",    "host:",   "host:x",
                                        "host:65536", "::1:80", "host:-1", "host: 1", "[]:1"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        sh_assert_fails(sh_listen_parse(wrong[i], host, &port, &err), SH_E_INVAL, &err);
    }
}
END_TEST

START_TEST(off_loopback_needs_hosts) {
    setup();
    sh_assert_ok(apply("{\"server\":{\"listen\":\"0.0.0.0:80\"}}"), &err);
    sh_assert_fails(sh_config_check(&config, &err), SH_E_INVAL, &err);
    sh_assert_ok(apply("{\"server\":{\"hosts\":[\"box.lan\"]}}"), &err);
    sh_assert_ok(sh_config_check(&config, &err), &err);
    sh_config_done(&config);
}
END_TEST

START_TEST(nearest_is_near_or_none) {
    static const char *const known[] = {"serve", "status", "events", NULL};
    ck_assert_str_eq(sh_nearest("sevre", known), "serve");
    ck_assert_str_eq(sh_nearest("event", known), "events");
    ck_assert_ptr_null(sh_nearest("completely-else", known));
    char longer[200];
    memset(longer, 'a', sizeof(longer) - 1);
    longer[sizeof(longer) - 1] = 0;
    ck_assert_ptr_null(sh_nearest(longer, known));
}
END_TEST

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = defaults_are_complete_and_valid;
    tests[n++] = file_values_replace_defaults;
    tests[n++] = unknown_keys_and_sections_name_the_nearest;
    tests[n++] = wrong_types_are_refused_by_name;
    tests[n++] = environment_wins_over_the_file;
    tests[n++] = the_size_of_a_journal_is_set_by_file_and_environment;
    tests[n++] = addresses_are_read_strictly;
    tests[n++] = off_loopback_needs_hosts;
    tests[n++] = nearest_is_near_or_none;
    return sh_suite("api_config", tests);
}

SH_TEST_MAIN(suite)
