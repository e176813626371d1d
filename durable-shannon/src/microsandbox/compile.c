/* Compiling in a child: a compiler on a thread can be neither bounded nor stopped, and its panic
 * would take everything down. The child is the same program again, with an empty environment and
 * three descriptors that matter: module on 0, artifact on 3, message on 4. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

#define COMPILE_MEMORY_BYTES (4 * SH_GIB) /* CPython, 26 MB, takes 330 MB */
#define COMPILE_CPU_SECONDS 300           /* CPython: 13 s */
#define COMPILE_WALL_MS 900000
#define ARTIFACT_BYTES_MAX SH_GIB
#define MESSAGE_MAX 4096

static void child_limit(int resource, rlim_t value) {
    struct rlimit limit = {value, value};

    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        _exit(120);
    }
}

/* Between fork and exec: only calls that are safe in a copy of a process with threads. */
static void child_exec(const char *worker, bool details, pid_t parent, const int from[4])
    __attribute__((noreturn));
static void child_exec(const char *worker, bool details, pid_t parent, const int from[4]) {
    static const int to[4] = {0, 1, 3, 4};
    char name[] = "shannon", command[] = "compile-worker", variable[] = SH_RUNTIME_DETAILS "=1";
    char *argv[] = {name, command, NULL}, *env[] = {details ? variable : NULL, NULL};
    int high[4];
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(121);
    }
    for (int i = 0; i < 4; i++) {
        high[i] = fcntl(from[i], F_DUPFD, 16);
        if (high[i] < 0) {
            _exit(122);
        }
    }
    for (int i = 0; i < 4; i++) {
        if (dup2(high[i], to[i]) < 0) {
            _exit(122);
        }
    }
    (void)dup2(1, 2);
    if (syscall(SYS_close_range, 5U, ~0U, 0U) != 0) {
        for (int fd = 5; fd < 65536; fd++) {
            (void)close(fd);
        }
    }
    child_limit(RLIMIT_CORE, 0);
    child_limit(RLIMIT_AS, COMPILE_MEMORY_BYTES);
    child_limit(RLIMIT_CPU, COMPILE_CPU_SECONDS);
    child_limit(RLIMIT_FSIZE, ARTIFACT_BYTES_MAX);
    (void)execve(worker, argv, env);
    _exit(123);
}

/* A file in memory that begins with `s`, read from its start. -1: errno says why. */
static int memory_file(const char *name, struct sh_str s) {
    int fd = memfd_create(name, MFD_CLOEXEC);
    size_t done = 0;

    while (fd >= 0 && done < s.len) {
        ssize_t n = write(fd, s.p + done, s.len - done);

        if (n < 0 && errno != EINTR) {
            (void)close(fd);
            return -1;
        }
        done += n > 0 ? (size_t)n : 0;
    }
    if (fd >= 0) {
        (void)lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

/* Wait for the child, with a limit on time. *ret_late: it had to be killed. */
static int child_wait(pid_t pid, int *ret_status, bool *ret_late) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {pidfd, POLLIN, 0};
    uint64_t until = sh_mono_ns() + COMPILE_WALL_MS * 1000000ULL;

    *ret_late = false;
    while (pidfd >= 0 && poll(&p, 1, 1000) <= 0) {
        if (sh_mono_ns() > until) {
            *ret_late = true;
            (void)kill(pid, SIGKILL);
            break;
        }
    }
    if (pidfd >= 0) {
        (void)close(pidfd);
    }
    while (waitpid(pid, ret_status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* What the child said: "CODE NAME\nsentence". */
static int child_message(int fd, struct sh_err *err) {
    char text[MESSAGE_MAX + 1];
    ssize_t n = pread(fd, text, MESSAGE_MAX, 0);
    char *newline;

    if (n <= 0) {
        return sh_fail(err, SH_E_COMPILE, "the compiler failed without saying why");
    }
    text[n] = 0;
    newline = strchr(text, '\n');
    if (!newline) {
        return sh_fail(err, SH_E_COMPILE, "the compiler failed: %.300s", text);
    }
    *newline = 0;
    return sh_fail(err, sh_code_from_name(text), "%.440s", newline + 1);
}

static int child_verdict(int status, bool late, int message, struct sh_err *err) {
    if (late) {
        return sh_fail(err, SH_E_COMPILE, "compiling took longer than %d s and was stopped",
                       COMPILE_WALL_MS / 1000);
    }
    if (WIFSIGNALED(status)) {
        int sig = WTERMSIG(status);

        return sh_fail(
            err, SH_E_COMPILE,
            "the compiler died by signal %d (%s); it may use %llu MiB of memory, %d s of "
            "CPU time and write %llu MiB",
            sig, strsignal(sig), (unsigned long long)(COMPILE_MEMORY_BYTES / SH_MIB),
            COMPILE_CPU_SECONDS, (unsigned long long)(ARTIFACT_BYTES_MAX / SH_MIB));
    }
    if (WEXITSTATUS(status) == 1) {
        return child_message(message, err);
    }
    if (WEXITSTATUS(status) != 0) {
        return sh_fail(err, SH_E_COMPILE, "the compiler could not be run or panicked (status %d)",
                       WEXITSTATUS(status));
    }
    return 0;
}

int sh_compile(struct sh_sandbox *s, struct sh_str wasm, int fd, struct sh_err *err) {
    sh_auto(sh_close_p) int module = -1;
    sh_auto(sh_close_p) int message = -1;
    sh_auto(sh_close_p) int null = -1;
    pid_t pid, self = getpid();
    int status = 0, r;
    bool late, details = sh_runtime_details();

    if (!s->worker) {
        return sh_fail(err, SH_E_COMPILE, "no compile worker is configured");
    }
    module = memory_file("module", wasm);
    message = memory_file("message", (struct sh_str){NULL, 0});
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (module < 0 || message < 0 || null < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot set up the compiler");
    }
    pid = fork();
    if (pid < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot start the compiler");
    }
    if (pid == 0) {
        child_exec(s->worker, details, self, (const int[4]){module, null, fd, message});
    }
    r = child_wait(pid, &status, &late);
    if (r < 0) {
        return sh_fail_errno(err, SH_E_IO, -r, "cannot wait for the compiler");
    }
    return child_verdict(status, late, message, err);
}
