/* Private to base/: one decoder for everything that judges or repairs text. */
#ifndef SH_BASE_UTF8_H
#define SH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decode the character at p (n > 0 bytes left). Returns its length, or 0 when the bytes are not
 * UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
size_t sh_utf8_next(const uint8_t *p, size_t n, uint32_t *ret_char);

/* True for what must not reach a terminal or a log raw: controls, and marks that reorder text. */
bool sh_utf8_unprintable(uint32_t c);

/* Copy `n` bytes of foreign text into out[size], NUL-terminated, escaping what is unprintable or
 * not UTF-8, cut at a character. With `quote`, double quotes and backslashes are escaped, too.
 * Returns the length written; *ret_cut says whether something did not fit. */
size_t sh_utf8_escape(char *out, size_t size, const char *p, size_t n, bool quote, bool *ret_cut);

#endif
