/* Most events of a long journal are activities whose journal says nothing but what was asked and
 * answered. They are read from their text as it stands, and kept as text: nothing is parsed. */
#ifndef SH_ENGINE_LEAN_H
#define SH_ENGINE_LEAN_H

#include "base/str.h"

struct sh_lean { /* views of the event's body */
    uint64_t ordinal, spent_us;
    struct sh_str op;               /* a name */
    struct sh_str args, id, result; /* JSON; empty: not there */
};

/* false: the event has more to say, or is not written as we write: it is to be parsed */
bool sh_lean_read(struct sh_str type, struct sh_str body, struct sh_lean *ret);

#endif
