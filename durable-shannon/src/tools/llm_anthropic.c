/* Anthropic's Messages API (version 2023-06-01) for requests in the form of chat completions:
 * system messages go to their own member, results of tools into messages of the user, JSON answers
 * through a tool that must be called. Only what has a counterpart is sent; what the protocol cannot
 * say is an error, not a silent loss. */
#include "tools/llm_wire.h"

enum { MAX_TOKENS = 4096 }; /* the protocol wants a number; this one every model takes */

/* Content parts. */

static int bad(const char *what, struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL, "llm.messages: %s", what);
}

static json_t *text_block(struct sh_str text) {
    return json_pack("{s:s, s:o}", "type", "text", "text", sh_json_string(text));
}

/* "data:image/png;base64,..." or a URL */
static json_t *image_block(struct sh_str url) {
    const char *comma = url.len ? memchr(url.p, ',', url.len) : NULL;
    struct sh_str head = comma ? sh_strn(url.p, (size_t)(comma - url.p)) : url;
    static const char mark[] = ";base64";
    size_t n = sizeof(mark) - 1;
    if (sh_str_starts(url, SH_STR("data:")) && head.len > 5 + n &&
        memcmp(head.p + head.len - n, mark, n) == 0) {
        return json_pack("{s:s, s:{s:s, s:o, s:o}}", "type", "image", "source", "type", "base64",
                         "media_type", sh_json_string(sh_strn(head.p + 5, head.len - 5 - n)),
                         "data", sh_json_string(sh_strn(comma + 1, url.len - head.len - 1)));
    }
    return json_pack("{s:s, s:{s:s, s:o}}", "type", "image", "source", "type", "url", "url",
                     sh_json_string(url));
}

/* A content (text, or parts) as blocks, appended. Empty text is left out: the API refuses it. */
static int add_content(json_t *blocks, const json_t *content, struct sh_err *err) {
    if (json_is_string(content)) {
        struct sh_str text = sh_strn(json_string_value(content), json_string_length(content));
        if (text.len) {
            json_array_append_new(blocks, text_block(text));
        }
        return 0;
    }
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *part = json_array_get(content, i);
        struct sh_str type = sh_json_get_str(part, "type");
        if (sh_str_eqz(type, "text")) {
            json_array_append_new(blocks, text_block(sh_json_get_str(part, "text")));
        } else if (sh_str_eqz(type, "image_url")) {
            json_array_append_new(
                blocks, image_block(sh_json_get_str(json_object_get(part, "image_url"), "url")));
        } else {
            return bad("expected parts of type \"text\" or \"image_url\" for this provider", err);
        }
    }
    return 0;
}

static int add_calls(json_t *blocks, const json_t *calls, struct sh_err *err) {
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *call = json_array_get(calls, i);
        const json_t *function = json_object_get(call, "function");
        struct sh_str arguments = sh_json_get_str(function, "arguments");
        json_t *input = NULL;
        if (arguments.len &&
            sh_json_parse_foreign(arguments, SH_ACTIVITY_ARGS_MAX, &input, NULL) != 0) {
            return bad("the arguments of a tool call are not JSON", err);
        }
        if (!json_is_object(input)) {
            json_decref(input);
            input = json_object();
        }
        json_array_append_new(blocks, json_pack("{s:s, s:o, s:o, s:o}", "type", "tool_use", "id",
                                                sh_json_string(sh_json_get_str(call, "id")), "name",
                                                sh_json_string(sh_json_get_str(function, "name")),
                                                "input", input));
    }
    return 0;
}

/* Messages. */

/* Blocks for `role`, added to the last message when that is of the same role: results of parallel
 * calls belong into one message. */
static json_t *blocks_for(json_t *messages, const char *role) {
    json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    if (last && sh_str_eqz(sh_json_get_str(last, "role"), role)) {
        return json_object_get(last, "content");
    }
    json_t *blocks = json_array();
    json_array_append_new(messages, json_pack("{s:s, s:o}", "role", role, "content", blocks));
    return blocks;
}

