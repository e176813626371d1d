/* Each bound on a module's parts: what is at it is taken, what is one past it is refused by name.
 */
#include "lib/check_main.h"
#include "microsandbox/guest_scan.h"

/* A module of: types () -> () and (i32) -> (), perhaps more; one function; exported as _start. */
struct parts {
    struct sh_buf types, imports, tables, memories, globals, elements, code, data, padding;
};

static void leb(struct sh_buf *b, uint64_t v) {
    do {
        sh_buf_addc(b, (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
        v >>= 7;
    } while (v);
}

static void repeat(struct sh_buf *b, uint64_t n, const char *p, size_t len) {
    for (uint64_t i = 0; i < n; i++) {
        sh_buf_add(b, p, len);
    }
}
#define REPEAT(b, n, literal) repeat((b), (n), (literal), sizeof(literal) - 1)

static struct parts begin(void) {
    struct parts p;
    struct sh_buf *all = (struct sh_buf *)&p;

    for (size_t i = 0; i < sizeof(p) / sizeof(*all); i++) {
        sh_buf_init(&all[i], SH_MODULE_BYTES_MAX + SH_MIB);
    }
    sh_buf_add(&p.types, "\2\x60\0\0\x60\1\x7f\0", 8);
    sh_buf_add(&p.code, "\1\2\0\x0b", 4);
    return p;
}

static void section(struct sh_buf *module, uint8_t id, const struct sh_buf *body) {
    if (body->len) {
        sh_buf_addc(module, (char)id);
        leb(module, body->len);
        sh_buf_add(module, body->p, body->len);
    }
}

static bool resolve(struct sh_str m, struct sh_str name, struct sh_signature *ret) {
    *ret = (struct sh_signature){"", ""};
    return sh_str_eqz(m, "h") && sh_str_eqz(name, "f");
}

/* code 0: accepted. Ends the parts. */
static void scanned(struct parts *p, int code, const char *word) {
    struct sh_buf module, functions, exports, *all = (struct sh_buf *)p;
    struct sh_err err = {0};
    struct sh_scan found;
    uint64_t imported = p->imports.len ? SH_SCAN_IMPORTS_MAX : 0;

    sh_buf_init(&module, SH_MODULE_BYTES_MAX + SH_MIB);
    sh_buf_init(&functions, 16);
    sh_buf_init(&exports, 64);
    sh_buf_add(&functions, "\1\0", 2);
    sh_buf_add(&exports, "\1\6_start\0", 9);
    leb(&exports, imported);
    sh_buf_add(&module, "\0asm\1\0\0\0", 8);
    section(&module, 1, &p->types);
    section(&module, 2, &p->imports);
    section(&module, 3, &functions);
    section(&module, 4, &p->tables);
    section(&module, 5, &p->memories);
    section(&module, 6, &p->globals);
    section(&module, 7, &exports);
    section(&module, 9, &p->elements);
    section(&module, 10, &p->code);
    section(&module, 11, &p->data);
    section(&module, 0, &p->padding);
    ck_assert(!module.failed);
    if (code) {
        sh_assert_fails(sh_guest_scan(sh_buf_str(&module), resolve, &found, &err), code, &err);
        ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
    } else {
        sh_assert_ok(sh_guest_scan(sh_buf_str(&module), resolve, &found, &err), &err);
    }
    sh_buf_done(&module);
    sh_buf_done(&functions);
    sh_buf_done(&exports);
    for (size_t i = 0; i < sizeof(*p) / sizeof(*all); i++) {
        sh_buf_done(&all[i]);
    }
}

START_TEST(bytes) {
    struct parts p = begin();
    /* 8 of the header; 10, 4, 11 and 6 of the sections; a custom section's id, length and name. */
    uint64_t padding = SH_MODULE_BYTES_MAX - 8 - 10 - 4 - 12 - 6 - 5;

    sh_buf_add(&p.padding, "\1x", 2);
    memset(sh_buf_room(&p.padding, padding + 1), 0, padding + 1);
    p.padding.len = padding + (uint64_t)_i;
    scanned(&p, _i ? SH_E_LIMIT : 0, "67108865 bytes");
}
END_TEST

START_TEST(types) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_TYPES_MAX + (uint64_t)_i;

    p.types.len = 0;
    leb(&p.types, n);
    REPEAT(&p.types, n, "\x60\0\0");
    scanned(&p, _i ? SH_E_LIMIT : 0, "100001 types");
}
END_TEST

START_TEST(parameters_of_a_type) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_ARITY_MAX + (uint64_t)_i;

    p.types.p[0] = 3;
    sh_buf_addc(&p.types, 0x60);
    leb(&p.types, n);
    REPEAT(&p.types, n, "\x7f");
    sh_buf_addc(&p.types, 0);
    scanned(&p, _i ? SH_E_LIMIT : 0, "1001");
}
END_TEST

