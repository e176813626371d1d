/* WASI calls with arguments that nobody sane would pass: the input is a program of calls over
 * 64 KiB of memory, a private directory and a recorded mapped one. Nothing may crash, no call may
 * write outside of the memory it was given (its end is followed by poisoned bytes under ASan), and
 * nothing may appear in the directory around the two.
 *
 * Input: records of a byte that picks the function, then for each parameter a byte that says how to
 * make it: below 0x80 a small number, else a little-endian number of 2, 4 or 8 bytes that follow.
 * Function byte 0xff: the next byte says how many bytes go to memory, at a 2-byte address. */
#include <dirent.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi.h"

enum { MEMORY = 65536, CALLS_MAX = 256, RETRIES_MAX = 4 };

struct input {
    const uint8_t *p, *end;
};

static uint64_t number(struct input *in, unsigned bytes) {
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes && in->p < in->end; i++) {
        v |= (uint64_t)*in->p++ << (8 * i);
    }
    return v;
}

static uint64_t argument(struct input *in) {
    uint8_t how = (uint8_t)number(in, 1);

    return how < 0x80 ? how : number(in, 2U << (how & 3) > 8 ? 8 : 2U << (how & 3));
}

static char dir[64], workspace[96], mapped[96];

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

static void make(void) {
    if (!dir[0]) {
        (void)snprintf(dir, sizeof(dir), "%s/shannon-fuzz.XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        SH_ASSERT(mkdtemp(dir));
        (void)snprintf(workspace, sizeof(workspace), "%s/w", dir);
        (void)snprintf(mapped, sizeof(mapped), "%s/m", dir);
        (void)atexit(leave);
    }
    SH_ASSERT(mkdir(workspace, 0700) == 0 && mkdir(mapped, 0700) == 0);
}

/* Only the two directories may be there. */
static void check(void) {
    DIR *d = opendir(dir);
    int n = 0;

    SH_ASSERT(d);
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    SH_ASSERT(n == 2);
}

static void call(struct sh_guest *g, struct sh_wasi *w, struct sh_mem *m, struct input *in,
                 uint8_t which) {
    const struct sh_wasi_function *f = &sh_wasi_functions[which % sh_wasi_functions_n];
    uint64_t a[9] = {0};
    int rc;

    for (size_t i = 0; f->params[i]; i++) {
        a[i] = argument(in);
        if (f->params[i] == 'i') {
            a[i] = (uint32_t)a[i];
        }
    }
    memset(&g->call, 0, sizeof(g->call));
    for (int i = 0; i < RETRIES_MAX; i++) {
        rc = f->fn(w, m, a);
        SH_ASSERT(rc == SH_CALL_PENDING || rc == SH_CALL_END || (rc >= 0 && rc <= 76));
        if (rc != SH_CALL_PENDING) {
            return;
        }
        SH_ASSERT(f->may_wait);
        g->woken = g->wait.kind == SH_WAIT_SLEEP;
        if (g->wait.kind == SH_WAIT_ACTIVITY) {
            sh_guest_push(g, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                                    .seq = (uint64_t)g->wait.handles[0],
                                                    .number = (uint64_t)g->wait.handles[0],
                                                    .bytes = SH_STR("{}")});
        }
        sh_guest_effects_taken(g);
    }
}

static void run(struct sh_guest *g, struct sh_wasi *w, struct sh_mem *m, struct input *in) {
    for (int calls = 0; in->p < in->end && calls < CALLS_MAX && !g->ended; calls++) {
        uint8_t which = *in->p++;

        if (which == 0xff) {
            size_t n = (size_t)number(in, 1), at = (size_t)number(in, 2);

            n = n < (size_t)(in->end - in->p) ? n : (size_t)(in->end - in->p);
            n = n < MEMORY - at ? n : MEMORY - at;
            memcpy(m->base + at, in->p, n);
            in->p += n;
        } else {
            call(g, w, m, in, which);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct sh_mount mount = {
        .host = mapped, .guest = (char[]){"/m"}, .dir_perms = 3, .file_perms = 3, .bytes = SH_MIB};
    struct sh_capabilities caps = {.mounts = &mount,
                                   .n_mounts = 1,
                                   .limits = {.workspace_bytes = SH_MIB, .output_bytes = SH_MIB}};
    static const char *const argv[] = {"fuzz", "x", NULL};
    struct sh_agent_config config = {.caps = &caps,
                                     .argv = argv,
                                     .workspace = workspace,
                                     .stdin_bytes = SH_STR("standard input"),
                                     .observe = true};
    struct sh_mem m = {sh_zalloc(MEMORY), MEMORY};
    struct sh_guest g;
    struct sh_wasi *w;
    struct sh_err err = {0};

    make();
    sh_guest_init(&g, &config);
    SH_ASSERT(sh_wasi_new(&g, &w, &err) == 0);
    run(&g, w, &m, &in);
    sh_wasi_free(w);
    sh_guest_done(&g);
    sh_free(m.base);
    check();
    clear();
    return 0;
}
