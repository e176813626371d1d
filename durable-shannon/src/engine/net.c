/* See net.h. One question at a time: an agent that waits asks nothing else. The question is looked
 * at again whenever a connection changes; nothing of a connection is taken before its event is in
 * the journal's draft, so that what the event says is what was. */
#include "engine/net.h"

#include <errno.h>

#include "engine/private.h"
#include "tools/tools.h"

struct connection {
    struct sh_list link;
    struct sh_workflow *wf;
    uint64_t id; /* the call that opened it */
    struct sh_dial *dial;
    bool told; /* the agent knows that it is open */
    /* What leaves when the event of this call (+ 1) is durable. */
    uint64_t follows;
    struct sh_buf staged;
    bool shut;
};

void sh_net_init(struct sh_net *n) {
    sh_list_init(&n->connections);
}

bool sh_net_kind(struct sh_str kind) {
    return sh_str_starts(kind, SH_STR("net.")) || sh_str_eqz(kind, SH_POLL);
}

bool sh_net_any(const struct sh_workflow *wf) {
    return !sh_list_empty(&wf->net.connections);
}

static struct connection *find(const struct sh_workflow *wf, uint64_t id) {
    sh_list_each (node, &wf->net.connections) {
        struct connection *c = sh_container_of(node, struct connection, link);
        if (c->id == id) {
            return c;
        }
    }
    return NULL;
}

static struct sh_tcp_status status(const struct connection *c) {
    return sh_tcp_status(sh_dial_tcp(c->dial));
}

static void drop(struct connection *c, bool now) {
    sh_list_unlink(&c->link);
    sh_dial_close(c->dial, now);
    sh_buf_done(&c->staged);
    sh_free(c);
}

void sh_net_closed(struct sh_workflow *wf, uint64_t connection) {
    struct connection *c = find(wf, connection);

    if (c) {
        drop(c, false);
    }
}

void sh_net_stop(struct sh_workflow *wf) {
    sh_timer_stop(&wf->net.timer);
    wf->net.waits = false;
    wf->net.answered = wf->net.timed = 0;
    wf->net.over = false;
    while (sh_net_any(wf)) {
        drop(sh_container_of(wf->net.connections.next, struct connection, link), false);
    }
}

/* ---- answers ---- */

/* An answer under way: what goes into the record behind the question, and what people are shown. */
struct answer {
    struct sh_workflow *wf;
    const struct sh_agent_wait *w;
    struct sh_buf data;
    json_t *body;
};

static void answer_begin(struct answer *a, struct sh_workflow *wf, const struct sh_agent_wait *w,
                         int error) {
    a->wf = wf;
    a->w = w;
    a->body = json_pack("{s:I, s:s, s:I}", "call", (json_int_t)w->call_number, "kind", w->net.kind,
                        "spent_us", (json_int_t)sh_wall_spent_us(wf));
    sh_buf_init_sure(&a->data, SH_EVENT_BODY_MAX);
    sh_buf_add(&a->data, w->net.question.p, w->net.question.len);
    sh_buf_u32(&a->data, sh_net_errno(error));
}

static void answer_end(struct answer *a) {
    struct sh_workflow *wf = a->wf;
    struct sh_buf text;

    sh_buf_init_sure(&text, SH_EVENT_BODY_MAX);
    sh_base64_encode(&text, a->data.p, a->data.len);
    json_object_set_new(a->body, "data", json_stringn(text.p, text.len));
    sh_buf_done(&text);
    sh_buf_done(&a->data);
    sh_timer_stop(&wf->net.timer);
    wf->net.timed = 0;
    wf->net.answered = a->w->call_number + 1;
    wf->net.waits = false;
    if (sh_journal_add(wf, "Observed", a->body) == 0) {
        sh_workflow_journal_full(wf);
    }
    sh_journal_commit(wf, NULL, NULL);
    sh_wall_update(wf);
}

/* Nothing but an errno of the host. */
static void answer_error(struct sh_workflow *wf, const struct sh_agent_wait *w, int error,
                         const struct sh_err *why) {
    struct answer a;

    answer_begin(&a, wf, w, error);
    if (why && why->code) {
        json_object_set_new(a.body, "error", json_string(sh_code_info(why->code)->name));
        json_object_set_new(a.body, "message", sh_json_string(sh_str(why->message)));
    }
    answer_end(&a);
}

/* The errno of a connection that ended with an error, or that is not there (any more). */
static int lost(const struct connection *c) {
    return c ? status(c).error : ECONNRESET;
}

/* ---- questions ---- */

static void changed(void *arg);

/* The frozen capabilities, and the policy in force, which may have become narrower since. */
static bool may_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct connection *c = arg;
    const struct sh_workflow *wf = c->wf;

    return sh_capabilities_net(&wf->spec.caps, what, written_out) &&
           sh_policy_net(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, what, written_out) !=
               SH_DENY;
}

