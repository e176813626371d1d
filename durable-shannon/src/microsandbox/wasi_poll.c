/* poll_oneoff. Its answer is derived: from the workflow clock, and from the tape.
 *
 * - Files, directories, output and devices are always ready.
 * - Clocks alone: the earliest delay is slept (SH_WAIT_SLEEP) and the clock advances by it; a delay
 *   of 0 never suspends.
 * - /dev/shannon is readable when a result was taken for it, or when nothing is outstanding (end of
 *   file). If nothing else is ready the call waits for its activities as a read would, and takes
 *   the result that comes. Live standard input is fetched in the same way; it comes second.
 * - A connection is readable when bytes, its end or an error are at hand; writable always: a write
 *   takes as long as it takes. If nothing is ready, the engine waits for connections and clocks
 *   together, and what came first is an observation (SH_NET_POLL).
 * - Any other mixture of these is waited for by the engine in the same way (SH_POLL). Activities
 *   are part of it: of a result and an observation the one that the journal has first came first,
 *   and the engine adds no observation behind a result that the agent does not know of yet. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { SUBSCRIPTION = 48, EVENT = 32, POLL_CLOCK = 0, POLL_READ = 1, POLL_WRITE = 2 };
enum { CLOCK_LAST = 3, FLAG_ABSTIME = 1, FLAG_HANGUP = 1 };

struct sub {
    uint64_t user;
    uint8_t kind;
    bool ready, sticky; /* sticky: an error that stays */
    uint16_t error;
    uint16_t flags;
    uint64_t nbytes;
    int64_t due; /* POLL_CLOCK: on the workflow clock */
    struct sh_desc *d;
};

struct poll {
    struct sub *subs;
    size_t n;
    bool channels, stdin_wanted, clocks;
    struct sh_net_conn *conns[SH_NET_CONNECTIONS_MAX]; /* not readable yet, each once */
    size_t n_conns;
    int64_t earliest;
};

static int64_t add_sat(int64_t a, uint64_t b) {
    return b > (uint64_t)(INT64_MAX - a) ? INT64_MAX : a + (int64_t)b;
}

static int read_clock(struct sh_wasi *w, const uint8_t *p, int64_t start, struct sub *s) {
    uint32_t id = get32(p + 16), flags = get32(p + 40) & 0xffff;
    uint64_t timeout = get64(p + 24);

    if (id > CLOCK_LAST || flags > FLAG_ABSTIME) {
        return E_INVAL;
    }
    if (flags & FLAG_ABSTIME) {
        int64_t zero = id == 0 ? 0 : (int64_t)sh_wasi_start_ns(w);

        s->due = add_sat(zero, timeout);
    } else {
        s->due = add_sat(start, timeout);
    }
    return E_OK;
}

static int read_subs(struct sh_wasi *w, const uint8_t *in, int64_t start, struct poll *p) {
    for (size_t i = 0; i < p->n; i++, in += SUBSCRIPTION) {
        struct sub *s = &p->subs[i];
        int rc = E_OK;

        s->user = get64(in);
        s->kind = in[8];
        if (s->kind == POLL_CLOCK) {
            rc = read_clock(w, in, start, s);
        } else if (s->kind == POLL_READ || s->kind == POLL_WRITE) {
            s->d = sh_wasi_desc(w, get32(in + 16));
        } else {
            rc = E_INVAL;
        }
        if (rc) {
            return rc;
        }
    }
    return E_OK;
}

static void look_net(struct poll *p, struct sub *s) {
    struct sh_net_conn *c = s->d->net;
    bool known = false;

    s->ready = sh_net_readable(c);
    s->nbytes = sh_net_left(c) ? sh_net_left(c) : c->announced;
    s->flags = c->ended && !sh_net_left(c) ? FLAG_HANGUP : 0;
    for (size_t i = 0; i < p->n_conns; i++) {
        known = known || p->conns[i] == c;
    }
    if (!s->ready && !known) { /* there are no more than may be open */
        p->conns[p->n_conns++] = c;
    }
}

