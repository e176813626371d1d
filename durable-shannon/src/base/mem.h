/* Memory: the only callers of malloc are behind this header. */
#ifndef SH_BASE_MEM_H
#define SH_BASE_MEM_H

#include <stddef.h>

/* `n` bytes (zeroed by sh_zalloc) for sizes that we chose; aborts when memory is gone. */
void *sh_alloc(size_t n);
void *sh_zalloc(size_t n);
void *sh_grow(void *p, size_t n); /* realloc with the same promise */
char *sh_strdup(const char *s);
void *sh_memdup(const void *p, size_t n);
char *sh_strndup0(const char *p, size_t n); /* copies n bytes and adds a NUL */
char *sh_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* For every size that someone else chose: NULL when n > limit, when memory is gone, or when a
 * fault test says so. */
void *sh_try_alloc(size_t n, size_t limit);
void *sh_try_grow(void *p, size_t n, size_t limit);

/* Takes NULL; returns NULL, so that `p = sh_free(p)` reads well. */
void *sh_free(void *p);

#define sh_new(type) ((type *)sh_zalloc(sizeof(type)))
#define sh_new_array(type, n) ((type *)sh_calloc((n), sizeof(type)))
void *sh_calloc(size_t n, size_t size);

/* sh_auto(f) declares a local that f(&local) cleans up; sh_take(&p) hands it over. */
#define sh_auto(cleanup_fn) __attribute__((cleanup(cleanup_fn)))
#define sh_take(pp)                                                                                \
    __extension__({                                                                                \
        __typeof__(*(pp)) sh_taken = *(pp);                                                        \
        *(pp) = NULL;                                                                              \
        sh_taken;                                                                                  \
    })
void sh_free_p(
    void *pp); /* cleanup for char *, void *, struct with one malloc: sh_auto(sh_free_p) */
void sh_close_p(int *fd); /* cleanup for descriptors: closes when >= 0 */

#endif
