/* The known word nearest to a mistyped one, for error messages. Pure. */
#ifndef SH_API_NEAREST_H
#define SH_API_NEAREST_H

#include <stddef.h>

/* Of the NULL-terminated list, the word with the smallest edit distance to `word`, when that is at
 * most a third of its length plus one; else NULL. */
const char *sh_nearest(const char *word, const char *const known[]);

#endif
