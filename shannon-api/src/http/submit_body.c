/* Two generations of clients send different names for the same things (`query` and `prompt`); what
 * concerns only the agent travels in its input, what concerns only people in the metadata. */
#include "http/submit_body.h"

#include "nearest.h"

#include <ctype.h>

#define ARGS_MAX 256

void sh_submit_body_done(struct sh_submit_body *b) {
    json_decref(b->doc);
    json_decref(b->input);
    json_decref(b->capabilities);
    json_decref(b->metadata);
    sh_free(b->args);
    memset(b, 0, sizeof(*b));
}

/* A member that must be a string when it is there; null counts as absent. */
static int text_member(const json_t *doc, const char *name, const char **ret, struct sh_err *err) {
    json_t *value = json_object_get(doc, name);
    if (!value || json_is_null(value)) {
        return 0;
    }
    if (!json_is_string(value)) {
        return sh_fail(err, SH_E_INVAL, "%s must be a string", name);
    }
    *ret = json_string_value(value);
    return 0;
}

static int object_member(const json_t *doc, const char *name, json_t **ret, struct sh_err *err) {
    json_t *value = json_object_get(doc, name);
    if (!value || json_is_null(value)) {
        return 0;
    }
    if (!json_is_object(value)) {
        return sh_fail(err, SH_E_INVAL, "%s must be an object", name);
    }
    *ret = value;
    return 0;
}

static bool is_blank(const char *s) {
    while (isspace((unsigned char)*s)) {
        s++;
    }
    return *s == 0;
}

static int read_query(struct sh_submit_body *b, bool has_input, struct sh_err *err) {
    const char *query = NULL, *prompt = NULL;
    int rc = text_member(b->doc, "query", &query, err);
    if (rc == 0) {
        rc = text_member(b->doc, "prompt", &prompt, err);
    }
    if (rc < 0) {
        return rc;
    }
    b->query = query ? query : prompt ? prompt : "";
    json_t *input = json_object_get(b->doc, "input");
    if (input && !json_is_null(input)) {
        b->input = json_incref(input);
    } else if (!has_input && is_blank(b->query)) {
        return sh_fail(err, SH_E_INVAL, "query is %s; expected 1 to %d characters (or give input)",
                       query || prompt ? "empty" : "missing", SH_QUERY_CHARS_MAX);
    }
    size_t chars = sh_utf8_count(sh_str(b->query));
    if (chars > SH_QUERY_CHARS_MAX) {
        return sh_fail(err, SH_E_INVAL, "query has %zu characters; at most %d are allowed", chars,
                       SH_QUERY_CHARS_MAX);
    }
    return 0;
}

static int read_agent(struct sh_submit_body *b, const json_t *context, struct sh_err *err) {
    const char *mode = NULL, *strategy = NULL, *wanted = NULL;
    int rc = text_member(b->doc, "agent", &b->agent, err);
    if (rc == 0) {
        rc = text_member(context, "agent", &wanted, err);
    }
    if (rc == 0) {
        rc = text_member(b->doc, "mode", &mode, err);
    }
    if (rc == 0) {
        rc = text_member(context, "strategy", &strategy, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!b->agent || !*b->agent) {
        b->agent = wanted;
    }
    if (b->agent && !*b->agent) {
        b->agent = NULL;
    }
    size_t n = 0;
    if (mode && *mode) {
        b->hints[n++] = mode;
    }
    if (strategy && *strategy) {
        b->hints[n] = strategy;
    }
    return 0;
}

static int read_session(struct sh_submit_body *b, struct sh_err *err) {
    int rc = text_member(b->doc, "session_id", &b->session, err);
    if (rc < 0 || !b->session || !*b->session) {
        b->session = NULL;
        return rc;
    }
    struct sh_id id;
    if (sh_id_parse(sh_str(b->session), &id) < 0) {
        return sh_fail(err, SH_E_INVAL,
                       "session_id must be 1 to %d characters of A-Z a-z 0-9 : _ - .", SH_ID_MAX);
    }
    return 0;
}

/* `limits` is the short way of saying capabilities.limits. */
static int read_capabilities(struct sh_submit_body *b, struct sh_err *err) {
    json_t *capabilities = NULL, *limits = NULL;
    int rc = object_member(b->doc, "capabilities", &capabilities, err);
    if (rc == 0) {
        rc = object_member(b->doc, "limits", &limits, err);
    }
    if (rc < 0 || (!capabilities && !limits)) {
        return rc;
    }
    if (limits && capabilities && json_object_get(capabilities, "limits")) {
        return sh_fail(err, SH_E_INVAL, "limits and capabilities.limits are both given; keep one");
    }
    b->capabilities = capabilities ? json_copy(capabilities) : json_object();
    if (limits) {
        json_object_set(b->capabilities, "limits", limits);
    }
    return 0;
}

static int read_args(struct sh_submit_body *b, struct sh_err *err) {
    json_t *args = json_object_get(b->doc, "args");
    if (!args || json_is_null(args)) {
        return 0;
    }
    size_t n = json_array_size(args);
    if (!json_is_array(args) || n > ARGS_MAX) {
        return sh_fail(err, SH_E_INVAL, "args must be a list of at most %d strings", ARGS_MAX);
    }
    b->args = sh_new_array(const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        b->args[i] = json_string_value(json_array_get(args, i));
        if (!b->args[i]) {
            return sh_fail(err, SH_E_INVAL, "args[%zu] must be a string", i);
        }
    }
    return 0;
}

/* What the agent is told besides the query, under the names that the earlier clients use. */
static void make_input(struct sh_submit_body *b) {
    static const char *const passed[][2] = {
        {"context", "context"},
        {"model", "model"},
        {"model_override", "model"},
        {"provider_override", "provider"},
        {"max_tokens", "max_tokens"},
        {"temperature", "temperature"},
        {"system_prompt", "system_prompt"},
        {"session_id", "session_id"},
        {"limits", "limits"},
    };
    if (b->input) {
        return;
    }
    json_t *input = json_object();
    for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++) {
        json_t *value = json_object_get(b->doc, passed[i][0]);
        if (value && !json_is_null(value)) {
            json_object_set(input, passed[i][1], value);
        }
    }
    json_object_set_new(input, "query", sh_json_string(sh_str(b->query)));
    b->input = input;
}

