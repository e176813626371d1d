/* Bulk instructions pay for their length: what is put into a module, without compiling it. */
#include "lib/check_main.h"
#include "microsandbox/guest_scan_impl.h"

static bool resolve(struct sh_str module, struct sh_str name, struct sh_signature *ret) {
    (void)module;
    (void)name;
    *ret = (struct sh_signature){"", "i"};
    return true;
}

/* (import "a" "b") (func (export "_start") CODE) (memory 1) and a custom section. */
static void module(struct sh_buf *b, const char *code, size_t n, const char *custom) {
    static const char head[] = "\0asm\1\0\0\0"
                               "\1\x08\2\x60\0\0\x60\0\1\x7f"
                               "\2\x07\1\1a\1b\0\1"
                               "\3\2\1\0"
                               "\5\3\1\0\1"
                               "\7\x0a\1\6_start\0\1\x0a";

    sh_buf_init(b, 65536);
    sh_buf_add(b, head, sizeof(head) - 1);
    sh_buf_u8(b, (uint8_t)(n + 4));
    sh_buf_u8(b, 1);
    sh_buf_u8(b, (uint8_t)(n + 2));
    sh_buf_u8(b, 0);
    sh_buf_add(b, code, n);
    sh_buf_u8(b, 0x0b);
    if (custom) {
        sh_buf_u8(b, 0);
        sh_buf_u8(b, (uint8_t)(strlen(custom) + 3));
        sh_buf_u8(b, (uint8_t)strlen(custom));
        sh_buf_adds(b, custom);
        sh_buf_add(b, "xy", 2);
    }
}

static void meter(const struct sh_buf *in, struct sh_buf *out) {
    struct sh_err err = {0};
    struct sh_buf marks;

    sh_buf_init(out, 65536);
    sh_buf_init(&marks, 65536);
    sh_assert_ok(sh_guest_meter(sh_buf_str(in), resolve, out, &marks, &err), &err);
    ck_assert(!marks.failed);
    sh_buf_done(&marks);
}

START_TEST(a_module_without_bulk_instructions_stays_as_it_is) {
    static const char code[] = "\xfc\x10\0\x1a\x3f\0\x1a"; /* table.size, memory.size */
    struct sh_buf in, out;

    module(&in, code, sizeof(code) - 1, ".debug_info");
    meter(&in, &out);
    ck_assert(sh_str_eq(sh_buf_str(&in), sh_buf_str(&out)));
    sh_buf_done(&in);
    sh_buf_done(&out);
}
END_TEST

#define THREE "\x41\0\x41\0\x41\0"

START_TEST(each_bulk_instruction_gets_its_call) {
    static const char code[] = THREE "\xfc\x0b\0" THREE "\xfc\x0a\0\0" THREE "\xfc\x08\0\0" THREE
                                     "\xfc\x0c\0\0" THREE "\xfc\x0e\0\0" THREE "\xfc\x0f\0" THREE
                                     "\xfc\x11\0" THREE "\xfc\x09\0" THREE "\xfc\x0d\0";
    static const char want[] =
        THREE "\x10\2\xfc\x0b\0" THREE "\x10\2\xfc\x0a\0\0" THREE "\x10\2\xfc\x08\0\0" THREE
              "\x10\3\xfc\x0c\0\0" THREE "\x10\3\xfc\x0e\0\0" THREE "\x10\3\xfc\x0f\0" THREE
              "\x10\3\xfc\x11\0" THREE "\xfc\x09\0" THREE "\xfc\x0d\0";
    struct sh_scan before, after;
    struct sh_buf in, out, sites;
    struct sh_err err = {0};

    module(&in, code, sizeof(code) - 1, "kept");
    meter(&in, &out);
    ck_assert_ptr_nonnull(memmem(out.p, out.len, want, sizeof(want) - 1));
    ck_assert_ptr_nonnull(memmem(out.p, out.len, "keptxy", 6));
    sh_assert_ok(sh_guest_scan(sh_buf_str(&in), resolve, &before, &err), &err);
    sh_buf_init(&sites, 4096);
    sh_assert_ok(sh_guest_scan_sites(sh_buf_str(&out), resolve, &after, &sites, &err), &err);
    ck_assert_uint_eq(after.functions, before.functions + 2);
    ck_assert_uint_eq(sites.len, 7 * sizeof(uint64_t));
    sh_buf_done(&sites);
    sh_buf_done(&in);
    sh_buf_done(&out);
}
END_TEST

START_TEST(debugging_information_of_a_changed_module_is_left_out) {
    static const char code[] = THREE "\xfc\x0b\0";
    struct sh_buf in, out;

    module(&in, code, sizeof(code) - 1, ".debug_line");
    meter(&in, &out);
    ck_assert_ptr_null(memmem(out.p, out.len, ".debug_line", 11));
    sh_buf_done(&in);
    sh_buf_done(&out);
}
END_TEST

START_TEST(what_the_scan_refuses_is_refused) {
    struct sh_buf in, out, marks;
    struct sh_err err = {0};

    module(&in, "\xff", 1, NULL);
    sh_buf_init(&out, 65536);
    sh_buf_init(&marks, 65536);
    sh_assert_fails(sh_guest_meter(sh_buf_str(&in), resolve, &out, &marks, &err), SH_E_MODULE,
                    &err);
    ck_assert_uint_eq(out.len + marks.len, 0);
    sh_buf_done(&marks);
    sh_buf_done(&in);
    sh_buf_done(&out);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_module_without_bulk_instructions_stays_as_it_is,
        each_bulk_instruction_gets_its_call,
        debugging_information_of_a_changed_module_is_left_out,
        what_the_scan_refuses_is_refused,
        NULL,
    };

    return sh_suite("microsandbox_meter", tests);
}

SH_TEST_MAIN(suite)
