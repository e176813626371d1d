/* Paths: nothing outside a grant is reached, whatever the path; permissions of grants hold. */
#include <sys/socket.h>
#include <sys/un.h>

#include "../lib/wasi_fixture.h"

static void escapes(struct fx *f, int dir) {
    static const char *const out[] = {"..",          "../x",    "a/../../x",
                                      "/etc/passwd", "a/../..", "./../x"};

    for (size_t i = 0; i < sizeof(out) / sizeof(out[0]); i++) {
        ck_assert_int_eq(fx_open(f, dir, out[i], 0, R_FD_READ), -E_PERM);
        ck_assert_int_eq(fx_stat(f, dir, out[i], true), E_PERM);
        ck_assert_int_ne(fx_path(f, "path_create_directory", dir, out[i]), E_OK);
        ck_assert_int_ne(fx_path(f, "path_unlink_file", dir, out[i]), E_OK);
    }
}

START_TEST(no_path_leaves_the_private_directory) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "a"), E_OK);
    escapes(&f, 3);
    fx_done(&f);
}
END_TEST

START_TEST(no_path_leaves_a_mapped_directory) {
    struct fx f;

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    fx_start(&f);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "a"), E_OK);
    escapes(&f, 3);
    fx_done(&f);
}
END_TEST

START_TEST(no_link_leads_out) {
    struct fx f;
    char link[160];

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    fx_host_file(&f, "secret", "secret");
    (void)snprintf(link, sizeof(link), "%s/l", f.mapped);
    ck_assert_int_eq(symlink("..", link), 0);
    (void)snprintf(link, sizeof(link), "%s/abs", f.mapped);
    ck_assert_int_eq(symlink("/etc", link), 0);
    fx_start(&f);
    ck_assert_int_eq(fx_open(&f, 3, "l/secret", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "l", O_WASI_DIRECTORY, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open_nofollow(&f, 3, "l/", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open_nofollow(&f, 3, "l", 0, R_FD_READ), -E_LOOP);
    ck_assert_int_eq(fx_open(&f, 3, "abs/passwd", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "l/new", O_WASI_CREAT, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "l/secret"), E_PERM);
    ck_assert_int_eq(
        fx_call(&f, "path_readlink", 3, FX_PATH, fx_put(&f, FX_PATH, "abs"), FX_DATA, 100, FX_OUT),
        E_PERM);
    ck_assert_int_eq(fx_symlink(&f, "/etc", 3, "mine"), E_PERM);
    fx_done(&f);
}
END_TEST

START_TEST(a_creating_open_follows_a_dangling_link_within_the_grant_only) {
    struct fx f;
    int fd;

    fx_plain(&f);
    ck_assert_int_eq(fx_symlink(&f, "target", 3, "l"), E_OK);
    ck_assert_int_eq(fx_symlink(&f, "../out", 3, "bad"), E_OK);
    ck_assert_int_eq(fx_symlink(&f, "loop", 3, "loop"), E_OK);
    fd = fx_open(&f, 3, "l", O_WASI_CREAT, FX_RW);
    ck_assert_int_gt(fd, 3);
    ck_assert_int_eq(fx_stat(&f, 3, "target", false), E_OK);
    ck_assert_int_eq(fx_open(&f, 3, "bad", O_WASI_CREAT, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "loop", O_WASI_CREAT, FX_RW), -E_LOOP);
    fx_done(&f);
}
END_TEST

START_TEST(fifos_sockets_and_devices_are_refused) {
    struct fx f;
    char name[160];
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM, 0);

    fx_dirs(&f);
    fx_map(&f, 3, 3, false);
    (void)snprintf(name, sizeof(name), "%s/fifo", f.mapped);
    ck_assert_int_eq(mkfifo(name, 0600), 0);
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "%s/socket", f.mapped);
    ck_assert_int_eq(bind(s, (struct sockaddr *)&a, sizeof(a)), 0);
    fx_start(&f);
    ck_assert_int_eq(fx_open(&f, 3, "fifo", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "fifo", 0, R_FD_WRITE), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "socket", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_stat(&f, 3, "socket", false), E_OK);
    ck_assert_uint_eq(f.m[FX_OUT + 16], SH_VFS_SOCKET);
    close(s);
    fx_done(&f);
}
END_TEST

