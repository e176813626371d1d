/* native: SurrealDB behind a dozen C functions. Wasmtime's own C API is in the same library.
 *
 * Views are copied before a function returns. Each call that takes a callback answers exactly once,
 * from any thread, maybe before the call has returned: post it to a loop.
 * A read's answer holds only what is durable: it waits for the commits that it may have seen, and
 * fails, as all after it do, when one of them failed (SH_NATIVE_IO, SH_NATIVE_NOSPC: open again).
 * A panic in Rust is an answer (SH_NATIVE_PANIC), after which the handle refuses everything but
 * close. The encodings are described in store/store_codec.h. */
#ifndef SH_NATIVE_H
#define SH_NATIVE_H

#include <stddef.h>
#include <stdint.h>

enum sh_native_code {
    SH_NATIVE_OK = 0,
    SH_NATIVE_INVAL = 1,  /* refused, nothing was written */
    SH_NATIVE_EXISTS = 2, /* an event's id exists: refused, nothing was written */
    SH_NATIVE_BUSY = 3,   /* another process has the database open */
    SH_NATIVE_IO = 4,     /* for a commit: the outcome is unknown, as for all that follow */
    SH_NATIVE_NOSPC = 5,
    SH_NATIVE_CORRUPT = 6,
    SH_NATIVE_VERSION = 7,
    SH_NATIVE_UNSUPPORTED = 8,
    SH_NATIVE_DENIED = 9, /* a query that is not read-only */
    SH_NATIVE_LIMIT = 10,
    SH_NATIVE_TIMEOUT = 11,
    SH_NATIVE_PANIC = 12,
    SH_NATIVE_FENCED = 13 /* the owner is another one: refused, nothing was written */
};

/* An answer, the receiver's own: code, then bytes (of a failure: its message, UTF-8, no NUL). */
struct sh_native_reply {
    int32_t code;
    const uint8_t *bytes;
    size_t len;
};
typedef void (*sh_native_fn)(void *arg, struct sh_native_reply *reply);
void sh_native_reply_free(struct sh_native_reply *reply); /* takes NULL */

struct sh_native_db;

/* "wasmtime 40.0.4; surrealdb 3.3.5" */
const char *sh_native_version(void);

/* endpoint: "rocksdb:PATH" or "memory". options, JSON: {"sync": "every"|"never", "schema": N,
 * "tables": [names]}: the tables are made when the stored schema is absent or lower than N.
 * gives  a handle, usable once the answer is SH_NATIVE_OK; to be closed whatever the answer is */
struct sh_native_db *sh_native_open(const uint8_t *endpoint, size_t endpoint_len,
                                    const uint8_t *options, size_t options_len, sh_native_fn cb,
                                    void *arg);
/* needs  no other call under way       gives  the answer when the files are released */
void sh_native_close(struct sh_native_db *db, sh_native_fn cb, void *arg);

/* One batch ("SHB2") as one transaction. */
void sh_native_commit(struct sh_native_db *db, const uint8_t *batch, size_t len, sh_native_fn cb,
                      void *arg);
/* Rewrite the files so that what was deleted is gone from the disk. May take minutes.
 * gives  12 bytes 0: no records */
void sh_native_reclaim(struct sh_native_db *db, sh_native_fn cb, void *arg);
/* gives  u32 n, then n times: u64 seq, u64 time, bytes32 type, bytes32 body, 32 bytes hash */
void sh_native_read_events(struct sh_native_db *db, const uint8_t *workflow, size_t len,
                           uint64_t after, size_t limit, sh_native_fn cb, void *arg);
/* gives  u64 total, u32 n, then n times: bytes32 key, bytes32 JSON object */
void sh_native_get(struct sh_native_db *db, const uint8_t *table, size_t table_len,
                   const uint8_t *key, size_t key_len, sh_native_fn cb, void *arg);
/* filter, JSON: {"table", "prefix"?, "where": [[member, string]...], "newest_first", "offset",
 * "limit"}         gives  as sh_native_get */
void sh_native_list(struct sh_native_db *db, const uint8_t *filter, size_t len, sh_native_fn cb,
                    void *arg);
/* SurrealQL that only reads. vars: a JSON object or nothing.
 * gives  a JSON array, one element a statement */
void sh_native_query(struct sh_native_db *db, const uint8_t *surql, size_t surql_len,
                     const uint8_t *vars, size_t vars_len, sh_native_fn cb, void *arg);

/* gives  at once: the TOML text as JSON, dates as strings; SH_NATIVE_INVAL with line and column */
struct sh_native_reply *sh_native_toml_to_json(const uint8_t *text, size_t len);

#endif
