/* Compiling in a child: a compiler on a thread can be neither bounded nor stopped, and its panic
 * would take everything down. Module on descriptor 0 of the child, last words on 2, artifact on 3,
 * message on 4, what file and line are found by on 5. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "microsandbox/child.h"
#include "microsandbox/runtime.h"

#define COMPILE_MEMORY_BYTES (4 * SH_GIB) /* CPython, 26 MB, takes 330 MB */
#define COMPILE_CPU_SECONDS 300           /* CPython: 13 s */
#define COMPILE_WALL_MS 900000
#define ARTIFACT_BYTES_MAX SH_GIB
#define MESSAGE_MAX 4096

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

/* The first line on stderr: that of a panic, or of memory that ran out. "" when there is none. */
static void last_words(int fd, char out[120]) {
    ssize_t n = pread(fd, out, 119, 0);

    out[n > 0 ? n : 0] = 0;
    out[strcspn(out, "\r\n")] = 0;
}

/* Did the compiler die of the module? A signal from outside says nothing about it, and neither does
 * a kernel that was out of memory. */
static bool died_of_it(int sig) {
    return sig == SIGXCPU || sig == SIGXFSZ || sig == SIGABRT || sig == SIGSEGV || sig == SIGBUS ||
           sig == SIGILL || sig == SIGFPE;
}

static int child_killed(int sig, int words, struct sh_err *err) {
    char why[120];

    last_words(words, why);
    return sh_fail(err, SH_E_COMPILE,
                   "the compiler died by signal %d (%s%s%s); it may use %llu MiB of memory, %d s "
                   "of CPU time and write %llu MiB",
                   sig, strsignal(sig), why[0] ? ": " : "", why,
                   (unsigned long long)(COMPILE_MEMORY_BYTES / SH_MIB), COMPILE_CPU_SECONDS,
                   (unsigned long long)(ARTIFACT_BYTES_MAX / SH_MIB));
}

static int child_verdict(int status, bool late, const int fds[SH_CHILD_FDS], bool *ret_died,
                         struct sh_err *err) {
    if (late) {
        return sh_fail(err, SH_E_COMPILE, "compiling took longer than %d s and was stopped",
                       COMPILE_WALL_MS / 1000);
    }
    if (WIFSIGNALED(status)) {
        *ret_died = died_of_it(WTERMSIG(status));
        return child_killed(WTERMSIG(status), fds[2], err);
    }
    if (WEXITSTATUS(status) == 1) {
        return child_message(fds[4], err);
    }
    if (WEXITSTATUS(status) != 0) {
        return sh_fail(err, SH_E_COMPILE, "the compiler could not be run or panicked (status %d)",
                       WEXITSTATUS(status));
    }
    return 0;
}

int sh_compile(struct sh_sandbox *s, struct sh_str wasm, int fd, int lines, bool *ret_died,
               struct sh_err *err) {
    sh_auto(sh_close_p) int module = -1;
    sh_auto(sh_close_p) int message = -1;
    sh_auto(sh_close_p) int words = -1;
    sh_auto(sh_close_p) int null = -1;
    struct sh_child child = {.worker = s->worker,
                             .memory_bytes = COMPILE_MEMORY_BYTES,
                             .file_bytes = ARTIFACT_BYTES_MAX,
                             .cpu_s = COMPILE_CPU_SECONDS,
                             .wall_ms = COMPILE_WALL_MS};
    int status = 0, r;
    bool late;

    if (!s->worker) {
        return sh_fail(err, SH_E_COMPILE, "no compile worker is configured");
    }
    module = sh_child_file("module", wasm);
    message = sh_child_file("message", (struct sh_str){NULL, 0});
    words = sh_child_file("words", (struct sh_str){NULL, 0});
    null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (module < 0 || message < 0 || words < 0 || null < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot set up the compiler");
    }
    memcpy(child.fds, (const int[SH_CHILD_FDS]){module, null, words, fd, message, lines},
           sizeof(child.fds));
    r = sh_child_run(&child, &status, &late);
    if (r < 0) {
        return sh_fail_errno(err, SH_E_IO, -r, "cannot start the compiler, or wait for it");
    }
    return child_verdict(status, late, child.fds, ret_died, err);
}
