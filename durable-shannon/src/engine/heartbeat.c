/* heartbeat_timeout_ms of a call that starts a child: the child itself counts the time since the
 * last event of its journal, so it makes no difference who of the two sleeps. An event that the
 * engine alone made (it was taken up again) is no sign of life. A pause and a used-up budget stop
 * the clock: a person keeps it from going on. */
#include "engine/private.h"

static void silent(struct sh_timer *t) {
    struct sh_workflow *wf = sh_container_of(t, struct sh_workflow, heartbeat_timer);
    char reason[80];

    snprintf(reason, sizeof(reason), "no sign of life for %llu ms (heartbeat_timeout_ms)",
             (unsigned long long)wf->spec.lineage.heartbeat_ms);
    json_object_set_new(wf->row, "silent", json_true());
    sh_workflow_cancel(wf, "parent", reason);
}

static bool counts(const struct sh_workflow *wf) {
    return wf->spec.lineage.heartbeat_ms > 0 && !wf->verify && !wf->leaving && !wf->paused &&
           !wf->over_budget && !wf->cancel_requested && wf->phase < SH_PHASE_COMPENSATING;
}

static void start(struct sh_workflow *wf, uint64_t ms) {
    if (counts(wf)) {
        sh_timer_start(wf->engine->loop, &wf->heartbeat_timer, ms * 1000000, silent);
    } else {
        sh_timer_stop(&wf->heartbeat_timer);
    }
}

void sh_heartbeat_arm(struct sh_workflow *wf) {
    int64_t left_us = sh_moment_left_us(wf->engine, wf->slept, SH_HEARTBEAT "0");
    uint64_t ms = wf->spec.lineage.heartbeat_ms;

    if (left_us != INT64_MAX && left_us < (int64_t)ms * 1000) { /* it went on while it slept */
        ms = left_us > 0 ? (uint64_t)left_us / 1000 : 0;
    }
    start(wf, ms);
}

void sh_heartbeat_seen(struct sh_workflow *wf, const char *type) {
    if (wf->spec.lineage.heartbeat_ms && !wf->dozing && strcmp(type, "Claimed") != 0) {
        start(wf, wf->spec.lineage.heartbeat_ms);
    }
}
