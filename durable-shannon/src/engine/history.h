/* What a journal knows and a replaying agent has not done again yet. Kinds are matched apart, each
 * in its own order (activities by ordinal, output by offset), so that the boundaries between events
 * do not matter; arrivals are tape items in journal order. */
#ifndef SH_ENGINE_HISTORY_H
#define SH_ENGINE_HISTORY_H

#include "engine/journal.h"
#include "engine/lean.h"
#include "engine/texts.h"
#include "microsandbox/microsandbox.h"

struct sh_past_activity {
    uint64_t ordinal, seq; /* seq of the event that shows the request */
    json_t *request;       /* {op, args, id?}: borrowed members of body; or it is ... */
    const char *text;      /* ... op, args and id, one after the other, of these lengths */
    uint32_t op_len, args_len, id_len;
    int64_t due_us;     /* of a timer, else 0 */
    unsigned attempts;  /* ActivityRetried so far */
    int64_t next_at_us; /* of the next one, and how long after the last that was */
    int64_t backoff_us;
    bool matched, finished;
    bool scheduled; /* else the journal shows only that a person was asked */
};

struct sh_past_note { /* Emitted or Published */
    uint64_t index, seq;
    json_t *body;
};

struct sh_past_sleep {
    uint64_t call;
    int64_t due_us;
};

struct sh_history {
    struct sh_past_activity *activities; /* by ordinal - first_ordinal */
    size_t n_activities, cap_activities;
    uint64_t first_ordinal;
    struct sh_past_note *notes[2]; /* Emitted, Published, by index - first_note */
    size_t n_notes[2], cap_notes[2];
    uint64_t first_note[2];
    struct sh_buf output[2]; /* bytes from first_output on */
    uint64_t first_output[2], matched_output[2];
    struct sh_past_sleep *sleeps;
    size_t n_sleeps, cap_sleeps;
    size_t unmatched;   /* activities and notes */
    uint64_t last_call; /* highest call number that was observed */
    json_t *bodies;     /* array that keeps the parsed bodies alive */
    struct sh_texts texts;
    json_t *checkpoint; /* body of the last Checkpoint, borrowed from bodies; or NULL */
    json_t *final;      /* body of the final event, or NULL */
    const char *final_type;
    uint64_t final_seq, last_seq;
    int64_t last_us;
};

void sh_history_init(struct sh_history *h);
void sh_history_done(struct sh_history *h);
/* Take one event of the journal in. fails SH_E_CORRUPT when it cannot follow what came before */
int sh_history_add(struct sh_history *h, const struct sh_event *ev, struct sh_err *err);
/* The same for an event of an activity that was not parsed. It shows the request, or an event
 * before it did. */
int sh_history_add_lean(struct sh_history *h, const struct sh_event *ev, const struct sh_lean *lean,
                        struct sh_err *err);
json_t *sh_past_request(const struct sh_past_activity *past); /* {op, args, id?}, new */
/* Is that, word for word, what was asked? false: it may be, written in another way */
bool sh_past_is(const struct sh_past_activity *past, struct sh_str op, struct sh_str args);
struct sh_past_activity *sh_history_activity(struct sh_history *h, uint64_t ordinal);
/* Is there nothing left that the agent did before? `counters` are the agent's. */
bool sh_history_over(const struct sh_history *h, const struct sh_agent_counters *counters);
/* First thing that the journal holds and the agent has not done, for a message; 0 if none. */
uint64_t sh_history_first_unmatched(const struct sh_history *h, struct sh_buf *what);

#endif
