/* One process owns a data directory. The lock is an open-file-description lock: it dies with its
 * holder, whatever way that ends, and a forked child cannot drop it by closing its copy. */
#include "datadir.h"

#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

char *sh_datadir_default(const char *flag, struct sh_err *err) {
    const char *env = getenv("SHANNON_DATA_DIR");
    const char *xdg = getenv("XDG_DATA_HOME");
    const char *home = getenv("HOME");
    if (flag && *flag) {
        return sh_strdup(flag);
    }
    if (env && *env) {
        return sh_strdup(env);
    }
    if (xdg && xdg[0] == '/') {
        return sh_asprintf("%s/shannon", xdg);
    }
    if (home && home[0] == '/') {
        return sh_asprintf("%s/.local/share/shannon", home);
    }
    sh_fail(err, SH_E_INVAL, "no data directory: give --data-dir DIR or set SHANNON_DATA_DIR");
    return NULL;
}

/* Each missing folder of the path, 0700. */
static int make_folders(const char *path, struct sh_err *err) {
    sh_auto(sh_free_p) char *copy = sh_strdup(path);
    for (char *p = copy + 1;; p++) {
        if (*p == '/' || *p == 0) {
            char was = *p;
            *p = 0;
            if (mkdir(copy, 0700) < 0 && errno != EEXIST) {
                return sh_fail_errno(err, SH_E_IO, errno,
                                     "cannot make the data directory %s; choose another with "
                                     "--data-dir DIR",
                                     copy);
            }
            *p = was;
            if (!was) {
                return 0;
            }
        }
    }
}

/* A socket address has room for 107 bytes; a longer path goes by way of our descriptor. */
static char *sock_path(const struct sh_datadir *d) {
    struct sockaddr_un address;
    if (strlen(d->path) + sizeof("/sock") <= sizeof(address.sun_path)) {
        return sh_asprintf("%s/sock", d->path);
    }
    return sh_asprintf("/proc/self/fd/%d/sock", d->dir_fd);
}

static int check_folder(const struct sh_datadir *d, const char *path, bool create,
                        struct sh_err *err) {
    struct stat st;
    if (fstat(d->dir_fd, &st) < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot look at %s", path);
    }
    if (st.st_uid != geteuid()) {
        return sh_fail(err, SH_E_IO,
                       "the data directory %s belongs to user %u, not to you (%u); choose your own "
                       "with --data-dir DIR",
                       path, st.st_uid, geteuid());
    }
    if (st.st_mode & 0022) {
        return sh_fail(err, SH_E_IO,
                       "others may write to the data directory %s (mode %03o); run: chmod 700 %s",
                       path, st.st_mode & 0777, path);
    }
    if (create && faccessat(d->dir_fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
        return sh_fail(err, SH_E_IO,
                       "the data directory %s is not writable: %s; fix its mode or choose another "
                       "with --data-dir DIR",
                       path, strerror(errno));
    }
    return 0;
}

int sh_datadir_open(const char *path, bool create, struct sh_datadir *ret, struct sh_err *err) {
    int rc = create ? make_folders(path, err) : 0;
    if (rc < 0) {
        return rc;
    }
    struct sh_datadir d = SH_DATADIR_CLOSED;
    d.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d.dir_fd < 0) {
        return errno == ENOENT
                   ? sh_fail(
                         err, SH_E_NOT_FOUND,
                         "there is no data directory %s; `shannon serve` or `shannon run` makes "
                         "it",
                         path)
                   : sh_fail(err, SH_E_IO,
                             "cannot open the data directory %s: %s; choose another "
                             "with --data-dir DIR",
                             path, strerror(errno));
    }
    rc = check_folder(&d, path, create, err);
    char real[PATH_MAX];
    if (rc == 0 && !realpath(path, real)) {
        rc = sh_fail_errno(err, SH_E_IO, errno, "cannot resolve %s", path);
    }
    if (rc < 0) {
        sh_datadir_close(&d);
        return rc;
    }
    d.path = sh_strdup(real);
    d.sock = sock_path(&d);
    *ret = d;
    return 0;
}

static long lock_owner(int fd) {
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

int sh_datadir_lock(struct sh_datadir *d, struct sh_err *err) {
    sh_auto(sh_close_p) int fd =
        openat(d->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return sh_fail(err, SH_E_IO, "cannot open %s/lock: %s; the data directory must be writable",
                       d->path, strerror(errno));
    }
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(fd, F_OFD_SETLK, &whole) < 0) {
        if (errno != EAGAIN && errno != EACCES) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot lock %s/lock", d->path);
        }
        return sh_fail(err, SH_E_BUSY, "the data directory %s is in use by process %ld", d->path,
                       lock_owner(fd));
    }
    sh_ballast_make_way(d->path);
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, pid, (size_t)n, 0) != n) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot write %s/lock", d->path);
    }
    d->lock_fd = fd;
    fd = -1;
    return 0;
}

