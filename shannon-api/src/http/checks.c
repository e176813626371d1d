#include "http/checks.h"

#include <ctype.h>
#include <stdio.h>
#include <strings.h>

static bool name_is(struct sh_str name, const char *lower) {
    return name.len == strlen(lower) && strncasecmp(name.p, lower, name.len) == 0;
}

static int check_value(const struct sh_header *h, struct sh_err *err) {
    for (size_t i = 0; i < h->name.len; i++) {
        unsigned char c = (unsigned char)h->name.p[i];
        if (c <= 0x20 || c >= 0x7f || c == ':') {
            return sh_fail(err, SH_E_INVAL, "a header name holds a character that is not allowed");
        }
    }
    for (size_t i = 0; i < h->value.len; i++) {
        unsigned char c = (unsigned char)h->value.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return sh_fail(err, SH_E_INVAL, "the header %.*s holds a control character",
                           (int)(h->name.len < 60 ? h->name.len : 60), h->name.p);
        }
    }
    if (h->name.len == 0) {
        return sh_fail(err, SH_E_INVAL, "a header has no name");
    }
    return 0;
}

static bool all_digits(struct sh_str s) {
    for (size_t i = 0; i < s.len; i++) {
        if (!isdigit((unsigned char)s.p[i])) {
            return false;
        }
    }
    return s.len > 0 && s.len <= 19;
}

int sh_check_headers(const struct sh_header *headers, size_t n, bool need_host,
                     struct sh_err *err) {
    static const char *const single[] = {
        "host",   "content-length", "transfer-encoding", "authorization",        "x-api-key",
        "origin", "upgrade",        "sec-websocket-key", "sec-websocket-version"};
    enum { HOST, LENGTH, CODING, N_SINGLE = sizeof(single) / sizeof(single[0]) };
    unsigned seen[N_SINGLE] = {0};
    for (size_t i = 0; i < n; i++) {
        int rc = check_value(&headers[i], err);
        if (rc < 0) {
            return rc;
        }
        for (size_t k = 0; k < N_SINGLE; k++) {
            if (name_is(headers[i].name, single[k]) && ++seen[k] > 1) {
                return sh_fail(err, SH_E_INVAL, "the header %s is given twice", single[k]);
            }
        }
        if (name_is(headers[i].name, "content-length") && !all_digits(headers[i].value)) {
            return sh_fail(err, SH_E_INVAL, "Content-Length must be digits");
        }
        if (name_is(headers[i].name, "transfer-encoding") &&
            !name_is(headers[i].value, "chunked")) {
            return sh_fail(err, SH_E_INVAL, "Transfer-Encoding must be chunked, nothing else");
        }
    }
    if (seen[LENGTH] && seen[CODING]) {
        return sh_fail(err, SH_E_INVAL, "Content-Length and Transfer-Encoding exclude each other");
    }
    if (need_host && !seen[HOST]) {
        return sh_fail(err, SH_E_INVAL, "the Host header is missing");
    }
    return 0;
}

static bool listed(const json_t *list, struct sh_str s) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        if (sh_str_eq(s, sh_strn(json_string_value(item), json_string_length(item)))) {
            return true;
        }
    }
    return false;
}

static bool is_loopback(const char *host) {
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

static bool is_authority(struct sh_str s, const char *host, uint16_t port) {
    char text[96];
    bool v6 = strchr(host, ':') != NULL;
    snprintf(text, sizeof(text), v6 ? "[%s]:%u" : "%s:%u", host, port);
    if (sh_str_eqz(s, text)) {
        return true;
    }
    snprintf(text, sizeof(text), v6 ? "[%s]" : "%s", host);
    return port == 80 && sh_str_eqz(s, text);
}

static bool is_our_authority(const struct sh_door_rules *rules, struct sh_str s) {
    if (is_authority(s, rules->host, rules->port) || listed(rules->hosts, s)) {
        return true;
    }
    return is_loopback(rules->host) &&
           (is_authority(s, "localhost", rules->port) ||
            is_authority(s, "127.0.0.1", rules->port) || is_authority(s, "::1", rules->port));
}

int sh_check_host(const struct sh_door_rules *rules, struct sh_str host, struct sh_err *err) {
    if (is_our_authority(rules, host)) {
        return 0;
    }
    return sh_fail(err, SH_E_DENIED,
                   "the Host \"%.*s\" is not this server's; use http://%s:%u or name it in "
                   "server.hosts",
                   (int)(host.len < 80 ? host.len : 80), host.p, rules->host, rules->port);
}

int sh_check_origin(const struct sh_door_rules *rules, struct sh_str origin, struct sh_err *err) {
    if (origin.len == 0) {
        return 0;
    }
    if (!sh_str_eqz(origin, "null")) {
        struct sh_str http = SH_STR("http://");
        if (listed(rules->origins, origin) ||
            (sh_str_starts(origin, http) &&
             is_our_authority(rules, sh_strn(origin.p + http.len, origin.len - http.len)))) {
            return 0;
        }
    }
    return sh_fail(
        err, SH_E_DENIED,
        "pages from \"%.*s\" may not use this server; name that origin in server.origins",
        (int)(origin.len < 80 ? origin.len : 80), origin.p);
}

static bool key_is(const char *given, const char *key) {
    return given && sh_secret_eq(sh_str(given), sh_str(key));
}

static bool headers_hold(const struct sh_credentials *c, const char *key) {
    const char *bearer = NULL;
    if (c->authorization && strncasecmp(c->authorization, "Bearer ", 7) == 0) {
        bearer = c->authorization + 7;
        while (*bearer == ' ') {
            bearer++;
        }
    }
    return key_is(bearer, key) || key_is(c->api_key, key);
}

int sh_check_mcp_key(const struct sh_credentials *c, const char *key, struct sh_err *err) {
    if (key && headers_hold(c, key)) {
        return 0;
    }
    return sh_fail(err, SH_E_AUTH,
                   "/mcp takes a key of its own: send Authorization: Bearer KEY with what the file "
                   "mcp-key of the data directory holds");
}

int sh_check_key(const struct sh_credentials *c, const char *key, bool is_stream,
                 struct sh_err *err) {
    bool ok = headers_hold(c, key);
    if (is_stream) {
        ok = ok || key_is(c->query_api_key, key) || key_is(c->query_token, key);
    }
    if (ok) {
        return 0;
    }
    bool given =
        c->authorization || c->api_key || (is_stream && (c->query_api_key || c->query_token));
    return sh_fail(err, SH_E_AUTH,
                   given
                       ? "the API key is not this server's; it is in the file api-key of the data "
                         "directory"
                       : "an API key is needed: send X-API-Key: KEY or Authorization: Bearer KEY; "
                         "it is in the file api-key of the data directory");
}

uint64_t sh_resume_after(const char *last_event_id) {
    uint64_t v = 0;
    for (const char *p = last_event_id; p && *p; p++) {
        if (!isdigit((unsigned char)*p) || __builtin_mul_overflow(v, 10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(*p - '0'), &v)) {
            return 0;
        }
    }
    return v;
}
