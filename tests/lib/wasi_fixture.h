/* An agent's WASI without WebAssembly, for tests: memory, a guest, a workspace and a mapped
 * directory, all in a new temporary directory. Calls are made by name; `F->m` is guest memory. */
#ifndef SH_TESTS_WASI_FIXTURE_H
#define SH_TESTS_WASI_FIXTURE_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "check_main.h"
#include "microsandbox/files.h"
#include "microsandbox/wasi_impl.h"

enum {
    FX_MEM = 4 * 1024 * 1024,
    FX_PATH = 1024,   /* where path arguments are put */
    FX_PATH2 = 16384, /* the second one */
    FX_OUT = 32768,   /* results */
    FX_IOV = 40960,   /* vectors */
    FX_DATA = 65536,  /* bytes to read and write */
    FX_MOUNT_FD = 3,  /* with a mapped directory: it, then / and /dev */
};
#define FX_RW (R_FD_READ | R_FD_WRITE)

struct fx {
    char dir[64], workspace[96], mapped[96];
    uint8_t *m;
    struct sh_mem mem;
    struct sh_mount mount[2];
    struct sh_capabilities caps;
    struct sh_agent_config config;
    struct sh_guest g;
    struct sh_wasi *w;
    bool open;
    void (*room)(struct fx *f); /* takes the effects when a call waits for room */
    void *user;
};