/* A descriptor's state now; what would have to be waited for is noted in p. */
static void look(struct sh_wasi *w, struct poll *p, struct sub *s) {
    s->ready = true;
    s->nbytes = 1;
    if (!s->d || !(s->d->rights & R_POLL_FD_READWRITE || sh_desc_is_dir(s->d))) {
        s->error = E_BADF;
        s->nbytes = 0;
    } else if (s->kind == POLL_READ && s->d->kind == DESC_SHANNON) {
        struct sh_channel *c = s->d->channel;

        s->nbytes = c->out.len - c->out_at;
        s->ready = s->nbytes || !c->n_handles;
        s->flags = s->nbytes ? 0 : FLAG_HANGUP;
        p->channels = p->channels || !s->ready;
    } else if (s->kind == POLL_READ && s->d->kind == DESC_STDIN) {
        s->nbytes = sh_wasi_stdin_left(w);
        s->ready = s->nbytes || !w->g->config->stdin_live || w->stdin_eof;
        s->flags = s->nbytes ? 0 : FLAG_HANGUP;
        p->stdin_wanted = p->stdin_wanted || !s->ready;
    } else if (s->kind == POLL_READ && s->d->kind == DESC_SOCKET) {
        look_net(p, s);
    }
}

/* Who is ready, at this reading of the clock? */
static bool any_ready(struct sh_wasi *w, struct poll *p, int64_t now) {
    bool any = false;

    p->channels = p->stdin_wanted = p->clocks = false;
    p->n_conns = 0;
    p->earliest = INT64_MAX;
    for (size_t i = 0; i < p->n; i++) {
        struct sub *s = &p->subs[i];

        if (s->kind == POLL_CLOCK) {
            s->ready = s->due <= now;
            p->earliest = s->due < p->earliest ? s->due : p->earliest;
            p->clocks = true;
        } else if (!s->sticky) {
            look(w, p, s);
        }
        any = any || s->ready;
    }
    return any;
}

/* More than one kind of thing is to be waited for, and it is not the pair that SH_NET_POLL is for.
 */
static bool is_mixture(const struct poll *p) {
    int kinds = (p->n_conns > 0) + p->channels + p->stdin_wanted;

    return kinds > 1 || (kinds == 1 && p->clocks && p->n_conns == 0);
}

/* The channel that a subscription waits for, or NULL. */
static struct sh_channel *awaited(const struct sub *s) {
    return s->d && s->kind == POLL_READ && !s->ready ? s->d->channel : NULL;
}

static bool holds(const int32_t *handles, size_t n, int32_t handle) {
    for (size_t i = 0; i < n; i++) {
        if (handles[i] == handle) {
            return true;
        }
    }
    return false;
}

/* The activities of all channels that are waited for, each once. */
static size_t collect(const struct poll *p, int32_t handles[SH_PARALLEL_ACTIVITIES_MAX]) {
    size_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct sh_channel *c = awaited(&p->subs[i]);

        if (!c || holds(handles, n, c->handles[0])) { /* none, or the same channel again */
            continue;
        }
        for (size_t k = 0; k < c->n_handles && n < SH_PARALLEL_ACTIVITIES_MAX; k++) {
            handles[n++] = c->handles[k];
        }
    }
    return n;
}

static int wait_channels(struct sh_wasi *w, struct poll *p) {
    int32_t handles[SH_PARALLEL_ACTIVITIES_MAX];
    int first = sh_guest_wait(w->g, handles, collect(p, handles));

    if (first == SH_CALL_PENDING || first == SH_CALL_END) {
        return first;
    }
    for (size_t i = 0; i < p->n; i++) {
        struct sub *s = &p->subs[i];
        struct sh_channel *c = awaited(s);

        if (c && first < 0) { /* canceled: all who wait hear it, this once */
            s->ready = s->sticky = true;
            s->error = (uint16_t)-first;
        } else if (c && holds(c->handles, c->n_handles, first)) {
            return sh_channel_wait(w, c); /* the earliest of all is the earliest of its own */
        }
    }
    return E_OK;
}

/* Clocks alone. Stage 0: before the sleep; 1: in it. */
static int sleep_until(struct sh_wasi *w, int64_t start, int64_t due) {
    struct sh_guest *g = w->g;

    if (g->call.stage == 1 && g->woken) {
        g->woken = false;
        if (g->clock_ns < due) {
            sh_guest_clock_advance(g, (uint64_t)(due - g->clock_ns));
        }
        return E_OK;
    }
    if (g->call.stage == 0) {
        g->call.stage = 1;
        g->call.a = g->call_number++;
        g->woken = false;
    }
    g->wait = (struct sh_agent_wait){.kind = SH_WAIT_SLEEP,
                                     .delay_ns = (uint64_t)(due - start),
                                     .call_number = g->call.a,
                                     .clock_us = start / 1000};
    return SH_CALL_PENDING;
}

