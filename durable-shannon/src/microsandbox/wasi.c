/* WASI preview 1: the table of its 46 functions, and those that need no descriptor.
 *
 * Each function checks all of its pointers before it does anything. A path or a descriptor leads to
 * a grant (vfs.h): the private workspace, rebuilt by replay and therefore fully derived, or a
 * mapped directory, whose answers are observations (wasi_tape.c). Devices are answered from memory.
 */
#include "microsandbox/wasi.h"

#include <signal.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/files.h"
#include "microsandbox/wasi_impl.h"

enum { RANDOM_CHUNK = 64 * 1024, RANDOM_TURN = 4 * 1024 * 1024 /* a few ms */ };

/* --- arguments and environment --------------------------------------------------------------- */

static void strings_size(const char *const *list, uint32_t *ret_n, uint32_t *ret_bytes) {
    uint32_t n = 0, bytes = 0;

    for (; list && list[n]; n++) {
        bytes += (uint32_t)strlen(list[n]) + 1;
    }
    *ret_n = n;
    *ret_bytes = bytes;
}

static int sizes_get(const char *const *list, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *at_n = mem_at(m, a[0], 4), *at_bytes = mem_at(m, a[1], 4);
    uint32_t n, bytes;

    if (!at_n || !at_bytes) {
        return E_FAULT;
    }
    strings_size(list, &n, &bytes);
    put32(at_n, n);
    put32(at_bytes, bytes);
    return E_OK;
}

static int strings_get(const char *const *list, const struct sh_mem *m, const uint64_t *a) {
    uint32_t n, bytes, at = arg32(a[1]);
    uint8_t *pointers, *text;

    strings_size(list, &n, &bytes);
    pointers = mem_at(m, a[0], (uint64_t)n * 4);
    text = mem_at(m, a[1], bytes);
    if (!pointers || !text) {
        return E_FAULT;
    }
    for (uint32_t i = 0; i < n; i++) {
        size_t len = strlen(list[i]) + 1;

        put32(pointers + (size_t)i * 4, at);
        memcpy(text, list[i], len);
        text += len;
        at += (uint32_t)len;
    }
    return E_OK;
}

static int args_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return strings_get(w->g->config->argv, m, a);
}

static int args_sizes_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return sizes_get(w->g->config->argv, m, a);
}

static int environ_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return strings_get(w->g->config->env, m, a);
}

static int environ_sizes_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    return sizes_get(w->g->config->env, m, a);
}

/* --- clocks, randomness, process ------------------------------------------------------------- */

enum { CLOCK_WASI_REALTIME = 0, CLOCK_WASI_LAST = 3 };

static int clock_res_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[1], 8);

    (void)w;
    if (arg32(a[0]) > CLOCK_WASI_LAST) {
        return E_INVAL;
    }
    if (!out) {
        return E_FAULT;
    }
    put64(out, 1000);
    return E_OK;
}

/* All clocks are the workflow's; those that do not count from 1970 count from its start. */
static int clock_time_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint8_t *out = mem_at(m, a[2], 8);
    uint64_t now;

    if (arg32(a[0]) > CLOCK_WASI_LAST) {
        return E_INVAL;
    }
    if (!out) {
        return E_FAULT;
    }
    now = (uint64_t)sh_guest_clock_ns(w->g);
    if (arg32(a[0]) != CLOCK_WASI_REALTIME) {
        now -= sh_wasi_start_ns(w);
    }
    put64(out, now);
    return E_OK;
}

/* Fuel does not see these bytes, so a large request is made in turns. */
static int random_get(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint64_t n = arg32(a[1]), *done = &w->g->call.a;
    uint64_t turn = n - *done < RANDOM_TURN ? n : *done + RANDOM_TURN;
    uint8_t *out = mem_at(m, a[0], n);

    if (!out) {
        return E_FAULT;
    }
    while (*done < turn) {
        uint64_t part = turn - *done < RANDOM_CHUNK ? turn - *done : RANDOM_CHUNK;

        sh_guest_random(w->g, out + *done, (size_t)part);
        *done += part;
    }
    return *done < n ? SH_CALL_AGAIN : E_OK;
}

