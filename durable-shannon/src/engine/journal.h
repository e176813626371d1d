/* The journal of one workflow: events are chained, collected into a commit, and take effect when
 * the store says that they are durable.
 *
 * Chain (SEMANTICS 25): hash = SHA-256(previous | seq | time | len type | len body); the hash
 * before the first event is SHA-256("shannon journal 1" | len id). */
#ifndef SH_ENGINE_JOURNAL_H
#define SH_ENGINE_JOURNAL_H

#include "base/sign.h"
#include "store/store.h"

struct sh_workflow;

struct sh_event {
    struct sh_list link;
    uint64_t seq;
    int64_t time_us;
    const char *type; /* static */
    json_t *body;     /* NULL when not parsed */
    char *text;       /* the stored bytes */
    size_t text_len;
    struct sh_hash hash;
};

struct sh_journal {
    bool lost;                 /* a commit failed: what would follow it may never be written */
    uint64_t seq, durable_seq; /* last given out, last durable */
    int64_t time_us;           /* of the last event */
    struct sh_hash head;
    uint64_t bytes, bytes_max;
    struct sh_list draft; /* events of the commit being put together */
    size_t draft_bytes;
    struct sh_put *puts;
    size_t n_puts, cap_puts;
    unsigned inputs_pending; /* events not yet durable that a guest may learn from */
    unsigned commits_pending;
    bool full;                                /* bytes_max was hit: only the final event goes in */
    uint64_t compacted_bytes;                 /* what that one has of `bytes` */
    uint64_t compacted;                       /* events 1 to this are one Compacted; 0: none */
    uint8_t compacted_key[SH_SIGN_KEY_BYTES]; /* that signed it */
};

void sh_journal_init(struct sh_journal *j, const struct sh_id *id);
void sh_journal_done(struct sh_journal *j);
/* The chain's next hash. */
void sh_journal_hash(const struct sh_hash *previous, uint64_t seq, int64_t time_us,
                     struct sh_str type, struct sh_str body, struct sh_hash *ret);

/* Does `ev` follow? Then it is the last: seq, head and time move on. What was compacted stands for
 * everything up to its own number.     fails  SH_E_CORRUPT */
int sh_journal_follow(struct sh_journal *j, const struct sh_event_record *ev, struct sh_err *err);

/* Left over from a compaction that was interrupted: what was compacted stands for it. */
bool sh_journal_skips(const struct sh_journal *j, uint64_t seq);

/* Add an event to the open commit. takes `body`. gives its seq; 0 when the journal is full */
uint64_t sh_journal_add(struct sh_workflow *wf, const char *type, json_t *body);
/* Add a record to the open commit. takes `value` */
void sh_journal_put(struct sh_workflow *wf, enum sh_table table, const char *key, json_t *value);
/* Send the open commit, if it holds anything; its events are applied when durable, in order, then
 * `then` runs (with the error when the workflow was lost). */
void sh_journal_commit(struct sh_workflow *wf,
                       void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                       void *arg);
/* The same for two workflows in one transaction: all of both or nothing. `then` is wf's. */
void sh_journal_commit_both(struct sh_workflow *wf,
                            void (*then)(struct sh_workflow *wf, void *arg,
                                         const struct sh_err *err),
                            void *arg, struct sh_workflow *other);
void sh_event_free(struct sh_event *ev);
/* The static name equal to `type`, or NULL for one that no version wrote. */
const char *sh_event_type(struct sh_str type);

#endif
