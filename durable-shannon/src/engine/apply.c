/* What a durable event does to its workflow: the same function live and while a journal is read. */
#include "engine/compact.h"
#include "engine/private.h"

/* While a journal is read: what apply_outcome does with an event of which nothing but the result
 * matters. */
void sh_workflow_apply_lean(struct sh_workflow *wf, const struct sh_event *ev,
                            const struct sh_lean *lean) {
    struct sh_buf text;

    if (lean->result.len == 0) {
        return;
    }
    sh_buf_init_sure(&text, SH_JSON_TEXT_MAX);
    sh_buf_addc(&text, '{');
    if (lean->id.len > 0) {
        sh_buf_adds(&text, "\"id\":");
        sh_buf_add(&text, lean->id.p, lean->id.len);
        sh_buf_addc(&text, ',');
    }
    sh_buf_adds(&text, "\"ok\":");
    sh_buf_add(&text, lean->result.p, lean->result.len);
    sh_buf_addc(&text, '}');
    sh_workflow_input(wf, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                                 .seq = ev->seq,
                                                 .time_us = ev->time_us,
                                                 .number = lean->ordinal + 1,
                                                 .bytes = sh_buf_str(&text)});
    sh_buf_done(&text);
    if (lean->spent_us > wf->wall_spent_us) {
        wf->wall_spent_us = lean->spent_us;
    }
}

static void apply_outcome(struct sh_workflow *wf, const struct sh_event *ev) {
    json_t *usage = json_object_get(json_object_get(ev->body, "result"), "usage");
    uint64_t spent = (uint64_t)sh_json_get_int(ev->body, "spent_us", 0);
    struct sh_buf text;

    sh_buf_init_sure(&text, SH_JSON_TEXT_MAX);
    sh_activity_result_text(ev->body, &text);
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                   .seq = ev->seq,
                                   .time_us = ev->time_us,
                                   .number = (uint64_t)sh_json_get_int(ev->body, "ordinal", 0) + 1,
                                   .bytes = sh_buf_str(&text)});
    sh_buf_done(&text);
    if (sh_str_eqz(sh_json_get_str(ev->body, "op"), "signal.reply")) {
        sh_update_apply_reply(wf, ev);
    }
    if (sh_str_eqz(sh_json_get_str(ev->body, "op"), "compensate")) {
        sh_compensate_apply_registered(wf, ev);
    }
    sh_spent_add_json(&wf->below, json_object_get(ev->body, "spent"));
    wf->children_over += sh_child_outcome(ev->body);
    if (usage && sh_str_eqz(sh_json_get_str(ev->body, "op"), "llm")) {
        json_t *result = json_object_get(ev->body, "result");
        wf->usage_input += (uint64_t)sh_json_get_int(usage, "input_tokens", 0);
        wf->usage_output += (uint64_t)sh_json_get_int(usage, "output_tokens", 0);
        wf->usage_total += (uint64_t)sh_json_get_int(usage, "total_tokens", 0);
        wf->usage_cost += json_number_value(json_object_get(usage, "cost_usd"));
        json_object_set(wf->row, "model", json_object_get(result, "model"));
        json_object_set(wf->row, "provider", json_object_get(result, "provider"));
    }
    if (wf->phase == SH_PHASE_LOADING && spent > wf->wall_spent_us) {
        wf->wall_spent_us = spent;
    }
}

static void apply_observed(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_str kind = sh_json_get_str(ev->body, "kind");
    bool is_net = sh_net_kind(kind), asked = is_net || sh_str_eqz(kind, "stdin");
    uint64_t spent = (uint64_t)sh_json_get_int(ev->body, "spent_us", 0);
    struct sh_buf bytes;

    /* live, the agent made the others itself */
    if (sh_str_eqz(kind, "sleep") || (wf->phase != SH_PHASE_LOADING && !asked)) {
        return;
    }
    if (wf->phase == SH_PHASE_LOADING && spent > wf->wall_spent_us) {
        wf->wall_spent_us = spent;
    }
    sh_buf_init_sure(&bytes, SH_JSON_TEXT_MAX);
    sh_base64_decode(&bytes, sh_json_get_str(ev->body, "data"));
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                   .seq = ev->seq,
                                   .time_us = ev->time_us,
                                   .number = (uint64_t)sh_json_get_int(ev->body, "call", 0),
                                   .what = kind,
                                   .bytes = sh_buf_str(&bytes)});
    sh_buf_done(&bytes);
    if (is_net) {
        sh_net_applied(wf, ev);
    } else {
        wf->stdin_reading = false;
    }
}

