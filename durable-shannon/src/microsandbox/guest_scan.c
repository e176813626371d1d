/* Reads the sections of a binary module (WebAssembly core specification 2.0, chapter 5) and walks
 * every function body once. It need not catch what validation catches; it must never read outside
 * of the bytes, and it must see every br_table and every block, because the compiler that runs
 * later trusts that there are not too many of them. */
#include "microsandbox/guest_scan_impl.h"

#include <stdio.h>

#define KIND_FUNCTION 0
#define KIND_TABLE 1
#define KIND_MEMORY 2
#define KIND_GLOBAL 3

static struct sh_str get_name(struct sh_scan_state *s) {
    uint32_t n = sh_scan_u32(s);
    const uint8_t *p = sh_scan_bytes(s, n);

    return s->failed ? (struct sh_str){NULL, 0} : sh_strn(p, n);
}

/* The count at the head of a section's vector. */
static int get_count(struct sh_scan_state *s, const char *what, uint64_t max, uint32_t *ret) {
    uint32_t n = sh_scan_u32(s);

    if (s->failed || n > (uint64_t)(s->end - s->p)) { /* each entry takes at least a byte */
        return sh_scan_malformed(s, what);
    }
    if (n > max) {
        return sh_scan_over(s, what, n, max);
    }
    *ret = n;
    return 0;
}

/* --- types and signatures ------------------------------------------------------------------- */

static const char *letter_name(char c) {
    switch (c) {
    case 'i':
        return "i32";
    case 'I':
        return "i64";
    case 'f':
        return "f32";
    case 'F':
        return "f64";
    case 'v':
        return "v128";
    default:
        return "ref";
    }
}

static bool types_equal(const uint8_t *types, uint32_t n, const char *letters) {
    if (strlen(letters) != n) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (sh_scan_letter(types[i]) != letters[i]) {
            return false;
        }
    }
    return true;
}

static bool signature_is(const struct sh_scan_type *t, const char *params, const char *results) {
    return types_equal(t->params, t->n_params, params) &&
           types_equal(t->results, t->n_results, results);
}

static void print_types(struct sh_buf *b, const uint8_t *types, uint32_t n) {
    for (uint32_t i = 0; i < n && i < 16; i++) {
        sh_buf_addf(b, "%s%s", i ? " " : "", letter_name(sh_scan_letter(types[i])));
    }
}

static void print_signature(struct sh_buf *b, const struct sh_scan_type *t) {
    sh_buf_addc(b, '(');
    print_types(b, t->params, t->n_params);
    sh_buf_adds(b, ") -> (");
    print_types(b, t->results, t->n_results);
    sh_buf_addc(b, ')');
}

static void print_letters(struct sh_buf *b, const char *letters) {
    for (size_t i = 0; letters[i]; i++) {
        sh_buf_addf(b, "%s%s", i ? " " : "", letter_name(letters[i]));
    }
}

static int get_valtypes(struct sh_scan_state *s, const uint8_t **ret, uint32_t *ret_n) {
    uint32_t n = sh_scan_u32(s);

    if (n > SH_SCAN_ARITY_MAX && !s->failed) {
        return sh_scan_over(s, "parameters or results in one type", n, SH_SCAN_ARITY_MAX);
    }
    *ret = sh_scan_bytes(s, n);
    *ret_n = n;
    if (s->failed) {
        return sh_scan_malformed(s, "a type");
    }
    for (uint32_t i = 0; i < n; i++) {
        if (!sh_scan_letter((*ret)[i])) {
            return sh_fail(s->err, SH_E_MODULE,
                           "the module uses value type 0x%02x, which is not "
                           "supported (32-bit core WebAssembly 2.0 is)",
                           (*ret)[i]);
        }
    }
    return 0;
}

