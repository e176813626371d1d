/* The [llm] section: the default model, others by name ([llm.models.NAME]) and the order in which
 * they stand in for one that cannot answer. What an entry leaves out is the default's. */
#include "tools/llm_wire.h"

#define LLM_TIMEOUT_MS 300000ULL
#define LLM_CONNECT_MS 10000ULL
#define LLM_BETWEEN_MS 60000ULL

static int check_prices(const json_t *prices, struct sh_err *err) {
    static const char *const known[] = {"input", "output", NULL};
    const char *model = NULL;
    json_t *entry = NULL;
    if (prices && !json_is_object(prices)) {
        return sh_fail(
            err, SH_E_INVAL,
            "[llm] prices: expected a table {MODEL = {input, output}} in USD per million "
            "tokens");
    }
    json_object_foreach((json_t *)(uintptr_t)prices, model, entry) {
        int r = json_is_object(entry) ? sh_json_only(entry, known, "[llm] prices entry", err)
                                      : -SH_E_INVAL;
        const char *side = NULL;
        json_t *usd = NULL;
        json_object_foreach(entry, side, usd) {
            double v = json_number_value(usd);
            r = json_is_number(usd) && v >= 0 && v <= 1e9 ? r : -SH_E_INVAL;
        }
        if (r) {
            return sh_fail(err, SH_E_INVAL,
                           "[llm] prices.%.80s: expected {input, output}, each a number from 0: "
                           "USD per million tokens",
                           model);
        }
    }
    return 0;
}

static const struct provider {
    const char *name, *base_url;
    const struct sh_llm_wire *wire;
    const char *key_env; /* where an entry names none; or NULL */
} providers[] = {
    {"openai", "http://127.0.0.1:11434/v1", &sh_wire_openai, NULL},
    {"ollama", "http://127.0.0.1:11434/v1", &sh_wire_openai, NULL},
    {"llamacpp", "http://127.0.0.1:8080/v1", &sh_wire_openai, NULL},
    {"anthropic", "https://api.anthropic.com/v1", &sh_wire_anthropic, "ANTHROPIC_API_KEY"},
};

static const struct provider *find_provider(const char *name) {
    for (size_t i = 0; i < sizeof(providers) / sizeof(providers[0]); i++) {
        if (strcmp(providers[i].name, name) == 0) {
            return &providers[i];
        }
    }
    return NULL;
}

const char *sh_tools_llm_url(const char *provider) {
    const struct provider *p = find_provider(provider);
    return p ? p->base_url : NULL;
}

/* One entry as it is written. */
struct entry {
    const char *where; /* for messages: "[llm]" */
    const char *provider, *base_url, *model, *key_env, *key_file;
};

static char *copy_or_null(const char *s) {
    return s && s[0] ? sh_strdup(s) : NULL;
}

static int model_init(const struct entry *e, const struct sh_tools_config *from,
                      struct sh_llm_config *ret, struct sh_err *err) {
    const struct provider *p = find_provider(e->provider);
    if (!p) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "%s provider: expected \"openai\" (any server with its chat completions), "
                       "\"ollama\", \"llamacpp\" or \"anthropic\", not \"%.64s\"",
                       e->where, e->provider);
    }
    const char *url = e->base_url && e->base_url[0] ? e->base_url : p->base_url;
    if (!e->model || !e->model[0]) {
        return sh_fail(err, SH_E_INVAL, "%s model: expected the name of a model", e->where);
    }
    sh_auto(sh_free_p) char *what = sh_asprintf("%s base_url", e->where);
    struct sh_egress_peer peer;
    int r = sh_egress_peer_parse(url, what, &peer, err);
    if (r) {
        return r;
    }
    size_t n = strlen(url);
    while (n && url[n - 1] == '/') {
        n--;
    }
    *ret = (struct sh_llm_config){
        .base_url = sh_strndup0(url, n),
        .url = sh_asprintf("%.*s%s", (int)n, url, p->wire->path),
        .model = sh_strdup(e->model),
        .provider = sh_strdup(e->provider),
        .key_env = e->key_env ? copy_or_null(e->key_env) : copy_or_null(p->key_env),
        .key_file = copy_or_null(e->key_file),
        .timeout_ms = from->llm_timeout_ms ? from->llm_timeout_ms : LLM_TIMEOUT_MS,
        .connect_ms = from->llm_connect_ms ? from->llm_connect_ms : LLM_CONNECT_MS,
        .first_ms = from->llm_first_ms,
        .between_ms = from->llm_between_ms ? from->llm_between_ms : LLM_BETWEEN_MS,
        .prices = from->llm_prices ? json_deep_copy(from->llm_prices) : NULL,
        .needs_key = p->key_env && strcmp(url, p->base_url) == 0,
        .wire = p->wire,
        .peer = peer,
    };
    return 0;
}

