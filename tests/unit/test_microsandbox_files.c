/* The pool for file calls: what it copies, what it gives up, and how it comes back. Calls hang at
 * the fault point file_call, as they would on a mount whose server is gone. */
#include "lib/check_main.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "microsandbox/files.h"

static char dir[64];
static struct sh_vfs_grant grant;

static void make_dir(void) {
    struct stat st;

    (void)snprintf(dir, sizeof(dir), "/tmp/shannon-files.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    grant = (struct sh_vfs_grant){.dir_perms = SH_PERM_READ | SH_PERM_WRITE,
                                  .file_perms = SH_PERM_READ | SH_PERM_WRITE,
                                  .bytes_left = SH_MIB,
                                  .host = dir};
    grant.root = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(grant.root, 0);
    ck_assert_int_eq(fstat(grant.root, &st), 0);
    grant.dev = st.st_dev;
}

static void remove_dir(void) {
    char command[96];

    close(grant.root);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
    ck_assert_int_eq(system(command), 0);
}

static struct sh_vfs_call call_of(enum sh_vfs_op op, int fd, const char *path) {
    return (struct sh_vfs_call){
        .op = op, .grant = &grant, .dir = fd, .to_dir = -1, .path = path, .opened.fd = -1};
}

static void set(void *arg) {
    atomic_store((atomic_bool *)arg, true);
}

static void await(struct sh_file *file) {
    atomic_bool over = false;

    if (!sh_file_wait(file, set, &over)) {
        while (!atomic_load(&over)) {
            usleep(200);
        }
    }
}

/* Start it, wait for it, take its answer; gives the errno. */
static int perform(struct sh_files *f, struct sh_vfs_call *c) {
    struct sh_file *file = NULL;

    ck_assert_int_eq(sh_files_start(f, c, &file), 0);
    await(file);
    sh_file_answer(file, c);
    ck_assert_ptr_null(sh_file_drop(file));
    return c->error;
}

static void hanging(unsigned n) {
    while (sh_hang_waiting() != n) {
        usleep(500);
    }
}

static void settled(struct sh_files *f) {
    while (sh_files_counts(f).stuck) {
        usleep(500);
    }
}

START_TEST(a_call_gives_what_it_gives_without_a_pool) {
    struct sh_files *f = sh_files_new(0);
    char text[] = "hello world", back[16] = {0};
    struct iovec out[2] = {{text, 6}, {text + 6, 5}}, in[2] = {{back, 3}, {back + 3, 13}};
    struct sh_vfs_call c;
    int fd;

    make_dir();
    c = call_of(SH_VFS_OPEN, grant.root, "a");
    c.how = (struct sh_vfs_how){.create = true, .read = true, .write = true};
    ck_assert_int_eq(perform(f, &c), 0);
    fd = c.opened.fd;
    c = call_of(SH_VFS_WRITE, fd, NULL);
    c.iov = out;
    c.n_iov = 2;
    c.bytes = 11;
    c.offset = UINT64_MAX;
    ck_assert_int_eq(perform(f, &c), 0);
    ck_assert_uint_eq(c.done, 11);
    ck_assert_uint_eq(c.offset, 0);
    c = call_of(SH_VFS_READ, fd, NULL);
    c.iov = in;
    c.n_iov = 2;
    c.bytes = 16;
    ck_assert_int_eq(perform(f, &c), 0);
    ck_assert_uint_eq(c.done, 11);
    ck_assert_str_eq(back, "hello world");
    c = call_of(SH_VFS_LIST, grant.root, NULL);
    sh_buf_init(&c.out, SH_MIB);
    ck_assert_int_eq(perform(f, &c), 0);
    ck_assert_uint_eq(c.n, 3);
    sh_buf_done(&c.out);
    c = call_of(SH_VFS_RENAME, grant.root, "a");
    c.to_dir = grant.root;
    c.to = "b";
    ck_assert_int_eq(perform(f, &c), 0);
    c = call_of(SH_VFS_STAT, grant.root, "a");
    ck_assert_int_eq(perform(f, &c), ENOENT);
    c = call_of(SH_VFS_SIZE, fd, NULL);
    c.size = SH_MIB + 12;
    ck_assert_int_eq(perform(f, &c), SH_VFS_E_BYTES); /* one past the grant's amount */
    c.error = 0;
    c.size = SH_MIB + 11;
    ck_assert_int_eq(perform(f, &c), 0);
    ck_assert_uint_eq(c.grown, SH_MIB);
    close(fd);
    sh_files_free(f);
    remove_dir();
}
END_TEST

