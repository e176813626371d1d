/* Every part of the SDK once; what came of it is the output. The same program exists in each
 * language, and their journals have to agree. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shannon.h"

static void key_text(struct shannon_json *w, const char *name, const char *text) {
    shannon_json_key(w, name);
    shannon_json_str(w, text);
}

static void key_json(struct shannon_json *w, const char *name, const char *json) {
    shannon_json_key(w, name);
    shannon_json_raw(w, shannon_view(json));
}

static void key_bool(struct shannon_json *w, const char *name, bool value) {
    shannon_json_key(w, name);
    shannon_json_bool(w, value);
}

static int memory(struct shannon_ctx *ctx, struct shannon_json *w) {
    long long sum = 0;
    char *got, *none, *items;
    int first, second;

    if (shannon_kv_put(ctx, "f.k", "{\"a\":1}") < 0 || !(got = shannon_kv_get(ctx, "f.k"))) {
        return -1;
    }
    none = shannon_kv_get(ctx, "f.none");
    if (shannon_error(ctx) || shannon_kv_increment(ctx, "f.n", 2, &sum) < 0 ||
        (first = shannon_kv_cas(ctx, "f.c", NULL, "1")) < 0 ||
        (second = shannon_kv_cas(ctx, "f.c", "5", "2")) < 0 ||
        !(items = shannon_kv_list(ctx, "f.")) || shannon_kv_delete(ctx, "f.c") < 0) {
        return -1;
    }
    key_json(w, "got", got);
    key_bool(w, "missing", !none);
    shannon_json_key(w, "sum");
    shannon_json_int(w, sum);
    key_bool(w, "first", first == 1);
    key_bool(w, "second", second == 1);
    key_json(w, "items", items);
    return 0;
}

/* A message that does not come within 30 ms, one that is answered, and a person's yes. */
static int waiting(struct shannon_ctx *ctx, struct shannon_json *w) {
    int32_t never = shannon_start(ctx, "signal", "{\"name\":\"never\"}");
    int32_t first = shannon_wait_any_ms(ctx, &never, 1, 30);
    char *update = NULL, *payload, *answer;
    int approved;

    if (never < 0 || first < 0) {
        return -1;
    }
    shannon_drop(never);
    key_bool(w, "late", first == 0);
    if (shannon_compensate(ctx, "kv.put", "{\"key\":\"f.undone\",\"value\":true}") < 0 ||
        !(payload = shannon_signal(ctx, "ask", &update)) || !update) {
        return -1;
    }
    answer = shannon_format(
        "{\"n\":%d}",
        (int)shannon_json_number(shannon_json_get(shannon_view(payload), "n"), 0) + 1);
    if (shannon_reply(ctx, update, answer) < 0 ||
        (approved = shannon_approval(ctx, "go on?", NULL, 0)) < 0) {
        return -1;
    }
    key_bool(w, "approved", approved == 1);
    return 0;
}

static int all(struct shannon_ctx *ctx) {
    struct shannon_json w = {0};
    size_t n;
    char *state = shannon_state(ctx, &n), *child;

    if (state) {
        return shannon_output(ctx, state);
    }
    shannon_json_open(&w, '{');
    if (shannon_http(ctx, NULL, "https://example.org/", NULL, NULL)) {
        return -1;
    }
    key_text(&w, "denied", shannon_error_code(ctx));
    if (memory(ctx, &w) < 0 || waiting(ctx, &w) < 0 ||
        !(child = shannon_workflow(ctx, "child", "{\"query\":\"c\"}")) ||
        shannon_publish(ctx, "seen", "{\"n\":1}") < 0) {
        return -1;
    }
    shannon_json_key(&w, "child");
    shannon_json_raw(&w, shannon_json_get(shannon_view(child), "status"));
    shannon_json_close(&w, '}');
    state = shannon_json_take(&w);
    printf("before ");
    return shannon_checkpoint(ctx, state, strlen(state));
}

static int fails(struct shannon_ctx *ctx) {
    if (shannon_compensate(ctx, "kv.put", "{\"key\":\"f.undone\",\"value\":true}") < 0) {
        return -1;
    }
    free(shannon_web_fetch(ctx, "https://example.org/"));
    return -1;
}

static int canceled(struct shannon_ctx *ctx) {
    char *payload = shannon_signal(ctx, "never", NULL);

    if (payload || strcmp(shannon_error_code(ctx), "canceled") != 0) {
        return -1;
    }
    return shannon_kv_put(ctx, "f.cleaned", "true");
}

static int script(struct shannon_ctx *ctx) {
    char *answer = shannon_python(ctx, "print(6*7)", "{}");

    return answer ? shannon_output(ctx, answer) : -1;
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char *mode = shannon_json_string(shannon_json_get(shannon_view(shannon_input(ctx)), "mode"));
    int r = -1;

    if (strcmp(mode, "all") == 0) {
        r = all(ctx);
    } else if (strcmp(mode, "fail") == 0) {
        r = fails(ctx);
    } else if (strcmp(mode, "cancel") == 0) {
        r = canceled(ctx);
    } else if (strcmp(mode, "python") == 0) {
        r = script(ctx);
    } else if (strcmp(mode, "again") == 0) {
        r = shannon_continue_as_new(ctx, "{\"mode\":\"next\"}");
    } else if (strcmp(mode, "next") == 0) {
        r = shannon_output(ctx, shannon_input(ctx));
    }
    return r < 0 ? shannon_fail(ctx) : 0;
}
