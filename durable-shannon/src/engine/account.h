/* Accounts: what binds a family (budget.h), whoever of it is in memory. Each workflow that has
 * children, or whose parent waits for it, has one as long as it or anybody below it is in memory:
 *
 *   used by X = X's own + `below`: what everybody below it used, ended, asleep or in memory
 *
 * A member charges what it used since the last time to all accounts above it; that is one addition
 * for each level. When it goes to sleep or ends, the same sums go to the store, in the transaction
 * that says so: a record of SH_TABLE_META for each account above it, "family-ID" -> struct sh_spent
 * as JSON, and its row's member "charged". What it uses after that is charged again by whoever
 * reads its journal, so a crash neither loses nor doubles it. The record goes with the end of X.
 *
 * Wall clocks are charged when they stop; while they run, an account knows how many there are and
 * when they began, which gives what they took so far and the moment at which its limit is reached.
 */
#ifndef SH_ENGINE_ACCOUNT_H
#define SH_ENGINE_ACCOUNT_H

#include "base/base.h"
#include "engine/budget.h"
#include "loop/loop.h"
#include "policy/policy.h"

struct sh_engine;

struct sh_account {
    struct sh_engine *engine;
    struct sh_id id, parent; /* parent: whose budget binds it too; empty: nobody's */
    struct sh_account *up;   /* of the parent, or NULL; held */
    struct sh_workflow *wf;  /* or NULL: not in memory; then the next two are its own */
    struct sh_limits limits;
    struct sh_spent own;
    struct sh_spent below, settled; /* settled: what of `below` the store knows */
    bool known;                     /* that was read */
    bool ended;                     /* nothing is written of it any more */
    /* Wall clocks that run, its own and below it: what they will have charged when they stop. */
    unsigned n_clocks;
    uint64_t clocks_from_ns; /* sum of their beginnings; it wraps, as the difference does */
    struct sh_timer wall_timer;
    unsigned refs;
};

/* The child is being born: its parent's account binds it, unless it is detached. */
void sh_account_join(struct sh_workflow *child, struct sh_workflow *parent);
/* Taken up: read what the store has of its account and of those above. `then` once, perhaps inside
 * this call; err: the store could not be read. */
void sh_account_load(struct sh_workflow *wf,
                     void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                     void *arg);
/* It leaves memory. What the store does not know of it is taken back. */
void sh_account_leave(struct sh_workflow *wf);
/* It ends: the same sums no longer have a use. Into the open commit. */
void sh_account_end(struct sh_workflow *wf);

/* What it used since the last time goes to the accounts above it. */
void sh_account_charge(struct sh_workflow *wf);
/* Charge, and put the sums into the open commit, which puts the row as well. */
void sh_account_settle(struct sh_workflow *wf);
/* The member's wall clock began to run at wf->wall_from_ns, or stops, which charges. */
void sh_account_clock(struct sh_workflow *wf, bool runs);
struct sh_spent sh_account_spent(const struct sh_account *a);
const struct sh_limits *sh_account_limits(const struct sh_account *a);
/* For the row of one that goes to sleep, new: what its children need to know of it. */
json_t *sh_account_describe(const struct sh_workflow *wf);

#endif
