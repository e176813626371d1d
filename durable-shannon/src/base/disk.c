/* statvfs, and one file. The ballast has real blocks: fallocate, or random bytes where the file
 * system has none to set aside (zeros might take none). A half-made one is made anew. */
#include "base/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#ifdef SH_FAULTS
static _Atomic uint64_t pretended = UINT64_MAX;

void sh_disk_pretend(uint64_t free_bytes) {
    atomic_store(&pretended, free_bytes);
}

/* The ballast moves what a test says is free, as it moves what is. */
static void pretend_more(int64_t bytes) {
    uint64_t now = atomic_load(&pretended);

    if (now != UINT64_MAX) {
        atomic_store(&pretended, now + (uint64_t)bytes);
    }
}

static bool is_pretended(uint64_t *ret) {
    uint64_t now = atomic_load(&pretended);

    *ret = now;
    return now != UINT64_MAX;
}
#else
static void pretend_more(int64_t bytes) {
    (void)bytes;
}

static bool is_pretended(uint64_t *ret) {
    (void)ret;
    return false;
}
#endif

static uint64_t free_of(const struct statvfs *v) {
    uint64_t bytes = 0;

    return __builtin_mul_overflow((uint64_t)v->f_bavail, (uint64_t)v->f_frsize, &bytes) ? UINT64_MAX
                                                                                        : bytes;
}

int sh_disk_free(const char *dir, uint64_t *ret, struct sh_err *err) {
    struct statvfs v;

    if (SH_FAULT(disk_free)) {
        return sh_fail(err, SH_E_IO, "nobody knows how much room there is, as a fault test asked");
    }
    if (is_pretended(ret)) {
        return 0;
    }
    if (statvfs(dir, &v) < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot see how much room %s has", dir);
    }
    *ret = free_of(&v);
    return 0;
}

uint64_t sh_disk_free_at(int fd) {
    struct statvfs v;
    uint64_t bytes = 0;

    if (is_pretended(&bytes)) {
        return bytes;
    }
    return fstatvfs(fd, &v) < 0 ? UINT64_MAX : free_of(&v);
}

/* 1: it is there; 0: it is not, or was left half-made. */
static int look(const char *path) {
    struct stat st;

    return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == SH_BALLAST;
}

bool sh_ballast_is_there(const char *dir) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/" SH_BALLAST_NAME, dir);

    return look(path) == 1;
}

static int fill(int fd) {
    enum { PIECE = 1024 * 1024 };
    sh_auto(sh_free_p) char *piece = NULL;

    if (fallocate(fd, 0, 0, (off_t)SH_BALLAST) == 0) {
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != ENOSYS) {
        return -1;
    }
    piece = sh_alloc(PIECE);
    sh_random_bytes(piece, PIECE);
    for (uint64_t done = 0; done < SH_BALLAST; done += PIECE) {
        ssize_t n = write(fd, piece, PIECE);
        if (n != PIECE) {
            errno = n < 0 ? errno : ENOSPC;
            return -1;
        }
    }
    return 0;
}

int sh_ballast_make(const char *dir, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/" SH_BALLAST_NAME, dir);
    sh_auto(sh_close_p) int fd = -1;
    uint64_t left = 0;

    if (look(path) == 1) {
        return 0;
    }
    if (sh_disk_free(dir, &left, err) < 0) {
        return -err->code;
    }
    if (left < SH_BALLAST + SH_DISK_BALLAST_ROOM) {
        return 0;
    }
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 || SH_FAULT(ballast_make) || fill(fd) < 0) {
        int why = errno;
        unlink(path);
        return sh_fail_errno(err, SH_E_IO, why, "cannot make %s", path);
    }
    pretend_more(-(int64_t)SH_BALLAST);
    return 1;
}

bool sh_ballast_release(const char *dir) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/" SH_BALLAST_NAME, dir);
    bool whole = look(path) == 1;

    if (unlink(path) < 0 || !whole) {
        return false;
    }
    pretend_more((int64_t)SH_BALLAST);
    return true;
}

void sh_ballast_make_way(const char *dir) {
    struct sh_err err = {0};
    uint64_t left = 0;

    if (sh_disk_free(dir, &left, &err) == 0 && left < SH_DISK_FULL && sh_ballast_release(dir)) {
        sh_log(SH_LOG_WARN, "ballast-released", "free_bytes=%llu dir=%s", (unsigned long long)left,
               SH_Q(sh_str(dir)));
    }
}