static int add_message(json_t *messages, json_t *system, const json_t *message,
                       struct sh_err *err) {
    struct sh_str role = sh_json_get_str(message, "role");
    const json_t *content = json_object_get(message, "content");
    if (sh_str_eqz(role, "system") || sh_str_eqz(role, "developer")) {
        return add_content(system, content, err);
    }
    if (sh_str_eqz(role, "assistant")) {
        json_t *blocks = blocks_for(messages, "assistant");
        int r = add_content(blocks, content, err);
        return r ? r : add_calls(blocks, json_object_get(message, "tool_calls"), err);
    }
    json_t *blocks = blocks_for(messages, "user");
    if (!sh_str_eqz(role, "tool")) {
        return add_content(blocks, content, err);
    }
    json_t *inner = json_array();
    int r = add_content(inner, content, err);
    json_array_append_new(blocks,
                          json_pack("{s:s, s:o, s:o}", "type", "tool_result", "tool_use_id",
                                    sh_json_string(sh_json_get_str(message, "tool_call_id")),
                                    "content", inner));
    return r;
}

static int add_messages(json_t *body, const json_t *args, struct sh_err *err) {
    const json_t *from = json_object_get(args, "messages");
    json_t *messages = json_array();
    json_t *system = json_array();
    json_object_set_new(body, "messages", messages);
    json_object_set_new(body, "system", system);
    for (size_t i = 0; i < json_array_size(from); i++) {
        int r = add_message(messages, system, json_array_get(from, i), err);
        if (r) {
            return r;
        }
    }
    for (size_t i = json_array_size(messages); i-- > 0;) { /* an answer that was empty */
        if (json_array_size(json_object_get(json_array_get(messages, i), "content")) == 0) {
            json_array_remove(messages, i);
        }
    }
    if (json_array_size(system) == 0) {
        json_object_del(body, "system");
    }
    return json_array_size(messages) ? 0 : bad("expected one of a user", err);
}

/* Tools. */

static void add_tools(json_t *body, const json_t *args) {
    const json_t *from = json_object_get(args, "tools");
    json_t *tools = json_array();
    for (size_t i = 0; i < json_array_size(from); i++) {
        const json_t *function = json_object_get(json_array_get(from, i), "function");
        json_t *schema = json_object_get(function, "parameters");
        json_t *tool = json_pack(
            "{s:o, s:o}", "name", sh_json_string(sh_json_get_str(function, "name")), "input_schema",
            schema ? json_incref(schema) : json_pack("{s:s}", "type", "object"));
        if (json_object_get(function, "description")) {
            json_object_set(tool, "description", json_object_get(function, "description"));
        }
        json_array_append_new(tools, tool);
    }
    json_object_set_new(body, "tools", tools);
}

static void add_choice(json_t *body, const json_t *choice) {
    static const struct {
        const char *ours, *theirs;
    } names[] = {{"auto", "auto"}, {"none", "none"}, {"required", "any"}};
    struct sh_str word = sh_strn(json_string_value(choice), json_string_length(choice));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sh_str_eqz(word, names[i].ours)) {
            json_object_set_new(body, "tool_choice", json_pack("{s:s}", "type", names[i].theirs));
        }
    }
    struct sh_str name = sh_json_get_str(json_object_get(choice, "function"), "name");
    if (name.len) {
        json_object_set_new(body, "tool_choice",
                            json_pack("{s:s, s:o}", "type", "tool", "name", sh_json_string(name)));
    }
}

/* response_format: a tool whose arguments are the answer. */
static void add_json_tool(json_t *body, const json_t *args) {
    const json_t *format = json_object_get(args, "response_format");
    struct sh_str type = sh_json_get_str(format, "type");
    json_t *schema = json_object_get(json_object_get(format, "json_schema"), "schema");
    if (!sh_str_eqz(type, "json_schema") && !sh_str_eqz(type, "json_object")) {
        return;
    }
    bool alone = json_array_size(json_object_get(body, "tools")) == 0;
    json_array_append_new(
        json_object_get(body, "tools"),
        json_pack("{s:s, s:s, s:o}", "name", SH_LLM_JSON_TOOL, "description",
                  "Give the final answer by calling this.", "input_schema",
                  schema ? json_incref(schema) : json_pack("{s:s}", "type", "object")));
    json_object_set_new(body, "tool_choice",
                        alone ? json_pack("{s:s, s:s}", "type", "tool", "name", SH_LLM_JSON_TOOL)
                              : json_pack("{s:s}", "type", "any"));
}

