/* Texts that are kept one after the other and go together: no allocation each. */
#ifndef SH_ENGINE_TEXTS_H
#define SH_ENGINE_TEXTS_H

#include "base/base.h"

struct sh_texts {
    struct sh_list chunks; /* private to texts.c; all-zero: nothing is kept */
};
void sh_texts_done(struct sh_texts *t);            /* empty again */
char *sh_texts_room(struct sh_texts *t, size_t n); /* for n bytes, the caller's to fill */
struct sh_str sh_texts_keep(struct sh_texts *t, struct sh_str s);

#endif
