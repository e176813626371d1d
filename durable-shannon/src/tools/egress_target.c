/* URLs that agents name. A URL is taken apart once, put together again in one form, and that form
 * is what rules see and what is sent, so that nobody can read it in two ways. Spellings of IPv4
 * addresses as one number, in octal or hex become the usual one here; whatever a resolver makes of
 * a name is judged again when the socket is opened. */
#include <arpa/inet.h>
#include <curl/curl.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>

#include "tools/egress_private.h"

void sh_egress_target_done(struct sh_egress_target *t) {
    sh_free(t->url);
    sh_free(t->scheme);
    sh_free(t->host);
    sh_free(t->path);
    sh_free(t->path_plain);
    *t = (struct sh_egress_target){0};
}

bool sh_egress_same_origin(const struct sh_egress_target *a, const struct sh_egress_target *b) {
    return a->port == b->port && strcmp(a->scheme, b->scheme) == 0 && strcmp(a->host, b->host) == 0;
}

static void free_url(CURLU **u) {
    curl_url_cleanup(*u);
}

static char *part(CURLU *u, CURLUPart what, unsigned flags) {
    char *text = NULL;
    char *copy = NULL;
    if (curl_url_get(u, what, &text, flags) == CURLUE_OK) {
        copy = sh_strdup(text);
    }
    curl_free(text);
    return copy;
}

static int bad(const char *url, const char *why, struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL,
                   "url: expected http://HOST[:PORT]/PATH or https://..., not "
                   "\"%.200s\": %s",
                   url, why);
}

/* One spelling for a host: lower case, IPv6 as inet_ntop writes it. */
static int settle_host(struct sh_egress_target *t, const char *url, struct sh_err *err) {
    char *h = t->host;
    size_t n = strlen(h);
    struct in6_addr six;
    if (h[0] == '[') {
        char text[INET6_ADDRSTRLEN];
        h[n - 1] = '\0';
        if (inet_pton(AF_INET6, h + 1, &six) != 1) {
            return bad(url, "the address in brackets is not one", err);
        }
        inet_ntop(AF_INET6, &six, text, sizeof(text));
        sh_free(t->host);
        t->host = sh_asprintf("[%s]", text);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        h[i] = h[i] >= 'A' && h[i] <= 'Z' ? (char)(h[i] + 32) : h[i];
        bool good = (h[i] >= 'a' && h[i] <= 'z') || (h[i] >= '0' && h[i] <= '9') || h[i] == '-' ||
                    h[i] == '_' || h[i] == '.';
        if (!good) {
            return bad(url,
                       "its host has other characters than a-z, 0-9, - and . (write "
                       "international names as xn--...)",
                       err);
        }
    }
    if (n == 0 || n > 253 || h[0] == '.' || h[n - 1] == '.' || strstr(h, "..")) {
        return bad(url, "its host is no name", err);
    }
    return 0;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 87 : -1;
}

/* The path with its escapes undone, once; NULL when there are none. */
static char *unescaped(const char *path) {
    if (!strchr(path, '%')) {
        return NULL;
    }
    char *out = sh_strdup(path);
    size_t n = 0;
    for (size_t i = 0; path[i]; i++) {
        int high = path[i] == '%' ? hex(path[i + 1]) : -1;
        int low = high >= 0 ? hex(path[i + 2]) : -1;
        out[n++] = (char)(low >= 0 ? high << 4 | low : path[i]);
        i += low >= 0 ? 2 : 0;
    }
    out[n] = '\0';
    return out;
}

/* "." and ".." between slashes of either kind. */
static bool has_dot_segment(const char *path) {
    for (const char *p = path; *p; p++) {
        if (*p == '/' || *p == '\\') {
            size_t dots = strspn(p + 1, ".");
            if ((dots == 1 || dots == 2) && (!p[1 + dots] || strchr("/\\;", p[1 + dots]))) {
                return true;
            }
        }
    }
    return false;
}

static int settle_path(struct sh_egress_target *t, const char *url, struct sh_err *err) {
    t->path_plain = unescaped(t->path);
    const char *plain = t->path_plain ? t->path_plain : t->path;
    if (has_dot_segment(plain) || strchr(plain, '\\')) {
        return bad(url, "its path hides dot segments or backslashes", err);
    }
    for (const char *p = t->path; *p; p++) {
        if (p[0] == '%' && (hex(p[1]) < 0 || hex(p[2]) < 0)) {
            return bad(url, "a % in its path begins no escape", err);
        }
        if (p[0] == '%' && p[1] == '0' && p[2] == '0') {
            return bad(url, "its path holds %00", err);
        }
    }
    return 0;
}

