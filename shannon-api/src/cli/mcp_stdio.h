/* Lines from standard input, lines to standard output, on whichever loop is there just now. */
#ifndef SH_API_MCP_STDIO_H
#define SH_API_MCP_STDIO_H

#include "loop/loop.h"

#include <uv.h>

struct sh_mcp_stdio {
    struct sh_loop *loop; /* NULL: stopped */
    /* Without its newline. too_long: it had more than SH_MCP_MESSAGE_MAX bytes, which are gone. */
    void (*on_line)(void *arg, struct sh_str line, bool too_long);
    void (*on_end)(void *arg); /* nothing more will come, or nobody reads what we write */
    void *arg;
    uv_poll_t poll;
    struct sh_timer in_timer, out_timer;
    struct sh_buf in, out;
    bool polls, skipping, eof, broken; /* broken: nobody reads our output */
};
void sh_mcp_stdio_init(struct sh_mcp_stdio *io);
void sh_mcp_stdio_start(struct sh_mcp_stdio *io, struct sh_loop *loop);
void sh_mcp_stdio_stop(
    struct sh_mcp_stdio *io); /* runs the loop; what was read and not written stays */
/* A line: text has no newline. */
void sh_mcp_stdio_write(struct sh_mcp_stdio *io, struct sh_str text);
/* Write what is left, as long as somebody reads, for at most `ms`. */
void sh_mcp_stdio_flush(struct sh_mcp_stdio *io, int ms);
void sh_mcp_stdio_done(struct sh_mcp_stdio *io);

#endif
