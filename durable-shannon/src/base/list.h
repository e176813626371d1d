/* Intrusive doubly linked list. A head is a node that points at itself. */
#ifndef SH_BASE_LIST_H
#define SH_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct sh_list {
    struct sh_list *next, *prev;
};

static inline void sh_list_init(struct sh_list *head) {
    head->next = head->prev = head;
}
static inline bool sh_list_empty(const struct sh_list *head) {
    return head->next == head;
}
/* A node never linked must be all-zero or initialised. */
static inline bool sh_list_linked(const struct sh_list *node) {
    return node->next && node->next != node;
}
static inline void sh_list_push(struct sh_list *head, struct sh_list *node) { /* at the end */
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}
static inline void sh_list_unlink(struct sh_list *node) { /* twice is harmless */
    if (node->next) {
        node->next->prev = node->prev;
        node->prev->next = node->next;
    }
    node->next = node->prev = NULL;
}
static inline struct sh_list *sh_list_pop(struct sh_list *head) { /* first, or NULL */
    struct sh_list *node = head->next;
    if (node == head) {
        return NULL;
    }
    sh_list_unlink(node);
    return node;
}
static inline void sh_list_move(struct sh_list *to, struct sh_list *from) { /* all, to the end */
    while (!sh_list_empty(from)) {
        sh_list_push(to, sh_list_pop(from));
    }
}

#define sh_container_of(ptr, type, member)                                                         \
    ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define sh_list_each(node, head)                                                                   \
    for (struct sh_list *node = (head)->next, *node##_next = node->next; node != (head);           \
         node = node##_next, node##_next = node->next)

#endif
