/* See run.h. The sandbox is made once; the directories around each run are made anew and looked at
 * afterwards. */
#include "fuzz/native/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

enum { STEPS_MAX = 20000, FUEL = 3000000, FUEL_LITTLE = 20000 };

/* ---- compiling in this process: the linker puts this where the worker would be started ---- */

__typeof__(sh_compile) __wrap_sh_compile; /* so that the two cannot differ */
int __wrap_sh_compile(struct sh_sandbox *s, struct sh_str wasm, int fd, int lines, bool *ret_died,
                      struct sh_err *err) {
    (void)lines; /* no traps are looked up here */
    *ret_died = false;
    return sh_compile_here(s->engine, wasm, fd, -1, err);
}

/* ---- the world around an agent ---- */

static char dir[64], workspace[96], mapped[96], inner[128];

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void clear(void) {
    (void)nftw(workspace, drop, 16, FTW_DEPTH | FTW_PHYS);
    (void)nftw(mapped, drop, 16, FTW_DEPTH | FTW_PHYS);
}

static void leave(void) {
    clear();
    (void)rmdir(dir);
}

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    SH_ASSERT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
}

static void make(void) {
    char path[160];

    if (!dir[0]) {
        (void)snprintf(dir, sizeof(dir), "%s/shannon-fuzz.XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        SH_ASSERT(mkdtemp(dir));
        (void)snprintf(workspace, sizeof(workspace), "%s/w", dir);
        (void)snprintf(mapped, sizeof(mapped), "%s/m", dir);
        (void)snprintf(inner, sizeof(inner), "%s/d", mapped);
        (void)atexit(leave);
    }
    SH_ASSERT(mkdir(workspace, 0700) == 0 && mkdir(mapped, 0700) == 0 && mkdir(inner, 0700) == 0);
    (void)snprintf(path, sizeof(path), "%s/f", mapped);
    write_file(path, "a file of the mapped directory");
    (void)snprintf(path, sizeof(path), "%s/g", inner);
    write_file(path, "another");
}

static struct sh_hasher *looking;

static int look(const char *path, const struct stat *st, int kind, struct FTW *at) {
    uint64_t facts[] = {(uint64_t)kind, st->st_mode, (uint64_t)st->st_size,
                        (uint64_t)st->st_mtim.tv_sec, (uint64_t)st->st_mtim.tv_nsec};

    (void)at;
    sh_hasher_str(looking, sh_str(path));
    if (kind == FTW_F) {
        char text[4096];
        int fd = open(path, O_RDONLY | O_NOFOLLOW);
        ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : 0;

        sh_hasher_add(looking, text, n > 0 ? (size_t)n : 0);
        sh_hasher_add(looking, facts, sizeof(facts));
        (void)close(fd);
    }
    return 0;
}

/* The mapped directory as it is, times of files included. */
static struct sh_hash picture(void) {
    struct sh_hasher h;
    struct sh_hash hash;

    sh_hasher_init(&h);
    looking = &h;
    (void)nftw(mapped, look, 16, FTW_PHYS);
    sh_hasher_done(&h, &hash);
    return hash;
}

/* Only the two directories may be there. */
static void check_around(void) {
    DIR *d = opendir(dir);
    int n = 0;

    SH_ASSERT(d);
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    SH_ASSERT(n == 2);
}

/* ---- one run ---- */

static struct sh_sandbox *sandbox(uint64_t slice) {
    static struct sh_sandbox *made;
    struct sh_sandbox_config config = {.worker = "/proc/self/exe", .agents_max = 4};
    struct sh_err err = {0};

    if (!made) {
        SH_ASSERT(sh_sandbox_new(&config, &made, &err) == 0);
    }
    made->slice_fuel = slice;
    return made;
}

static void file_over(void *arg) {
    atomic_store((atomic_bool *)arg, true);
}

static void file_wait(struct sh_agent *a) {
    atomic_bool over = false;

    if (!sh_agent_file_wait(a, file_over, &over)) {
        while (!atomic_load(&over)) {
            usleep(20);
        }
    }
}

/* Answer what it waits for, as an engine would. */
static void answer(struct sh_agent *a, uint64_t *seq, bool first_stdin) {
    const struct sh_agent_wait *w = sh_agent_wait(a);
    struct sh_tape_item item = {.kind = SH_TAPE_COMPLETION, .seq = ++*seq};
    struct sh_buf refusal;

    switch (w->kind) {
    case SH_WAIT_ACTIVITY:
        SH_ASSERT(w->n_handles > 0);
        item.number = (uint64_t)w->handles[0];
        item.time_us = w->clock_us + 1;
        item.bytes = item.number & 1 ? SH_STR("{\"ok\":1}") : SH_STR("[]");
        sh_agent_push(a, &item);
        break;
    case SH_WAIT_SLEEP:
        sh_agent_wake(a);
        break;
    case SH_WAIT_STDIN:
        item.kind = SH_TAPE_OBSERVED;
        item.number = w->call_number;
        item.time_us = w->clock_us;
        item.what = SH_STR("stdin");
        item.bytes = first_stdin && w->max_bytes ? SH_STR("x") : (struct sh_str){NULL, 0};
        sh_agent_push(a, &item);
        break;
    case SH_WAIT_NET:
        sh_buf_init(&refusal, SH_MIB); /* no rule speaks of tcp */
        sh_buf_add(&refusal, w->net.question.p, w->net.question.len);
        if (strcmp(w->net.kind, SH_POLL) == 0) { /* the end of standard input, or of time */
            sh_buf_u32(&refusal, 0);
            sh_buf_u8(&refusal, !w->net.for_stdin);
            sh_buf_u8(&refusal, w->net.for_stdin);
            sh_buf_u32(&refusal, 0);
        } else {
            sh_buf_u32(&refusal, sh_net_errno(EACCES));
        }
        item.kind = SH_TAPE_OBSERVED;
        item.number = w->call_number;
        item.time_us = w->clock_us;
        item.what = sh_str(w->net.kind);
        item.bytes = sh_buf_str(&refusal);
        sh_agent_push(a, &item);
        sh_buf_done(&refusal);
        break;
    case SH_WAIT_FILE:
        file_wait(a);
        break;
    case SH_WAIT_ROOM:
    case SH_WAIT_RATE:
    case SH_WAIT_JOURNAL:
        break;
    }
}

static void take(struct sh_agent *a, struct sh_hasher *h) {
    size_t n;
    const struct sh_effect *e = sh_agent_effects(a, &n);

    for (size_t i = 0; i < n; i++) {
        uint64_t facts[] = {(uint64_t)e[i].kind, (uint64_t)e[i].stream, e[i].number};

        sh_hasher_add(h, facts, sizeof(facts));
        sh_hasher_str(h, e[i].a);
        sh_hasher_str(h, e[i].b);
    }
    sh_agent_effects_taken(a);
}

/* Step it to its end, to a checkpoint, or to where it is cut off. */
static bool steps(struct sh_agent *a, unsigned cut, struct sh_hasher *h) {
    uint64_t seq = 100;
    unsigned reads = 0;

    for (unsigned i = 0; i < STEPS_MAX; i++) {
        enum sh_agent_status s = sh_agent_step(a);

        if (cut && i + 1 >= cut) {
            return false;
        }
        take(a, h);
        if (s == SH_AGENT_FINISHED || s == SH_AGENT_CHECKPOINT) {
            return true;
        }
        if (s == SH_AGENT_WAITING) {
            reads += sh_agent_wait(a)->kind == SH_WAIT_STDIN;
            answer(a, &seq, reads < 3);
        }
    }
    return false; /* a guest that sleeps for ever */
}

static void check_end(const struct sh_agent *a) {
    const struct sh_agent_end *end = sh_agent_end(a);

    SH_ASSERT(end->code != SH_E_INTERNAL);
    SH_ASSERT(!end->code || end->message[0]);
    SH_ASSERT(end->peak_memory_bytes <= SH_MEMORY_MAX);
    SH_ASSERT(sh_utf8_valid(sh_str(end->message)));
}

/* What a run came to: everything that a replay has to give again. False: it did not get there. */
static bool run_once(struct sh_module *module, struct fuzz_knobs k, uint64_t slice,
                     struct sh_hash *ret) {
    static const char *const argv[] = {"fuzz", "x", NULL}, *const env[] = {"K=V", NULL};
    struct sh_mount mount = {.host = mapped,
                             .guest = (char[]){"/m"},
                             .dir_perms = k.grants & 3,
                             .file_perms = k.grants >> 2 & 3,
                             .bytes = SH_MIB};
    struct sh_capabilities caps = {
        .mounts = &mount,
        .n_mounts = k.grants >> 4 & 1,
        .limits = {.fuel = k.grants & 0x80 ? FUEL_LITTLE : FUEL,
                   .memory_bytes = k.grants & 0x40 ? SH_MIB : 32 * SH_MIB,
                   .workspace_bytes = SH_MIB,
                   .output_bytes = 64 * SH_KIB}};
    struct sh_agent_config config = {.module = module,
                                     .argv = argv,
                                     .env = env,
                                     .input = SH_STR("{\"query\":1}"),
                                     .start_us = 1700000000000000,
                                     .caps = &caps,
                                     .workspace = workspace,
                                     .stdin_bytes = SH_STR("standard input"),
                                     .stdin_live = k.grants >> 5 & 1,
                                     .observe = true,
                                     .state = SH_STR("state")};
    struct sh_agent *a = NULL;
    struct sh_hasher h;
    struct sh_err err = {0};
    bool over;

    make();
    struct sh_hash before = picture();
    sh_hasher_init(&h);
    int r = sh_agent_new(sandbox(slice), &config, &a, &err);
    if (r < 0) {
        SH_ASSERT(err.code != SH_E_INTERNAL && err.message[0]);
        sh_hasher_str(&h, sh_str(err.message));
        over = true;
    } else if ((over = steps(a, k.cut, &h))) {
        const struct sh_agent_counters c = sh_agent_counters(a);
        struct sh_hash memory;

        check_end(a);
        sh_agent_memory_digest(a, &memory);
        sh_hasher_add(&h, memory.b, sizeof(memory.b));
        if (sh_trap_fuel_exact(sh_str(sh_agent_end(a)->trap))) {
            sh_hasher_add(&h, &c.fuel_used, sizeof(c.fuel_used));
        }
        sh_hasher_add(&h, &c.random_pos, sizeof(c.random_pos));
        sh_hasher_str(&h, sh_str(sh_agent_end(a)->message));
    }
    (void)sh_agent_free(a);
    sh_hasher_done(&h, ret);
    struct sh_hash after = picture();
    SH_ASSERT((k.grants & 0x10 && k.grants & 0x0a) || sh_hash_eq(&before, &after));
    check_around();
    clear();
    return over;
}

bool fuzz_run(struct sh_str wasm, struct fuzz_knobs knobs, bool valid) {
    struct sh_module *module = NULL;
    struct sh_hash first, second;
    struct sh_err err = {0};

    if (sh_module_load(sandbox(0), wasm, &module, &err) < 0) {
        SH_ASSERT(err.code == SH_E_MODULE || err.code == SH_E_IMPORT || err.code == SH_E_LIMIT ||
                  err.code == SH_E_COMPILE || err.code == SH_E_NOMEM);
        if (valid) {
            (void)fprintf(stderr, "refused: %s\n", err.message);
        }
        SH_ASSERT(err.message[0] && !valid);
        return false;
    }
    if (run_once(module, knobs, 50000, &first) && run_once(module, knobs, 700, &second)) {
        SH_ASSERT(sh_hash_eq(&first, &second));
    }
    sh_module_unref(module);
    return true;
}
