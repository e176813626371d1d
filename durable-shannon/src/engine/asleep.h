/* Passivation: a workflow that waits long for what the world does by itself (a time, a signal, an
 * answer of a person, a raise of its budget, a child) holds no memory: its agent is freed, its
 * workspace removed, and its row says what it waits for. When that comes it is taken up and
 * replayed like after a restart.
 *
 * A row's member "asleep": {signals: {name: true}, timers: {name: moment} (moment.h), first (of
 * them), wake_at_us? (when that is over, by the wall clock as it would be had nobody set it since
 * the engine started), until_us? (the first time of day that it waits for), account? (of one with
 * children: account.h), bytes, bytes_max (of its journal), owner (who added to it last)}. A child's
 * end wakes it by a record of its own: family.h. Nobody outside sees a difference: the status stays
 * what it was. */
#ifndef SH_ENGINE_ASLEEP_H
#define SH_ENGINE_ASLEEP_H

#include "base/base.h"
#include "engine/index.h"
#include "engine/moment.h"
#include "loop/loop.h"

struct sh_engine;
struct sh_workflow;

struct sh_wakes { /* of an engine, for each kind: the earliest of those that sleep until a time */
    struct sh_engine *engine;
    enum sh_wake_kind kind;
    struct sh_wake *page;
    size_t n;
    bool more, loading, stale; /* more: the table goes on after the page; stale: one was added
                                  while it was read */
    struct sh_id first;        /* of the page that was read last */
    struct sh_timer timer;
};

/* From here on the end of a guest's own sleep (poll_oneoff) is in its journal. */
#define SH_SLEEP_RECORDED_NS 1000000000ULL

/* It has come to rest; if it rests long enough, it goes. */
void sh_asleep_rest(struct sh_workflow *wf);
/* A commit of wf is being sent: with an event of its own it is awake, in the same transaction. */
void sh_asleep_touched(struct sh_workflow *wf);
/* Would this signal wake it?  row: of one that is asleep */
bool sh_asleep_awaits(const json_t *row, struct sh_str signal);

void sh_wakes_init(struct sh_engine *e);
void sh_wakes_done(struct sh_engine *e);
/* Read the earliest ones, when nothing else is to be taken up. */
void sh_wakes_load(struct sh_engine *e);
/* A record that was left behind: nothing sleeps there. */
void sh_wakes_forget(struct sh_engine *e, enum sh_wake_kind kind, int64_t due_us,
                     const struct sh_id *id);
void sh_wakes_go_on(struct sh_engine *e);
void sh_wakes_stop(struct sh_engine *e);

#endif
