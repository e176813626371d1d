/* Bulk instructions are paid for by their length. Wasmtime 40 counts the same few units of fuel for
 * filling one byte and a gigabyte, so a loop of fills would hold its executor for hours within one
 * time slice, and no limit would end it. Before each such instruction a call is put, to a function
 * that is added to the module: it takes the length, which is on top of the stack, counts it down in
 * steps that cost fuel and little else, and gives it back. So fuel follows the bytes.
 *
 * Indexes stay what they are, because what is added comes last. Code moves: where to is noted, and
 * debugging information, which would name wrong lines, is left out (guest_lines.c keeps it). */
#include "microsandbox/guest_lines.h"
#include "microsandbox/guest_scan_impl.h"

enum {
    STEP_FUEL = 128,    /* of one step, besides a few for the loop itself */
    BYTES_SHIFT = 10,   /* a step is a KiB: 100 to 400 ns, as the same fuel buys elsewhere */
    ELEMENTS_SHIFT = 6, /* or 64 elements of a table */
    ADDED = 2,          /* functions: for bytes, for elements */
};

struct meter {
    struct sh_scan_state s; /* reading */
    struct sh_buf *out;
    struct sh_buf section; /* under way */
    const uint64_t *site;
    size_t n_sites, at_site;
    uint32_t type, function; /* indexes of what is added */
    struct sh_buf *marks;    /* struct sh_lines_mark: `at` in the section until that is written */
};

static void put_leb(struct sh_buf *b, uint32_t v) {
    for (; v > 0x7f; v >>= 7) {
        sh_buf_u8(b, (uint8_t)(v | 0x80));
    }
    sh_buf_u8(b, (uint8_t)v);
}

static size_t leb_size(uint32_t v) {
    size_t n = 1;

    for (; v > 0x7f; v >>= 7) {
        n++;
    }
    return n;
}

static void put_bytes(struct sh_buf *b, const void *p, size_t n) {
    if (n) {
        sh_buf_add(b, p, n);
    }
}

/* More elements than a table can have: the instruction traps, so they need not be counted. */
#define ELEMENTS_MASK 0x3ffff
_Static_assert(SH_SCAN_TABLE_ELEMENTS_MAX <= ELEMENTS_MASK, "a table may be longer than the mask");

/* (func (param i32) (result i32) (local i32)): burn fuel for (p0 & mask) >> shift steps, give p0.
 */
static void put_burner(struct sh_buf *b, bool elements) {
    static const uint8_t loop[] = {0x02, 0x40, 0x03, 0x40, 0x20, 1, 0x45, 0x0d, 1};
    static const uint8_t next[] = {0x20, 1, 0x41, 1,    0x6b, 0x21, 1,
                                   0x0c, 0, 0x0b, 0x0b, 0x20, 0,    0x0b};
    static const uint8_t unit[] = {0x41, 0, 0x1a}; /* a constant, dropped: no code, one unit */
    static const uint8_t bytes[] = {1, 1, 0x7f, 0x20, 0, 0x41, BYTES_SHIFT, 0x76, 0x21, 1};
    static const uint8_t masked[] = {1,    1,    0x7f, 0x20,           0,    0x41, 0xff, 0xff,
                                     0x0f, 0x71, 0x41, ELEMENTS_SHIFT, 0x76, 0x21, 1};
    const uint8_t *head = elements ? masked : bytes;
    size_t n = elements ? sizeof(masked) : sizeof(bytes);

    put_leb(b, (uint32_t)(n + sizeof(loop) + sizeof(next)) + STEP_FUEL * sizeof(unit));
    put_bytes(b, head, n);
    put_bytes(b, loop, sizeof(loop));
    for (int i = 0; i < STEP_FUEL; i++) {
        put_bytes(b, unit, sizeof(unit));
    }
    put_bytes(b, next, sizeof(next));
}

static uint32_t callee(const struct meter *m, uint64_t site) {
    return m->function + (site & SH_SCAN_SITE_TABLE ? 1 : 0);
}

static size_t offset(const struct meter *m, size_t i) {
    return (size_t)(m->site[i] >> 1);
}

/* What comes next in the section was at `original` in the module. */
static void mark(struct meter *m, size_t original) {
    struct sh_lines_mark here = {(uint32_t)m->section.len, (uint32_t)original};

    sh_buf_add(m->marks, &here, sizeof(here));
}