static int scan_types(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "types", SH_SCAN_TYPES_MAX, &n);

    if (r < 0) {
        return r;
    }
    sh_free(s->types);
    s->n_types = 0;
    s->types =
        sh_try_alloc((n + 1) * sizeof(*s->types), (SH_SCAN_TYPES_MAX + 1) * sizeof(*s->types));
    if (!s->types) {
        return sh_fail(s->err, SH_E_NOMEM, "no memory for %u types", n);
    }
    for (uint32_t i = 0; i < n; i++) {
        struct sh_scan_type *t = &s->types[i];
        uint8_t form = sh_scan_u8(s);

        if (form != 0x60) {
            return s->failed ? sh_scan_malformed(s, "the type section")
                             : sh_fail(s->err, SH_E_MODULE,
                                       "type %u has form 0x%02x, expected a function type 0x60: "
                                       "the GC proposal is not supported",
                                       i, form);
        }
        if ((r = get_valtypes(s, &t->params, &t->n_params)) < 0 ||
            (r = get_valtypes(s, &t->results, &t->n_results)) < 0) {
            return r;
        }
        s->n_types = i + 1;
    }
    return 0;
}

/* --- imports, functions, tables, memories --------------------------------------------------- */

static int add_function(struct sh_scan_state *s, uint32_t type) {
    if (type >= s->n_types) {
        return sh_fail(s->err, SH_E_MODULE, "function %u has type %u of %u", s->n_functions, type,
                       s->n_types);
    }
    if (!s->functions) {
        s->functions = sh_alloc((SH_SCAN_FUNCTIONS_MAX + SH_SCAN_IMPORTS_MAX) * sizeof(uint32_t));
    }
    s->functions[s->n_functions++] = type;
    return 0;
}

static void unknown_import(struct sh_scan_state *s, struct sh_str module, struct sh_str name,
                           const struct sh_scan_type *t, const char *kind,
                           const struct sh_signature *expected) {
    struct sh_buf *b = &s->unknown;

    if (s->n_unknown++ >= 100) {
        return;
    }
    sh_buf_adds(b, b->len ? ", \"" : "\"");
    sh_buf_addf(b, "%.*s.%.*s\" (", (int)(module.len < 64 ? module.len : 64), module.p,
                (int)(name.len < 64 ? name.len : 64), name.p);
    if (t) {
        print_signature(b, t);
    } else {
        sh_buf_adds(b, kind);
    }
    if (expected) {
        sh_buf_adds(b, ", expected (");
        print_letters(b, expected->params);
        sh_buf_adds(b, ") -> (");
        print_letters(b, expected->results);
        sh_buf_addc(b, ')');
    }
    sh_buf_addc(b, ')');
}

/* Tables and memories share the form of their limits. max = UINT64_MAX: none given. */
static int get_limits(struct sh_scan_state *s, uint64_t *ret_min, uint64_t *ret_max) {
    uint8_t flags = sh_scan_u8(s);

    if (flags > 1 && !s->failed) {
        return sh_fail(s->err, SH_E_MODULE,
                       "a memory or table has flags 0x%02x: shared or 64-bit ones are not "
                       "supported, compile for wasm32 without threads",
                       flags);
    }
    *ret_min = sh_scan_u32(s);
    *ret_max = flags & 1 ? sh_scan_u32(s) : UINT64_MAX;
    return s->failed ? sh_scan_malformed(s, "a memory or table") : 0;
}

static int scan_table(struct sh_scan_state *s) {
    uint64_t min, max;
    int r;

    if (!sh_scan_letter(sh_scan_u8(s))) {
        return s->failed ? sh_scan_malformed(s, "a table")
                         : sh_fail(s->err, SH_E_MODULE,
                                   "a table of an element type that is not "
                                   "funcref or externref is not supported");
    }
    if ((r = get_limits(s, &min, &max)) < 0) {
        return r;
    }
    if (min > SH_SCAN_TABLE_ELEMENTS_MAX) {
        return sh_scan_over(s, "table elements", min, SH_SCAN_TABLE_ELEMENTS_MAX);
    }
    s->ret->tables++;
    return 0;
}