START_TEST(a_read_only_grant_cannot_be_changed) {
    struct fx f;
    int fd;

    fx_dirs(&f);
    fx_map(&f, SH_PERM_READ, SH_PERM_READ, false);
    fx_host_file(&f, "mapped/a", "hello");
    fx_start(&f);
    ck_assert_int_eq(fx_open(&f, 3, "a", 0, R_FD_WRITE), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "a", O_WASI_TRUNC, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "a", O_WASI_CREAT, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 3, "b", O_WASI_CREAT, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "d"), E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_PERM);
    ck_assert_int_eq(fx_rename(&f, 3, "a", 3, "b"), E_PERM);
    ck_assert_int_eq(fx_link(&f, 3, "a", 3, "b"), E_PERM);
    ck_assert_int_eq(fx_symlink(&f, "a", 3, "s"), E_PERM);
    ck_assert_int_eq(
        fx_call(&f, "path_filestat_set_times", 3, 0, FX_PATH, fx_put(&f, FX_PATH, "a"), 0, 0, 4),
        E_PERM);
    fd = fx_open(&f, 3, "a", 0, R_FD_READ);
    ck_assert_int_gt(fd, 0);
    ck_assert_int_eq(fx_read(&f, fd, 100), 5);
    ck_assert(fx_data_is(&f, "hello"));
    ck_assert_int_eq(fx_write(&f, fd, "x"), -E_BADF);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_size", (uint64_t)fd, 0), E_BADF);
    ck_assert_int_eq(fx_call(&f, "fd_filestat_set_times", (uint64_t)fd, 0, 0, 4), E_PERM);
    fx_done(&f);
}
END_TEST

START_TEST(directory_and_file_permissions_are_apart) {
    struct fx f;
    int fd;

    fx_dirs(&f);
    fx_map(&f, SH_PERM_READ, SH_PERM_READ | SH_PERM_WRITE, false);
    fx_host_file(&f, "mapped/a", "hello");
    fx_start(&f);
    fd = fx_open(&f, 3, "a", O_WASI_TRUNC, FX_RW);
    ck_assert_int_gt(fd, 0);
    ck_assert_int_eq(fx_write(&f, fd, "bye"), 3);
    ck_assert_int_eq(fx_open(&f, 3, "b", O_WASI_CREAT, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_PERM);
    fx_done(&f);
    fx_dirs(&f);
    fx_map(&f, SH_PERM_READ | SH_PERM_WRITE, SH_PERM_WRITE, false);
    fx_host_file(&f, "mapped/a", "hello");
    fx_start(&f);
    ck_assert_int_eq(fx_open(&f, 3, "a", 0, R_FD_READ), -E_PERM);
    ck_assert_int_gt(fx_open(&f, 3, "a", 0, R_FD_WRITE), 0);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "a"), E_OK);
    fx_done(&f);
}
END_TEST

START_TEST(no_name_moves_from_one_grant_to_another) {
    struct fx f;

    fx_dirs(&f);
    fx_map(&f, SH_PERM_READ, SH_PERM_READ, false);
    f.mount[1] = f.mount[0]; /* the same directory, once more, with WRITE */
    f.mount[1].guest = sh_strdup("/rw");
    f.mount[1].dir_perms = f.mount[1].file_perms = SH_PERM_READ | SH_PERM_WRITE;
    f.caps.n_mounts = 2;
    fx_host_file(&f, "mapped/a", "hello");
    fx_start(&f);
    ck_assert_int_eq(fx_link(&f, 3, "a", 4, "b"), E_PERM);
    ck_assert_int_eq(fx_link(&f, 4, "a", 3, "b"), E_PERM);
    ck_assert_int_eq(fx_rename(&f, 3, "a", 4, "b"), E_PERM);
    ck_assert_int_eq(fx_rename(&f, 4, "a", 3, "b"), E_PERM);
    ck_assert_int_eq(fx_link(&f, 4, "a", 5, "b"), E_XDEV);
    ck_assert_int_eq(fx_rename(&f, 4, "a", 5, "b"), E_XDEV);
    ck_assert_int_eq(fx_rename(&f, 4, "a", 6, "b"), E_XDEV);
    ck_assert_int_eq(fx_rename(&f, 4, "a", 4, "b"), E_OK);
    fx_done(&f);
}
END_TEST

