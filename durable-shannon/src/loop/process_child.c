/* What a child gives up before it becomes another program: our descriptors, our environment, our
 * process group; limits; and where it is `confined`, the network, new processes, and all files but
 * the system's programs and libraries (Landlock, where the kernel has it). A confined program may
 * be anybody's, so calls are refused from a list; our own workers shut more doors themselves. */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loop/process_internal.h"

#define REFUSE(nr)                                                                                 \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                               \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static int shut_calls(void) {
    static const struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x40000000, 0, 1), /* the x32 numbers */
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        REFUSE(SYS_socket),
        REFUSE(SYS_socketpair),
        REFUSE(SYS_connect),
        REFUSE(SYS_bind),
        REFUSE(SYS_sendto),
        REFUSE(SYS_sendmsg),
        REFUSE(SYS_fork),
        REFUSE(SYS_vfork),
        REFUSE(SYS_execveat),
        REFUSE(SYS_ptrace),
        REFUSE(SYS_process_vm_readv),
        REFUSE(SYS_process_vm_writev),
        REFUSE(SYS_pidfd_getfd),
        REFUSE(SYS_kill),
        REFUSE(SYS_tkill),
        REFUSE(SYS_setsid),
        REFUSE(SYS_unshare),
        REFUSE(SYS_setns),
        REFUSE(SYS_mount),
        REFUSE(SYS_umount2),
        REFUSE(SYS_pivot_root),
        REFUSE(SYS_chroot),
        REFUSE(SYS_bpf),
        REFUSE(SYS_perf_event_open),
        REFUSE(SYS_userfaultfd),
        REFUSE(SYS_io_uring_setup),
        REFUSE(SYS_keyctl),
        REFUSE(SYS_add_key),
        REFUSE(SYS_request_key),
        REFUSE(SYS_open_by_handle_at),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS), /* flags in memory: use clone */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[0])),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]),
                                 (struct sock_filter *)(uintptr_t)code};
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void open_path(int ruleset, const char *path, uint64_t access) {
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (rule.parent_fd >= 0) {
        (void)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
        (void)close(rule.parent_fd);
    }
}

/* Without Landlock the rest of the walls stand. */
static int shut_files(const char *program) {
    static const char *const readable[] = {
        "/usr",  "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/fonts",
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        "/proc",
#endif
        NULL};
    uint64_t read =
        LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
    struct landlock_ruleset_attr all = {.handled_access_fs =
                                            (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    int ruleset = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0);
    if (ruleset < 0) {
        return errno == ENOSYS || errno == EOPNOTSUPP ? 0 : -1;
    }
    for (size_t i = 0; readable[i]; i++) {
        open_path(ruleset, readable[i], read);
        open_path(ruleset, readable[i], LANDLOCK_ACCESS_FS_READ_FILE); /* where it is a file */
    }
    open_path(ruleset, program, LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE);
    int r = (int)syscall(SYS_landlock_restrict_self, ruleset, 0);
    (void)close(ruleset);
    return r;
}

static void limit(int resource, uint64_t value) {
    struct rlimit l = {value, value};
    if (value && setrlimit((__rlimit_resource_t)resource, &l) != 0) {
        _exit(120);
    }
}

static void take_descriptors(const int from[3]) {
    int high[3];
    for (int i = 0; i < 3; i++) {
        high[i] = fcntl(from[i], F_DUPFD, 16);
        if (high[i] < 0) {
            _exit(122);
        }
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(high[i], i) < 0) {
            _exit(122);
        }
    }
    if (syscall(SYS_close_range, 3U, ~0U, 0U) != 0) {
        for (int fd = 3; fd < 65536; fd++) {
            (void)close(fd);
        }
    }
}

void sh_process_child(const struct sh_process_options *o, pid_t parent, const int from[3]) {
    struct rlimit none = {0, 0};
    sigset_t empty;
    for (int i = 1; i < NSIG; i++) { /* what the parent handles, it handles in memory of its own */
        struct sigaction was;
        if (sigaction(i, NULL, &was) == 0 && was.sa_handler != SIG_IGN) {
            (void)signal(i, SIG_DFL);
        }
    }
    (void)sigemptyset(&empty);
    (void)sigprocmask(SIG_SETMASK, &empty, NULL);
    (void)signal(SIGPIPE, SIG_DFL);
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(121);
    }
    take_descriptors(from);
    (void)setrlimit(RLIMIT_CORE, &none);
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* whose shadow is larger than any limit */
    limit(RLIMIT_AS, o->memory_bytes);
#endif
    limit(RLIMIT_CPU, o->cpu_seconds);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || chdir(o->dir ? o->dir : "/") != 0) {
        _exit(124);
    }
    if (o->confined) {
        (void)setrlimit(RLIMIT_FSIZE, &none);
        if (shut_files(o->program) != 0 || shut_calls() != 0) {
            _exit(125);
        }
    }
    (void)execve(o->program, (char *const *)(uintptr_t)o->argv, (char *const *)(uintptr_t)o->env);
    _exit(127);
}