static int scan_import(struct sh_scan_state *s) {
    struct sh_str module = get_name(s), name = get_name(s);
    uint8_t kind = sh_scan_u8(s);
    static const char *const kinds[] = {"function", "table", "memory", "global"};
    struct sh_signature signature;
    const struct sh_scan_type *t;
    uint64_t min, max;
    uint32_t index;
    int r;

    if (s->failed || kind > KIND_GLOBAL || !sh_utf8_valid(module) || !sh_utf8_valid(name)) {
        return sh_scan_malformed(s, "an import");
    }
    if (kind != KIND_FUNCTION) {
        unknown_import(s, module, name, NULL, kinds[kind], NULL);
        if (kind == KIND_GLOBAL) {
            (void)sh_scan_bytes(s, 2);
            return s->failed ? sh_scan_malformed(s, "an import") : 0;
        }
        if (kind == KIND_TABLE) {
            (void)sh_scan_u8(s);
        }
        return get_limits(s, &min, &max);
    }
    index = sh_scan_u32(s);
    if ((r = add_function(s, index)) < 0) {
        return s->failed ? sh_scan_malformed(s, "an import") : r;
    }
    t = &s->types[index];
    if (!s->resolve(module, name, &signature)) {
        unknown_import(s, module, name, t, NULL, NULL);
    } else if (!signature_is(t, signature.params, signature.results)) {
        unknown_import(s, module, name, t, NULL, &signature);
    }
    return 0;
}

static int scan_imports(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "imports", SH_SCAN_IMPORTS_MAX, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = scan_import(s);
    }
    s->n_imported = s->n_functions;
    if (r == 0 && s->n_unknown) {
        return sh_fail(s->err, SH_E_IMPORT,
                       "the module imports %u thing%s that agents do not get: %.*s%s", s->n_unknown,
                       s->n_unknown == 1 ? "" : "s",
                       (int)(s->unknown.len < 360 ? s->unknown.len : 360), s->unknown.p,
                       s->unknown.len > 360 ? " ..." : "");
    }
    return r;
}

static int scan_functions(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "functions", SH_SCAN_FUNCTIONS_MAX, &n);

    if (r == 0 && s->n_functions != s->n_imported) {
        return sh_fail(s->err, SH_E_MODULE, "the module has two function sections");
    }
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        uint32_t type = sh_scan_u32(s);

        r = s->failed ? sh_scan_malformed(s, "the function section") : add_function(s, type);
    }
    s->ret->functions = s->n_functions;
    return r;
}

static int scan_tables(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "tables", SH_SCAN_TABLES_MAX, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = scan_table(s);
    }
    return r;
}

static int scan_memories(struct sh_scan_state *s) {
    uint64_t min = 0, max;
    uint32_t n;
    int r = get_count(s, "memories", 1, &n);

    if (r == 0 && n) {
        r = get_limits(s, &min, &max);
    }
    s->ret->memory_min_bytes = min * 65536;
    return r;
}

/* --- exports -------------------------------------------------------------------------------- */

static int export_function(struct sh_scan_state *s, struct sh_str name, uint32_t index) {
    static const struct {
        const char *name, *params, *results;
        size_t flag;
        bool in_ret;
    } known[] = {
        {"_start", "", "", offsetof(struct sh_scan, command), true},
        {"_initialize", "", "", offsetof(struct sh_scan, initialize), true},
        {"run_workflow", "ii", "I", offsetof(struct sh_scan_state, run_workflow), false},
        {"alloc", "i", "i", offsetof(struct sh_scan_state, alloc), false},
    };
    struct sh_buf text;

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        const struct sh_scan_type *t;

        if (!sh_str_eqz(name, known[i].name)) {
            continue;
        }
        t = &s->types[s->functions[index]];
        if (signature_is(t, known[i].params, known[i].results)) {
            *((bool *)((char *)(known[i].in_ret ? (void *)s->ret : (void *)s) + known[i].flag)) =
                true;
            return 0;
        }
        if (i == 3) {
            return 0; /* an `alloc` of another kind matters only beside run_workflow */
        }
        sh_buf_init(&text, 1024);
        print_signature(&text, t);
        (void)sh_fail(s->err, SH_E_MODULE, "the export \"%s\" has type %s, expected (%s) -> (%s)",
                      known[i].name, text.p ? text.p : "?", i == 2 ? "i32 i32" : "",
                      i == 2 ? "i64" : "");
        sh_buf_done(&text);
        return -SH_E_MODULE;
    }
    return 0;
}

