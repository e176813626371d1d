/* microsandbox: runs one agent that nobody trusts. The only code that knows Wasmtime.
 *
 * An agent is deterministic: what it does depends on its module, its configuration and the tape of
 * inputs it has been given, nothing else. It never acts: it leaves effects for the engine to carry
 * out, and suspends where only the journal can answer. The engine pushes answers and steps it on.
 *
 *   new --> step --> YIELDED   (its slice ended)              --> step ...
 *                --> WAITING   (needs an answer, see wait)    --> push/answer, step ...
 *                --> FINISHED  (exit, trap, limit: see end)   --> free
 *                --> CHECKPOINT (state in wait.state)         --> free; a new agent starts from it
 *
 * Ownership: one thread at a time. An executor thread steps; whoever holds the agent otherwise (the
 * loop) reads effects, pushes and frees. */
#ifndef SH_MICROSANDBOX_H
#define SH_MICROSANDBOX_H

#include "policy/policy.h"

struct sh_sandbox; /* one per process */
struct sh_files;   /* private */
struct sh_module;  /* a compiled module, shared between threads, counted */
struct sh_agent;   /* one instance */

struct sh_sandbox_config {
    const char *aot_dir; /* 0700, ours; created when missing. NULL: nothing is kept on disk */
    const char *worker;  /* path of the program that runs as `worker compile-worker` */
    uint64_t slice_fuel; /* 0: SH_SLICE_FUEL */
    unsigned agents_max; /* pool size; 0: a default. More at once: SH_E_UNAVAILABLE */
    /* No directory that is, contains or lies in one of these is ever mapped (SEMANTICS 20).
     * Absolute, NULL-terminated, copied; or NULL. Missing ones are no error. */
    const char *const *protected_paths;
    uint64_t host_calls_per_s; /* of one agent; 0: SH_HOST_CALLS_PER_S */
    uint64_t file_stuck_ms;    /* a file call that takes longer is EIO; 0: SH_FILE_STUCK_MS */
};
int sh_sandbox_new(const struct sh_sandbox_config *config, struct sh_sandbox **ret,
                   struct sh_err *err);
struct sh_sandbox *sh_sandbox_free(struct sh_sandbox *s);
/* "wasmtime 40.0.4 metering 2 x86_64 +sse3+...": version, how fuel is counted, then, from the first
 * plus sign on, the CPU features that generated code depends on; static. */
const char *sh_sandbox_runtime(const struct sh_sandbox *s);

/* Load a module by its bytes: from the artifacts on disk, else compiled in a bounded child.
 * Blocks, up to minutes: pool threads only. Checks structure, limits and imports first.
 * Entry: `_start`, else `_initialize` (if there), `alloc` and `run_workflow`, whose result is
 * pointer << 32 | length. A module's debugging information is kept beside its artifact, for traps.
 * gives  one reference     fails  SH_E_MODULE, SH_E_IMPORT (names each), SH_E_COMPILE, SH_E_LIMIT
 */
int sh_module_load(struct sh_sandbox *s, struct sh_str wasm, struct sh_module **ret,
                   struct sh_err *err);
/* The same for a file. One that has not changed since it was last loaded is not even read: its hash
 * and facts are kept beside the artifact. fails  SH_E_NOT_FOUND, SH_E_IO, SH_E_INVAL, as above */
int sh_module_load_file(struct sh_sandbox *s, const char *path, struct sh_module **ret,
                        struct sh_err *err);
/* The same at once, or NULL: never compiles, so that what is compiled waits for no compiler. One
 * reference. */
struct sh_module *sh_module_find_file(struct sh_sandbox *s, const char *path);
struct sh_module *sh_module_ref(struct sh_module *m);
struct sh_module *sh_module_unref(struct sh_module *m);
const struct sh_hash *sh_module_hash(const struct sh_module *m);
/* WebAssembly text to binary. Blocks. Bytes that are binary already come back as they are. */
int sh_module_from_text(struct sh_str text, struct sh_buf *ret, struct sh_err *err);
/* The body of `shannon compile-worker`: module on stdin, artifact to descriptor 3, message to
 * descriptor 4; returns the exit status. */
int sh_compile_worker_main(int argc, char **argv);

/* One input, in journal order. Bytes are copied by sh_agent_push. */
enum sh_tape_kind {
    SH_TAPE_COMPLETION, /* number = handle; bytes = the result JSON */
    SH_TAPE_CANCEL,     /* revealed once, by a wait, as -ECANCELED */
    SH_TAPE_OBSERVED,   /* number = call number; what = kind; bytes = what was observed */
};
struct sh_tape_item {
    enum sh_tape_kind kind;
    uint64_t seq;
    int64_t time_us;
    uint64_t number;
    struct sh_str what;
    struct sh_str bytes;
};

/* A fork has other randomness than its source: from byte `pos` of the stream on, that of `seed`. */
struct sh_reseed {
    uint64_t pos;
    uint8_t seed[32];
};

