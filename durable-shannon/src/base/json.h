/* JSON through jansson, with what jansson lacks: limits before parsing, and one canonical form. */
#ifndef SH_BASE_JSON_H
#define SH_BASE_JSON_H

#include <jansson.h>

#include "base/str.h"

struct sh_err;

/* Parse any JSON value. Nesting is counted before parsing (SH_JSON_DEPTH_MAX), duplicate keys are
 * refused, text must be UTF-8 and at most max_bytes long. \u0000 is refused, so that no text means
 * one thing to readers of C strings and another to everyone else.
 * gives  a reference in *ret       fails  SH_E_JSON, SH_E_LIMIT */
int sh_json_parse(struct sh_str text, size_t max_bytes, json_t **ret, struct sh_err *err);

/* The same for what a server of somebody else wrote, where \u0000 is no reason to lose all of it:
 * it becomes U+FFFD.       fails  also SH_E_NOMEM */
int sh_json_parse_foreign(struct sh_str text, size_t max_bytes, json_t **ret, struct sh_err *err);

/* Canonical: compact, keys sorted, 17 digits for reals. Equal values give equal bytes. */
void sh_json_dump(const json_t *value, struct sh_buf *out);
char *sh_json_text(const json_t *value); /* the same, NUL-terminated, yours to free; aborts when
                                            larger than SH_JSON_TEXT_MAX */

/* Append a JSON string literal for `s`; bytes that are not UTF-8 become U+FFFD. So
 * does NUL, here and below, because sh_json_parse refuses it. */
void sh_json_escape(struct sh_buf *out, struct sh_str s);
/* A JSON string of `s`, bytes that are not UTF-8 replaced by U+FFFD. Never NULL. */
json_t *sh_json_string(struct sh_str s);

/* Typed members of an object; the default when absent, null or another type. Borrowed views. */
struct sh_str sh_json_get_str(const json_t *object, const char *key);
int64_t sh_json_get_int(const json_t *object, const char *key, int64_t fallback);
bool sh_json_get_bool(const json_t *object, const char *key, bool fallback);

/* Fail with the name of the first member that is not in `known` (NULL-terminated), and the nearest
 * known one. `what` names the object for the message. */
int sh_json_only(const json_t *object, const char *const known[], const char *what,
                 struct sh_err *err);

void sh_json_done(json_t **value); /* cleanup: sh_auto(sh_json_done) json_t *j = NULL; */

#endif
