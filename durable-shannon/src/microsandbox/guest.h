/* The side of an agent that is not WebAssembly: tape, effects, clock, randomness, handles, waits.
 * Pure memory, no Wasmtime: WASI and the host functions stand on it, and unit tests run it alone.
 *
 * Host calls return at once. A call that must wait describes it in guest->wait and returns
 * SH_CALL_PENDING; when the wait is over the SAME call is made again with the same arguments, and
 * finds its progress in guest->call (zeroed at every fresh call). */
#ifndef SH_GUEST_H
#define SH_GUEST_H

#include "microsandbox/guest_anew.h"
#include "microsandbox/microsandbox.h"

/* Linear memory as of this host call; never kept across a suspension. */
struct sh_mem {
    uint8_t *base;
    size_t len;
};
/* The bytes [ptr, ptr + n) of guest memory, or NULL when any lies outside. n = 0 inside or at the
 * end is a non-NULL pointer that must not be read. */
void *sh_mem_at(const struct sh_mem *m, uint64_t ptr, uint64_t n);

enum {
    SH_CALL_PENDING = -1000, /* guest->wait says for what */
    SH_CALL_END = -1001,     /* guest->end is set: exit, limit: the instance is to be stopped */
    SH_CALL_AGAIN = -1002, /* a part is done: others have their turn, then the same call goes on */
};

/* WASI preview 1 errno numbers that the guest's side itself answers with, negated. */
enum sh_errno {
    SH_ERRNO_2BIG = 1,
    SH_ERRNO_AGAIN = 6,
    SH_ERRNO_BADF = 8,
    SH_ERRNO_BUSY = 10,
    SH_ERRNO_CANCELED = 11,
    SH_ERRNO_EXIST = 20,
    SH_ERRNO_FAULT = 21,
    SH_ERRNO_ILSEQ = 25,
    SH_ERRNO_INVAL = 28,
    SH_ERRNO_MFILE = 33,
    SH_ERRNO_NOSYS = 52,
    SH_ERRNO_OVERFLOW = 61,
};

struct sh_handle { /* an activity that the guest started and has not dropped */
    int32_t number;
    bool complete; /* its completion is on the tape */
    bool revealed; /* a wait has returned it: size and read answer */
    uint64_t seq;
    int64_t time_us;
    struct sh_buf result;
};

struct sh_guest {
    const struct sh_agent_config *config; /* deep copy owned by the agent */
    struct sh_limits limits;

    /* clock and randomness */
    int64_t clock_ns; /* last reading, or the floor set by revealed events and sleeps */
    uint64_t random_pos;

    /* activities */
    struct sh_handle *handles; /* ascending by number */
    size_t n_handles, cap_handles;
    struct sh_list early; /* completions on the tape whose activity has not started yet */
    uint64_t ordinal;     /* activities started so far; handle = ordinal + 1 before the start */
    uint64_t cancel_seq;  /* 0: none on the tape, or revealed already */
    bool cancel_revealed;
    int64_t cancel_us;

    /* observations on the tape not yet recalled, in call-number order */
    struct sh_list observed;
    void *recalled;       /* what the last recall lent out */
    uint64_t call_number; /* observable calls counted so far = number of the next one */

    /* effects since taken; a ring of views into one buffer */
    struct sh_effect *effects;
    size_t n_effects, cap_effects;
    struct sh_buf effect_bytes;
    uint64_t output_offset[2], emitted, published;
    bool result_given;
    struct sh_buf result; /* one that is too large for an effect, until it is taken */

    struct sh_buf checkpoint; /* the state, once `checkpointed` */
    bool checkpointed;
    struct sh_line line;
    struct sh_agent_wait wait;
    int32_t *wait_handles; /* storage of wait.handles */
    size_t cap_wait_handles;
    struct {
        uint64_t stage, a, b, c;
    } call; /* progress of the host call under way */
    struct sh_agent_end end;
    bool live;         /* nothing is left that a journal knows of it */
    bool ended, woken; /* woken: sh_agent_wake came for a SLEEP */
};

/* config is borrowed and must live as long. */
void sh_guest_init(struct sh_guest *g, const struct sh_agent_config *config);
void sh_guest_done(struct sh_guest *g);
void sh_guest_push(struct sh_guest *g, const struct sh_tape_item *item);

