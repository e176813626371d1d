/* Running: the loop hands an agent to the executors, takes what it left, and arranges what it waits
 * for. */
#include "engine/private.h"

#include <sys/stat.h>
#include <unistd.h>

static void run(struct sh_workflow *wf) {
    sh_workflow_push_inputs(wf);
    wf->phase = SH_PHASE_RUNNABLE;
    wf->waiting = false;
    wf->pins++;
    wf->task.agent = wf->agent;
    wf->task.stepped = sh_workflow_stepped;
    sh_executors_run(wf->engine->executors, &wf->task);
    sh_wall_update(wf);
}

void sh_workflow_poke(struct sh_workflow *wf) {
    if (wf->phase != SH_PHASE_HELD || !wf->agent || wf->paused || wf->doom ||
        wf->engine->stopping || wf->leaving) {
        sh_wall_update(wf);
        return;
    }
    if (!wf->waiting || !sh_list_empty(&wf->inputs)) {
        run(wf);
    }
}

static void woken(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, sleep_timer);

    sh_agent_wake(wf->agent);
    wf->waiting = false;
    sh_workflow_poke(wf);
}

static int64_t recorded_due(const struct sh_workflow *wf, uint64_t call) {
    for (size_t i = 0; i < wf->history.n_sleeps; i++) {
        if (wf->history.sleeps[i].call == call) {
            return wf->history.sleeps[i].due_us;
        }
    }
    return 0;
}

/* poll_oneoff on clocks (SEMANTICS 4): replayed without waiting, and from one second on the due
 * time is in the journal so that a restart does not begin the delay again. */
static void sleep_begin(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    struct sh_agent_counters counters = sh_agent_counters(wf->agent);
    int64_t now_us = sh_wall_us();
    int64_t due_us = recorded_due(wf, w->call_number);
    uint64_t delay_ns = w->delay_ns;
    bool past = wf->verify || (wf->history.bodies && !sh_history_over(&wf->history, &counters)) ||
                w->clock_us + (int64_t)(w->delay_ns / 1000) <= wf->history.last_us;

    if (due_us && !wf->verify) {
        delay_ns = due_us > now_us ? (uint64_t)(due_us - now_us) * 1000 : 0;
    } else if (past) {
        delay_ns = 0;
    } else if (delay_ns >= 1000000000ULL) {
        sh_journal_add(wf, "Observed",
                       json_pack("{s:I, s:s, s:I}", "call", (json_int_t)w->call_number, "kind",
                                 "sleep", "due_us",
                                 (json_int_t)(now_us + (int64_t)(delay_ns / 1000))));
        sh_journal_commit(wf, NULL, NULL);
    }
    sh_timer_start(wf->engine->loop, &wf->sleep_timer, delay_ns, woken);
}

/* Give waiting input to a read. The read's chunk is an event before the guest sees it. */
static void stdin_begin(struct sh_workflow *wf, const struct sh_agent_wait *w) {
    size_t n = wf->stdin_queue.len < w->max_bytes ? wf->stdin_queue.len : w->max_bytes;
    struct sh_buf data;

    if ((n == 0 && !wf->stdin_eof) || wf->stdin_reading) {
        return;
    }
    wf->stdin_reading = true;
    sh_buf_init(&data, SH_EVENT_BODY_MAX);
    sh_base64_encode(&data, wf->stdin_queue.p, n);
    sh_journal_add(wf, "Observed",
                   json_pack("{s:I, s:s, s:s%}", "call", (json_int_t)w->call_number, "kind",
                             "stdin", "data", data.p ? data.p : "", data.len));
    sh_buf_done(&data);
    sh_buf_drop(&wf->stdin_queue, n);
    sh_journal_commit(wf, NULL, NULL);
}

void sh_workflow_stdin_ready(struct sh_workflow *wf) {
    const struct sh_agent_wait *w;

    if (wf->phase == SH_PHASE_HELD && wf->agent && wf->waiting) {
        w = sh_agent_wait(wf->agent);
        if (w->kind == SH_WAIT_STDIN) {
            stdin_begin(wf, w);
        }
    }
}