static struct connection *dial(struct sh_workflow *wf, const struct sh_agent_wait *w,
                               struct sh_err *err) {
    struct connection *c = sh_new(struct connection);
    const struct sh_dial_request req = {.host = w->net.host,
                                        .port = w->net.port,
                                        .may_reach = may_reach,
                                        .changed = changed,
                                        .arg = c};

    c->wf = wf;
    c->id = w->call_number;
    sh_buf_init_sure(&c->staged, SH_NET_PIECE_MAX + 1);
    if (SH_FAULT(net_dial)) {
        sh_fail(err, SH_E_NOMEM, "the connection was not begun, as a fault test asked");
    } else {
        sh_tools_dial(wf->engine->config.tools, &req, &c->dial, err);
    }
    if (err->code) {
        sh_buf_done(&c->staged);
        sh_free(c);
        return NULL;
    }
    sh_list_push(&wf->net.connections, &c->link);
    return c;
}

static bool is_ours(int error) { /* the machine's own lack: nothing that a guest may see */
    return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

static void ask_open(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct connection *c = find(wf, w->call_number);
    struct sh_tcp_status s;
    struct sh_err err = {0};
    struct answer a;

    if (!c) {
        c = dial(wf, w, &err);
        if (!c && sh_end_is_the_hosts(err.code)) {
            sh_workflow_park(wf, err.code, err.message);
            return;
        }
        if (!c) {
            answer_error(wf, w, err.code == SH_E_DENIED ? EACCES : ENOENT, &err);
            return;
        }
    }
    s = status(c);
    if (s.ended && is_ours(s.error)) {
        drop(c, true);
        sh_workflow_park(wf, SH_E_NOMEM, "no descriptor or memory for a connection");
    } else if (s.ended) {
        sh_dial_failure(c->dial, &err);
        drop(c, true);
        answer_error(wf, w, s.error, &err);
    } else if (s.connected) {
        c->told = true;
        answer_begin(&a, wf, w, 0);
        json_object_set_new(a.body, "target",
                            json_sprintf("tcp://%s:%u", w->net.host, w->net.port));
        answer_end(&a);
    }
}

static void ask_read(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct connection *c = find(wf, w->net.connection);
    struct sh_tcp_status s = c ? status(c) : (struct sh_tcp_status){0};
    struct answer a;
    size_t n;

    if (!c || (s.received.len == 0 && s.error)) {
        answer_error(wf, w, lost(c), NULL);
    } else if (s.received.len || s.ended) {
        n = s.received.len < SH_NET_PIECE_MAX ? s.received.len : SH_NET_PIECE_MAX;
        answer_begin(&a, wf, w, 0);
        sh_buf_bytes32(&a.data, sh_strn(s.received.p, n));
        json_object_set_new(a.body, "bytes", json_integer((json_int_t)n));
        sh_tcp_take(sh_dial_tcp(c->dial), n);
        answer_end(&a);
    }
}

static void ask_write(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct connection *c = find(wf, w->net.connection);
    struct sh_tcp_status s = c ? status(c) : (struct sh_tcp_status){0};
    struct answer a;

    if (!c || s.error) {
        answer_error(wf, w, lost(c), NULL);
    } else if (s.to_send == 0 || s.to_send + w->net.bytes.len <= SH_NET_UNSENT_MAX) {
        sh_buf_clear(&c->staged);
        sh_buf_add(&c->staged, w->net.bytes.p, w->net.bytes.len);
        c->follows = w->call_number + 1;
        answer_begin(&a, wf, w, 0);
        json_object_set_new(a.body, "bytes", json_integer((json_int_t)w->net.bytes.len));
        answer_end(&a);
    }
}

static void ask_shut(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct connection *c = find(wf, w->net.connection);
    int error = !c || status(c).error ? lost(c) : 0;

    if (error == 0) {
        sh_buf_clear(&c->staged);
        c->shut = true;
        c->follows = w->call_number + 1;
    }
    answer_error(wf, w, error, NULL);
}

/* What a reader of it would find: 0: it would wait; else bytes, or 1 for an end or an error. */
static uint32_t readable(const struct connection *c) {
    struct sh_tcp_status s = c ? status(c) : (struct sh_tcp_status){.ended = true};

    return s.received.len ? (uint32_t)s.received.len : s.ended;
}

/* Standard input as it is now, at most what the agent takes: so its read needs no event. */
static void answer_stdin(struct answer *a) {
    struct sh_workflow *wf = a->wf;
    size_t most = a->w->max_bytes, n = wf->stdin_queue.len < most ? wf->stdin_queue.len : most;

    sh_buf_u8(&a->data, 1);
    sh_buf_bytes32(&a->data, sh_strn(wf->stdin_queue.p, n));
    sh_buf_drop(&wf->stdin_queue, n);
    json_object_set_new(a->body, "bytes", json_integer((json_int_t)n));
}

static bool stdin_came(const struct sh_workflow *wf, const struct sh_agent_wait *w) {
    return w->net.for_stdin && (wf->stdin_queue.len > 0 || wf->stdin_eof);
}

static void answer_poll(struct sh_workflow *wf, const struct sh_agent_wait *w, bool timed_out) {
    struct answer a;

    answer_begin(&a, wf, w, 0);
    sh_buf_u8(&a.data, timed_out);
    for (size_t i = 0; i < w->net.n_poll; i++) {
        sh_buf_u32(&a.data, timed_out ? 0 : readable(find(wf, w->net.poll[i])));
    }
    if (strcmp(w->net.kind, SH_POLL) != 0) {
        answer_end(&a);
        return;
    }
    json_object_set_new(a.body, "late", json_boolean(timed_out));
    if (stdin_came(wf, w)) {
        answer_stdin(&a);
    } else {
        sh_buf_u8(&a.data, 0);
    }
    answer_end(&a);
}

/* Is it there, its agent waiting for a connection, and that not answered yet? */
static const struct sh_agent_wait *question(const struct sh_workflow *wf) {
    const struct sh_agent_wait *w;

    if (wf->phase != SH_PHASE_HELD || !wf->agent || !wf->waiting || wf->leaving || wf->doom ||
        wf->anew || wf->verify) {
        return NULL;
    }
    w = sh_agent_wait(wf->agent);
    return w->kind == SH_WAIT_NET && wf->net.answered != w->call_number + 1 ? w : NULL;
}

static void poll_over(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, net.timer);

    wf->net.over = true;
    sh_net_again(wf);
}

