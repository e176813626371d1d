/* The one table of error codes, and the recording of a failure at its origin. Messages may quote
 * what guests, peers and files said, so what is not printable is escaped here, once, and no caller
 * has to think of it. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const struct sh_code_info table[SH_E_COUNT] = {[SH_OK] = {"ok", "done", false, 200, 0},
#define SH_ERROR_ROW(name, text, long_text, retry, http, exit)                                     \
    [SH_E_##name] = {text, long_text, retry, http, exit},
                                                      SH_ERROR_TABLE(SH_ERROR_ROW)
#undef SH_ERROR_ROW
};

const struct sh_code_info *sh_code_info(int code) {
    if (code < 0 && code > -SH_E_COUNT) {
        code = -code;
    }
    return code >= 0 && code < SH_E_COUNT ? &table[code] : &table[SH_E_INTERNAL];
}

int sh_code_from_name(const char *name) {
    for (int code = SH_OK; name && code < SH_E_COUNT; code++) {
        if (strcmp(table[code].name, name) == 0) {
            return code;
        }
    }
    return SH_E_INTERNAL;
}

/* Longer than a message, so that escaping starts from all that could fit. */
#define RAW_MAX 1024

static int record(struct sh_err *err, int code, const char *file, int line, const char *raw,
                  size_t len) {
    static const char more[] = "...";
    bool cut = false;
    err->code = code;
    err->file = file;
    err->line = line;
    size_t n = sh_utf8_escape(err->message, sizeof(err->message) - (sizeof(more) - 1), raw, len,
                              false, &cut);
    if (cut) {
        memcpy(err->message + n, more, sizeof(more));
    }
    return -code;
}

/* snprintf's answer as the length that is really there, without half a character at a cut. */
static size_t length_kept(int n, const char *raw, size_t size) {
    if (n < 0) {
        return 0;
    }
    size_t len = (size_t)n;
    if (len < size) {
        return len;
    }
    len = size - 1;
    size_t back = 0;
    while (back < 3 && back < len && ((uint8_t)raw[len - 1 - back] & 0xc0) == 0x80) {
        back++;
    }
    uint32_t c = 0;
    size_t start = len - 1 - back;
    return sh_utf8_next((const uint8_t *)raw + start, len - start, &c) ? len : start;
}

int sh_fail_at(struct sh_err *err, int code, const char *file, int line, const char *format, ...) {
    SH_ASSERT(code > SH_OK && code < SH_E_COUNT);
    if (!err) {
        return -code;
    }
    char raw[RAW_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    return record(err, code, file, line, raw, length_kept(n, raw, sizeof(raw)));
}

int sh_fail_errno_at(struct sh_err *err, int code, int errnum, const char *file, int line,
                     const char *format, ...) {
    code = errnum == ENOSPC || errnum == EDQUOT ? SH_E_NOSPC : errnum == ENOMEM ? SH_E_NOMEM : code;
    SH_ASSERT(code > SH_OK && code < SH_E_COUNT);
    if (!err) {
        return -code;
    }
    char raw[RAW_MAX];
    char reason[96];
    const char *text = strerror_r(errnum, reason, sizeof(reason)); /* the GNU one */
    va_list args;
    va_start(args, format);
    int n = vsnprintf(raw, sizeof(raw), format, args);
    va_end(args);
    /* A long text gives way, so that the reason is never what gets cut off. */
    size_t len = length_kept(n, raw, sizeof(err->message) - sizeof(reason) - 8);
    n = snprintf(raw + len, sizeof(raw) - len, ": %s", text);
    return record(err, code, file, line, raw, len + length_kept(n, raw + len, sizeof(raw) - len));
}

void sh_assert_failed(const char *expr, const char *file, int line) {
    fprintf(stderr, "shannon: a bug in this program: %s:%d: %s does not hold\n", file, line, expr);
    abort();
}
