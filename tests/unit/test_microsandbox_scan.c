/* The first look at a module: limits at their edges, and no byte read that is not there. */
#include "lib/check_main.h"
#include "microsandbox/guest_scan.h"

static struct sh_buf module;

static void leb(struct sh_buf *b, uint64_t v) {
    do {
        sh_buf_addc(b, (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0)));
        v >>= 7;
    } while (v);
}

static void section(uint8_t id, const struct sh_buf *body) {
    sh_buf_addc(&module, (char)id);
    leb(&module, body->len);
    sh_buf_add(&module, body->p, body->len);
}

static void begin(void) {
    sh_buf_done(&module);
    sh_buf_init(&module, SH_MODULE_BYTES_MAX + 100);
    sh_buf_add(&module, "\0asm\1\0\0\0", 8);
}

static void section_bytes(uint8_t id, const char *p, size_t n) {
    struct sh_buf b;

    sh_buf_init(&b, n + 1);
    sh_buf_add(&b, p, n);
    section(id, &b);
    sh_buf_done(&b);
}
#define SECTION(id, literal) section_bytes((id), (literal), sizeof(literal) - 1)

/* Types () -> () and, as number 1, () -> () again; one function; exported as _start. */
static void begin_command(void) {
    begin();
    SECTION(1, "\2\x60\0\0\x60\0\0");
    SECTION(3, "\1\0");
    SECTION(7, "\1\6_start\0\0");
}

/* The code section with one body of these instructions (and `locals` i32 locals). */
static void code(const struct sh_buf *instructions, uint64_t locals) {
    struct sh_buf body, all;

    sh_buf_init(&body, 16 * SH_MIB);
    sh_buf_init(&all, 16 * SH_MIB);
    if (locals) {
        leb(&body, 1);
        leb(&body, locals);
        sh_buf_addc(&body, 0x7f);
    } else {
        leb(&body, 0);
    }
    sh_buf_add(&body, instructions->p, instructions->len);
    sh_buf_addc(&body, 0x0b);
    leb(&all, 1);
    leb(&all, body.len);
    sh_buf_add(&all, body.p, body.len);
    section(10, &all);
    sh_buf_done(&body);
    sh_buf_done(&all);
}

static bool resolve(struct sh_str m, struct sh_str name, struct sh_signature *ret) {
    if (!sh_str_eqz(m, "host") || !sh_str_eqz(name, "call")) {
        return false;
    }
    *ret = (struct sh_signature){"iI", "i"};
    return true;
}

static struct sh_err err;

static int scan(struct sh_scan *ret) {
    /* A copy of its own size, so that a sanitizer sees one byte too many. */
    char *p = sh_memdup(module.p, module.len);
    int r;

    memset(&err, 0, sizeof(err));
    r = sh_guest_scan(sh_strn(p, module.len), resolve, ret, &err);
    sh_free(p);
    return r;
}

static void wants(int code_wanted, const char *word) {
    struct sh_scan found;

    sh_assert_fails(scan(&found), code_wanted, &err);
    ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
}

static void accepted(void) {
    struct sh_scan found;

    sh_assert_ok(scan(&found), &err);
}

static void br_table(uint64_t targets) {
    struct sh_buf b;

    sh_buf_init(&b, SH_MIB);
    sh_buf_adds(&b, "\x41\x01\x0e"); /* i32.const 1; br_table */
    leb(&b, targets);
    for (uint64_t i = 0; i <= targets; i++) {
        sh_buf_addc(&b, 0);
    }
    begin_command();
    code(&b, 0);
    sh_buf_done(&b);
}

START_TEST(br_table_at_and_past_its_limit) {
    br_table(SH_SCAN_BR_TABLE_MAX);
    accepted();
    br_table(SH_SCAN_BR_TABLE_MAX + 1);
    wants(SH_E_LIMIT, "br_table of 65521 targets");
}
END_TEST

START_TEST(locals_at_and_past_their_limit) {
    struct sh_buf none = {0};

    sh_buf_init(&none, 16);
    sh_buf_addc(&none, 1);
    begin_command();
    code(&none, SH_SCAN_LOCALS_MAX);
    accepted();
    begin_command();
    code(&none, SH_SCAN_LOCALS_MAX + 1);
    wants(SH_E_LIMIT, "50001 locals");
    sh_buf_done(&none);
}
END_TEST