/* The agent suspended for an answer that is not on its tape. */
static void wait_begin(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);

    wf->waiting = w->kind != SH_WAIT_ROOM;
    if (!wf->waiting || !sh_list_empty(&wf->inputs)) {
        sh_workflow_poke(wf);
    } else if (w->kind == SH_WAIT_SLEEP) {
        sleep_begin(wf, w);
    } else if (wf->verify) {
        wf->on_end(wf, wf->on_end_arg);
        return;
    } else if (w->kind == SH_WAIT_STDIN) {
        stdin_begin(wf, w);
    }
    sh_wall_update(wf);
}

static bool workspace_is_empty(const struct sh_workflow *wf) {
    sh_auto(sh_free_p) char *path = sh_workspace_path(wf);

    return rmdir(path) == 0 && mkdir(path, 0700) == 0;
}

/* The state goes into the journal; when it is durable the guest starts anew from it, live exactly
 * as after a crash (SEMANTICS 11). A guest with files in its workspace is refused: they would be
 * lost. */
static void checkpoint_begin(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);
    struct sh_agent_counters c = sh_agent_counters(wf->agent);
    struct sh_buf state;

    if (!workspace_is_empty(wf)) {
        sh_workflow_fail(wf, SH_E_UNSUPPORTED,
                         "checkpoint: the workspace holds files, which a checkpoint does not keep; "
                         "remove them first, or keep them in the state");
        return;
    }
    sh_buf_init(&state, SH_EVENT_BODY_MAX);
    sh_base64_encode(&state, w->state.p, w->state.len);
    json_t *body = json_pack(
        "{s:s%, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:[I,I], s:I}", "state", state.p ? state.p : "",
        state.len, "clock_us", (json_int_t)c.clock_us, "fuel_used", (json_int_t)c.fuel_used,
        "random_pos", (json_int_t)c.random_pos, "ordinal", (json_int_t)c.ordinal, "call_number",
        (json_int_t)c.call_number, "emitted", (json_int_t)c.emitted, "published",
        (json_int_t)c.published, "output_offset", (json_int_t)c.output_offset[0],
        (json_int_t)c.output_offset[1], "spent_us", (json_int_t)sh_wall_spent_us(wf));
    sh_buf_done(&state);
    wf->waiting = true;
    json_object_set_new(body, "signal_waits", json_deep_copy(wf->signal_waits));
    if (sh_journal_add(wf, "Checkpoint", body) == 0) {
        sh_workflow_doom(wf, SH_E_JOURNAL, "a checkpoint does not fit the journal limit");
    }
    sh_journal_commit(wf, NULL, NULL);
}

/* Nothing is left that the agent did before: the run is live. */
static void history_release(struct sh_workflow *wf) {
    struct sh_agent_counters counters;

    if (wf->phase != SH_PHASE_HELD || !wf->history.bodies || wf->history.final || wf->verify) {
        return;
    }
    counters = sh_agent_counters(wf->agent);
    if (sh_history_over(&wf->history, &counters)) {
        sh_history_done(&wf->history);
    }
}

void sh_workflow_stepped(struct sh_task *task) {
    struct sh_workflow *wf = sh_container_of(task, struct sh_workflow, task);

    wf->phase = SH_PHASE_HELD;
    if (wf->leaving) {
        sh_workflow_dispose(wf);
    } else if (!wf->engine->stopping && sh_workflow_effects(wf)) {
        if (wf->doom) {
            sh_workflow_fail(wf, wf->doom, wf->doom_message);
        } else if (task->status == SH_AGENT_FINISHED) {
            sh_workflow_finish(wf, sh_agent_end(wf->agent));
        } else if (task->status == SH_AGENT_CHECKPOINT) {
            checkpoint_begin(wf);
        } else if (task->status == SH_AGENT_WAITING) {
            wait_begin(wf);
            history_release(wf);
        } else {
            wf->waiting = false;
            sh_workflow_poke(wf);
        }
    }
    sh_workflow_unpin(wf);
}
