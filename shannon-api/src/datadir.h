/* The data directory: who owns it, and how others reach the owner. */
#ifndef SH_API_DATADIR_H
#define SH_API_DATADIR_H

#include "base/base.h"

/* All-zero (lock_fd and dir_fd -1) is closed. */
struct sh_datadir {
    char *path; /* absolute */
    int dir_fd, lock_fd;
    char *sock; /* path for connecting and binding, short enough for a socket address */
};
#define SH_DATADIR_CLOSED ((struct sh_datadir){.dir_fd = -1, .lock_fd = -1})

/* The folder that a person means: `flag`, else $SHANNON_DATA_DIR, else $XDG_DATA_HOME/shannon,
 * else ~/.local/share/shannon. Yours to free; NULL with SH_E_INVAL when none can be named. */
char *sh_datadir_default(const char *flag, struct sh_err *err);

/* Open it, made with mode 0700 (parents too) when absent and `create`.
 * fails  SH_E_NOT_FOUND, SH_E_IO (not writable, not a directory) naming what to do */
int sh_datadir_open(const char *path, bool create, struct sh_datadir *ret, struct sh_err *err);
/* Own it until close or death. fails  SH_E_BUSY naming the owner's process */
int sh_datadir_lock(struct sh_datadir *d, struct sh_err *err);
/* Own it, or find its owner: 0, it is ours; 1, somebody owns it and listens on `sock`. An owner
 * that starts, or leaves, does not listen: it is waited for, `wait_ms` at the most (blocking).
 * fails  SH_E_BUSY naming the owner's process */
int sh_datadir_lock_or_join(struct sh_datadir *d, uint64_t wait_ms, struct sh_err *err);
long sh_datadir_owner(const struct sh_datadir *d); /* the process that says so in `lock`, or 0 */
void sh_datadir_close(struct sh_datadir *d);

/* The API key: 64 hex digits in api-key, mode 0600; made when absent and `create`.
 * gives  the key, NUL-terminated      fails  SH_E_NOT_FOUND, SH_E_CORRUPT, SH_E_IO */
int sh_datadir_api_key(const struct sh_datadir *d, bool create, char ret[65], struct sh_err *err);
/* The same for /mcp, in mcp-key. */
int sh_datadir_mcp_key(const struct sh_datadir *d, bool create, char ret[65], struct sh_err *err);
/* A listening unix socket at `sock`, mode 0600. The lock must be held. gives a descriptor. */
int sh_datadir_listen(const struct sh_datadir *d, int *ret_fd, struct sh_err *err);

#endif