static void apply_checkpoint(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_err err = {0};
    json_t *input = json_object_get(ev->body, "input");

    if (input) { /* it continues as new */
        json_decref(wf->spec.input);
        wf->spec.input = json_incref(input);
        wf->spec.input_kept = (struct sh_payload){0};
    }
    json_decref(wf->output);
    wf->output = json_incref(json_object_get(ev->body, "output"));
    wf->output_kept = (struct sh_payload){0};
    (void)sh_payload_parse(json_object_get(ev->body, SH_OUTPUT_KEPT), &wf->output_kept);
    sh_workflow_drop_inputs(wf);
    sh_net_stop(wf);
    wf->answer_kept = wf->answer.len;
    if (wf->phase == SH_PHASE_LOADING) {
        return; /* the loader's history has it */
    }
    sh_history_done(&wf->history);
    sh_history_init(&wf->history);
    sh_history_add(&wf->history, ev, &err);
    wf->anew = false;
    sh_compact_checkpointed(wf, ev->seq);
    if (!wf->leaving && wf->phase == SH_PHASE_HELD) { /* not ended from outside meanwhile */
        sh_workflow_launch(wf);
    }
}

static void apply_control(struct sh_workflow *wf, const struct sh_event *ev) {
    if (strcmp(ev->type, "Resumed") == 0) {
        wf->paused = false;
        sh_activities_dispatch(wf);
        sh_workflow_poke(wf);
        return;
    }
    if (strcmp(ev->type, "Paused") == 0) {
        wf->paused = true;
        if (wf->phase == SH_PHASE_RUNNABLE) {
            sh_task_interrupt(&wf->task);
        }
        return;
    }
    wf->cancel_requested = true;
    wf->paused = false; /* it may clean up */
    sh_workflow_input(
        wf, &(struct sh_tape_item){.kind = SH_TAPE_CANCEL, .seq = ev->seq, .time_us = ev->time_us});
    if (wf->phase != SH_PHASE_LOADING) {
        sh_workflow_grace(wf);
        sh_family_cancel(wf, "the workflow that started it was canceled");
        sh_workflow_poke(wf);
    }
}

void sh_workflow_apply(struct sh_workflow *wf, const struct sh_event *ev) {
    const char *type = ev->type;

    if (strcmp(type, "ActivityCompleted") == 0 || strcmp(type, "ActivityFailed") == 0 ||
        strcmp(type, "TimerFired") == 0) {
        apply_outcome(wf, ev);
    } else if (strcmp(type, "Observed") == 0) {
        apply_observed(wf, ev);
    } else if (strcmp(type, "SignalReceived") == 0) {
        sh_signal_apply(wf, ev);
    } else if (strcmp(type, "ApprovalRequested") == 0) {
        sh_approval_apply_requested(wf, ev);
    } else if (strcmp(type, "ApprovalDecided") == 0) {
        sh_approval_apply_decided(wf, ev);
    } else if (strncmp(type, "Compensat", 9) == 0) {
        sh_compensate_apply(wf, ev);
    } else if (strncmp(type, "Budget", 6) == 0) {
        sh_budget_apply(wf, ev);
    } else if (strcmp(type, "Claimed") == 0) {
        if (wf->reading) {
            sh_budget_settle_lost(wf, ev->time_us);
        }
    } else if (strcmp(type, "Checkpoint") == 0) {
        apply_checkpoint(wf, ev);
    } else if (strcmp(type, "CancelRequested") == 0 || strcmp(type, "Paused") == 0 ||
               strcmp(type, "Resumed") == 0) {
        apply_control(wf, ev);
    } else if (sh_event_is_final(sh_str(type)) && wf->phase == SH_PHASE_ENDING) {
        wf->phase = SH_PHASE_ENDED;
        sh_updates_ended(wf);
        sh_family_cancel(wf, "the workflow that started it has ended");
        sh_child_ended(wf);
        sh_workflow_leave(wf);
        return;
    }
    if (wf->phase == SH_PHASE_HELD && !sh_list_empty(&wf->inputs)) {
        sh_workflow_poke(wf);
    }
}
