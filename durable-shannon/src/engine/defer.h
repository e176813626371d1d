/* Something is asked of a workflow that is not in memory, or not ready yet: it is taken up first,
 * or the event is added where it lies, if that does not concern it. */
#ifndef SH_ENGINE_DEFER_H
#define SH_ENGINE_DEFER_H

#include "engine/engine.h"

struct sh_workflow;

enum sh_request_kind {
    SH_ASK_CANCEL,
    SH_ASK_PAUSE,
    SH_ASK_RESUME,
    SH_ASK_SIGNAL,
    SH_ASK_DECIDE,
    SH_ASK_RAISE
};

struct sh_asked_for { /* borrowed */
    enum sh_request_kind kind;
    const char *by, *reason, *scope;
    struct sh_str name;    /* of a signal; of an approval */
    const json_t *payload; /* of a signal; what a budget is raised by */
    bool allow;
    sh_engine_json_fn cb;
    void *arg;
};

/* false: go on with wf as it is (which may be NULL: it is not there, and will not be). Else the
 * same function of the engine is called again later, with the same arguments. */
bool sh_defer(struct sh_engine *e, struct sh_workflow *wf, struct sh_str id,
              const struct sh_asked_for *what);
/* The same where `first` (NULL: nobody) is to be in memory before; false as well when it cannot. */
bool sh_defer_behind(struct sh_engine *e, const struct sh_id *first, struct sh_str id,
                     const struct sh_asked_for *what);

#endif
