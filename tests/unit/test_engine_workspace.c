/* A private directory as blobs and back: nothing is lost, nothing is believed. */
#include "lib/check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/workspace.h"

static char top[64], from[96], to[96], blobs[96];

static void folders_make(void) {
    (void)snprintf(top, sizeof(top), "/tmp/shannon-workspace.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(top));
    (void)snprintf(from, sizeof(from), "%s/from", top);
    (void)snprintf(to, sizeof(to), "%s/to", top);
    (void)snprintf(blobs, sizeof(blobs), "%s/blobs", top);
    ck_assert_int_eq(mkdir(from, 0700), 0);
    ck_assert_int_eq(mkdir(to, 0700), 0);
}

static void shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void shell(const char *format, ...) {
    char command[1024];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(command, sizeof(command), format, args);
    va_end(args);
    ck_assert_int_eq(system(command), 0);
}

static void folders_remove(void) {
    shell("chmod -R u+w '%s'; rm -rf '%s'", top, top);
}

static json_t *keep(void) {
    struct sh_err err = {0};
    json_t *kept = NULL;

    sh_assert_ok(sh_workspace_keep(from, blobs, &kept, &err), &err);
    return kept;
}

/* A manifest of these entries, as a blob; what a Checkpoint event would say of it. */
static json_t *manifest(const char *json) {
    char hex[SH_HASH_HEX_BYTES], path[256];
    struct sh_hash hash;
    FILE *f;

    sh_sha256(json, strlen(json), &hash);
    sh_hash_hex(&hash, hex);
    (void)mkdir(blobs, 0700);
    (void)snprintf(path, sizeof(path), "%s/%s", blobs, hex);
    f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(json, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    return json_pack("{s:s}", "manifest", hex);
}

START_TEST(what_was_kept_comes_back_as_it_was) {
    struct sh_err err = {0};
    struct stat a, b;
    char path[256];
    json_t *kept, *again;

    folders_make();
    shell("cd '%s' && mkdir -p a/b/c && echo one > a/one && : > a/empty && ln a/one a/b/same && "
          "ln -s b/same a/link && ln -s nowhere dangling && head -c 300000 /dev/zero > zeros && "
          "echo x > 'na me' && echo one > copy",
          from);
    kept = keep();
    ck_assert_int_eq(sh_json_get_int(kept, "files", 0), 5);
    ck_assert_int_eq(sh_json_get_int(kept, "bytes", 0), 300010);
    sh_assert_ok(sh_workspace_restore(kept, blobs, to, &err), &err);
    shell("diff -r --no-dereference '%s' '%s'", from, to);
    (void)snprintf(path, sizeof(path), "%s/a/one", to);
    ck_assert_int_eq(stat(path, &a), 0);
    (void)snprintf(path, sizeof(path), "%s/a/b/same", to);
    ck_assert_int_eq(stat(path, &b), 0);
    ck_assert_uint_eq(a.st_ino, b.st_ino);
    shell("test $(ls '%s' | wc -l) = 5", blobs); /* equal files are one blob; and the manifest */
    again = keep();
    ck_assert(json_equal(kept, again)); /* equal trees, equal manifests */
    json_decref(kept);
    json_decref(again);
    folders_remove();
}
END_TEST

START_TEST(an_empty_directory_needs_no_manifest) {
    folders_make();
    ck_assert_ptr_null(keep());
    folders_remove();
}
END_TEST

START_TEST(directories_in_each_other_up_to_the_limit_and_one_more) {
    struct sh_err err = {0};
    struct sh_buf path;
    json_t *kept = NULL;

    folders_make();
    sh_buf_init(&path, 4096);
    for (int i = 0; i < SH_WORKSPACE_DEPTH_MAX; i++) {
        sh_buf_adds(&path, "d/");
    }
    shell("mkdir -p '%s/%s'", from, path.p);
    kept = keep();
    sh_assert_ok(sh_workspace_restore(kept, blobs, to, &err), &err);
    shell("test -d '%s/%s'", to, path.p);
    json_decref(kept);
    kept = NULL;
    shell("mkdir -p '%s/%sd'", from, path.p);
    sh_assert_fails(sh_workspace_keep(from, blobs, &kept, &err), SH_E_LIMIT, &err);
    ck_assert_ptr_null(kept);
    sh_buf_done(&path);
    folders_remove();
}
END_TEST

START_TEST(a_blob_that_changed_or_is_gone_is_refused) {
    struct sh_err err = {0};
    json_t *kept;

    folders_make();
    shell("echo one > '%s/f'", from);
    kept = keep();
    shell("cd '%s' && for f in *; do if [ $(stat -c %%s $f) = 4 ]; then chmod 600 $f && "
          "echo two > $f; fi; done",
          blobs);
    sh_assert_fails(sh_workspace_restore(kept, blobs, to, &err), SH_E_CORRUPT, &err);
    shell("rm -f '%s'/* && find '%s' -type f -size -5c -delete", to, blobs);
    err = (struct sh_err){0};
    sh_assert_fails(sh_workspace_restore(kept, blobs, to, &err), SH_E_NOT_FOUND, &err);
    shell("rm -rf '%s'", blobs);
    err = (struct sh_err){0};
    ck_assert_int_lt(sh_workspace_restore(kept, blobs, to, &err), 0);
    json_decref(kept);
    folders_remove();
}
END_TEST

START_TEST(no_manifest_leads_out_of_the_directory) {
    static const char *const hostile[] = {
        "[[\"d\",\"../out\"]]",
        "[[\"d\",\"/tmp/shannon-out\"]]",
        "[[\"d\",\"a\"],[\"d\",\"a/../../out\"]]",
        "[[\"d\",\"..\"]]",
        "[[\"d\",\"\"]]",
        "[[\"d\",\"a/\"]]",
        "[[\"l\",\"l\",\"..\"],[\"d\",\"l/out\"]]",
        "[[\"l\",\"l\",\"/etc\"]]",
        "[[\"l\",\"l\",\"..\"],[\"h\",\"x\",\"l/secret\"]]",
        "[[\"h\",\"x\",\"../secret\"]]",
        "[[\"l\",\"l\",\"../secret\"],[\"h\",\"x\",\"l\"]]",
        "[[\"f\",\"f\",\"../secret\",1]]",
        "[[\"f\",\"f\",7,1]]",
        "[[\"q\",\"f\"]]",
        "[[\"d\"]]",
        "[7]",
        "[[\"d\",\"a\"],[\"d\",\"a\"]]",
    };

    folders_make();
    shell("echo secret > '%s/secret'", top);
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        struct sh_err err = {0};
        json_t *kept = manifest(hostile[i]);

        ck_assert_msg(sh_workspace_restore(kept, blobs, to, &err) < 0, "%s", hostile[i]);
        ck_assert_int_eq(err.code, SH_E_CORRUPT);
        shell("test ! -e '%s/out' && test ! -e /tmp/shannon-out && test ! -e '%s/x' && "
              "rm -rf '%s' && mkdir '%s'",
              top, to, to, to);
        json_decref(kept);
    }
    folders_remove();
}
END_TEST

START_TEST(what_names_no_manifest_is_corrupt) {
    static const char *const kept[] = {"{}", "{\"manifest\":7}", "{\"manifest\":\"zz\"}"};

    folders_make();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        struct sh_err err = {0};
        json_t *j = json_loads(kept[i], 0, NULL);

        sh_assert_fails(sh_workspace_restore(j, blobs, to, &err), SH_E_CORRUPT, &err);
        json_decref(j);
    }
    folders_remove();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {what_was_kept_comes_back_as_it_was,
                                  an_empty_directory_needs_no_manifest,
                                  directories_in_each_other_up_to_the_limit_and_one_more,
                                  a_blob_that_changed_or_is_gone_is_refused,
                                  no_manifest_leads_out_of_the_directory,
                                  what_names_no_manifest_is_corrupt,
                                  NULL};

    return sh_suite("workspace", tests);
}
SH_TEST_MAIN(suite)
