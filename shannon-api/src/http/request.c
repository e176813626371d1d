/* A request is freed by the door that made it, after on_reply; handlers only reply. */
#include "http/request.h"
#include "http/pipe.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sh_request *sh_request_new(struct sh_api *api, const char *method, const char *path) {
    struct sh_request *r = sh_new(struct sh_request);
    r->api = api;
    r->method = sh_strdup(method);
    r->path = sh_strdup(path);
    r->query = json_object();
    r->headers = json_object();
    r->reply_headers = json_object();
    sh_buf_init(&r->body, SH_HTTP_BODY_MAX);
    sh_buf_init(&r->reply, SH_JSON_TEXT_MAX);
    r->body_file = r->reply_file = -1;
    return r;
}

struct sh_request *sh_request_free(struct sh_request *r) {
    if (!r) {
        return NULL;
    }
    sh_free(r->method);
    sh_free(r->path);
    sh_free(r->id);
    sh_free(r->name);
    sh_free(r->stream.workflow);
    sh_free(r->stream.types);
    json_decref(r->query);
    json_decref(r->headers);
    json_decref(r->reply_headers);
    sh_buf_done(&r->body);
    sh_buf_done(&r->input_text);
    sh_buf_done(&r->reply);
    sh_close_p(&r->body_file);
    sh_close_p(&r->reply_file);
    if (r->pipe) {
        sh_pipe_leave(r->pipe);
    }
    return sh_free(r);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent-decoding; in a query, '+' is a blank (application/x-www-form-urlencoded, as the WHATWG
 * URL standard decodes it). */
static int unescape(struct sh_str text, bool plus, struct sh_buf *out, struct sh_err *err) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.p[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.p[i + 2]) : -1;
            if (high < 0 || low < 0) {
                return sh_fail(err, SH_E_INVAL, "the address has a %% without two hex digits");
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == 0) {
            return sh_fail(err, SH_E_INVAL, "the address holds a NUL");
        }
        sh_buf_addc(out, c);
    }
    if (out->failed || !sh_utf8_valid(sh_buf_str(out))) {
        return sh_fail(err, SH_E_INVAL, "the address is not UTF-8");
    }
    return 0;
}

int sh_request_segment(struct sh_str text, char **ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, 513);
    int rc = unescape(text, false, &out, err);
    if (rc == 0 && out.len == 0) {
        rc = sh_fail(err, SH_E_INVAL, "the path has an empty name");
    }
    if (rc == 0) {
        *ret = sh_strndup0(out.p, out.len);
    }
    return rc;
}

