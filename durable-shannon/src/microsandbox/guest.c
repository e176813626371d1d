/* The guest's side of an agent, without WebAssembly. What a guest learns is a function of its own
 * calls and of the tape: completions are kept with the sequence number of their event, and a wait
 * reveals the smallest one, so it does not matter how much of the tape had been pushed by then.
 *
 * Effects are views into one growing buffer; when it moves, they are moved with it. */
#include "microsandbox/guest.h"

#include <stdarg.h>
#include <stdio.h>

#define OP_MAX 256                           /* "mcp:SERVER/TOOL" is the longest form */
#define EFFECT_BUFFER_KEEP (16 * SH_KIB)     /* a sleeping agent holds no more than this */
#define EFFECT_BYTES_HARD SH_BATCH_BYTES_MAX /* a lone large effect; see sh_guest_room */
#define EFFECTS_HARD (2 * SH_EFFECTS_MAX)

/* One input waiting to be asked for: a completion that came early, or an observation. */
struct tape_node {
    struct sh_list node;
    uint64_t number;
    uint64_t seq;
    int64_t time_us;
    char kind[32];
    size_t len;
    char bytes[];
};

void *sh_mem_at(const struct sh_mem *m, uint64_t ptr, uint64_t n) {
    static uint8_t nothing;

    if (ptr > m->len || n > m->len - ptr) {
        return NULL;
    }
    return m->base ? m->base + ptr : &nothing;
}

static void limits_fill(struct sh_limits *l) {
    if (!l->fuel) {
        l->fuel = SH_FUEL_DEFAULT;
    }
    if (!l->memory_bytes) {
        l->memory_bytes = SH_MEMORY_DEFAULT;
    }
    if (!l->activities) {
        l->activities = SH_ACTIVITIES_DEFAULT;
    }
    if (!l->output_bytes) {
        l->output_bytes = SH_OUTPUT_DEFAULT;
    }
    if (!l->workspace_bytes) {
        l->workspace_bytes = SH_WORKSPACE_DEFAULT;
    }
}

/* Microseconds to nanoseconds; a time that no 64-bit clock can show is the last one that can. */
static int64_t ns_from_us(int64_t us) {
    int64_t ns;

    if (us <= 0) {
        return 0;
    }
    return __builtin_mul_overflow(us, (int64_t)1000, &ns) ? INT64_MAX : ns;
}

void sh_guest_init(struct sh_guest *g, const struct sh_agent_config *config) {
    memset(g, 0, sizeof(*g));
    g->config = config;
    if (config->caps) {
        g->limits = config->caps->limits;
    }
    limits_fill(&g->limits);
    g->clock_ns = ns_from_us(config->start_us);
    g->random_pos = config->random_pos;
    g->ordinal = config->ordinal;
    g->call_number = config->call_number;
    g->output_offset[0] = config->output_offset[0];
    g->output_offset[1] = config->output_offset[1];
    g->emitted = config->emitted;
    g->published = config->published;
    g->result_given = config->result_given;
    g->live = !config->again && !config->verify;
    sh_list_init(&g->early);
    sh_list_init(&g->observed);
    sh_buf_init(&g->effect_bytes, EFFECT_BYTES_HARD);
}

static void list_free(struct sh_list *head) {
    if (!head->next) {
        return; /* never initialised */
    }
    for (struct sh_list *n; (n = sh_list_pop(head));) {
        sh_free(sh_container_of(n, struct tape_node, node));
    }
}

void sh_guest_done(struct sh_guest *g) {
    if (!g) {
        return;
    }
    for (size_t i = 0; i < g->n_handles; i++) {
        sh_buf_done(&g->handles[i].result);
    }
    sh_free(g->handles);
    list_free(&g->early);
    list_free(&g->observed);
    sh_free(g->recalled);
    sh_free(g->effects);
    sh_buf_done(&g->effect_bytes);
    sh_free(g->wait_handles);
    sh_buf_done(&g->checkpoint);
    sh_buf_done(&g->result);
    sh_guest_line_done(g);
    memset(g, 0, sizeof(*g));
}

/* --- the end -------------------------------------------------------------------------------- */

int sh_guest_end(struct sh_guest *g, int code, const char *format, ...) {
    va_list args;

    if (g->ended) {
        return SH_CALL_END;
    }
    g->ended = true;
    g->end.code = code;
    va_start(args, format);
    (void)vsnprintf(g->end.message, sizeof(g->end.message), format, args);
    va_end(args);
    return SH_CALL_END;
}