/* A reading of the workflow clock: at least 1 us after the one before (SEMANTICS 4). */
int64_t sh_guest_clock_ns(struct sh_guest *g);
void sh_guest_clock_reveal(struct sh_guest *g,
                           int64_t time_us); /* an event of this time was seen */
void sh_guest_clock_advance(struct sh_guest *g, uint64_t delay_ns);
void sh_guest_random(struct sh_guest *g, void *out, size_t n);

/* Room for one effect with n bytes? Else wait for room: `return SH_CALL_PENDING`. An effect larger
 * than all room fits when nothing else is there. */
bool sh_guest_room(struct sh_guest *g, size_t n);
void sh_guest_effect(struct sh_guest *g, enum sh_effect_kind kind, int stream, uint64_t number,
                     struct sh_str a, struct sh_str b);
void sh_guest_effects_taken(struct sh_guest *g); /* forget them; a large buffer is given back */
/* stdout (1) or stderr (2): charges the output limit. 0, SH_CALL_PENDING or SH_CALL_END.
 * units  bytes.len <= SH_EFFECTS_BYTES_MAX: the caller writes short, as WASI allows */
int sh_guest_output(struct sh_guest *g, int stream, struct sh_str bytes);

/* The task's result, as JSON text: an effect, or where it has more than SH_OUTPUT_MAX bytes, in
 * g->result. 0, -EEXIST, -E2BIG, -EINVAL (nothing), SH_CALL_PENDING or SH_CALL_END. */
int sh_guest_give(struct sh_guest *g, struct sh_str json);
/* The same where there can be no waiting for room. takes  json, where it is large */
int sh_guest_give_now(struct sh_guest *g, struct sh_buf *json);

/* Start an activity: handle > 0, or SH_CALL_PENDING (room), or -EINVAL, -EMFILE as WASI errno
 * numbers, negative, or SH_CALL_END (limits.activities). op empty: a device line. */
int sh_guest_start(struct sh_guest *g, struct sh_str op, struct sh_str args);
/* The earliest-journaled completion among the handles, which is then revealed (the clock too):
 * handle, SH_CALL_PENDING, -EINVAL (no or unknown handles), -ECANCELED (once). n = 0: -EINVAL. */
int sh_guest_wait(struct sh_guest *g, const int32_t *handles, size_t n);
/* Would sh_guest_wait answer at once, with what the journal has before the next observation? */
bool sh_guest_wait_is_first(struct sh_guest *g, const int32_t *handles, size_t n);
/* The result of a revealed handle: 0; -EAGAIN when not revealed; -EBADF when unknown. */
int sh_guest_result(struct sh_guest *g, int32_t handle, struct sh_str *ret);
int sh_guest_drop(struct sh_guest *g, int32_t handle); /* 0 or -EBADF */

/* One observable call: 1 when the tape holds what it saw (borrowed until the next call of any
 * guest function; kind must match, else the guest is ended as SH_E_NONDETERMINISM and -1 comes);
 * 0: look for yourself, then say what was seen with sh_guest_observed.
 * The number of the call is g->call_number, until it is counted by a recall that gives 1 or by
 * sh_guest_observed: so a call that waits first (stdin) recalls again and is counted once.
 * Under config->verify a miss ends the guest likewise (-1), but for "stdin", "net.*" and SH_POLL,
 * which wait; under config->cut it is SH_CALL_PENDING for good. */
int sh_guest_recall(struct sh_guest *g, const char *kind, struct sh_str *ret);
void sh_guest_reveal_recalled(struct sh_guest *g); /* that took time: the clock goes on to its */
/* Is the next answer on the tape for this call one that is kept elsewhere (kind with SH_GUEST_KEPT
 * behind it)? Then what the tape has of it; it is not counted. A recall of `kind` takes it. */
#define SH_GUEST_KEPT ".kept"
bool sh_guest_kept(struct sh_guest *g, const char *kind, struct sh_str *ret);
bool sh_guest_next_is(struct sh_guest *g, const char *kind); /* the next answer on the tape */
/* The same, with what the tape has of it. */
bool sh_guest_next(struct sh_guest *g, const char *kind, struct sh_str *ret);
void sh_guest_observed(struct sh_guest *g, const char *kind, struct sh_str bytes);

/* End the agent from inside a host call; returns SH_CALL_END. The first end stays. */
int sh_guest_end(struct sh_guest *g, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
