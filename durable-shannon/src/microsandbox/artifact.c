/* Compiled modules on disk. They are native code that we run, so a file is taken only through a
 * descriptor that shows it is ours, and only when its hash is the one recorded when it was made.
 *
 *   KEY.cwasm    the artifact, mode 0400; KEY = hash(module, Wasmtime, settings, CPU features)
 *   KEY.sha256   its hash, a newline, and the boot in which it was last checked in full
 *   KEY.lines    what its traps' lines are found by, where there is something (guest_lines.h)
 *   KEY.refused  instead: why the compiler died of the module; see compile_queue.c
 *
 * The hash and the lines are written first, so that an artifact without one is an artifact half
 * made. Whatever is wrong with either, the module is compiled again. Without a folder artifacts
 * live in memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

#define NAME_BYTES SH_ARTIFACT_NAME_BYTES
#define BOOT_BYTES 36

struct names {
    char artifact[NAME_BYTES], record[NAME_BYTES], temporary[NAME_BYTES], refused[NAME_BYTES];
    char lines[NAME_BYTES];
};

void sh_artifact_temporary(char out[SH_ARTIFACT_NAME_BYTES]) {
    uint64_t random;

    sh_random_bytes(&random, sizeof(random));
    (void)snprintf(out, SH_ARTIFACT_NAME_BYTES, ".tmp-%016llx", (unsigned long long)random);
}

static void names_make(const struct sh_hash *module, struct names *n) {
    struct sh_hasher h;
    struct sh_hash key;
    char hex[SH_HASH_HEX_BYTES];

    sh_hasher_init(&h);
    sh_hasher_add(&h, module->b, sizeof(module->b));
    sh_hasher_str(&h, sh_str(sh_runtime_settings()));
    sh_hasher_done(&h, &key);
    sh_hash_hex(&key, hex);
    (void)snprintf(n->artifact, sizeof(n->artifact), "%s.cwasm", hex);
    (void)snprintf(n->record, sizeof(n->record), "%s.sha256", hex);
    (void)snprintf(n->lines, sizeof(n->lines), "%s.lines", hex);
    (void)snprintf(n->refused, sizeof(n->refused), "%s.refused", hex);
    sh_artifact_temporary(n->temporary);
}

static bool boot_id(char out[BOOT_BYTES + 1]) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, BOOT_BYTES) : -1;

    if (fd >= 0) {
        (void)close(fd);
    }
    out[n > 0 ? n : 0] = 0;
    return n == BOOT_BYTES;
}

static int hash_fd(int fd, struct sh_hash *ret) {
    struct sh_hasher h;
    char buffer[65536];
    off_t at = 0;

    sh_hasher_init(&h);
    for (;;) {
        ssize_t n = pread(fd, buffer, sizeof(buffer), at);

        if (n < 0 && errno != EINTR) {
            return -1;
        }
        if (n == 0) {
            sh_hasher_done(&h, ret);
            return 0;
        }
        sh_hasher_add(&h, buffer, n > 0 ? (size_t)n : 0);
        at += n > 0 ? n : 0;
    }
}

int sh_artifact_open(int dir, const char *name) {
    int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
                    st.st_nlink != 1 || (st.st_mode & 07777) != 0400)) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

int sh_artifact_publish(int dir, int fd, const char *temporary, const char *name) {
    if (SH_FAULT(artifact_publish)) {
        errno = ENOSPC;
        return -1;
    }
    if (fchmod(fd, 0400) != 0 || fsync(fd) != 0 || renameat(dir, temporary, dir, name) != 0) {
        return -1;
    }
    return fsync(dir);
}

static int record_write(int dir, const struct names *n, const struct sh_hash *hash) {
    char text[SH_HASH_HEX_BYTES + BOOT_BYTES + 2], boot[BOOT_BYTES + 1], hex[SH_HASH_HEX_BYTES];
    int fd = openat(dir, n->temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int length, r = -1;

    (void)boot_id(boot);
    sh_hash_hex(hash, hex);
    length = snprintf(text, sizeof(text), "%s\n%s\n", hex, boot);
    if (fd >= 0) {
        r = write(fd, text, (size_t)length) == length
                ? sh_artifact_publish(dir, fd, n->temporary, n->record)
                : -1;
        if (r != 0) {
            (void)unlinkat(dir, n->temporary, 0);
        }
        (void)close(fd);
    }
    return r;
}

/* Is the artifact the one that was recorded? Read in full once after each boot. */
static bool record_check(int dir, const struct names *n, int artifact) {
    sh_auto(sh_close_p) int fd = sh_artifact_open(dir, n->record);
    char text[SH_HASH_HEX_BYTES + BOOT_BYTES + 2] = {0}, boot[BOOT_BYTES + 1];
    struct sh_hash recorded, actual;
    ssize_t length = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

    if (length < SH_HASH_HEX_BYTES || text[SH_HASH_HEX_BYTES - 1] != '\n' ||
        sh_hash_parse(sh_strn(text, SH_HASH_HEX_BYTES - 1), &recorded) != 0) {
        return false;
    }
    if (boot_id(boot) && strncmp(text + SH_HASH_HEX_BYTES, boot, BOOT_BYTES) == 0) {
        return true;
    }
    if (hash_fd(artifact, &actual) != 0 || !sh_hash_eq(&recorded, &actual)) {
        return false;
    }
    (void)record_write(dir, n, &actual); /* if it fails, it is checked in full again */
    return true;
}

