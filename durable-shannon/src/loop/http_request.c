/* One request as a curl easy handle. Everything that would let a peer or the environment decide
 * where we connect is off: proxies from variables, redirects, netrc, alt-svc, other schemes. The
 * response is bounded in header bytes and body bytes, whatever its Content-Length says. */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "loop/http_internal.h"

#define set(h, option, value) SH_ASSERT(curl_easy_setopt((h)->easy, (option), (value)) == CURLE_OK)

/* RFC 9110, 5.6.2 */
static bool is_token_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static int check_method(const char *method, struct sh_err *err) {
    size_t n = strlen(method);
    bool ok = n > 0 && n <= 16;
    for (size_t i = 0; ok && i < n; i++) {
        ok = method[i] >= 'A' && method[i] <= 'Z';
    }
    if (!ok || strcmp(method, "CONNECT") == 0 || strcmp(method, "TRACE") == 0) {
        return sh_fail(err, SH_E_INVAL, "expected a method such as GET or POST, not \"%.32s\"",
                       method);
    }
    return 0;
}

static int check_url(const char *url, struct sh_err *err) {
    if (strlen(url) > SH_HTTP_URL_MAX) {
        return sh_fail(err, SH_E_INVAL, "the URL has %zu bytes, at most %llu are allowed",
                       strlen(url), SH_HTTP_URL_MAX);
    }
    CURLU *parsed = curl_url();
    SH_ASSERT(parsed);
    char *scheme = NULL;
    CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, CURLU_DISALLOW_USER);
    if (code == CURLUE_OK) {
        code = curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0);
    }
    int rc = 0;
    if (code == CURLUE_USER_NOT_ALLOWED) {
        rc = sh_fail(err, SH_E_INVAL,
                     "the URL holds a user name or password: give them as a header instead");
    } else if (code != CURLUE_OK) {
        rc = sh_fail(err, SH_E_INVAL, "expected an http or https URL, not \"%.200s\": %s", url,
                     curl_url_strerror(code));
    } else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) {
        rc =
            sh_fail(err, SH_E_INVAL, "expected an http or https URL, not scheme \"%.32s\"", scheme);
    }
    curl_free(scheme);
    curl_url_cleanup(parsed);
    return rc;
}

/* Two lengths of one message are how requests are smuggled. */
static bool frames_the_message(const char *name, size_t n) {
    static const char *const names[] = {
        "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == n && strncasecmp(names[i], name, n) == 0) {
            return true;
        }
    }
    return false;
}

static void add_header(struct sh_http *h, const char *line) {
    struct curl_slist *more = curl_slist_append(h->headers, line);
    SH_ASSERT(more);
    h->headers = more;
}

static int copy_header(struct sh_http *h, const char *line, bool *ret_has_type,
                       struct sh_err *err) {
    size_t name = 0;
    while (is_token_char(line[name])) {
        name++;
    }
    if (name == 0 || line[name] != ':') {
        return sh_fail(err, SH_E_INVAL, "expected a header \"Name: value\", not \"%.100s\"", line);
    }
    if (frames_the_message(line, name)) {
        return sh_fail(err, SH_E_INVAL, "the header %.*s is not the caller's to set", (int)name,
                       line);
    }
    for (const char *p = line + name + 1; *p; p++) {
        if (((unsigned char)*p < 0x20 && *p != '\t') || *p == 0x7f) {
            return sh_fail(err, SH_E_INVAL, "the header %.*s holds a control character (0x%02x)",
                           (int)(name < 100 ? name : 100), line, (unsigned char)*p);
        }
    }
    *ret_has_type |= name == 12 && strncasecmp(line, "content-type", 12) == 0;
    const char *value = line + name + 1 + strspn(line + name + 1, " \t");
    if (*value) {
        add_header(h, line);
    } else { /* curl takes "Name:" for "leave it out" and "Name;" for an empty value */
        sh_auto(sh_free_p) char *empty = sh_asprintf("%.*s;", (int)name, line);
        add_header(h, empty);
    }
    return 0;
}

static int copy_headers(struct sh_http *h, const char *const *headers, struct sh_err *err) {
    bool has_type = false;
    for (size_t i = 0; headers && headers[i]; i++) {
        int rc = copy_header(h, headers[i], &has_type, err);
        if (rc) {
            return rc;
        }
    }
    if (!has_type) {
        add_header(h, "Content-Type:"); /* else curl calls every body a form */
    }
    add_header(h, "Expect:"); /* no round trip before a large body */
    set(h, CURLOPT_HTTPHEADER, h->headers);
    return 0;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    struct sh_http *h = arg;
    n *= size;
    if (n > h->max_response_bytes - h->body_bytes) {
        sh_fail(&h->failure, SH_E_LIMIT, "the response has more than the allowed %zu bytes",
                h->max_response_bytes);
        return CURL_WRITEFUNC_ERROR;
    }
    h->body_bytes += n;
    sh_buf_add(&h->body, p, n);
    if (h->body.failed) {
        sh_fail(&h->failure, SH_E_NOMEM, "no memory for %zu bytes of response", h->body_bytes);
        return CURL_WRITEFUNC_ERROR;
    }
    if (h->on_data && !sh_list_linked(&h->ready)) {
        sh_list_push(&h->client->ready, &h->ready);
    }
    return n;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    struct sh_http *h = arg;
    n *= size;
    h->header_bytes += n;
    if (h->response_headers) {
        if (n > 5 && memcmp(p, "HTTP/", 5) == 0) { /* a status line begins another answer */
            sh_buf_clear(h->response_headers);
        } else if (n > 2) {
            sh_buf_add(h->response_headers, p, n);
        }
    }
    if (h->header_bytes > SH_HTTP_HEADER_BYTES_MAX) {
        sh_fail(&h->failure, SH_E_LIMIT, "the response has more than %llu bytes of headers",
                SH_HTTP_HEADER_BYTES_MAX);
        return 0;
    }
    return n;
}

