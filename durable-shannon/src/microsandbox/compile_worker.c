/* The compiler's side of compile.c: trusted code working on hostile bytes, so it gives up what it
 * does not need before it reads the first of them. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

#define DENY(nr)                                                                                   \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (nr), 0, 1),                                               \
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

/* No network, no other program, no other process: a compiler needs none. */
static int confine(void) {
    static struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(SYS_socket),
        DENY(SYS_socketpair),
        DENY(SYS_execve),
        DENY(SYS_execveat),
        DENY(SYS_ptrace),
        DENY(SYS_process_vm_readv),
        DENY(SYS_process_vm_writev),
        DENY(SYS_pidfd_getfd),
        DENY(SYS_bpf),
        DENY(SYS_io_uring_setup),
        DENY(SYS_mount),
        DENY(SYS_unshare),
        DENY(SYS_unlink),
        DENY(SYS_unlinkat),
        DENY(SYS_rename),
        DENY(SYS_renameat),
        DENY(SYS_renameat2),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    static struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0
               ? 0
               : -1;
}

static int read_all(int fd, struct sh_buf *b) {
    for (;;) {
        char *p = sh_buf_room(b, 1 * SH_MIB);
        ssize_t n = p ? read(fd, p, 1 * SH_MIB) : -1;

        if (n == 0) {
            return 0;
        }
        if (n < 0 && (!p || errno != EINTR)) {
            return -1;
        }
        b->len += n > 0 ? (size_t)n : 0;
    }
}

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno != EINTR) {
            return -1;
        }
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

static int compile(struct sh_str wasm, struct sh_err *err) {
    wasm_engine_t *engine = sh_runtime_engine(0, err);
    const uint8_t *p = (const uint8_t *)wasm.p;
    wasmtime_module_t *module = NULL;
    wasmtime_error_t *error;
    wasm_byte_vec_t artifact;
    int r = 0;

    if (!engine) {
        return -SH_E_INTERNAL;
    }
    error = wasmtime_module_validate(engine, p, wasm.len);
    if (error) {
        return sh_runtime_error(err, SH_E_MODULE, "the module is not valid", error);
    }
    error = wasmtime_module_new(engine, p, wasm.len, &module);
    if (error) {
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    error = wasmtime_module_serialize(module, &artifact);
    if (error) {
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    if (write_all(3, artifact.data, artifact.size) != 0) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot write the compiled module");
    }
    wasm_byte_vec_delete(&artifact);
    wasmtime_module_delete(module);
    wasm_engine_delete(engine);
    return r;
}

int sh_compile_worker_main(int argc, char **argv) {
    struct sh_err err = {0};
    struct sh_buf wasm;
    char text[600];
    int r;

    (void)argc;
    (void)argv;
    sh_buf_init(&wasm, SH_MODULE_BYTES_MAX + 2 * SH_MIB);
    if (confine() != 0 || read_all(0, &wasm) != 0) {
        r = sh_fail_errno(&err, SH_E_COMPILE, errno, "the compiler cannot confine itself or read");
    } else {
        r = compile(sh_buf_str(&wasm), &err);
    }
    sh_buf_done(&wasm);
    if (r == 0) {
        return 0;
    }
    (void)snprintf(text, sizeof(text), "%s\n%s", sh_code_info(err.code)->name, err.message);
    (void)write_all(4, text, strlen(text));
    return 1;
}
