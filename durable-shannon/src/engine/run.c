/* Running: the loop hands an agent to the executors, takes what it left, and arranges what it waits
 * for. */
#include "engine/private.h"

static void run(struct sh_workflow *wf) {
    sh_workflow_push_inputs(wf);
    sh_timer_stop(&wf->rest_timer);
    wf->phase = SH_PHASE_RUNNABLE;
    wf->waiting = false;
    wf->slowed = false;
    wf->pins++;
    wf->task.agent = wf->agent;
    wf->task.workflow = wf->id.s;
    wf->task.stepped = sh_workflow_stepped;
    sh_executors_run(wf->engine->executors, &wf->task);
    sh_budget_runs(wf);
    sh_wall_update(wf);
}

void sh_workflow_poke(struct sh_workflow *wf) {
    if (wf->phase != SH_PHASE_HELD || !wf->agent || wf->paused || wf->over_budget || wf->doom ||
        wf->anew || wf->engine->stopping || wf->leaving ||
        (sh_disk_is_low(wf->engine) && !wf->verify)) {
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
    bool past = wf->verify || (wf->history.bodies && !sh_history_over(&wf->history, &counters));
    bool shown = w->clock_us + (int64_t)(w->delay_ns / 1000) <= wf->history.last_us;

    if (past) { /* the agent went on, wherever the clock has been set since then */
        delay_ns = 0;
    } else if (due_us) {
        char name[32];
        snprintf(name, sizeof(name), "call %llu", (unsigned long long)w->call_number);
        int64_t slept_us = sh_moment_left_us(wf->engine, wf->slept, name);
        int64_t left_us = slept_us != INT64_MAX ? slept_us : due_us - now_us;
        uint64_t left_ns = left_us > 0 ? (uint64_t)left_us * 1000 : 0;
        delay_ns = left_ns < delay_ns ? left_ns : delay_ns; /* the clock may have been set back */
    } else if (shown) {
        delay_ns = 0;
    } else if (delay_ns >= SH_SLEEP_RECORDED_NS) {
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
    sh_buf_init_sure(&data, SH_EVENT_BODY_MAX);
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
        } else {
            sh_net_again(wf);
        }
    }
}

static void slowed_enough(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, sleep_timer);

    wf->waiting = false;
    sh_workflow_poke(wf);
}

/* The agent suspended for an answer that is not on its tape. */
static void wait_begin(struct sh_workflow *wf) {
    const struct sh_agent_wait *w = sh_agent_wait(wf->agent);

    wf->waiting = w->kind != SH_WAIT_ROOM && w->kind != SH_WAIT_FILE;
    if (!wf->waiting || !sh_list_empty(&wf->inputs)) {
        sh_workflow_poke(wf);
    } else if (w->kind == SH_WAIT_SLEEP) {
        sleep_begin(wf, w);
    } else if (w->kind == SH_WAIT_RATE) { /* in a replay, too: nothing of it is recorded */
        wf->slowed = true;
        sh_timer_start(wf->engine->loop, &wf->sleep_timer, w->delay_ns, slowed_enough);
    } else if (wf->verify) {
        wf->on_end(wf, wf->on_end_arg);
        return;
    } else if (w->kind == SH_WAIT_STDIN) {
        stdin_begin(wf, w);
    } else if (w->kind == SH_WAIT_NET) {
        sh_net_ask(wf, w);
    }
    sh_wall_update(wf);
    sh_asleep_rest(wf);
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
        sh_agent_live(wf->agent);
        sh_workflow_proven(wf);
    }
}

void sh_workflow_stepped(struct sh_task *task) {
    struct sh_workflow *wf = sh_container_of(task, struct sh_workflow, task);
    struct sh_crash *crash = wf->engine->crash;

    if (sh_output_keep(task)) {
        return;
    }
    sh_crash_enter(crash, wf->id.s, SH_CRASH_EFFECTS);
    wf->phase = SH_PHASE_HELD;
    if (wf->leaving) {
        sh_workflow_dispose(wf);
    } else if (!wf->engine->stopping && sh_workflow_effects(wf)) {
        sh_budget_check(wf);
        if (wf->retake) {
            sh_budget_retake(wf);
        } else if (wf->doom) {
            sh_workflow_fail(wf, wf->doom, wf->doom_message);
        } else if (task->status == SH_AGENT_FINISHED) {
            sh_workflow_finish(wf, sh_agent_end(wf->agent));
        } else if (task->status == SH_AGENT_CHECKPOINT && wf->verify) {
            wf->on_end(wf, wf->on_end_arg); /* a replay begins at the last one that there is */
        } else if (task->status == SH_AGENT_CHECKPOINT) {
            sh_checkpoint_begin(wf);
        } else if (task->status == SH_AGENT_WAITING) {
            wait_begin(wf);
            history_release(wf);
        } else {
            wf->waiting = false;
            sh_asleep_rest(wf); /* if it was paused */
            sh_workflow_poke(wf);
        }
    }
    sh_crash_leave(crash);
    sh_workflow_unpin(wf);
}
