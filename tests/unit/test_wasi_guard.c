/* What may be mapped: only the path that was allowed, and nothing of ours (SEMANTICS 20); and that
 * nothing is opened where the kernel does not resolve paths. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../lib/wasi_fixture.h"

static const char *protected_paths[4];

/* The fixture with its mapped directory replaced by `host`. */
static void map_host(struct fx *f, const char *host) {
    fx_map(f, 3, 3, false);
    f->mount[0].host = (char *)(uintptr_t)host;
    f->config.protected_paths = protected_paths;
}

static void refused(struct fx *f, const char *host, const char *word) {
    struct sh_err err = {0};
    struct sh_wasi *w = NULL;

    f->mount[0].host = (char *)(uintptr_t)host;
    sh_guest_init(&f->g, &f->config);
    sh_assert_fails(sh_wasi_new(&f->g, &w, &err), SH_E_DENIED, &err);
    ck_assert_msg(strstr(err.message, host) != NULL, "\"%s\" lacks the path", err.message);
    ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
    sh_guest_done(&f->g);
}

static void allowed(struct fx *f, const char *host) {
    f->mount[0].host = (char *)(uintptr_t)host;
    fx_start(f);
    fx_stop(f);
}

static const char *at(const struct fx *f, const char *name) {
    static char paths[8][160];
    static unsigned next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof(paths[0]), "%s/%s", f->dir, name);
    return path;
}

START_TEST(symbolic_link_is_not_followed_to_a_mapped_directory) {
    struct fx f;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    ck_assert_int_eq(mkdir(at(&f, "mapped/sub"), 0700), 0);
    ck_assert_int_eq(symlink("/etc", at(&f, "mapped/last")), 0);
    ck_assert_int_eq(symlink("mapped", at(&f, "first")), 0);
    refused(&f, at(&f, "mapped/last"), "symbolic link");
    refused(&f, at(&f, "first/sub"), "real path");
    refused(&f, "/proc/self/cwd", "symbolic link");
    f.config.observe = true; /* no reason to put it off either */
    refused(&f, at(&f, "mapped/last"), "symbolic link");
    allowed(&f, at(&f, "mapped/sub"));
    f.mount[0].host = f.mapped;
    fx_done(&f);
}
END_TEST

START_TEST(verifying_does_not_need_the_directory) {
    struct fx f;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    ck_assert_int_eq(symlink("/etc", at(&f, "mapped/last")), 0);
    f.config.observe = f.config.verify = true;
    allowed(&f, at(&f, "mapped/last"));
    allowed(&f, at(&f, "absent"));
    fx_done(&f);
}
END_TEST

START_TEST(what_is_or_holds_or_lies_in_a_protected_directory_is_refused) {
    struct fx f;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    ck_assert_int_eq(mkdir(at(&f, "mapped/data"), 0700), 0);
    ck_assert_int_eq(mkdir(at(&f, "mapped/data/db"), 0700), 0);
    ck_assert_int_eq(mkdir(at(&f, "mapped/data2"), 0700), 0);
    protected_paths[0] = "/nonexistent/shannon";
    protected_paths[1] = at(&f, "mapped/data");
    refused(&f, at(&f, "mapped/data"), " is ");
    refused(&f, at(&f, "mapped/data/db"), "lies in");
    refused(&f, f.mapped, "contains");
    refused(&f, "/", "contains");
    allowed(&f, at(&f, "mapped/data2"));
    protected_paths[0] = protected_paths[1] = NULL;
    allowed(&f, f.mapped);
    f.mount[0].host = f.mapped;
    fx_done(&f);
}
END_TEST

START_TEST(protected_file_is_kept_from_directories_that_contain_it) {
    struct fx f;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    ck_assert_int_eq(mkdir(at(&f, "mapped/conf"), 0700), 0);
    ck_assert_int_eq(mkdir(at(&f, "mapped/conf/below"), 0700), 0);
    fx_host_file(&f, "mapped/conf/shannon.toml", "x");
    protected_paths[0] = at(&f, "mapped/conf/shannon.toml");
    refused(&f, at(&f, "mapped/conf"), "contains");
    refused(&f, f.mapped, "contains");
    allowed(&f, at(&f, "mapped/conf/below"));
    protected_paths[0] = NULL;
    f.mount[0].host = f.mapped;
    fx_done(&f);
}
END_TEST

static int open_descriptors(void) {
    int n = 0;

    for (int fd = 0; fd < 512; fd++) {
        n += fcntl(fd, F_GETFD) >= 0;
    }
    return n;
}

START_TEST(looking_at_a_directory_leaves_no_descriptor_open) {
    struct fx f;
    int before;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    ck_assert_int_eq(mkdir(at(&f, "mapped/data"), 0700), 0);
    ck_assert_int_eq(mkdir(at(&f, "mapped/data2"), 0700), 0);
    protected_paths[0] = at(&f, "mapped/data");
    before = open_descriptors();
    for (int i = 0; i < 3; i++) {
        allowed(&f, at(&f, "mapped/data2"));
        refused(&f, at(&f, "mapped/data"), " is ");
        refused(&f, f.mapped, "contains");
    }
    ck_assert_int_eq(open_descriptors(), before);
    protected_paths[0] = NULL;
    f.mount[0].host = f.mapped;
    fx_done(&f);
}
END_TEST

START_TEST(kernel_interfaces_are_refused_by_name) {
    struct fx f;

    fx_dirs(&f);
    map_host(&f, f.mapped);
    refused(&f, "/proc", "procfs");
    refused(&f, "/proc/sys", "procfs");
    refused(&f, "/sys", "sysfs");
    f.mount[0].host = f.mapped;
    fx_done(&f);
}
END_TEST

/* From here on openat2 fails in this process, as under an old kernel (ENOSYS) or in a container
 * that does not let it through (EPERM). */
static void take_openat2_away(unsigned error) {
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat2, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof(code) / sizeof(code[0]), .filter = code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void starts_without_openat2(unsigned error) {
    struct fx f;
    struct sh_wasi *w = NULL;
    struct sh_err err = {0};

    fx_dirs(&f);
    take_openat2_away(error);
    sh_guest_init(&f.g, &f.config);
    sh_assert_fails(sh_wasi_new(&f.g, &w, &err), SH_E_UNSUPPORTED, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "openat2"));
    ck_assert_ptr_nonnull(strstr(err.message, "Linux 5.6"));
    sh_guest_done(&f.g);
    fx_done(&f);
}

START_TEST(without_openat2_the_start_fails_and_says_so) {
    starts_without_openat2(ENOSYS);
}
END_TEST

START_TEST(where_openat2_is_not_allowed_the_start_fails_too) {
    starts_without_openat2(EPERM);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        symbolic_link_is_not_followed_to_a_mapped_directory,
        verifying_does_not_need_the_directory,
        what_is_or_holds_or_lies_in_a_protected_directory_is_refused,
        protected_file_is_kept_from_directories_that_contain_it,
        looking_at_a_directory_leaves_no_descriptor_open,
        kernel_interfaces_are_refused_by_name,
        without_openat2_the_start_fails_and_says_so,
        where_openat2_is_not_allowed_the_start_fails_too,
        NULL,
    };

    return sh_suite("wasi_guard", tests);
}

SH_TEST_MAIN(suite)