static int scan_exports(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "exports", SH_SCAN_FUNCTIONS_MAX, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        struct sh_str name = get_name(s);
        uint8_t kind = sh_scan_u8(s);
        uint32_t index = sh_scan_u32(s);

        if (s->failed || (kind == KIND_FUNCTION && index >= s->n_functions)) {
            return sh_scan_malformed(s, "an export");
        }
        if (kind == KIND_FUNCTION) {
            r = export_function(s, name, index);
        } else if (kind == KIND_MEMORY && sh_str_eqz(name, "memory")) {
            s->ret->memory = true;
        }
    }
    return r;
}

/* --- code ----------------------------------------------------------------------------------- */

static int scan_code(struct sh_scan_state *s) {
    uint32_t n;
    int r = get_count(s, "function bodies", SH_SCAN_FUNCTIONS_MAX, &n);

    if (r == 0 && n != s->n_functions - s->n_imported) {
        return sh_fail(s->err, SH_E_MODULE, "the module declares %u functions and defines %u",
                       s->n_functions - s->n_imported, n);
    }
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = sh_scan_body(s, s->n_imported + i);
    }
    s->n_bodies += n;
    return r;
}

/* --- names ---------------------------------------------------------------------------------- */

/* The function names of the custom section "name", subsection 1. Every frame of a backtrace copies
 * its name, and a stack overflow has tens of thousands of frames. What is malformed here is ignored
 * by the compiler, and so it is by us. */
static int scan_function_names(struct sh_scan_state *s) {
    uint32_t n = sh_scan_u32(s);

    for (uint32_t i = 0; i < n && !s->failed; i++) {
        uint32_t index = sh_scan_u32(s);
        struct sh_str name = get_name(s);

        if (name.len > SH_SCAN_NAME_MAX) {
            return sh_fail(s->err, SH_E_LIMIT,
                           "the name of function %u has %zu bytes, at most %u "
                           "are accepted: strip the module's names",
                           index, name.len, (unsigned)SH_SCAN_NAME_MAX);
        }
    }
    return 0;
}

static int scan_custom(struct sh_scan_state *s) {
    const uint8_t *section_end = s->end;
    int r = 0;

    if (!sh_str_eqz(get_name(s), "name")) {
        s->failed = false;
        return 0;
    }
    while (r == 0 && s->p != section_end && !s->failed) {
        uint8_t id = sh_scan_u8(s);
        uint32_t size = sh_scan_u32(s);
        const uint8_t *next = sh_scan_bytes(s, size) + size;

        if (id == 1 && !s->failed) {
            s->p = next - size;
            s->end = next;
            r = scan_function_names(s);
            s->p = next;
            s->end = section_end;
        }
    }
    s->failed = false;
    return r;
}

/* --- the module ----------------------------------------------------------------------------- */

static int scan_section(struct sh_scan_state *s, uint8_t id) {
    uint32_t n;

    switch (id) {
    case 1:
        return scan_types(s);
    case 2:
        return scan_imports(s);
    case 3:
        return scan_functions(s);
    case 4:
        return scan_tables(s);
    case 5:
        return scan_memories(s);
    case 6:
        return get_count(s, "globals", SH_SCAN_GLOBALS_MAX, &n);
    case 7:
        return scan_exports(s);
    case 8:
        s->ret->start_section = true;
        return 0;
    case 9:
        return get_count(s, "element segments", SH_SCAN_SEGMENTS_MAX, &n);
    case 10:
        return scan_code(s);
    case 11:
        return get_count(s, "data segments", SH_SCAN_SEGMENTS_MAX, &n);
    case 12: /* data count */
        return 0;
    case 0:
        return scan_custom(s);
    default:
        return sh_fail(s->err, SH_E_MODULE,
                       "section %u is unknown or belongs to a proposal that is "
                       "not supported",
                       id);
    }
}

