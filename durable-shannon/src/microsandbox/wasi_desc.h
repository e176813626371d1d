/* Private to wasi*.c: what an open descriptor is. */
#ifndef SH_WASI_DESC_H
#define SH_WASI_DESC_H

#include "microsandbox/vfs.h"

enum sh_desc_kind {
    DESC_STDIN,
    DESC_STDOUT,
    DESC_STDERR,
    DESC_DIR,
    DESC_FILE,
    DESC_DEV, /* the directory /dev */
    DESC_NULL,
    DESC_ZERO,
    DESC_RANDOM,
    DESC_SHANNON,
    DESC_NET,    /* the directory /net */
    DESC_SOCKET, /* a connection */
    DESC_INPUT,  /* the task's input, as it stands */
    DESC_OUTPUT, /* its result, once it is closed */
};

/* /dev/shannon: requests go in by lines, results come out by lines. */
struct sh_channel {
    struct sh_buf line; /* request not yet ended */
    bool skip;          /* the line was too long: drop bytes to its end */
    struct sh_buf out;  /* results not yet read */
    size_t out_at;
    int32_t *handles; /* outstanding, at most SH_PARALLEL_ACTIVITIES_MAX */
    size_t n_handles;
};

/* What a file was when it was opened only to be read; see wasi_copy.c. */
struct sh_copy {
    enum { COPY_NONE, COPY_BYTES, COPY_FILE } kind;
    char *bytes; /* BYTES */
    uint64_t len;
    struct sh_hash hash; /* FILE: kept under this name */
    int fd;              /* FILE: or -1, not open yet */
    bool touched;        /* the guest has set its times since */
};

/* A piece of a long file, read before it was asked for; see wasi_ahead.c. */
struct sh_ahead {
    char *bytes; /* or NULL */
    uint64_t at; /* where in the file they begin */
    size_t len;
    uint64_t next; /* where the last read ended; UINT64_MAX: there was none */
};

/* A connection, as the guest knows it; see wasi_net.c. */
struct sh_net_conn {
    uint64_t id;      /* the call that opened it */
    struct sh_buf in; /* the piece that came last */
    size_t at;        /* of it, what was read */
    bool ended;       /* nothing comes any more */
    bool lost;        /* it was reset, or is of a process that is gone */
    bool shut_read, shut_write;
    uint16_t late;      /* an error that a short read left for the next one */
    uint32_t announced; /* a poll said that so much is there */
};

struct sh_desc {
    enum sh_desc_kind kind;
    uint64_t rights, inheriting;
    uint16_t flags;
    uint64_t offset;
    /* DIR, FILE */
    struct sh_vfs_grant *grant;
    int host;      /* -1: opened in a replay; see sh_wasi_host */
    char *path;    /* below the grant; where the grant observes, else NULL */
    bool recalled; /* its opening was in the journal when this process began */
    bool root;     /* the directory of the grant itself, for certain */
    bool follow;
    struct sh_vfs_node *node; /* workspace */
    struct sh_copy copy;
    struct sh_ahead ahead;
    struct sh_vfs_stat seen; /* as the guest saw it last (observing grants) */
    char *preopen;           /* name, or NULL */
    struct {                 /* directory listing, see wasi_dir.c */
        uint8_t *bytes;
        uint32_t *at; /* where each entry begins */
        size_t len;
        uint32_t n;
        uint64_t used; /* tick of last use */
    } listing;
    struct sh_channel *channel; /* SHANNON: own, or the shared one */
    struct sh_net_conn *net;    /* SOCKET */
};

static inline bool sh_desc_is_dir(const struct sh_desc *d) {
    return d->kind == DESC_DIR || d->kind == DESC_DEV || d->kind == DESC_NET;
}

#endif
