/* What an agent left is compared with the journal as far as that reaches, and journaled beyond. */
#include "engine/private.h"

/* A commit is sent when it holds this much, so that no slice of a guest outgrows a transaction. */
#define COMMIT_BYTES SH_MIB

static bool mismatch(struct sh_workflow *wf, uint64_t seq, const char *what, struct sh_str expected,
                     struct sh_str actual) {
    char message[200];

    snprintf(message, sizeof(message),
             "event %llu, %s: the journal has \"%.*s\", the agent gave \"%.*s\"",
             (unsigned long long)seq, what, (int)(expected.len > 40 ? 40 : expected.len),
             expected.p ? expected.p : "", (int)(actual.len > 40 ? 40 : actual.len),
             actual.p ? actual.p : "");
    sh_workflow_fail(wf, SH_E_NONDETERMINISM, message);
    return false;
}

static bool add(struct sh_workflow *wf, const char *type, json_t *body) {
    if (sh_journal_add(wf, type, body) == 0) {
        sh_workflow_journal_full(wf);
        return false;
    }
    return true;
}

/* JSON text of a guest as a value; text that is not JSON is kept as a string. NUL becomes U+FFFD.
 */
json_t *sh_guest_json(struct sh_str text) {
    json_t *value = NULL;

    if (text.len == 0) {
        return json_null();
    }
    return sh_json_parse_foreign(text, SH_JSON_TEXT_MAX, &value, NULL) < 0 ? sh_json_string(text)
                                                                           : value;
}

/* The beginning of stdout is the answer of an agent that gives no result of its own. The same bytes
 * must be kept live and from the journal, however they are divided: the result depends on them. */
void sh_workflow_keep_answer(struct sh_workflow *wf, struct sh_str bytes) {
    size_t room = wf->answer.max - wf->answer.len - 1;

    sh_buf_add(&wf->answer, bytes.p, bytes.len < room ? bytes.len : room);
}

static bool output(struct sh_workflow *wf, const struct sh_effect *fx) {
    struct sh_history *h = &wf->history;
    int k = fx->stream - 1;
    struct sh_str bytes = fx->b;
    uint64_t offset = fx->number;
    uint64_t known_end = h->first_output[k] + h->output[k].len;

    if (fx->stream == 1) {
        sh_workflow_keep_answer(wf, bytes);
    }
    if (h->bodies && offset < known_end) {
        size_t at = (size_t)(offset - h->first_output[k]);
        size_t n = bytes.len < h->output[k].len - at ? bytes.len : h->output[k].len - at;
        if (memcmp(h->output[k].p + at, bytes.p, n) != 0) {
            return mismatch(wf, h->last_seq, "output", sh_strn(h->output[k].p + at, n), bytes);
        }
        h->matched_output[k] = at + n;
        bytes.p += n;
        bytes.len -= n;
        offset += n;
    }
    if (bytes.len == 0 || wf->verify) {
        return true;
    }
    struct sh_buf data;
    sh_buf_init_sure(&data, SH_EVENT_BODY_MAX);
    sh_base64_encode(&data, bytes.p, bytes.len);
    json_t *body = json_pack("{s:i, s:I, s:s%}", "stream", fx->stream, "offset", (json_int_t)offset,
                             "data", data.p, data.len);
    sh_buf_done(&data);
    return add(wf, "Output", body);
}

/* The event, and what a query reads, in one commit. takes body */
static bool published(struct sh_workflow *wf, json_t *body) {
    json_t *name = json_incref(json_object_get(body, "name"));
    json_t *data = json_incref(json_object_get(body, "data"));
    bool ok = add(wf, "Published", body);

    if (ok) {
        sh_publish_put(wf, name, data, wf->journal.seq);
    }
    json_decref(name);
    json_decref(data);
    return ok;
}