long sh_datadir_owner(const struct sh_datadir *d) {
    sh_auto(sh_close_p) int fd = openat(d->dir_fd, "lock", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? 0 : lock_owner(fd);
}

static bool listens(const struct sh_datadir *d) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->sock);
    sh_auto(sh_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
}

#define LOOK_AGAIN_NS 20000000

int sh_datadir_lock_or_join(struct sh_datadir *d, uint64_t wait_ms, struct sh_err *err) {
    uint64_t end_ns = sh_mono_ns() + wait_ms * 1000000;
    for (;;) {
        struct sh_err busy = {0};
        int rc = sh_datadir_lock(d, &busy);
        if (rc == -SH_E_BUSY && listens(d)) {
            return 1;
        }
        if (rc != -SH_E_BUSY || sh_mono_ns() >= end_ns) {
            if (rc < 0 && err) {
                *err = busy;
            }
            return rc;
        }
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_NS}, NULL);
    }
}

void sh_datadir_close(struct sh_datadir *d) {
    sh_close_p(&d->lock_fd);
    sh_close_p(&d->dir_fd);
    sh_free(d->path);
    sh_free(d->sock);
    *d = SH_DATADIR_CLOSED;
}

static int read_key(const struct sh_datadir *d, const char *name, char ret[65],
                    struct sh_err *err) {
    sh_auto(sh_close_p) int fd = openat(d->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot read %s/%s", d->path, name);
    }
    char text[80];
    ssize_t n = read(fd, text, sizeof(text));
    struct stat st;
    if (fstat(fd, &st) < 0 || (st.st_mode & 0077)) {
        return sh_fail(err, SH_E_IO, "others may read %s/%s; run: chmod 600 %s/%s", d->path, name,
                       d->path, name);
    }
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r')) {
        n--;
    }
    uint8_t bytes[32];
    if (n != 64 || sh_hex_decode(sh_strn(text, 64), bytes, 32) < 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "%s/%s does not hold a key (64 hex digits); remove it to get a new one",
                       d->path, name);
    }
    memcpy(ret, text, 64);
    ret[64] = 0;
    return 0;
}

/* Written whole under another name first, so that no crash leaves half a key. */
static int make_key(const struct sh_datadir *d, const char *name, struct sh_err *err) {
    char fresh[32];
    snprintf(fresh, sizeof(fresh), "%s.new", name);
    uint8_t bytes[32];
    sh_random_bytes(bytes, sizeof(bytes));
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, 80);
    sh_hex_encode(&text, bytes, sizeof(bytes));
    sh_buf_addc(&text, '\n');
    unlinkat(d->dir_fd, fresh, 0);
    sh_auto(sh_close_p) int fd =
        openat(d->dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, text.p, text.len) != (ssize_t)text.len || fsync(fd) < 0 ||
        renameat(d->dir_fd, fresh, d->dir_fd, name) < 0 || fsync(d->dir_fd) < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot write %s/%s", d->path, name);
    }
    return 0;
}

static int key_file(const struct sh_datadir *d, const char *name, bool create, char ret[65],
                    struct sh_err *err) {
    if (create && faccessat(d->dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0) {
        int rc = make_key(d, name, err);
        if (rc < 0) {
            return rc;
        }
    }
    return read_key(d, name, ret, err);
}

int sh_datadir_api_key(const struct sh_datadir *d, bool create, char ret[65], struct sh_err *err) {
    return key_file(d, "api-key", create, ret, err);
}

int sh_datadir_mcp_key(const struct sh_datadir *d, bool create, char ret[65], struct sh_err *err) {
    return key_file(d, "mcp-key", create, ret, err);
}

int sh_datadir_listen(const struct sh_datadir *d, int *ret_fd, struct sh_err *err) {
    SH_ASSERT(d->lock_fd >= 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", d->sock);
    sh_auto(sh_close_p) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* We hold the lock, so a socket that is there is a dead owner's. */
    unlinkat(d->dir_fd, "sock", 0);
    mode_t mask = umask(0177);
    int rc = fd < 0 ? -1 : bind(fd, (struct sockaddr *)&address, sizeof(address));
    int errnum = errno;
    umask(mask);
    if (rc == 0 && listen(fd, 128) < 0) {
        rc = -1;
        errnum = errno;
    }
    if (rc < 0) {
        return sh_fail_errno(err, SH_E_IO, errnum, "cannot listen on %s/sock", d->path);
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}
