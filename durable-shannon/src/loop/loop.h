/* loop: the one thread that owns all state of the program, built on libuv.
 * Inbox (messages from other threads), timers on CLOCK_BOOTTIME, a worker pool, HTTP requests. */
#ifndef SH_LOOP_H
#define SH_LOOP_H

#include "base/base.h"

struct uv_loop_s;
struct sh_loop;

/* gives  a loop bound to the calling thread       fails  SH_E_IO */
int sh_loop_new(struct sh_loop **ret, struct sh_err *err);
/* Runs until sh_loop_stop. All handles must be closed before free. */
void sh_loop_run(struct sh_loop *l);
void sh_loop_stop(struct sh_loop *l); /* loop thread */
struct sh_loop *sh_loop_free(struct sh_loop *l);
struct uv_loop_s *sh_loop_uv(struct sh_loop *l); /* for loop/ and shannon-api only */
bool sh_loop_is_current(const struct sh_loop *l);
#define SH_ON_LOOP(l) SH_ASSERT(sh_loop_is_current(l))

/* A message to the loop, embedded in its owner; run() is called once on the loop, in the order of
 * posting, and may free the message's owner. thread any; never blocks beyond a short mutex */
struct sh_msg {
    struct sh_msg *next;
    void (*run)(struct sh_msg *msg);
};
void sh_loop_post(struct sh_loop *l, struct sh_msg *msg);

/* Called once at the end of every turn that ran a message, timer, job or descriptor: the place
 * where one turn becomes one commit. It runs right before the loop may sleep, after all that ran
 * since the last sleep (handles of others on the uv loop included), never inside any of it, and
 * once more when the loop stops; so it may find nothing to do. At most one hook; NULL removes it.
 * sh_loop_free does not call it. */
void sh_loop_on_turn(struct sh_loop *l, void (*hook)(void *arg), void *arg);

/* Timer, embedded; all-zero is stopped. Counts on CLOCK_BOOTTIME. fn runs on the loop, never
 * inside start. Starting again moves it. */
struct sh_timer {
    struct sh_loop *loop;
    void (*fn)(struct sh_timer *t);
    uint64_t due_ns; /* CLOCK_BOOTTIME */
    size_t slot;     /* 1-based place in the heap, 0 when stopped */
};
void sh_timer_start(struct sh_loop *l, struct sh_timer *t, uint64_t delay_ns,
                    void (*fn)(struct sh_timer *t));
void sh_timer_stop(struct sh_timer *t);

/* A job for a pool thread: work() there, then done() on the loop. Embedded in its owner. Pools are
 * apart so that a slow disk does not delay DNS or compiling, and a slow compiler nothing else. */
enum sh_pool { SH_POOL_FILES, SH_POOL_COMPUTE, SH_POOL_COMPILE };
struct sh_job {
    struct sh_msg msg;    /* private */
    struct sh_loop *loop; /* private */
    struct sh_list link;  /* private */
    void (*work)(struct sh_job *job);
    void (*done)(struct sh_job *job);
};
/* thread any, while the loop lives; sh_loop_free waits for every job and runs its done() */
void sh_loop_submit(struct sh_loop *l, enum sh_pool pool, struct sh_job *job);

/* One HTTP request through libcurl's multi interface on this loop. The address rules are the
 * caller's: allow() is asked with each socket address before it is connected to, and again before
 * the request leaves, which covers connections that an earlier request left open. It only decides:
 * it starts and cancels nothing. */
struct sockaddr;
struct sh_http_request {
    const char *method, *url;
    const char *const *headers; /* NULL-terminated "Name: value"; CR or LF in one is refused */
    struct sh_str body;         /* copied */
    /* Not 0: the body is the first so many bytes of this file, the caller's until done or cancel.
     * It is read on the loop: for commands that do nothing else. */
    uint64_t body_file_bytes;
    int body_file;
    size_t max_response_bytes;
    uint64_t timeout_ms, connect_timeout_ms; /* 0: no limit of the whole; curl's 300 s */
    const char *unix_socket;                 /* or NULL */
    bool (*allow)(void *arg, const struct sockaddr *addr); /* or NULL: allow all */
    /* NULL, or the caller's until done or cancel: gets the header lines "Name: value\r\n" of the
     * response, those of interim answers left out. */
    struct sh_buf *response_headers;
    /* NULL, or called with body bytes as they come (they are then not kept). */
    void (*on_data)(void *arg, struct sh_str bytes);
    /* Called once, unless canceled: err set and status 0 when no full response came (SH_E_TIMEOUT,
     * SH_E_UNAVAILABLE, SH_E_LIMIT, SH_E_DENIED). `retry_after_ms` is 0 when not given. */
    void (*done)(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                 const struct sh_err *err);
    void *arg;
};
struct sh_http; /* a request under way */
/* takes  nothing: all is copied      gives  *ret, valid until done or cancel
 * fails  now: SH_E_INVAL             Proxy, redirects, netrc and alt-svc are off (SEMANTICS 29). */