static void model_done(struct sh_llm_config *c) {
    sh_free(c->name);
    sh_free(c->base_url);
    sh_free(c->url);
    sh_free(c->model);
    sh_free(c->provider);
    sh_free(c->key_env);
    sh_free(c->key_file);
    json_decref(c->prices);
    *c = (struct sh_llm_config){0};
}

static int named_init(const char *name, const json_t *doc, const struct sh_tools_config *from,
                      struct sh_llm_config *ret, struct sh_err *err) {
    static const char *const known[] = {"provider",    "base_url",     "model",
                                        "api_key_env", "api_key_file", NULL};
    sh_auto(sh_free_p) char *where = sh_asprintf("[llm.models.%.60s]", name);
    struct entry e = {
        .where = where,
        .provider = json_string_value(json_object_get(doc, "provider")),
        .base_url = json_string_value(json_object_get(doc, "base_url")),
        .model = json_string_value(json_object_get(doc, "model")),
        .key_env = json_string_value(json_object_get(doc, "api_key_env")),
        .key_file = json_string_value(json_object_get(doc, "api_key_file")),
    };
    const char *member = NULL;
    json_t *value = NULL;
    bool texts = json_is_object(doc);
    json_object_foreach((json_t *)(uintptr_t)doc, member, value) {
        texts = texts && json_is_string(value);
    }
    if (!texts) {
        return sh_fail(err, SH_E_INVAL,
                       "%s: expected a table of texts: provider, base_url, model, "
                       "api_key_env, api_key_file",
                       where);
    }
    if (sh_json_only(doc, known, where, err) != 0) {
        return -SH_E_INVAL;
    }
    e.provider = e.provider ? e.provider : "openai";
    int r = model_init(&e, from, ret, err);
    if (r == 0) {
        ret->name = sh_strdup(name);
    }
    return r;
}

const struct sh_llm_config *sh_llm_model_find(const struct sh_tools *t, struct sh_str name) {
    for (size_t i = 1; i < t->n_llm; i++) {
        if (sh_str_eqz(name, t->llm[i].name)) {
            return &t->llm[i];
        }
    }
    return NULL;
}

static int read_fallback(struct sh_tools *t, const json_t *list, struct sh_err *err) {
    if (json_array_size(list) > SH_LLM_FALLBACKS_MAX) {
        return sh_fail(err, SH_E_INVAL, "[llm] fallback: at most %d models can stand in",
                       SH_LLM_FALLBACKS_MAX);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        const struct sh_llm_config *c = sh_llm_model_find(t, sh_str(name));
        if (!c) {
            return sh_fail(err, SH_E_INVAL,
                           "[llm] fallback: expected names of [llm.models.NAME], not \"%.60s\"",
                           name ? name : "another value");
        }
        t->fallback[t->n_fallback++] = c;
    }
    return 0;
}

int sh_llm_config_init(struct sh_tools *t, const struct sh_tools_config *from, struct sh_err *err) {
    const char *name = NULL;
    json_t *doc = NULL;
    struct entry e = {
        .where = "[llm]",
        .provider = from->llm_provider ? from->llm_provider : "openai",
        .base_url = from->llm_base_url,
        .model = from->llm_model ? from->llm_model : "llama3.2",
        .key_env = from->llm_api_key_env,
        .key_file = from->llm_api_key_file,
    };
    int r = check_prices(from->llm_prices, err);
    t->llm = sh_new_array(struct sh_llm_config, json_object_size(from->llm_models) + 1);
    r = r ? r : model_init(&e, from, &t->llm[0], err);
    t->n_llm = 1;
    json_object_foreach((json_t *)(uintptr_t)from->llm_models, name, doc) {
        r = r ? r : named_init(name, doc, from, &t->llm[t->n_llm], err);
        t->n_llm += r == 0;
    }
    return r ? r : read_fallback(t, from->llm_fallback, err);
}

void sh_llm_config_done(struct sh_tools *t) {
    for (size_t i = 0; i < t->n_llm; i++) {
        model_done(&t->llm[i]);
    }
    t->llm = sh_free(t->llm);
    t->n_llm = 0;
}