/* A mapped directory: what is opened has to be found again by its whole path after a crash. */
START_TEST(a_path_from_the_mapped_directory_ends_where_the_kernel_ends) {
    struct fx f;
    char name[256];
    int dir = 3;

    fx_dirs(&f);
    fx_map(&f, 3, 3, true);
    fx_start(&f);
    memset(name, 'd', 255);
    name[255] = '\0';
    for (int i = 0; i < 15; i++) { /* 15 * 255 and 14 slashes: 3839 */
        ck_assert_int_eq(fx_path(&f, "path_create_directory", dir, name), E_OK);
        dir = fx_open(&f, dir, name, O_WASI_DIRECTORY, R_FD_READ);
        ck_assert_int_gt(dir, 3);
    }
    ck_assert_int_eq(fx_open(&f, dir, name, O_WASI_CREAT, FX_RW) > 3, 1); /* 4095 */
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", dir, name), E_OK);
    name[253] = '\0';
    ck_assert_int_eq(fx_path(&f, "path_create_directory", dir, name), E_OK); /* 4093 */
    dir = fx_open(&f, dir, name, O_WASI_DIRECTORY, R_FD_READ);
    ck_assert_int_gt(fx_open(&f, dir, "f", O_WASI_CREAT, FX_RW), 3); /* 4095 */
    ck_assert_int_eq(fx_open(&f, dir, "ff", O_WASI_CREAT, FX_RW), -E_NAMETOOLONG);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", dir, "dd"), E_NAMETOOLONG);
    fx_done(&f);
}
END_TEST

/* File systems end at different lengths; a private directory must not show on which one it is. */
START_TEST(the_target_of_a_private_link_ends_where_every_file_system_takes_it) {
    struct fx f;
    char target[SH_WORKSPACE_TARGET_MAX + 2];

    fx_plain(&f);
    memset(target, 't', sizeof(target));
    target[SH_WORKSPACE_TARGET_MAX + 1] = '\0';
    ck_assert_int_eq(fx_symlink(&f, target, 3, "l"), E_NAMETOOLONG);
    target[SH_WORKSPACE_TARGET_MAX] = '\0';
    ck_assert_int_eq(fx_symlink(&f, target, 3, "l"), E_OK);
    fx_done(&f);
}
END_TEST

START_TEST(paths_are_checked_before_anything_else) {
    struct fx f;

    fx_plain(&f);
    memset(f.m + FX_DATA, 'a', 2 * SH_MIB);
    for (unsigned i = 200; i < 4096; i += 200) {
        f.m[FX_DATA + i] = '/';
    }
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, SH_MIB), E_NAMETOOLONG);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, SH_PATH_MAX + 1),
                     E_NAMETOOLONG);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, SH_PATH_MAX), E_NOENT);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, 0), E_NOENT);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_MEM - 2, 3), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, UINT32_MAX, 2), E_FAULT);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 77, FX_DATA, 3), E_BADF);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 0, FX_DATA, 3), E_NOTDIR);
    memcpy(f.m + FX_DATA, "a\0b", 3);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, 3), E_INVAL);
    memcpy(f.m + FX_DATA,
           "a\xff"
           "b",
           3);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, 3), E_ILSEQ);
    memset(f.m + FX_DATA, 'n', 256);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, 256), E_NAMETOOLONG);
    ck_assert_int_eq(fx_call(&f, "path_create_directory", 3, FX_DATA, 255), E_OK);
    fx_done(&f);
}
END_TEST

