/* A tar archive in memory (POSIX ustar), as `shannon export` writes it: regular files only, names
 * of at most 100 bytes of A-Z a-z 0-9 . _ - /, no part of a name empty, "." or "..". Whatever else
 * a tar can hold is refused by the reader: the file comes from another machine. */
#ifndef SH_ENGINE_ARCHIVE_H
#define SH_ENGINE_ARCHIVE_H

#include "base/base.h"

#define SH_ARCHIVE_NAME_MAX 100 /* what one header holds without extensions */

/* Append one file; the buffer fails when it is full. needs  a good name, at most 8 GiB */
void sh_archive_add(struct sh_buf *to, const char *name, struct sh_str bytes);
void sh_archive_end(struct sh_buf *to);

/* The file at *at, which moves on. gives  1 with name (NUL-terminated) and a view of its bytes, 0
 * at the archive's end       fails  SH_E_CORRUPT */
int sh_archive_next(struct sh_str archive, size_t *at, char name[SH_ARCHIVE_NAME_MAX + 1],
                    struct sh_str *ret_bytes, struct sh_err *err);

#endif
