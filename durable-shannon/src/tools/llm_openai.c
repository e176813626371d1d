/* Only what the protocol names is sent and only what it names is taken over, member by member, so
 * that neither side reaches the other through us with something else. Servers differ in details
 * (content in parts, arguments as objects, no usage); those that are harmless are read as meant. */
#include "tools/llm_wire.h"

static int make_request(const struct sh_llm_config *c, const json_t *args, bool stream,
                        struct sh_buf *out, struct sh_err *err) {
    (void)err;
    static const char *const members[] = {
        "messages",        "model", "temperature", "max_tokens", "tools", "tool_choice",
        "response_format", "stop",  "top_p",       "seed",       NULL};
    sh_auto(sh_json_done) json_t *body = json_object();
    for (size_t i = 0; members[i]; i++) {
        json_t *v = json_object_get(args, members[i]);
        if (v) {
            json_object_set(body, members[i], v);
        }
    }
    if (!json_object_get(body, "model")) {
        json_object_set_new(body, "model", sh_json_string(sh_str(c->model)));
    }
    if (stream) {
        json_object_set_new(body, "stream", json_true());
        json_t *options = json_object();
        json_object_set_new(options, "include_usage", json_true());
        json_object_set_new(body, "stream_options", options);
    }
    sh_json_dump(body, out);
    return 0;
}

static void read_content(const json_t *message, struct sh_llm_answer *a) {
    const json_t *content = json_object_get(message, "content");
    struct sh_str text = sh_json_get_str(message, "content");
    sh_buf_add(&a->content, text.p, text.len);
    for (size_t i = 0; i < json_array_size(content); i++) { /* [{type: "text", text}] */
        text = sh_json_get_str(json_array_get(content, i), "text");
        sh_buf_add(&a->content, text.p, text.len);
    }
}

static int read_calls(const json_t *message, struct sh_llm_answer *a, struct sh_err *err) {
    const json_t *calls = json_object_get(message, "tool_calls");
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *from = json_array_get(calls, i);
        const json_t *function = json_object_get(from, "function");
        const json_t *arguments = json_object_get(function, "arguments");
        struct sh_llm_call *to = sh_llm_answer_call(a);
        if (!to) {
            return sh_fail(err, SH_E_LIMIT, "it has more than %d tool calls", SH_TOOL_CALLS_MAX);
        }
        sh_llm_keep(&to->id, sh_json_get_str(from, "id"));
        sh_llm_keep(&to->name, sh_json_get_str(function, "name"));
        if (json_is_string(arguments)) {
            sh_buf_add(&to->arguments, json_string_value(arguments), json_string_length(arguments));
        } else if (arguments) {
            sh_json_dump(arguments, &to->arguments);
        }
        if (to->arguments.failed) {
            return sh_fail(err, SH_E_LIMIT, "the arguments of a tool call are larger than 1 MiB");
        }
    }
    return 0;
}

int sh_openai_read(struct sh_str body, struct sh_llm_answer *a, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *doc = NULL;
    struct sh_err why = {0};
    int r = sh_json_parse_foreign(body, SH_ACTIVITY_RESULT_MAX * 2, &doc, &why);
    if (r == -SH_E_LIMIT) {
        return sh_fail(err, SH_E_LIMIT, "%s", why.message);
    }
    if (r) {
        return sh_fail(err, SH_E_UPSTREAM, "it is not JSON (%s)", why.message);
    }
    const json_t *choice = json_array_get(json_object_get(doc, "choices"), 0);
    const json_t *message = json_object_get(choice, "message");
    if (!json_is_object(message)) {
        return sh_fail(err, SH_E_UPSTREAM, "it has no choices[0].message");
    }
    sh_llm_keep(&a->model, sh_json_get_str(doc, "model"));
    sh_llm_keep(&a->finish_reason, sh_json_get_str(choice, "finish_reason"));
    sh_llm_answer_usage(a, json_object_get(doc, "usage"));
    read_content(message, a);
    if (a->content.failed) {
        return sh_fail(err, SH_E_LIMIT, "its text is larger than 4 MiB; ask for fewer max_tokens");
    }
    return read_calls(message, a, err);
}

static double price(const struct sh_llm_config *c, const char *model, struct sh_str asked,
                    const char *side) {
    const json_t *entry = model ? json_object_get(c->prices, model) : NULL;
    if (!entry) {
        sh_auto(sh_free_p) char *name = sh_strndup0(asked.p, asked.len);
        entry = json_object_get(c->prices, name);
    }
    return json_number_value(json_object_get(entry, side));
}

