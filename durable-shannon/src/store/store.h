/* store: where everything durable lives. One writer takes whatever is waiting, from all workflows,
 * as one transaction; reads see every append that was submitted before them, and tell nothing that
 * a loss of power could take back.
 *
 * Data: events, keyed [workflow, seq], which are only ever inserted (an existing key fails the
 * batch: that is the fence of SEMANTICS 24); and records of named tables, keyed by text, whose
 * later value wins. Both share a transaction, so a workflow's row, its kv writes and its events
 * agree. */
#ifndef SH_STORE_H
#define SH_STORE_H

#include "loop/loop.h"

struct sh_store;

enum sh_table {
    SH_TABLE_META,        /* "schema" -> {version}; "owner" -> store_owner.c; the engine's own */
    SH_TABLE_WORKFLOW,    /* workflow id -> projection of its journal, for lists and recovery */
    SH_TABLE_KV,          /* session NUL-free "session/key" -> {session, key, value} */
    SH_TABLE_MODULE,      /* sha256 hex -> {hash, name?, bytes, created_at_us} */
    SH_TABLE_NAME,        /* agent name -> {name, hash} */
    SH_TABLE_SESSION,     /* session id -> {...} */
    SH_TABLE_IDEMPOTENCY, /* client's Idempotency-Key -> {digest, response, created_at_us} */
    SH_TABLE_PUBLISHED, /* "workflow/name" -> {workflow, name, data, seq, at_us}: the last of it */
    SH_TABLE_UPDATE,    /* "workflow/update" -> see engine/update.c */
    SH_TABLE_ACTIVE,    /* urgency and workflow -> {workflow, ...}: what a start takes up */
    SH_TABLE_WAKE,      /* due time and workflow -> {workflow, due_us}: what sleeps until then */
    SH_TABLE_WAKE_DAY,  /* the same of what waits for a time of day */
    SH_TABLE_BLOB,      /* "workflow/hash" and "hash/workflow": see engine/blobs.h */
    SH_TABLE_COUNT,
    SH_JOURNAL_CUT /* no table: see struct sh_put */
};
const char *sh_table_name(enum sh_table t); /* "workflow", ... */

/* One event of a journal. In a batch: borrowed until the append call returns. */
struct sh_event_record {
    struct sh_str workflow;
    uint64_t seq; /* from 1, no gaps */
    int64_t time_us;
    struct sh_str type; /* "WorkflowStarted", ... */
    struct sh_str body; /* JSON text, stored verbatim: the hash is over these bytes */
    struct sh_hash hash;
};
/* One record to write; value NULL deletes. With SH_JOURNAL_CUT it is the beginning of a journal
 * that goes: the events of workflow `key` up to value.seq, before the batch's own are inserted, so
 * that an event may take the place of the last of them. How many that are is up to the caller: all
 * of them are one transaction. */
struct sh_put {
    enum sh_table table;
    struct sh_str key;
    const json_t *value; /* an object */
};

/* Runs once on the loop, after the transaction is durable (err NULL) or has failed. A failure of
 * SH_E_EXISTS means another owner wrote that event; SH_E_IO and the like mean that the outcome is
 * unknown and the store refuses further appends (SEMANTICS 24: stop, reopen, read back). */
typedef void (*sh_store_done_fn)(void *arg, const struct sh_err *err);

/* Open.  endpoint: "rocksdb:PATH", "memory" (SurrealDB's), "twin" or "twin:NAME" (store_twin.h)
 * options  JSON object or NULL: {"sync": "every"|"never"}
 * gives    by cb on the loop: err NULL when open. *ret is valid at once, usable after cb, and to be
 *          closed after cb whatever it said.
 * fails    now: SH_E_INVAL, SH_E_UNSUPPORTED ("ws://...": not in this version), and there is no
 *          store; by cb: SH_E_VERSION (schema newer than ours), SH_E_BUSY, SH_E_IO, SH_E_NOSPC */
int sh_store_open(struct sh_loop *l, const char *endpoint, const json_t *options,
                  sh_store_done_fn cb, void *arg, struct sh_store **ret, struct sh_err *err);
/* Appends and reads submitted before are finished first. cb once; the memory is gone before it. */
void sh_store_close(struct sh_store *s, void (*cb)(void *arg), void *arg);

