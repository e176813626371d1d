/* The event Compacted: what it says, and what becomes of a workflow that is loaded from it. The
 * state is what apply.c and its helpers would have made of the events, as JSON; the few events that
 * a workflow is made from are kept whole. It travels as text, so that its signature covers bytes.
 */
#include "engine/compact.h"
#include "engine/private.h"

#define STATE_VERSION 1

static struct sh_str text_of(const json_t *s) {
    return sh_strn(json_string_value(s), json_string_length(s));
}

bool sh_compacted_keeps(const char *type) {
    static const char *const kept[] = {"WorkflowStarted", "PolicyDecided", "Forked",
                                       "BudgetRaised"};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (strcmp(type, kept[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- making it ---- */

/* Messages whose wait was begun before the checkpoint are spent; their number is kept. */
static json_t *signals_json(const struct sh_workflow *wf) {
    const json_t *waits = json_object_get(wf->history.checkpoint, "signal_waits");
    json_t *all = json_object(), *queue;
    const char *name;

    json_object_foreach(wf->signals, name, queue) {
        size_t n = json_array_size(queue);
        size_t gone = (size_t)sh_json_get_int(waits, name, 0);
        json_t *rest = json_array();
        gone = gone < n ? gone : n;
        for (size_t i = gone; i < n; i++) {
            json_array_append(rest, json_array_get(queue, i));
        }
        json_object_set_new(all, name,
                            json_pack("{s:I, s:o}", "gone", (json_int_t)gone, "rest", rest));
    }
    return all;
}

static json_t *approvals_json(const struct sh_workflow *wf) {
    json_t *pending = json_array();

    sh_list_each (node, &wf->approvals.pending) {
        json_array_append(pending, sh_container_of(node, struct sh_approval, link)->question);
    }
    return json_pack("{s:I, s:O, s:o}", "made", (json_int_t)wf->approvals.made, "run_grants",
                     wf->approvals.run_grants, "pending", pending);
}

/* The body of WorkflowStarted. */
static const json_t *started(const json_t *begin) {
    return json_array_get(json_array_get(begin, 0), 3);
}

static json_t *state_json(const struct sh_workflow *wf, const json_t *begin) {
    json_t *list = wf->compensations.list;
    struct sh_buf answer;
    json_t *state;

    sh_buf_init_sure(&answer, SH_EVENT_BODY_MAX);
    sh_base64_encode(&answer, wf->answer.p, wf->answer.len);
    state =
        json_pack("{s:i, s:o, s:o, s:O, s:o, s:o, s:[I,I,I,f], s:o, s:I, s:b, s:b, s:b, s:s%}", "v",
                  STATE_VERSION, "begin", json_deep_copy(begin), "signals", signals_json(wf),
                  "updates", wf->updates, "approvals", approvals_json(wf), "compensations",
                  list ? json_deep_copy(list) : json_array(), "usage", (json_int_t)wf->usage_input,
                  (json_int_t)wf->usage_output, (json_int_t)wf->usage_total, wf->usage_cost,
                  "below", sh_spent_json(&wf->below), "wall_us", (json_int_t)wf->wall_spent_us,
                  "paused", (int)wf->paused, "canceled", (int)wf->cancel_requested, "over_budget",
                  (int)wf->over_budget, "answer", answer.p ? answer.p : "", answer.len);
    sh_buf_done(&answer);
    SH_ASSERT(state);
    if (wf->spec.input && !json_equal(wf->spec.input, json_object_get(started(begin), "input"))) {
        json_object_set(state, "input", wf->spec.input); /* it continued as new */
    }
    return state;
}

/* What is signed: it is no head of a chain, and cannot be taken for one. */
static void digest(const struct sh_hash *hash, int64_t time_us, struct sh_str state,
                   struct sh_hash *ret) {
    struct sh_hasher h;

    sh_hasher_init(&h);
    sh_hasher_str(&h, SH_STR("shannon compacted 1"));
    sh_hasher_add(&h, hash->b, SH_HASH_BYTES);
    sh_hasher_u64(&h, (uint64_t)time_us);
    sh_hasher_str(&h, state);
    sh_hasher_done(&h, ret);
}

static int write_body(const struct sh_engine *e, const struct sh_compacted *at, const char *state,
                      struct sh_buf *ret, struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash d;

    sh_hash_hex(&at->hash, hex);
    digest(&at->hash, at->time_us, sh_str(state), &d);
    sh_auto(sh_json_done) json_t *body =
        json_pack("{s:I, s:s, s:s, s:o}", "k", (json_int_t)at->k, "hash", hex, "state", state,
                  "signed", sh_head_sign(&e->key, at->id, at->k, &d));
    SH_ASSERT(body);
    sh_json_dump(body, ret);
    if (ret->failed || ret->len > SH_EVENT_BODY_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "what would stand for events 1 to %llu has more than %llu MiB",
                       (unsigned long long)at->k, SH_EVENT_BODY_MAX / SH_MIB);
    }
    return 0;
}

int sh_compacted_body(const struct sh_workflow *wf, const struct sh_compacted *at,
                      const json_t *begin, struct sh_buf *ret, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *state = state_json(wf, begin);
    sh_auto(sh_free_p) char *text = sh_json_text(state);

    return write_body(wf->engine, at, text, ret, err);
}

int sh_compacted_for(const struct sh_engine *e, const char *id, const json_t *first,
                     struct sh_str body, int64_t time_us, struct sh_buf *ret, struct sh_err *err) {
    struct sh_compacted at = {.id = id, .time_us = time_us};
    sh_auto(sh_json_done) json_t *old = NULL, *state = NULL;

    if (sh_json_parse(body, 2 * SH_EVENT_BODY_MAX, &old, err) < 0 ||
        sh_compacted_state(old, &state, err) < 0) {
        return -err->code;
    }
    at.k = (uint64_t)sh_json_get_int(old, "k", 0);
    if (sh_hash_parse(sh_json_get_str(old, "hash"), &at.hash) < 0) {
        return sh_fail(err, SH_E_CORRUPT, "an event Compacted is not readable");
    }
    json_array_set(json_array_get(json_object_get(state, "begin"), 0), 3,
                   (json_t *)(uintptr_t)first);
    sh_auto(sh_free_p) char *text = sh_json_text(state);
    return write_body(e, &at, text, ret, err);
}

/* ---- believing it ---- */

uint64_t sh_compacted_k(const struct sh_event_record *ev) {
    sh_auto(sh_json_done) json_t *body = NULL;

    if (!sh_str_eqz(ev->type, "Compacted") ||
        sh_json_parse(ev->body, 2 * SH_EVENT_BODY_MAX, &body, NULL) < 0) {
        return 0;
    }
    int64_t k = sh_json_get_int(body, "k", 0);
    return k > 0 ? (uint64_t)k : 0;
}

bool sh_compacted_hides(const struct sh_event_record *ev, uint64_t to, struct sh_err *err) {
    uint64_t k = sh_compacted_k(ev);

    if (k == 0 || to > k) {
        return false;
    }
    sh_fail(err, SH_E_GONE,
            "event %llu is gone: the journal was compacted and begins with a checkpoint, event "
            "%llu",
            (unsigned long long)to, (unsigned long long)k + 1);
    return true;
}

int sh_compacted_follow(struct sh_journal *j, const struct sh_event_record *ev,
                        struct sh_err *err) {
    sh_auto(sh_json_done) json_t *body = NULL;
    sh_auto(sh_free_p) char *id = sh_strndup0(ev->workflow.p, ev->workflow.len);
    struct sh_hash hash, d;
    struct sh_head head;

    if (sh_json_parse(ev->body, 2 * SH_EVENT_BODY_MAX, &body, err) < 0) {
        return -err->code;
    }
    struct sh_str state = sh_json_get_str(body, "state");
    int64_t k = sh_json_get_int(body, "k", 0);
    if (k < 1 || (uint64_t)k < ev->seq || state.len == 0 ||
        sh_hash_parse(sh_json_get_str(body, "hash"), &hash) < 0 || !sh_hash_eq(&hash, &ev->hash)) {
        return sh_fail(err, SH_E_CORRUPT, "the event Compacted at %llu is not readable",
                       (unsigned long long)ev->seq);
    }
    if (sh_head_check(json_object_get(body, "signed"), id, &head, err) < 0) {
        return -err->code;
    }
    digest(&hash, ev->time_us, state, &d);
    if (head.seq != (uint64_t)k || !sh_hash_eq(&head.hash, &d)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "what stands for events 1 to %lld is not what was signed: it was changed "
                       "afterwards",
                       (long long)k);
    }
    memcpy(j->compacted_key, head.key, sizeof(j->compacted_key));
    j->compacted = j->seq = (uint64_t)k;
    j->head = hash;
    j->time_us = ev->time_us;
    return 0;
}

int sh_compacted_state(const json_t *body, json_t **ret, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *state = NULL;

    if (sh_json_parse(sh_json_get_str(body, "state"), SH_EVENT_BODY_MAX, &state, err) < 0) {
        return -err->code;
    }
    int64_t version = sh_json_get_int(state, "v", 0);
    if (version > STATE_VERSION) {
        return sh_fail(err, SH_E_VERSION,
                       "an event Compacted was written by a newer version (%lld, this one reads up "
                       "to %d)",
                       (long long)version, STATE_VERSION);
    }
    json_t *first = json_array_get(json_object_get(state, "begin"), 0);
    if (version < 1 || !sh_str_eqz(text_of(json_array_get(first, 2)), "WorkflowStarted") ||
        !json_is_object(json_array_get(first, 3))) {
        return sh_fail(err, SH_E_CORRUPT, "an event Compacted does not say what it stands for");
    }
    *ret = sh_take(&state);
    return 0;
}

bool sh_compacted_kept(const json_t *state, size_t i, struct sh_event *ret) {
    const json_t *item = json_array_get(json_object_get(state, "begin"), i);
    const char *type = sh_event_type(text_of(json_array_get(item, 2)));

    if (!type || !sh_compacted_keeps(type)) {
        return false;
    }
    *ret = (struct sh_event){.seq = (uint64_t)json_integer_value(json_array_get(item, 0)),
                             .time_us = json_integer_value(json_array_get(item, 1)),
                             .type = type,
                             .body = json_array_get(item, 3)};
    return true;
}

static void restore_signals(struct sh_workflow *wf, const json_t *signals) {
    const char *name;
    json_t *item;

    json_object_foreach((json_t *)(uintptr_t)signals, name, item) {
        json_t *queue = json_array();
        int64_t gone = sh_json_get_int(item, "gone", 0);
        for (int64_t i = 0; i < gone && i < (int64_t)SH_EVENT_BODY_MAX; i++) {
            json_array_append_new(queue, json_null());
        }
        json_array_extend(queue, json_object_get(item, "rest"));
        json_object_set_new(wf->signals, name, queue);
    }
}

static void restore_approvals(struct sh_workflow *wf, const json_t *approvals) {
    json_t *grants = json_object_get(approvals, "run_grants"), *question;
    size_t i;

    json_object_update(wf->approvals.run_grants, grants);
    json_array_foreach(json_object_get(approvals, "pending"), i, question) {
        struct sh_event asked = {.type = "ApprovalRequested", .body = question};
        sh_approval_apply_requested(wf, &asked);
    }
    wf->approvals.made = (uint64_t)sh_json_get_int(approvals, "made", 0);
}

int sh_compacted_restore(struct sh_workflow *wf, const json_t *state, struct sh_err *err) {
    const json_t *usage = json_object_get(state, "usage");
    json_t *list = json_object_get(state, "compensations");
    json_t *input = json_object_get(state, "input");
    struct sh_buf answer;

    if (input) {
        json_decref(wf->spec.input);
        wf->spec.input = json_incref(input);
        wf->spec.input_kept = (struct sh_payload){0};
    }
    sh_buf_init_sure(&answer, SH_EVENT_BODY_MAX);
    if (sh_base64_decode(&answer, sh_json_get_str(state, "answer")) < 0) {
        sh_buf_done(&answer);
        return sh_fail(err, SH_E_CORRUPT, "an event Compacted holds output that is not readable");
    }
    sh_workflow_keep_answer(wf, sh_buf_str(&answer));
    sh_buf_done(&answer);
    restore_signals(wf, json_object_get(state, "signals"));
    json_object_update(wf->updates, json_object_get(state, "updates"));
    restore_approvals(wf, json_object_get(state, "approvals"));
    if (json_array_size(list) > 0) {
        wf->compensations.list = json_deep_copy(list);
    }
    wf->usage_input = (uint64_t)json_integer_value(json_array_get(usage, 0));
    wf->usage_output = (uint64_t)json_integer_value(json_array_get(usage, 1));
    wf->usage_total = (uint64_t)json_integer_value(json_array_get(usage, 2));
    wf->usage_cost = json_number_value(json_array_get(usage, 3));
    sh_spent_add_json(&wf->below, json_object_get(state, "below"));
    wf->wall_spent_us = (uint64_t)sh_json_get_int(state, "wall_us", 0);
    wf->paused = sh_json_get_bool(state, "paused", false);
    wf->cancel_requested = sh_json_get_bool(state, "canceled", false);
    wf->over_budget = sh_json_get_bool(state, "over_budget", false);
    return 0;
}
