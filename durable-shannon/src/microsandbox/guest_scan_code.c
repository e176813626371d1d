/* The other half of the scan: numbers, and the one walk through every function body. */
#include "microsandbox/guest_scan_impl.h"

/* --- numbers and bytes ---------------------------------------------------------------------- */

uint8_t sh_scan_u8(struct sh_scan_state *s) {
    if (s->p == s->end) {
        s->failed = true;
        return 0;
    }
    return *s->p++;
}

/* LEB128 of at most `bits` bits; signed ones are only skipped, so their value does not matter. */
uint64_t sh_scan_leb(struct sh_scan_state *s, unsigned bits) {
    uint64_t value = 0;

    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t byte = sh_scan_u8(s);

        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            return value;
        }
    }
    s->failed = true;
    return 0;
}

uint32_t sh_scan_u32(struct sh_scan_state *s) {
    uint64_t v = sh_scan_leb(s, 32);

    if (v > UINT32_MAX) {
        s->failed = true;
        return 0;
    }
    return (uint32_t)v;
}

const uint8_t *sh_scan_bytes(struct sh_scan_state *s, uint64_t n) {
    const uint8_t *p = s->p;

    if (n > (uint64_t)(s->end - s->p)) {
        s->failed = true;
        s->p = s->end;
        return p;
    }
    s->p += n;
    return p;
}

int sh_scan_malformed(struct sh_scan_state *s, const char *what) {
    return sh_fail(s->err, SH_E_MODULE,
                   "the module is malformed or cut short: %s ends unexpectedly at byte %zu", what,
                   (size_t)(s->p - s->begin));
}

int sh_scan_over(struct sh_scan_state *s, const char *what, uint64_t have, uint64_t max) {
    return sh_fail(s->err, SH_E_LIMIT, "the module has %llu %s, at most %llu are accepted",
                   (unsigned long long)have, what, (unsigned long long)max);
}

char sh_scan_letter(uint8_t t) {
    switch (t) {
    case 0x7f:
        return 'i';
    case 0x7e:
        return 'I';
    case 0x7d:
        return 'f';
    case 0x7c:
        return 'F';
    case 0x7b:
        return 'v';
    case 0x70:
    case 0x6f:
        return 'r';
    default:
        return 0;
    }
}

/* --- function bodies ------------------------------------------------------------------------ */

struct body {
    uint64_t weight; /* values that it may give rise to */
    uint64_t depth;  /* of blocks, now */
    uint64_t deepest;
    uint32_t index;
};

static void skip_leb(struct sh_scan_state *s, unsigned n) {
    while (n--) {
        (void)sh_scan_leb(s, 70); /* up to ten bytes: 64-bit constants too */
    }
}

static void skip_memarg(struct sh_scan_state *s) {
    uint32_t align = sh_scan_u32(s);

    skip_leb(s, align & 0x40 ? 2 : 1);
}

static void skip_block_type(struct sh_scan_state *s, struct body *b) {
    uint64_t raw;

    if (s->p != s->end && (*s->p & 0xc0) == 0x40) { /* one byte, negative: none or a value type */
        s->p++;
        b->weight++;
        return;
    }
    raw = sh_scan_leb(s, 35);
    if (raw < s->n_types) {
        b->weight += s->types[raw].n_params + s->types[raw].n_results;
    } else {
        s->failed = true;
    }
}

static int scan_br_table(struct sh_scan_state *s, struct body *b) {
    uint32_t n = sh_scan_u32(s);

    if (n > SH_SCAN_BR_TABLE_MAX && !s->failed) {
        return sh_fail(s->err, SH_E_LIMIT,
                       "function %u has a br_table of %u targets, at most %u "
                       "are accepted",
                       b->index, n, (unsigned)SH_SCAN_BR_TABLE_MAX);
    }
    for (uint32_t i = 0; i <= n && !s->failed; i++) {
        (void)sh_scan_u32(s);
    }
    b->weight += n;
    return 0;
}

/* Those that work through a length: memory.init, copy and fill, and the same of tables, and grow.
 */
static void note_site(struct sh_scan_state *s, const uint8_t *start, uint32_t op) {
    bool bytes = op == 8 || op == 10 || op == 11;

    if (s->sites && (bytes || op == 12 || op == 14 || op == 15 || op == 17)) {
        uint64_t site = (uint64_t)(start - s->begin) << 1 | (bytes ? 0 : SH_SCAN_SITE_TABLE);

        sh_buf_add(s->sites, &site, sizeof(site));
    }
}

/* The prefix 0xfc: saturating conversions, bulk memory, tables. False: unknown. */
static bool skip_fc(struct sh_scan_state *s) {
    static const uint8_t lebs[18] = {0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2, 1, 2, 1, 2, 1, 1, 1};
    const uint8_t *start = s->p - 1;
    uint32_t op = sh_scan_u32(s);

    if (op >= sizeof(lebs)) {
        return false;
    }
    skip_leb(s, lebs[op]);
    note_site(s, start, op);
    return true;
}

/* The prefix 0xfd: SIMD, relaxed SIMD excluded. */
static bool skip_fd(struct sh_scan_state *s) {
    uint32_t op = sh_scan_u32(s);

    if (op > 255) {
        return false;
    }
    if (op <= 11 || (op >= 84 && op <= 93)) {
        skip_memarg(s);
    }
    if (op == 12 || op == 13) {
        (void)sh_scan_bytes(s, 16);
    }
    if ((op >= 21 && op <= 34) || (op >= 84 && op <= 91)) {
        (void)sh_scan_u8(s);
    }
    return true;
}