static int make_metadata(struct sh_submit_body *b, struct sh_err *err) {
    static const char *const kept[] = {"mode",      "context",        "model_tier",
                                       "task_type", "model_override", "provider_override",
                                       "model",     "tools",          NULL};
    json_t *own = NULL;
    int rc = object_member(b->doc, "metadata", &own, err);
    if (rc < 0) {
        return rc;
    }
    b->metadata = own ? json_copy(own) : json_object();
    for (size_t i = 0; kept[i]; i++) {
        json_t *value = json_object_get(b->doc, kept[i]);
        if (value && !json_is_null(value)) {
            json_object_set(b->metadata, kept[i], value);
        }
    }
    return 0;
}

static int read_via(struct sh_submit_body *b, struct sh_err *err) {
    int rc = text_member(b->doc, "via", &b->via, err);
    if (rc == 0 && b->via && strcmp(b->via, "mcp") != 0) {
        return sh_fail(err, SH_E_INVAL, "via: expected \"mcp\", not \"%.60s\"", b->via);
    }
    return rc;
}

static int read_priority(struct sh_submit_body *b, struct sh_err *err) {
    const json_t *value = json_object_get(b->doc, "priority");
    if (!value || json_is_null(value)) {
        return 0;
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) > SH_PRIORITY_MAX) {
        return sh_fail(err, SH_E_INVAL, "priority must be a number from 0 to %d, the most urgent",
                       SH_PRIORITY_MAX);
    }
    b->has_priority = true;
    b->priority = (unsigned)json_integer_value(value);
    return 0;
}

static int check_input(const struct sh_submit_body *b, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_INPUT_MAX);
    sh_json_dump(b->input, &text);
    if (text.failed) {
        return sh_fail(err, SH_E_LIMIT, "the input is larger than %llu bytes as JSON",
                       (unsigned long long)SH_INPUT_MAX);
    }
    return 0;
}

/* Members that nobody here knows are left alone, because newer clients send more than we read. One
 * that is nearly a known one (of five letters at least: short words are near to each other) is a
 * slip of the hand, and "capabilites" must not mean "no limits". */
static int check_members(const json_t *doc, struct sh_err *err) {
    static const char *const known[] = {
        "query",         "prompt",    "agent",      "input",          "session_id",
        "context",       "mode",      "model_tier", "model_override", "provider_override",
        "capabilities",  "limits",    "metadata",   "args",           "stdin",
        "stdin_live",    "task_type", "model",      "max_tokens",     "temperature",
        "system_prompt", "tools",     "stream",     "user_id",        "tenant_id",
        "priority",      "via",       NULL};
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)doc, name, value) {
        const char *near = strlen(name) < 5 ? NULL : sh_nearest(name, known);
        if (near && strcmp(near, name) != 0) {
            return sh_fail(err, SH_E_INVAL, "unknown member \"%.60s\"; did you mean \"%s\"?", name,
                           near);
        }
    }
    return 0;
}

int sh_submit_body_parse(struct sh_str text, bool has_input, struct sh_submit_body *ret,
                         struct sh_err *err) {
    sh_auto(sh_submit_body_done) struct sh_submit_body b = {0};
    if (text.len == 0) {
        return sh_fail(err, SH_E_JSON, "the body is empty; expected {\"query\": \"...\"}");
    }
    int rc = sh_json_parse(text, SH_HTTP_BODY_MAX, &b.doc, err);
    if (rc < 0) {
        return rc;
    }
    if (!json_is_object(b.doc)) {
        return sh_fail(err, SH_E_INVAL,
                       "the body must be a JSON object such as {\"query\": \"...\"}");
    }
    if ((rc = check_members(b.doc, err)) < 0) {
        return rc;
    }
    /* The clients' `context` is an object; the earliest one sent a list of files, kept as it is. */
    json_t *context = json_object_get(b.doc, "context");
    if ((rc = read_query(&b, has_input, err)) < 0 || (rc = read_agent(&b, context, err)) < 0 ||
        (rc = read_session(&b, err)) < 0 || (rc = read_capabilities(&b, err)) < 0 ||
        (rc = read_args(&b, err)) < 0 || (rc = read_priority(&b, err)) < 0 ||
        (rc = read_via(&b, err)) < 0 ||
        (rc = text_member(b.doc, "stdin", &b.stdin_text, err)) < 0 ||
        (rc = make_metadata(&b, err)) < 0) {
        return rc;
    }
    b.stdin_live = sh_json_get_bool(b.doc, "stdin_live", false);
    if (b.stdin_live && b.stdin_text) {
        return sh_fail(err, SH_E_INVAL, "stdin and stdin_live are both given; keep one");
    }
    if (!has_input) {
        make_input(&b);
        if ((rc = check_input(&b, err)) < 0) {
            return rc;
        }
    }
    *ret = b;
    memset(&b, 0, sizeof(b));
    return 0;
}
