/* The record by which a trap's frames find their source:
 *
 *   magic, where code begins, how many marks | marks | sections (lengths, name, bytes) ...
 *
 * Code moves only where the metering puts calls in, so there are as many marks as calls and one
 * more for each function that has any; between two marks everything moved alike. */
#include "microsandbox/guest_lines.h"

#include <string.h>

#define NAME_BYTES_MAX 200
#define FILE_BYTES_MAX 300

struct header {
    char magic[8];
    uint64_t code, n_marks;
};

struct section_header {
    uint32_t name_len, len;
};

static const char magic[8] = "shlines1";

bool sh_lines_wants(const struct sh_scan_state *at, uint8_t id, struct sh_lines_section *ret) {
    struct sh_scan_state s = *at;
    uint32_t n = id == 0 ? sh_scan_u32(&s) : 0;
    const char *name = (const char *)sh_scan_bytes(&s, n);

    if (n < 7 || s.failed || memcmp(name, ".debug_", 7) != 0) {
        return false;
    }
    if (ret) {
        *ret = (struct sh_lines_section){sh_strn(name, n),
                                         sh_strn((const char *)s.p, (size_t)(s.end - s.p))};
    }
    return true;
}

static bool is_useful(struct sh_str name) {
    static const char *const names[] = {".debug_abbrev",     ".debug_addr",   ".debug_aranges",
                                        ".debug_info",       ".debug_line",   ".debug_line_str",
                                        ".debug_rnglists",   ".debug_ranges", ".debug_str",
                                        ".debug_str_offsets"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sh_str_eqz(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* What a module has, in its own order. Of a name that comes twice the first counts. */
static void find_sections(struct sh_str wasm, struct sh_lines *l) {
    struct sh_scan_state s = {.begin = (const uint8_t *)wasm.p};
    const uint8_t *end = s.begin + wasm.len;

    for (s.p = s.begin + 8; s.p < end;) {
        struct sh_lines_section found;
        uint32_t size;
        uint8_t id;

        s.end = end;
        id = sh_scan_u8(&s);
        size = sh_scan_u32(&s);
        if (s.failed || size > (size_t)(end - s.p)) {
            return;
        }
        s.end = s.p + size;
        if (id == 10) {
            l->code = (uint64_t)(s.p - s.begin);
        } else if (sh_lines_wants(&s, id, &found) && is_useful(found.name) &&
                   l->n_sections < SH_LINES_SECTIONS_MAX) {
            l->section[l->n_sections++] = found;
        }
        s.p = s.end;
    }
}

static bool has_lines(const struct sh_lines *l) {
    for (size_t i = 0; i < l->n_sections; i++) {
        if (sh_str_eqz(l->section[i].name, ".debug_line") && l->section[i].bytes.len) {
            return true;
        }
    }
    return false;
}

void sh_lines_write(struct sh_str wasm, const struct sh_buf *marks, struct sh_buf *ret) {
    struct sh_lines l = {0};
    struct header h;

    find_sections(wasm, &l);
    l.n_sections = has_lines(&l) ? l.n_sections : 0;
    if (!l.n_sections && !marks->len) {
        return;
    }
    memcpy(h.magic, magic, sizeof(magic));
    h.code = l.code;
    h.n_marks = marks->len / sizeof(struct sh_lines_mark);
    sh_buf_add(ret, &h, sizeof(h));
    if (marks->len) {
        sh_buf_add(ret, marks->p, marks->len);
    }
    for (size_t i = 0; i < l.n_sections; i++) {
        struct sh_str name = l.section[i].name, bytes = l.section[i].bytes;
        struct section_header head = {(uint32_t)name.len, (uint32_t)bytes.len};

        sh_buf_add(ret, &head, sizeof(head));
        sh_buf_add(ret, name.p, name.len);
        if (bytes.len) {
            sh_buf_add(ret, bytes.p, bytes.len);
        }
    }
}

/* The next `n` bytes, or nothing. */
static const char *next(struct sh_str *s, uint64_t n) {
    const char *p = s->p;

    if (n > s->len) {
        return NULL;
    }
    s->p += n;
    s->len -= n;
    return p;
}

int sh_lines_read(struct sh_str record, struct sh_lines *ret) {
    const char *p = next(&record, sizeof(struct header));
    struct header h;

    *ret = (struct sh_lines){0};
    if (!p) {
        return -SH_E_INVAL;
    }
    memcpy(&h, p, sizeof(h));
    if (memcmp(h.magic, magic, sizeof(magic)) != 0 ||
        h.n_marks > record.len / sizeof(struct sh_lines_mark)) {
        return -SH_E_INVAL;
    }
    ret->code = h.code;
    ret->marks.len = h.n_marks * sizeof(struct sh_lines_mark);
    ret->marks.p = next(&record, ret->marks.len);
    while (record.len) {
        struct sh_lines_section *to = &ret->section[ret->n_sections];
        struct section_header head;

        if (ret->n_sections == SH_LINES_SECTIONS_MAX || !(p = next(&record, sizeof(head)))) {
            return -SH_E_INVAL;
        }
        memcpy(&head, p, sizeof(head));
        to->name = sh_strn(next(&record, head.name_len), head.name_len);
        to->bytes.p = to->name.p ? next(&record, head.len) : NULL;
        to->bytes.len = head.len;
        if (!to->bytes.p) {
            return -SH_E_INVAL;
        }
        ret->n_sections++;
    }
    return 0;
}

static struct sh_lines_mark mark_at(const struct sh_lines *l, size_t i) {
    struct sh_lines_mark m;

    memcpy(&m, l->marks.p + i * sizeof(m), sizeof(m));
    return m;
}

uint64_t sh_lines_original(const struct sh_lines *l, uint64_t offset) {
    size_t low = 0, high = l->marks.len / sizeof(struct sh_lines_mark);
    struct sh_lines_mark m;

    while (low < high) { /* marks before `low` are at the offset or before it */
        size_t middle = low + (high - low) / 2;

        if (mark_at(l, middle).at <= offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return offset;
    }
    m = mark_at(l, low - 1);
    return m.original + (offset - m.at);
}

void sh_lines_move(const struct sh_lines *l, json_t *frames) {
    json_t *frame;
    size_t i;

    json_array_foreach(frames, i, frame) {
        int64_t offset = sh_json_get_int(frame, "offset", -1);

        if (offset >= 0) {
            json_object_set_new(frame, "offset",
                                json_integer((json_int_t)sh_lines_original(l, (uint64_t)offset)));
        }
    }
}

static void put_text(json_t *to, const char *key, const json_t *place, size_t max) {
    struct sh_str text = sh_json_get_str(place, key);

    if (text.len) {
        json_object_set_new(to, key,
                            sh_json_string(sh_strn(text.p, text.len < max ? text.len : max)));
    }
}

static void put_place(json_t *frame, const json_t *place) {
    int64_t line = sh_json_get_int(place, "line", 0);

    if (!json_object_get(frame, "function")) {
        put_text(frame, "function", place, NAME_BYTES_MAX);
    }
    put_text(frame, "file", place, FILE_BYTES_MAX);
    if (json_object_get(frame, "file") && line > 0) {
        json_object_set_new(frame, "line", json_integer(line));
    }
}

static void put_inlined(json_t *frames, const json_t *frame, const json_t *place) {
    json_t *inlined = json_pack("{s:b}", "inlined", 1);

    json_object_set(inlined, "index", json_object_get(frame, "index"));
    json_object_set(inlined, "offset", json_object_get(frame, "offset"));
    put_place(inlined, place);
    json_array_append_new(frames, inlined);
}

json_t *sh_lines_merge(const json_t *frames, const json_t *places) {
    json_t *merged = json_array(), *frame;
    size_t i, left = SH_LINES_PLACES_MAX;

    json_array_foreach(frames, i, frame) {
        const json_t *list = json_array_get(places, i);
        size_t n = json_array_size(list);
        json_t *copy = json_copy(frame);

        for (size_t k = 0; k + 1 < n && left > json_array_size(frames); k++, left--) {
            put_inlined(merged, frame, json_array_get(list, k));
        }
        if (n) {
            put_place(copy, json_array_get(list, n - 1));
        }
        json_array_append_new(merged, copy);
    }
    return merged;
}
