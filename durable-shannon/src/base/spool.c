/* O_TMPFILE, or a name that is taken away at once where a file system does not know it. */
#include "base/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/disk.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/mem.h"

#define PIECE (256 * SH_KIB)

int sh_spool_open(const char *dir, struct sh_err *err) {
    int fd =
        SH_FAULT_IO(spool_open) ? -1 : open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_APPEND, 0600);

    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR)) {
        sh_auto(sh_free_p) char *name = sh_asprintf("%s/spool.XXXXXX", dir);
        fd = mkostemp(name, O_CLOEXEC | O_APPEND);
        if (fd >= 0) {
            unlink(name);
        }
    }
    return fd >= 0 ? fd
                   : sh_fail_errno(err, SH_E_IO, errno, "cannot make a temporary file in %s", dir);
}

int sh_write_all(int fd, const void *p, size_t n) {
    const char *rest = p;

    while (n > 0) {
        ssize_t did = write(fd, rest, n);
        if (did < 0 && errno != EINTR) {
            return -errno;
        }
        rest += did > 0 ? did : 0;
        n -= did > 0 ? (size_t)did : 0;
    }
    return 0;
}

int sh_spool_write(int fd, const void *p, size_t n, struct sh_err *err) {
    int r;

    if (sh_disk_free_at(fd) < SH_DISK_GUEST_MIN) {
        return sh_fail(err, SH_E_NOSPC,
                       "no room for a temporary file: less than %llu MiB of the disk would be left "
                       "for what is there already",
                       SH_DISK_GUEST_MIN / SH_MIB);
    }
    r = SH_FAULT_IO(spool_write) ? -EIO : sh_write_all(fd, p, n);
    return r == 0 ? 0
                  : sh_fail_errno(err, r == -ENOSPC ? SH_E_NOSPC : SH_E_IO, -r,
                                  "cannot write a temporary file");
}

int sh_spool_read(int fd, uint64_t at, void *p, size_t n, struct sh_err *err) {
    char *rest = p;

    while (n > 0) {
        ssize_t did = SH_FAULT_IO(spool_read) ? -1 : pread(fd, rest, n, (off_t)at);
        if (did == 0) {
            return sh_fail(err, SH_E_CORRUPT, "a file ends at byte %llu, %zu bytes too early",
                           (unsigned long long)at, n);
        }
        if (did < 0 && errno != EINTR) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot read a file");
        }
        at += did > 0 ? (uint64_t)did : 0;
        rest += did > 0 ? did : 0;
        n -= did > 0 ? (size_t)did : 0;
    }
    return 0;
}

int sh_spool_copy(int from, uint64_t at, uint64_t n, int to, struct sh_hash *ret,
                  struct sh_err *err) {
    sh_auto(sh_free_p) char *piece = sh_alloc(PIECE);
    struct sh_hasher h;
    int r = 0;

    sh_hasher_init(&h);
    while (n > 0 && r == 0) {
        size_t some = n < PIECE ? (size_t)n : PIECE;
        r = sh_spool_read(from, at, piece, some, err);
        if (r == 0 && ret) {
            sh_hasher_add(&h, piece, some);
        }
        if (r == 0 && to >= 0) {
            r = sh_spool_write(to, piece, some, err);
        }
        at += some;
        n -= some;
    }
    if (r == 0 && ret) {
        sh_hasher_done(&h, ret);
    }
    return r;
}