static int proc_exit(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    int status = (int)arg32(a[0]);

    (void)m;
    if (!w->g->ended) {
        w->g->end.exit_status = status;
    }
    if (status) {
        return sh_guest_end(w->g, SH_E_EXIT, "the agent exited with status %d", status);
    }
    return sh_guest_end(w->g, SH_OK, "%s", "");
}

static const char *const signals[] = {
    "none",    "SIGHUP",    "SIGINT",  "SIGQUIT",  "SIGILL",  "SIGTRAP", "SIGABRT", "SIGBUS",
    "SIGFPE",  "SIGKILL",   "SIGUSR1", "SIGSEGV",  "SIGUSR2", "SIGPIPE", "SIGALRM", "SIGTERM",
    "SIGCHLD", "SIGCONT",   "SIGSTOP", "SIGTSTP",  "SIGTTIN", "SIGTTOU", "SIGURG",  "SIGXCPU",
    "SIGXFSZ", "SIGVTALRM", "SIGPROF", "SIGWINCH", "SIGPOLL", "SIGPWR",  "SIGSYS",
};

static int proc_raise(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    uint32_t n = arg32(a[0]);

    (void)m;
    if (n >= sizeof(signals) / sizeof(signals[0])) {
        return E_INVAL;
    }
    if (n == 0) {
        return E_OK;
    }
    return sh_guest_end(w->g, SH_E_TRAP, "the agent raised %s", signals[n]);
}

static int sched_yield_(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a) {
    (void)w;
    (void)m;
    (void)a;
    return E_OK;
}

/* --- life ------------------------------------------------------------------------------------ */

uint64_t sh_wasi_start_ns(const struct sh_wasi *w) {
    uint64_t us = w->g->config->start_us > 0 ? (uint64_t)w->g->config->start_us : 0;
    uint64_t ns;

    return __builtin_mul_overflow(us, 1000ULL, &ns) || ns > INT64_MAX ? INT64_MAX : ns;
}

int sh_wasi_new(struct sh_guest *g, struct sh_wasi **ret, struct sh_err *err) {
    struct sh_wasi *w = sh_new(struct sh_wasi);
    int rc;

    w->g = g;
    sh_buf_init(&w->record, WASI_RECORD_MAX);
    sh_buf_init(&w->stdin_chunk, SH_EVENT_BODY_MAX);
    sh_buf_init(&w->net.out, SH_NET_PIECE_MAX + 1);
    sh_vfs_space_init(&w->space, g->limits.workspace_bytes, sh_wasi_start_ns(w));
    w->redo = g->config->again || g->config->call_number > 0;
    rc = sh_wasi_mounts(w, err);
    if (rc) {
        sh_wasi_free(w);
        return rc;
    }
    *ret = w;
    return 0;
}

struct sh_wasi *sh_wasi_free(struct sh_wasi *w) {
    if (!w) {
        return NULL;
    }
    w->flight = sh_file_drop(w->flight);
    if (w->copying.busy) {
        close(w->copying.host.fd);
    }
    for (size_t i = 0; i < w->cap_fds; i++) {
        sh_desc_free(w, w->fds[i]);
    }
    sh_free(w->fds);
    for (size_t i = 0; i < w->n_grants; i++) {
        if (w->grants[i].root >= 0) {
            close(w->grants[i].root);
        }
    }
    sh_free(w->grants);
    sh_vfs_space_done(&w->space);
    sh_channel_done(w, &w->channel);
    sh_buf_done(&w->record);
    sh_buf_done(&w->kept.bytes);
    sh_buf_done(&w->stdin_chunk);
    sh_buf_done(&w->given);
    sh_buf_done(&w->net.out);
    sh_free(w->iov);
    sh_free(w->scratch);
    sh_free(w);
    return NULL;
}

