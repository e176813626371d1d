/* store_codec: what a batch looks like on its way to a backend, and JSON values as tagged trees.
 * Numbers are little endian, bytes32 is a u32 length and the bytes (base/str.h).
 *
 * batch "SHB2":  u32 magic, u32 n_events, u32 n_puts, u8 0 | 1 = fenced, u64 epoch, then
 *   fenced:      the record meta:owner has that epoch (0: there is none); else the whole batch is
 *                refused, SH_E_FENCED
 *   event:       bytes32 workflow, u64 seq, u64 time_us, bytes32 type, bytes32 body, 32 bytes hash
 *   put:         bytes32 table name, bytes32 key, u8 0 = delete | 1 = write, then a value (object)
 *   cut:         among the puts: bytes32 "event", bytes32 workflow, u8 2, u64 last seq to go
 * value:         u8 tag, then  0 null  1 false  2 true  3 u64 (two's complement)  4 u64 (IEEE bits)
 *                5 bytes32 UTF-8  6 u32 n, n values  7 u32 n, n times bytes32 name, value
 * Text would round reals at the reader and has no cheap end; trees are exact and bounded. */
#ifndef SH_STORE_CODEC_H
#define SH_STORE_CODEC_H

#include "store/store.h"

#define SH_STORE_BATCH_MAGIC 0x32424853u /* "SHB2" */
#define SH_STORE_OWNER "owner"           /* key of the record that fences */
#define SH_STORE_DEPTH_MAX 128           /* nesting of a value; SurrealDB's own limit is 256 */

struct sh_store_header {
    uint32_t n_events, n_puts;
    bool fenced;
    uint64_t epoch;
};
void sh_store_put_header(struct sh_buf *b, const struct sh_store_header *h);
/* False when it is no batch. */
bool sh_store_get_header(struct sh_reader *r, struct sh_store_header *ret);

void sh_store_put_event(struct sh_buf *b, const struct sh_event_record *e);
/* Views into the reader's bytes. False when malformed. */
bool sh_store_get_event(struct sh_reader *r, struct sh_event_record *ret);

/* The buffer fails when full. False when deeper than SH_STORE_DEPTH_MAX. */
bool sh_store_put_value(struct sh_buf *b, const json_t *value);
/* The bytes that put_value would add; what is nested too deeply counts as nothing. */
size_t sh_store_value_size(const json_t *value);
/* A reference, or NULL when malformed. */
json_t *sh_store_get_value(struct sh_reader *r);

/* One put of a batch. value: a reference, or NULL for a delete. False when malformed. */
struct sh_store_put_view {
    enum sh_table table;
    struct sh_str key;
    json_t *value;
    uint64_t cut; /* not 0: table and value mean nothing */
};
#define SH_STORE_EVENTS "event"
bool sh_store_get_put(struct sh_reader *r, struct sh_store_put_view *ret);

#endif