/* Each instruction, the last end too, may give rise to four values. */
START_TEST(values_of_a_function_hold_at_their_edge) {
    struct sh_buf b;

    sh_buf_init(&b, SH_SCAN_WEIGHT_MAX);
    for (int i = 1; i < SH_SCAN_WEIGHT_MAX / 4; i++) {
        sh_buf_addc(&b, 0x01); /* nop */
    }
    begin_command();
    code(&b, 0);
    accepted();
    sh_buf_addc(&b, 0x01);
    begin_command();
    code(&b, 0);
    wants(SH_E_LIMIT, "12000004 values, at most 12000000");
    sh_buf_done(&b);
}
END_TEST

START_TEST(nesting_times_locals_is_bounded) {
    struct sh_buf b;

    sh_buf_init(&b, SH_MIB);
    for (int i = 0; i < 300; i++) {
        sh_buf_add(&b, "\x03\x40", 2); /* loop */
    }
    for (int i = 0; i < 300; i++) {
        sh_buf_addc(&b, 0x0b);
    }
    begin_command();
    code(&b, 1000);
    accepted();
    begin_command();
    code(&b, SH_SCAN_LOCALS_MAX);
    wants(SH_E_LIMIT, "too complex");
    sh_buf_done(&b);
}
END_TEST

START_TEST(body_past_its_limit_is_refused) {
    struct sh_buf b;

    sh_buf_init(&b, 16 * SH_MIB);
    memset(sh_buf_room(&b, SH_SCAN_BODY_MAX), 1, SH_SCAN_BODY_MAX);
    b.len += SH_SCAN_BODY_MAX;
    begin_command();
    code(&b, 0);
    wants(SH_E_LIMIT, "bytes in one function");
    b.len -= 16;
    begin_command();
    code(&b, 0);
    wants(SH_E_LIMIT, "too complex"); /* the size is fine, seven million instructions are not */
    sh_buf_done(&b);
}
END_TEST

START_TEST(functions_at_and_past_their_limit) {
    for (uint64_t extra = 0; extra < 2; extra++) {
        uint64_t n = SH_SCAN_FUNCTIONS_MAX + extra;
        struct sh_buf types, bodies;

        sh_buf_init(&types, 4 * SH_MIB);
        sh_buf_init(&bodies, 4 * SH_MIB);
        leb(&types, n);
        leb(&bodies, n);
        for (uint64_t i = 0; i < n; i++) {
            sh_buf_addc(&types, 0);
            sh_buf_add(&bodies, "\2\0\x0b", 3);
        }
        begin();
        SECTION(1, "\1\x60\0\0");
        section(3, &types);
        SECTION(7, "\1\6_start\0\0");
        section(10, &bodies);
        if (extra) {
            wants(SH_E_LIMIT, "100001 functions");
        } else {
            accepted();
        }
        sh_buf_done(&types);
        sh_buf_done(&bodies);
    }
}
END_TEST

START_TEST(module_past_its_size_is_refused) {
    begin();
    memset(sh_buf_room(&module, SH_MODULE_BYTES_MAX), 0, SH_MODULE_BYTES_MAX);
    module.len = SH_MODULE_BYTES_MAX + 1;
    wants(SH_E_LIMIT, "67108865 bytes");
}
END_TEST

START_TEST(imports_are_matched_by_name_and_type) {
    begin();
    SECTION(1, "\3\x60\0\0\x60\2\x7f\x7e\1\x7f\x60\1\x7f\0");
    SECTION(2, "\3\4host\4call\0\1\4host\4call\0\2\3env\1f\0\0");
    wants(SH_E_IMPORT, "imports 2 things that agents do not get: \"host.call\" ((i32) -> (), "
                       "expected (i32 i64) -> (i32)), \"env.f\" (() -> ())");
}
END_TEST

START_TEST(malformed_modules_say_what_is_wrong) {
    begin();
    module.p[0] = 'x';
    wants(SH_E_MODULE, "not a WebAssembly module");
    begin();
    module.p[4] = 13;
    module.p[6] = 1;
    wants(SH_E_MODULE, "component");
    begin();
    wants(SH_E_MODULE, "no entry point");
    begin();
    SECTION(3, "\0");
    SECTION(1, "\0");
    wants(SH_E_MODULE, "out of order");
    begin();
    SECTION(13, "\0");
    wants(SH_E_MODULE, "section 13");
    begin();
    SECTION(1, "\1\x5f\0\0");
    wants(SH_E_MODULE, "GC proposal");
    begin();
    SECTION(1, "\xff\xff\xff\xff\xff\xff\xff");
    wants(SH_E_MODULE, "malformed");
    begin();
    SECTION(1, "\1\x60\0\0");
    SECTION(3, "\1\1");
    wants(SH_E_MODULE, "type 1 of 1");
    begin_command();
    wants(SH_E_MODULE, "declares 1 functions and defines 0");
    begin();
    SECTION(1, "\2\x60\0\0\x60\1\x7f\0");
    SECTION(3, "\1\1");
    SECTION(7, "\1\6_start\0\0");
    wants(SH_E_MODULE, "\"_start\" has type (i32) -> ()");
    begin();
    SECTION(5, "\1\3\1\1");
    wants(SH_E_MODULE, "shared or 64-bit");
    begin();
    SECTION(5, "\2\0\1\0\1");
    wants(SH_E_LIMIT, "2 memories");
}
END_TEST

