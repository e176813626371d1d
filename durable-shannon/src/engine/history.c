/* See history.h. The parsed bodies are kept in one array for as long as the replay needs them. */
#include "engine/history.h"

#include "engine/engine.h"

void sh_history_init(struct sh_history *h) {
    *h = (struct sh_history){.bodies = json_array()};
    sh_buf_init_sure(&h->output[0], SH_JSON_TEXT_MAX);
    sh_buf_init_sure(&h->output[1], SH_JSON_TEXT_MAX);
}

static void forget(struct sh_history *h) {
    for (int i = 0; i < 2; i++) {
        h->n_notes[i] = 0;
        sh_buf_clear(&h->output[i]);
    }
    sh_texts_done(&h->texts);
    h->n_activities = h->n_sleeps = h->unmatched = 0;
}

void sh_history_done(struct sh_history *h) {
    sh_free(h->activities);
    sh_free(h->notes[0]);
    sh_free(h->notes[1]);
    sh_free(h->sleeps);
    sh_buf_done(&h->output[0]);
    sh_buf_done(&h->output[1]);
    sh_texts_done(&h->texts);
    json_decref(h->bodies);
    *h = (struct sh_history){0};
}

static bool is_known(const struct sh_past_activity *a) {
    return a->request || a->text;
}

struct sh_past_activity *sh_history_activity(struct sh_history *h, uint64_t ordinal) {
    uint64_t i = ordinal - h->first_ordinal;

    return ordinal >= h->first_ordinal && i < h->n_activities && is_known(&h->activities[i])
               ? &h->activities[i]
               : NULL;
}

static struct sh_str past_op(const struct sh_past_activity *a) {
    return a->text ? sh_strn(a->text, a->op_len) : sh_json_get_str(a->request, "op");
}

json_t *sh_past_request(const struct sh_past_activity *a) {
    json_t *request = json_object(), *value = NULL;

    if (!a->text) {
        json_object_update(request, a->request);
        return request;
    }
    json_object_set_new(request, "op", sh_json_string(past_op(a)));
    if (sh_json_parse(sh_strn(a->text + a->op_len, a->args_len), SIZE_MAX, &value, NULL) == 0) {
        json_object_set_new(request, "args", value);
    }
    if (a->id_len > 0 && sh_json_parse(sh_strn(a->text + a->op_len + a->args_len, a->id_len),
                                       SIZE_MAX, &value, NULL) == 0) {
        json_object_set_new(request, "id", value);
    }
    return request;
}

bool sh_past_is(const struct sh_past_activity *a, struct sh_str op, struct sh_str args) {
    return a->text && a->id_len == 0 && sh_str_eq(sh_strn(a->text, a->op_len), op) &&
           sh_str_eq(sh_strn(a->text + a->op_len, a->args_len), args.len ? args : SH_STR("{}"));
}

/* Make place for an ordinal. A journal may show them out of order: a later activity's local outcome
 * can be written before an earlier one's schedule leaves. */
static struct sh_past_activity *activity_slot(struct sh_history *h, uint64_t ordinal) {
    uint64_t i = ordinal - h->first_ordinal;

    if (ordinal < h->first_ordinal || i > h->n_activities + SH_PARALLEL_ACTIVITIES_MAX) {
        return NULL;
    }
    while (i >= h->n_activities) {
        if (h->n_activities == h->cap_activities) {
            h->cap_activities = h->cap_activities ? h->cap_activities * 2 : 16;
            h->activities = sh_grow(h->activities, h->cap_activities * sizeof(*h->activities));
        }
        h->activities[h->n_activities++] = (struct sh_past_activity){0};
    }
    return &h->activities[i];
}

static int out_of_order(const struct sh_event *ev, uint64_t ordinal, struct sh_err *err) {
    return sh_fail(err, SH_E_CORRUPT, "event %llu (%s) names activity %lld out of order",
                   (unsigned long long)ev->seq, ev->type, (long long)ordinal);
}

static void keep_text(struct sh_history *h, struct sh_past_activity *a,
                      const struct sh_lean *lean) {
    char *p = sh_texts_room(&h->texts, lean->op.len + lean->args.len + lean->id.len);

    a->text = p;
    a->op_len = (uint32_t)lean->op.len;
    a->args_len = (uint32_t)lean->args.len;
    a->id_len = (uint32_t)lean->id.len;
    memcpy(p, lean->op.p, lean->op.len);
    memcpy(p + lean->op.len, lean->args.p, lean->args.len);
    if (lean->id.len > 0) {
        memcpy(p + lean->op.len + lean->args.len, lean->id.p, lean->id.len);
    }
}

