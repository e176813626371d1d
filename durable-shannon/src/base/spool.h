/* Files without a name: bytes on their way that need not fit memory. One is gone with its last
 * descriptor, whatever ends the process. All of this blocks: pool threads and commands. */
#ifndef SH_BASE_SPOOL_H
#define SH_BASE_SPOOL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/hash.h"

/* An empty one on the disk of a folder. gives  its descriptor      fails  SH_E_IO */
int sh_spool_open(const char *dir, struct sh_err *err);
/* All of it, to any file. gives  0, or -errno */
int sh_write_all(int fd, const void *p, size_t n);
/* Append. fails  SH_E_NOSPC: less than SH_DISK_GUEST_MIN are left; SH_E_IO */
int sh_spool_write(int fd, const void *p, size_t n, struct sh_err *err);
/* Exactly n bytes from `at` on, of any file. fails  SH_E_IO; SH_E_CORRUPT: it ends before */
int sh_spool_read(int fd, uint64_t at, void *p, size_t n, struct sh_err *err);
/* n bytes of one file, from `at` on, to the end of another, piece by piece.
 * to       -1: they are only hashed
 * gives    their SHA-256, where ret is not NULL
 * fails    as the two above */
int sh_spool_copy(int from, uint64_t at, uint64_t n, int to, struct sh_hash *ret,
                  struct sh_err *err);

#endif
