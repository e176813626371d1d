/* Text and bytes: a borrowed view, and an owner that cannot exist without a maximum. */
#ifndef SH_BASE_STR_H
#define SH_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed view; not NUL-terminated. All-zero is the empty string. */
struct sh_str {
    const char *p;
    size_t len;
};
#define SH_STR(literal) ((struct sh_str){"" literal, sizeof(literal) - 1})

static inline struct sh_str sh_str(const char *s) {
    return (struct sh_str){s, s ? strlen(s) : 0};
}
static inline struct sh_str sh_strn(const void *p, size_t n) {
    return (struct sh_str){(const char *)p, n};
}
bool sh_str_eq(struct sh_str a, struct sh_str b);
bool sh_str_eqz(struct sh_str a, const char *b);
int sh_str_cmp(struct sh_str a, struct sh_str b); /* bytewise */
bool sh_str_starts(struct sh_str s, struct sh_str prefix);
bool sh_utf8_valid(struct sh_str s);
size_t sh_utf8_count(struct sh_str s); /* characters (code points) of valid UTF-8 */

/* Owns its bytes, grows up to `max`, and stays failed once failed, so that a builder appends freely
 * and checks once. Always NUL-terminated beyond len when p is set. */
struct sh_buf {
    char *p;
    size_t len, cap, max;
    bool failed, sure;
};
void sh_buf_init(struct sh_buf *b, size_t max);
/* One that fails at its maximum only: where memory is gone it aborts, as sh_alloc does. For what
 * was admitted already and has nobody to be refused to, above all what goes into a journal. */
void sh_buf_init_sure(struct sh_buf *b, size_t max);
void sh_buf_done(struct sh_buf *b);  /* also as sh_auto(sh_buf_done) */
void sh_buf_clear(struct sh_buf *b); /* empty and not failed; keeps the memory */
void sh_buf_add(struct sh_buf *b, const void *p, size_t n);
void sh_buf_adds(struct sh_buf *b, const char *s);
void sh_buf_addc(struct sh_buf *b, char c);
void sh_buf_addf(struct sh_buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sh_buf_drop(struct sh_buf *b, size_t n); /* removes the first n bytes */
/* Room for n more bytes at the end (then len += n by the caller), or NULL and failed. Who fills
 * fewer writes the NUL, too. */
char *sh_buf_room(struct sh_buf *b, size_t n);
static inline struct sh_str sh_buf_str(const struct sh_buf *b) {
    return (struct sh_str){b->p, b->len};
}
/* The NUL-terminated bytes, the caller's now, and the buf is empty; NULL when it had failed. */
char *sh_buf_take(struct sh_buf *b);

/* Fixed-width encodings used by records: little endian. */
void sh_buf_u8(struct sh_buf *b, uint8_t v);
void sh_buf_u32(struct sh_buf *b, uint32_t v);
void sh_buf_u64(struct sh_buf *b, uint64_t v);
void sh_buf_bytes32(struct sh_buf *b, struct sh_str s); /* u32 length, then the bytes */

/* Reads what the above wrote; on any overrun it fails and every later read gives zero. */
struct sh_reader {
    const uint8_t *p, *end;
    bool failed;
};
uint8_t sh_reader_u8(struct sh_reader *r);
uint32_t sh_reader_u32(struct sh_reader *r);
uint64_t sh_reader_u64(struct sh_reader *r);
struct sh_str sh_reader_bytes32(struct sh_reader *r);

/* Hex and base64 (RFC 4648, padded). Encoders append; decoders return 0 or -SH_E_INVAL. */
void sh_hex_encode(struct sh_buf *b, const void *p, size_t n);
int sh_hex_decode(struct sh_str hex, void *out, size_t n); /* exactly n bytes */
void sh_base64_encode(struct sh_buf *b, const void *p, size_t n);
int sh_base64_decode(struct sh_buf *b, struct sh_str text);

/* "10m", "1.5s", "250ms", "2h", "3d" -> milliseconds; "64KiB", "8MiB", "1GB", "4096" -> bytes.
 * fails  SH_E_INVAL, with what was expected in err */
struct sh_err;
int sh_parse_duration_ms(struct sh_str s, uint64_t *ret_ms, struct sh_err *err);
int sh_parse_size(struct sh_str s, uint64_t *ret_bytes, struct sh_err *err);

#endif
