/* See texts.h. Chunks of one size; what would waste much of one gets its own. */
#include "engine/texts.h"

#define CHUNK (64 * SH_KIB)
#define LARGE (CHUNK / 4)

struct chunk {
    struct sh_list link;
    size_t used;
    char bytes[];
};

static struct chunk *chunk_new(struct sh_texts *t, size_t bytes) {
    struct chunk *c = sh_alloc(sizeof(*c) + bytes);

    c->used = 0;
    c->link = (struct sh_list){0};
    sh_list_push(&t->chunks, &c->link);
    return c;
}

char *sh_texts_room(struct sh_texts *t, size_t n) {
    struct chunk *c;

    if (!t->chunks.next) {
        sh_list_init(&t->chunks);
    }
    if (n >= LARGE) {
        c = chunk_new(t, n);
        c->used = CHUNK; /* full */
        return c->bytes;
    }
    c = sh_list_empty(&t->chunks) ? NULL : sh_container_of(t->chunks.prev, struct chunk, link);
    if (!c || CHUNK - c->used < n) {
        c = chunk_new(t, CHUNK);
    }
    c->used += n;
    return c->bytes + c->used - n;
}

struct sh_str sh_texts_keep(struct sh_texts *t, struct sh_str s) {
    char *p = sh_texts_room(t, s.len);

    if (s.len > 0) {
        memcpy(p, s.p, s.len);
    }
    return sh_strn(p, s.len);
}

void sh_texts_done(struct sh_texts *t) {
    struct sh_list *node;

    while (t->chunks.next && (node = sh_list_pop(&t->chunks))) {
        sh_free(sh_container_of(node, struct chunk, link));
    }
    *t = (struct sh_texts){0};
}