/* --- handles -------------------------------------------------------------------------------- */

/* Index of the first handle whose number is not below `number`. */
static size_t handle_index(const struct sh_guest *g, int32_t number) {
    size_t low = 0, high = g->n_handles;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (g->handles[middle].number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct sh_handle *handle_find(const struct sh_guest *g, int32_t number) {
    size_t i = handle_index(g, number);

    return i < g->n_handles && g->handles[i].number == number ? &g->handles[i] : NULL;
}

static void handle_complete(struct sh_guest *g, struct sh_handle *h, uint64_t seq, int64_t time_us,
                            struct sh_str bytes) {
    if (h->complete) {
        return; /* the first completion of the journal stands */
    }
    sh_buf_init(&h->result, SH_EVENT_BODY_MAX);
    if (bytes.len) {
        sh_buf_add(&h->result, bytes.p, bytes.len);
    }
    if (h->result.failed && bytes.len <= SH_EVENT_BODY_MAX) {
        (void)sh_guest_end(g, SH_E_NOMEM, "no memory for the %zu bytes of a result", bytes.len);
        sh_buf_clear(&h->result);
    } else if (h->result.failed) {
        (void)sh_guest_end(g, SH_E_LIMIT, "the result of activity %d has %zu bytes, at most %llu",
                           (int)h->number, bytes.len, (unsigned long long)SH_EVENT_BODY_MAX);
        sh_buf_clear(&h->result);
    }
    h->complete = true;
    h->seq = seq;
    h->time_us = time_us;
}

/* --- the tape ------------------------------------------------------------------------------- */

/* Keep an input in `list`, ascending by number; of equal ones the first stays. */
static void tape_keep(struct sh_guest *g, struct sh_list *list, const struct sh_tape_item *item) {
    struct sh_list *after = list->prev;
    struct tape_node *n;

    while (after != list && sh_container_of(after, struct tape_node, node)->number > item->number) {
        after = after->prev;
    }
    if (after != list && sh_container_of(after, struct tape_node, node)->number == item->number) {
        return;
    }
    n = sh_try_alloc(sizeof(*n) + item->bytes.len, SH_BATCH_BYTES_MAX);
    if (!n) {
        (void)sh_guest_end(g, SH_E_NOMEM, "no memory for an input of %zu bytes from the journal",
                           item->bytes.len);
        return;
    }
    *n = (struct tape_node){.number = item->number, .seq = item->seq, .time_us = item->time_us};
    (void)snprintf(n->kind, sizeof(n->kind), "%.*s",
                   (int)(item->what.len < 31 ? item->what.len : 31),
                   item->what.p ? item->what.p : "");
    n->len = item->bytes.len;
    if (n->len) {
        memcpy(n->bytes, item->bytes.p, n->len);
    }
    sh_list_push(after->next, &n->node); /* before `next`: that is, right behind `after` */
}

static void push_completion(struct sh_guest *g, const struct sh_tape_item *item) {
    struct sh_handle *h;

    if (item->number == 0 || item->number > INT32_MAX) {
        return;
    }
    h = handle_find(g, (int32_t)item->number);
    if (h) {
        handle_complete(g, h, item->seq, item->time_us, item->bytes);
    } else if (item->number > g->ordinal) {
        tape_keep(g, &g->early, item);
    } /* else dropped by the guest, which does not want to know */
}

void sh_guest_push(struct sh_guest *g, const struct sh_tape_item *item) {
    switch (item->kind) {
    case SH_TAPE_COMPLETION:
        push_completion(g, item);
        break;
    case SH_TAPE_CANCEL:
        if (!g->cancel_seq && !g->cancel_revealed) {
            g->cancel_seq = item->seq;
            g->cancel_us = item->time_us;
        }
        break;
    case SH_TAPE_OBSERVED:
        if (item->number >= g->call_number) {
            tape_keep(g, &g->observed, item);
        }
        break;
    }
}

static bool kept_kind(const char *actual, const char *kind) {
    size_t n = strlen(kind);

    return strncmp(actual, kind, n) == 0 && strcmp(actual + n, SH_GUEST_KEPT) == 0;
}

/* The observation that the tape has next, those that come too late being dropped; or NULL. */
static struct tape_node *observed_next(struct sh_guest *g) {
    while (!sh_list_empty(&g->observed)) {
        struct tape_node *n = sh_container_of(g->observed.next, struct tape_node, node);

        if (n->number >= g->call_number) {
            return n->number == g->call_number ? n : NULL;
        }
        sh_list_unlink(&n->node);
        sh_free(n);
    }
    return NULL;
}

bool sh_guest_kept(struct sh_guest *g, const char *kind, struct sh_str *ret) {
    struct tape_node *n = g->ended ? NULL : observed_next(g);

    if (!n || !kept_kind(n->kind, kind)) {
        return false;
    }
    *ret = sh_strn(n->bytes, n->len);
    return true;
}

bool sh_guest_next_is(struct sh_guest *g, const char *kind) {
    const struct tape_node *n = g->ended ? NULL : observed_next(g);

    return n && strcmp(n->kind, kind) == 0;
}

bool sh_guest_next(struct sh_guest *g, const char *kind, struct sh_str *ret) {
    const struct tape_node *n = sh_guest_next_is(g, kind) ? observed_next(g) : NULL;

    if (n) {
        *ret = sh_strn(n->bytes, n->len);
    }
    return n != NULL;
}

/* The engine answers it: an answer that is not there may still come. */
static bool is_asked_for(const char *kind) {
    return strcmp(kind, "stdin") == 0 || strncmp(kind, "net.", 4) == 0 ||
           strcmp(kind, SH_POLL) == 0;
}

int sh_guest_recall(struct sh_guest *g, const char *kind, struct sh_str *ret) {
    struct tape_node *n;

    g->recalled = sh_free(g->recalled);
    if (g->ended) {
        return -1;
    }
    n = observed_next(g);
    if (!n) {
        if (g->config->cut && !is_asked_for(kind)) {
            g->wait = (struct sh_agent_wait){.kind = SH_WAIT_JOURNAL};
            return SH_CALL_PENDING;
        }
        if (g->config->verify && !is_asked_for(kind)) {
            (void)sh_guest_end(
                g, SH_E_NONDETERMINISM,
                "call %llu looked at \"%s\", but the journal has no such observation",
                (unsigned long long)g->call_number, kind);
            return -1;
        }
        return 0;
    }
    if (strcmp(n->kind, kind) != 0 && !kept_kind(n->kind, kind)) {
        (void)sh_guest_end(g, SH_E_NONDETERMINISM,
                           "event %llu: call %llu is \"%s\" in the journal, but is now \"%s\"",
                           (unsigned long long)n->seq, (unsigned long long)n->number, n->kind,
                           kind);
        return -1;
    }
    sh_list_unlink(&n->node);
    g->recalled = n;
    g->call_number++;
    *ret = sh_strn(n->bytes, n->len);
    return 1;
}

void sh_guest_reveal_recalled(struct sh_guest *g) {
    const struct tape_node *n = g->recalled;

    sh_guest_clock_reveal(g, n->time_us);
}

void sh_guest_observed(struct sh_guest *g, const char *kind, struct sh_str bytes) {
    uint64_t number = g->call_number++;

    if (g->config->observe) {
        sh_guest_effect(g, SH_EFFECT_OBSERVED, 0, number, sh_str(kind), bytes);
    }
}

/* --- clock and randomness ------------------------------------------------------------------- */

int64_t sh_guest_clock_ns(struct sh_guest *g) {
    sh_guest_clock_advance(g, 1000);
    return g->clock_ns;
}

void sh_guest_clock_reveal(struct sh_guest *g, int64_t time_us) {
    int64_t ns = ns_from_us(time_us);

    if (ns > g->clock_ns) {
        g->clock_ns = ns;
    }
}

void sh_guest_clock_advance(struct sh_guest *g, uint64_t delay_ns) {
    if (delay_ns > (uint64_t)(INT64_MAX - g->clock_ns)) {
        g->clock_ns = INT64_MAX;
    } else {
        g->clock_ns += (int64_t)delay_ns;
    }
}

void sh_guest_random(struct sh_guest *g, void *out, size_t n) {
    const struct sh_agent_config *c = g->config;
    uint8_t *to = out;

    for (size_t i = 0; i <= c->n_reseeds; i++) {
        const uint8_t *seed = i == 0 ? c->seed : c->reseeds[i - 1].seed;
        uint64_t end = i < c->n_reseeds ? c->reseeds[i].pos : UINT64_MAX;
        uint64_t left = end > g->random_pos ? end - g->random_pos : 0;
        size_t part = n < left ? n : (size_t)left;
        sh_random_stream(seed, g->random_pos, to, part);
        g->random_pos += part;
        to += part;
        n -= part;
    }
}

/* --- effects -------------------------------------------------------------------------------- */

bool sh_guest_room(struct sh_guest *g, size_t n) {
    if (g->n_effects == 0) {
        return true;
    }
    if (g->n_effects < SH_EFFECTS_MAX && g->effect_bytes.len <= SH_EFFECTS_BYTES_MAX &&
        n <= SH_EFFECTS_BYTES_MAX - g->effect_bytes.len) {
        return true;
    }
    g->wait = (struct sh_agent_wait){.kind = SH_WAIT_ROOM};
    return false;
}

/* Room for n more bytes at the end of the buffer; where it moves, the views move along. */
static char *effect_room(struct sh_guest *g, size_t n) {
    uintptr_t old = (uintptr_t)g->effect_bytes.p;
    char *p = sh_buf_room(&g->effect_bytes, n);

    if (!p || (uintptr_t)g->effect_bytes.p == old) {
        return p;
    }
    for (size_t i = 0; i < g->n_effects; i++) {
        struct sh_effect *e = &g->effects[i];

        e->a.p = e->a.p ? g->effect_bytes.p + ((uintptr_t)e->a.p - old) : NULL;
        e->b.p = e->b.p ? g->effect_bytes.p + ((uintptr_t)e->b.p - old) : NULL;
    }
    return p;
}

static struct sh_effect *effect_slot(struct sh_guest *g) {
    if (g->n_effects == EFFECTS_HARD) {
        return NULL;
    }
    if (g->n_effects == g->cap_effects) {
        g->cap_effects = g->cap_effects ? g->cap_effects * 2 : 8;
        g->effects = sh_grow(g->effects, g->cap_effects * sizeof(*g->effects));
    }
    return &g->effects[g->n_effects];
}

static struct sh_str effect_copy(struct sh_guest *g, char **at, struct sh_str s) {
    char *p = *at;

    if (!s.len) {
        return (struct sh_str){NULL, 0};
    }
    memcpy(p, s.p, s.len);
    *at += s.len;
    g->effect_bytes.len += s.len;
    return sh_strn(p, s.len);
}

void sh_guest_effect(struct sh_guest *g, enum sh_effect_kind kind, int stream, uint64_t number,
                     struct sh_str a, struct sh_str b) {
    struct sh_effect *e = effect_slot(g);
    char *at = NULL;

    if (a.len > EFFECT_BYTES_HARD || b.len > EFFECT_BYTES_HARD - a.len) {
        (void)sh_guest_end(g, SH_E_LIMIT, "one effect of %zu + %zu bytes, at most %llu", a.len,
                           b.len, (unsigned long long)EFFECT_BYTES_HARD);
        return;
    }
    if (e && a.len + b.len) {
        at = effect_room(g, a.len + b.len);
    }
    if (!e || (!at && a.len + b.len)) {
        g->effect_bytes.failed = false; /* what is in it is whole, and still to be taken */
        if (e && a.len + b.len <= EFFECT_BYTES_HARD - g->effect_bytes.len) {
            (void)sh_guest_end(g, SH_E_NOMEM, "no memory for an effect of %zu bytes",
                               a.len + b.len);
            return;
        }
        (void)sh_guest_end(g, SH_E_LIMIT, "more than %d effects or %llu bytes at once",
                           (int)EFFECTS_HARD, (unsigned long long)EFFECT_BYTES_HARD);
        return;
    }
    *e = (struct sh_effect){.kind = kind, .stream = stream, .number = number};
    e->a = effect_copy(g, &at, a);
    e->b = effect_copy(g, &at, b);
    g->n_effects++;
}

void sh_guest_effects_taken(struct sh_guest *g) {
    g->n_effects = 0;
    if (g->effect_bytes.cap > EFFECT_BUFFER_KEEP) {
        sh_buf_done(&g->effect_bytes);
        sh_buf_init(&g->effect_bytes, EFFECT_BYTES_HARD);
    } else {
        sh_buf_clear(&g->effect_bytes);
    }
    if (g->cap_effects > 64) {
        g->effects = sh_free(g->effects);
        g->cap_effects = 0;
    }
}

/* Writes to one stream that follow each other directly are one effect. */
static bool output_fold(struct sh_guest *g, int stream, struct sh_str bytes) {
    struct sh_effect *last = g->n_effects ? &g->effects[g->n_effects - 1] : NULL;
    char *at;

    if (!last || last->kind != SH_EFFECT_OUTPUT || last->stream != stream) {
        return false;
    }
    at = effect_room(g, bytes.len);
    if (!at) {
        g->effect_bytes.failed = false;
        return false;
    }
    memcpy(at, bytes.p, bytes.len);
    g->effect_bytes.len += bytes.len;
    last->b.len += bytes.len;
    return true;
}

int sh_guest_output(struct sh_guest *g, int stream, struct sh_str bytes) {
    uint64_t *offset = &g->output_offset[stream == 2];
    uint64_t used = g->output_offset[0] + g->output_offset[1];
    uint64_t left = used < g->limits.output_bytes ? g->limits.output_bytes - used : 0;
    struct sh_str part = {bytes.p, bytes.len < left ? bytes.len : (size_t)left};

    if (g->ended) {
        return SH_CALL_END;
    }
    if (part.len) {
        if (!sh_guest_room(g, part.len)) {
            return SH_CALL_PENDING;
        }
        if (!output_fold(g, stream, part)) {
            sh_guest_effect(g, SH_EFFECT_OUTPUT, stream, *offset, (struct sh_str){NULL, 0}, part);
            if (g->ended) {
                return SH_CALL_END;
            }
        }
        *offset += part.len;
    }
    if (bytes.len > left) {
        return sh_guest_end(g, SH_E_OUTPUT,
                            "the agent wrote more than its output limit of %llu bytes; raise "
                            "limits.output to allow more",
                            (unsigned long long)g->limits.output_bytes);
    }
    return 0;
}

static int give_check(const struct sh_guest *g, struct sh_str json) {
    if (g->result_given) {
        return -SH_ERRNO_EXIST;
    }
    if (json.len > SH_PAYLOAD_MAX) {
        return -SH_ERRNO_2BIG;
    }
    /* that of a large one is looked at by who keeps it */
    return !json.len || (json.len <= SH_OUTPUT_MAX && !sh_utf8_valid(json)) ? -SH_ERRNO_INVAL : 0;
}

int sh_guest_give_now(struct sh_guest *g, struct sh_buf *json) {
    int rc = g->ended ? SH_CALL_END : give_check(g, sh_buf_str(json));

    if (rc < 0) {
        return rc;
    }
    g->result_given = true;
    if (json->len > SH_OUTPUT_MAX) {
        g->result = *json;
        *json = (struct sh_buf){0};
        return 0;
    }
    sh_guest_effect(g, SH_EFFECT_RESULT, 0, 0, (struct sh_str){NULL, 0}, sh_buf_str(json));
    return g->ended ? SH_CALL_END : 0;
}

int sh_guest_give(struct sh_guest *g, struct sh_str json) {
    int rc = g->ended ? SH_CALL_END : give_check(g, json);
    sh_auto(sh_buf_done) struct sh_buf copy = {0};

    sh_buf_init(&copy, SH_PAYLOAD_MAX + 1);
    if (rc < 0) {
        return rc;
    }
    if (json.len <= SH_OUTPUT_MAX && !sh_guest_room(g, json.len)) {
        return SH_CALL_PENDING;
    }
    sh_buf_add(&copy, json.p, json.len);
    if (copy.failed) {
        return sh_guest_end(g, SH_E_NOMEM, "no memory for a result of %zu bytes", json.len);
    }
    return sh_guest_give_now(g, &copy);
}

/* --- activities ----------------------------------------------------------------------------- */

/* A completion that was on the tape before its activity started. */
static void handle_adopt(struct sh_guest *g, struct sh_handle *h) {
    struct tape_node *n;

    while (!sh_list_empty(&g->early)) {
        n = sh_container_of(g->early.next, struct tape_node, node);
        if (n->number > (uint64_t)h->number) {
            return;
        }
        sh_list_unlink(&n->node);
        if (n->number == (uint64_t)h->number) {
            handle_complete(g, h, n->seq, n->time_us, sh_strn(n->bytes, n->len));
        }
        sh_free(n);
    }
}

int sh_guest_start(struct sh_guest *g, struct sh_str op, struct sh_str args) {
    size_t args_max = op.len ? SH_ACTIVITY_ARGS_MAX : SH_DEV_LINE_MAX;
    struct sh_handle *h;

    if (g->ended) {
        return SH_CALL_END;
    }
    if (op.len > OP_MAX || args.len > args_max || !sh_utf8_valid(op) || !sh_utf8_valid(args)) {
        return -SH_ERRNO_INVAL;
    }
    if (g->n_handles >= SH_PARALLEL_ACTIVITIES_MAX || g->ordinal >= INT32_MAX - 1) {
        return -SH_ERRNO_MFILE;
    }
    if (g->ordinal >= g->limits.activities) {
        return sh_guest_end(g, SH_E_ACTIVITIES,
                            "the agent started more than its limit of %llu activities; raise "
                            "limits.activities to allow more",
                            (unsigned long long)g->limits.activities);
    }
    if (!sh_guest_room(g, op.len + args.len)) {
        return SH_CALL_PENDING;
    }
    sh_guest_effect(g, SH_EFFECT_START, 0, g->ordinal, op, args);
    if (g->ended) {
        return SH_CALL_END;
    }
    if (g->n_handles == g->cap_handles) {
        g->cap_handles = g->cap_handles ? g->cap_handles * 2 : 4;
        g->handles = sh_grow(g->handles, g->cap_handles * sizeof(*g->handles));
    }
    h = &g->handles[g->n_handles++];
    *h = (struct sh_handle){.number = (int32_t)++g->ordinal};
    handle_adopt(g, h);
    return h->number;
}

/* The first of the handles to complete; *ret NULL when none has. False: no such handle. */
static bool wait_scan(struct sh_guest *g, const int32_t *handles, size_t n,
                      struct sh_handle **ret) {
    *ret = NULL;
    for (size_t i = 0; i < n; i++) {
        struct sh_handle *h = handle_find(g, handles[i]);

        if (!h) {
            return false;
        }
        if (h->complete && (!*ret || h->seq < (*ret)->seq)) {
            *ret = h;
        }
    }
    return true;
}

static int wait_suspend(struct sh_guest *g, const int32_t *handles, size_t n) {
    if (n > g->cap_wait_handles) {
        g->wait_handles = sh_grow(g->wait_handles, n * sizeof(*g->wait_handles));
        g->cap_wait_handles = n;
    }
    memcpy(g->wait_handles, handles, n * sizeof(*handles));
    g->wait = (struct sh_agent_wait){
        .kind = SH_WAIT_ACTIVITY, .handles = g->wait_handles, .n_handles = n};
    return SH_CALL_PENDING;
}

int sh_guest_wait(struct sh_guest *g, const int32_t *handles, size_t n) {
    struct sh_handle *first;

    if (g->ended) {
        return SH_CALL_END;
    }
    if (n == 0 || n > SH_PARALLEL_ACTIVITIES_MAX || !wait_scan(g, handles, n, &first)) {
        return -SH_ERRNO_INVAL;
    }
    if (g->cancel_seq && (!first || g->cancel_seq < first->seq)) {
        g->cancel_seq = 0;
        g->cancel_revealed = true;
        sh_guest_clock_reveal(g, g->cancel_us);
        return -SH_ERRNO_CANCELED;
    }
    if (!first) {
        return wait_suspend(g, handles, n);
    }
    if (!first->revealed) {
        first->revealed = true;
        sh_guest_clock_reveal(g, first->time_us);
    }
    return first->number;
}

bool sh_guest_wait_is_first(struct sh_guest *g, const int32_t *handles, size_t n) {
    const struct tape_node *next = g->ended ? NULL : observed_next(g);
    struct sh_handle *first = NULL;
    uint64_t seq = g->cancel_seq ? g->cancel_seq : UINT64_MAX;

    if (wait_scan(g, handles, n, &first) && first && first->seq < seq) {
        seq = first->seq;
    }
    return seq < (next ? next->seq : UINT64_MAX);
}

int sh_guest_result(struct sh_guest *g, int32_t handle, struct sh_str *ret) {
    struct sh_handle *h = handle_find(g, handle);

    if (!h) {
        return -SH_ERRNO_BADF;
    }
    if (!h->revealed) {
        return -SH_ERRNO_AGAIN;
    }
    *ret = sh_buf_str(&h->result);
    return 0;
}

int sh_guest_drop(struct sh_guest *g, int32_t handle) {
    struct sh_handle *h = handle_find(g, handle);
    size_t i;

    if (!h) {
        return -SH_ERRNO_BADF;
    }
    i = (size_t)(h - g->handles);
    sh_buf_done(&h->result);
    g->n_handles--;
    memmove(h, h + 1, (g->n_handles - i) * sizeof(*h));
    return 0;
}
