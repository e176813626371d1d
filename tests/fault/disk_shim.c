/* A disk that is small, or broken, for whoever is started with LD_PRELOAD=this: calls that change
 * files below $SHANNON_DISK_ROOT fail as the page of numbers in $SHANNON_DISK_CONTROL says. The
 * test maps the same page and changes it while the program runs. What is used is the sum of the
 * files' lengths, counted along; statvfs tells the same story.
 *
 * Calls that no name leads to are not seen: io_uring, copy_file_range, and files made by openat2
 * (what is then written to them is). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

/* fault/disk.py names the same fields. */
struct control {
    uint64_t capacity; /* bytes; 0: no limit */
    uint64_t fail_at;  /* the number of the call that fails with EIO, from 1; 0: none */
    uint64_t fail_for; /* and so many from it on; 0: all that follow */
    uint64_t kinds;    /* which calls count: KIND_* */
    uint64_t calls;    /* of those kinds, so far */
    uint64_t used;     /* bytes */
    uint64_t refused;  /* calls that found no space */
    uint64_t broken;   /* calls that failed with EIO */
};

enum { KIND_WRITE = 1, KIND_SYNC = 2, KIND_NAME = 4 }; /* data; fsync; create, rename, truncate */

#define BLOCK 4096ULL

static struct control *control;
static char root[PATH_MAX];
static size_t root_len;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t *scanned; /* ftw has no argument */

/* The next definition of a symbol, found once a call. */
#define REAL(ret, name, ...)                                                                       \
    static ret (*real)(__VA_ARGS__);                                                               \
    if (!real) {                                                                                   \
        *(void **)&real = dlsym(RTLD_NEXT, name);                                                  \
    }

static int add_size(const char *path, const struct stat *st, int kind, struct FTW *ftw) {
    (void)path;
    (void)ftw;
    *scanned += kind == FTW_F && st->st_nlink > 0 ? (uint64_t)st->st_size / st->st_nlink : 0;
    return 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("SHANNON_DISK_ROOT"), *page = getenv("SHANNON_DISK_CONTROL");
    int fd = folder && page && realpath(folder, root) ? open(page, O_RDWR | O_CLOEXEC) : -1;
    struct control *c;

    if (fd < 0) {
        return;
    }
    c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (c == MAP_FAILED) {
        return;
    }
    root_len = strlen(root);
    c->used = 0;
    scanned = &c->used;
    nftw(root, add_size, 32, FTW_PHYS);
    control = c;
}

static bool below(const char *path) {
    return strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || !path[root_len]);
}

static bool ours_fd(int fd) {
    char link[40], path[PATH_MAX];
    ssize_t n;

    if (!control || fd < 0) {
        return false;
    }
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0) {
        return false;
    }
    path[n] = '\0';
    return below(path);
}

static bool ours_at(int dir, const char *path) {
    return control && path && (path[0] == '/' ? below(path) : dir != AT_FDCWD && ours_fd(dir));
}

/* Does this call fail with EIO? */
static bool breaks(uint64_t kind) {
    uint64_t n, at, last;

    if (!(control->kinds & kind)) {
        return false;
    }
    n = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    at = control->fail_at;
    last = control->fail_for ? at + control->fail_for : UINT64_MAX;
    if (at == 0 || n < at || n >= last) {
        return false;
    }
    __atomic_add_fetch(&control->broken, 1, __ATOMIC_SEQ_CST);
    errno = EIO;
    return true;
}

