/* A tar archive (POSIX ustar), as `shannon export` writes it: regular files only, names of at most
 * 100 bytes of A-Z a-z 0-9 . _ - /, no part of a name empty, "." or "..". Whatever else a tar can
 * hold is refused by the reader: the file comes from another machine. */
#ifndef SH_ENGINE_ARCHIVE_H
#define SH_ENGINE_ARCHIVE_H

#include "base/base.h"

#define SH_ARCHIVE_NAME_MAX 100              /* what one header holds without extensions */
#define SH_ARCHIVE_FILE_MAX (8 * SH_GIB - 1) /* of one file: 11 octal digits */

/* What comes before the bytes of a file, and after them. needs  a good name, no more than the most
 */
void sh_archive_begin(struct sh_buf *to, const char *name, uint64_t bytes);
void sh_archive_pad(struct sh_buf *to, uint64_t bytes);
/* A whole file; the buffer fails when it is full. */
void sh_archive_add(struct sh_buf *to, const char *name, struct sh_str bytes);
void sh_archive_end(struct sh_buf *to);

/* An archive that is read from a file. */
struct sh_archive {
    int fd;
    uint64_t at, bytes; /* the next header; the length of all */
};
/* The next file. gives  1 with name (NUL-terminated) and where its bytes are, 0 at the archive's
 * end       fails  SH_E_CORRUPT, SH_E_IO       blocks */
int sh_archive_next(struct sh_archive *a, char name[SH_ARCHIVE_NAME_MAX + 1], uint64_t *ret_at,
                    uint64_t *ret_bytes, struct sh_err *err);

#endif
