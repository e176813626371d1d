/* The body of POST /api/v1/tasks, in the forms of every client that exists. Pure; fuzzed. */
#ifndef SH_API_SUBMIT_BODY_H
#define SH_API_SUBMIT_BODY_H

#include "base/base.h"

/* All-zero is empty. Strings are views into doc. */
struct sh_submit_body {
    json_t *doc;            /* owned */
    const char *agent;      /* must exist; or NULL */
    const char *hints[2];   /* used where an agent of that name is registered; NULL: none */
    const char *query;      /* never NULL; "" only beside input */
    json_t *input;          /* owned, or NULL */
    const char *session;    /* or NULL */
    const char *via;        /* "mcp": code without a name is called that; or NULL */
    json_t *capabilities;   /* owned, with the limits; or NULL */
    json_t *metadata;       /* owned object */
    const char *stdin_text; /* or NULL */
    bool stdin_live;
    bool has_priority;
    unsigned priority;
    const char **args; /* NULL-terminated, owned; or NULL */
};
void sh_submit_body_done(struct sh_submit_body *b);

/* has_input: it was cut out (large.h), `input` stays NULL
 * fails  SH_E_JSON, SH_E_INVAL (each naming the member, what came and what was expected) */
int sh_submit_body_parse(struct sh_str text, bool has_input, struct sh_submit_body *ret,
                         struct sh_err *err);

#endif
