/* Compiled modules on disk: made once, taken only when they are ours and whole. */
#include "integration/sandbox_rig.h"

#include <dirent.h>
#include <sys/stat.h>

static char folder[64];

static void folder_make(void) {
    (void)snprintf(folder, sizeof(folder), "/tmp/sh-aot-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

/* Path of the only file in the folder that ends in `suffix`; counts all files. */
static size_t folder_find(const char *suffix, char path[512]) {
    DIR *d = opendir(folder);
    size_t n = 0;

    path[0] = 0;
    for (struct dirent *e; (e = readdir(d));) {
        size_t length = strlen(e->d_name);

        if (e->d_name[0] == '.' && length < 3) {
            continue;
        }
        n++;
        if (length > strlen(suffix) && strcmp(e->d_name + length - strlen(suffix), suffix) == 0) {
            (void)snprintf(path, 512, "%s/%s", folder, e->d_name);
        }
    }
    (void)closedir(d);
    return n;
}

static void folder_remove(void) {
    char path[512];

    for (const char *const *s = (const char *const[]){".cwasm", ".sha256", NULL}; *s; s++) {
        (void)folder_find(*s, path);
        (void)unlink(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static ino_t load_and_run(void) {
    char path[512];
    struct stat st;
    struct rig r = {0};

    rig_sandbox(&r, 0, 4, folder);
    rig_module(&r, "busy.wat");
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    rig_done(&r);
    ck_assert_uint_eq(folder_find(".cwasm", path), 2);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_eq(st.st_mode & 07777, 0400);
    return st.st_ino;
}

START_TEST(artifact_is_made_once_and_used_again) {
    ino_t first;

    folder_make();
    first = load_and_run();
    ck_assert_uint_eq(load_and_run(), first);
    folder_remove();
}
END_TEST

/* The record as another boot left it. */
static void forget_boot(void) {
    char path[512], text[65];
    int fd;

    (void)folder_find(".sha256", path);
    fd = open(path, O_RDONLY);
    ck_assert_int_eq(read(fd, text, 65), 65);
    (void)close(fd);
    ck_assert_int_eq(chmod(path, 0600), 0);
    fd = open(path, O_WRONLY | O_TRUNC);
    ck_assert_int_eq(write(fd, text, 65), 65);
    (void)close(fd);
    ck_assert_int_eq(chmod(path, 0400), 0);
}

START_TEST(artifact_is_hashed_in_full_after_a_boot_and_made_anew_when_it_differs) {
    char path[512];
    ino_t first;
    int fd;

    folder_make();
    first = load_and_run();
    forget_boot();
    ck_assert_uint_eq(load_and_run(), first);
    forget_boot();
    (void)folder_find(".cwasm", path);
    ck_assert_int_eq(chmod(path, 0600), 0);
    fd = open(path, O_WRONLY);
    ck_assert_int_eq(pwrite(fd, "\xcc", 1, 4096), 1);
    (void)close(fd);
    ck_assert_int_eq(chmod(path, 0400), 0);
    ck_assert_uint_ne(load_and_run(), first);
    folder_remove();
}
END_TEST

START_TEST(artifact_that_others_could_have_made_is_not_taken) {
    char path[512], other[600];
    ino_t first;

    folder_make();
    first = load_and_run();
    (void)folder_find(".cwasm", path);
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_uint_ne(load_and_run(), first); /* wrong mode */
    (void)folder_find(".cwasm", path);
    (void)snprintf(other, sizeof(other), "%s-link", folder);
    ck_assert_int_eq(rename(path, other), 0);
    ck_assert_int_eq(symlink(other, path), 0);
    (void)load_and_run(); /* a link is replaced */
    (void)unlink(other);
    folder_remove();
}
END_TEST

START_TEST(folder_that_others_may_enter_is_refused) {
    struct sh_sandbox_config c = {.aot_dir = folder, .worker = "/proc/self/exe", .agents_max = 2};
    struct sh_sandbox *s = NULL;
    struct sh_err err = {0};

    folder_make();
    ck_assert_int_eq(chmod(folder, 0755), 0);
    sh_assert_fails(sh_sandbox_new(&c, &s, &err), SH_E_DENIED, &err);
    ck_assert_int_eq(rmdir(folder), 0);
}
END_TEST

START_TEST(modules_in_memory_are_shared_by_hash) {
    struct rig r = {0};
    struct sh_module *first;

    rig_sandbox(&r, 0, 4, NULL);
    rig_module(&r, "busy.wat");
    first = r.module;
    rig_module(&r, "busy.wat");
    ck_assert_ptr_eq(first, r.module);
    (void)sh_module_unref(first);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        artifact_is_made_once_and_used_again,
        artifact_is_hashed_in_full_after_a_boot_and_made_anew_when_it_differs,
        artifact_that_others_could_have_made_is_not_taken,
        folder_that_others_may_enter_is_refused,
        modules_in_memory_are_shared_by_hash,
        NULL,
    };

    return sh_suite("sandbox_artifacts", tests);
}

RIG_MAIN(suite)
