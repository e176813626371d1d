/* Private to loop/: what its files know of each other. */
#ifndef SH_LOOP_INTERNAL_H
#define SH_LOOP_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "loop/loop.h"

/* A binary heap over one timerfd. The keys are copied into the heap, so that sifting does not touch
 * the timers; `order` makes timers of the same instant fire in the order of their starting. */
struct sh_heap_entry {
    uint64_t due_ns;
    uint64_t order;
    struct sh_timer *timer;
};
struct sh_timers {
    struct sh_heap_entry *heap;
    size_t n, cap;
    uint64_t next_order;
    uint64_t armed_ns; /* what the descriptor is set to; 0: disarmed */
    int fd;
    uv_poll_t poll;
};
int sh_timers_init(struct sh_loop *l, struct sh_err *err);
void sh_timers_close(struct sh_loop *l); /* stops every timer; the handle closes on the loop */

struct sh_workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct sh_list queue;
    pthread_t threads[4];
    size_t n_threads;
    bool stopping;
};
enum { SH_POOLS = SH_POOL_COMPILE + 1 };
int sh_workers_start(struct sh_workers *w, const char *name, size_t n_threads, struct sh_err *err);
void sh_workers_stop(struct sh_workers *w); /* after the queue is empty; joins */

struct sh_http_client; /* http.c; made at the first request */
void sh_http_client_close(struct sh_http_client *c);
struct sh_http_client *sh_http_client_free(struct sh_http_client *c);

/* tcp.c: those that only linger, at the end */
bool sh_tcps_linger(const struct sh_loop *l);
void sh_tcps_close(struct sh_loop *l);

struct sh_loop {
    uv_loop_t uv;
    pthread_t thread;
    pthread_mutex_t inbox_lock;
    struct sh_msg *inbox, **inbox_end; /* under inbox_lock */
    uv_async_t inbox_wake;
    uv_prepare_t before_sleep;
    void (*hook)(void *arg);
    void *hook_arg;
    struct sh_timers timers;
    struct sh_workers pools[SH_POOLS];
    atomic_size_t jobs; /* submitted, done() not yet called */
    struct sh_http_client *http;
    struct sh_list tcps; /* struct sh_tcp */
};

#endif
