/* A file under modules/ is taken only when it holds what its name says. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "(module\nprint one\n"

static struct fixture f;

struct answer {
    bool done;
    struct sh_err err;
};

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct answer *a = arg;

    (void)row;
    (void)cached;
    a->done = true;
    if (err) {
        a->err = *err;
    }
    sh_loop_stop(f.loop);
}

static struct answer submit(const char *hash) {
    struct answer a = {0};
    struct sh_submit s = {.agent = sh_str(hash), .query = SH_STR("q")};

    sh_engine_submit(f.engine, &s, on_submitted, &a);
    fixture_run(&f, &a.done);
    return a;
}

static char *path_of(const char *program, char hex[SH_HASH_HEX_BYTES]) {
    struct sh_hash hash;

    sh_sha256(program, strlen(program), &hash);
    sh_hash_hex(&hash, hex);
    return sh_asprintf("%s/modules/%s", f.dir, hex);
}

static void put(const char *path, const char *text) {
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0400);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(a_module_whose_bytes_are_not_those_of_its_name_is_corrupt) {
    char hex[SH_HASH_HEX_BYTES];
    struct answer a;

    fixture_open(&f, "modules");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, NULL);
    sh_auto(sh_free_p) char *path = path_of(PROGRAM, hex);
    json_decref(fixture_wait(&f, id));
    fixture_stop_engine(&f); /* what is loaded goes with it */
    put(path, "(module\nprint another\n");
    fixture_start_engine(&f);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, SH_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(a.err.message, hex));
    put(path, PROGRAM);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_module_whose_file_is_gone_is_not_found) {
    char hex[SH_HASH_HEX_BYTES];
    struct answer a;

    fixture_open(&f, "gone");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, NULL);
    sh_auto(sh_free_p) char *path = path_of(PROGRAM, hex);
    json_decref(fixture_wait(&f, id));
    fixture_stop_engine(&f);
    ck_assert_int_eq(unlink(path), 0);
    fixture_start_engine(&f);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_module_whose_bytes_are_not_those_of_its_name_is_corrupt,
        a_module_whose_file_is_gone_is_not_found,
        NULL,
    };

    return sh_suite("engine_modules", tests);
}

SH_TEST_MAIN(suite)
