/* Views, the bounded buffer and the little-endian records. The buffer follows curl's dynbuf: it
 * cannot exist without a maximum, and once failed it stays failed. */
#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/err.h"
#include "base/mem.h"

bool sh_str_eq(struct sh_str a, struct sh_str b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool sh_str_eqz(struct sh_str a, const char *b) {
    return sh_str_eq(a, sh_str(b));
}

int sh_str_cmp(struct sh_str a, struct sh_str b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.p, b.p, n) : 0;
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool sh_str_starts(struct sh_str s, struct sh_str prefix) {
    return s.len >= prefix.len && sh_str_eq(sh_strn(s.p, prefix.len), prefix);
}

void sh_buf_init(struct sh_buf *b, size_t max) {
    *b = (struct sh_buf){.max = max};
}

void sh_buf_init_sure(struct sh_buf *b, size_t max) {
    *b = (struct sh_buf){.max = max, .sure = true};
}

void sh_buf_done(struct sh_buf *b) {
    if (b) {
        sh_free(b->p);
        *b = (struct sh_buf){0};
    }
}

void sh_buf_clear(struct sh_buf *b) {
    b->len = 0;
    b->failed = false;
    if (b->p) {
        b->p[0] = '\0';
    }
}

/* Makes cap > len + n; the extra byte is the NUL and does not count against max. */
static bool reserve(struct sh_buf *b, size_t n) {
    enum { FIRST = 64 };
    if (b->failed || n > b->max - b->len || b->max - b->len > b->max) {
        b->failed = true;
        return false;
    }
    if (b->len + n < b->cap) {
        return true;
    }
    size_t most = b->max < SIZE_MAX ? b->max + 1 : SIZE_MAX;
    size_t want = b->cap < FIRST / 2 ? FIRST : b->cap <= most / 2 ? b->cap * 2 : most;
    if (want > most) {
        want = most;
    }
    if (want <= b->len + n) { /* len + n <= max, so len + n + 1 <= most unless max is SIZE_MAX */
        want = b->len + n < SIZE_MAX ? b->len + n + 1 : SIZE_MAX;
    }
    char *p = b->sure ? sh_grow(b->p, want) : sh_try_grow(b->p, want, most);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->cap = want;
    return true;
}

char *sh_buf_room(struct sh_buf *b, size_t n) {
    if (!reserve(b, n)) {
        return NULL;
    }
    b->p[b->len] = '\0';
    b->p[b->len + n] = '\0'; /* so that `len += n` leaves the text terminated */
    return b->p + b->len;
}

void sh_buf_add(struct sh_buf *b, const void *p, size_t n) {
    char *to = sh_buf_room(b, n);
    if (to && n) {
        memcpy(to, p, n);
        b->len += n;
    }
}

void sh_buf_adds(struct sh_buf *b, const char *s) {
    sh_buf_add(b, s, strlen(s));
}

void sh_buf_addc(struct sh_buf *b, char c) {
    sh_buf_add(b, &c, 1);
}

void sh_buf_addf(struct sh_buf *b, const char *format, ...) {
    char small[256];
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    SH_ASSERT(n >= 0);
    if ((size_t)n < sizeof(small)) {
        sh_buf_add(b, small, (size_t)n);
    } else {
        char *to = sh_buf_room(b, (size_t)n);
        if (to) {
            vsnprintf(to, (size_t)n + 1, format, again);
            b->len += (size_t)n;
        }
    }
    va_end(again);
}

void sh_buf_drop(struct sh_buf *b, size_t n) {
    SH_ASSERT(n <= b->len);
    if (n) {
        b->len -= n;
        memmove(b->p, b->p + n, b->len);
        b->p[b->len] = '\0';
    }
}

char *sh_buf_take(struct sh_buf *b) {
    if (b->failed) {
        return NULL;
    }
    char *p = b->p ? b->p : sh_strdup("");
    p[b->len] = '\0';
    *b = (struct sh_buf){.max = b->max, .sure = b->sure};
    return p;
}

static void add_little_endian(struct sh_buf *b, uint64_t v, size_t bytes) {
    uint8_t out[8];
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (uint8_t)(v >> (8 * i));
    }
    sh_buf_add(b, out, bytes);
}

void sh_buf_u8(struct sh_buf *b, uint8_t v) {
    add_little_endian(b, v, 1);
}

void sh_buf_u32(struct sh_buf *b, uint32_t v) {
    add_little_endian(b, v, 4);
}

void sh_buf_u64(struct sh_buf *b, uint64_t v) {
    add_little_endian(b, v, 8);
}

void sh_buf_bytes32(struct sh_buf *b, struct sh_str s) {
    if (s.len > UINT32_MAX) {
        b->failed = true;
        return;
    }
    sh_buf_u32(b, (uint32_t)s.len);
    sh_buf_add(b, s.p, s.len);
}

static const uint8_t *reader_take(struct sh_reader *r, size_t n) {
    if (r->failed || n > (size_t)(r->end - r->p)) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *p = r->p;
    r->p += n;
    return p;
}

static uint64_t read_little_endian(struct sh_reader *r, size_t bytes) {
    const uint8_t *p = reader_take(r, bytes);
    uint64_t v = 0;
    for (size_t i = 0; p && i < bytes; i++) {
        v |= (uint64_t)p[i] << (8 * i);
    }
    return v;
}

uint8_t sh_reader_u8(struct sh_reader *r) {
    return (uint8_t)read_little_endian(r, 1);
}

uint32_t sh_reader_u32(struct sh_reader *r) {
    return (uint32_t)read_little_endian(r, 4);
}

uint64_t sh_reader_u64(struct sh_reader *r) {
    return read_little_endian(r, 8);
}

struct sh_str sh_reader_bytes32(struct sh_reader *r) {
    size_t n = sh_reader_u32(r);
    const uint8_t *p = reader_take(r, n);
    return p ? sh_strn(p, n) : (struct sh_str){0};
}
