/* Connections of a workflow's agent (/net/tcp), and polls of mixtures. What the agent asks is
 * answered by an event, Observed{call, kind: "net.*" or "poll"}, and the agent goes on when that is
 * durable; what it writes leaves after it. Connections live in this process alone: after a restart,
 * or when the workflow was out of memory meanwhile, they are gone, and the agent is told
 * ECONNRESET.
 *
 *   asked -> (waits for the peer) -> event added -> durable: sent, shut down; the agent goes on */
#ifndef SH_ENGINE_NET_H
#define SH_ENGINE_NET_H

#include "base/base.h"
#include "loop/loop.h"

struct sh_workflow;
struct sh_event;
struct sh_agent_wait;

struct sh_net {
    struct sh_list connections; /* struct connection */
    uint64_t answered;          /* the call whose event is on its way, + 1 */
    uint64_t timed;             /* the poll that the timer is for (poll_serial); 0: none */
    bool over;                  /* the timer of that poll has run out */
    struct sh_timer timer;
    bool waits; /* the agent waits for a peer: its wall clock runs */
};
void sh_net_init(struct sh_net *n);
/* The agent suspended with SH_WAIT_NET, or did so before: answer it, now or later. */
void sh_net_ask(struct sh_workflow *wf, const struct sh_agent_wait *w);
/* Is there an answer now, to what it waits for? Standard input came, or its events are durable. */
void sh_net_again(struct sh_workflow *wf);
/* One of those events is durable: what was to follow it does. */
void sh_net_applied(struct sh_workflow *wf, const struct sh_event *ev);
/* The agent closed it. What it wrote before still goes out. */
void sh_net_closed(struct sh_workflow *wf, uint64_t connection);
bool sh_net_any(const struct sh_workflow *wf);
/* All of them: the agent has ended, begins anew, or leaves memory. */
void sh_net_stop(struct sh_workflow *wf);
bool sh_net_kind(struct sh_str kind); /* of an Observed event: is it one of these? */

#endif
