/* JSON text too large to become values: it is checked as it stands, in one pass and with no memory
 * of its own, and stays text. */
#ifndef SH_BASE_JSON_SCAN_H
#define SH_BASE_JSON_SCAN_H

#include "base/str.h"

struct sh_err;

/* Is it one JSON value, as sh_json_parse would take it? But for two things, which take memory or
 * values to see: a name that comes twice in an object, and a number too large to be held.
 * fails  SH_E_JSON (with the byte), SH_E_LIMIT (SH_JSON_DEPTH_MAX)      thread  any */
int sh_json_check(struct sh_str text, struct sh_err *err);

/* The same for an object, of which one member is cut out where its value has more than `min` bytes:
 * *ret is that value as it stands, a view, and `rest` (empty, with its maximum) gets the object
 * with null in its place. A name that is written with escapes is not taken for it. gives  ret->p
 * NULL and rest empty: there is no such member fails  also SH_E_INVAL: it is there twice;
 * SH_E_LIMIT: the rest is too large */
int sh_json_cut(struct sh_str object, const char *name, size_t min, struct sh_str *ret,
                struct sh_buf *rest, struct sh_err *err);

#endif