int sh_http_start(struct sh_loop *l, const struct sh_http_request *req, struct sh_http **ret,
                  struct sh_err *err);
void sh_http_cancel(struct sh_http *h); /* done is not called */
/* While on_data is told: the status of the response that the bytes are of. */
int sh_http_status(const struct sh_http *h);

/* A TCP connection: a name or address resolved once, connected to the first address that the caller
 * allows, then bytes in both directions with a bounded buffer each way. */
struct sh_tcp;

struct sh_tcp_options {
    const char *host; /* a name, or an address (IPv6 with or without brackets) */
    uint16_t port;
    uint64_t timeout_ms; /* of resolving and connecting together */
    /* Asked for each address that the name has, before a socket is opened to it. It only decides.
     * NULL: all */
    bool (*allow)(void *arg, const struct sockaddr *addr);
    /* Something of the status below is another than it was. On the loop, never inside a call of
     * this header; may call any of them. */
    void (*changed)(void *arg);
    void *arg;
};
/* takes  nothing: all is copied    gives  *ret, until sh_tcp_close    fails  SH_E_INVAL: the host
 */
int sh_tcp_open(struct sh_loop *l, const struct sh_tcp_options *o, struct sh_tcp **ret,
                struct sh_err *err);

struct sh_tcp_status {
    bool connected, ended; /* ended: no byte comes after those received (an error, or its end) */
    /* 0, or an errno of the host: why there is no connection (any more). ENOENT: there is no such
     * name; EHOSTUNREACH: it could not be resolved; EACCES: all its addresses were refused. */
    int error;
    struct sh_str received; /* not yet taken; at most SH_NET_BUFFER_MAX, then the peer waits */
    size_t to_send;         /* bytes not yet given to the system */
};
struct sh_tcp_status sh_tcp_status(const struct sh_tcp *t);
void sh_tcp_take(struct sh_tcp *t, size_t n); /* forget the first n received */
/* Copied; without a connection it is lost. The caller bounds to_send. */
void sh_tcp_send(struct sh_tcp *t, struct sh_str bytes);
void sh_tcp_end(struct sh_tcp *t); /* no more will be sent: the peer sees the end */
/* No callback follows. What waits to be sent still goes out, for SH_NET_LINGER_MS at most; `now`:
 * it does not, and the peer sees a reset. Takes NULL. */
void sh_tcp_close(struct sh_tcp *t, bool now);

/* A child process: the head of a process group of its own, which is killed as one; it does not
 * outlive us. It has descriptors 0, 1 and 2 and the environment that is given, nothing else. */
struct sh_process_options {
    const char *program;                  /* absolute path */
    const char *const *argv, *const *env; /* NULL-terminated */
    const char *dir;                      /* or NULL: / */
    uint64_t memory_bytes, cpu_seconds;   /* 0: no limit */
    /* No network, no new processes, no files but the system's programs and libraries to read. */
    bool confined;
    void (*on_out)(void *arg, struct sh_str bytes); /* or NULL */
    void (*on_err)(void *arg, struct sh_str bytes); /* or NULL */
    /* Once, after all output; then close it. A program that cannot be run: status 127. */
    void (*on_exit)(void *arg, int status, int signal);
    void *arg;
};
struct sh_process;
/* fails  SH_E_IO */
int sh_process_start(struct sh_loop *l, const struct sh_process_options *o, struct sh_process **ret,
                     struct sh_err *err);
/* Copied. fails  SH_E_LIMIT: more than `most` bytes would wait;  SH_E_UNAVAILABLE */
int sh_process_write(struct sh_process *p, struct sh_str bytes, size_t most, struct sh_err *err);
void sh_process_end_input(struct sh_process *p);
/* Kills what is left of it; no callback follows. May be called from its callbacks. */
void sh_process_close(struct sh_process *p);

#endif
