/* The interpreter's image is for scripts that meet at their start what it met at its own. */
#include "engine/private.h"
#include "lib/check_main.h"

static struct sh_engine with_image = {.config = {.python_image = "/image.wasm"}};
static const struct sh_capabilities nothing;

START_TEST(a_script_that_is_given_nothing_fits) {
    struct sh_capabilities c = {.env = json_object()};

    ck_assert(sh_image_fits(&with_image, &nothing, NULL, "main.py"));
    ck_assert(sh_image_fits(&with_image, &c, "zed", "a.py"));
    json_decref(c.env);
}
END_TEST

START_TEST(without_an_image_nothing_fits) {
    struct sh_engine e = {.config = {.python = "/python.wasm"}};

    ck_assert(!sh_image_fits(&e, &nothing, NULL, "main.py"));
}
END_TEST

START_TEST(a_variable_or_a_mapped_directory_does_not_fit) {
    struct sh_mount mount = {.host = (char[]){"/tmp"}, .guest = (char[]){"/t"}};
    struct sh_capabilities mapped = {.mounts = &mount, .n_mounts = 1};
    struct sh_capabilities variable = {.env = json_pack("{s:s}", "A", "")};

    ck_assert(!sh_image_fits(&with_image, &mapped, NULL, "main.py"));
    ck_assert(!sh_image_fits(&with_image, &variable, NULL, "main.py"));
    json_decref(variable.env);
}
END_TEST

START_TEST(a_program_name_with_a_folder_or_none_does_not_fit) {
    ck_assert(!sh_image_fits(&with_image, &nothing, "/bin/python", "main.py"));
    ck_assert(!sh_image_fits(&with_image, &nothing, "bin/", "main.py"));
    ck_assert(!sh_image_fits(&with_image, &nothing, "", "main.py"));
}
END_TEST

START_TEST(a_file_that_the_start_would_read_does_not_fit) {
    ck_assert(!sh_image_fits(&with_image, &nothing, NULL, "pyvenv.cfg"));
    ck_assert(!sh_image_fits(&with_image, &nothing, NULL, ".py"));
    ck_assert(!sh_image_fits(&with_image, &nothing, NULL, "py"));
    ck_assert(sh_image_fits(&with_image, &nothing, NULL, "x.py"));
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_script_that_is_given_nothing_fits,
        without_an_image_nothing_fits,
        a_variable_or_a_mapped_directory_does_not_fit,
        a_program_name_with_a_folder_or_none_does_not_fit,
        a_file_that_the_start_would_read_does_not_fit,
        NULL,
    };

    return sh_suite("engine_image", tests);
}

SH_TEST_MAIN(suite)