/* Add events and records to the batch that leaves next; all of one call share one transaction.
 * Everything is copied. A call of nothing is a barrier: its cb comes after those before it.
 * fails  now: SH_E_LIMIT (larger than SH_BATCH_*), SH_E_INVAL, SH_E_STATE, SH_E_NOMEM; by cb: see
 * above A batch that the database refuses is retried in halves, so that only the guilty call fails,
 * and with it those calls already waiting that carry events of the same workflow. */
int sh_store_append(struct sh_store *s, const struct sh_event_record *events, size_t n_events,
                    const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                    struct sh_err *err);
/* Owners. Each has an epoch, higher than all before it; what it writes is refused, the whole batch,
 * with SH_E_FENCED once another owner has taken over, in the transaction itself and without a read.
 * cb on the loop: the new owner, whose predecessor is fenced off from then on; to be disowned. */
struct sh_store_owner;
typedef void (*sh_store_owner_fn)(void *arg, struct sh_store_owner *o, const struct sh_err *err);
void sh_store_own(struct sh_store *s, const char *name, sh_store_owner_fn cb, void *arg);
/* Appends under way keep it. Takes NULL. */
void sh_store_disown(struct sh_store_owner *o);
uint64_t sh_store_epoch(const struct sh_store_owner *o); /* from 1; of NULL: 0 */
/* Is it known to be an owner no more? The reason in *ret. */
bool sh_store_lost(const struct sh_store_owner *o, struct sh_err *ret);
/* sh_store_append as one of them; a barrier too. o NULL: as nobody, which is never refused so.
 * fails  besides, by cb: SH_E_FENCED, nothing was written */
int sh_store_append_as(struct sh_store *s, struct sh_store_owner *o,
                       const struct sh_event_record *events, size_t n_events,
                       const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                       struct sh_err *err);
/* Send what is waiting if no transaction is under way; the loop's turn hook calls this. Appends
 * made while one is under way leave together when it ends. */
void sh_store_flush(struct sh_store *s);

/* Read events of one workflow with after < seq, in order, at most `limit` (<= SH_JOURNAL_PAGE).
 * gives  by cb: borrowed for the call */
typedef void (*sh_store_events_fn)(void *arg, const struct sh_event_record *events, size_t n,
                                   const struct sh_err *err);
void sh_store_read_events(struct sh_store *s, struct sh_str workflow, uint64_t after, size_t limit,
                          sh_store_events_fn cb, void *arg);

/* Read records of a table in key order. value is borrowed for the call: an array of the records,
 * each with its key as member "id". */
typedef void (*sh_store_records_fn)(void *arg, json_t *records, size_t total,
                                    const struct sh_err *err);
void sh_store_get(struct sh_store *s, enum sh_table t, struct sh_str key, sh_store_records_fn cb,
                  void *arg); /* [] when absent */
#define SH_STORE_LIST_MAX 1000
/* A page of a table: newest key first when `newest_first`; where_key/where_value (either NULL) keep
 * records whose member `where_key` is the string where_value. total: all that match. Also a second
 * condition for lists. */
struct sh_store_filter {
    const char *member[2]; /* NULL: unused */
    const char *value[2];
    const char *prefix; /* keys that begin with this, or NULL */
    bool newest_first;
    bool uncounted; /* total is only this page's: nothing but the page is read. With neither
                       conditions nor prefix, and in key order */
    /* Of an uncounted page: it begins behind this key, of which it needs no record, or NULL: so
     * nothing is passed over when records before it go. Characters of ids, and '/'. */
    const char *after;
    size_t offset, limit; /* limit <= SH_STORE_LIST_MAX */
};
void sh_store_list(struct sh_store *s, enum sh_table t, const struct sh_store_filter *f,
                   sh_store_records_fn cb, void *arg);

/* SurrealQL that only reads (SH_E_DENIED for any other); SH_E_UNSUPPORTED on the twin.
 * result: array, one element a statement. Events: SELECT * FROM event:["wf-1", 1]..["wf-1", 9] */
void sh_store_query(struct sh_store *s, struct sh_str surql, sh_store_records_fn cb, void *arg);

/* What was deleted leaves the disk now. Slow (it rewrites files), and nobody waits for it: appends
 * and reads go on. cb: no records. */
void sh_store_reclaim(struct sh_store *s, sh_store_records_fn cb, void *arg);

/* Counters since open, for metrics, tests and bench. largest_batch: events and records. */
struct sh_store_stats {
    uint64_t transactions, events, records, bytes, largest_batch;
};
struct sh_store_stats sh_store_stats(const struct sh_store *s);

#endif
