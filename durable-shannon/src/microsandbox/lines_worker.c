/* The child's side of lines.c: reads debugging information, which is as hostile as the module. It
 * has nothing but a descriptor to read, one to write, and limits on memory and time. */
#include <sys/mman.h>
#include <unistd.h>

#include "microsandbox/guest_lines.h"
#include "microsandbox/lines.h"
#include "native_sandbox.h"

#define ADDRESSES_MAX 1024
#define ANSWER_BYTES_MAX (1 * SH_MIB)

/* [[{"function","file","line"}, ...], ...]: a list for each address. */
struct answer {
    struct sh_buf text;
    size_t at; /* lists begun */
    size_t places;
};

static void lists_begin(struct answer *a, size_t n) {
    for (; a->at < n; a->at++) {
        sh_buf_adds(&a->text, a->at ? "],[" : "[");
    }
}

static void on_place(void *arg, size_t index, const struct sh_native_place *p) {
    struct answer *a = arg;
    bool first = index >= a->at;

    lists_begin(a, index + 1);
    if (a->places++ < 2 * SH_LINES_PLACES_MAX) {
        sh_buf_adds(&a->text, first ? "{\"function\":" : ",{\"function\":");
        sh_json_escape(&a->text, sh_strn(p->function, p->function_len));
        sh_buf_adds(&a->text, ",\"file\":");
        sh_json_escape(&a->text, sh_strn(p->file, p->file_len));
        sh_buf_addf(&a->text, ",\"line\":%u}", p->line);
    }
}

static int look_up(const struct sh_lines *l, const uint64_t *addresses, size_t n) {
    struct sh_native_section sections[SH_LINES_SECTIONS_MAX];
    struct answer a = {0};
    bool whole;

    for (size_t i = 0; i < l->n_sections; i++) {
        struct sh_str name = l->section[i].name, bytes = l->section[i].bytes;

        sections[i] =
            (struct sh_native_section){name.p, name.len, (const uint8_t *)bytes.p, bytes.len};
    }
    sh_buf_init(&a.text, ANSWER_BYTES_MAX);
    sh_buf_addc(&a.text, '[');
    if (sh_native_lines(sections, l->n_sections, addresses, n, on_place, &a) != 0) {
        sh_buf_done(&a.text);
        return 1;
    }
    lists_begin(&a, n);
    sh_buf_adds(&a.text, n ? "]]" : "]");
    whole = !a.text.failed && write(3, a.text.p, a.text.len) == (ssize_t)a.text.len;
    sh_buf_done(&a.text);
    return whole ? 0 : 1;
}

int sh_lines_worker_main(void) {
    uint64_t addresses[ADDRESSES_MAX];
    ssize_t n = read(4, addresses, sizeof(addresses));
    off_t size = lseek(0, 0, SEEK_END); /* its cage has no stat */
    struct sh_lines l;
    void *p;

    if (n < 0 || size <= 0) {
        return 1;
    }
    p = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, 0, 0);
    if (p == MAP_FAILED || sh_lines_read(sh_strn(p, (size_t)size), &l) != 0) {
        return 1;
    }
    return look_up(&l, addresses, (size_t)n / sizeof(addresses[0]));
}
