/* Deadlines (SEMANTICS 4, 12): a point of wall time that everything counts towards, pauses,
 * approvals and time without a process too. Timers of the loop do not see the wall clock step, so
 * the clock is looked at again every LOOK_NS. */
#include "engine/private.h"

#define LOOK_NS (15 * 1000000000ULL)

static void look(struct sh_timer *t) {
    sh_deadline_arm(sh_container_of(t, struct sh_workflow, deadline_timer));
}

void sh_deadline_arm(struct sh_workflow *wf) {
    int64_t left_us = wf->spec.deadline_us - sh_wall_us();

    if (wf->spec.deadline_us == 0 || wf->verify || wf->leaving || wf->phase >= SH_PHASE_ENDING) {
        return;
    }
    if (left_us <= 0) {
        sh_workflow_doom(wf, SH_E_DEADLINE, "the deadline of this task has passed");
        return;
    }
    uint64_t wait_ns = (uint64_t)left_us < LOOK_NS / 1000 ? (uint64_t)left_us * 1000 : LOOK_NS;
    sh_timer_start(wf->engine->loop, &wf->deadline_timer, wait_ns, look);
}