/* Instructions up to 0x26: control, parametric, variables. False: unknown. */
static bool skip_control(struct sh_scan_state *s, struct body *b, uint8_t op) {
    switch (op) {
    case 0x02: /* block */
    case 0x03: /* loop */
    case 0x04: /* if */
        skip_block_type(s, b);
        if (++b->depth > b->deepest) {
            b->deepest = b->depth;
        }
        return true;
    case 0x0b: /* end; the last one closes the body */
        b->depth -= b->depth ? 1 : 0;
        return true;
    case 0x00: /* unreachable */
    case 0x01: /* nop */
    case 0x05: /* else */
    case 0x0f: /* return */
    case 0x1a: /* drop */
    case 0x1b: /* select */
        return true;
    case 0x0c: /* br */
    case 0x0d: /* br_if */
    case 0x10: /* call */
    case 0x12: /* return_call */
        skip_leb(s, 1);
        return true;
    case 0x11: /* call_indirect */
    case 0x13: /* return_call_indirect */
        skip_leb(s, 2);
        return true;
    case 0x1c: /* select with types */
        skip_leb(s, sh_scan_u32(s) == 1 ? 1 : 0);
        return true;
    default:
        if (op >= 0x20 && op <= 0x26) { /* locals, globals, table.get and set */
            skip_leb(s, 1);
            return true;
        }
        return false;
    }
}

/* All instructions but br_table. */
static bool skip_instruction(struct sh_scan_state *s, struct body *b, uint8_t op) {
    if (op <= 0x26) {
        return skip_control(s, b, op);
    }
    if (op >= 0x28 && op <= 0x3e) { /* loads and stores */
        skip_memarg(s);
        return true;
    }
    if (op >= 0x45 && op <= 0xc4) { /* numeric */
        return true;
    }
    switch (op) {
    case 0x3f: /* memory.size */
    case 0x40: /* memory.grow */
    case 0x41: /* i32.const */
    case 0x42: /* i64.const */
    case 0xd0: /* ref.null */
    case 0xd2: /* ref.func */
        skip_leb(s, 1);
        return true;
    case 0x43:
        (void)sh_scan_bytes(s, 4);
        return true;
    case 0x44:
        (void)sh_scan_bytes(s, 8);
        return true;
    case 0xd1: /* ref.is_null */
        return true;
    case 0xfc:
        return skip_fc(s);
    case 0xfd:
        return skip_fd(s);
    default:
        return false;
    }
}

static int scan_instructions(struct sh_scan_state *s, struct body *b) {
    int r = 0;

    while (r == 0 && s->p != s->end && !s->failed) {
        uint8_t op = sh_scan_u8(s);

        b->weight += 4;
        if (op == 0x0e) {
            r = scan_br_table(s, b);
        } else if (!skip_instruction(s, b, op) && !s->failed) {
            return sh_fail(s->err, SH_E_MODULE,
                           "function %u uses instruction 0x%02x, which is unknown or belongs to a "
                           "proposal that is not supported",
                           b->index, op);
        }
    }
    return r == 0 && s->failed ? sh_scan_malformed(s, "a function body") : r;
}

static int scan_locals(struct sh_scan_state *s, struct body *b, uint64_t *ret_locals) {
    uint32_t groups = sh_scan_u32(s);
    uint64_t locals = s->types[s->functions[b->index]].n_params;

    for (uint32_t i = 0; i < groups && !s->failed; i++) {
        locals += sh_scan_u32(s);
        if (!sh_scan_letter(sh_scan_u8(s)) && !s->failed) {
            return sh_fail(s->err, SH_E_MODULE,
                           "function %u has a local of a type that is not "
                           "supported",
                           b->index);
        }
        if (locals > SH_SCAN_LOCALS_MAX) {
            return sh_scan_over(s, "locals in one function", locals, SH_SCAN_LOCALS_MAX);
        }
    }
    *ret_locals = locals;
    return s->failed ? sh_scan_malformed(s, "a function body") : 0;
}

int sh_scan_body(struct sh_scan_state *s, uint32_t index) {
    struct body b = {.index = index};
    const uint8_t *section_end = s->end;
    uint32_t size = sh_scan_u32(s);
    uint64_t locals = 0;
    int r;

    if (s->failed || size > (uint64_t)(s->end - s->p)) {
        return sh_scan_malformed(s, "a function body");
    }
    if (size > SH_SCAN_BODY_MAX) {
        return sh_scan_over(s, "bytes in one function", size, SH_SCAN_BODY_MAX);
    }
    s->end = s->p + size;
    if ((r = scan_locals(s, &b, &locals)) == 0) {
        r = scan_instructions(s, &b);
    }
    s->end = section_end;
    /* Each block can merge every local, so nesting times locals bounds the merges. */
    b.weight += b.deepest * locals;
    if (r == 0 && b.weight > SH_SCAN_WEIGHT_MAX) {
        return sh_fail(s->err, SH_E_LIMIT,
                       "function %u is too complex to compile: it may give rise "
                       "to %llu values, at most %llu are accepted",
                       index, (unsigned long long)b.weight, (unsigned long long)SH_SCAN_WEIGHT_MAX);
    }
    return r;
}
