/* What an agent finds at its start: descriptors 0-2, the mapped directories in their order, its
 * private directory as `/` (as `/work` when something else is mapped to `/`), /dev, and /net where
 * a rule speaks of tcp.
 *
 * Where observations are recorded, a mapped directory that is missing is no error yet: a replay may
 * need nothing of it any more. The first live call that does ends the run, naming it. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { DEVICE_FIRST = 3 }; /* 1: standard streams, 2: /dev */

/* The private directory is ours to name; a mapped one is opened under the very path that the policy
 * allowed. */
static int open_root(struct sh_wasi *w, struct sh_vfs_grant *grant, struct sh_err *err) {
    struct stat st;
    int rc;

    if (grant->observe && w->g->config->verify) {
        grant->error = ENOENT; /* all that it may see is on the tape */
        return 0;
    }
    rc = grant->space ? open(grant->host, O_PATH | O_DIRECTORY | O_CLOEXEC)
                      : sh_vfs_open_host(grant->host);
    grant->root = rc < 0 ? -1 : rc;
    if (grant->root < 0) {
        grant->error = grant->space ? errno : -rc;
        if (grant->error == ELOOP) {
            return sh_fail(err, SH_E_DENIED,
                           "%s cannot be mapped: a symbolic link is on the way to it; name the "
                           "directory by its real path (`realpath` shows it)",
                           grant->host);
        }
        if (grant->observe && grant->error != EMFILE && grant->error != ENFILE &&
            grant->error != ENOMEM) {
            return 0;
        }
        return sh_fail_errno(err, SH_E_IO, grant->error, "cannot open the directory %s",
                             grant->host);
    }
    if (fstat(grant->root, &st) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot look at the directory %s", grant->host);
    }
    grant->dev = st.st_dev;
    grant->local = sh_vfs_local(grant->root);
    rc = sh_vfs_grantable(grant->root, grant->host, err);
    return rc || grant->space
               ? rc
               : sh_vfs_unprotected(grant->root, grant->host, w->g->config->protected_paths, err);
}

static int preopen(struct sh_wasi *w, struct sh_vfs_grant *grant, const char *name,
                   struct sh_err *err) {
    struct sh_desc *d = sh_desc_new(grant                       ? DESC_DIR
                                    : strcmp(name, "/net") == 0 ? DESC_NET
                                                                : DESC_DEV);

    d->preopen = sh_strdup(name);
    sh_desc_dir_rights(d);
    if (grant) {
        d->grant = grant;
        d->root = true;
        d->path = grant->observe ? sh_strdup("") : NULL;
        d->seen.type = SH_VFS_DIR;
        if (grant->root >= 0) {
            d->host = fcntl(grant->root, F_DUPFD_CLOEXEC, 3);
            if (d->host < 0) {
                sh_desc_free(w, d);
                return sh_fail_errno(err, SH_E_IO, errno, "cannot open %s", grant->host);
            }
        }
        if (grant->space) {
            struct stat st;

            if (fstat(grant->root, &st) != 0) {
                sh_desc_free(w, d);
                return sh_fail_errno(err, SH_E_IO, errno, "cannot look at %s", grant->host);
            }
            w->root_node = d->node = sh_vfs_node(grant->space, &st);
            d->node->refs++;
        }
    }
    if (sh_wasi_install(w, d) < 0) {
        return sh_fail(err, SH_E_LIMIT, "too many mapped directories");
    }
    return 0;
}

static int add_mount(struct sh_wasi *w, const struct sh_mount *mount, struct sh_err *err) {
    struct sh_vfs_grant *grant = &w->grants[w->n_grants];

    *grant = (struct sh_vfs_grant){
        .root = -1,
        .number = (uint32_t)(DEVICE_FIRST + 1 + w->n_grants),
        .dir_perms = mount->dir_perms,
        .file_perms = mount->file_perms,
        .bytes_left = mount->bytes ? mount->bytes : SH_GIB,
        .capture = mount->capture,
        .observe = w->g->config->observe,
        .host = mount->host,
        .guest = mount->guest,
    };
    w->n_grants++;
    return open_root(w, grant, err);
}

static int add_workspace(struct sh_wasi *w, const char *host, struct sh_err *err) {
    struct sh_vfs_grant *grant = &w->grants[w->n_grants];
    int rc;

    *grant = (struct sh_vfs_grant){
        .root = -1,
        .number = DEVICE_FIRST,
        .dir_perms = SH_PERM_READ | SH_PERM_WRITE,
        .file_perms = SH_PERM_READ | SH_PERM_WRITE,
        .host = host,
        .guest = "/",
        .space = &w->space,
    };
    w->n_grants++;
    w->workspace = grant;
    rc = open_root(w, grant, err);
    return rc ? rc : sh_vfs_scan(grant, err);
}

static int stdio(struct sh_wasi *w, enum sh_desc_kind kind, struct sh_err *err) {
    struct sh_desc *d = sh_desc_new(kind);

    d->rights = R_FD_FDSTAT_SET_FLAGS | R_FD_FILESTAT_GET | R_POLL_FD_READWRITE |
                (kind == DESC_STDIN ? R_FD_READ : R_FD_WRITE);
    if (sh_wasi_install(w, d) < 0) {
        return sh_fail(err, SH_E_LIMIT, "too many descriptors");
    }
    return 0;
}

int sh_wasi_mounts(struct sh_wasi *w, struct sh_err *err) {
    const struct sh_agent_config *config = w->g->config;
    size_t n = config->caps ? config->caps->n_mounts : 0;
    bool root_taken = false;
    int rc = sh_vfs_probe(err);

    if (rc) {
        return rc;
    }
    if (n > SH_MOUNTS_MAX) {
        return sh_fail(err, SH_E_LIMIT, "%zu directories are mapped, at most %d", n, SH_MOUNTS_MAX);
    }
    w->grants = sh_new_array(struct sh_vfs_grant, n + 1);
    for (int kind = DESC_STDIN; rc == 0 && kind <= DESC_STDERR; kind++) {
        rc = stdio(w, (enum sh_desc_kind)kind, err);
    }
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *guest = config->caps->mounts[i].guest;

        root_taken = root_taken || strcmp(guest, "/") == 0 || strcmp(guest, ".") == 0;
        rc = add_mount(w, &config->caps->mounts[i], err);
        if (rc == 0) {
            rc = preopen(w, &w->grants[w->n_grants - 1], guest, err);
        }
    }
    if (rc == 0 && config->workspace) {
        rc = add_workspace(w, config->workspace, err);
        if (rc == 0) {
            rc = preopen(w, w->workspace, root_taken ? "/work" : "/", err);
        }
    }
    rc = rc ? rc : preopen(w, NULL, "/dev", err);
    w->net.granted = config->caps && sh_capabilities_scheme(config->caps, "tcp");
    return rc || !w->net.granted ? rc : preopen(w, NULL, "/net", err);
}
