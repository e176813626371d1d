/* What any store must do, whatever is behind it: the same cases run on the twin, on SurrealDB in
 * memory and on RocksDB. Also a fixture that turns callbacks into calls. */
#ifndef SH_TESTS_STORE_CASES_H
#define SH_TESTS_STORE_CASES_H

#include "check_main.h"
#include "store/store.h"

struct fx {
    struct sh_loop *loop;
    struct sh_store *store;
    char *endpoint, *dir;
    struct sh_err err; /* of the last call that was waited for */
    json_t *records;
    size_t total;
    struct sh_event_record *events; /* of the last read; views into `text` */
    struct sh_buf text;
    size_t n_events;
    unsigned waiting;
};

/* kind: "twin", "memory" or "rocksdb" (in a temporary directory). Aborts the test when it fails. */
void fx_start(struct fx *f, const char *kind);
void fx_stop(struct fx *f);
int fx_open(struct fx *f); /* 0 or -code, f->err set */
void fx_close(struct fx *f);
void fx_wait(struct fx *f); /* until f->waiting is 0 */

/* A completion that counts down f->waiting and keeps the error. */
void fx_done(void *arg, const struct sh_err *err);

struct sh_event_record fx_event(const char *workflow, uint64_t seq, const char *body);
/* Append and wait: 0 or -code. */
int fx_append(struct fx *f, const struct sh_event_record *events, size_t n_events,
              const struct sh_put *puts, size_t n_puts);
int fx_append_one(struct fx *f, const char *workflow, uint64_t seq);
int fx_put(struct fx *f, enum sh_table t, const char *key, const char *json); /* NULL: delete */
int fx_read(struct fx *f, const char *workflow, uint64_t after, size_t limit);
int fx_get(struct fx *f, enum sh_table t, const char *key);
int fx_list(struct fx *f, enum sh_table t, const struct sh_store_filter *filter);
int fx_query(struct fx *f, const char *surql);

/* Adds every case to `tcase`, once for each of `kinds` (NULL-terminated). */
void fx_add_cases(TCase *tcase, const char *const kinds[]);
void fx_add_owner_cases(TCase *tcase, const char *const kinds[]); /* store_owner_cases.c */

#endif
