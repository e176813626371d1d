/* Private to wasi*.c: what the calls share. */
#ifndef SH_WASI_IMPL_H
#define SH_WASI_IMPL_H

#include <sys/uio.h>

#include "microsandbox/vfs_call.h"
#include "microsandbox/wasi_abi.h"
#include "microsandbox/wasi_desc.h"

enum {
    WASI_IO_MAX = 16 * 1024 * 1024,     /* bytes of one file call: it cannot be interrupted */
    WASI_READ_MAX = 1024 * 1024,        /* bytes of one read that is recorded */
    WASI_SEEN_MAX = 64 * 1024,          /* bytes of one piece of input or output */
    WASI_RECORD_MAX = 4 * 1024 * 1024,  /* one observation: half an event body */
    WASI_COPIES_MAX = 16 * 1024 * 1024, /* copied or read ahead into memory, for all descriptors */
    WASI_AHEAD_MAX = 512 * 1024,        /* read ahead of one file: a file of its own, and a sync */
    WASI_LISTINGS_MAX = 32 * 1024 * 1024, /* listings kept for all descriptors, but for one */
};

enum { SH_NET_HOST_BYTES = 256 };

struct sh_wasi {
    struct sh_guest *g;
    struct sh_desc **fds;
    size_t cap_fds, n_open;
    struct sh_vfs_grant *grants; /* the mounts, then the workspace */
    size_t n_grants;
    struct sh_vfs_grant *workspace; /* or NULL */
    struct sh_vfs_node *root_node;  /* of the workspace */
    struct sh_vfs_space space;
    struct sh_file *flight; /* the file call that the pool has; see wasi_file.c */
    struct sh_buf record;   /* question and answer of the observation under way */
    struct {                /* a large answer, kept beside the journal; see wasi_kept.c */
        struct sh_buf bytes;
        size_t at;          /* keeping: where the answer begins behind its question */
        bool busy, fetched; /* being kept; here for the recall to come */
        uint64_t used;      /* bytes kept so far */
    } kept;
    struct { /* a file opened, its copy under way; see wasi_copy.c */
        bool busy;
        struct sh_vfs_opened host;
    } copying;
    struct { /* see wasi_room.c */
        uint64_t writes, unlooked;
    } room;
    struct sh_buf given; /* written to /dev/output, while it is open */
    bool giving;
    size_t copies; /* bytes held by COPY_BYTES, and read ahead */
    struct iovec *iov;
    size_t cap_iov;
    uint8_t *scratch; /* WASI_SEEN_MAX bytes */
    size_t stdin_at;
    struct sh_buf stdin_chunk;
    bool stdin_eof;
    struct sh_channel channel; /* of those who open /dev/shannon only to read or only to write */
    size_t listings;           /* bytes held by listings */
    uint64_t tick;
    struct {          /* connections; see wasi_net.c */
        bool granted; /* some rule speaks of tcp: /net is there */
        size_t n_open;
        uint64_t sent;  /* bytes, by all of them */
        uint64_t polls; /* that suspended */
        struct sh_buf out;
        uint64_t poll[SH_NET_CONNECTIONS_MAX];
        char host[SH_NET_HOST_BYTES];
    } net;
    bool redo; /* a crash may have hidden that the next changes were made; see wasi_tape.c */
};

typedef int sh_wasi_fn(struct sh_wasi *w, const struct sh_mem *m, const uint64_t *a);

/* --- wasi.c --- */
uint64_t sh_wasi_start_ns(const struct sh_wasi *w); /* the workflow clock at the start */

/* --- wasi_tape.c --- */
/* The question of an observation: an empty buffer to describe the call in. */
struct sh_buf *sh_wasi_question(struct sh_wasi *w);
/* 1: the answer is on the tape; 0: look, append the answer to the question, then call observed;
 * PENDING or END else. An answer begins with a u32 errno. */
int sh_wasi_recall(struct sh_wasi *w, struct sh_vfs_grant *grant, const char *kind, size_t room,
                   struct sh_reader *ret);
/* Records what was appended since recall; 1 with the answer in *ret, or END. */
int sh_wasi_observed(struct sh_wasi *w, struct sh_vfs_grant *grant, const char *kind,
                     struct sh_reader *ret);