static uint64_t size_of(int fd) {
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static uint64_t room(void) {
    return control->capacity == 0              ? UINT64_MAX
           : control->used < control->capacity ? control->capacity - control->used
                                               : 0;
}

static void charge(uint64_t before, uint64_t after) {
    control->used += after;
    control->used -= before < control->used ? before : control->used;
}

static bool refuse(void) {
    control->refused++;
    errno = ENOSPC;
    return true;
}

/* Where a write to fd would end that is to be `n` bytes long. */
static uint64_t end_of(int fd, off_t offset, size_t n) {
    int flags = fcntl(fd, F_GETFL);
    uint64_t size = size_of(fd);
    off_t at = offset >= 0 ? offset : lseek(fd, 0, SEEK_CUR);

    return ((flags & O_APPEND) || at < 0 ? size : (uint64_t)at) + n;
}

/* One call that writes n bytes at offset (-1: where the file stands): what `go` gives. */
static ssize_t writing(int fd, off_t offset, size_t n, ssize_t (*go)(int fd, const void *what),
                       const void *what) {
    ssize_t done;
    uint64_t before;

    if (breaks(KIND_WRITE)) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    before = size_of(fd);
    if (end_of(fd, offset, n) > before && end_of(fd, offset, n) - before > room()) {
        refuse();
        pthread_mutex_unlock(&lock);
        return -1;
    }
    done = go(fd, what);
    int saved = errno;
    charge(before, size_of(fd));
    pthread_mutex_unlock(&lock);
    errno = saved;
    return done;
}

struct one {
    const void *p;
    size_t n;
    off_t offset;
};

static ssize_t real_write(int fd, const void *p, size_t n) {
    REAL(ssize_t, "write", int, const void *, size_t)
    return real(fd, p, n);
}

static ssize_t go_write(int fd, const void *what) {
    const struct one *o = what;
    return real_write(fd, o->p, o->n);
}

ssize_t write(int fd, const void *p, size_t n) {
    struct one o = {p, n, -1};
    return ours_fd(fd) ? writing(fd, -1, n, go_write, &o) : real_write(fd, p, n);
}

static ssize_t real_pwrite(int fd, const void *p, size_t n, off_t offset) {
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off_t)
    return real(fd, p, n, offset);
}

static ssize_t go_pwrite(int fd, const void *what) {
    const struct one *o = what;
    return real_pwrite(fd, o->p, o->n, o->offset);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset) {
    struct one o = {p, n, offset};
    return ours_fd(fd) ? writing(fd, offset, n, go_pwrite, &o) : real_pwrite(fd, p, n, offset);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t offset) {
    return pwrite(fd, p, n, offset);
}

static size_t total(const struct iovec *iov, int n) {
    size_t bytes = 0;

    for (int i = 0; i < n; i++) {
        bytes += iov[i].iov_len;
    }
    return bytes;
}

static ssize_t real_writev(int fd, const struct iovec *iov, int n) {
    REAL(ssize_t, "writev", int, const struct iovec *, int)
    return real(fd, iov, n);
}

static ssize_t go_writev(int fd, const void *what) {
    const struct one *o = what;
    return real_writev(fd, o->p, (int)o->n);
}

ssize_t writev(int fd, const struct iovec *iov, int n) {
    struct one o = {iov, (size_t)n, -1};
    return ours_fd(fd) ? writing(fd, -1, total(iov, n), go_writev, &o) : real_writev(fd, iov, n);
}

static ssize_t real_pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
    REAL(ssize_t, "pwritev64", int, const struct iovec *, int, off_t)
    return real(fd, iov, n, offset);
}

