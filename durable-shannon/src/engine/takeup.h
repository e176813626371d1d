/* Taking workflows up: from the store into memory, a few at a time, the most urgent first. At start
 * those that were active; later those whose time has come, or that somebody asks something of, or
 * that were submitted when as many ran as may, and whose turn it is (queue.c). */
#ifndef SH_ENGINE_TAKEUP_H
#define SH_ENGINE_TAKEUP_H

#include "engine/index.h"

struct sh_engine;
struct sh_workflow;

/* wf is in memory and can be given events; NULL when it has ended, or cannot be read. */
typedef void (*sh_takeup_fn)(struct sh_engine *e, struct sh_workflow *wf, void *arg);

struct sh_takeup {         /* of an engine */
    struct sh_list turns;  /* struct sh_turn, in the order in which they are taken */
    struct sh_list queue;  /* of those that wait for others to end, oldest first */
    struct sh_list taking; /* under way */
    void *by_id;           /* tsearch tree of all */
    size_t waiting, queued, under_way;
    uint64_t admitted; /* from the queue, so far */
    bool held;         /* until a start has listed all */
};

struct sh_turn {
    struct sh_list link; /* of turns, queue or taking */
    struct sh_engine *engine;
    struct sh_id id;
    int64_t due_us;             /* its time came: the record that said so ... */
    enum sh_wake_kind due_kind; /* ... and of which kind it is */
    bool asked;                 /* somebody wants it here for another reason */
    bool queued;                /* waits for others to end; then what follows says whose it is */
    int priority;
    char *agent, *session;
    struct sh_list waiters;
    struct sh_workflow *wf; /* pinned while it is taken up */
};

void sh_takeup_init(struct sh_engine *e);
void sh_takeup_stop(struct sh_engine *e);
/* Take it up in its turn, unless it is in memory or on its way; then fn (or NULL) once, never
 * inside this call. */
void sh_takeup_add(struct sh_engine *e, struct sh_str id, sh_takeup_fn fn, void *arg);
/* The same for one whose time came. */
void sh_takeup_wake(struct sh_engine *e, const struct sh_id *id, enum sh_wake_kind kind,
                    int64_t due_us);
/* It stays where it is until its turn comes.  record: its record of SH_TABLE_ACTIVE */
void sh_takeup_queue(struct sh_engine *e, const json_t *record);
/* queue.c: may one of this agent and session begin now, beside those that run? */
bool sh_queue_room(const struct sh_engine *e, const char *agent, const char *session);
/* The one of the queue whose turn it is, or NULL: none may begin. */
struct sh_turn *sh_queue_next(struct sh_engine *e);
/* Has it a turn, waiting or under way? */
bool sh_takeup_has(struct sh_engine *e, struct sh_str id);
/* Does it wait in the queue? */
bool sh_takeup_waits(struct sh_engine *e, struct sh_str id);
/* Say in its journal who carries it from here on; into the open commit. */
void sh_claim(struct sh_workflow *wf);
/* Something ended that turns may have waited for. */
void sh_takeup_go_on(struct sh_engine *e);
/* Is nothing waiting or under way? */
bool sh_takeup_idle(const struct sh_engine *e);

#endif