void sh_wasi_trim_record(struct sh_wasi *w);             /* give back the room of a large record */
int sh_wasi_broken(struct sh_wasi *w, const char *kind); /* the tape's answer makes no sense: END */
/* The host's descriptor behind `d`, opened now if a replay left it out; or END. */
int sh_wasi_host(struct sh_wasi *w, struct sh_desc *d);
/* WASI errno of a host's (or SH_VFS_E_*), or END where the host failed us. */
int sh_wasi_errno(struct sh_wasi *w, const struct sh_vfs_grant *grant, int host);
/* The outcome of a change made live: "already so" after a crash is success. */
int sh_wasi_redone(struct sh_wasi *w, const struct sh_vfs_grant *grant, int rc, bool already_so);
void sh_wasi_put_stat(struct sh_buf *b, const struct sh_vfs_stat *st);
void sh_wasi_get_stat(struct sh_reader *r, struct sh_vfs_stat *st);

/* --- wasi_room.c --- */
/* Before n bytes are put into the private directory: E_OK, E_NOSPC, PENDING or END. */
int sh_wasi_room(struct sh_wasi *w, size_t n);

/* --- wasi_kept.c --- */
bool sh_wasi_keeps(const struct sh_wasi *w, size_t answer); /* is it large enough? */
/* Keep the record's answer, which begins at `at`, and observe it; then as observed. After PENDING
 * the next recall goes on with keep_end. */
int sh_wasi_keep(struct sh_wasi *w, const char *kind, size_t at, struct sh_reader *ret);
int sh_wasi_keep_end(struct sh_wasi *w, const char *kind, struct sh_reader *ret);
/* Before a recall: fetch what the tape's next answer names, if it does. 0, PENDING or END. */
int sh_wasi_kept_fetch(struct sh_wasi *w, const char *kind);
void sh_wasi_kept_take(struct sh_wasi *w, struct sh_str *s, struct sh_reader *ret);

int sh_wasi_kept_failed(struct sh_wasi *w, const char *what, const char *path, int error); /* END */

/* --- wasi_copy.c --- */
/* Is a file that was just opened, or is being copied, to be copied? */
bool sh_wasi_copies(const struct sh_wasi *w, const struct sh_vfs_grant *g,
                    const struct sh_vfs_how *how, const struct sh_vfs_stat *st);
/* Copy it: errno with ret->kind set (NONE: too long), and *st as of the copy; PENDING or END. */
int sh_wasi_copy(struct sh_wasi *w, struct sh_vfs_grant *g, struct sh_vfs_opened *host,
                 struct sh_vfs_stat *st, struct sh_copy *ret);
/* How an open is recorded, and what it says of the copy. */
const char *sh_wasi_copy_kind(const struct sh_copy *c);
const char *
sh_wasi_copy_next(struct sh_wasi *w); /* the kind that the tape has next, "open" if none */
void sh_wasi_copy_put(struct sh_buf *b, const struct sh_copy *c);
void sh_wasi_copy_get(struct sh_wasi *w, const char *kind, struct sh_reader *r,
                      struct sh_copy *ret);
/* As a read of the file: errno, PENDING or END; at most `bytes` into w->iov. */
int sh_wasi_copy_read(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes, uint64_t offset,
                      uint32_t *ret);
/* The guest opened this file to change it: from now on those who read it see the file itself. */
void sh_wasi_copies_end(struct sh_wasi *w, const struct sh_vfs_grant *g, uint64_t ino);
/* Does the guest have this file open so that it may change it? */
bool sh_wasi_open_to_change(const struct sh_wasi *w, const struct sh_vfs_grant *g, uint64_t ino);
void sh_wasi_give(struct sh_wasi *w, size_t n, const char *from); /* fills n parts of w->iov */
void sh_copy_done(struct sh_wasi *w, struct sh_copy *c);

/* --- wasi_ahead.c --- */
/* Is this read of a file that is recorded one of those that follow each other? */
bool sh_wasi_reads_ahead(struct sh_wasi *w, const struct sh_desc *d, size_t bytes, uint64_t offset);
/* It is: errno, PENDING or END; at most `bytes` into w->iov. */
int sh_wasi_read_ahead(struct sh_wasi *w, struct sh_desc *d, size_t n, size_t bytes,
                       uint64_t offset, uint32_t *ret);