#define F(name, params, fn) {#name, params, true, false, fn}
#define WAITS(name, params, fn) {#name, params, true, true, fn}
const struct sh_wasi_function sh_wasi_functions[] = {
    F(args_get, "ii", args_get),
    F(args_sizes_get, "ii", args_sizes_get),
    F(environ_get, "ii", environ_get),
    F(environ_sizes_get, "ii", environ_sizes_get),
    F(clock_res_get, "ii", clock_res_get),
    F(clock_time_get, "iIi", clock_time_get),
    F(fd_advise, "iIIi", sh_wasi_fd_advise),
    WAITS(fd_allocate, "iII", sh_wasi_fd_allocate),
    F(fd_close, "i", sh_wasi_fd_close),
    WAITS(fd_datasync, "i", sh_wasi_fd_datasync),
    F(fd_fdstat_get, "ii", sh_wasi_fd_fdstat_get),
    F(fd_fdstat_set_flags, "ii", sh_wasi_fd_fdstat_set_flags),
    F(fd_fdstat_set_rights, "iII", sh_wasi_fd_fdstat_set_rights),
    WAITS(fd_filestat_get, "ii", sh_wasi_fd_filestat_get),
    WAITS(fd_filestat_set_size, "iI", sh_wasi_fd_filestat_set_size),
    WAITS(fd_filestat_set_times, "iIIi", sh_wasi_fd_filestat_set_times),
    WAITS(fd_pread, "iiiIi", sh_wasi_fd_pread),
    F(fd_prestat_get, "ii", sh_wasi_fd_prestat_get),
    F(fd_prestat_dir_name, "iii", sh_wasi_fd_prestat_dir_name),
    WAITS(fd_pwrite, "iiiIi", sh_wasi_fd_pwrite),
    WAITS(fd_read, "iiii", sh_wasi_fd_read),
    WAITS(fd_readdir, "iiiIi", sh_wasi_fd_readdir),
    F(fd_renumber, "ii", sh_wasi_fd_renumber),
    WAITS(fd_seek, "iIii", sh_wasi_fd_seek),
    WAITS(fd_sync, "i", sh_wasi_fd_sync),
    F(fd_tell, "ii", sh_wasi_fd_tell),
    WAITS(fd_write, "iiii", sh_wasi_fd_write),
    WAITS(path_create_directory, "iii", sh_wasi_path_create_directory),
    WAITS(path_filestat_get, "iiiii", sh_wasi_path_filestat_get),
    WAITS(path_filestat_set_times, "iiiiIIi", sh_wasi_path_filestat_set_times),
    WAITS(path_link, "iiiiiii", sh_wasi_path_link),
    WAITS(path_open, "iiiiiIIii", sh_wasi_path_open),
    WAITS(path_readlink, "iiiiii", sh_wasi_path_readlink),
    WAITS(path_remove_directory, "iii", sh_wasi_path_remove_directory),
    WAITS(path_rename, "iiiiii", sh_wasi_path_rename),
    WAITS(path_symlink, "iiiii", sh_wasi_path_symlink),
    WAITS(path_unlink_file, "iii", sh_wasi_path_unlink_file),
    WAITS(poll_oneoff, "iiii", sh_wasi_poll_oneoff),
    {"proc_exit", "i", false, false, proc_exit},
    F(proc_raise, "i", proc_raise),
    F(sched_yield, "", sched_yield_),
    WAITS(random_get, "ii", random_get),
    F(sock_accept, "iii", sh_wasi_sock_accept),
    WAITS(sock_recv, "iiiiii", sh_wasi_sock_recv),
    WAITS(sock_send, "iiiii", sh_wasi_sock_send),
    WAITS(sock_shutdown, "ii", sh_wasi_sock_shutdown),
};
const size_t sh_wasi_functions_n = sizeof(sh_wasi_functions) / sizeof(sh_wasi_functions[0]);
