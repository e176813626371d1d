/* UTF-8 as RFC 3629 has it, and the escaping of foreign text for people. What is escaped besides
 * control characters are the marks that reorder text: a log that shows another order than it holds
 * is a lie. */
#include "base/utf8.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

size_t sh_utf8_next(const uint8_t *p, size_t n, uint32_t *ret_char) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    uint32_t c = p[0];
    size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 0;
    if (length == 0 || c > 0xf4 || length > n) {
        return 0;
    }
    if (length > 1) {
        c &= 0x7fu >> length;
    }
    for (size_t i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) {
        return 0;
    }
    *ret_char = c;
    return length;
}

bool sh_utf8_unprintable(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x200e && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

bool sh_utf8_valid(struct sh_str s) {
    const uint8_t *p = (const uint8_t *)s.p;
    for (size_t i = 0; i < s.len;) {
        uint32_t c = 0;
        size_t length = sh_utf8_next(p + i, s.len - i, &c);
        if (length == 0) {
            return false;
        }
        i += length;
    }
    return true;
}

/* One piece of output for the character at p; returns how many input bytes it stands for. */
static size_t escape_one(const uint8_t *p, size_t n, bool quote, char piece[16], size_t *ret_len) {
    uint32_t c = 0;
    size_t length = sh_utf8_next(p, n, &c);
    if (length == 0) {
        *ret_len = (size_t)snprintf(piece, 16, "\\x%02x", p[0]);
        return 1;
    }
    if (c == '\n' || c == '\t' || c == '\r') {
        *ret_len = (size_t)snprintf(piece, 16, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    } else if (sh_utf8_unprintable(c)) {
        *ret_len = (size_t)snprintf(piece, 16, "\\u{%x}", (unsigned)c);
    } else if (quote && (c == '"' || c == '\\')) {
        *ret_len = (size_t)snprintf(piece, 16, "\\%c", (char)c);
    } else {
        memcpy(piece, p, length);
        *ret_len = length;
    }
    return length;
}

size_t sh_utf8_escape(char *out, size_t size, const char *p, size_t n, bool quote, bool *ret_cut) {
    const uint8_t *in = (const uint8_t *)p;
    size_t used = 0;
    *ret_cut = false;
    for (size_t i = 0; i < n;) {
        char piece[16];
        size_t length = 0;
        size_t taken = escape_one(in + i, n - i, quote, piece, &length);
        if (used + length + 1 > size) {
            *ret_cut = true;
            break;
        }
        memcpy(out + used, piece, length);
        used += length;
        i += taken;
    }
    out[used] = '\0';
    return used;
}

size_t sh_utf8_count(struct sh_str s) {
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        n += ((unsigned char)s.p[i] & 0xc0) != 0x80;
    }
    return n;
}
