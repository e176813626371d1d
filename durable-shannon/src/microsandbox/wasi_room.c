/* What an agent may still put into its private directory while the disk fills up. Below
 * SH_DISK_GUEST_MIN it gets ENOSPC, so that the rest is the database's. How much is free is nothing
 * that follows from what the guest did: the refusal is an observation, "nospace", with the number
 * of the write that met it, and a replay refuses that write and no other, whatever is free then. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { LOOK_BYTES = 1024 * 1024 }; /* written by this agent between two looks at the disk */

/* Is there room for n more bytes? */
static bool has_room(struct sh_wasi *w, size_t n) {
    uint64_t left;

    if (n <= w->room.unlooked) {
        w->room.unlooked -= n;
        return true;
    }
    left = sh_disk_free_at(w->workspace->root);
    if (left < SH_DISK_GUEST_MIN) {
        w->room.unlooked = 0;
        return false;
    }
    w->room.unlooked = n < LOOK_BYTES ? LOOK_BYTES - n : 0;
    return true;
}

/* The number of the write, which the guest alone determines, as it is recorded. */
static struct sh_str numbered(uint64_t number, char bytes[8]) {
    for (unsigned i = 0; i < 8; i++) {
        bytes[i] = (char)(uint8_t)(number >> (8 * i));
    }
    return sh_strn(bytes, 8);
}

int sh_wasi_room(struct sh_wasi *w, size_t n) {
    char bytes[8];
    struct sh_str number = numbered(w->room.writes, bytes), said;

    if (sh_guest_next(w->g, "nospace", &said) && sh_str_eq(said, number)) {
        w->room.writes++;
        return sh_guest_recall(w->g, "nospace", &said) == 1 ? E_NOSPC : SH_CALL_END;
    }
    if (!w->g->live || has_room(w, n)) {
        w->room.writes++;
        return E_OK;
    }
    if (!sh_guest_room(w->g, number.len)) {
        return SH_CALL_PENDING;
    }
    w->room.writes++;
    sh_guest_observed(w->g, "nospace", number);
    return w->g->ended ? SH_CALL_END : E_NOSPC;
}
