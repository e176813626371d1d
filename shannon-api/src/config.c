/* One table names every key with its type and default; file, environment and errors go by it. */
#include "config.h"

#include "nearest.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { TEXT, NUMBER, COUNT, SIZE, DURATION, LIST, TABLE };

struct key {
    const char *section, *name;
    enum kind kind;
    size_t offset;
    const char *fallback; /* in the form of the environment; NULL: none */
};

#define KEY(section, name, kind, fallback)                                                         \
    {#section, #name, kind, offsetof(struct sh_config, section##_##name), fallback}
static const struct key keys[] = {
    KEY(server, listen, TEXT, "127.0.0.1:8765"),
    KEY(server, executors, NUMBER, "0"),
    KEY(server, origins, LIST, "tauri://localhost,http://tauri.localhost,https://tauri.localhost"),
    KEY(server, hosts, LIST, ""),
    KEY(server, log, TEXT, "info"),
    KEY(store, endpoint, TEXT, "rocksdb:db"),
    KEY(store, sync, TEXT, "every"),
    KEY(llm, base_url, TEXT, NULL), /* the provider's own */
    KEY(llm, model, TEXT, "llama3.2"),
    KEY(llm, api_key_env, TEXT, NULL), /* sh_config_llm_key_env */
    KEY(llm, api_key_file, TEXT, NULL),
    KEY(llm, provider, TEXT, "openai"),
    {"llm", "timeout", DURATION, offsetof(struct sh_config, llm_timeout_ms), "5m"},
    {"llm", "connect_timeout", DURATION, offsetof(struct sh_config, llm_connect_timeout_ms), "10s"},
    {"llm", "first_token_timeout", DURATION, offsetof(struct sh_config, llm_first_token_timeout_ms),
     "5m"},
    {"llm", "between_tokens_timeout", DURATION,
     offsetof(struct sh_config, llm_between_tokens_timeout_ms), "60s"},
    KEY(llm, prices, TABLE, NULL),
    KEY(llm, models, TABLE, NULL),
    KEY(llm, fallback, LIST, ""),
    KEY(search, provider, TEXT, "searxng"),
    KEY(search, base_url, TEXT, NULL), /* the provider's own */
    KEY(search, api_key_env, TEXT, NULL),
    KEY(search, api_key_file, TEXT, NULL),
    {"http", "timeout", DURATION, offsetof(struct sh_config, http_timeout_ms), "60s"},
    KEY(http, credentials, TABLE, NULL),
    KEY(agents, default, TEXT, "chain_of_thought"),
    KEY(agents, path, LIST, "agents"),
    {"engine", "cancel_grace", DURATION, offsetof(struct sh_config, engine_cancel_grace_ms), "2s"},
    KEY(policy, file, TEXT, "policy.toml"),
    KEY(policy, on_budget, TEXT, "fail"),
    KEY(engine, max_running, NUMBER, "0"),
    KEY(engine, session_max_running, NUMBER, "0"),
    KEY(engine, agent_max_running, TABLE, NULL),
    {"engine", "passivate_after", DURATION, offsetof(struct sh_config, engine_passivate_after_ms),
     "1m"},
    {"policy", "approval_timeout", DURATION, offsetof(struct sh_config, policy_approval_timeout_ms),
     "10m"},
    {"retention", "keep", DURATION, offsetof(struct sh_config, retention_keep_ms), "0s"},
    {"retention", "keep_failed", DURATION, offsetof(struct sh_config, retention_keep_failed_ms),
     "0s"},
    KEY(compaction, after, COUNT, "10000"),
    KEY(compaction, bytes, SIZE, "16MiB"),
};
#define N_KEYS (sizeof(keys) / sizeof(keys[0]))

static void *member(struct sh_config *c, const struct key *key) {
    return (char *)c + key->offset;
}

static void set_text(struct sh_config *c, const struct key *key, const char *value) {
    char **at = member(c, key);
    sh_free(*at);
    *at = sh_strdup(value);
}

static void set_json(struct sh_config *c, const struct key *key, json_t *owned) {
    json_t **at = member(c, key);
    json_decref(*at);
    *at = owned;
}

static int set_number(struct sh_config *c, const struct key *key, const char *text,
                      const char *what, struct sh_err *err) {
    char *end = NULL;
    unsigned long long v = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end || v > 1024) {
        return sh_fail(err, SH_E_INVAL, "%s: %s.%s is \"%.40s\"; expected a number from 0 to 1024",
                       what, key->section, key->name, text);
    }
    *(uint64_t *)member(c, key) = v;
    return 0;
}

