/* The compiler's child: what it may do, and how each way it can die is told. The worker of a test
 * is a shell script, or the test program itself behind one. */
#include "integration/sandbox_rig.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/confine.h"

static char folder[64], script[96];

static void folder_make(void) {
    (void)snprintf(folder, sizeof(folder), "/tmp/sh-worker-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(script, sizeof(script), "%s/worker", folder);
}

static void folder_remove(void) {
    (void)unlink(script);
    (void)rmdir(folder);
}

/* A sandbox whose worker runs these lines; %s is the real one. */
static void sandbox_with(struct rig *r, const char *lines) {
    struct sh_sandbox_config c = {.worker = script, .agents_max = 4};
    char exe[4096], text[8192];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    struct sh_err err = {0};
    FILE *f = fopen(script, "we");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(n, 0);
    exe[n] = 0;
    (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", lines);
    for (char *p = text; *p; p++) {
        if (p[0] == '@') { /* stands for the worker */
            ck_assert_int_ge(fputs(exe, f), 0);
        } else {
            ck_assert_int_ge(fputc(*p, f), 0);
        }
    }
    ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
    ck_assert_int_eq(fclose(f), 0);
    memset(r, 0, sizeof(*r));
    sh_assert_ok(sh_sandbox_new(&c, &r->sandbox, &err), &err);
}

static void load_fails_with(const char *lines, int code, const char *word) {
    struct sh_buf binary;
    struct sh_err err = {0};
    struct rig r;

    sandbox_with(&r, lines);
    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    sh_assert_fails(sh_module_load(r.sandbox, sh_buf_str(&binary), &r.module, &err), code, &err);
    ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
    ck_assert(sh_utf8_valid(sh_str(err.message)));
    sh_buf_done(&binary);
    rig_done(&r);
}

/* ---- death ---- */

START_TEST(death_by_signal_is_the_modules_error) {
    folder_make();
    load_fails_with("kill -SEGV $$", SH_E_COMPILE, "signal 11");
    load_fails_with("kill -KILL $$", SH_E_COMPILE, "signal 9");
    load_fails_with("kill -ABRT $$", SH_E_COMPILE, "signal 6");
    folder_remove();
}
END_TEST

START_TEST(too_much_processor_time_is_the_modules_error) {
    folder_make();
    load_fails_with("ulimit -t 1; while :; do :; done", SH_E_COMPILE, "CPU time");
    folder_remove();
}
END_TEST

/* Little more than this program itself takes: no engine fits. */
START_TEST(too_much_memory_is_the_modules_error) {
    char lines[96];
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_eq(fscanf(f, "%ld", &pages), 1);
    ck_assert_int_eq(fclose(f), 0);
    folder_make();
    (void)snprintf(lines, sizeof(lines), "ulimit -v %ld; exec @ compile-worker",
                   pages * (sysconf(_SC_PAGESIZE) / 1024) + 4096);
    load_fails_with(lines, SH_E_COMPILE, "");
    folder_remove();
}
END_TEST

START_TEST(artifact_beyond_the_file_limit_is_the_modules_error) {
    folder_make();
    load_fails_with("ulimit -f 1; exec @ compile-worker", SH_E_COMPILE, "signal 25");
    folder_remove();
}
END_TEST

START_TEST(whatever_a_worker_leaves_is_the_modules_error) {
    folder_make();
    load_fails_with("exit 0", SH_E_COMPILE, "");
    load_fails_with("exit 1", SH_E_COMPILE, "without saying why");
    load_fails_with("exit 9", SH_E_COMPILE, "status 9");
    load_fails_with("head -c 100000 /dev/zero >&3; exit 0", SH_E_COMPILE, "");
    load_fails_with("printf 'no newline \\377\\033[2J' >&4; exit 1", SH_E_COMPILE, "no newline");
    load_fails_with("head -c 100000 /dev/zero | tr '\\0' x >&4; exit 1", SH_E_COMPILE, "xxx");
    load_fails_with("printf 'no_such_code\\nwhy' >&4; exit 1", SH_E_INTERNAL, "why");
    folder_remove();
}
END_TEST

/* What the child holds: module, null, artifact, message; no other descriptor, no variable. */
START_TEST(worker_is_given_nothing_else) {
    int extra;

    folder_make();
    extra = open("/etc/passwd", O_RDONLY); /* without O_CLOEXEC, as a careless library would */
    ck_assert_int_ge(extra, 0);
    ck_assert_int_eq(setenv("SHANNON_TEST_SECRET", "hunter2", 1), 0);
    load_fails_with("for fd in /proc/$$/fd/*; do\n"
                    "[ \"$(readlink $fd)\" != /etc/passwd ] || exit 77; done\n"
                    "[ -z \"$SHANNON_TEST_SECRET$HOME\" ] || exit 78\n"
                    "exit 79",
                    SH_E_COMPILE, "status 79");
    (void)close(extra);
    folder_remove();
}
END_TEST

static void *load_quietly(void *arg) {
    struct rig *r = arg;
    struct sh_buf binary;
    struct sh_err err = {0};

    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    (void)sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err);
    sh_buf_done(&binary);
    return NULL;
}

START_TEST(worker_dies_with_its_parent) {
    char pid_file[96], text[32] = "";
    pid_t parent, worker;
    FILE *f;

    folder_make();
    (void)snprintf(pid_file, sizeof(pid_file), "%s/pid", folder);
    parent = fork();
    if (parent == 0) {
        char lines[512];
        struct rig r;

        (void)snprintf(lines, sizeof(lines), "echo $$ >%s.new; mv %s.new %s; exec sleep 600",
                       pid_file, pid_file, pid_file);
        sandbox_with(&r, lines);
        (void)load_quietly(&r);
        _exit(0);
    }
    for (int i = 0; i < 1000 && access(pid_file, R_OK) != 0; i++) {
        (void)usleep(10000);
    }
    f = fopen(pid_file, "re");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
    (void)fclose(f);
    worker = (pid_t)strtol(text, NULL, 10);
    ck_assert_int_gt(worker, 0);
    ck_assert_int_eq(kill(worker, 0), 0);
    ck_assert_int_eq(kill(parent, SIGKILL), 0);
    ck_assert_int_eq(waitpid(parent, NULL, 0), parent);
    for (int i = 0; i < 1000; i++) { /* it may stay as a zombie where nobody reaps */
        char path[64], state[512] = "";
        FILE *stat;

        (void)snprintf(path, sizeof(path), "/proc/%d/stat", worker);
        stat = fopen(path, "re");
        if (!stat || !fgets(state, sizeof(state), stat) || strstr(state, ") Z ")) {
            worker = 0;
        }
        if (stat) {
            (void)fclose(stat);
        }
        if (!worker) {
            break;
        }
        (void)usleep(10000);
    }
    ck_assert_msg(worker == 0, "the worker outlived its parent");
    (void)unlink(pid_file);
    folder_remove();
}
END_TEST

/* ---- confinement ---- */

#define X32(nr) ((nr) | 0x40000000)

static int confined_tries(pid_t parent, int folder_fd) {
    int wrong = 0;
    struct rlimit limit = {64, 64};
    char exe[] = "/bin/true", *argv[] = {exe, NULL}, *env[] = {NULL};

    wrong += open("/etc/passwd", O_RDONLY) >= 0;
    wrong += openat(folder_fd, "new", O_CREAT | O_WRONLY, 0600) >= 0;
    wrong += (int)(syscall(SYS_open, "/etc/passwd", O_RDONLY) >= 0) * 2;
    wrong += (int)(syscall(X32(SYS_open), "/etc/passwd", O_RDONLY) >= 0) * 4;
    wrong += (int)(syscall(SYS_openat2, folder_fd, ".", NULL, 0) >= 0 || errno != EPERM) * 8;
    wrong += (socket(AF_INET, SOCK_STREAM, 0) >= 0) * 16;
    wrong += (int)(syscall(X32(SYS_socket), AF_UNIX, SOCK_STREAM, 0) >= 0) * 16;
    wrong += (kill(parent, 0) == 0) * 32;
    wrong += (int)(syscall(SYS_tgkill, parent, parent, 0) == 0) * 32;
    wrong += (execve(exe, argv, env) == 0) * 64;
    wrong += (unlinkat(folder_fd, "kept", 0) == 0) * 64;
    wrong += (mkdirat(folder_fd, "made", 0700) == 0) * 64;
    wrong += (fchmod(folder_fd, 0777) == 0) * 64;
    wrong += (int)(syscall(SYS_prlimit64, parent, RLIMIT_NOFILE, &limit, NULL) == 0) * 64;
    wrong += (prctl(PR_SET_PDEATHSIG, 0) == 0) * 64;
    wrong += (memfd_create("x", 0) >= 0) * 64;
    if (fork() == 0) {
        _exit(99);
    }
    return wrong;
}

static void *idle(void *arg) {
    return arg;
}

START_TEST(confined_worker_reaches_no_file_socket_or_process) {
    char kept[96];
    int status = 0, dir, fd;
    pid_t child;

    folder_make();
    (void)snprintf(kept, sizeof(kept), "%s/kept", folder);
    fd = open(kept, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert_int_ge(fd, 0);
    dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert_int_ge(dir, 0);
    child = fork();
    if (child == 0) {
        pthread_t t;
        void *p;

        if (sh_confine() != 0) {
            _exit(200);
        }
        p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED || pthread_create(&t, NULL, idle, NULL) != 0 ||
            pthread_join(t, NULL) != 0 || write(fd, "x", 1) != 1) {
            _exit(201); /* what a compiler does need */
        }
        _exit(confined_tries(getppid(), dir));
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_int_eq(access(kept, F_OK), 0);
    (void)close(fd);
    (void)close(dir);
    (void)unlink(kept);
    folder_remove();
}
END_TEST

/* ---- many at once ---- */

struct loader {
    struct sh_sandbox *sandbox;
    const struct sh_buf *same, *own;
    struct sh_module *modules[2];
    int rc;
};

static void *load_both(void *arg) {
    struct loader *l = arg;
    struct sh_err err = {0};

    for (int i = 0; i < 8 && l->rc == 0; i++) {
        struct sh_module *a = NULL, *b = NULL;

        l->rc = sh_module_load(l->sandbox, sh_buf_str(l->same), &a, &err);
        l->rc = l->rc ? l->rc : sh_module_load(l->sandbox, sh_buf_str(l->own), &b, &err);
        if (i == 0) { /* kept, so that later rounds find it; the others come and go */
            l->modules[0] = a;
            (void)sh_module_unref(b);
        } else {
            (void)sh_module_unref(a);
            (void)sh_module_unref(b);
        }
    }
    return NULL;
}

START_TEST(threads_that_load_the_same_and_other_modules_agree) {
    enum { THREADS = 4 };
    static const char *const names[THREADS] = {"busy.wat", "grow.wat", "talkative.wat",
                                               "endless.wat"};
    struct loader loaders[THREADS];
    struct sh_buf same, own[THREADS];
    pthread_t threads[THREADS];
    struct rig r;

    rig_sandbox(&r, 0, 4, NULL);
    sh_buf_init(&same, SH_MIB);
    rig_binary("trap.wat", &same);
    for (int i = 0; i < THREADS; i++) {
        sh_buf_init(&own[i], SH_MIB);
        rig_binary(names[i], &own[i]);
        loaders[i] = (struct loader){.sandbox = r.sandbox, .same = &same, .own = &own[i]};
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, load_both, &loaders[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_int_eq(loaders[i].rc, 0);
        ck_assert_ptr_eq(loaders[i].modules[0], loaders[0].modules[0]);
        sh_buf_done(&own[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        (void)sh_module_unref(loaders[i].modules[0]);
    }
    sh_buf_done(&same);
    rig_done(&r);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        death_by_signal_is_the_modules_error,
        too_much_processor_time_is_the_modules_error,
        too_much_memory_is_the_modules_error,
        artifact_beyond_the_file_limit_is_the_modules_error,
        whatever_a_worker_leaves_is_the_modules_error,
        worker_is_given_nothing_else,
        worker_dies_with_its_parent,
        confined_worker_reaches_no_file_socket_or_process,
        threads_that_load_the_same_and_other_modules_agree,
        NULL,
    };

    return sh_suite("sandbox_worker", tests);
}

RIG_MAIN(suite)
