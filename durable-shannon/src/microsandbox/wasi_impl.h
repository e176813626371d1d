/* Private to wasi*.c: what the calls share. */
#ifndef SH_WASI_IMPL_H
#define SH_WASI_IMPL_H

#include <sys/uio.h>

#include "microsandbox/vfs.h"
#include "microsandbox/wasi_abi.h"
#include "microsandbox/wasi_desc.h"

enum {
    WASI_IO_MAX = 16 * 1024 * 1024,       /* bytes of one file call: it cannot be interrupted */
    WASI_READ_MAX = 1024 * 1024,          /* bytes of one read that is recorded */
    WASI_SEEN_MAX = 64 * 1024,            /* bytes of one piece of input or output */
    WASI_RECORD_MAX = 4 * 1024 * 1024,    /* one observation: half an event body */
    WASI_LISTINGS_MAX = 32 * 1024 * 1024, /* listings kept for all descriptors */
};

struct sh_wasi {
    struct sh_guest *g;
    struct sh_desc **fds;
    size_t cap_fds, n_open;
    struct sh_vfs_grant *grants; /* the mounts, then the workspace */
    size_t n_grants;
    struct sh_vfs_grant *workspace; /* or NULL */
    struct sh_vfs_node *root_node;  /* of the workspace */
    struct sh_vfs_space space;
    struct sh_buf record; /* question and answer of the observation under way */
    struct iovec *iov;
    size_t cap_iov;
    uint8_t *scratch; /* WASI_SEEN_MAX bytes */
    size_t stdin_at;
    struct sh_buf stdin_chunk;
    bool stdin_eof;
    struct sh_channel channel; /* of those who open /dev/shannon only to read or only to write */
    size_t listings;           /* bytes held by listings */
    uint64_t tick;
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
size_t sh_wasi_stdin_left(const struct sh_wasi *w); /* bytes at hand */

/* --- wasi_path.c, wasi_open.c --- */
/* A path argument, resolved to where it starts. */
struct sh_wasi_at {
    struct sh_desc *dir; /* DIR, or NULL: below /dev */
    const char *path;    /* in buf */
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
