/* The one egress check: where connections may go. Addresses are judged as the kernel will use them
 * (after resolving), in every form in which an IPv4 address can hide in an IPv6 one; the socket is
 * then opened to that very address, so that no second answer of a resolver can come between. */
#ifndef SH_TOOLS_EGRESS_H
#define SH_TOOLS_EGRESS_H

#include <netinet/in.h>

#include "policy/policy.h"

struct sockaddr;

enum sh_address_class {
    SH_ADDRESS_PUBLIC,
    SH_ADDRESS_LOOPBACK, /* 127/8, ::1 */
    SH_ADDRESS_PRIVATE,  /* RFC 1918, fc00::/7, and 100.64/10 of carriers */
    SH_ADDRESS_REFUSED,  /* link-local (cloud metadata lives there), unspecified, multicast,
                            reserved,  and transition forms whose IPv4 address is not public */
};
enum sh_address_class sh_address_class(const struct sockaddr *addr);

/* A server that the operator's configuration names by URL. */
struct sh_egress_peer {
    char host[256];
    uint16_t port;
    bool literal; /* host is an address: `address`, IPv4 as ::ffff:a.b.c.d */
    struct in6_addr address;
};
/* `what` names the setting in messages, e.g. "[llm] base_url".
 * fails  SH_E_INVAL: not http or https, credentials, a query, a fragment, no host */
int sh_egress_peer_parse(const char *url, const char *what, struct sh_egress_peer *ret,
                         struct sh_err *err);
/* May a connection for this peer go to `addr`? An address that the operator wrote: exactly that
 * one. A name: its port only, public, private and loopback addresses, never refused ones;
 * "localhost" stays on this machine. */
bool sh_egress_peer_allows(const struct sh_egress_peer *peer, const struct sockaddr *addr);

/* A URL that an agent or a redirect names, in one canonical form: that form is judged and sent. */
struct sh_egress_target {
    char *url;               /* without a fragment */
    char *scheme, *host;     /* host in lower case; an IPv6 address in brackets */
    char *path, *path_plain; /* as sent; with escapes undone, NULL when that is the same */
    uint16_t port;
};
/* base: what a relative `url` (of a redirect) is relative to, or NULL.
 * fails  SH_E_INVAL: not http or https, user or password, control characters, a host that is no
 *        ASCII name or address, dot segments that escapes hide */
int sh_egress_target_parse(const char *url, const char *base, struct sh_egress_target *ret,
                           struct sh_err *err);
/* The same for a connection that is no request: a host name or address (IPv6 with or without
 * brackets) and a port. Its scheme is tcp, and it has no path: the method of the calls below is
 * NULL.      fails  SH_E_INVAL */
int sh_egress_target_tcp(const char *host, uint16_t port, struct sh_egress_target *ret,
                         struct sh_err *err);
void sh_egress_target_done(struct sh_egress_target *t);
bool sh_egress_same_origin(const struct sh_egress_target *a, const struct sh_egress_target *b);

/* Who decides. written_out: as sh_policy_net. */
struct sh_egress_gate {
    bool (*may_reach)(void *arg, const struct sh_net_rule *what,
                      bool written_out); /* or NULL: no */
    void *arg;
};
/* fails  SH_E_DENIED: no rule covers it, with the rule that would */
int sh_egress_check(const struct sh_egress_gate *gate, const struct sh_egress_target *t,
                    const char *method, struct sh_err *err);

/* Addresses that this program listens on: nothing that leaves may come back in by them. */
struct sh_egress_own {
    struct {
        struct in6_addr address;
        uint16_t port;
    } door[8];
    size_t n;
};
void sh_egress_own_add(struct sh_egress_own *own, const struct sockaddr *addr);
/* May a connection for `t`, which the gate let pass, go to this address? Public ones, unless they
 * are this machine's; any other needs a rule that writes the address out (for loopback "localhost"
 * will do when the URL says so too); our own doors never. */
bool sh_egress_allows(const struct sh_egress_gate *gate, const struct sh_egress_own *own,
                      const struct sh_egress_target *t, const char *method,
                      const struct sockaddr *addr);

#endif