/* Standard sections come once and in this order; what comes before is relied on by what follows. */
static const uint8_t section_rank[13] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 10};

static int scan_sections(struct sh_scan_state *s, const uint8_t *module_end) {
    uint8_t last = 0;
    int r = 0;

    while (r == 0 && s->p != module_end) {
        uint8_t id, rank;
        uint32_t size;

        s->end = module_end;
        id = sh_scan_u8(s);
        size = sh_scan_u32(s);
        if (s->failed || size > (uint64_t)(module_end - s->p)) {
            return sh_scan_malformed(s, "a section");
        }
        rank = id < sizeof(section_rank) ? section_rank[id] : 0;
        if (rank && rank <= last) {
            return sh_fail(s->err, SH_E_MODULE, "section %u comes twice or out of order", id);
        }
        last = rank ? rank : last;
        s->end = s->p + size;
        r = scan_section(s, id);
        s->p = s->end;
    }
    return r;
}

static int scan_entry(struct sh_scan_state *s) {
    if (s->n_bodies != s->n_functions - s->n_imported) {
        return sh_fail(s->err, SH_E_MODULE, "the module declares %u functions and defines %u",
                       s->n_functions - s->n_imported, s->n_bodies);
    }
    if (s->ret->command) {
        return 0;
    }
    if (s->run_workflow && s->alloc && s->ret->memory) {
        return 0;
    }
    return sh_fail(s->err, SH_E_MODULE,
                   "the module has no entry point: it must export \"_start\", or \"run_workflow\" "
                   "(i32 i32) -> (i64) with \"alloc\" (i32) -> (i32) and \"memory\"%s",
                   s->run_workflow ? "; it has run_workflow only" : "");
}

int sh_guest_scan(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_scan *ret,
                  struct sh_err *err) {
    return sh_guest_scan_sites(wasm, resolve, ret, NULL, err);
}

int sh_guest_scan_sites(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_scan *ret,
                        struct sh_buf *sites, struct sh_err *err) {
    static const uint8_t header[8] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct sh_scan_state s = {.resolve = resolve, .err = err, .sites = sites};
    struct sh_scan found = {0};
    int r;

    if (wasm.len > SH_MODULE_BYTES_MAX) {
        return sh_fail(err, SH_E_LIMIT, "the module has %zu bytes, at most %llu are accepted",
                       wasm.len, (unsigned long long)SH_MODULE_BYTES_MAX);
    }
    if (wasm.len < sizeof(header) || memcmp(wasm.p, header, 4) != 0) {
        return sh_fail(err, SH_E_MODULE,
                       "not a WebAssembly module: expected it to begin with the "
                       "bytes 00 61 73 6d (\"\\0asm\")");
    }
    if (memcmp(wasm.p, header, sizeof(header)) != 0) {
        return sh_fail(err, SH_E_MODULE,
                       "expected a core WebAssembly module of version 1; this is "
                       "%s",
                       (uint8_t)wasm.p[6] == 1 ? "a component: build for wasm32-wasip1"
                                               : "another version");
    }
    s.ret = &found;
    s.begin = (const uint8_t *)wasm.p;
    s.p = s.begin + sizeof(header);
    sh_buf_init(&s.unknown, 65536);
    r = scan_sections(&s, s.begin + wasm.len);
    if (r == 0) {
        r = scan_entry(&s);
    }
    sh_free(s.types);
    sh_free(s.functions);
    sh_buf_done(&s.unknown);
    if (r == 0) {
        *ret = found;
    }
    return r;
}