int sh_history_add_lean(struct sh_history *h, const struct sh_event *ev, const struct sh_lean *lean,
                        struct sh_err *err) {
    struct sh_past_activity *a;

    h->last_seq = ev->seq;
    h->last_us = ev->time_us;
    if (lean->ordinal < h->first_ordinal) {
        return 0;
    }
    a = activity_slot(h, lean->ordinal);
    if (!a) {
        return out_of_order(ev, lean->ordinal, err);
    }
    if (!is_known(a)) {
        a->ordinal = lean->ordinal;
        a->seq = ev->seq;
        keep_text(h, a, lean);
        h->unmatched++;
    }
    if (lean->result.len > 0) {
        a->finished = true;
    } else {
        a->scheduled = true;
    }
    return 0;
}

static int add_activity(struct sh_history *h, const struct sh_event *ev, struct sh_err *err) {
    uint64_t ordinal = (uint64_t)sh_json_get_int(ev->body, "ordinal", -1);
    struct sh_past_activity *a;

    if (ordinal < h->first_ordinal) {
        return 0; /* it was dropped before the checkpoint: nobody asks for it again */
    }
    a = activity_slot(h, ordinal);
    if (!a) {
        return out_of_order(ev, ordinal, err);
    }
    if (json_object_get(ev->body, "op") && !is_known(a)) {
        a->ordinal = ordinal;
        a->seq = ev->seq;
        a->request = ev->body;
        a->due_us = sh_json_get_int(ev->body, "due_us", 0);
        h->unmatched++;
    }
    if (strcmp(ev->type, "ActivityRetried") == 0) {
        a->attempts = (unsigned)sh_json_get_int(ev->body, "attempt", 0);
        a->next_at_us = sh_json_get_int(ev->body, "next_at_us", 0);
        a->backoff_us = a->next_at_us > ev->time_us ? a->next_at_us - ev->time_us : 0;
    } else if (strcmp(ev->type, "ActivityScheduled") == 0) {
        a->scheduled = true;
    } else if (strcmp(ev->type, "ApprovalRequested") != 0) {
        a->finished = true;
    }
    return 0;
}

static int add_note(struct sh_history *h, const struct sh_event *ev, int which,
                    struct sh_err *err) {
    uint64_t index = (uint64_t)sh_json_get_int(ev->body, "index", -1);

    if (index != h->first_note[which] + h->n_notes[which]) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu (%s) has index %llu, expected %llu",
                       (unsigned long long)ev->seq, ev->type, (unsigned long long)index,
                       (unsigned long long)(h->first_note[which] + h->n_notes[which]));
    }
    if (h->n_notes[which] == h->cap_notes[which]) {
        h->cap_notes[which] = h->cap_notes[which] ? h->cap_notes[which] * 2 : 16;
        h->notes[which] = sh_grow(h->notes[which], h->cap_notes[which] * sizeof(*h->notes[which]));
    }
    h->notes[which][h->n_notes[which]++] =
        (struct sh_past_note){.index = index, .seq = ev->seq, .body = ev->body};
    h->unmatched++;
    return 0;
}

static int add_output(struct sh_history *h, const struct sh_event *ev, struct sh_err *err) {
    int stream = (int)sh_json_get_int(ev->body, "stream", 0);
    uint64_t offset = (uint64_t)sh_json_get_int(ev->body, "offset", -1);
    struct sh_buf *out;

    if (stream != 1 && stream != 2) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu: output of stream %d",
                       (unsigned long long)ev->seq, stream);
    }
    out = &h->output[stream - 1];
    if (offset != h->first_output[stream - 1] + out->len ||
        sh_base64_decode(out, sh_json_get_str(ev->body, "data")) < 0) {
        return sh_fail(err, SH_E_CORRUPT, "event %llu: output at offset %llu, expected %llu",
                       (unsigned long long)ev->seq, (unsigned long long)offset,
                       (unsigned long long)(h->first_output[stream - 1] + out->len));
    }
    return 0;
}