struct sh_agent_config {
    struct sh_module *module;
    const char *const *argv;   /* argv[0] included, NULL-terminated */
    const char *const *env;    /* "K=V", NULL-terminated */
    struct sh_str input;       /* JSON */
    struct sh_buf *input_text; /* instead of input, or NULL: taken by the agent when it is made */
    uint8_t seed[32];
    int64_t start_us; /* workflow clock at start: time of WorkflowStarted or of the checkpoint */
    const struct sh_capabilities *caps; /* effective: mounts and limits; borrowed for the life */
    const char *workspace;     /* empty private directory, made by the caller; NULL: none */
    struct sh_str stdin_bytes; /* all of standard input, unless stdin_live */
    bool stdin_live;           /* then reading it suspends */
    const char *blobs;         /* folder for large observations; NULL: they are whole effects */
    bool tty[3];  /* file type of descriptors 0-2: character device, else a pipe/file */
    bool observe; /* record what mapped directories show (false for --ephemeral) */
    const char *const *protected_paths; /* the sandbox's: set by sh_agent_new */
    struct sh_files *files;             /* likewise: the pool for file calls; NULL: there is none */
    bool
        again; /* it ran before this process: changes may have been made that are not on the tape */
    bool verify; /* replay only: an observation that is not on the tape ends it */
    bool cut;    /* ... unless its journal ends elsewhere than the agent did: then it waits */
    struct sh_reseed reseeds[SH_FORKS_MAX]; /* by pos */
    size_t n_reseeds;
    /* from a checkpoint; all-zero for a first start */
    struct sh_str state;
    uint64_t fuel_used, random_pos, ordinal, call_number;
    uint64_t output_offset[2], emitted, published;
    bool result_given;
};
/* fails  SH_E_UNAVAILABLE (pool full: try later), SH_E_LIMIT, SH_E_MEMORY, SH_E_IO, SH_E_DENIED (a
 * mount that may not be one), SH_E_MODULE (neither _start nor run_workflow). thread: any; copies
 * what it needs. */
int sh_agent_new(struct sh_sandbox *s, const struct sh_agent_config *config, struct sh_agent **ret,
                 struct sh_err *err);
struct sh_agent *sh_agent_free(struct sh_agent *a); /* at any time it is not being stepped */

void sh_agent_push(struct sh_agent *a, const struct sh_tape_item *item);

enum sh_agent_status { SH_AGENT_YIELDED, SH_AGENT_WAITING, SH_AGENT_FINISHED, SH_AGENT_CHECKPOINT };
/* Run until it suspends. thread: an executor (its stack holds no guest frame afterwards). */
enum sh_agent_status sh_agent_step(struct sh_agent *a);

enum sh_wait_kind {
    SH_WAIT_ACTIVITY, /* none of `handles` is on the tape: push a completion (or cancel) and step */
    SH_WAIT_SLEEP,    /* poll_oneoff on clocks: sh_agent_wake after delay_ns */
    SH_WAIT_STDIN,    /* push OBSERVED{call_number, "stdin", bytes}; empty bytes: end of file */
    SH_WAIT_ROOM,     /* effects are full: take them and step */
    SH_WAIT_RATE,     /* it makes more host calls than it may: step after delay_ns, or before */
    SH_WAIT_NET,      /* push OBSERVED{call_number, net.kind, net.question and its answer}; SH_POLL:
                         or what SH_WAIT_ACTIVITY wants */
    SH_WAIT_FILE, /* a call on a mapped directory is the pool's, or a trap's place in the source is
                     being looked up: sh_agent_file_wait, then step */
    SH_WAIT_JOURNAL, /* config->cut: it looked at something that its journal has not got */
};
/* What the agent asks of a connection. The answer begins with a u32, sh_net_errno(); behind it,
 * where that is 0 (base/str.h): READ bytes32, empty at the end; POLL u8 (its time is over), and for
 * each connection a u32 (0: nothing to read yet; else how much, or 1 for an end or an error). A
 * connection that is not there is ECONNRESET; in a poll, readable. */
#define SH_NET_OPEN "net.open"   /* host, port; from now on it is named by the call's number */
#define SH_NET_READ "net.read"   /* connection; at most SH_NET_PIECE_MAX */
#define SH_NET_WRITE "net.write" /* connection, bytes: all of them, to leave after the event */
#define SH_NET_SHUT "net.shut"   /* connection: its peer is to see the end */
#define SH_NET_POLL "net.poll"   /* poll, timeout_ns (UINT64_MAX: none) */
/* poll_oneoff on a mixture: as SH_NET_POLL, and standard input if for_stdin, and the activities in
 * `handles`: a completion of one (or a cancel) is an answer, too, and then none of this kind may
 * follow. The answer has at its end a u8 (1: standard input is there), then its bytes32, at most
 * max_bytes, empty at its end. */
