/* What a worker (compiling, reading documents) may still ask of the kernel once it reads hostile
 * bytes. A list of what
 * is allowed, so that a system call that nobody thought of is refused: memory, threads of its own,
 * its three descriptors. The compiler runs on what it finds; a refusal is EPERM, not death, so that
 * a library's habit of looking around (/proc, /sys) costs nothing.
 *
 * The numbers are those of x86-64; the x32 ones have a bit set and are therefore not in the list.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/confine.h"

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GIVE(action) BPF_STMT(BPF_RET | BPF_K, (action))
#define REFUSE(number) GIVE(SECCOMP_RET_ERRNO | (number))
#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1), GIVE(SECCOMP_RET_ALLOW)
/* Allowed where the low half of argument k is `value`. Ends the filter either way. */
#define ALLOW_IF(nr, k, value)                                                                     \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 4), LOAD(args[k]),                                \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, 1), GIVE(SECCOMP_RET_ALLOW), REFUSE(EPERM)

int sh_confine(void) {
    struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        GIVE(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        /* its descriptors */
        ALLOW(SYS_read),
        ALLOW(SYS_readv),
        ALLOW(SYS_write),
        ALLOW(SYS_writev),
        ALLOW(SYS_close),
        ALLOW(SYS_lseek),
        ALLOW(SYS_fstat),
        ALLOW(SYS_poll),
        /* memory */
        ALLOW(SYS_brk),
        ALLOW(SYS_mmap),
        ALLOW(SYS_munmap),
        ALLOW(SYS_mremap),
        ALLOW(SYS_mprotect),
        ALLOW(SYS_madvise),
        ALLOW(SYS_membarrier),
        /* threads */
        ALLOW(SYS_futex),
        ALLOW(SYS_set_robust_list),
        ALLOW(SYS_get_robust_list),
        ALLOW(SYS_set_tid_address),
        ALLOW(SYS_rseq),
        ALLOW(SYS_sched_yield),
        ALLOW(SYS_sched_getaffinity),
        ALLOW(SYS_getcpu),
        ALLOW(SYS_gettid),
        ALLOW(SYS_getpid),
        ALLOW(SYS_exit),
        ALLOW(SYS_exit_group),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        REFUSE(ENOSYS), /* its flags are in memory, where a filter cannot see: use clone */
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4),
        LOAD(args[0]),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 0, 1),
        GIVE(SECCOMP_RET_ALLOW),
        REFUSE(EPERM),
        /* signals of its own: abort() sends one */
        ALLOW(SYS_rt_sigaction),
        ALLOW(SYS_rt_sigprocmask),
        ALLOW(SYS_rt_sigreturn),
        ALLOW(SYS_sigaltstack),
        ALLOW_IF(SYS_tgkill, 0, (uint32_t)getpid()),
        ALLOW_IF(SYS_prlimit64, 0, 0),
        ALLOW_IF(SYS_prctl, 0, PR_SET_NAME),
        /* time and chance */
        ALLOW(SYS_clock_gettime),
        ALLOW(SYS_gettimeofday),
        ALLOW(SYS_clock_nanosleep),
        ALLOW(SYS_nanosleep),
        ALLOW(SYS_restart_syscall),
        ALLOW(SYS_getrandom),
        REFUSE(EPERM),
    };
    struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0
               ? 0
               : -1;
}
