/* The journal of one workflow: events are chained, collected into a commit, and take effect when
 * the store says that they are durable.
 *
 * Chain (SEMANTICS 25): hash = SHA-256(previous | seq | time | len type | len body); the hash
 * before the first event is SHA-256("shannon journal 1" | len id). */
#ifndef SH_ENGINE_JOURNAL_H
#define SH_ENGINE_JOURNAL_H

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
    bool full; /* bytes_max was hit: only the final event goes in */
};

void sh_journal_init(struct sh_journal *j, const struct sh_id *id);
void sh_journal_done(struct sh_journal *j);
/* The chain's next hash. */
void sh_journal_hash(const struct sh_hash *previous, uint64_t seq, int64_t time_us,
                     struct sh_str type, struct sh_str body, struct sh_hash *ret);

/* Add an event to the open commit. takes `body`. gives its seq; 0 when the journal is full */
uint64_t sh_journal_add(struct sh_workflow *wf, const char *type, json_t *body);
/* Add a record to the open commit. takes `value` */
void sh_journal_put(struct sh_workflow *wf, enum sh_table table, const char *key, json_t *value);
/* Send the open commit, if it holds anything; its events are applied when durable, in order, then
 * `then` runs (with the error when the workflow was lost). */
void sh_journal_commit(struct sh_workflow *wf,
                       void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                       void *arg);
void sh_event_free(struct sh_event *ev);
/* The static name equal to `type`, or NULL for one that no version wrote. */
const char *sh_event_type(struct sh_str type);

#endif
