/* Calls of module "shannon" with any arguments, and a tape that says anything in between: the input
 * is a program of both over 64 KiB of memory. Whatever it does, the guest's account of itself stays
 * consistent, what it left as effects lies within its own buffer and its limits, the clock does not
 * go back, and an end is an end.
 *
 * Input: one byte picks what happens; numbers are a byte below 0x80, else 2, 4 or 8 that follow.
 *   0x00-0x7f  call function (byte mod how many there are) with its parameters as numbers
 *   0x80-0x8f  put the following bytes (a number says how many) at an address (a number)
 *   0x90-0xaf  completion, 0xb0-0xbf cancel, 0xc0-0xcf observation; then seq, time, number, length
 *   0xd0-0xdf  take the effects     0xe0-0xef  wake     else  an observable call */
#include "base/base.h"
#include "microsandbox/guest_calls.h"

enum { MEMORY = 65536, STEPS_MAX = 512, RETRIES_MAX = 8 };

struct input {
    const uint8_t *p, *end;
};

struct before { /* what only grows */
    int64_t clock_ns;
    uint64_t ordinal, call_number, output, emitted, published;
};

static uint64_t bytes(struct input *in, unsigned n) {
    uint64_t v = 0;

    for (unsigned i = 0; i < n && in->p < in->end; i++) {
        v |= (uint64_t)*in->p++ << (8 * i);
    }
    return v;
}

static uint64_t number(struct input *in) {
    static const unsigned widths[] = {2, 4, 8, 4};
    uint8_t how = (uint8_t)bytes(in, 1);

    return how < 0x80 ? how : bytes(in, widths[how & 3]);
}

static struct sh_str text(struct input *in) {
    uint64_t n = number(in);
    size_t left = (size_t)(in->end - in->p);
    struct sh_str s = sh_strn(in->p, n < left ? (size_t)n : left);

    in->p += s.len;
    return s;
}

static void check_handles(const struct sh_guest *g) {
    SH_ASSERT(g->n_handles <= SH_PARALLEL_ACTIVITIES_MAX && g->n_handles <= g->cap_handles);
    for (size_t i = 0; i < g->n_handles; i++) {
        const struct sh_handle *h = &g->handles[i];

        SH_ASSERT(h->number > 0 && (uint64_t)h->number <= g->ordinal);
        SH_ASSERT(i == 0 || g->handles[i - 1].number < h->number);
        SH_ASSERT(h->complete || !h->revealed);
        SH_ASSERT(h->result.len <= SH_JSON_TEXT_MAX);
    }
}

static void check_effects(const struct sh_guest *g) {
    const char *from = g->effect_bytes.p, *to = from ? from + g->effect_bytes.len : from;

    SH_ASSERT(g->n_effects <= 2 * SH_EFFECTS_MAX);
    for (size_t i = 0; i < g->n_effects; i++) {
        const struct sh_effect *e = &g->effects[i];

        SH_ASSERT(!e->a.len || (e->a.p >= from && e->a.p + e->a.len <= to));
        SH_ASSERT(!e->b.len || (e->b.p >= from && e->b.p + e->b.len <= to));
        if (e->kind == SH_EFFECT_START) {
            SH_ASSERT(e->number < g->ordinal && e->b.len <= SH_ACTIVITY_ARGS_MAX);
        } else if (e->kind != SH_EFFECT_OUTPUT && e->kind != SH_EFFECT_OBSERVED) {
            SH_ASSERT(sh_utf8_valid(e->a) && sh_utf8_valid(e->b));
        }
    }
}

static void check(const struct sh_guest *g, struct before *b) {
    struct before now = {.clock_ns = g->clock_ns,
                         .ordinal = g->ordinal,
                         .call_number = g->call_number,
                         .output = g->output_offset[0] + g->output_offset[1],
                         .emitted = g->emitted,
                         .published = g->published};

    SH_ASSERT(now.clock_ns >= b->clock_ns && now.ordinal >= b->ordinal);
    SH_ASSERT(now.call_number >= b->call_number && now.output >= b->output);
    SH_ASSERT(now.emitted >= b->emitted && now.published >= b->published);
    SH_ASSERT(now.ordinal <= g->limits.activities && now.output <= g->limits.output_bytes);
    SH_ASSERT(!g->ended || g->end.message[0] || !g->end.code);
    check_handles(g);
    check_effects(g);
    *b = now;
}

