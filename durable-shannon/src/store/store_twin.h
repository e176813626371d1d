/* store_twin: the store's second implementation, in memory, for tests. Its data outlives the stores
 * that open it, so that a test can take the power away and look at what is left.
 *
 * A commit is *written* (visible to reads, lost with the power), then *synced*, then told. With
 * {"sync": "never"} it is told when written, as a disk that lies would.
 * Endpoint "twin" has data of its own that end with the store; "twin:NAME" names a struct sh_twin,
 * made at first use. One store at a time may have a NAME open, else SH_E_BUSY. Loop thread only. */
#ifndef SH_STORE_TWIN_H
#define SH_STORE_TWIN_H

#include "store/store.h"

struct sh_twin;

/* The data of endpoint "twin:NAME". Never NULL. */
struct sh_twin *sh_twin_named(const char *name);
/* needs  no store has it open */
void sh_twin_forget(const char *name);

/* While held, commits stay written and untold. Release lets the first n of them go on. */
void sh_twin_hold(struct sh_twin *t, bool hold);
size_t sh_twin_release(struct sh_twin *t, size_t n); /* how many went on */
size_t sh_twin_held(const struct sh_twin *t);

/* The next commit fails with `code`. `written`: it takes effect all the same, which is what an
 * unknown outcome means. */
void sh_twin_fail_next(struct sh_twin *t, int code, bool written);

/* What becomes of commits that were written but not synced. */
enum sh_twin_loss {
    SH_TWIN_LOSE_ALL,   /* the usual */
    SH_TWIN_LOSE_NONE,  /* all reached the disk just in time */
    SH_TWIN_LOSE_FIRST, /* reordered: the first is lost, later ones are kept */
    SH_TWIN_LOSE_LAST   /* all but the last are kept */
};
/* The power goes. An open store gets SH_E_IO for every commit that was not told and for all that
 * follow; close it and open the same endpoint again. */
void sh_twin_power_loss(struct sh_twin *t, enum sh_twin_loss loss);

/* What a power loss now would leave (SH_TWIN_LOSE_ALL), as JSON: {"event": {workflow: [{seq,
 * time_us, type, body, hash}...]}, table: {key: record}...}. A reference. */
json_t *sh_twin_snapshot(const struct sh_twin *t);

#endif