/* Connections, and the clocks with them; where there is more, all that. */
static int wait_net(struct sh_wasi *w, struct poll *p, int64_t start, const char *kind) {
    struct sh_net_waits what = {.kind = kind,
                                .conns = p->conns,
                                .n = p->n_conns,
                                .for_stdin = p->stdin_wanted,
                                .timeout_ns =
                                    p->clocks ? (uint64_t)(p->earliest - start) : UINT64_MAX};
    bool late = false;
    int rc = sh_wasi_net_poll(w, &what, &late);

    if (rc == 0 && late && w->g->clock_ns < p->earliest) {
        sh_guest_clock_advance(w->g, (uint64_t)(p->earliest - w->g->clock_ns));
    }
    return rc;
}

/* A mixture: the earliest on the tape, be it a result or what the engine observed. */
static int wait_any(struct sh_wasi *w, struct poll *p, int64_t start) {
    struct sh_guest *g = w->g;
    int32_t handles[SH_PARALLEL_ACTIVITIES_MAX];
    size_t n = collect(p, handles);
    int rc;

    if (n && sh_guest_wait_is_first(g, handles, n)) {
        return wait_channels(w, p);
    }
    if (p->stdin_wanted && sh_guest_next_is(g, "stdin")) {
        return sh_wasi_stdin_fetch(w); /* a journal from before there was SH_POLL */
    }
    rc = wait_net(w, p, start, SH_POLL);
    if (rc == SH_CALL_PENDING && n) {
        struct sh_agent_wait wait = g->wait;

        rc = sh_guest_wait(g, handles, n);
        SH_ASSERT(rc == SH_CALL_PENDING); /* none of them is on the tape */
        wait.handles = g->wait.handles;
        wait.n_handles = g->wait.n_handles;
        g->wait = wait;
    }
    return rc;
}

static uint32_t write_events(const struct poll *p, uint8_t *out) {
    uint32_t n = 0;

    for (size_t i = 0; i < p->n; i++) {
        const struct sub *s = &p->subs[i];

        if (!s->ready) {
            continue;
        }
        memset(out, 0, EVENT);
        put64(out, s->user);
        out[8] = (uint8_t)s->error;
        out[9] = (uint8_t)(s->error >> 8);
        out[10] = s->kind;
        if (s->kind != POLL_CLOCK && !s->error) {
            put64(out + 16, s->nbytes);
            out[24] = (uint8_t)s->flags;
        }
        out += EVENT;
        n++;
    }
    return n;
}

static int run(struct sh_wasi *w, struct poll *p, int64_t start) {
    bool mixture;
    int rc;

    if (w->g->call.stage == 0 && any_ready(w, p, start)) {
        return E_OK;
    }
    (void)any_ready(w, p, start);
    mixture = is_mixture(p);
    if (mixture) {
        rc = wait_any(w, p, start);
    } else if (p->n_conns) {
        rc = wait_net(w, p, start, SH_NET_POLL);
    } else if (p->channels) {
        rc = wait_channels(w, p);
    } else if (p->stdin_wanted) {
        rc = sh_wasi_stdin_fetch(w);
    } else {
        rc = sleep_until(w, start, p->earliest);
    }
    if (rc) {
        return rc;
    }
    return any_ready(w, p, w->g->clock_ns) || !mixture ? E_OK : sh_wasi_broken(w, SH_POLL);
}

int sh_wasi_poll_oneoff(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint32_t n = arg32(a[2]);
    const uint8_t *in;
    uint8_t *out, *ret;
    struct poll p = {.n = n};
    int rc;

    if (n == 0 || n > SH_SUBSCRIPTIONS_MAX) {
        return E_INVAL;
    }
    in = mem_at(m, a[0], (uint64_t)n * SUBSCRIPTION);
    out = mem_at(m, a[1], (uint64_t)n * EVENT);
    ret = mem_at(m, a[3], 4);
    if (!in || !out || !ret) {
        return E_FAULT;
    }
    if (w->g->call.b == 0) {
        w->g->call.b = (uint64_t)w->g->clock_ns + 1; /* where the delays count from */
    }
    p.subs = sh_new_array(struct sub, n);
    rc = read_subs(w, in, (int64_t)(w->g->call.b - 1), &p);
    if (rc == 0) {
        rc = run(w, &p, (int64_t)(w->g->call.b - 1));
    }
    if (rc == 0) {
        put32(ret, write_events(&p, out));
    }
    sh_free(p.subs);
    return rc;
}