static int set_duration(struct sh_config *c, const struct key *key, const char *text,
                        const char *what, struct sh_err *err) {
    uint64_t ms = 0;
    struct sh_err inner = {0};
    if (sh_parse_duration_ms(sh_str(text), &ms, &inner) < 0) {
        return sh_fail(err, SH_E_INVAL, "%s: %s.%s: %s", what, key->section, key->name,
                       inner.message);
    }
    *(uint64_t *)member(c, key) = ms;
    return 0;
}

static json_t *split_commas(const char *text) {
    json_t *list = json_array();
    while (*text) {
        const char *end = strchrnul(text, ',');
        while (text < end && *text == ' ') {
            text++;
        }
        if (end > text) {
            json_array_append_new(list, sh_json_string(sh_strn(text, (size_t)(end - text))));
        }
        text = *end ? end + 1 : end;
    }
    return list;
}

/* A value written as text: a default, or a variable of the environment. */
static int wrong_type(const struct key *key, const char *what, struct sh_err *err) {
    static const char *const expected[] = {
        [TEXT] = "a string",
        [NUMBER] = "a number from 0 to 1024",
        [COUNT] = "a number from 0 to 1000000000",
        [SIZE] = "a size such as \"16MiB\"",
        [DURATION] = "a duration such as \"90s\" or \"5m\"",
        [LIST] = "a list of strings",
        [TABLE] = "a table",
    };
    return sh_fail(err, SH_E_INVAL, "%s: %s.%s must be %s", what, key->section, key->name,
                   expected[key->kind]);
}

#define COUNT_MAX 1000000000ULL

static int set_count(struct sh_config *c, const struct key *key, const char *text, const char *what,
                     struct sh_err *err) {
    uint64_t value = 0;
    const char *p = text;
    while (*p >= '0' && *p <= '9' && value <= COUNT_MAX) {
        value = value * 10 + (uint64_t)(*p++ - '0');
    }
    if (p == text || *p || value > COUNT_MAX) {
        return wrong_type(key, what, err);
    }
    *(uint64_t *)member(c, key) = value;
    return 0;
}

static int set_size(struct sh_config *c, const struct key *key, const char *text, const char *what,
                    struct sh_err *err) {
    uint64_t bytes = 0;
    if (sh_parse_size(sh_str(text), &bytes, NULL) < 0) {
        return wrong_type(key, what, err);
    }
    *(uint64_t *)member(c, key) = bytes;
    return 0;
}

static int set_from_text(struct sh_config *c, const struct key *key, const char *text,
                         const char *what, struct sh_err *err) {
    switch (key->kind) {
    case TEXT:
        set_text(c, key, text);
        return 0;
    case NUMBER:
        return set_number(c, key, text, what, err);
    case COUNT:
        return set_count(c, key, text, what, err);
    case SIZE:
        return set_size(c, key, text, what, err);
    case DURATION:
        return set_duration(c, key, text, what, err);
    case LIST:
        set_json(c, key, split_commas(text));
        return 0;
    case TABLE: {
        json_t *value = NULL;
        struct sh_err inner = {0};
        if (sh_json_parse(sh_str(text), SH_MIB, &value, &inner) < 0 || !json_is_object(value)) {
            json_decref(value);
            return sh_fail(err, SH_E_INVAL, "%s: %s.%s: expected a JSON object%s%s", what,
                           key->section, key->name, inner.code ? ": " : "", inner.message);
        }
        set_json(c, key, value);
        return 0;
    }
    }
    return 0;
}

void sh_config_init(struct sh_config *c) {
    memset(c, 0, sizeof(*c));
    for (size_t i = 0; i < N_KEYS; i++) {
        if (keys[i].fallback) {
            struct sh_err err = {0};
            SH_ASSERT(set_from_text(c, &keys[i], keys[i].fallback, "default", &err) == 0);
        }
    }
}

