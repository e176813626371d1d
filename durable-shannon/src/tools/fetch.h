/* What the files of web_fetch share: a page on its way (fetch.c), the rules of its site
 * (fetch_robots.c), and the child that makes text of it (fetch_read.c). */
#ifndef SH_TOOLS_FETCH_H
#define SH_TOOLS_FETCH_H

#include "loop/loop.h"
#include "tools/outbound.h"

/*   ROBOTS (unless this site's are known) -> PAGE -> READING -> the result
 *      ^----------- a redirect ----------------'
 * Of several that want the same rules one ASKS for them and the others WAIT; of several pages
 * SH_FETCH_READERS_MAX are being read and the others QUEUE. */
struct sh_fetch {
    struct sh_tool_run base;
    struct sh_list link; /* in fetch_asking, fetch_waiting or fetch_queue of sh_tools, or in none */
    struct sh_outbound *out;
    struct sh_process *reader;
    struct sh_timer late;
    struct sh_egress_target target; /* of this hop */
    struct sh_egress_gate gate;
    unsigned hops;
    uint64_t deadline_ns;
    size_t chars, bytes;
    enum sh_fetch_kind { SH_FETCH_HTML, SH_FETCH_TEXT, SH_FETCH_PDF } kind;
    char type[64], charset[41];
    struct sh_buf page; /* until a reader has it */
    struct sh_buf read; /* what the reader said */
    void (*on_alive)(void *arg);
    void (*done)(void *arg, const struct sh_tool_outcome *outcome);
    void *arg;
};
#define SH_FETCH_AGENT "User-Agent: Shannon/0.1 (an agent runtime on a person's own machine)"
enum { SH_FETCH_HOPS = 5 };

/* fetch.c: the end of a fetch, one way or the other; it is gone then. */
void sh_fetch_fail(struct sh_fetch *f, const struct sh_err *err, bool again);
void sh_fetch_succeed(struct sh_fetch *f, json_t *readable);
uint64_t sh_fetch_left_ms(const struct sh_fetch *f);
void sh_fetch_alive(void *arg); /* there is news: an sh_outbound callback */
int sh_fetch_page(struct sh_fetch *f, struct sh_err *err); /* the rules allow it */
/* Something that others wait for is free: they go on in a turn of their own. */
void sh_fetch_wake(struct sh_tools *t);

/* fetch_robots.c: ask for the rules of f's site, or take those that are known; then the page.
 * fails  as sh_outbound_start, or SH_E_UPSTREAM_REJECTED: the rules forbid it */
int sh_fetch_robots(struct sh_fetch *f, struct sh_err *err);
void sh_fetch_robots_wake(struct sh_tools *t);

/* fetch_read.c: f->page becomes text, now or when a reader is free. */
void sh_fetch_read(struct sh_fetch *f);
void sh_fetch_read_wake(struct sh_tools *t);

#endif
