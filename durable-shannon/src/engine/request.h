/* One request of an agent for an activity. */
#ifndef SH_ENGINE_REQUEST_H
#define SH_ENGINE_REQUEST_H

#include "engine/history.h"

struct sh_workflow;

struct sh_request {
    char *op;
    json_t *args;           /* as given; a string when it is not JSON */
    json_t *id;             /* of a device line, or NULL */
    uint64_t signal_number; /* of a wait for a signal, among those for its name */
    struct sh_err err;      /* set when it could not be read: the activity fails with it */
};

/* op empty: args is a whole line of /dev/shannon. Never fails but in ret->err. */
void sh_request_parse(struct sh_str op, struct sh_str args, struct sh_request *ret);
void sh_request_done(struct sh_request *rq);
/* {ordinal, op, args, id?}: what a journal keeps of it. New reference. */
json_t *sh_request_body(const struct sh_request *rq, uint64_t ordinal);
/* Is it what the journal has? If not, the workflow is ended as nondeterminism. */
bool sh_request_same(struct sh_workflow *wf, const struct sh_past_activity *past,
                     const struct sh_request *rq);

#endif