static int query_pair(struct sh_request *r, struct sh_str pair, struct sh_err *err) {
    const char *equals = memchr(pair.p, '=', pair.len);
    size_t n = equals ? (size_t)(equals - pair.p) : pair.len;
    sh_auto(sh_buf_done) struct sh_buf name = {0}, value = {0};
    sh_buf_init(&name, 256);
    sh_buf_init(&value, 64 * SH_KIB);
    int rc = unescape(sh_strn(pair.p, n), true, &name, err);
    if (rc == 0 && equals) {
        rc = unescape(sh_strn(equals + 1, pair.len - n - 1), true, &value, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (!name.len) {
        return sh_fail(err, SH_E_INVAL, "the query string has a value without a name");
    }
    if (json_object_get(r->query, name.p)) {
        return sh_fail(err, SH_E_INVAL, "the query parameter %.60s is given twice", name.p);
    }
    json_object_set_new(r->query, name.p, sh_json_string(sh_buf_str(&value)));
    return 0;
}

int sh_request_query(struct sh_request *r, struct sh_str text, struct sh_err *err) {
    size_t start = 0;
    for (size_t i = 0; i <= text.len; i++) {
        if (i == text.len || text.p[i] == '&') {
            if (i > start) {
                int rc = query_pair(r, sh_strn(text.p + start, i - start), err);
                if (rc < 0) {
                    return rc;
                }
            }
            start = i + 1;
        }
    }
    return 0;
}

const char *sh_request_param(const struct sh_request *r, const char *name) {
    return json_string_value(json_object_get(r->query, name));
}

const char *sh_request_header(const struct sh_request *r, const char *lower_name) {
    return json_string_value(json_object_get(r->headers, lower_name));
}

int sh_request_number(const struct sh_request *r, const char *name, uint64_t fallback, uint64_t min,
                      uint64_t max, uint64_t *ret, struct sh_err *err) {
    const char *text = sh_request_param(r, name);
    if (!text || !*text) {
        *ret = fallback;
        return 0;
    }
    uint64_t v = 0;
    bool ok = true;
    for (const char *p = text; ok && *p; p++) {
        ok = isdigit((unsigned char)*p) && !__builtin_mul_overflow(v, 10, &v) &&
             !__builtin_add_overflow(v, (uint64_t)(*p - '0'), &v);
    }
    if (!ok || v < min || v > max) {
        return sh_fail(err, SH_E_INVAL,
                       "%s is \"%.40s\"; expected a whole number from %llu to %llu", name, text,
                       (unsigned long long)min, (unsigned long long)max);
    }
    *ret = v;
    return 0;
}

int sh_request_json(const struct sh_request *r, bool may_be_empty, json_t **ret,
                    struct sh_err *err) {
    if (r->body.len == 0 && may_be_empty) {
        *ret = json_object();
        return 0;
    }
    if (r->body.len == 0) {
        return sh_fail(err, SH_E_JSON, "the body is empty; expected a JSON object");
    }
    json_t *value = NULL;
    int rc = sh_json_parse(sh_buf_str(&r->body), SH_HTTP_BODY_MAX, &value, err);
    if (rc < 0) {
        return rc;
    }
    if (!json_is_object(value)) {
        json_decref(value);
        return sh_fail(err, SH_E_INVAL, "the body must be a JSON object");
    }
    *ret = value;
    return 0;
}

static void finish(struct sh_request *r, int status, enum sh_reply_kind kind) {
    SH_ASSERT(!r->replied);
    r->replied = true;
    r->status = status;
    r->kind = kind;
    r->on_reply(r);
}

void sh_reply_json(struct sh_request *r, int status, json_t *owned) {
    sh_json_dump(owned, &r->reply);
    json_decref(owned);
    r->content_type = "application/json";
    if (r->reply.failed) {
        sh_buf_clear(&r->reply);
        sh_buf_adds(&r->reply,
                    "{\"error\":{\"code\":\"limit_exceeded\",\"message\":\"the answer is too "
                    "large; ask for fewer items with limit\"}}");
        status = 500;
    }
    finish(r, status, SH_REPLY_PLAIN);
}

void sh_reply_text(struct sh_request *r, int status, const char *content_type, struct sh_str text) {
    sh_buf_add(&r->reply, text.p, text.len);
    r->content_type = content_type;
    finish(r, status, SH_REPLY_PLAIN);
}

void sh_reply_file(struct sh_request *r, int status, const char *content_type, int fd,
                   uint64_t bytes) {
    r->reply_file = fd;
    r->reply_bytes = bytes;
    r->content_type = content_type;
    finish(r, status, SH_REPLY_FILE);
}

json_t *sh_error_json(const struct sh_err *err) {
    const struct sh_code_info *info = sh_code_info(err->code);
    json_t *inner = json_pack("{s:o, s:s}", "message",
                              sh_json_string(sh_str(err->message[0] ? err->message : info->text)),
                              "code", info->name);
    return json_pack("{s:o}", "error", inner);
}

void sh_reply_error(struct sh_request *r, const struct sh_err *err) {
    sh_reply_json(r, sh_code_info(err->code)->http_status, sh_error_json(err));
}

void sh_reply_stream(struct sh_request *r, enum sh_reply_kind kind) {
    SH_ASSERT(r->can_stream);
    finish(r, kind == SH_REPLY_WEBSOCKET ? 101 : 200, kind);
}

void sh_reply_header(struct sh_request *r, const char *name, const char *value) {
    /* Values come from ids and keys; a line break in one would begin another header. */
    for (const char *p = value; *p; p++) {
        if ((unsigned char)*p < 0x20 || *p == 0x7f) {
            return;
        }
    }
    json_object_set_new(r->reply_headers, name, sh_json_string(sh_str(value)));
}

void sh_reply_pipe(struct sh_request *r, struct sh_pipe *pipe) {
    r->pipe = pipe;
    finish(r, 200, SH_REPLY_PIPE);
}