void sh_config_done(struct sh_config *c) {
    c->file = sh_free(c->file);
    json_decref(c->mcp);
    c->mcp = NULL;
    for (size_t i = 0; i < N_KEYS; i++) {
        if (keys[i].kind == TEXT) {
            char **at = member(c, &keys[i]);
            *at = sh_free(*at);
        } else if (keys[i].kind == LIST || keys[i].kind == TABLE) {
            json_t **at = member(c, &keys[i]);
            json_decref(*at);
            *at = NULL;
        }
    }
}

static bool list_of_strings(const json_t *value) {
    size_t i;
    json_t *item;
    json_array_foreach(value, i, item) {
        if (!json_is_string(item)) {
            return false;
        }
    }
    return json_is_array(value);
}

static int set_from_json(struct sh_config *c, const struct key *key, json_t *value,
                         const char *what, struct sh_err *err) {
    switch (key->kind) {
    case TEXT:
        if (!json_is_string(value)) {
            return wrong_type(key, what, err);
        }
        set_text(c, key, json_string_value(value));
        return 0;
    case NUMBER:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > 1024) {
            return wrong_type(key, what, err);
        }
        *(uint64_t *)member(c, key) = (uint64_t)json_integer_value(value);
        return 0;
    case COUNT:
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            (uint64_t)json_integer_value(value) > COUNT_MAX) {
            return wrong_type(key, what, err);
        }
        *(uint64_t *)member(c, key) = (uint64_t)json_integer_value(value);
        return 0;
    case SIZE:
        return json_is_string(value) ? set_size(c, key, json_string_value(value), what, err)
                                     : wrong_type(key, what, err);
    case DURATION:
        return json_is_string(value) ? set_duration(c, key, json_string_value(value), what, err)
                                     : wrong_type(key, what, err);
    case LIST:
        if (!list_of_strings(value)) {
            return wrong_type(key, what, err);
        }
        set_json(c, key, json_incref(value));
        return 0;
    case TABLE:
        if (!json_is_object(value)) {
            return wrong_type(key, what, err);
        }
        set_json(c, key, json_incref(value));
        return 0;
    }
    return 0;
}

static int unknown_section(const char *section, const char *what, struct sh_err *err) {
    static const char *const known[] = {"server", "store",     "llm",        "search",
                                        "http",   "agents",    "engine",     "policy",
                                        "mcp",    "retention", "compaction", NULL};
    const char *near = sh_nearest(section, known);
    return sh_fail(
        err, SH_E_INVAL,
        "%s: unknown section [%.40s]%s%s%s; the sections are server, store, llm, search, "
        "http, agents, engine, policy, mcp, retention, compaction",
        what, section, near ? "; did you mean [" : "", near ? near : "", near ? "]?" : "");
}

static int unknown_key(const char *section, const char *name, const char *what,
                       struct sh_err *err) {
    const char *known[N_KEYS + 1];
    size_t n = 0;
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].section, section) == 0) {
            known[n++] = keys[i].name;
        }
    }
    known[n] = NULL;
    const char *near = sh_nearest(name, known);
    sh_auto(sh_buf_done) struct sh_buf all = {0};
    sh_buf_init(&all, 400);
    for (size_t i = 0; i < n; i++) {
        sh_buf_addf(&all, "%s%s", i ? ", " : "", known[i]);
    }
    return sh_fail(err, SH_E_INVAL, "%s: unknown key %.40s in [%s]%s%s%s; its keys are %s", what,
                   name, section, near ? "; did you mean " : "", near ? near : "", near ? "?" : "",
                   all.p);
}

static const struct key *find(const char *section, const char *name, bool *ret_section) {
    for (size_t i = 0; i < N_KEYS; i++) {
        if (strcmp(keys[i].section, section) == 0) {
            *ret_section = true;
            if (strcmp(keys[i].name, name) == 0) {
                return &keys[i];
            }
        }
    }
    return NULL;
}