START_TEST(a_call_that_hangs_is_given_up_and_its_device_answers_at_once_until_it_returns) {
    struct sh_files *f = sh_files_new(50);
    struct sh_vfs_call c;
    struct sh_file *file = NULL;

    make_dir();
    sh_hang_plan(1, 1);
    c = call_of(SH_VFS_STAT, grant.root, ".");
    ck_assert_int_eq(perform(f, &c), EIO);
    ck_assert_uint_eq(sh_files_counts(f).stuck, 1);
    c = call_of(SH_VFS_STAT, grant.root, ".");
    ck_assert_int_eq(sh_files_start(f, &c, &file), 0);
    ck_assert(sh_file_over(file)); /* no thread was asked */
    sh_file_answer(file, &c);
    ck_assert_int_eq(c.error, EIO);
    sh_file_drop(file);
    sh_hang_release();
    settled(f);
    c = call_of(SH_VFS_STAT, grant.root, ".");
    ck_assert_int_eq(perform(f, &c), 0);
    sh_files_free(f);
    remove_dir();
}
END_TEST

START_TEST(a_hung_device_leaves_others_alone) {
    struct sh_files *f = sh_files_new(50);
    struct sh_vfs_grant other;
    struct sh_vfs_call c;

    make_dir();
    other = grant;
    other.dev = grant.dev + 1; /* STAT compares, so this one is told by its EPERM */
    sh_hang_plan(1, SH_FILE_THREADS);
    for (int i = 0; i < SH_FILE_THREADS; i++) { /* one after another: each hangs, then is EIO */
        c = call_of(SH_VFS_STAT, grant.root, ".");
        ck_assert_int_eq(perform(f, &c), EIO);
    }
    c = call_of(SH_VFS_STAT, grant.root, ".");
    c.grant = &other;
    sh_hang_plan(0, 0);
    ck_assert_int_eq(perform(f, &c), EPERM);
    settled(f);
    sh_files_free(f);
    remove_dir();
}
END_TEST

