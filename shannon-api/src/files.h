/* Reading the small files that a person names: configuration, policy, input, modules. */
#ifndef SH_API_FILES_H
#define SH_API_FILES_H

#include "base/base.h"

/* The whole file, at most max_bytes. "-" is standard input. Appends to `out`.
 * fails  SH_E_NOT_FOUND, SH_E_LIMIT, SH_E_IO, each naming the file */
int sh_input_read(const char *path, size_t max_bytes, struct sh_buf *out, struct sh_err *err);
/* The same as a file without a name in `dir`. gives  it in *ret, yours to close
 * fails  as above, SH_E_NOSPC */
int sh_input_spool(const char *path, const char *dir, uint64_t max_bytes, int *ret,
                   uint64_t *ret_bytes, struct sh_err *err);
/* JSON when the first character that is not white space is '{', else TOML. gives a reference. */
int sh_document_parse(struct sh_str text, const char *what, json_t **ret, struct sh_err *err);
int sh_document_read(const char *path, json_t **ret, struct sh_err *err);
/* `a/b`, or b when it is absolute; yours to free. */
char *sh_path_join(const char *a, const char *b);

#define SH_DOCUMENT_MAX (1 * SH_MIB)

/* The path without symbolic links, as far as it exists; what does not exist yet keeps its name.
 * NULL when `path` is not absolute or cannot be looked at: then it stays as it is. Yours to free.
 */
char *sh_path_real(const char *path);

#endif