static int settle(CURLU *u, const char *url, struct sh_egress_target *t, struct sh_err *err) {
    sh_auto(sh_free_p) char *user = part(u, CURLUPART_USER, 0);
    sh_auto(sh_free_p) char *password = part(u, CURLUPART_PASSWORD, 0);
    sh_auto(sh_free_p) char *zone = part(u, CURLUPART_ZONEID, 0);
    if (zone) {
        return bad(url, "zones of addresses are not allowed", err);
    }
    if (user || password) {
        return sh_fail(err, SH_E_INVAL,
                       "url: expected a URL without user and password; name a credential instead");
    }
    t->scheme = part(u, CURLUPART_SCHEME, 0);
    t->host = part(u, CURLUPART_HOST, 0);
    t->path = part(u, CURLUPART_PATH, 0);
    sh_auto(sh_free_p) char *port = part(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    if (!t->scheme || !t->host || !t->path || !port ||
        (strcmp(t->scheme, "http") != 0 && strcmp(t->scheme, "https") != 0)) {
        return bad(url, "it is not complete", err);
    }
    for (const char *p = port; *p; p++) { /* curl has checked that it is at most 65535 */
        t->port = (uint16_t)(t->port * 10 + (*p - '0'));
    }
    if (t->port == 0) {
        return bad(url, "port 0 is none", err);
    }
    int r = settle_host(t, url, err);
    r = r ? r : settle_path(t, url, err);
    if (r) {
        return r;
    }
    curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0);
    curl_url_set(u, CURLUPART_HOST, t->host, 0);
    t->url = part(u, CURLUPART_URL, 0);
    return t->url && strlen(t->url) <= SH_HTTP_URL_MAX ? 0 : bad(url, "it is too long", err);
}

int sh_egress_target_parse(const char *url, const char *base, struct sh_egress_target *ret,
                           struct sh_err *err) {
    struct sh_egress_target t = {0};
    sh_auto(free_url) CURLU *u = curl_url();
    SH_ASSERT(u != NULL);
    for (const char *p = url; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return bad(url, "it holds a control character", err);
        }
    }
    if (!base && strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0) {
        return bad(url, "its scheme is another", err);
    }
    CURLUcode code = base ? curl_url_set(u, CURLUPART_URL, base, 0) : CURLUE_OK;
    code = code == CURLUE_OK ? curl_url_set(u, CURLUPART_URL, url, CURLU_URLENCODE) : code;
    int r = code == CURLUE_OK ? settle(u, url, &t, err) : bad(url, curl_url_strerror(code), err);
    if (r) {
        sh_egress_target_done(&t);
        return r;
    }
    *ret = t;
    return 0;
}

int sh_egress_target_tcp(const char *host, uint16_t port, struct sh_egress_target *ret,
                         struct sh_err *err) {
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t n = strlen(host);
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    bool six = brackets || strchr(host, ':');
    sh_auto(sh_free_p) char *url = NULL;
    /* nothing in it may have a meaning in a URL */
    if (n == 0 || n > 253 || port == 0 ||
        strspn(host + brackets, six ? "0123456789abcdefABCDEF:." : good) !=
            n - 2 * (size_t)brackets) {
        return sh_fail(err, SH_E_INVAL,
                       "expected tcp/HOST/PORT with a host name or an address, not \"%.100s\"",
                       host);
    }
    url = six && !brackets ? sh_asprintf("http://[%s]:%u/", host, port)
                           : sh_asprintf("http://%s:%u/", host, port);
    int r = sh_egress_target_parse(url, NULL, ret, err);
    if (r == 0) {
        sh_free(ret->scheme);
        sh_free(ret->path);
        sh_free(ret->url);
        ret->scheme = sh_strdup("tcp");
        ret->path = NULL;
        ret->url = sh_asprintf("tcp://%s:%u", ret->host, port);
    }
    return r;
}