static void add_numbers(json_t *body, const json_t *args) {
    json_t *most = json_object_get(args, "max_tokens");
    json_t *stop = json_object_get(args, "stop");
    json_t *top_p = json_object_get(args, "top_p");
    const json_t *temperature = json_object_get(args, "temperature");
    json_object_set_new(body, "max_tokens", most ? json_incref(most) : json_integer(MAX_TOKENS));
    if (temperature) { /* theirs ends at 1 */
        double t = json_number_value(temperature);
        json_object_set_new(body, "temperature", json_real(t > 1 ? 1 : t));
    }
    if (top_p) {
        json_object_set(body, "top_p", top_p);
    }
    if (stop) {
        json_object_set_new(body, "stop_sequences",
                            json_is_array(stop) ? json_incref(stop) : json_pack("[O]", stop));
    }
}

static int make_request(const struct sh_llm_config *c, const json_t *args, bool stream,
                        struct sh_buf *out, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *body = json_object();
    struct sh_str model = sh_json_get_str(args, "model");
    json_object_set_new(body, "model", sh_json_string(model.len ? model : sh_str(c->model)));
    int r = add_messages(body, args, err);
    if (r) {
        return r;
    }
    add_numbers(body, args);
    add_tools(body, args);
    add_choice(body, json_object_get(args, "tool_choice"));
    add_json_tool(body, args);
    if (json_array_size(json_object_get(body, "tools")) == 0) {
        json_object_del(body, "tools");
        json_object_del(body, "tool_choice");
    }
    if (stream) {
        json_object_set_new(body, "stream", json_true());
    }
    sh_json_dump(body, out);
    return 0;
}

/* Answers. */

static void take_reason(struct sh_llm_answer *a, struct sh_str reason) {
    static const struct {
        const char *theirs, *ours;
    } names[] = {{"end_turn", "stop"},
                 {"stop_sequence", "stop"},
                 {"max_tokens", "length"},
                 {"tool_use", "tool_calls"},
                 {"refusal", "content_filter"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sh_str_eqz(reason, names[i].theirs)) {
            sh_llm_keep(&a->finish_reason, sh_str(names[i].ours));
            return;
        }
    }
    sh_llm_keep(&a->finish_reason, reason);
}

/* Tokens read from and written to their cache were sent as well. */
static void take_usage(struct sh_llm_answer *a, const json_t *usage) {
    static const char *const inputs[] = {"input_tokens", "cache_creation_input_tokens",
                                         "cache_read_input_tokens"};
    enum { MOST = 1000000000 };
    int64_t in = 0;
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        int64_t n = sh_json_get_int(usage, inputs[i], 0);
        in += n < 0 ? 0 : n < MOST ? n : MOST;
    }
    if (json_object_get(usage, "input_tokens")) {
        a->input_tokens = in < MOST ? in : MOST;
    }
    int64_t out = sh_json_get_int(usage, "output_tokens", -1);
    if (out >= 0) {
        a->output_tokens = out < MOST ? out : MOST;
    }
}

static int read_answer(struct sh_str text, struct sh_llm_answer *a, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *doc = NULL;
    struct sh_err why = {0};
    if (sh_json_parse_foreign(text, SH_ACTIVITY_RESULT_MAX * 2, &doc, &why) != 0) {
        return sh_fail(err, SH_E_UPSTREAM, "it is not JSON (%s)", why.message);
    }
    const json_t *blocks = json_object_get(doc, "content");
    if (!json_is_array(blocks)) {
        return sh_fail(err, SH_E_UPSTREAM, "it has no content");
    }
    sh_llm_keep(&a->model, sh_json_get_str(doc, "model"));
    take_usage(a, json_object_get(doc, "usage"));
    for (size_t i = 0; i < json_array_size(blocks); i++) {
        const json_t *block = json_array_get(blocks, i);
        struct sh_str type = sh_json_get_str(block, "type");
        if (sh_str_eqz(type, "text")) {
            struct sh_str part = sh_json_get_str(block, "text");
            sh_buf_add(&a->content, part.p, part.len);
        } else if (sh_str_eqz(type, "tool_use")) {
            struct sh_llm_call *call = sh_llm_answer_call(a);
            if (!call) {
                return sh_fail(err, SH_E_LIMIT, "it has more than %d tool calls",
                               SH_TOOL_CALLS_MAX);
            }
            sh_llm_keep(&call->id, sh_json_get_str(block, "id"));
            sh_llm_keep(&call->name, sh_json_get_str(block, "name"));
            sh_json_dump(json_object_get(block, "input"), &call->arguments);
        }
    }
    take_reason(a, sh_json_get_str(doc, "stop_reason"));
    return a->content.failed
               ? sh_fail(err, SH_E_LIMIT, "its text is larger than 4 MiB; ask for fewer max_tokens")
               : 0;
}