static json_t *calls_json(const struct sh_llm_answer *a) {
    json_t *list = json_array();
    for (size_t i = 0; i < a->n_calls; i++) {
        const struct sh_llm_call *call = &a->calls[i];
        json_t *function = json_object();
        json_t *o = json_object();
        /* Some local servers give no id; the answer to a call must name one. */
        sh_auto(sh_free_p) char *made = call->id ? NULL : sh_asprintf("call_%zu", i);
        json_object_set_new(function, "name", sh_json_string(sh_str(call->name)));
        json_object_set_new(function, "arguments", sh_json_string(sh_buf_str(&call->arguments)));
        json_object_set_new(o, "id", sh_json_string(sh_str(made ? made : call->id)));
        json_object_set_new(o, "type", json_string("function"));
        json_object_set_new(o, "function", function);
        json_array_append_new(list, o);
    }
    return list;
}

/* Tokens that a server did not count are guessed at four bytes each: a budget must not be free. */
static json_t *usage_json(const struct sh_llm_config *c, const struct sh_llm_answer *a,
                          struct sh_str asked_model, size_t asked_bytes) {
    enum { BYTES_A_TOKEN = 4 };
    size_t said = a->content.len;
    for (size_t i = 0; i < a->n_calls; i++) {
        said += a->calls[i].arguments.len;
    }
    bool estimated = a->input_tokens < 0 || a->output_tokens < 0;
    int64_t in = a->input_tokens >= 0
                     ? a->input_tokens
                     : (int64_t)((asked_bytes + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN);
    int64_t out = a->output_tokens >= 0 ? a->output_tokens
                                        : (int64_t)((said + BYTES_A_TOKEN - 1) / BYTES_A_TOKEN);
    int64_t total = a->total_tokens > in + out ? a->total_tokens : in + out;
    double cost = ((double)in * price(c, a->model, asked_model, "input") +
                   (double)out * price(c, a->model, asked_model, "output")) /
                  1e6;
    json_t *usage = json_object();
    json_object_set_new(usage, "input_tokens", json_integer(in));
    json_object_set_new(usage, "output_tokens", json_integer(out));
    json_object_set_new(usage, "total_tokens", json_integer(total));
    json_object_set_new(usage, "cost_usd", json_real(cost));
    if (estimated) {
        json_object_set_new(usage, "estimated", json_true());
    }
    return usage;
}

int sh_openai_result(const struct sh_llm_config *c, const struct sh_llm_answer *a,
                     struct sh_str asked_model, size_t asked_bytes, json_t **ret,
                     struct sh_err *err) {
    json_t *o = json_object();
    const char *reason = a->finish_reason ? a->finish_reason : a->n_calls ? "tool_calls" : "stop";
    json_object_set_new(o, "content", sh_json_string(sh_buf_str(&a->content)));
    if (a->n_calls) {
        json_object_set_new(o, "tool_calls", calls_json(a));
    }
    json_object_set_new(o, "finish_reason", sh_json_string(sh_str(reason)));
    json_object_set_new(o, "model", sh_json_string(a->model ? sh_str(a->model) : asked_model));
    json_object_set_new(o, "provider", sh_json_string(sh_str(c->provider)));
    json_object_set_new(o, "usage", usage_json(c, a, asked_model, asked_bytes));
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_ACTIVITY_RESULT_MAX);
    sh_json_dump(o, &text);
    if (text.failed) {
        json_decref(o);
        return sh_fail(err, SH_E_LIMIT,
                       "it is larger than 4 MiB as JSON; ask for fewer max_tokens");
    }
    *ret = o;
    return 0;
}

struct sh_str sh_openai_error(struct sh_str body, json_t **ret_doc, struct sh_str *ret_code) {
    *ret_code = (struct sh_str){0};
    *ret_doc = NULL;
    if (sh_json_parse_foreign(body, SH_ACTIVITY_RESULT_MAX * 2, ret_doc, NULL) != 0) {
        return (struct sh_str){0};
    }
    const json_t *error = json_object_get(*ret_doc, "error");
    if (json_is_string(error)) {
        return sh_json_get_str(*ret_doc, "error");
    }
    *ret_code = sh_json_get_str(error, "code");
    struct sh_str message = sh_json_get_str(error, "message");
    return message.len ? message : sh_json_get_str(*ret_doc, "message");
}

const struct sh_llm_wire sh_wire_openai = {
    .path = "/chat/completions",
    .key_header = "Authorization",
    .key_prefix = "Bearer ",
    .request = make_request,
    .read = sh_openai_read,
};