/* Map it through the descriptor that was checked, not through its name. */
static int deserialize(struct sh_sandbox *s, int fd, wasmtime_module_t **ret, struct sh_err *err) {
    char path[64];
    wasmtime_error_t *error;

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    error = wasmtime_module_deserialize_file(s->engine, path, ret);
    return error
               ? sh_runtime_error(err, SH_E_COMPILE, "the compiled module cannot be loaded", error)
               : 0;
}

static int compile(struct sh_sandbox *s, struct sh_str wasm, const struct names *n, int fd,
                   int lines, struct sh_err *err) {
    bool died = false;
    int r = sh_compile(s, wasm, fd, lines, &died, err);

    if (r < 0 && died) {
        sh_refused_note(s, n->refused, err);
    }
    return r;
}

static int load_from_memory(struct sh_sandbox *s, struct sh_str wasm, const struct names *n,
                            wasmtime_module_t **ret, int *ret_lines_fd, struct sh_err *err) {
    sh_auto(sh_close_p) int fd = memfd_create("artifact", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    sh_auto(sh_close_p) int lines = memfd_create("lines", MFD_CLOEXEC);
    struct stat st;
    int r;

    if (fd < 0 || lines < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "no memory for a compiled module");
    }
    if ((r = compile(s, wasm, n, fd, lines, err)) < 0) {
        return r;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot seal a compiled module");
    }
    r = deserialize(s, fd, ret, err);
    if (r == 0 && fstat(lines, &st) == 0 && st.st_size > 0) {
        *ret_lines_fd = lines;
        lines = -1;
    }
    return r;
}

/* Keep what lines are found by. It is a help, not a need: without it the agent runs all the same,
 * so that only a disk that takes nothing at all is an error, of what follows. */
static void lines_publish(struct sh_sandbox *s, const struct names *n, const char *temporary,
                          int fd) {
    struct stat st;

    if (fstat(fd, &st) != 0 || st.st_size == 0 ||
        sh_artifact_publish(s->aot_fd, fd, temporary, n->lines) != 0) {
        (void)unlinkat(s->aot_fd, temporary, 0);
    }
}

static int compile_to_disk(struct sh_sandbox *s, struct sh_str wasm, const struct names *n,
                           wasmtime_module_t **ret, struct sh_err *err) {
    sh_auto(sh_close_p) int fd =
        openat(s->aot_fd, n->temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    struct names record = *n;
    char temporary[NAME_BYTES];
    sh_auto(sh_close_p) int lines = -1;
    struct sh_hash hash;
    int r;

    (void)snprintf(temporary, sizeof(temporary), "%.40s-l", n->temporary);
    lines = openat(s->aot_fd, temporary, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || lines < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot create a file in %s", s->aot_dir);
    }
    (void)snprintf(record.temporary, sizeof(record.temporary), "%.40s-r", n->temporary);
    r = compile(s, wasm, n, fd, lines, err);
    if (r == 0) {
        lines_publish(s, n, temporary, lines);
    }
    if (r == 0 && (hash_fd(fd, &hash) != 0 || record_write(s->aot_fd, &record, &hash) != 0 ||
                   sh_artifact_publish(s->aot_fd, fd, n->temporary, n->artifact) != 0)) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot keep the compiled module in %s", s->aot_dir);
    }
    if (r < 0) {
        (void)unlinkat(s->aot_fd, n->temporary, 0);
        (void)unlinkat(s->aot_fd, temporary, 0);
        return r;
    }
    return deserialize(s, fd, ret, err);
}

/* From disk, when it is there and as it should be. */
static int load_from_disk(struct sh_sandbox *s, const struct names *n, wasmtime_module_t **ret) {
    sh_auto(sh_close_p) int fd = sh_artifact_open(s->aot_fd, n->artifact);

    if (fd < 0 || !record_check(s->aot_fd, n, fd)) {
        return -SH_E_NOT_FOUND;
    }
    return deserialize(s, fd, ret, NULL); /* fails when a build with other settings made it */
}

int sh_artifact_find(struct sh_sandbox *s, const struct sh_hash *module, wasmtime_module_t **ret) {
    struct names n;

    names_make(module, &n);
    return s->aot_fd < 0 ? -SH_E_NOT_FOUND : load_from_disk(s, &n, ret);
}

int sh_artifact_lines(struct sh_sandbox *s, const struct sh_hash *module) {
    struct names n;

    names_make(module, &n);
    return s->aot_fd < 0 ? -1 : sh_artifact_open(s->aot_fd, n.lines);
}

int sh_artifact_load(struct sh_sandbox *s, const struct sh_hash *module, struct sh_str wasm,
                     wasmtime_module_t **ret, int *ret_lines_fd, struct sh_err *err) {
    struct sh_compile_turn turn;
    struct names n;
    int r;

    names_make(module, &n);
    if (s->aot_fd >= 0 && load_from_disk(s, &n, ret) == 0) {
        return 0;
    }
    sh_compile_enter(&s->compiling, n.artifact, &turn);
    if ((r = sh_refused_check(s, n.refused, err)) == 0) {
        if (s->aot_fd < 0) {
            r = load_from_memory(s, wasm, &n, ret, ret_lines_fd, err);
        } else if (load_from_disk(s, &n, ret) != 0) { /* nobody made it while we waited */
            r = compile_to_disk(s, wasm, &n, ret, err);
        }
    }
    sh_compile_leave(&s->compiling, &turn);
    return r;
}
