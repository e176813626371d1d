/* The wall-clock account (SEMANTICS 12): it counts while the agent computes and while it waits for
 * what the host performs for it; timers, signals, pauses and time without a process are free. */
#include "engine/private.h"

static bool counts(const struct sh_workflow *wf) {
    return !wf->leaving && !wf->paused && !wf->over_budget && !wf->verify &&
           !sh_disk_is_low(wf->engine) &&
           (wf->phase == SH_PHASE_RUNNABLE ||
            (wf->phase == SH_PHASE_HELD &&
             (wf->activities.n_remote > 0 || wf->slowed || wf->net.waits)));
}

uint64_t sh_wall_spent_us(const struct sh_workflow *wf) {
    uint64_t running = wf->wall_from_ns ? (sh_boot_ns() - wf->wall_from_ns) / 1000 : 0;

    return wf->wall_spent_us + running;
}

static void expired(struct sh_timer *t) {
    sh_budget_wall_used_up(sh_container_of(t, struct sh_workflow, wall_timer));
}

void sh_wall_stop(struct sh_workflow *wf) {
    wf->wall_spent_us = sh_wall_spent_us(wf);
    if (wf->wall_from_ns) {
        sh_account_clock(wf, false);
    }
    wf->wall_from_ns = 0;
    sh_timer_stop(&wf->wall_timer);
}

void sh_wall_update(struct sh_workflow *wf) {
    uint64_t limit_us = wf->spec.caps.limits.wall_clock_ms * 1000;

    if (!counts(wf)) {
        sh_wall_stop(wf);
    } else if (wf->wall_from_ns == 0) {
        uint64_t spent = wf->wall_spent_us;
        wf->wall_from_ns = sh_boot_ns();
        sh_account_clock(wf, true);
        sh_timer_start(wf->engine->loop, &wf->wall_timer,
                       spent < limit_us ? (limit_us - spent) * 1000 : 0, expired);
    }
}
