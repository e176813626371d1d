/* Paths as they are read from flags and files: symbolic links resolved as far as the path exists.
 */
#include "files.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "policy/policy.h"

static char top[64], real_top[64];

static void make(void) {
    char path[PATH_MAX];

    (void)snprintf(top, sizeof(top), "/tmp/sh-files-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    ck_assert_ptr_nonnull(realpath(top, path));
    (void)snprintf(real_top, sizeof(real_top), "%.60s", path);
    (void)snprintf(path, sizeof(path), "%s/dir", top);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    (void)snprintf(path, sizeof(path), "%s/link", top);
    ck_assert_int_eq(symlink("dir", path), 0);
    (void)snprintf(path, sizeof(path), "%s/nowhere", top);
    ck_assert_int_eq(symlink("absent", path), 0);
}

static void done(void) {
    ck_assert_int_eq(sh_tree_remove(top), 0);
}

static void becomes(const char *path, const char *want) {
    char from[200], to[200];

    (void)snprintf(from, sizeof(from), "%s%s", top, path);
    (void)snprintf(to, sizeof(to), "%s%s", real_top, want);
    sh_auto(sh_free_p) char *real = sh_path_real(from);
    ck_assert_str_eq(real, to);
}

START_TEST(links_are_resolved_as_far_as_the_path_exists) {
    make();
    becomes("/dir", "/dir");
    becomes("/link", "/dir");
    becomes("/link/", "/dir");
    becomes("/link/../link/new/deeper", "/dir/new/deeper");
    becomes("/absent/link", "/absent/link");
    becomes("/nowhere", "/nowhere"); /* a link to nothing keeps its name, and is not followed */
    done();
}
END_TEST

START_TEST(root_and_what_is_missing_in_it) {
    sh_auto(sh_free_p) char *root = sh_path_real("/");
    sh_auto(sh_free_p) char *absent = sh_path_real("/no-such-directory-here/x");

    ck_assert_str_eq(root, "/");
    ck_assert_str_eq(absent, "/no-such-directory-here/x");
    ck_assert_ptr_null(sh_path_real("relative"));
    ck_assert_ptr_null(sh_path_real(""));
    ck_assert_ptr_null(sh_path_real("/dev/null/x")); /* ENOTDIR: left as it is */
}
END_TEST

START_TEST(hosts_of_a_document_are_renamed_in_every_part_of_it) {
    struct sh_capabilities caps = {0};
    struct sh_err err = {0};
    char text[256];
    json_t *doc = NULL;

    make();
    (void)snprintf(text, sizeof(text),
                   "{\"filesystem\":[{\"host\":\"%s/link\",\"guest\":\"/a\"},"
                   "{\"host\":\"%s/dir\",\"guest\":\"/b\"}]}",
                   top, top);
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &doc, &err), &err);
    sh_assert_ok(sh_capabilities_parse(doc, NULL, NULL, &caps, &err), &err);
    sh_capabilities_rename_hosts(&caps, sh_path_real);
    (void)snprintf(text, sizeof(text), "%s/dir", real_top);
    ck_assert_str_eq(caps.mounts[0].host, text);
    ck_assert_str_eq(caps.mounts[1].host, text);
    sh_capabilities_done(&caps);
    json_decref(doc);
    done();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        links_are_resolved_as_far_as_the_path_exists,
        root_and_what_is_missing_in_it,
        hosts_of_a_document_are_renamed_in_every_part_of_it,
        NULL,
    };

    return sh_suite("api_files", tests);
}

SH_TEST_MAIN(suite)
