/* Beginning anew: a checkpoint, or going on with another input. Neither returns to the guest when
 * it is accepted: the engine starts a new agent.
 *
 * A line of /dev/shannon may ask for the same. What it asks for is only in its JSON, which is not
 * read on a fiber: the call that wrote such a line suspends, the step that it ends reads it
 * (sh_guest_line_read), and the call is made again. */
#ifndef SH_GUEST_ANEW_H
#define SH_GUEST_ANEW_H

#include "base/base.h"

struct sh_guest;

enum sh_line_asks {
    SH_LINE_ACTIVITY, /* for something else: the engine reads it */
    SH_LINE_CHECKPOINT,
    SH_LINE_CONTINUE,
    SH_LINE_WRONG, /* one of the two, without its state or input */
};

/* All-zero: no line is being looked at. */
struct sh_line {
    struct sh_str text; /* to be read; the channel's, which keeps it meanwhile */
    bool read;
    enum sh_line_asks asks;
    char *json; /* the state or the input */
};

/* SH_CALL_PENDING, SH_CALL_END, or -errno: EBUSY (handles are open), E2BIG, EINVAL (an input that
 * is no text). The engine reads the input's JSON. The bytes are copied. */
int sh_guest_checkpoint(struct sh_guest *g, struct sh_str state);
int sh_guest_continue(struct sh_guest *g, struct sh_str input);

/* A whole line of /dev/shannon. 0: it asks for something else, start it; else as above. `line`
 * stays as it is until sh_guest_line_done, which follows unless the call is to be made again. */
int sh_guest_line(struct sh_guest *g, struct sh_str line);
void sh_guest_line_done(struct sh_guest *g);
/* Was the step ended by such a line? Then it is read now. thread: an executor, off the fiber */
bool sh_guest_line_read(struct sh_guest *g);

#endif