static bool note(struct sh_workflow *wf, const struct sh_effect *fx) {
    struct sh_history *h = &wf->history;
    int which = fx->kind == SH_EFFECT_EMIT ? 0 : 1;
    const char *name = which == 0 ? "type" : "name";
    uint64_t i = fx->number - h->first_note[which];
    json_t *body = json_object();

    json_object_set_new(body, "index", json_integer((json_int_t)fx->number));
    json_object_set_new(body, name, sh_json_string(fx->a));
    json_object_set_new(body, "data", sh_guest_json(fx->b));
    if (h->bodies && i < h->n_notes[which]) {
        bool equal = json_equal(body, h->notes[which][i].body);
        uint64_t seq = h->notes[which][i].seq;
        sh_auto(sh_free_p) char *expected = sh_json_text(h->notes[which][i].body);
        sh_auto(sh_free_p) char *actual = sh_json_text(body);
        json_decref(body);
        h->unmatched--;
        return equal || mismatch(wf, seq, "progress event", sh_str(expected), sh_str(actual));
    }
    if (wf->verify) {
        json_decref(body);
        return true;
    }
    if (which == 0) {
        return add(wf, "Emitted", body);
    }
    return published(wf, body);
}

static bool observed(struct sh_workflow *wf, const struct sh_effect *fx) {
    struct sh_buf data;
    json_t *body;

    sh_buf_init_sure(&data, SH_EVENT_BODY_MAX);
    sh_base64_encode(&data, fx->b.p, fx->b.len);
    body = json_pack("{s:I, s:o, s:s%}", "call", (json_int_t)fx->number, "kind",
                     sh_json_string(fx->a), "data", data.p ? data.p : "", data.len);
    sh_buf_done(&data);
    if (!add(wf, "Observed", body)) {
        return false;
    }
    sh_blobs_observed(wf, fx->a, fx->b, wf->journal.seq);
    return true;
}

static bool one(struct sh_workflow *wf, const struct sh_effect *fx) {
    switch (fx->kind) {
    case SH_EFFECT_START:
        return sh_activity_start(wf, fx->number, fx->a, fx->b);
    case SH_EFFECT_OUTPUT:
        return output(wf, fx);
    case SH_EFFECT_EMIT:
    case SH_EFFECT_PUBLISH:
        return note(wf, fx);
    case SH_EFFECT_RESULT:
        json_decref(wf->output);
        wf->output = sh_guest_json(fx->b);
        wf->output_kept = (struct sh_payload){0};
        return true;
    case SH_EFFECT_NET_CLOSE:
        sh_net_closed(wf, fx->number);
        return true;
    case SH_EFFECT_OBSERVED:
        return wf->verify || observed(wf, fx);
    }
    return true;
}

/* Neighbouring writes to one stream become one event: a program that prints by the byte must not
 * make a journal of bytes. */
static size_t fold(const struct sh_effect *fx, size_t n, struct sh_buf *bytes,
                   struct sh_effect *ret) {
    size_t i = 0;

    *ret = fx[0];
    if (fx[0].kind != SH_EFFECT_OUTPUT || n == 1 || fx[1].kind != SH_EFFECT_OUTPUT ||
        fx[1].stream != fx[0].stream) {
        return 1;
    }
    sh_buf_clear(bytes);
    for (; i < n && fx[i].kind == SH_EFFECT_OUTPUT && fx[i].stream == fx[0].stream; i++) {
        sh_buf_add(bytes, fx[i].b.p, fx[i].b.len);
    }
    ret->b = sh_buf_str(bytes);
    return i;
}

bool sh_workflow_effects(struct sh_workflow *wf) {
    size_t n = 0;
    const struct sh_effect *fx = sh_agent_effects(wf->agent, &n);
    struct sh_buf folded;
    bool ok = true;

    sh_buf_init_sure(&folded, SH_JSON_TEXT_MAX);
    for (size_t i = 0; ok && i < n;) {
        struct sh_effect next;
        i += fold(fx + i, n - i, &folded, &next);
        ok = one(wf, &next) && wf->doom == 0;
        if (wf->journal.draft_bytes > COMMIT_BYTES) {
            sh_journal_commit(wf, NULL, NULL);
        }
    }
    sh_buf_done(&folded);
    if (wf->agent) { /* a replay that differs ends at once, and its agent with it */
        sh_agent_effects_taken(wf->agent);
    }
    sh_journal_commit(wf, NULL, NULL);
    if (ok && wf->journal.inputs_pending == 0) {
        sh_activities_dispatch(wf);
    }
    return ok || wf->doom != 0;
}
