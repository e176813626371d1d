/* What an agent asks of its host. Each function checks its arguments, then answers from memory or
 * leaves an effect: nothing here parses, formats or waits, because it runs on the guest's fiber. */
#include "microsandbox/guest_calls.h"

#define NAME_MAX_BYTES 256 /* of an event type or a published name */

/* A guest range as a view; false when it lies outside. */
static bool view(const struct sh_mem *m, uint64_t ptr, uint64_t n, struct sh_str *ret) {
    const void *p = sh_mem_at(m, ptr, n);

    if (!p) {
        return false;
    }
    *ret = sh_strn(p, (size_t)n);
    return true;
}

/* Copy as much of `s` as fits; gives the number of bytes copied. */
static int copy_out(const struct sh_mem *m, struct sh_str s, uint64_t ptr, uint64_t cap) {
    size_t n = s.len < cap ? s.len : (size_t)cap;
    void *p = sh_mem_at(m, ptr, cap);

    if (!p) {
        return -SH_ERRNO_FAULT;
    }
    if (n) {
        memcpy(p, s.p, n);
    }
    return (int)n;
}

static int activity_start(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str op, json;

    if (!view(m, args[0], args[1], &op) || !view(m, args[2], args[3], &json)) {
        return -SH_ERRNO_FAULT;
    }
    if (!op.len) {
        return -SH_ERRNO_INVAL; /* an empty op is how guest.h names a line of /dev/shannon */
    }
    return sh_guest_start(g, op, json);
}

static int activity_wait(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    int32_t handles[SH_PARALLEL_ACTIVITIES_MAX];
    const void *p;

    if (args[1] == 0 || args[1] > SH_PARALLEL_ACTIVITIES_MAX) {
        return -SH_ERRNO_INVAL;
    }
    p = sh_mem_at(m, args[0], args[1] * sizeof(handles[0]));
    if (!p) {
        return -SH_ERRNO_FAULT;
    }
    memcpy(handles, p, args[1] * sizeof(handles[0]));
    return sh_guest_wait(g, handles, args[1]);
}

static int activity_size(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str result;
    int r = sh_guest_result(g, (int32_t)args[0], &result);

    (void)m;
    return r < 0 ? r : (int)result.len;
}

static int activity_read(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str result;
    int r = sh_guest_result(g, (int32_t)args[0], &result);

    return r < 0 ? r : copy_out(m, result, args[1], args[2]);
}

static int activity_drop(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    (void)m;
    return sh_guest_drop(g, (int32_t)args[0]);
}

static int input_size(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    (void)m;
    (void)args;
    return (int)g->config->input.len;
}

static int input_read(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    return copy_out(m, g->config->input, args[0], args[1]);
}

static int output(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str json;

    if (!view(m, args[0], args[1], &json)) {
        return -SH_ERRNO_FAULT;
    }
    return sh_guest_give(g, json);
}

/* emit and publish: a name and a JSON text, numbered. */
static int note(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args,
                enum sh_effect_kind kind, uint64_t *index) {
    struct sh_str name, json;

    if (!view(m, args[0], args[1], &name) || !view(m, args[2], args[3], &json)) {
        return -SH_ERRNO_FAULT;
    }
    if (name.len > NAME_MAX_BYTES || json.len > SH_EMIT_MAX - name.len) {
        return -SH_ERRNO_2BIG;
    }
    if (!name.len || !json.len || !sh_utf8_valid(name) || !sh_utf8_valid(json)) {
        return -SH_ERRNO_INVAL;
    }
    if (!sh_guest_room(g, name.len + json.len)) {
        return SH_CALL_PENDING;
    }
    sh_guest_effect(g, kind, 0, (*index)++, name, json);
    return g->ended ? SH_CALL_END : 0;
}

static int emit(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    return note(g, m, args, SH_EFFECT_EMIT, &g->emitted);
}

static int publish(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    return note(g, m, args, SH_EFFECT_PUBLISH, &g->published);
}

static int checkpoint(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str state;

    if (g->checkpointed) {
        return SH_CALL_PENDING;
    }
    if (!view(m, args[0], args[1], &state)) {
        return -SH_ERRNO_FAULT;
    }
    return sh_guest_checkpoint(g, state);
}

static int continue_as_new(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    struct sh_str input;

    if (g->checkpointed) {
        return SH_CALL_PENDING;
    }
    if (!view(m, args[0], args[1], &input)) {
        return -SH_ERRNO_FAULT;
    }
    return sh_guest_continue(g, input);
}

static int checkpoint_size(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    (void)m;
    (void)args;
    return (int)g->config->state.len;
}

static int checkpoint_read(struct sh_guest *g, const struct sh_mem *m, const uint64_t *args) {
    return copy_out(m, g->config->state, args[0], args[1]);
}

const struct sh_guest_function sh_guest_functions[] = {
    {"activity_start", "iiii", true, activity_start},
    {"activity_wait", "ii", true, activity_wait},
    {"activity_size", "i", false, activity_size},
    {"activity_read", "iii", false, activity_read},
    {"activity_drop", "i", false, activity_drop},
    {"input_size", "", false, input_size},
    {"input_read", "ii", false, input_read},
    {"output", "ii", true, output},
    {"emit", "iiii", true, emit},
    {"publish", "iiii", true, publish},
    {"checkpoint", "ii", true, checkpoint},
    {"continue_as_new", "ii", true, continue_as_new},
    {"checkpoint_size", "", false, checkpoint_size},
    {"checkpoint_read", "ii", false, checkpoint_read},
};
const size_t sh_guest_functions_n = sizeof(sh_guest_functions) / sizeof(sh_guest_functions[0]);