START_TEST(function_names_at_and_past_their_limit) {
    for (uint64_t extra = 0; extra < 2; extra++) {
        struct sh_buf b, names;

        sh_buf_init(&names, 64 * SH_KIB);
        sh_buf_init(&b, 64 * SH_KIB);
        leb(&names, 1);
        leb(&names, 0);
        leb(&names, SH_SCAN_NAME_MAX + extra);
        memset(sh_buf_room(&names, SH_SCAN_NAME_MAX + 1), 'f', SH_SCAN_NAME_MAX + 1);
        names.len += SH_SCAN_NAME_MAX + extra;
        sh_buf_add(&b, "\4name\1", 6);
        leb(&b, names.len);
        sh_buf_add(&b, names.p, names.len);
        br_table(1);
        section(0, &b);
        if (extra) {
            wants(SH_E_LIMIT, "has 4097 bytes");
        } else {
            accepted();
        }
        SECTION(0, "\4name\1\x20\xff"); /* malformed names are nobody's business */
        SECTION(0, "\x20");
        if (!extra) {
            accepted();
        }
        sh_buf_done(&b);
        sh_buf_done(&names);
    }
}
END_TEST

START_TEST(unknown_instructions_are_named) {
    static const char *const unknown[] = {"\x06", "\x14",     "\xfb",
                                          "\xfe", "\xfc\x12", "\xfd\x80\x02"};

    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        struct sh_buf b;

        sh_buf_init(&b, 16);
        sh_buf_adds(&b, unknown[i]);
        begin_command();
        code(&b, 0);
        wants(SH_E_MODULE, "uses instruction 0x");
        sh_buf_done(&b);
    }
}
END_TEST

/* Whatever the bytes are, the scan ends and stays inside: every truncation, every flipped byte. */
START_TEST(damaged_modules_never_read_outside) {
    struct sh_scan found;
    struct sh_buf b, whole;

    sh_buf_init(&b, 256);
    sh_buf_init(&whole, 1024);
    sh_buf_add(&b, "\x41\0\x0e\2\0\0\0\x02\x40\x0b\x28\2\0\x1a\xfd\x0c", 16);
    sh_buf_add(&b, "0123456789abcdef\x1a\x44\0\0\0\0\0\0\0\0\x1a\xfc\x0a\0\0", 31);
    begin();
    SECTION(1, "\3\x60\0\0\x60\2\x7f\x7e\1\x7f\x60\1\x7f\0");
    SECTION(2, "\1\4host\4call\0\1");
    SECTION(3, "\1\0");
    SECTION(4, "\1\x70\0\1");
    SECTION(5, "\1\0\1");
    SECTION(7, "\2\6_start\0\1\6memory\2\0");
    code(&b, 3);
    accepted();
    sh_buf_add(&whole, module.p, module.len);
    for (size_t n = 0; n < whole.len; n++) {
        module.len = n;
        (void)scan(&found);
    }
    for (size_t i = 0; i < whole.len; i++) {
        for (int v = 0; v < 256; v++) {
            module.len = whole.len;
            memcpy(module.p, whole.p, whole.len);
            module.p[i] = (char)v;
            (void)scan(&found);
        }
    }
    sh_buf_done(&b);
    sh_buf_done(&whole);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        br_table_at_and_past_its_limit,
        locals_at_and_past_their_limit,
        values_of_a_function_hold_at_their_edge,
        nesting_times_locals_is_bounded,
        body_past_its_limit_is_refused,
        functions_at_and_past_their_limit,
        module_past_its_size_is_refused,
        imports_are_matched_by_name_and_type,
        malformed_modules_say_what_is_wrong,
        function_names_at_and_past_their_limit,
        unknown_instructions_are_named,
        damaged_modules_never_read_outside,
        NULL,
    };

    return sh_suite("microsandbox_scan", tests);
}

SH_TEST_MAIN(suite)