static void add_observed(struct sh_history *h, const struct sh_event *ev) {
    uint64_t call = (uint64_t)sh_json_get_int(ev->body, "call", 0);

    if (sh_str_eqz(sh_json_get_str(ev->body, "kind"), "sleep")) {
        if (h->n_sleeps == h->cap_sleeps) {
            h->cap_sleeps = h->cap_sleeps ? h->cap_sleeps * 2 : 16;
            h->sleeps = sh_grow(h->sleeps, h->cap_sleeps * sizeof(*h->sleeps));
        }
        h->sleeps[h->n_sleeps++] =
            (struct sh_past_sleep){.call = call, .due_us = sh_json_get_int(ev->body, "due_us", 0)};
    }
    h->last_call = call + 1 > h->last_call ? call + 1 : h->last_call;
}

/* The agent begins anew from here: what came before is done. */
static void add_checkpoint(struct sh_history *h, const struct sh_event *ev) {
    json_t *kept = json_array();

    forget(h);
    json_array_append(kept, json_array_get(h->bodies, 0)); /* WorkflowStarted's */
    json_array_append(kept, ev->body);
    json_decref(h->bodies);
    h->bodies = kept;
    h->checkpoint = ev->body;
    h->first_ordinal = (uint64_t)sh_json_get_int(ev->body, "ordinal", 0);
    h->first_note[0] = (uint64_t)sh_json_get_int(ev->body, "emitted", 0);
    h->first_note[1] = (uint64_t)sh_json_get_int(ev->body, "published", 0);
    for (size_t i = 0; i < 2; i++) {
        const json_t *offsets = json_object_get(ev->body, "output_offset");
        h->first_output[i] = (uint64_t)json_integer_value(json_array_get(offsets, i));
        h->matched_output[i] = 0;
    }
}

int sh_history_add(struct sh_history *h, const struct sh_event *ev, struct sh_err *err) {
    json_array_append(h->bodies, ev->body);
    h->last_seq = ev->seq;
    h->last_us = ev->time_us;
    if (sh_event_is_final(sh_str(ev->type))) {
        h->final = ev->body;
        h->final_type = ev->type;
        h->final_seq = ev->seq;
    } else if (strncmp(ev->type, "Activity", 8) == 0 || strcmp(ev->type, "TimerFired") == 0 ||
               (strcmp(ev->type, "ApprovalRequested") == 0 &&
                json_object_get(ev->body, "ordinal"))) {
        return add_activity(h, ev, err);
    } else if (strcmp(ev->type, "Emitted") == 0) {
        return add_note(h, ev, 0, err);
    } else if (strcmp(ev->type, "Published") == 0) {
        return add_note(h, ev, 1, err);
    } else if (strcmp(ev->type, "Output") == 0) {
        return add_output(h, ev, err);
    } else if (strcmp(ev->type, "Observed") == 0) {
        add_observed(h, ev);
    } else if (strcmp(ev->type, "Checkpoint") == 0) {
        add_checkpoint(h, ev);
    }
    return 0;
}

bool sh_history_over(const struct sh_history *h, const struct sh_agent_counters *counters) {
    return h->unmatched == 0 && h->matched_output[0] == h->output[0].len &&
           h->matched_output[1] == h->output[1].len && counters->call_number >= h->last_call;
}

uint64_t sh_history_first_unmatched(const struct sh_history *h, struct sh_buf *what) {
    uint64_t seq = 0;

    for (size_t i = 0; i < h->n_activities; i++) {
        const struct sh_past_activity *a = &h->activities[i];
        if (is_known(a) && !a->matched) {
            struct sh_str op = past_op(a);
            sh_buf_addf(what, "activity %llu, op \"%.*s\"", (unsigned long long)a->ordinal,
                        (int)op.len, op.p);
            return a->seq;
        }
    }
    for (int k = 0; k < 2 && seq == 0; k++) {
        if (h->matched_output[k] < h->output[k].len) {
            sh_buf_addf(what, "%zu more bytes on %s",
                        (size_t)(h->output[k].len - h->matched_output[k]),
                        k == 0 ? "stdout" : "stderr");
            return h->last_seq;
        }
    }
    if (h->unmatched > 0) {
        sh_buf_adds(what, "a progress event that the agent did not repeat");
        return h->last_seq;
    }
    return 0;
}
