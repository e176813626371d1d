/* One request to where an agent wants it sent: rules, addresses, redirects hop by hop, a bound on
 * the answer, and a credential that the agent never sees. http and web_fetch are made of it. */
#ifndef SH_TOOLS_OUTBOUND_H
#define SH_TOOLS_OUTBOUND_H

#include "tools/secret.h"
#include "tools/tools_private.h"

struct sh_outbound_answer {
    int status;
    const struct sh_egress_target *target; /* of the last hop */
    struct sh_str headers;                 /* "Name: value\r\n"... */
    struct sh_str body;
};
struct sh_outbound_request {
    const char *method, *url;
    const char *const *headers; /* NULL-terminated "Name: value", or NULL */
    struct sh_str body;
    unsigned redirects; /* followed for GET and HEAD only */
    size_t max_bytes;
    uint64_t timeout_ms;                    /* of all hops together */
    struct sh_egress_gate gate;             /* asked until done */
    const struct sh_credential *credential; /* or NULL; sent to its own place alone */
    void (*on_alive)(void *arg);            /* bytes came; or NULL */
    /* Once, unless canceled. answer NULL: err says why, `again` whether trying again can help. A
     * credential's echoes are gone from headers and body. */
    void (*done)(void *arg, const struct sh_outbound_answer *answer, const struct sh_err *err,
                 bool again);
    void *arg;
};
struct sh_outbound;
/* takes  nothing: all is copied        fails  now: SH_E_INVAL, SH_E_DENIED */
int sh_outbound_start(struct sh_tools *t, const struct sh_outbound_request *req,
                      struct sh_outbound **ret, struct sh_err *err);
void sh_outbound_cancel(struct sh_outbound *o); /* done is not called */

/* The value of a header in lines "Name: value\r\n", the first of that name; empty when absent. */
struct sh_str sh_header_value(struct sh_str headers, const char *name);

#endif