void sh_ahead_done(struct sh_wasi *w, struct sh_ahead *h);

/* --- wasi_file.c --- */
/* Carry out a call on files: 0 with the answer in c; PENDING; or END, the host failed us. The same
 * call is made again with the same c after PENDING. */
int sh_wasi_perform(struct sh_wasi *w, struct sh_vfs_call *c);
struct sh_vfs_call sh_wasi_call(struct sh_vfs_grant *grant, enum sh_vfs_op op, int dir,
                                const char *path);
void sh_wasi_close_host(struct sh_wasi *w, const struct sh_vfs_grant *grant, int fd);

/* --- wasi_desc.c --- */
struct sh_desc *sh_wasi_desc(const struct sh_wasi *w, uint64_t fd); /* or NULL */
/* The lowest free number, or -1; takes d, and frees it when it fails. */
int sh_wasi_install(struct sh_wasi *w, struct sh_desc *d);
struct sh_desc *sh_desc_new(enum sh_desc_kind kind);
void sh_desc_free(struct sh_wasi *w, struct sh_desc *d);
void sh_desc_file_rights(struct sh_desc *d, bool read, bool write);
void sh_desc_dir_rights(struct sh_desc *d);
int sh_wasi_fdstat(struct sh_wasi *w, struct sh_desc *d, struct sh_vfs_stat *ret);
void sh_wasi_put_filestat(uint8_t *at, uint32_t dev, const struct sh_vfs_stat *st);
extern sh_wasi_fn sh_wasi_fd_close, sh_wasi_fd_renumber, sh_wasi_fd_fdstat_get,
    sh_wasi_fd_fdstat_set_flags, sh_wasi_fd_fdstat_set_rights, sh_wasi_fd_filestat_get,
    sh_wasi_fd_prestat_get, sh_wasi_fd_prestat_dir_name;

/* --- wasi_mount.c --- */
int sh_wasi_mounts(struct sh_wasi *w, struct sh_err *err);

/* --- wasi_io.c --- */
/* The guest's vector, checked, in w->iov; at most WASI_IO_MAX bytes of it. errno. */
int sh_wasi_vectors(struct sh_wasi *w, const struct sh_mem *m, uint64_t ptr, uint64_t count,
                    size_t *ret_n, size_t *ret_bytes);
size_t sh_wasi_cut(struct sh_wasi *w, size_t n, size_t bytes); /* w->iov; the parts left */
/* The host's part of a read, into n parts of `iov`, `bytes` together. errno, PENDING or END. */
int sh_wasi_read_host(struct sh_wasi *w, struct sh_desc *d, struct iovec *iov, size_t n,
                      size_t bytes, uint64_t offset, size_t *ret);
extern sh_wasi_fn sh_wasi_fd_read, sh_wasi_fd_pread, sh_wasi_fd_write, sh_wasi_fd_pwrite,
    sh_wasi_fd_seek, sh_wasi_fd_tell;

/* --- wasi_size.c --- */
extern sh_wasi_fn sh_wasi_fd_advise, sh_wasi_fd_allocate, sh_wasi_fd_filestat_set_size,
    sh_wasi_fd_filestat_set_times, sh_wasi_fd_sync, sh_wasi_fd_datasync;
/* The times to set, from the flags; E_INVAL when they contradict each other. */
int sh_wasi_times(struct sh_wasi *w, uint64_t atim, uint64_t mtim, uint64_t flags, uint64_t ret[2]);

/* --- wasi_dir.c --- */
extern sh_wasi_fn sh_wasi_fd_readdir;
void sh_desc_forget_listing(struct sh_wasi *w, struct sh_desc *d);

/* --- wasi_dev.c --- */
int sh_wasi_dev_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret);
int sh_wasi_dev_write(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret);

/* wasi_given.c: /dev/output. An errno or SH_CALL_END; after a close it is closed, whatever it said
 */
int sh_wasi_given_open(struct sh_wasi *w);
int sh_wasi_given_write(struct sh_wasi *w, size_t n_iov, uint32_t *ret);
int sh_wasi_given_close(struct sh_wasi *w);
int sh_wasi_dev_open(struct sh_wasi *w, const char *path, uint64_t rights, unsigned oflags,
                     uint16_t flags, struct sh_desc **ret);