static inline void fx_dirs(struct fx *f) {
    const char *tmp = getenv("TMPDIR");

    memset(f, 0, sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "%s/shannon-wasi.XXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    (void)snprintf(f->workspace, sizeof(f->workspace), "%s/work", f->dir);
    (void)snprintf(f->mapped, sizeof(f->mapped), "%s/mapped", f->dir);
    ck_assert_int_eq(mkdir(f->workspace, 0700), 0);
    ck_assert_int_eq(mkdir(f->mapped, 0700), 0);
    f->m = sh_zalloc(FX_MEM);
    f->mem = (struct sh_mem){f->m, FX_MEM};
    f->config.start_us = 1700000000000000;
    f->config.workspace = f->workspace;
    f->config.caps = &f->caps;
}

static inline void fx_start(struct fx *f) {
    struct sh_err err = {0};

#ifdef FX_POOL
    f->config.files = sh_files_new(0);
#endif
    sh_guest_init(&f->g, &f->config);
    sh_assert_ok(sh_wasi_new(&f->g, &f->w, &err), &err);
#ifdef FX_POOL
    for (size_t i = 0; i < f->w->n_grants; i++) {
        f->w->grants[i].local = false; /* nothing is quick: all goes to the pool */
    }
#endif
    f->open = true;
}

static inline void fx_stop(struct fx *f) {
    if (f->open) {
        sh_wasi_free(f->w);
        sh_guest_done(&f->g);
        f->config.files = sh_files_free(f->config.files);
        f->open = false;
    }
}

/* A private directory only: / is descriptor 3, /dev is 4. */
static inline void fx_plain(struct fx *f) {
    fx_dirs(f);
    fx_start(f);
}

/* And a mapped directory /m with these permissions: descriptor 3. */
static inline void fx_map(struct fx *f, unsigned dir_perms, unsigned file_perms, bool observe) {
    f->mount[0] = (struct sh_mount){.host = f->mapped,
                                    .guest = sh_strdup("/m"),
                                    .dir_perms = dir_perms,
                                    .file_perms = file_perms,
                                    .bytes = SH_MIB};
    f->caps.mounts = f->mount;
    f->caps.n_mounts = 1;
    f->config.observe = observe;
}

static inline void fx_done(struct fx *f) {
    char command[160];

    fx_stop(f);
    sh_free(f->m);
    sh_free(f->mount[0].guest);
    sh_free(f->mount[1].guest);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", f->dir);
    ck_assert_int_eq(system(command), 0);
}

static inline void fx_file_over(void *arg) {
    atomic_store((atomic_bool *)arg, true);
}

/* One step of a call: an errno, PENDING or END. `again` goes on with a call that was pending. */
static inline int fx_step_once(struct fx *f, bool again, const char *name, const uint64_t *a) {
    if (!again) {
        memset(&f->g.call, 0, sizeof(f->g.call));
    }
    for (size_t i = 0; i < sh_wasi_functions_n; i++) {
        if (strcmp(sh_wasi_functions[i].name, name) == 0) {
            int rc = sh_wasi_functions[i].fn(f->w, &f->mem, a);

            ck_assert_msg(rc != SH_CALL_PENDING || sh_wasi_functions[i].may_wait, "%s", name);
            return rc;
        }
    }
    ck_abort_msg("no function %s", name);
    return -1;
}

/* Waiting for the pool is no step of its own: the agent of a test has nothing else to do. */
static inline int fx_step(struct fx *f, bool again, const char *name, const uint64_t *a) {
    int rc = fx_step_once(f, again, name, a);

    while (rc == SH_CALL_PENDING && f->g.wait.kind == SH_WAIT_FILE) {
        atomic_bool over = false;

        if (!sh_wasi_file_wait(f->w, fx_file_over, &over)) {
            while (!atomic_load(&over)) {
                usleep(50);
            }
        }
        rc = fx_step_once(f, true, name, a);
    }
    return rc;
}

/* A call whose only wait may be for room. */
#define fx_call(f, name, ...) fx_call_((f), (name), (const uint64_t[9]){__VA_ARGS__})
static inline int fx_call_(struct fx *f, const char *name, const uint64_t *a) {
    int rc = fx_step(f, false, name, a);

    while (!f->g.checkpointed &&
           (rc == SH_CALL_AGAIN || (rc == SH_CALL_PENDING && f->g.wait.kind == SH_WAIT_ROOM))) {
        (void)sh_guest_line_read(&f->g);
        if (f->room) {
            f->room(f);
        }
        sh_guest_effects_taken(&f->g);
        rc = fx_step(f, true, name, a);
    }
    return rc;
}

static inline uint32_t fx_u32(struct fx *f, size_t at) {
    return get32(f->m + at);
}
static inline uint64_t fx_u64(struct fx *f, size_t at) {
    return get64(f->m + at);
}

static inline uint64_t fx_put(struct fx *f, size_t at, const char *s) {
    memcpy(f->m + at, s, strlen(s));
    return strlen(s);
}

/* path_open; the descriptor, or -errno. */
static inline int fx_open(struct fx *f, int dir, const char *path, unsigned oflags,
                          uint64_t rights) {
    uint64_t n = fx_put(f, FX_PATH, path);
    int rc = fx_call(f, "path_open", (uint64_t)dir, 1, FX_PATH, n, oflags, rights, 0, 0, FX_OUT);

    return rc ? -rc : (int)fx_u32(f, FX_OUT);
}
static inline int fx_open_nofollow(struct fx *f, int dir, const char *path, unsigned oflags,
                                   uint64_t rights) {
    uint64_t n = fx_put(f, FX_PATH, path);
    int rc = fx_call(f, "path_open", (uint64_t)dir, 0, FX_PATH, n, oflags, rights, 0, 0, FX_OUT);

    return rc ? -rc : (int)fx_u32(f, FX_OUT);
}

/* One-path calls: create_directory, remove_directory, unlink_file. */
static inline int fx_path(struct fx *f, const char *name, int dir, const char *path) {
    return fx_call(f, name, (uint64_t)dir, FX_PATH, fx_put(f, FX_PATH, path));
}

static inline int fx_rename(struct fx *f, int from_dir, const char *from, int to_dir,
                            const char *to) {
    return fx_call(f, "path_rename", (uint64_t)from_dir, FX_PATH, fx_put(f, FX_PATH, from),
                   (uint64_t)to_dir, FX_PATH2, fx_put(f, FX_PATH2, to));
}

static inline int fx_link(struct fx *f, int from_dir, const char *from, int to_dir,
                          const char *to) {
    return fx_call(f, "path_link", (uint64_t)from_dir, 0, FX_PATH, fx_put(f, FX_PATH, from),
                   (uint64_t)to_dir, FX_PATH2, fx_put(f, FX_PATH2, to));
}

static inline int fx_symlink(struct fx *f, const char *target, int dir, const char *path) {
    return fx_call(f, "path_symlink", FX_PATH2, fx_put(f, FX_PATH2, target), (uint64_t)dir, FX_PATH,
                   fx_put(f, FX_PATH, path));
}

/* path_filestat_get into FX_OUT. */
static inline int fx_stat(struct fx *f, int dir, const char *path, bool follow) {
    return fx_call(f, "path_filestat_get", (uint64_t)dir, follow, FX_PATH, fx_put(f, FX_PATH, path),
                   FX_OUT);
}

static inline void fx_iov(struct fx *f, size_t at, uint32_t n) {
    put32(f->m + FX_IOV, (uint32_t)at);
    put32(f->m + FX_IOV + 4, n);
}

/* Bytes written or read, or -errno. */
static inline int fx_write(struct fx *f, int fd, const char *s) {
    int rc;

    fx_iov(f, FX_DATA, (uint32_t)fx_put(f, FX_DATA, s));
    rc = fx_call(f, "fd_write", (uint64_t)fd, FX_IOV, 1, FX_OUT);
    return rc > 0 ? -rc : rc < 0 ? rc : (int)fx_u32(f, FX_OUT);
}
static inline int fx_read(struct fx *f, int fd, uint32_t n) {
    int rc;

    fx_iov(f, FX_DATA, n);
    rc = fx_call(f, "fd_read", (uint64_t)fd, FX_IOV, 1, FX_OUT);
    return rc > 0 ? -rc : rc < 0 ? rc : (int)fx_u32(f, FX_OUT);
}

static inline bool fx_data_is(struct fx *f, const char *s) {
    return memcmp(f->m + FX_DATA, s, strlen(s)) == 0;
}

static inline int fx_close(struct fx *f, int fd) {
    return fx_call(f, "fd_close", (uint64_t)fd);
}

/* A file of the host below f->dir. */
static inline void fx_host_file(struct fx *f, const char *path, const char *text) {
    char name[256];
    FILE *file;

    (void)snprintf(name, sizeof(name), "%s/%s", f->dir, path);
    file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

#endif