START_TEST(trailing_slashes_mean_a_directory) {
    struct fx f;

    fx_plain(&f);
    ck_assert_int_gt(fx_open(&f, 3, "file", O_WASI_CREAT, FX_RW), 0);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "dir///"), E_OK);
    ck_assert_int_eq(fx_open(&f, 3, "file/", 0, R_FD_READ), -E_NOTDIR);
    ck_assert_int_eq(fx_open(&f, 3, "new/", O_WASI_CREAT, FX_RW), -E_ISDIR);
    ck_assert_int_gt(fx_open(&f, 3, "dir/", 0, R_FD_READ), 0);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "file/"), E_NOTDIR);
    ck_assert_int_eq(fx_path(&f, "path_unlink_file", 3, "dir/"), E_ISDIR);
    ck_assert_int_eq(fx_rename(&f, 3, "file/", 3, "x"), E_NOTDIR);
    ck_assert_int_eq(fx_rename(&f, 3, "file", 3, "x/"), E_NOTDIR);
    ck_assert_int_eq(fx_rename(&f, 3, "dir/", 3, "x/"), E_OK);
    ck_assert_int_eq(fx_link(&f, 3, "file", 3, "l/"), E_NOENT);
    ck_assert_int_eq(fx_symlink(&f, "file", 3, "l/"), E_NOENT);
    ck_assert_int_eq(fx_symlink(&f, "file", 3, "x/"), E_EXIST);
    ck_assert_int_eq(fx_path(&f, "path_remove_directory", 3, "x/"), E_OK);
    ck_assert_int_eq(fx_path(&f, "path_remove_directory", 3, "."), E_INVAL);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "."), E_EXIST);
    ck_assert_int_eq(fx_rename(&f, 3, ".", 3, "y"), E_BUSY);
    fx_done(&f);
}
END_TEST

START_TEST(root_shows_work_and_dev) {
    struct fx f;
    int a, b;

    fx_plain(&f);
    a = fx_open(&f, 3, "work/file", O_WASI_CREAT, FX_RW);
    b = fx_open(&f, 3, "file", 0, FX_RW);
    ck_assert_int_gt(a, 0);
    ck_assert_int_gt(b, 0);
    ck_assert_int_eq(fx_stat(&f, 3, "./work/../work/file", true), E_OK);
    ck_assert_int_eq(fx_stat(&f, 3, "work", true), E_OK);
    ck_assert_uint_eq(f.m[FX_OUT + 16], SH_VFS_DIR);
    ck_assert_int_eq(fx_stat(&f, 3, "work/../../x", true), E_PERM);
    ck_assert_int_gt(fx_open(&f, 3, "dev/null", 0, FX_RW), 0);
    ck_assert_int_gt(fx_open(&f, 4, "null", 0, FX_RW), 0);
    ck_assert_int_eq(fx_open(&f, 4, "../x", 0, R_FD_READ), -E_PERM);
    ck_assert_int_eq(fx_open(&f, 4, "nope", 0, R_FD_READ), -E_NOENT);
    ck_assert_int_eq(fx_open(&f, 4, "nope", O_WASI_CREAT, FX_RW), -E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "dev"), E_PERM);
    ck_assert_int_eq(fx_path(&f, "path_create_directory", 3, "work"), E_EXIST);
    fx_done(&f);
}
END_TEST

START_TEST(pseudo_file_systems_cannot_be_mapped) {
    static const char *const paths[] = {"/proc", "/proc/self", "/sys"};

    for (size_t i = 0; i < 3; i++) {
        struct fx f;
        struct sh_err err = {0};

        fx_dirs(&f);
        fx_map(&f, 1, 1, i == 1);
        f.mount[0].host = sh_strdup(paths[i]);
        sh_guest_init(&f.g, &f.config);
        sh_assert_fails(sh_wasi_new(&f.g, &f.w, &err), SH_E_DENIED, &err);
        ck_assert_ptr_nonnull(strstr(err.message, paths[i]));
        sh_guest_done(&f.g);
        sh_free(f.mount[0].host);
        fx_done(&f);
    }
}
END_TEST

static Suite *suite(void) {
    return sh_suite(
        "wasi_path",
        (const TTest *const[]){
            no_path_leaves_the_private_directory, no_path_leaves_a_mapped_directory,
            no_link_leads_out, a_creating_open_follows_a_dangling_link_within_the_grant_only,
            fifos_sockets_and_devices_are_refused, a_read_only_grant_cannot_be_changed,
            directory_and_file_permissions_are_apart, no_name_moves_from_one_grant_to_another,
            a_path_from_the_mapped_directory_ends_where_the_kernel_ends,
            the_target_of_a_private_link_ends_where_every_file_system_takes_it,
            paths_are_checked_before_anything_else, trailing_slashes_mean_a_directory,
            root_shows_work_and_dev, pseudo_file_systems_cannot_be_mapped, NULL});
}

SH_TEST_MAIN(suite)
