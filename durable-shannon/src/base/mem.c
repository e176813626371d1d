/* The only file that calls malloc, so that there is one promise about what happens when memory is
 * gone: sizes that we chose abort (no code path would be tested that goes on without forty bytes),
 * sizes that someone else chose come back as NULL and are that someone's error. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fault.h"

/* No formatting here: stdio may want memory, too. */
static void __attribute__((noreturn)) out_of_memory(void) {
    static const char text[] = "shannon: the host is out of memory\n";
    ssize_t written = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)written;
    abort();
}

void *sh_alloc(size_t n) {
    void *p = malloc(n ? n : 1);
    if (!p) {
        out_of_memory();
    }
    return p;
}

void *sh_calloc(size_t n, size_t size) {
    void *p = calloc(n ? n : 1, size ? size : 1); /* calloc checks the product */
    if (!p) {
        out_of_memory();
    }
    return p;
}

void *sh_zalloc(size_t n) {
    return sh_calloc(1, n);
}

void *sh_grow(void *p, size_t n) {
    void *grown = realloc(p, n ? n : 1);
    if (!grown) {
        out_of_memory();
    }
    return grown;
}

void *sh_memdup(const void *p, size_t n) {
    void *copy = sh_alloc(n);
    if (n) {
        memcpy(copy, p, n);
    }
    return copy;
}

char *sh_strndup0(const char *p, size_t n) {
    SH_ASSERT(n < SIZE_MAX);
    char *copy = sh_alloc(n + 1);
    if (n) {
        memcpy(copy, p, n);
    }
    copy[n] = '\0';
    return copy;
}

char *sh_strdup(const char *s) {
    return sh_strndup0(s, strlen(s));
}

char *sh_asprintf(const char *format, ...) {
    char small[256]; /* most texts fit, and are then formatted once */
    va_list args;
    va_list again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(small, sizeof(small), format, args);
    va_end(args);
    SH_ASSERT(n >= 0);
    char *text = sh_alloc((size_t)n + 1);
    if ((size_t)n < sizeof(small)) {
        memcpy(text, small, (size_t)n + 1);
    } else {
        vsnprintf(text, (size_t)n + 1, format, again);
    }
    va_end(again);
    return text;
}

void *sh_try_alloc(size_t n, size_t limit) {
    if (n > limit || n > PTRDIFF_MAX || SH_FAULT(alloc)) {
        return NULL;
    }
    return malloc(n ? n : 1);
}

void *sh_try_grow(void *p, size_t n, size_t limit) {
    if (n > limit || n > PTRDIFF_MAX || SH_FAULT(grow)) {
        return NULL;
    }
    return realloc(p, n ? n : 1);
}

void *sh_free(void *p) {
    free(p);
    return NULL;
}

void sh_free_p(void *pp) {
    void *p = NULL;
    memcpy(&p, pp, sizeof(p)); /* pp is a pointer to a pointer of any type */
    free(p);
    p = NULL;
    memcpy(pp, &p, sizeof(p));
}

void sh_close_p(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}
