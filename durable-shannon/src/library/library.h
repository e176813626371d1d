/* library: the public C interface (include/durable_shannon.h) over the engine. Inside the folder:
 * one runtime, its thread, and calls that come to it from others. */
#ifndef SH_LIBRARY_LIBRARY_H
#define SH_LIBRARY_LIBRARY_H

#include <pthread.h>

#include "durable_shannon.h"
#include "engine/engine.h"

struct durable {
    pthread_t thread;
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    struct durable_options options; /* its texts are ours */
    int lock_fd;
    size_t n_calls; /* on the loop */
    bool stopping;  /* on the loop: no more calls, waits end */
    struct sh_list waits, follows;
    pthread_mutex_t mutex; /* over what the opener waits for */
    pthread_cond_t opened;
    bool is_open;
    struct sh_err failure;
};

/* A call from another thread: start() runs on the loop; the caller sleeps until call_end. */
struct durable_call {
    struct sh_msg msg;
    struct durable *d;
    void (*start)(struct durable_call *c);
    const void *in; /* the caller's arguments, alive until the end */
    json_t *value;  /* the answer */
    struct sh_err err;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    bool done;
};
/* -1 and the error when it failed; then c->value is NULL. Else c->value is the caller's. */
int durable_call_run(struct durable *d, struct durable_call *c, struct durable_error *error);
void durable_call_end(struct durable_call *c, json_t *value, const struct sh_err *err);
void durable_call_json(void *arg, json_t *value, const struct sh_err *err); /* sh_engine_json_fn */
int durable_error_set(struct durable_error *error, const struct sh_err *err); /* -1 */
/* wait.c: those who wait or follow, told that it is over */
void durable_waits_end(struct durable *d);

#endif
