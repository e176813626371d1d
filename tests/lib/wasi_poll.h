/* poll_oneoff of the WASI fixture: subscriptions at FX_DATA, events at FX_OUT, their number at
 * FX_IOV. The i-th subscription has the user data 100 + i. */
#ifndef SH_TESTS_WASI_POLL_H
#define SH_TESTS_WASI_POLL_H

#include "wasi_fixture.h"

/* `seq` is the second after the start at which the activity was over, too. */
static inline void fx_complete(struct fx *f, uint64_t handle, uint64_t seq, const char *json) {
    sh_guest_push(&f->g,
                  &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                         .seq = seq,
                                         .time_us = f->config.start_us + (int64_t)seq * 1000000,
                                         .number = handle,
                                         .bytes = sh_str(json)});
}

static inline void fx_sub_clock(struct fx *f, int i, uint32_t id, uint64_t timeout,
                                unsigned flags) {
    uint8_t *p = f->m + FX_DATA + 48 * i;

    memset(p, 0, 48);
    put64(p, (uint64_t)(100 + i));
    put32(p + 16, id);
    put64(p + 24, timeout);
    p[40] = (uint8_t)flags;
}

static inline void fx_sub_fd(struct fx *f, int i, int fd, uint8_t type) {
    uint8_t *p = f->m + FX_DATA + 48 * i;

    memset(p, 0, 48);
    put64(p, (uint64_t)(100 + i));
    p[8] = type;
    put32(p + 16, (uint32_t)fd);
}

static inline int fx_poll(struct fx *f, bool again, int n) {
    const uint64_t a[4] = {FX_DATA, FX_OUT, (uint64_t)n, FX_IOV};

    return fx_step(f, again, "poll_oneoff", a);
}

static inline uint64_t fx_event_user(struct fx *f, int i) {
    return fx_u64(f, FX_OUT + 32 * (size_t)i);
}

#endif