/* Streams. Blocks come one after the other; only those of text and calls are kept. */

static void block_starts(struct sh_llm_stream *s, const json_t *block) {
    if (!sh_str_eqz(sh_json_get_str(block, "type"), "tool_use")) {
        return;
    }
    struct sh_llm_call *call = sh_llm_answer_call(&s->answer);
    if (!call) {
        sh_llm_stream_fail(s, false, SH_E_UPSTREAM, "it has too many tool calls");
        return;
    }
    sh_llm_keep(&call->id, sh_json_get_str(block, "id"));
    sh_llm_keep(&call->name, sh_json_get_str(block, "name"));
}

static void tell(struct sh_llm_stream *s, struct sh_str text) {
    if (text.len && s->on_delta && s->err.code == 0) {
        s->on_delta(s->arg, text);
    }
}

static void block_grows(struct sh_llm_stream *s, const json_t *delta) {
    struct sh_llm_answer *a = &s->answer;
    struct sh_str text = sh_json_get_str(delta, "text");
    struct sh_str json = sh_json_get_str(delta, "partial_json");
    if (sh_str_eqz(sh_json_get_str(delta, "type"), "text_delta")) {
        sh_buf_add(&a->content, text.p, text.len);
        if (a->content.failed) {
            sh_llm_stream_fail(s, false, SH_E_LIMIT,
                               "its answer is larger than 4 MiB; ask for fewer max_tokens");
        }
        tell(s, text);
    } else if (json.len && a->n_calls) {
        struct sh_llm_call *call = &a->calls[a->n_calls - 1];
        sh_buf_add(&call->arguments, json.p, json.len);
        if (call->arguments.failed) {
            sh_llm_stream_fail(s, false, SH_E_LIMIT,
                               "the arguments of a tool call are larger than 1 MiB");
        } else if (call->name && strcmp(call->name, SH_LLM_JSON_TOOL) == 0) {
            tell(s, json); /* it is the answer */
        }
    } else if (json.len) {
        sh_llm_stream_fail(s, false, SH_E_UPSTREAM, "arguments came before their tool call");
    }
}

static void take_chunk(struct sh_llm_stream *s, const json_t *chunk) {
    struct sh_str type = sh_json_get_str(chunk, "type");
    const json_t *message = json_object_get(chunk, "message");
    const json_t *delta = json_object_get(chunk, "delta");
    if (sh_str_eqz(type, "error")) {
        struct sh_str said = sh_json_get_str(json_object_get(chunk, "error"), "message");
        s->said = s->said ? s->said : sh_strndup0(said.p, said.len < 4096 ? said.len : 4096);
        sh_llm_stream_fail(s, true, SH_E_UPSTREAM, "it reported an error");
    } else if (sh_str_eqz(type, "message_start")) {
        sh_llm_keep(&s->answer.model, sh_json_get_str(message, "model"));
        take_usage(&s->answer, json_object_get(message, "usage"));
    } else if (sh_str_eqz(type, "content_block_start")) {
        block_starts(s, json_object_get(chunk, "content_block"));
    } else if (sh_str_eqz(type, "content_block_delta")) {
        block_grows(s, delta);
    } else if (sh_str_eqz(type, "message_delta")) {
        take_usage(&s->answer, json_object_get(chunk, "usage"));
        take_reason(&s->answer, sh_json_get_str(delta, "stop_reason"));
        s->done = s->done || sh_json_get_str(delta, "stop_reason").len > 0;
    } else if (sh_str_eqz(type, "message_stop")) {
        s->done = true;
    } /* "ping", and what later versions add */
}

const struct sh_llm_wire sh_wire_anthropic = {
    .path = "/messages",
    .key_header = "x-api-key",
    .key_prefix = "",
    .extra_header = "anthropic-version: 2023-06-01",
    .request = make_request,
    .read = read_answer,
    .chunk = take_chunk,
};
