/* Short ways to operations that other modules and the web answer: arguments become JSON, and of the
 * answer the part that one wants is given. */
#include "shannon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *must(char *p) {
    if (!p) {
        fputs("shannon: out of memory\n", stderr);
        abort();
    }
    return p;
}

static char *view_text(struct shannon_view v) {
    return must(v.p ? strndup(v.p, v.n) : strdup("null"));
}

static void add_text(struct shannon_json *w, const char *name, const char *text) {
    shannon_json_key(w, name);
    shannon_json_str(w, text);
}

static void add_json(struct shannon_json *w, const char *name, const char *json) {
    if (json) {
        shannon_json_key(w, name);
        shannon_json_raw(w, shannon_view(json));
    }
}

/* Closes the object, asks, and gives the whole answer or NULL. */
static char *ask(struct shannon_ctx *ctx, const char *op, struct shannon_json *w) {
    char *args, *answer;

    shannon_json_close(w, '}');
    args = must(shannon_json_take(w));
    answer = shannon_tool(ctx, op, args);
    free(args);
    return answer;
}

/* Of an answer the member at `path`: as text when it is a string, else as JSON. */
static char *member(char *answer, const char *path) {
    struct shannon_view v = shannon_json_get(shannon_view(answer), path);
    char *text = answer ? shannon_json_string(v) : NULL;

    if (answer && !text) {
        text = view_text(v);
    }
    free(answer);
    return text;
}

char *shannon_http(struct shannon_ctx *ctx, const char *method, const char *url,
                   const char *body_json, int *ret_status) {
    struct shannon_json w = {0};
    struct shannon_view body;
    char *answer, *text;

    shannon_json_open(&w, '{');
    add_text(&w, "url", url);
    add_text(&w, "method", method ? method : "GET");
    add_json(&w, "body", body_json);
    answer = ask(ctx, "http", &w);
    if (!answer) {
        return NULL;
    }
    if (ret_status) {
        *ret_status = (int)shannon_json_number(shannon_json_get(shannon_view(answer), "status"), 0);
    }
    body = shannon_json_get(shannon_view(answer), "body");
    if (!body.p) {
        body = shannon_json_get(shannon_view(answer), "body_base64");
    }
    text = body.p ? shannon_json_string(body) : must(strdup(""));
    free(answer);
    return must(text);
}

char *shannon_web_search(struct shannon_ctx *ctx, const char *query, int count) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    add_text(&w, "query", query);
    if (count > 0) {
        shannon_json_key(&w, "count");
        shannon_json_int(&w, count);
    }
    return member(ask(ctx, "web_search", &w), "results");
}

char *shannon_web_fetch(struct shannon_ctx *ctx, const char *url) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    add_text(&w, "url", url);
    return member(ask(ctx, "web_fetch", &w), "text");
}

char *shannon_workflow(struct shannon_ctx *ctx, const char *agent, const char *input_json) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    add_text(&w, "agent", agent);
    add_json(&w, "input", input_json);
    return ask(ctx, "workflow", &w);
}

char *shannon_python(struct shannon_ctx *ctx, const char *code, const char *input_json) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    add_text(&w, "code", code);
    add_json(&w, "input", input_json);
    return ask(ctx, "python", &w);
}

char *shannon_kv_list(struct shannon_ctx *ctx, const char *prefix) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    add_text(&w, "prefix", prefix ? prefix : "");
    return member(ask(ctx, "kv.list", &w), "items");
}

int shannon_kv_cas(struct shannon_ctx *ctx, const char *key, const char *expect_json,
                   const char *value_json) {
    struct shannon_json w = {0};
    char *answer;
    int swapped;

    shannon_json_open(&w, '{');
    add_text(&w, "key", key);
    add_json(&w, "expect", expect_json);
    add_json(&w, "value", value_json);
    answer = ask(ctx, "kv.cas", &w);
    if (!answer) {
        return -1;
    }
    swapped = shannon_json_is_true(shannon_json_get(shannon_view(answer), "swapped"));
    free(answer);
    return swapped;
}