int sh_config_apply(struct sh_config *c, const json_t *doc, const char *what, struct sh_err *err) {
    const char *section, *name;
    json_t *table, *value;
    json_object_foreach((json_t *)(uintptr_t)doc, section, table) {
        bool known = false;
        find(section, "", &known);
        if (strcmp(section, "mcp") ==
            0) { /* [mcp.NAME]: its servers are checked by who runs them */
            if (!json_is_object(table)) {
                return sh_fail(err, SH_E_INVAL, "%s: [mcp] must be a table of servers", what);
            }
            c->mcp = c->mcp ? c->mcp : json_object();
            json_object_update(c->mcp, table);
            continue;
        }
        if (!known) {
            return unknown_section(section, what, err);
        }
        if (!json_is_object(table)) {
            return sh_fail(err, SH_E_INVAL, "%s: [%s] must be a table", what, section);
        }
        json_object_foreach(table, name, value) {
            const struct key *key = find(section, name, &known);
            int rc = key ? set_from_json(c, key, value, what, err)
                         : unknown_key(section, name, what, err);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

int sh_config_env(struct sh_config *c, const char *(*get)(const char *name), struct sh_err *err) {
    for (size_t i = 0; i < N_KEYS; i++) {
        char name[64];
        snprintf(name, sizeof(name), "SHANNON_%s_%s", keys[i].section, keys[i].name);
        for (char *p = name; *p; p++) {
            *p = (char)toupper((unsigned char)*p);
        }
        const char *value = get(name);
        if (value) {
            int rc = set_from_text(c, &keys[i], value, name, err);
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

int sh_listen_parse(const char *text, char host[64], uint16_t *ret_port, struct sh_err *err) {
    const char *colon = strrchr(text, ':');
    size_t n = colon ? (size_t)(colon - text) : 0;
    const char *start = text;
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        start++;
        n -= 2;
    } else if (n && memchr(text, ':', n)) {
        n = 0; /* an IPv6 address without brackets is ambiguous */
    }
    char *end = NULL;
    unsigned long port =
        colon && isdigit((unsigned char)colon[1]) ? strtoul(colon + 1, &end, 10) : 0;
    if (!n || n > 63 || !end || *end || port > 65535) {
        return sh_fail(err, SH_E_INVAL,
                       "\"%.80s\" is no address to listen on; expected HOST:PORT such as "
                       "127.0.0.1:8765 or [::1]:0",
                       text);
    }
    memcpy(host, start, n);
    host[n] = 0;
    *ret_port = (uint16_t)port;
    return 0;
}

bool sh_listen_is_loopback(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

const char *sh_config_llm_key_env(const struct sh_config *c) {
    if (c->llm_api_key_env) {
        return c->llm_api_key_env;
    }
    return strcmp(c->llm_provider, "anthropic") == 0 ? "ANTHROPIC_API_KEY" : "OPENAI_API_KEY";
}

int sh_config_check(const struct sh_config *c, struct sh_err *err) {
    char host[64];
    uint16_t port = 0;
    enum sh_log_level level;
    int rc = sh_listen_parse(c->server_listen, host, &port, err);
    if (rc < 0) {
        return rc;
    }
    if (!sh_listen_is_loopback(host) && json_array_size(c->server_hosts) == 0) {
        return sh_fail(err, SH_E_INVAL,
                       "server.listen is %s, which others can reach: name the hosts that clients "
                       "use in server.hosts, e.g. hosts = [\"box.lan:8765\"]",
                       c->server_listen);
    }
    if (strcmp(c->store_sync, "every") != 0 && strcmp(c->store_sync, "never") != 0) {
        return sh_fail(err, SH_E_INVAL, "store.sync is \"%.40s\"; expected \"every\" or \"never\"",
                       c->store_sync);
    }
    if (strcmp(c->policy_on_budget, "fail") != 0 && strcmp(c->policy_on_budget, "ask") != 0) {
        return sh_fail(err, SH_E_INVAL,
                       "policy.on_budget is \"%.40s\"; expected \"fail\" or \"ask\"",
                       c->policy_on_budget);
    }
    if (sh_log_level_parse(c->server_log, &level) < 0) {
        return sh_fail(err, SH_E_INVAL,
                       "server.log is \"%.40s\"; expected error, warn, info or debug",
                       c->server_log);
    }
    return 0;
}
