/* What can become of a connection, in the guest's numbers. */
#include <errno.h>

#include "microsandbox/wasi_abi.h"

uint32_t sh_net_errno(int host) {
    static const struct {
        int host;
        uint32_t wasi;
    } rows[] = {
        {0, E_OK},
        {EACCES, E_ACCES},
        {EPERM, E_ACCES}, /* a firewall of this machine */
        {EADDRNOTAVAIL, E_ADDRNOTAVAIL},
        {ECONNABORTED, E_CONNABORTED},
        {ECONNREFUSED, E_CONNREFUSED},
        {ECONNRESET, E_CONNRESET},
        {EHOSTUNREACH, E_HOSTUNREACH},
        {ENETDOWN, E_NETDOWN},
        {ENETUNREACH, E_NETUNREACH},
        {ENOENT, E_NOENT},
        {EPIPE, E_PIPE},
        {ETIMEDOUT, E_TIMEDOUT},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].host == host) {
            return rows[i].wasi;
        }
    }
    return E_IO;
}
