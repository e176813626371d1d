/* The one egress check. Ranges are those of the IANA special-purpose registries (RFC 6890 and its
 * successors). */
#include "tools/egress_private.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <strings.h>
#include <sys/socket.h>

struct range4 {
    uint32_t net;
    unsigned bits;
    enum sh_address_class class;
};

static const struct range4 ranges4[] = {
    {0x00000000, 8, SH_ADDRESS_REFUSED},  /* "this network"; 0.0.0.0 reaches this host */
    {0x0a000000, 8, SH_ADDRESS_PRIVATE},  /* 10/8 */
    {0x64400000, 10, SH_ADDRESS_PRIVATE}, /* 100.64/10 */
    {0x7f000000, 8, SH_ADDRESS_LOOPBACK}, /* 127/8 */
    {0xa9fe0000, 16, SH_ADDRESS_REFUSED}, /* 169.254/16 */
    {0xac100000, 12, SH_ADDRESS_PRIVATE}, /* 172.16/12 */
    {0xc0000000, 24, SH_ADDRESS_REFUSED}, /* 192.0.0/24 */
    {0xc0000200, 24, SH_ADDRESS_REFUSED}, /* 192.0.2/24, documentation */
    {0xc0586300, 24, SH_ADDRESS_REFUSED}, /* 192.88.99/24, 6to4 relays */
    {0xc0a80000, 16, SH_ADDRESS_PRIVATE}, /* 192.168/16 */
    {0xc6120000, 15, SH_ADDRESS_REFUSED}, /* 198.18/15, benchmarks */
    {0xc6336400, 24, SH_ADDRESS_REFUSED}, /* 198.51.100/24 */
    {0xcb007100, 24, SH_ADDRESS_REFUSED}, /* 203.0.113/24 */
    {0xe0000000, 4, SH_ADDRESS_REFUSED},  /* multicast */
    {0xf0000000, 4, SH_ADDRESS_REFUSED},  /* 240/4 and broadcast */
};

static enum sh_address_class class4(uint32_t address) {
    for (size_t i = 0; i < sizeof(ranges4) / sizeof(ranges4[0]); i++) {
        uint32_t mask = UINT32_MAX << (32 - ranges4[i].bits);
        if ((address & mask) == ranges4[i].net) {
            return ranges4[i].class;
        }
    }
    return SH_ADDRESS_PUBLIC;
}

static uint32_t four(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool starts(const uint8_t *a, const char *prefix, size_t n) {
    return memcmp(a, prefix, n) == 0;
}

/* Tunnels to an IPv4 address: good for a public one at most. */
static enum sh_address_class tunnelled(uint32_t address) {
    return class4(address) == SH_ADDRESS_PUBLIC ? SH_ADDRESS_PUBLIC : SH_ADDRESS_REFUSED;
}

static enum sh_address_class class6(const struct in6_addr *address) {
    const uint8_t *a = address->s6_addr;
    static const uint8_t zero[16] = {0};
    if (memcmp(a, zero, 10) == 0 && a[10] == 0xff && a[11] == 0xff) {
        return class4(four(a + 12)); /* ::ffff:0:0/96, IPv4-mapped */
    }
    if (memcmp(a, zero, 15) == 0) {
        return a[15] == 1 ? SH_ADDRESS_LOOPBACK : SH_ADDRESS_REFUSED;
    }
    if (starts(a, "\x00\x64\xff\x9b\0\0\0\0\0\0\0\0", 12)) {
        return tunnelled(four(a + 12)); /* 64:ff9b::/96, NAT64 */
    }
    if (starts(a, "\x20\x02", 2)) {
        return tunnelled(four(a + 2)); /* 6to4 */
    }
    if ((a[0] & 0xfe) == 0xfc) {
        return SH_ADDRESS_PRIVATE; /* fc00::/7 */
    }
    if ((a[0] & 0xe0) != 0x20 ||                    /* global unicast is 2000::/3 */
        starts(a, "\x20\x01\x00\x00", 4) ||         /* Teredo */
        starts(a, "\x20\x01\x0d\xb8", 4) ||         /* documentation */
        starts(a, "\x20\x01\x00\x02\x00\x00", 6)) { /* benchmarks */
        return SH_ADDRESS_REFUSED;
    }
    return SH_ADDRESS_PUBLIC;
}

bool sh_egress_unpack(const struct sockaddr *addr, struct in6_addr *ret, uint16_t *ret_port) {
    if (addr->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, addr, sizeof(in));
        memset(ret, 0, sizeof(*ret));
        ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
        memcpy(ret->s6_addr + 12, &in.sin_addr, 4);
        *ret_port = ntohs(in.sin_port);
        return true;
    }
    if (addr->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, addr, sizeof(in6));
        *ret = in6.sin6_addr;
        *ret_port = ntohs(in6.sin6_port);
        return true;
    }
    return false;
}