static ssize_t go_pwritev(int fd, const void *what) {
    const struct one *o = what;
    return real_pwritev(fd, o->p, (int)o->n, o->offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset) {
    struct one o = {iov, (size_t)n, offset};
    return ours_fd(fd) ? writing(fd, offset, total(iov, n), go_pwritev, &o)
                       : real_pwritev(fd, iov, n, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset) {
    return pwritev(fd, iov, n, offset);
}

/* ---- making it durable ---- */

int fsync(int fd) {
    REAL(int, "fsync", int)
    return ours_fd(fd) && breaks(KIND_SYNC) ? -1 : real(fd);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int)
    return ours_fd(fd) && breaks(KIND_SYNC) ? -1 : real(fd);
}

int sync_file_range(int fd, off64_t offset, off64_t n, unsigned flags) {
    REAL(int, "sync_file_range", int, off64_t, off64_t, unsigned)
    return ours_fd(fd) && breaks(KIND_SYNC) ? -1 : real(fd, offset, n, flags);
}

/* ---- lengths ---- */

int ftruncate(int fd, off_t size) {
    REAL(int, "ftruncate64", int, off_t)
    if (!ours_fd(fd)) {
        return real(fd, size);
    }
    if (breaks(KIND_NAME)) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    uint64_t before = size_of(fd);
    int r = real(fd, size);
    charge(before, size_of(fd));
    pthread_mutex_unlock(&lock);
    return r;
}

int ftruncate64(int fd, off64_t size) {
    return ftruncate(fd, size);
}

int fallocate(int fd, int mode, off_t offset, off_t n) {
    REAL(int, "fallocate64", int, int, off_t, off_t)
    if (!ours_fd(fd)) {
        return real(fd, mode, offset, n);
    }
    if (breaks(KIND_NAME)) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    uint64_t before = size_of(fd), end = (uint64_t)(offset + n);
    int r = -1;
    if (end > before && end - before > room()) {
        refuse();
    } else {
        r = real(fd, mode, offset, n);
        charge(before, size_of(fd));
    }
    pthread_mutex_unlock(&lock);
    return r;
}

int fallocate64(int fd, int mode, off64_t offset, off64_t n) {
    return fallocate(fd, mode, offset, n);
}

int posix_fallocate(int fd, off_t offset, off_t n) {
    REAL(int, "posix_fallocate64", int, off_t, off_t)
    if (!ours_fd(fd)) {
        return real(fd, offset, n);
    }
    return fallocate(fd, 0, offset, n) == 0 ? 0 : errno;
}

int posix_fallocate64(int fd, off64_t offset, off64_t n) {
    return posix_fallocate(fd, offset, n);
}

/* ---- names ---- */

static uint64_t size_at(int dir, const char *path) {
    struct stat st;

    return fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
                   st.st_nlink == 1
               ? (uint64_t)st.st_size
               : 0;
}

static int opening(int dir, const char *path, int flags, mode_t mode) {
    REAL(int, "openat64", int, const char *, int, ...)
    if (!(flags & (O_CREAT | O_TRUNC)) || !ours_at(dir, path)) {
        return real(dir, path, flags, mode);
    }
    if (breaks(KIND_NAME)) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    uint64_t before = flags & O_TRUNC ? size_at(dir, path) : 0;
    int fd = -1;
    if ((flags & O_CREAT) && room() == 0 && faccessat(dir, path, F_OK, 0) != 0) {
        refuse();
    } else {
        fd = real(dir, path, flags, mode);
        charge(fd >= 0 ? before : 0, 0);
    }
    pthread_mutex_unlock(&lock);
    return fd;
}

#define MODE(flags)                                                                                \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                         \
        va_list args;                                                                              \
        va_start(args, flags);                                                                     \
        mode = va_arg(args, mode_t);                                                               \
        va_end(args);                                                                              \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opening(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opening(AT_FDCWD, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    return opening(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    return opening(dir, path, flags, mode);
}

static int renaming(int from_dir, const char *from, int to_dir, const char *to) {
    REAL(int, "renameat", int, const char *, int, const char *)
    if (!ours_at(to_dir, to)) {
        return real(from_dir, from, to_dir, to);
    }
    if (breaks(KIND_NAME)) {
        return -1;
    }
    pthread_mutex_lock(&lock);
    uint64_t before = size_at(to_dir, to);
    int r = real(from_dir, from, to_dir, to);
    charge(r == 0 ? before : 0, 0);
    pthread_mutex_unlock(&lock);
    return r;
}

int rename(const char *from, const char *to) {
    return renaming(AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renaming(from_dir, from, to_dir, to);
}

/* Taking away always works; where a file is still open its space counts as free at once. */
static int removing(int dir, const char *path, int flags) {
    REAL(int, "unlinkat", int, const char *, int)
    if (!ours_at(dir, path)) {
        return real(dir, path, flags);
    }
    pthread_mutex_lock(&lock);
    uint64_t before = size_at(dir, path);
    int r = real(dir, path, flags);
    charge(r == 0 ? before : 0, 0);
    pthread_mutex_unlock(&lock);
    return r;
}

int unlink(const char *path) {
    return removing(AT_FDCWD, path, 0);
}

int unlinkat(int dir, const char *path, int flags) {
    return removing(dir, path, flags);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t)
    return ours_at(AT_FDCWD, path) && breaks(KIND_NAME) ? -1 : real(path, mode);
}

/* ---- what is left ---- */

static void tell(struct statvfs *ret) {
    uint64_t left = room();

    if (left != UINT64_MAX) {
        ret->f_bsize = ret->f_frsize = BLOCK;
        ret->f_blocks = control->capacity / BLOCK;
        ret->f_bfree = ret->f_bavail = left / BLOCK;
    }
}

int fstatvfs(int fd, struct statvfs *ret) {
    REAL(int, "fstatvfs", int, struct statvfs *)
    int r = real(fd, ret);

    if (r == 0 && ours_fd(fd)) {
        tell(ret);
    }
    return r;
}

int statvfs(const char *path, struct statvfs *ret) {
    REAL(int, "statvfs", const char *, struct statvfs *)
    int r = real(path, ret);

    if (r == 0 && ours_at(AT_FDCWD, path)) {
        tell(ret);
    }
    return r;
}
