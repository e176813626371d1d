/* An answer that is an event stream, written by a handler while it is read by a client. Two sides
 * hold it: the writer, until sh_pipe_end, and the door, until the client or the answer has gone. */
#ifndef SH_API_PIPE_H
#define SH_API_PIPE_H

#include "base/base.h"

struct sh_pipe;
/* on_gone: the client has left, once, only before sh_pipe_end; the writer still ends it. `max`:
 * bytes that may wait for a slow client; beyond them the stream ends. */
struct sh_pipe *sh_pipe_new(size_t max, void (*on_gone)(void *arg), void *arg);
/* One event of any text without newlines. */
void sh_pipe_event(struct sh_pipe *p, struct sh_str data);
void sh_pipe_end(struct sh_pipe *p); /* the writer's last call */

/* For the door: bytes to be sent, whether more may come, whom to wake when they do. */
struct sh_pipe_reader {
    struct sh_buf out;
    bool ended;
    void (*wake)(void *arg); /* or NULL */
    void *wake_arg;
};
struct sh_pipe_reader *sh_pipe_reader(struct sh_pipe *p);
void sh_pipe_leave(struct sh_pipe *p); /* the door's last call */

#endif