/* What a guest is told: a size that fits, a known handle, or a WASI errno. */
static void check_answer(const struct sh_guest *g, const struct sh_guest_function *f, int rc) {
    if (rc == SH_CALL_END) {
        SH_ASSERT(g->ended);
    } else if (rc == SH_CALL_PENDING) {
        SH_ASSERT(f->may_wait && !g->ended);
        SH_ASSERT(g->wait.kind == SH_WAIT_ROOM || g->wait.kind == SH_WAIT_ACTIVITY);
        SH_ASSERT(g->wait.kind != SH_WAIT_ACTIVITY || g->wait.n_handles > 0);
    } else {
        SH_ASSERT(rc >= -76);
    }
}

static void call(struct sh_guest *g, const struct sh_mem *m, struct input *in, uint8_t which) {
    const struct sh_guest_function *f = &sh_guest_functions[which % sh_guest_functions_n];
    uint64_t a[8] = {0};

    for (size_t i = 0; f->params[i]; i++) {
        a[i] = (uint32_t)number(in);
    }
    memset(&g->call, 0, sizeof(g->call));
    for (int i = 0; i < RETRIES_MAX; i++) {
        int rc = f->fn(g, m, a);

        check_answer(g, f, rc);
        if (rc != SH_CALL_PENDING || g->checkpointed || g->wait.kind == SH_WAIT_ACTIVITY) {
            return;
        }
        sh_guest_effects_taken(g);
    }
    SH_ASSERT(!"an empty effect buffer has room");
}

static void push(struct sh_guest *g, struct input *in, enum sh_tape_kind kind) {
    static const char *const kinds[] = {"stdin", "stat", "", "a kind of observation that is long"};
    struct sh_tape_item item = {.kind = kind, .seq = number(in)};

    item.time_us = (int64_t)number(in);
    item.number = number(in);
    item.what = sh_str(kinds[item.seq & 3]);
    item.bytes = text(in);
    sh_guest_push(g, &item);
}

static void observe(struct sh_guest *g, uint8_t which) {
    const char *kind = which & 1 ? "stdin" : "stat";
    struct sh_str seen;
    int rc = sh_guest_recall(g, kind, &seen);

    SH_ASSERT(rc == 0 || rc == 1 || (rc == -1 && g->ended));
    if (rc == 0 && sh_guest_room(g, strlen(kind) + 1)) {
        sh_guest_observed(g, kind, SH_STR("x"));
    }
}

static void step(struct sh_guest *g, const struct sh_mem *m, struct input *in) {
    uint8_t what = (uint8_t)bytes(in, 1);

    if (what < 0x80) {
        call(g, m, in, what);
    } else if (what < 0x90) {
        struct sh_str s = text(in);
        size_t at = (size_t)(number(in) % MEMORY);

        memcpy(m->base + at, s.len ? s.p : "", s.len < MEMORY - at ? s.len : MEMORY - at);
    } else if (what < 0xd0) {
        push(g, in,
             what < 0xb0   ? SH_TAPE_COMPLETION
             : what < 0xc0 ? SH_TAPE_CANCEL
                           : SH_TAPE_OBSERVED);
    } else if (what < 0xe0) {
        sh_guest_effects_taken(g);
    } else if (what < 0xf0) {
        g->woken = true;
    } else {
        observe(g, what);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct sh_capabilities caps = {
        .limits = {.activities = 300, .output_bytes = 4096, .fuel = 1, .memory_bytes = 1}};
    struct sh_agent_config config = {.caps = &caps,
                                     .start_us = 1,
                                     .input = SH_STR("{\"query\":1}"),
                                     .state = SH_STR("state"),
                                     .observe = true};
    struct sh_mem m = {sh_zalloc(MEMORY), MEMORY};
    struct before before = {0};
    struct sh_guest g;

    sh_guest_init(&g, &config);
    for (int i = 0; in.p < in.end && i < STEPS_MAX && !g.ended && !g.checkpointed; i++) {
        step(&g, &m, &in);
        check(&g, &before);
    }
    sh_guest_done(&g);
    sh_free(m.base);
    return 0;
}
