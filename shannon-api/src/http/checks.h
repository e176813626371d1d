/* What a request must look like before anything believes it. Pure; HTTP.md of the design names what
 * the HTTP library lets through. */
#ifndef SH_API_CHECKS_H
#define SH_API_CHECKS_H

#include "base/base.h"

struct sh_header {
    struct sh_str name, value;
};
/* Request smuggling and malformed headers: two of Host, Content-Length, Transfer-Encoding,
 * Authorization, Origin or Upgrade; Content-Length beside Transfer-Encoding; a coding other than
 * chunked; a length that is not digits; control characters; no Host.
 * fails  SH_E_INVAL saying which */
int sh_check_headers(const struct sh_header *headers, size_t n, bool need_host, struct sh_err *err);

/* Who may talk to a listener that browsers can reach. */
struct sh_door_rules {
    const char *host; /* as configured, no brackets */
    uint16_t port;
    const json_t *hosts, *origins; /* arrays of strings, exact; or NULL */
};
/* The Host header: our address, localhost when we are on loopback, or a configured one; else a
 * foreign name points here (DNS rebinding). fails  SH_E_DENIED */
int sh_check_host(const struct sh_door_rules *rules, struct sh_str host, struct sh_err *err);
/* The Origin header: absent (len 0), our own pages, or a configured one. "null" never.
 * fails  SH_E_DENIED */
int sh_check_origin(const struct sh_door_rules *rules, struct sh_str origin, struct sh_err *err);

/* The key that a request brings: `Authorization: Bearer K`, or `X-API-Key: K`, or (streams only)
 * the query's api_key or token. Compared in constant time. fails  SH_E_AUTH saying what to do */
struct sh_credentials {
    const char *authorization, *api_key, *query_api_key, *query_token; /* NULL: absent */
};
int sh_check_key(const struct sh_credentials *c, const char *key, bool is_stream,
                 struct sh_err *err);

/* The same for /mcp, which has a key of its own: what holds it may run agents, and nothing else.
 * key: or NULL */
int sh_check_mcp_key(const struct sh_credentials *c, const char *key, struct sh_err *err);

/* Seq to go on after: Last-Event-ID or last_event_id. Digits, else (another server's id) 0. */
uint64_t sh_resume_after(const char *last_event_id);

#endif