START_TEST(results_of_a_type) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_ARITY_MAX + (uint64_t)_i;

    p.types.p[0] = 3;
    sh_buf_add(&p.types, "\x60\0", 2);
    leb(&p.types, n);
    REPEAT(&p.types, n, "\x7f");
    scanned(&p, _i ? SH_E_LIMIT : 0, "1001");
}
END_TEST

START_TEST(imports) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_IMPORTS_MAX + (uint64_t)_i;

    leb(&p.imports, n);
    REPEAT(&p.imports, n, "\1h\1f\0\0");
    scanned(&p, _i ? SH_E_LIMIT : 0, "10001 imports");
}
END_TEST

START_TEST(tables) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_TABLES_MAX + (uint64_t)_i;

    leb(&p.tables, n);
    REPEAT(&p.tables, n, "\x70\0\1");
    scanned(&p, _i ? SH_E_LIMIT : 0, "5 tables");
}
END_TEST

START_TEST(table_elements) {
    struct parts p = begin();

    sh_buf_add(&p.tables, "\1\x70\0", 3);
    leb(&p.tables, SH_SCAN_TABLE_ELEMENTS_MAX + (uint64_t)_i);
    scanned(&p, _i ? SH_E_LIMIT : 0, "200001 table elements");
}
END_TEST

START_TEST(memories) {
    struct parts p = begin();

    leb(&p.memories, 1 + (uint64_t)_i);
    REPEAT(&p.memories, 1 + (uint64_t)_i, "\0\1");
    scanned(&p, _i ? SH_E_LIMIT : 0, "2 memories");
}
END_TEST

START_TEST(globals) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_GLOBALS_MAX + (uint64_t)_i;

    leb(&p.globals, n);
    REPEAT(&p.globals, n, "\x7f\0\x41\0\x0b");
    scanned(&p, _i ? SH_E_LIMIT : 0, "100001 globals");
}
END_TEST

START_TEST(element_segments) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_SEGMENTS_MAX + (uint64_t)_i;

    leb(&p.elements, n);
    REPEAT(&p.elements, n, "\0\x41\0\x0b\0");
    scanned(&p, _i ? SH_E_LIMIT : 0, "100001 element segments");
}
END_TEST

START_TEST(data_segments) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_SEGMENTS_MAX + (uint64_t)_i;

    leb(&p.data, n);
    REPEAT(&p.data, n, "\0\x41\0\x0b\0");
    scanned(&p, _i ? SH_E_LIMIT : 0, "100001 data segments");
}
END_TEST

/* Long numbers, so that the size is met before the number of instructions. */
START_TEST(bytes_of_a_body) {
    struct parts p = begin();
    uint64_t n = SH_SCAN_BODY_MAX + (uint64_t)_i, pairs = (n - 2) / 7;

    p.code.len = 1;
    leb(&p.code, n);
    sh_buf_addc(&p.code, 0);
    REPEAT(&p.code, pairs, "\x41\x80\x80\x80\x80\0\x1a");
    REPEAT(&p.code, n - 2 - pairs * 7, "\1");
    sh_buf_addc(&p.code, 0x0b);
    scanned(&p, _i ? SH_E_LIMIT : 0, "bytes in one function");
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        bytes,
        types,
        parameters_of_a_type,
        results_of_a_type,
        imports,
        tables,
        table_elements,
        memories,
        globals,
        element_segments,
        data_segments,
        bytes_of_a_body,
    };
    Suite *s = suite_create("microsandbox_scan_edges");
    TCase *at_and_past = tcase_create("at its limit, and one past it");

    tcase_set_timeout(at_and_past, SH_TEST_SECONDS);
    for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        tcase_add_loop_test(at_and_past, tests[i], 0, 2);
    }
    suite_add_tcase(s, at_and_past);
    return s;
}

SH_TEST_MAIN(suite)