#define SH_POLL "poll"
struct sh_net_ask {
    const char *kind;
    struct sh_str question; /* stands before the answer */
    const char *host;
    uint16_t port;
    uint64_t connection;
    struct sh_str bytes;
    const uint64_t *poll;
    size_t n_poll;
    uint64_t poll_serial; /* of this agent's polls: the same while one waits */
    uint64_t timeout_ns;
    bool for_stdin;
};
uint32_t sh_net_errno(int host); /* an errno of the host, as guests know it */

struct sh_agent_wait {
    enum sh_wait_kind kind;
    const int32_t *handles;
    size_t n_handles;
    uint64_t delay_ns; /* SLEEP, RATE */
    uint64_t call_number;
    int64_t clock_us; /* workflow clock now (SLEEP: before the delay) */
    size_t max_bytes; /* STDIN; NET: of standard input */
    struct sh_net_ask net;
    struct sh_str state; /* CHECKPOINT */
    struct sh_str
        input; /* CHECKPOINT: JSON text that is the input from here on; empty: as before */
};
const struct sh_agent_wait *sh_agent_wait(const struct sh_agent *a);
struct sh_str sh_agent_state(const struct sh_agent *a); /* of the checkpoint it began from */
/* The delay of SH_WAIT_SLEEP has passed: the clock advances by it. */
void sh_agent_wake(struct sh_agent *a);

/* After SH_WAIT_FILE: true when the call has ended and the agent can be stepped on. Else `ready` is
 * called once when it has ended, from a thread of the pool, under its lock. Stepping before that is
 * allowed, and gives SH_WAIT_FILE again. */
bool sh_agent_file_wait(struct sh_agent *a, void (*ready)(void *arg), void *arg);
void sh_agent_file_unwait(struct sh_agent *a); /* no call of ready lasts past this */

/* All that its journal knows is done again: from here on what it meets is new. One that never ran
 * before (config.again) is live from the start.  thread: whoever may step it */
void sh_agent_live(struct sh_agent *a);

/* What the agent did since its effects were last taken, in order. Views live until the next step.
 */
enum sh_effect_kind {
    SH_EFFECT_START,     /* number = ordinal (handle = ordinal + 1); a = op, b = args JSON text.
                            op empty: a line of /dev/shannon, b = the whole line */
    SH_EFFECT_OUTPUT,    /* number = offset in that stream; stream 1 or 2; b = bytes */
    SH_EFFECT_EMIT,      /* number = index; a = type, b = JSON text */
    SH_EFFECT_PUBLISH,   /* number = index; a = name, b = JSON text */
    SH_EFFECT_RESULT,    /* b = JSON text: the task's result */
    SH_EFFECT_NET_CLOSE, /* number = the connection */
    SH_EFFECT_OBSERVED,  /* number = call number; a = kind, b = bytes */
};
struct sh_effect {
    enum sh_effect_kind kind;
    int stream;
    uint64_t number;
    struct sh_str a, b;
};
const struct sh_effect *sh_agent_effects(struct sh_agent *a, size_t *ret_n);
void sh_agent_effects_taken(struct sh_agent *a);

/* A result of more than SH_OUTPUT_MAX bytes that it gave since this was asked last, JSON text if
 * the agent keeps its word: to be taken before the effects are; NULL: there is none. */
struct sh_buf *sh_agent_result(struct sh_agent *a);

/* How it ended. Valid after FINISHED. */
struct sh_agent_end {
    int code;        /* SH_OK, or SH_E_TRAP, SH_E_FUEL, SH_E_MEMORY, SH_E_OUTPUT, SH_E_EXIT,
                        SH_E_STACK, SH_E_INPUT_CHANGED, SH_E_ACTIVITIES ... */
    int exit_status; /* of proc_exit or _start's return; 0 else */
    char message[480];
    const char *trap;        /* Wasmtime's name of the trap, or NULL */
    struct sh_str backtrace; /* JSON array of {index, function?, module?, offset, file?, line?}; an
                                inlined function has a frame before the one it is part of,
                                {inlined: true, index, function?, offset, file?, line?} */
    uint64_t peak_memory_bytes;
};
const struct sh_agent_end *sh_agent_end(const struct sh_agent *a);

/* Is the fuel at an end with this trap the same in every run? Running code counts its fuel in a
 * register, which goes to memory at calls, yields and `unreachable`; where the machine stops it,
 * what came after the last of them is lost, and where it yielded follows the host's time too. trap:
 * a name as above, or empty: an end without one. */
static inline bool sh_trap_fuel_exact(struct sh_str trap) {
    return trap.len == 0 || sh_str_eqz(trap, "unreachable") || sh_str_eqz(trap, "out of fuel");
}

/* Counters at the last suspension, for checkpoints, events and verify. */
struct sh_agent_counters {
    uint64_t fuel_used, random_pos, ordinal, call_number;
    uint64_t output_offset[2], emitted, published;
    int64_t clock_us;
    uint64_t memory_bytes;
};
struct sh_agent_counters sh_agent_counters(const struct sh_agent *a);

/* The bytes of the agent's linear memory, hashed: for determinism tests. */
void sh_agent_memory_digest(const struct sh_agent *a, struct sh_hash *ret);

#endif
