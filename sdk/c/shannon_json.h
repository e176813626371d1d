/* A little JSON for agents: views into a text that someone else owns, and a writer that cannot
 * leave a text half-quoted. No tree is built, so a hostile text costs no memory; no function here
 * crashes on bytes that are not JSON, it says "no". */
#ifndef SHANNON_JSON_H
#define SHANNON_JSON_H

#include <stdbool.h>
#include <stddef.h>

#define SHANNON_JSON_DEPTH_MAX 64 /* as the host: deeper text is refused */

/* The text of one value inside a larger text; p is NULL for "there is none". */
struct shannon_view {
    const char *p;
    size_t n;
};
struct shannon_view shannon_view(const char *text); /* text may be NULL */
struct shannon_view shannon_view_n(const char *text, size_t n);

/* Is it exactly one JSON value, white space around it allowed? */
bool shannon_json_valid(struct shannon_view v);
/* The value at `path`, members and array indexes separated by dots: "ok.choices.0.text". The empty
 * view when something on the way is missing or is not valid JSON. */
struct shannon_view shannon_json_get(struct shannon_view v, const char *path);
/* The n-th element of an array, or the empty view. */
struct shannon_view shannon_json_item(struct shannon_view v, size_t n);
/* gives  the string's text, decoded, as UTF-8 that free() takes; NULL when it is not a string.
 * \u0000 and lone surrogates become U+FFFD, so that the text is a C string and valid UTF-8. */
char *shannon_json_string(struct shannon_view v);
double shannon_json_number(struct shannon_view v, double otherwise);
bool shannon_json_is_true(struct shannon_view v);

/* The writer puts commas itself. All-zero is an empty one. It stays failed once memory is gone. */
struct shannon_json {
    char *p; /* the text so far, terminated; NULL before the first byte */
    size_t n, cap;
    bool failed;
};
void shannon_json_open(struct shannon_json *w, char bracket);  /* '{' or '[' */
void shannon_json_close(struct shannon_json *w, char bracket); /* '}' or ']' */
void shannon_json_key(struct shannon_json *w, const char *name);
/* What is not UTF-8 becomes U+FFFD, and so does NUL, which no text of the host has. NULL: null. */
void shannon_json_str(struct shannon_json *w, const char *text);
void shannon_json_strn(struct shannon_json *w, const char *text, size_t n);
void shannon_json_int(struct shannon_json *w, long long value);
void shannon_json_double(struct shannon_json *w, double value); /* NaN and infinities: null */
void shannon_json_bool(struct shannon_json *w, bool value);
/* A value that is JSON already; null is written for a text that is not. */
void shannon_json_raw(struct shannon_json *w, struct shannon_view v);
/* gives  the text, which free() takes, or NULL when the writer failed; the writer is empty again */
char *shannon_json_take(struct shannon_json *w);

#endif