/* Is a result of an activity that it waits for under way to the agent? Then that is its answer, or
 * may be: an observation behind it would be one that the agent never asks for. */
static bool result_is_under_way(const struct sh_workflow *wf, const struct sh_agent_wait *w) {
    return w->n_handles > 0 && (wf->journal.inputs_pending > 0 || !sh_list_empty(&wf->inputs));
}

static void ask_poll(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    bool ready = stdin_came(wf, w);

    if (wf->net.timed != w->net.poll_serial) {
        wf->net.timed = w->net.poll_serial;
        wf->net.over = false;
        sh_timer_stop(&wf->net.timer); /* of one that a result ended */
        if (w->net.timeout_ns != UINT64_MAX) {
            sh_timer_start(wf->engine->loop, &wf->net.timer, w->net.timeout_ns, poll_over);
        }
    }
    for (size_t i = 0; i < w->net.n_poll; i++) {
        ready = ready || readable(find(wf, w->net.poll[i]));
    }
    if ((ready || wf->net.over) && !result_is_under_way(wf, w)) {
        answer_poll(wf, w, !ready);
    }
}

static const struct {
    const char *kind;
    void (*ask)(struct sh_workflow *wf, const struct sh_agent_wait *w);
} questions[] = {
    {SH_NET_OPEN, ask_open}, {SH_NET_READ, ask_read}, {SH_NET_WRITE, ask_write},
    {SH_NET_SHUT, ask_shut}, {SH_NET_POLL, ask_poll}, {SH_POLL, ask_poll},
};

void sh_net_ask(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    if (wf->net.answered == w->call_number + 1) {
        return; /* stepped for something else while the event is on its way */
    }
    wf->net.waits = strcmp(w->net.kind, SH_POLL) != 0 || w->net.n_poll > 0;
    for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
        if (strcmp(questions[i].kind, w->net.kind) == 0) {
            questions[i].ask(wf, w);
            return;
        }
    }
    SH_ASSERT(!"a kind of question that nobody asks");
}

void sh_net_again(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = question(wf);

    if (w) {
        sh_net_ask(wf, w);
    }
}

static void changed(void *arg) {
    struct connection *c = arg;

    sh_net_again(c->wf);
}

void sh_net_applied(struct sh_workflow *wf, const struct sh_event *ev) {
    uint64_t call = (uint64_t)sh_json_get_int(ev->body, "call", 0);

    sh_list_each (node, &wf->net.connections) {
        struct connection *c = sh_container_of(node, struct connection, link);
        if (c->follows == call + 1) {
            c->follows = 0;
            sh_tcp_send(sh_dial_tcp(c->dial), sh_buf_str(&c->staged));
            sh_buf_done(&c->staged);
            sh_buf_init_sure(&c->staged, SH_NET_PIECE_MAX + 1);
            if (c->shut) {
                sh_tcp_end(sh_dial_tcp(c->dial));
            }
        }
    }
}
