/* robots.txt (RFC 9309): what a site asks programs to leave alone. */
#ifndef SH_TOOLS_ROBOTS_H
#define SH_TOOLS_ROBOTS_H

#include "base/base.h"

/* The rules for `agent` of a file, in a form of our own: lines "+pattern" and "-pattern". At most
 * SH_ROBOTS_BYTES_MAX of it are kept; what is past that is not obeyed. */
void sh_robots_parse(struct sh_str file, const char *agent, struct sh_buf *ret);
/* May `path` (with its query) be read under these rules? */
bool sh_robots_allow(struct sh_str rules, const char *path);

#endif