/* A body at s.p, with a call before each of its sites. */
static void copy_body(struct meter *m) {
    uint32_t size = sh_scan_u32(&m->s), grown = size;
    size_t from = (size_t)(m->s.p - m->s.begin), to = from + size, last = m->at_site;
    bool changed = last < m->n_sites && offset(m, last) < to;

    for (; last < m->n_sites && offset(m, last) < to; last++) {
        grown += (uint32_t)(1 + leb_size(callee(m, m->site[last])));
    }
    put_leb(&m->section, grown);
    if (changed) {
        mark(m, from);
    }
    for (; m->at_site < last; m->at_site++) {
        put_bytes(&m->section, m->s.begin + from, offset(m, m->at_site) - from);
        from = offset(m, m->at_site);
        sh_buf_u8(&m->section, 0x10);
        put_leb(&m->section, callee(m, m->site[m->at_site]));
        mark(m, from);
    }
    put_bytes(&m->section, m->s.begin + from, to - from);
    m->s.p = m->s.begin + to;
}

static void copy_code(struct meter *m) {
    uint32_t n = sh_scan_u32(&m->s);

    put_leb(&m->section, n + ADDED);
    mark(m, (size_t)(m->s.p - m->s.begin));
    for (uint32_t i = 0; i < n; i++) {
        copy_body(m);
    }
    put_burner(&m->section, false);
    put_burner(&m->section, true);
}

static void copy_section(struct meter *m, uint8_t id) {
    static const uint8_t type[] = {0x60, 1, 0x7f, 1, 0x7f};
    uint32_t n;

    switch (id) {
    case 1:
        n = sh_scan_u32(&m->s);
        m->type = n;
        put_leb(&m->section, n + 1);
        put_bytes(&m->section, m->s.p, (size_t)(m->s.end - m->s.p));
        put_bytes(&m->section, type, sizeof(type));
        break;
    case 3:
        n = sh_scan_u32(&m->s);
        put_leb(&m->section, n + ADDED);
        put_bytes(&m->section, m->s.p, (size_t)(m->s.end - m->s.p));
        for (int i = 0; i < ADDED; i++) {
            put_leb(&m->section, m->type);
        }
        break;
    case 10:
        copy_code(m);
        break;
    default:
        put_bytes(&m->section, m->s.p, (size_t)(m->s.end - m->s.p));
    }
}

/* The code section goes to the end of what is written: so do its marks. */
static void marks_move(struct meter *m) {
    struct sh_lines_mark *marks = (struct sh_lines_mark *)(void *)m->marks->p;

    for (size_t i = 0; i < m->marks->len / sizeof(*marks); i++) {
        marks[i].at += (uint32_t)m->out->len;
    }
}

static void copy_sections(struct meter *m, const uint8_t *end) {
    while (m->s.p != end) {
        uint8_t id;
        uint32_t size;

        m->s.end = end;
        id = sh_scan_u8(&m->s);
        size = sh_scan_u32(&m->s);
        m->s.end = m->s.p + size;
        if (!sh_lines_wants(&m->s, id, NULL)) {
            const uint8_t *next = m->s.end;

            sh_buf_clear(&m->section);
            copy_section(m, id);
            m->s.p = m->s.end = next;
            sh_buf_u8(m->out, id);
            put_leb(m->out, (uint32_t)m->section.len);
            if (id == 10) {
                marks_move(m);
            }
            put_bytes(m->out, m->section.p, m->section.len);
        }
        m->s.p = m->s.end;
    }
}

int sh_guest_meter(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_buf *ret,
                   struct sh_buf *marks, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf sites = {0};
    struct meter m = {.out = ret, .marks = marks};
    struct sh_scan scan;
    int r;

    sh_buf_init(&sites, SH_MODULE_BYTES_MAX * 4); /* a site has three bytes or more */
    r = sh_guest_scan_sites(wasm, resolve, &scan, &sites, err);
    if (r < 0 || sites.failed) {
        return r < 0 ? r : sh_fail(err, SH_E_NOMEM, "no memory to meter the module");
    }
    if (sites.len == 0) {
        sh_buf_add(ret, wasm.p, wasm.len);
    } else {
        m.site = (const uint64_t *)(const void *)sites.p;
        m.n_sites = sites.len / sizeof(uint64_t);
        m.function = scan.functions;
        m.s.begin = (const uint8_t *)wasm.p;
        m.s.p = m.s.begin + 8;
        m.s.end = m.s.begin + wasm.len;
        sh_buf_init(&m.section, ret->max);
        put_bytes(ret, wasm.p, 8);
        copy_sections(&m, m.s.end);
        ret->failed |= m.section.failed | marks->failed;
        sh_buf_done(&m.section);
    }
    return ret->failed ? sh_fail(err, SH_E_NOMEM, "no memory to meter the module") : 0;
}
