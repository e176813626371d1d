/* See crash.h. Every thread has a slot of its own in the mapping, so that entering costs a copy and
 * no lock. The kernel keeps a shared mapping's pages when the process dies, whatever it dies of;
 * nothing is ever synced, because a power cut is nobody's fault.
 *
 * A signal on a thread that works for a workflow stamps that one alone. On any other thread it
 * stamps all that are on an executor: one of them may have damaged what another thread fell over,
 * and recovery, one by one after that, tells them apart. */
#include "engine/crash.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_NAME "crash-stamp"
#define SLOTS 1280               /* the most executors, the loop and the pools */
#define STACK_BYTES (256 * 1024) /* at least what the sandbox would otherwise put in its place */

static const char magic[8] = "SHCRASH1";

struct slot {
    char workflow[SH_ID_MAX + 1];
    uint8_t phase;   /* enum sh_crash_phase */
    uint8_t stamped; /* the signal, or 0 */
};

struct file {
    char magic[8];
    uint8_t stamp[16]; /* random: names this process */
    uint32_t signal;   /* that ended it, or 0 */
    struct slot slots[SLOTS];
};

struct sh_crash {
    struct file *file;
    uint64_t generation;
    atomic_uint used; /* slots given to threads */
};

static _Atomic(struct sh_crash *) current; /* the one that the handler stamps */
static _Atomic uint64_t generations;

/* This thread's slot, of the sh_crash of that generation. */
static _Thread_local struct {
    uint64_t generation;
    struct slot *slot;
} mine __attribute__((tls_model("initial-exec")));

static const int fatal[] = {SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE};
#define N_FATAL (sizeof(fatal) / sizeof(fatal[0]))
static struct sigaction previous[N_FATAL];

/* ---- the handler: async-signal-safe ---- */

static void stamp(struct sh_crash *c, int sig) {
    struct file *f = c->file;
    unsigned used = atomic_load(&c->used);

    f->signal = (uint32_t)sig;
    if (mine.generation == c->generation && mine.slot && mine.slot->phase != SH_CRASH_IDLE) {
        mine.slot->stamped = (uint8_t)sig;
        return;
    }
    for (unsigned i = 0; i < used && i < SLOTS; i++) {
        if (f->slots[i].phase == SH_CRASH_RUN) {
            f->slots[i].stamped = (uint8_t)sig;
        }
    }
}

static void pass_on(int sig, siginfo_t *info, void *context) {
    struct sigaction *old = NULL;

    for (size_t i = 0; i < N_FATAL; i++) {
        old = fatal[i] == sig ? &previous[i] : old;
    }
    if (old && (old->sa_flags & SA_SIGINFO)) {
        old->sa_sigaction(sig, info, context);
    } else if (old && old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
    } else {
        signal(sig, SIG_DFL);
        raise(sig); /* at once, or when the handler returns: it is the same signal that ends us */
    }
}

static void on_fatal(int sig, siginfo_t *info, void *context) {
    struct sh_crash *c = atomic_load(&current);
    int saved = errno;

    if (c) {
        stamp(c, sig);
    }
    errno = saved;
    pass_on(sig, info, context);
}

static void install(void) {
    struct sigaction act = {0};

    act.sa_sigaction = on_fatal;
    act.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < N_FATAL; i++) {
        sigaction(fatal[i], &act, &previous[i]);
    }
}

void sh_crash_handlers(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, install);
}

void *sh_crash_stack_new(void) {
    void *p = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED) {
        return NULL; /* an overflow then dies without a stamp */
    }
    stack_t stack = {.ss_sp = p, .ss_size = STACK_BYTES};
    sigaltstack(&stack, NULL);
    return p;
}

void sh_crash_stack_free(void *stack) {
    stack_t now = {0};

    if (!stack) {
        return;
    }
    if (sigaltstack(NULL, &now) == 0 && now.ss_sp == stack) {
        stack_t off = {.ss_flags = SS_DISABLE};
        sigaltstack(&off, NULL);
    }
    munmap(stack, STACK_BYTES);
}

