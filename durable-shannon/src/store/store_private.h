/* store, inside: what a backend must do, and what store.c and store_batch.c share. */
#ifndef SH_STORE_PRIVATE_H
#define SH_STORE_PRIVATE_H

#include "store/store.h"

/* The version of the tables and of the batch format, kept as meta:schema. */
#define SH_STORE_SCHEMA 5 /* 5: owners are fenced; what wrote 4 and before would not see it */

/* A backend. Every callback runs on the loop, once, never inside the call that asked for it; views
 * given to commit and to the reads are the store's and live until the answer. */
struct sh_store_ops {
    /* gives  *ret at once, to be closed whatever the answer is, unless open itself fails */
    int (*open)(struct sh_loop *l, const char *endpoint, const json_t *options, sh_store_done_fn cb,
                void *arg, void **ret, struct sh_err *err);
    void (*close)(void *backend, void (*cb)(void *arg), void *arg);
    /* One transaction ("SHB2", store_codec.h). SH_E_EXISTS and SH_E_INVAL promise that nothing was
     * written; every other failure leaves the outcome open. */
    void (*commit)(void *backend, struct sh_str batch, sh_store_done_fn cb, void *arg);
    void (*read_events)(void *backend, struct sh_str workflow, uint64_t after, size_t limit,
                        sh_store_events_fn cb, void *arg);
    void (*get)(void *backend, enum sh_table t, struct sh_str key, sh_store_records_fn cb,
                void *arg);
    void (*list)(void *backend, enum sh_table t, const struct sh_store_filter *f,
                 sh_store_records_fn cb, void *arg);
    void (*reclaim)(void *backend, sh_store_records_fn cb, void *arg);
    void (*query)(void *backend, struct sh_str surql, sh_store_records_fn cb, void *arg);
};

extern const struct sh_store_ops sh_store_twin_ops;
/* Weak: tests that link no Rust have no such backend. */
extern const struct sh_store_ops sh_store_surreal_ops __attribute__((weak));

enum sh_store_state { STORE_OPENING, STORE_OPEN, STORE_FAILED, STORE_CLOSING, STORE_CLOSED };

/* Appends: `queue` waits, `flying` is the transaction under way. Both are in the order of
 * submission, and calls settle in that order; so a read that notes how many calls came before it
 * (its ticket) may start when that many have settled. */
struct sh_store {
    struct sh_loop *loop;
    const struct sh_store_ops *ops;
    void *backend;
    enum sh_store_state state;
    unsigned dispatching; /* callbacks on the stack: close waits for them */
    struct sh_list queue, flying;
    bool in_flight;
    size_t probe, probe_left; /* a refused batch is tried again in parts of `probe` calls */
    struct sh_buf batch;
    struct sh_store_owner *batch_owner; /* who fences it, or NULL */
    uint64_t submitted, settled;
    struct sh_err poison; /* code 0: none */
    struct sh_list reads; /* waiting for their ticket */
    size_t reads_out;     /* asked of the backend */
    struct sh_msg kick;
    bool kicked;
    struct sh_store_stats stats;
    sh_store_done_fn open_cb;
    void *open_arg;
    void (*close_cb)(void *arg);
    void *close_arg;
};

/* store_batch.c */
/* Settle what is at the head of the queue and needs no transaction: the doomed, and barriers. */
void sh_store_batch_done(struct sh_store *s);
/* Settle every waiting append with the poison. */
void sh_store_batch_fail_all(struct sh_store *s);
/* store.c */
void sh_store_kick(struct sh_store *s);    /* sh_store_advance, soon */
void sh_store_advance(struct sh_store *s); /* reads that may start, the next batch, the close */

#endif
