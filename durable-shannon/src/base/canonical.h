/* Canonical JSON read as it stands: no value is built, nothing is copied. For text that is looked
 * at often and used little. */
#ifndef SH_BASE_CANONICAL_H
#define SH_BASE_CANONICAL_H

#include "base/str.h"

struct sh_canonical_member {
    struct sh_str name, value; /* views of the text; value as it stands, a string with its quotes */
};

/* The members of an object, in their order (sorted by name), when `text` is what sh_json_dump
 * writes of it: then sh_json_parse would take it, and each value is what sh_json_dump would write
 * of that value.
 * gives  false: it is something else (which may be valid JSON), it has more than `max` members, or
 *        it holds what is not looked at this way: a number that is not a whole one of at most 18
 *        digits, or a name that needs an escape. Read it with sh_json_parse. */
bool sh_canonical_members(struct sh_str text, struct sh_canonical_member *ret, size_t max,
                          size_t *ret_n);

/* A value of such a member. false: it is something else */
bool sh_canonical_u64(struct sh_str value, uint64_t *ret);
/* A string without escapes: what is between its quotes. */
bool sh_canonical_plain(struct sh_str value, struct sh_str *ret);

#endif
