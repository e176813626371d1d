/* A tape of what the WASI fixture's guest observed, to be replayed. All-zero but for `max`: empty.
 */
#ifndef SH_TESTS_WASI_TAPE_H
#define SH_TESTS_WASI_TAPE_H

#include "wasi_fixture.h"

struct fx_tape {
    size_t max; /* items that the test expects at most: one more fails it */
    size_t n;
    struct sh_tape_item *item; /* their bytes are the tape's own */
};

/* Move the observations that the guest made to the end of the tape. */
static inline void fx_record(struct fx *f, struct fx_tape *t) {
    if (!t->item) {
        t->item = sh_alloc(t->max * sizeof(t->item[0]));
    }
    for (size_t i = 0; i < f->g.n_effects; i++) {
        const struct sh_effect *e = &f->g.effects[i];

        ck_assert_int_eq(e->kind, SH_EFFECT_OBSERVED);
        ck_assert_uint_lt(t->n, t->max);
        t->item[t->n] = (struct sh_tape_item){
            .kind = SH_TAPE_OBSERVED,
            .seq = t->n + 1,
            .number = e->number,
            .what = sh_strn(sh_memdup(e->a.p, e->a.len), e->a.len),
            .bytes = sh_strn(sh_memdup(e->b.p, e->b.len), e->b.len),
        };
        t->n++;
    }
    sh_guest_effects_taken(&f->g);
}

/* Begin again, with the first `n` items of the tape. */
static inline void fx_replay(struct fx *f, const struct fx_tape *t, size_t n) {
    fx_stop(f);
    memset(f->m, 0, FX_MEM);
    fx_start(f);
    for (size_t i = 0; i < n; i++) {
        sh_guest_push(&f->g, &t->item[i]);
    }
}

static inline void fx_tape_done(struct fx_tape *t) { /* it is empty again */
    for (size_t i = 0; i < t->n; i++) {
        sh_free((void *)(uintptr_t)t->item[i].what.p);
        sh_free((void *)(uintptr_t)t->item[i].bytes.p);
    }
    t->item = sh_free(t->item);
    t->n = 0;
}

#endif
