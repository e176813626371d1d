/* Ids: "wf-" and a ULID in lower-case Crockford base 32; sort by creation time. */
#ifndef SH_BASE_ID_H
#define SH_BASE_ID_H

#include "base/str.h"

#define SH_ID_MAX 128 /* longest id that clients may use */

/* A workflow (= task) id. Value type; NUL-terminated. */
struct sh_id {
    char s[SH_ID_MAX + 1];
};

/* A new id: `prefix`, then 26 digits. Later calls in one process sort after earlier ones. */
void sh_id_new(struct sh_id *id, const char *prefix);
/* ^[A-Za-z0-9:_\-.]{1,128}$ or -SH_E_INVAL */
int sh_id_parse(struct sh_str s, struct sh_id *ret);

#endif