enum sh_address_class sh_address_class(const struct sockaddr *addr) {
    struct in6_addr address;
    uint16_t port = 0;
    return sh_egress_unpack(addr, &address, &port) ? class6(&address) : SH_ADDRESS_REFUSED;
}

static void free_url(CURLU **u) {
    curl_url_cleanup(*u);
}

static bool has_part(CURLU *u, CURLUPart part) {
    char *text = NULL;
    CURLUcode code = curl_url_get(u, part, &text, 0);
    curl_free(text);
    return code == CURLUE_OK;
}

static bool read_literal(const char *host, struct in6_addr *ret) {
    struct in_addr four_bytes;
    if (inet_pton(AF_INET, host, &four_bytes) == 1) {
        memset(ret, 0, sizeof(*ret));
        ret->s6_addr[10] = ret->s6_addr[11] = 0xff;
        memcpy(ret->s6_addr + 12, &four_bytes, 4);
        return true;
    }
    char bare[64];
    size_t n = strlen(host);
    if (n < 3 || n >= sizeof(bare) || host[0] != '[') {
        return false;
    }
    memcpy(bare, host + 1, n - 2);
    bare[n - 2] = '\0';
    return inet_pton(AF_INET6, bare, ret) == 1;
}

static int host_and_port(CURLU *u, struct sh_egress_peer *peer) {
    char *host = NULL;
    char *port = NULL;
    bool good = curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] &&
                strlen(host) < sizeof(peer->host) &&
                curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
    if (good) {
        memcpy(peer->host, host, strlen(host) + 1);
        peer->port = 0;
        for (const char *p = port; *p; p++) { /* curl has checked that it is at most 65535 */
            peer->port = (uint16_t)(peer->port * 10 + (*p - '0'));
        }
        peer->literal = read_literal(peer->host, &peer->address);
        good = peer->port != 0;
    }
    curl_free(host);
    curl_free(port);
    return good ? 0 : -SH_E_INVAL;
}

int sh_egress_peer_parse(const char *url, const char *what, struct sh_egress_peer *ret,
                         struct sh_err *err) {
    struct sh_egress_peer peer = {.port = 0};
    sh_auto(free_url) CURLU *u = curl_url();
    SH_ASSERT(u != NULL);
    bool is_http = strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
    for (const char *p = url; *p; p++) {
        is_http = is_http && (unsigned char)*p > 0x20 && *p != 0x7f;
    }
    if (!is_http || curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        has_part(u, CURLUPART_QUERY) || has_part(u, CURLUPART_FRAGMENT) ||
        host_and_port(u, &peer) != 0) {
        return sh_fail(err, SH_E_INVAL,
                       "%s: expected http://HOST[:PORT]/PATH or https://..., without query and "
                       "fragment, not \"%.200s\"",
                       what, has_part(u, CURLUPART_USER) ? "(hidden)" : url);
    }
    if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD)) {
        return sh_fail(err, SH_E_INVAL,
                       "%s: expected a URL without user and password; name the key by api_key_env "
                       "or api_key_file",
                       what);
    }
    *ret = peer;
    return 0;
}

bool sh_egress_is_localhost(const char *host) {
    static const char name[] = "localhost";
    size_t n = strlen(host);
    size_t m = sizeof(name) - 1;
    return n >= m && strcasecmp(host + n - m, name) == 0 && (n == m || host[n - m - 1] == '.');
}

bool sh_egress_peer_allows(const struct sh_egress_peer *peer, const struct sockaddr *addr) {
    struct in6_addr address;
    uint16_t port = 0;
    if (!sh_egress_unpack(addr, &address, &port) || port != peer->port) {
        return false;
    }
    if (peer->literal) {
        return memcmp(&address, &peer->address, sizeof(address)) == 0;
    }
    enum sh_address_class class = class6(&address);
    return sh_egress_is_localhost(peer->host) ? class == SH_ADDRESS_LOOPBACK
                                              : class != SH_ADDRESS_REFUSED;
}
