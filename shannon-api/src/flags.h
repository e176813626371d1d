/* Command-line flags from a table. Pure: no I/O, no globals. */
#ifndef SH_API_FLAGS_H
#define SH_API_FLAGS_H

#include "base/base.h"

#define SH_FLAG_VALUES_MAX 4096 /* of one flag, and operands of one command line */

/* Views into argv. All-zero is empty. */
struct sh_values {
    const char **v; /* NULL-terminated when not NULL */
    size_t n;
};
void sh_values_done(struct sh_values *values);

enum sh_flag_kind {
    SH_FLAG_BOOL, /* bool */
    SH_FLAG_TEXT, /* const char *: the last one wins */
    SH_FLAG_LIST, /* struct sh_values: each one is kept, in order */
};
struct sh_flag {
    const char *name; /* without the dashes */
    enum sh_flag_kind kind;
    void *target;                /* of the kind's type */
    const char *argument, *help; /* for people; argument NULL for BOOL */
};

/* Read argv[1..] of a command: `--name value`, `--name=value`, flags and operands mixed, `--` ends
 * the flags. `-h` and `--help` set *ret_help.
 * takes   nothing: values point into argv       gives   operands (sh_values_done)
 * fails   SH_E_INVAL naming the flag, and the nearest known one */
int sh_flags_parse(const struct sh_flag *flags, size_t n_flags, int argc, char *const argv[],
                   struct sh_values *operands, bool *ret_help, struct sh_err *err);
/* One line a flag, aligned. */
void sh_flags_help(const struct sh_flag *flags, size_t n_flags, struct sh_buf *out);

#endif
