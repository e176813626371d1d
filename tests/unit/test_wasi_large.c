/* How much one call does at once: output whole, recorded reads up to their limit. */
#include "../lib/wasi_fixture.h"

enum { LARGE = 1000000 };

static void take_output(struct fx *f) {
    size_t *total = f->user, wrong = 0;
    const struct sh_effect *e = f->g.effects;

    for (size_t i = 0; i < f->g.n_effects; i++) {
        if (e[i].kind == SH_EFFECT_OUTPUT) {
            ck_assert_uint_eq(e[i].number, *total);
            for (size_t k = 0; k < e[i].b.len; k++) {
                wrong += (uint8_t)e[i].b.p[k] != (uint8_t)((*total + k) * 31 >> 3);
            }
            *total += e[i].b.len;
        }
    }
    ck_assert_uint_eq(wrong, 0);
}

START_TEST(one_write_to_stdout_arrives_whole_though_room_is_short) {
    static const uint32_t lengths[] = {1, SH_EFFECTS_BYTES_MAX, SH_EFFECTS_BYTES_MAX + 1, LARGE};
    struct fx f;
    size_t total = 0, expected = 0;

    fx_plain(&f);
    f.room = take_output;
    f.user = &total;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (uint32_t k = 0; k < lengths[i]; k++) {
            f.m[FX_DATA + k] = (uint8_t)((expected + k) * 31 >> 3);
        }
        put32(f.m + FX_IOV, FX_DATA);
        put32(f.m + FX_IOV + 4, lengths[i] / 2); /* an empty part for a length of 1 */
        put32(f.m + FX_IOV + 8, FX_DATA + lengths[i] / 2);
        put32(f.m + FX_IOV + 12, lengths[i] - lengths[i] / 2);
        ck_assert_int_eq(fx_call(&f, "fd_write", 1, FX_IOV, 2, FX_OUT), E_OK);
        ck_assert_uint_eq(fx_u32(&f, FX_OUT), lengths[i]);
        expected += lengths[i];
    }
    take_output(&f);
    ck_assert_uint_eq(total, expected);
    fx_done(&f);
}
END_TEST

START_TEST(a_recorded_read_gives_its_limit_and_no_more) {
    struct fx f;
    char name[256];
    uint8_t *text = sh_zalloc(WASI_READ_MAX + 5);
    FILE *file;
    int fd;

    for (size_t i = 0; i < WASI_READ_MAX + 5; i++) {
        text[i] = (uint8_t)(i * 7 >> 2);
    }
    fx_dirs(&f);
    fx_map(&f, 3, 3, true);
    (void)snprintf(name, sizeof(name), "%s/f", f.mapped);
    file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, WASI_READ_MAX + 5, file), WASI_READ_MAX + 5);
    ck_assert_int_eq(fclose(file), 0);
    fx_start(&f);
    fd = fx_open(&f, 3, "f", 0, R_FD_READ);
    ck_assert_int_eq(fx_read(&f, fd, 2 * WASI_READ_MAX), WASI_READ_MAX);
    ck_assert_int_eq(memcmp(f.m + FX_DATA, text, WASI_READ_MAX), 0);
    ck_assert_int_eq(fx_read(&f, fd, 2 * WASI_READ_MAX), 5);
    ck_assert_int_eq(memcmp(f.m + FX_DATA, text + WASI_READ_MAX, 5), 0);
    ck_assert_int_eq(fx_read(&f, fd, 2 * WASI_READ_MAX), 0);
    sh_free(text);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    return sh_suite("wasi_large",
                    (const TTest *const[]){one_write_to_stdout_arrives_whole_though_room_is_short,
                                           a_recorded_read_gives_its_limit_and_no_more, NULL});
}

SH_TEST_MAIN(suite)