static bool allowed(struct sh_http *h, const struct sockaddr *addr, const char *name) {
    if (!h->allow || h->allow(h->arg, addr)) {
        if (h->failure.code == SH_E_DENIED) { /* of another address of the same name */
            h->failure = (struct sh_err){0};
        }
        return true;
    }
    sh_fail(&h->failure, SH_E_DENIED, "the address %s may not be connected to", name);
    return false;
}

static void address_text(const struct sockaddr *addr, char *out, socklen_t size) {
    const void *bytes = &((const struct sockaddr_in *)(const void *)addr)->sin_addr;
    if (addr->sa_family == AF_INET6) {
        bytes = &((const struct sockaddr_in6 *)(const void *)addr)->sin6_addr;
    }
    if (addr->sa_family == AF_UNIX || !inet_ntop(addr->sa_family, bytes, out, size)) {
        snprintf(out, size, "%s", addr->sa_family == AF_UNIX ? "of the unix socket" : "(unknown)");
    }
}

static curl_socket_t on_open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *addr) {
    struct sh_http *h = arg;
    char name[INET6_ADDRSTRLEN + 32];
    (void)purpose;
    address_text(&addr->addr, name, sizeof(name));
    if (!allowed(h, &addr->addr, name)) {
        return CURL_SOCKET_BAD;
    }
    return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* curl reuses connections, and one that another request was allowed to open may be one that this
 * request must not use: ask again, with the address it is really connected to. */
static int on_before_request(void *arg, char *remote_ip, char *local_ip, int remote_port,
                             int local_port) {
    struct sh_http *h = arg;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
        struct sockaddr_un path;
    } addr = {0};
    (void)local_ip;
    (void)local_port;
    if (h->unix_socket) {
        addr.path.sun_family = AF_UNIX;
        memcpy(addr.path.sun_path, h->unix_socket, strlen(h->unix_socket) + 1);
    } else if (remote_ip && inet_pton(AF_INET, remote_ip, &addr.v4.sin_addr) == 1) {
        addr.v4.sin_family = AF_INET;
        addr.v4.sin_port = htons((uint16_t)remote_port);
    } else if (remote_ip && inet_pton(AF_INET6, remote_ip, &addr.v6.sin6_addr) == 1) {
        addr.v6.sin6_family = AF_INET6;
        addr.v6.sin6_port = htons((uint16_t)remote_port);
    } else if (h->allow) {
        sh_fail(&h->failure, SH_E_DENIED, "the address of the connection is not known");
        return CURL_PREREQFUNC_ABORT;
    }
    const char *name = h->unix_socket ? h->unix_socket : remote_ip;
    return allowed(h, &addr.any, name) ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static size_t on_more_body(char *p, size_t size, size_t n, void *arg) {
    struct sh_http *h = arg;
    uint64_t left = h->body_file_bytes - h->body_file_at;
    n = size * n < left ? size * n : (size_t)left;
    if (sh_spool_read(h->body_file, h->body_file_at, p, n, &h->failure) < 0) {
        return CURL_READFUNC_ABORT;
    }
    h->body_file_at += n;
    return n;
}

/* A connection that was kept turned out to be gone: the body is sent again. */
static int on_seek_body(void *arg, curl_off_t offset, int origin) {
    struct sh_http *h = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > h->body_file_bytes) {
        return CURL_SEEKFUNC_FAIL;
    }
    h->body_file_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void set_body_file(struct sh_http *h, const struct sh_http_request *req) {
    h->body_file = req->body_file;
    h->body_file_bytes = req->body_file_bytes;
    set(h, CURLOPT_POST, 1L);
    set(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body_file_bytes);
    set(h, CURLOPT_READFUNCTION, on_more_body);
    set(h, CURLOPT_READDATA, h);
    set(h, CURLOPT_SEEKFUNCTION, on_seek_body);
    set(h, CURLOPT_SEEKDATA, h);
}

static void set_method(struct sh_http *h, const struct sh_http_request *req) {
    bool sends = req->body.len || strcmp(req->method, "POST") == 0 ||
                 strcmp(req->method, "PUT") == 0 || strcmp(req->method, "PATCH") == 0;
    h->head = strcmp(req->method, "HEAD") == 0;
    if (req->body_file_bytes) {
        set_body_file(h, req);
    } else if (sends) {
        h->request_body = sh_memdup(req->body.p, req->body.len);
        set(h, CURLOPT_POST, 1L);
        set(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.len);
        set(h, CURLOPT_POSTFIELDS, h->request_body); /* not copied by curl */
    }
    if (h->head) {
        set(h, CURLOPT_NOBODY, 1L);
    } else {
        set(h, CURLOPT_CUSTOMREQUEST, req->method);
    }
}

static long milliseconds(uint64_t ms) {
    return ms < INT_MAX ? (long)ms : INT_MAX; /* curl takes no more; it is 24 days */
}

static void set_bounds(struct sh_http *h, const struct sh_http_request *req) {
    set(h, CURLOPT_PROTOCOLS_STR, "http,https");
    set(h, CURLOPT_PROXY, "");
    set(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    set(h, CURLOPT_FOLLOWLOCATION, 0L);
    set(h, CURLOPT_ACCEPT_ENCODING, NULL); /* a byte is a byte: nothing unpacks to gigabytes */
    set(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    set(h, CURLOPT_NOSIGNAL, 1L);
    set(h, CURLOPT_QUICK_EXIT, 1L); /* a cancel must not wait for the resolver's thread */
    set(h, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    set(h, CURLOPT_OPENSOCKETDATA, h);
    set(h, CURLOPT_PREREQFUNCTION, on_before_request);
    set(h, CURLOPT_PREREQDATA, h);
    set(h, CURLOPT_WRITEFUNCTION, on_body);
    set(h, CURLOPT_WRITEDATA, h);
    set(h, CURLOPT_HEADERFUNCTION, on_header);
    set(h, CURLOPT_HEADERDATA, h);
    set(h, CURLOPT_ERRORBUFFER, h->curl_text);
    set(h, CURLOPT_PRIVATE, h);
    set(h, CURLOPT_TIMEOUT_MS, milliseconds(req->timeout_ms));
    set(h, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(req->connect_timeout_ms));
    if (!h->head && h->max_response_bytes && h->max_response_bytes <= INT64_MAX) {
        /* refuses by Content-Length already; on_body counts in any case */
        set(h, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)h->max_response_bytes);
    }
}

static int set_unix_socket(struct sh_http *h, const char *path, struct sh_err *err) {
    size_t most = sizeof(((struct sockaddr_un *)NULL)->sun_path);
    if (path[0] == '\0' || strlen(path) >= most) {
        return sh_fail(err, SH_E_INVAL, "the path of a unix socket has 1 to %zu bytes, not %zu",
                       most - 1, strlen(path));
    }
    h->unix_socket = sh_strdup(path);
    set(h, CURLOPT_UNIX_SOCKET_PATH, path);
    return 0;
}

int sh_http_build(const struct sh_http_request *req, struct sh_http **ret, struct sh_err *err) {
    SH_ASSERT(req->method && req->url && req->done);
    int rc = check_method(req->method, err);
    rc = rc ? rc : check_url(req->url, err);
    if (rc) {
        return rc;
    }
    struct sh_http *h = sh_new(struct sh_http);
    h->easy = curl_easy_init();
    SH_ASSERT(h->easy);
    h->max_response_bytes = req->max_response_bytes;
    h->allow = req->allow;
    h->on_data = req->on_data;
    h->response_headers = req->response_headers;
    h->done = req->done;
    h->arg = req->arg;
    sh_buf_init(&h->body, req->max_response_bytes);
    set(h, CURLOPT_URL, req->url);
    set_method(h, req);
    set_bounds(h, req);
    rc = copy_headers(h, req->headers, err);
    if (rc == 0 && req->unix_socket) {
        rc = set_unix_socket(h, req->unix_socket, err);
    }
    if (rc) {
        sh_http_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

struct sh_http *sh_http_free(struct sh_http *h) {
    curl_easy_cleanup(h->easy);
    curl_slist_free_all(h->headers);
    sh_free(h->request_body);
    sh_free(h->unix_socket);
    sh_buf_done(&h->body);
    return sh_free(h);
}

static int code_of(CURLcode result) {
    switch (result) {
    case CURLE_OPERATION_TIMEDOUT:
        return SH_E_TIMEOUT;
    case CURLE_FILESIZE_EXCEEDED:
        return SH_E_LIMIT;
    case CURLE_OUT_OF_MEMORY:
        return SH_E_NOMEM;
    default: /* resolving, connecting, TLS, and all ways in which a connection breaks */
        return SH_E_UNAVAILABLE;
    }
}

int sh_http_outcome(struct sh_http *h, struct sh_err *err) {
    if (h->result == CURLE_OK) {
        return 0;
    }
    if (h->failure.code) {
        *err = h->failure;
        return -h->failure.code;
    }
    return sh_fail(err, code_of(h->result), "no whole HTTP response came: %s",
                   h->curl_text[0] ? h->curl_text : curl_easy_strerror(h->result));
}
