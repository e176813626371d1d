/* Walking paths: only openat2 does it, beneath the descriptor that it starts from, without magic
 * links and without leaving the mount (man 2 openat2). Everything else gets one component. */
#include "microsandbox/vfs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/base.h"

#define RULES (RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)

int sh_vfs_walk_cached(int dir, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RULES | RESOLVE_CACHED};
    long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

    if (fd >= 0) {
        return (int)fd;
    }
    return errno == EINVAL || errno == EINTR ? -EAGAIN : -errno; /* EINVAL: Linux before 5.12 */
}

int sh_vfs_walk(int dir, const char *path, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .resolve = RULES};

    for (int i = 0; i < SH_VFS_TRIES; i++) {
        long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

        if (fd >= 0) {
            return (int)fd;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return -errno;
        }
    }
    return -EAGAIN;
}

int sh_vfs_split(int dir, const char *path, struct sh_vfs_name *ret) {
    size_t end = strlen(path), start;
    char up[SH_PATH_MAX + 1];

    *ret = (struct sh_vfs_name){.parent = dir};
    if (!end) {
        return ENOENT;
    }
    if (path[0] == '/') {
        return EPERM;
    }
    while (end && path[end - 1] == '/') {
        end--;
        ret->slash = true;
    }
    for (start = end; start && path[start - 1] != '/';) {
        start--;
    }
    if (end - start > SH_VFS_NAME_MAX || end > SH_PATH_MAX) {
        return ENAMETOOLONG;
    }
    memcpy(ret->name, path + start, end - start);
    ret->dotdot = strcmp(ret->name, "..") == 0;
    ret->special = ret->dotdot || strcmp(ret->name, ".") == 0;
    if (start) {
        memcpy(up, path, start);
        up[start] = '\0';
        ret->parent = sh_vfs_walk(dir, up, O_PATH | O_DIRECTORY);
        if (ret->parent < 0) {
            return -ret->parent;
        }
        ret->owned = true;
    }
    return 0;
}

void sh_vfs_name_done(struct sh_vfs_name *n) {
    if (n->owned && n->parent >= 0) {
        close(n->parent);
    }
    n->owned = false;
}

/* What was there once stays: three system calls that each start of an agent need not repeat. */
int sh_vfs_probe(struct sh_err *err) {
    static atomic_bool proven;
    int fd;

    if (atomic_load_explicit(&proven, memory_order_relaxed)) {
        return 0;
    }
    fd = sh_vfs_walk(AT_FDCWD, ".", O_PATH | O_DIRECTORY);
    if (fd == -ENOSYS || fd == -EPERM) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "agents get files through openat2, which this kernel (or the container it "
                       "runs in) refuses; Linux 5.6 or later is needed");
    }
    if (fd >= 0) {
        close(fd);
    }
    if (access("/proc/self/fd", X_OK) != 0) {
        return sh_fail(err, SH_E_UNSUPPORTED, "/proc is not mounted; agents' files need it");
    }
    atomic_store_explicit(&proven, true, memory_order_relaxed);
    return 0;
}

/* Magic numbers of linux/magic.h and of the file systems' own sources: trees that are an interface
 * to the kernel, where a read or a write is an act and not data. */
static const struct {
    unsigned long magic;
    const char *name;
} pseudo[] = {
    {0x9fa0, "procfs"},         {0x62656572, "sysfs"},      {0x27e0eb, "cgroup"},
    {0x63677270, "cgroup2"},    {0x64626720, "debugfs"},    {0x74726163, "tracefs"},
    {0x1cd1, "devpts"},         {0x73636673, "securityfs"}, {0xf97cff8c, "selinuxfs"},
    {0x43415d53, "smackfs"},    {0xcafe4a11, "bpf"},        {0x6165676c, "pstore"},
    {0xde5e81e4, "efivarfs"},   {0x62656570, "configfs"},   {0x42494e4d, "binfmt_misc"},
    {0x19800202, "mqueue"},     {0x958458f6, "hugetlbfs"},  {0x6e736673, "nsfs"},
    {0x65735543, "fusectl"},    {0x50495045, "pipefs"},     {0x534f434b, "sockfs"},
    {0x67596969, "rpc_pipefs"}, {0x7655821, "resctrl"},     {0xabba1974, "xenfs"},
};

int sh_vfs_grantable(int fd, const char *host, struct sh_err *err) {
    struct statfs fs;

    if (fstatfs(fd, &fs) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot look at the mapped directory %s", host);
    }
    for (size_t i = 0; i < sizeof(pseudo) / sizeof(pseudo[0]); i++) {
        if ((unsigned long)fs.f_type == pseudo[i].magic) {
            return sh_fail(err, SH_E_DENIED,
                           "%s cannot be mapped: it is a %s, an interface to the kernel; copy "
                           "what the agent needs into an ordinary directory and map that",
                           host, pseudo[i].name);
        }
    }
    return 0;
}

static int scan(struct sh_vfs_grant *g, int at, int depth) {
    int fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);

    if (!d) {
        rc = errno;
        if (fd >= 0) {
            close(fd);
        }
        return rc;
    }
    for (struct dirent *e; rc == 0 && (e = readdir(d));) {
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
            rc = errno;
        } else if (!S_ISDIR(st.st_mode)) {
            if (!sh_vfs_node_find(g->space, st.st_ino)) { /* its bytes count once */
                sh_vfs_node_new(g->space, &st, g->space->born_ns);
            } else {
                g->space->files++;
            }
        } else if (depth > 64) {
            rc = ELOOP;
        } else {
            int sub = openat(fd, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

            g->space->files++;
            rc = sub < 0 ? errno : scan(g, sub, depth + 1);
            if (sub >= 0) {
                close(sub);
            }
        }
    }
    closedir(d);
    return rc;
}

int sh_vfs_scan(struct sh_vfs_grant *g, struct sh_err *err) {
    int rc = scan(g, g->root, 0);

    sh_vfs_space_forget(g->space); /* they were numbered in the host's order */
    if (rc) {
        return sh_fail_errno(err, SH_E_IO, rc, "cannot read the private directory %s", g->host);
    }
    if (g->space->files > g->space->files_max || g->space->bytes > g->space->bytes_max) {
        return sh_fail(err, SH_E_LIMIT, "the private directory %s holds more than its quota",
                       g->host);
    }
    return 0;
}
