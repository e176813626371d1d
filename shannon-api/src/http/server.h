/* The doors: the address that browsers and clients reach, and the data directory's own socket. */
#ifndef SH_API_SERVER_H
#define SH_API_SERVER_H

#include "http/api.h"

struct sh_server;

struct sh_server_config {
    struct sh_api *api;
    const char *listen;  /* HOST:PORT, port 0 for any; NULL: no TCP door */
    const char *key;     /* of the TCP door */
    const char *mcp_key; /* of its /mcp, which takes no other; NULL: nobody gets in there */
    bool sock;           /* the data directory's socket; its file mode is the authentication */
};
/* fails  SH_E_INVAL (address), SH_E_EXISTS (port in use), SH_E_DENIED (privileged port), SH_E_IO */
int sh_server_start(const struct sh_server_config *config, struct sh_server **ret,
                    struct sh_err *err);
/* "http://127.0.0.1:8765", with the port that was given; valid while the server lives */
const char *sh_server_url(const struct sh_server *s);
/* Take nothing new and end the streams; requests under way are still answered. */
void sh_server_drain(struct sh_server *s);
/* A client that has gone without a word shows when it is written to: write to those of pipes now.
 */
void sh_server_probe(struct sh_server *s);
bool sh_server_idle(const struct sh_server *s); /* no request, stream or socket is left */
/* needs   the engine stopped, so that nothing answers later. Runs the loop. */
struct sh_server *sh_server_free(struct sh_server *s);

#endif
