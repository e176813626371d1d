/* Who runs when not all may: [engine] max_running, in all, for a session and for an agent by name.
 * What counts is what is in memory: one that sleeps or is queued does not, one that wakes goes on
 * at once, and so does a child, because its parent would wait for it for ever.
 *
 * The queue is fair: the highest priority first; of that, who has the fewest running in its
 * session; of those, who has the fewest of its agent; of those, the oldest. And of every EVERY
 * turns one goes to the oldest of all that may begin, whatever its priority, so that none starves.
 */
#include "engine/private.h"

#define EVERY 8

struct running {
    size_t all, agent, session;
};

static void add(struct running *r, const char *agent, const char *session, const char *of_agent,
                const char *of_session) {
    r->all++;
    r->agent += of_agent && strcmp(agent, of_agent) == 0;
    r->session += of_session && strcmp(session, of_session) == 0;
}

/* Those in memory, and those of the queue that are on their way there. */
static struct running count(const struct sh_engine *e, const char *agent, const char *session) {
    struct running r = {0};

    sh_list_each (node, &e->workflows) {
        const struct sh_workflow *wf = sh_container_of(node, struct sh_workflow, link);
        if (!wf->verify && !wf->dozing && wf->entered && !wf->waits_in_queue) {
            add(&r, agent, session, wf->spec.agent, wf->spec.session);
        }
    }
    sh_list_each (node, &e->takeup.taking) {
        const struct sh_turn *t = sh_container_of(node, struct sh_turn, link);
        if (t->queued && (!t->wf || !t->wf->spec.agent)) {
            struct running unread = {0};
            add(&unread, agent, session, t->agent, t->session);
            r.all += t->wf ? 0 : 1;
            r.agent += unread.agent;
            r.session += unread.session;
        }
    }
    return r;
}

static bool fits(const struct sh_engine *e, const struct running *r, const char *agent) {
    const struct sh_engine_config *c = &e->config;
    int64_t of_agent = sh_json_get_int(c->agent_max_running, agent, 0);

    return (!c->max_running || r->all < c->max_running) &&
           (!c->session_max_running || r->session < c->session_max_running) &&
           (of_agent <= 0 || r->agent < (size_t)of_agent);
}

bool sh_queue_room(const struct sh_engine *e, const char *agent, const char *session) {
    struct running r = count(e, agent, session);

    return fits(e, &r, agent);
}

static bool is_dozing(struct sh_engine *e, const struct sh_turn *t) {
    const struct sh_workflow *wf = sh_workflow_find(e, sh_str(t->id.s));

    return wf && (wf->dozing || wf->waits_in_queue);
}

static bool has_less(const struct running *a, const struct running *b) {
    return a->session != b->session ? a->session < b->session : a->agent < b->agent;
}

struct sh_turn *sh_queue_next(struct sh_engine *e) {
    bool oldest = (e->takeup.admitted + 1) % EVERY == 0;
    struct sh_turn *best = NULL;
    struct running least = {0};

    if (e->config.max_running && !sh_list_empty(&e->takeup.queue) &&
        count(e, "", "").all >= e->config.max_running) {
        return NULL;
    }
    sh_list_each (node, &e->takeup.queue) {
        struct sh_turn *t = sh_container_of(node, struct sh_turn, link);
        struct running r;
        if (best && (oldest || t->priority < best->priority)) {
            continue;
        }
        r = count(e, t->agent, t->session);
        if (!fits(e, &r, t->agent) || is_dozing(e, t)) {
            continue;
        }
        if (!best || t->priority > best->priority || has_less(&r, &least)) {
            best = t;
            least = r;
        }
    }
    e->takeup.admitted += best != NULL;
    return best;
}
