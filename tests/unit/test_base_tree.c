/* Trees that a guest made to be hard to remove are removed all the same. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "lib/check_main.h"

static char top[64];

static void setup(void) {
    (void)snprintf(top, sizeof(top), "/tmp/sh-tree-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
}

static void make_file(int dir, const char *name) {
    int fd = openat(dir, name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    (void)close(fd);
}

static void gone(void) {
    ck_assert_int_eq(sh_tree_remove(top), 0);
    ck_assert_int_eq(access(top, F_OK), -1);
    ck_assert_int_eq(errno, ENOENT);
}

START_TEST(nesting_beyond_the_longest_path_and_all_descriptors) {
    struct rlimit few = {64, 64};
    int at;

    setup();
    at = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        int next;

        ck_assert_int_eq(mkdirat(at, "a-name-of-some-length", 0700), 0);
        if (i % 100 == 0) {
            make_file(at, "file");
        }
        next = openat(at, "a-name-of-some-length", O_PATH | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(next, 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
    gone();
}
END_TEST

START_TEST(links_are_removed_and_not_followed) {
    char kept[] = "/tmp/sh-kept-XXXXXX";
    int at;

    setup();
    ck_assert_ptr_nonnull(mkdtemp(kept));
    at = open(kept, O_PATH | O_DIRECTORY | O_CLOEXEC);
    make_file(at, "file");
    (void)close(at);
    at = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(symlinkat(kept, at, "link"), 0);
    ck_assert_int_eq(mkdirat(at, "d", 0700), 0);
    ck_assert_int_eq(symlinkat(kept, at, "d/link"), 0);
    (void)close(at);
    gone();
    at = open(kept, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(unlinkat(at, "file", 0), 0); /* still there */
    (void)close(at);
    ck_assert_int_eq(rmdir(kept), 0);
}
END_TEST

START_TEST(names_that_stand_in_the_way_are_no_obstacle) {
    int at;

    setup();
    at = open(top, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_eq(mkdirat(at, "d", 0700), 0);
    ck_assert_int_eq(mkdirat(at, "d/e", 0700), 0);
    ck_assert_int_eq(mkdirat(at, "d/e/f", 0700), 0);
    ck_assert_int_eq(mkdirat(at, ".removed-1", 0700), 0);
    ck_assert_int_eq(mkdirat(at, ".removed-1/g", 0700), 0);
    ck_assert_int_eq(mkdirat(at, ".removed-1/g/h", 0700), 0);
    make_file(at, ".removed-2");
    make_file(at, ".removed-3");
    (void)close(at);
    gone();
}
END_TEST

START_TEST(what_is_not_there_is_no_error_and_what_is_no_directory_is) {
    setup();
    ck_assert_int_eq(rmdir(top), 0);
    ck_assert_int_eq(sh_tree_remove(top), 0);
    ck_assert_int_eq(sh_tree_remove("/dev/null"), -ENOTDIR);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        nesting_beyond_the_longest_path_and_all_descriptors,
        links_are_removed_and_not_followed,
        names_that_stand_in_the_way_are_no_obstacle,
        what_is_not_there_is_no_error_and_what_is_no_directory_is,
        NULL,
    };

    return sh_suite("base_tree", tests);
}

SH_TEST_MAIN(suite)