/* ---- the file ---- */

int sh_crash_open(const char *data_dir, struct sh_crash **ret, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/" FILE_NAME, data_dir);
    sh_auto(sh_close_p) int fd =
        SH_FAULT_IO(crash_stamp)
            ? -1
            : open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct sh_crash *c;
    struct file *f;
    int e = 0;

    if (fd < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", path);
    }
    /* Its blocks now: a page that the disk has no room for would be a SIGBUS later. */
    if ((e = posix_fallocate(fd, 0, sizeof(*f))) != 0) {
        return sh_fail_errno(err, SH_E_IO, e, "cannot make %s of %zu bytes", path, sizeof(*f));
    }
    f = mmap(NULL, sizeof(*f), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (f == MAP_FAILED) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot map %s", path);
    }
    memcpy(f->magic, magic, sizeof(magic));
    sh_random_bytes(f->stamp, sizeof(f->stamp));
    c = sh_new(struct sh_crash);
    c->file = f;
    c->generation = atomic_fetch_add(&generations, 1) + 1;
    atomic_store(&current, c);
    *ret = c;
    return 0;
}

struct sh_crash *sh_crash_close(struct sh_crash *c) {
    struct sh_crash *expected = c;

    if (c) {
        atomic_compare_exchange_strong(&current, &expected, NULL);
        munmap(c->file, sizeof(*c->file));
    }
    return sh_free(c);
}

void sh_crash_enter(struct sh_crash *c, const char *workflow, enum sh_crash_phase phase) {
    if (!c) {
        return;
    }
    if (mine.generation != c->generation) {
        unsigned i = atomic_fetch_add(&c->used, 1);
        mine.slot = i < SLOTS ? &c->file->slots[i] : NULL;
        mine.generation = c->generation;
    }
    if (mine.slot) {
        size_t n = strnlen(workflow, SH_ID_MAX);
        memcpy(mine.slot->workflow, workflow, n);
        mine.slot->workflow[n] = '\0';
        atomic_signal_fence(memory_order_seq_cst);
        mine.slot->phase = (uint8_t)phase;
    }
}

void sh_crash_leave(struct sh_crash *c) {
    if (c && mine.generation == c->generation && mine.slot) {
        mine.slot->phase = SH_CRASH_IDLE;
    }
}

static json_t *stamped_of(const struct file *f) {
    static const char *const phases[] = {"idle", "run", "launch", "effects"};
    json_t *list = json_array();

    for (size_t i = 0; i < SLOTS; i++) {
        const struct slot *s = &f->slots[i];
        struct sh_id id;
        if (s->stamped &&
            sh_id_parse(sh_strn(s->workflow, strnlen(s->workflow, SH_ID_MAX)), &id) == 0) {
            json_array_append_new(
                list, json_pack("{s:s, s:s}", "workflow", id.s, "phase", phases[s->phase & 3]));
        }
    }
    return list;
}

json_t *sh_crash_read(const char *data_dir) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/" FILE_NAME, data_dir);
    sh_auto(sh_close_p) int fd =
        SH_FAULT_IO(crash_read) ? -1 : open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    sh_auto(sh_free_p) struct file *f = sh_new(struct file);
    sh_auto(sh_buf_done) struct sh_buf hex = {0};

    if (fd < 0 || read(fd, f, sizeof(*f)) != (ssize_t)sizeof(*f) ||
        memcmp(f->magic, magic, sizeof(magic)) != 0 || f->signal == 0) {
        sh_buf_init_sure(&hex, 1);
        return NULL;
    }
    sh_buf_init_sure(&hex, 64);
    sh_hex_encode(&hex, f->stamp, sizeof(f->stamp));
    return json_pack("{s:s, s:I, s:o}", "stamp", hex.p, "signal", (json_int_t)f->signal, "stamped",
                     stamped_of(f));
}