/* Rules see the path as it is sent and as it is meant: both must be covered, neither refused. */
static bool reachable(const struct sh_egress_gate *gate, const struct sh_egress_target *t,
                      const char *host, const char *method, bool written_out) {
    char *methods[] = {(char *)(uintptr_t)method, NULL};
    struct sh_net_rule rule = {.scheme = t->scheme,
                               .host = (char *)(uintptr_t)host,
                               .path = t->path,
                               .port = t->port,
                               .methods = methods};
    if (!gate->may_reach || !gate->may_reach(gate->arg, &rule, written_out)) {
        return false;
    }
    rule.path = t->path_plain;
    return !rule.path || gate->may_reach(gate->arg, &rule, written_out);
}

int sh_egress_check(const struct sh_egress_gate *gate, const struct sh_egress_target *t,
                    const char *method, struct sh_err *err) {
    if (reachable(gate, t, t->host, method, false)) {
        return 0;
    }
    if (!method) {
        return sh_fail(err, SH_E_DENIED,
                       "no network rule allows %s://%s:%u; the operator grants it with "
                       "`--allow-net %s://%s:%u` or in policy.toml",
                       t->scheme, t->host, t->port, t->scheme, t->host, t->port);
    }
    return sh_fail(err, SH_E_DENIED,
                   "no network rule allows %s %s://%s:%u%.120s; the operator grants it with "
                   "`--allow-net \"%s %s://%s:%u/*\"` or in policy.toml",
                   method, t->scheme, t->host, t->port, t->path, method, t->scheme, t->host,
                   t->port);
}

void sh_egress_own_add(struct sh_egress_own *own, const struct sockaddr *addr) {
    struct in6_addr address;
    uint16_t port = 0;
    if (own->n < sizeof(own->door) / sizeof(own->door[0]) &&
        sh_egress_unpack(addr, &address, &port)) {
        own->door[own->n].address = address;
        own->door[own->n++].port = port;
    }
}

/* Is it an address of one of this machine's interfaces? */
static bool is_this_machine(const struct in6_addr *address) {
    struct ifaddrs *all = NULL;
    bool found = false;
    if (getifaddrs(&all) != 0) {
        return true; /* not known: the careful answer */
    }
    for (struct ifaddrs *i = all; i && !found; i = i->ifa_next) {
        struct in6_addr own;
        uint16_t port = 0;
        found = i->ifa_addr && sh_egress_unpack(i->ifa_addr, &own, &port) &&
                memcmp(&own, address, sizeof(own)) == 0;
    }
    freeifaddrs(all);
    return found;
}

static bool is_own_door(const struct sh_egress_own *own, const struct in6_addr *address,
                        uint16_t port, bool here) {
    for (size_t i = 0; own && i < own->n; i++) {
        if (own->door[i].port == port &&
            (here || memcmp(&own->door[i].address, address, sizeof(*address)) == 0)) {
            return true;
        }
    }
    return false;
}

static bool written_out(const struct sh_egress_gate *gate, const struct sh_egress_target *t,
                        const char *method, const struct in6_addr *address) {
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    char text[INET6_ADDRSTRLEN];
    char host[INET6_ADDRSTRLEN + 2];
    if (memcmp(address->s6_addr, mapped, sizeof(mapped)) == 0) {
        inet_ntop(AF_INET, address->s6_addr + 12, text, sizeof(text));
        snprintf(host, sizeof(host), "%s", text);
    } else {
        inet_ntop(AF_INET6, address, text, sizeof(text));
        snprintf(host, sizeof(host), "[%s]", text);
    }
    return reachable(gate, t, host, method, true);
}

bool sh_egress_allows(const struct sh_egress_gate *gate, const struct sh_egress_own *own,
                      const struct sh_egress_target *t, const char *method,
                      const struct sockaddr *addr) {
    struct in6_addr address;
    uint16_t port = 0;
    if (!sh_egress_unpack(addr, &address, &port) || port != t->port) {
        return false;
    }
    if (address.s6_addr[12] == 0 && address.s6_addr[0] == 0 && !IN6_IS_ADDR_LOOPBACK(&address)) {
        return false; /* 0/8 and ::, which reach this machine under another name */
    }
    enum sh_address_class class = sh_address_class(addr);
    bool here = class == SH_ADDRESS_LOOPBACK || is_this_machine(&address);
    if (is_own_door(own, &address, port, here)) {
        return false;
    }
    if (class == SH_ADDRESS_PUBLIC && !here) {
        return true;
    }
    if (class == SH_ADDRESS_LOOPBACK && sh_egress_is_localhost(t->host) &&
        reachable(gate, t, t->host, method, true)) {
        return true;
    }
    return written_out(gate, t, method, &address);
}
