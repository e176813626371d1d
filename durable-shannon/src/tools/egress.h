/* Where connections may go. Addresses are judged as the kernel will use them (after resolving), in
 * every form in which an IPv4 address can hide in an IPv6 one. */
#ifndef SH_TOOLS_EGRESS_H
#define SH_TOOLS_EGRESS_H

#include <netinet/in.h>

#include "base/base.h"

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

#endif