/* All threads stuck, each replaced: the pool is never without, up to SH_FILE_STUCK_MAX. */
START_TEST(threads_that_are_stuck_are_replaced_up_to_the_limit) {
    struct sh_files *f = sh_files_new(100);
    struct sh_vfs_grant grants[SH_FILE_STUCK_MAX + SH_FILE_THREADS];
    enum { N = SH_FILE_STUCK_MAX + SH_FILE_THREADS };
    struct sh_file *files[N];
    struct sh_vfs_call c;

    make_dir();
    sh_hang_plan(1, 1000);
    for (int i = 0; i < N; i++) { /* devices of their own: none is refused at once */
        grants[i] = grant;
        grants[i].dev = grant.dev + 1 + (dev_t)i;
        c = call_of(SH_VFS_FSTAT, grant.root, NULL);
        c.grant = &grants[i];
        ck_assert_int_eq(sh_files_start(f, &c, &files[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        await(files[i]);
        sh_file_answer(files[i], &c);
        ck_assert_int_eq(c.error, EIO);
        sh_file_drop(files[i]);
    }
    ck_assert_uint_le(sh_files_counts(f).stuck, SH_FILE_STUCK_MAX);
    ck_assert_uint_le(sh_hang_waiting(), N);
    sh_hang_release();
    settled(f);
    while (sh_files_counts(f).threads > SH_FILE_THREADS) { /* those too many end */
        usleep(500);
    }
    c = call_of(SH_VFS_FSTAT, grant.root, NULL);
    ck_assert_int_eq(perform(f, &c), 0);
    sh_files_free(f);
    remove_dir();
}
END_TEST

/* One device, all threads: what waits in the queue is given up with them. */
START_TEST(a_call_that_never_got_a_thread_is_given_up_too) {
    struct sh_files *f = sh_files_new(100);
    struct sh_file *files[SH_FILE_THREADS + 2];
    struct sh_vfs_call c;

    make_dir();
    sh_hang_plan(1, 1000);
    for (int i = 0; i < SH_FILE_THREADS + 2; i++) {
        c = call_of(SH_VFS_FSTAT, grant.root, NULL);
        ck_assert_int_eq(sh_files_start(f, &c, &files[i]), 0);
    }
    for (int i = 0; i < SH_FILE_THREADS + 2; i++) {
        await(files[i]);
        sh_file_answer(files[i], &c);
        ck_assert_int_eq(c.error, EIO);
        sh_file_drop(files[i]);
    }
    sh_hang_release();
    sh_files_free(f);
    remove_dir();
}
END_TEST

/* The agent may be freed while its call hangs: descriptors and bytes are the call's own. */
START_TEST(a_dropped_call_keeps_what_it_needs_and_one_not_begun_is_not_made) {
    struct sh_files *f = sh_files_new(0);
    struct sh_file *files[SH_FILE_THREADS + 1];
    struct sh_vfs_call c;
    char name[16], path[96];

    make_dir();
    sh_hang_plan(1, SH_FILE_THREADS);
    for (int i = 0; i <= SH_FILE_THREADS; i++) {
        (void)snprintf(name, sizeof(name), "d%d", i);
        c = call_of(SH_VFS_MKDIR, grant.root, name);
        ck_assert_int_eq(sh_files_start(f, &c, &files[i]), 0);
        hanging(i < SH_FILE_THREADS ? (unsigned)i + 1 : SH_FILE_THREADS);
    }
    memset(name, 'x', sizeof(name));
    close(grant.root);
    for (int i = 0; i <= SH_FILE_THREADS; i++) {
        sh_file_drop(files[i]);
    }
    sh_hang_release();
    sh_files_free(f); /* waits for those that had begun */
    for (int i = 0; i <= SH_FILE_THREADS; i++) {
        (void)snprintf(path, sizeof(path), "%s/d%d", dir, i);
        ck_assert_int_eq(access(path, F_OK) == 0, i < SH_FILE_THREADS);
    }
    grant.root = -1;
    remove_dir();
}
END_TEST

START_TEST(nobody_is_called_after_unwait) {
    struct sh_files *f = sh_files_new(0);
    struct sh_vfs_call c;
    struct sh_file *file;
    atomic_bool called = false;

    make_dir();
    sh_hang_plan(1, 1);
    c = call_of(SH_VFS_FSTAT, grant.root, NULL);
    ck_assert_int_eq(sh_files_start(f, &c, &file), 0);
    ck_assert(!sh_file_wait(file, set, &called));
    sh_file_unwait(file);
    sh_hang_release();
    while (!sh_file_over(file)) {
        usleep(200);
    }
    ck_assert(!atomic_load(&called));
    sh_file_drop(file);
    sh_files_free(f);
    remove_dir();
}
END_TEST

START_TEST(a_pool_can_be_left_with_a_thread_that_never_comes_back) {
    struct sh_files *f = sh_files_new(20);
    struct sh_vfs_call c;

    make_dir();
    sh_hang_plan(1, 1);
    c = call_of(SH_VFS_FSTAT, grant.root, NULL);
    ck_assert_int_eq(perform(f, &c), EIO);
    sh_files_free(f); /* after a second, without it */
    ck_assert_uint_eq(sh_hang_waiting(), 1);
    sh_hang_release();
    hanging(0);
    usleep(20000); /* it takes the pool away with it: the leak check has nothing to say */
    remove_dir();
}
END_TEST

static int fd_limit_errno(struct sh_files *f) {
    struct sh_vfs_call c = call_of(SH_VFS_FSTAT, grant.root, NULL);
    struct sh_file *file;
    int fds[4096], n = 0, rc;

    while (n < 4096 && (fds[n] = dup(grant.root)) >= 0) {
        n++;
    }
    rc = sh_files_start(f, &c, &file);
    while (n) {
        close(fds[--n]);
    }
    return rc;
}

START_TEST(no_descriptor_left_is_the_hosts_error_and_starts_nothing) {
    struct sh_files *f = sh_files_new(0);
    struct rlimit small = {64, 64};

    make_dir();
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &small), 0);
    ck_assert_int_eq(fd_limit_errno(f), EMFILE);
    ck_assert_uint_eq(sh_files_counts(f).queued, 0);
    sh_files_free(f);
    remove_dir();
}
END_TEST

START_TEST(what_is_in_memory_is_answered_at_once_and_changes_never_are) {
    char byte = 'x', path[96];
    struct iovec iov = {&byte, 1};
    struct sh_vfs_call c;
    int fd;

    make_dir();
    if (!sh_vfs_local(grant.root)) {
        remove_dir();
        return; /* nothing is quick there */
    }
    (void)snprintf(path, sizeof(path), "%s/f", dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, &byte, 1), 1);
    c = call_of(SH_VFS_STAT, grant.root, "f");
    ck_assert(sh_vfs_call_quick(&c));
    ck_assert_int_eq(c.error, 0);
    ck_assert_int_eq(c.st.st_size, 1);
    c = call_of(SH_VFS_OPEN, grant.root, "f");
    c.how.read = true;
    ck_assert(sh_vfs_call_quick(&c));
    ck_assert_int_eq(c.error, 0);
    close(c.opened.fd);
    c.how.create = true;
    ck_assert(!sh_vfs_call_quick(&c));
    c = call_of(SH_VFS_UNLINK, grant.root, "f");
    ck_assert(!sh_vfs_call_quick(&c));
    ck_assert_int_eq(access(path, F_OK), 0);
    c = call_of(SH_VFS_SYNC, fd, NULL);
    ck_assert(!sh_vfs_call_quick(&c));
    c = call_of(SH_VFS_READ, fd, NULL);
    c.iov = &iov;
    c.n_iov = 1;
    c.bytes = 1;
    if (sh_vfs_call_quick(&c)) { /* some file systems cannot say, and always wait */
        ck_assert_uint_eq(c.done, 1);
    }
    c.bytes = SH_VFS_QUICK_BYTES + 1;
    ck_assert(!sh_vfs_call_quick(&c));
    close(fd);
    remove_dir();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_call_gives_what_it_gives_without_a_pool,
                                  what_is_in_memory_is_answered_at_once_and_changes_never_are,
                                  no_descriptor_left_is_the_hosts_error_and_starts_nothing, NULL};
    const TTest *const hangs[] = {
        a_call_that_hangs_is_given_up_and_its_device_answers_at_once_until_it_returns,
        a_hung_device_leaves_others_alone,
        threads_that_are_stuck_are_replaced_up_to_the_limit,
        a_call_that_never_got_a_thread_is_given_up_too,
        a_dropped_call_keeps_what_it_needs_and_one_not_begun_is_not_made,
        nobody_is_called_after_unwait,
        a_pool_can_be_left_with_a_thread_that_never_comes_back,
        NULL};
    Suite *s = sh_suite("files", tests);

    if (SH_TEST_HAS_FAULTS) {
        TCase *tcase = tcase_create("hangs");

        tcase_set_timeout(tcase, SH_TEST_SECONDS);
        for (size_t i = 0; hangs[i]; i++) {
            tcase_add_test(tcase, hangs[i]);
        }
        suite_add_tcase(s, tcase);
    }
    return s;
}
SH_TEST_MAIN(suite)
