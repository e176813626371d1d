/* The same program again, as a child: an empty environment, the descriptors it is given and no
 * others, and limits on memory, time and what it writes. */
#include "microsandbox/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CPU_GRACE_SECONDS 5 /* SIGXCPU says why; SIGKILL after it would not */

static void child_limit(int resource, rlim_t value, rlim_t grace) {
    struct rlimit limit = {value, value + grace};

    if (setrlimit((__rlimit_resource_t)resource, &limit) != 0) {
        _exit(120);
    }
}

/* Between fork and exec: only calls that are safe in a copy of a process with threads. */
static void child_exec(const struct sh_child *c, pid_t parent) __attribute__((noreturn));
static void child_exec(const struct sh_child *c, pid_t parent) {
    char name[] = "shannon", command[] = "compile-worker", lines[] = "lines";
    char *argv[] = {name, command, c->lines ? lines : NULL, NULL}, *env[] = {NULL};
    int high[SH_CHILD_FDS];
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(121);
    }
    for (int i = 0; i < SH_CHILD_FDS; i++) {
        high[i] = fcntl(c->fds[i], F_DUPFD, 16);
        if (high[i] < 0) {
            _exit(122);
        }
    }
    for (int i = 0; i < SH_CHILD_FDS; i++) {
        if (dup2(high[i], i) < 0) {
            _exit(122);
        }
    }
    if (syscall(SYS_close_range, (unsigned)SH_CHILD_FDS, ~0U, 0U) != 0) {
        for (int fd = SH_CHILD_FDS; fd < 65536; fd++) {
            (void)close(fd);
        }
    }
    child_limit(RLIMIT_CORE, 0, 0);
    child_limit(RLIMIT_AS, c->memory_bytes, 0);
    child_limit(RLIMIT_CPU, c->cpu_s, CPU_GRACE_SECONDS);
    child_limit(RLIMIT_FSIZE, c->file_bytes, 0);
    (void)execve(c->worker, argv, env);
    _exit(123);
}

int sh_child_file(const char *name, struct sh_str s) {
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

/* *ret_late: it had to be killed. */
static int child_wait(const struct sh_child *c, pid_t pid, int *ret_status, bool *ret_late) {
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd p = {pidfd, POLLIN, 0};
    uint64_t until = sh_mono_ns() + c->wall_ms * 1000000ULL;

    *ret_late = false;
    while (pidfd >= 0 && poll(&p, 1, c->stop ? 50 : 1000) <= 0) {
        if (sh_mono_ns() > until || (c->stop && atomic_load(c->stop))) {
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

int sh_child_run(const struct sh_child *c, int *ret_status, bool *ret_late) {
    pid_t pid, self = getpid();

    pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        child_exec(c, self);
    }
    return child_wait(c, pid, ret_status, ret_late);
}
