/* What the two files of the egress check share. */
#ifndef SH_TOOLS_EGRESS_PRIVATE_H
#define SH_TOOLS_EGRESS_PRIVATE_H

#include "tools/egress.h"

/* The address in IPv6 form, and the port; false for other families. */
bool sh_egress_unpack(const struct sockaddr *addr, struct in6_addr *ret, uint16_t *ret_port);
/* "localhost" or a name below it */
bool sh_egress_is_localhost(const char *host);

#endif