int sh_wasi_dev_stat(const char *path, struct sh_vfs_stat *ret);
void sh_wasi_dev_desc_stat(const struct sh_desc *d, struct sh_vfs_stat *ret);
void sh_wasi_dev_list(struct sh_buf *out, uint32_t *ret_n);
void sh_channel_done(struct sh_wasi *w, struct sh_channel *c);
/* Wait for the next result of a channel and put it into `out`: errno, PENDING or END. */
int sh_channel_wait(struct sh_wasi *w, struct sh_channel *c);
/* Fill the chunk of a live stdin: errno, PENDING or END. */
int sh_wasi_stdin_fetch(struct sh_wasi *w);
int sh_wasi_stdin_take(struct sh_wasi *w, struct sh_str chunk); /* empty: its end. E_OK or END */
size_t sh_wasi_stdin_left(const struct sh_wasi *w);             /* bytes at hand */

/* --- wasi_net.c --- */
/* What a path below /net names: /, tcp, tcp/HOST, tcp/HOST/PORT. */
struct sh_net_path {
    enum { SH_NET_ROOT, SH_NET_TCP, SH_NET_HOST, SH_NET_TARGET } kind;
    char host[SH_NET_HOST_BYTES];
    uint16_t port;
};
int sh_net_path(const char *path, struct sh_net_path *ret); /* errno */
int sh_wasi_net_open(struct sh_wasi *w, const char *path, uint64_t rights, unsigned oflags,
                     uint16_t flags, struct sh_desc **ret);
int sh_wasi_net_read(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, uint32_t *ret);
int sh_wasi_net_write(struct sh_wasi *w, struct sh_desc *d, size_t n_iov, size_t bytes,
                      uint32_t *ret);
void sh_wasi_net_closed(struct sh_wasi *w, const struct sh_desc *d); /* the guest closes it */
void sh_net_conn_free(struct sh_net_conn *c);
int sh_wasi_net_stat(const char *path, struct sh_vfs_stat *ret);
void sh_wasi_net_desc_stat(const struct sh_desc *d, struct sh_vfs_stat *ret);
uint32_t sh_wasi_net_dev(void); /* st_dev of all that is there */
void sh_wasi_net_list(struct sh_buf *out, uint32_t *ret_n);
size_t sh_net_left(const struct sh_net_conn *c); /* bytes at hand */
bool sh_net_readable(const struct sh_net_conn *c);
struct sh_net_waits {
    const char *kind; /* SH_NET_POLL, or SH_POLL */
    struct sh_net_conn *const *conns;
    size_t n;
    bool for_stdin;
    uint64_t timeout_ns; /* UINT64_MAX: for ever */
};
/* Wait until one of these is readable, or its time is over. errno, PENDING or END. */
int sh_wasi_net_poll(struct sh_wasi *w, const struct sh_net_waits *what, bool *ret_timed_out);
extern sh_wasi_fn sh_wasi_sock_accept, sh_wasi_sock_recv, sh_wasi_sock_send, sh_wasi_sock_shutdown;

/* --- wasi_path.c, wasi_open.c --- */
/* A path argument, resolved to where it starts. */
struct sh_wasi_at {
    struct sh_desc *dir; /* DIR, or NULL: below /dev, or /net */
    bool net;
    const char *path; /* in buf */
    char buf[SH_PATH_MAX + 1];
};
/* needs: true when the guest's pointers are known good. errno or 0. */
int sh_wasi_at(struct sh_wasi *w, const struct sh_mem *m, uint64_t fd, uint64_t ptr, uint64_t len,
               struct sh_wasi_at *ret);
char *sh_wasi_join(const struct sh_desc *dir, const char *path); /* or NULL: too long */
extern sh_wasi_fn sh_wasi_path_open;
extern sh_wasi_fn sh_wasi_path_create_directory, sh_wasi_path_filestat_get,
    sh_wasi_path_filestat_set_times, sh_wasi_path_link, sh_wasi_path_readlink,
    sh_wasi_path_remove_directory, sh_wasi_path_rename, sh_wasi_path_symlink,
    sh_wasi_path_unlink_file;

/* --- wasi_poll.c --- */
extern sh_wasi_fn sh_wasi_poll_oneoff;

#endif
