/* API keys: read when they are used, never shown, wiped when done. */
#ifndef SH_TOOLS_SECRET_H
#define SH_TOOLS_SECRET_H

#include "base/base.h"

/* All-zero is "none". Only header values are made of it. */
struct sh_secret {
    char *p;
    size_t len;
};
/* From the environment variable `env`, else from `file`; either may be NULL. A variable that is not
 * set or empty, and no file, is no secret and no failure: local servers need none.
 * fails  SH_E_INVAL: unreadable file, not a regular file, too long, not printable ASCII. The
 *        message names the source, never the content. */
int sh_secret_read(const char *env, const char *file, struct sh_secret *ret, struct sh_err *err);
void sh_secret_done(struct sh_secret *s);
/* `text` with every occurrence of the secret as ***, cut to what `out` may hold. */
void sh_secret_redact(const struct sh_secret *s, struct sh_str text, struct sh_buf *out);
bool sh_secret_in(const struct sh_secret *s, struct sh_str text);
/* `owned` itself, or, where the secret is echoed in it, another value without it. Best effort: who
 * knows it can write it in other ways. */
json_t *sh_secret_clean(const struct sh_secret *s, json_t *owned);

#endif
