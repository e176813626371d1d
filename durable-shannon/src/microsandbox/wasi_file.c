/* Where a call on files is carried out. The private directory: here, because it is on a disk of
 * ours and small. A mapped one: here when the kernel can answer from memory; else the agent
 * suspends and the pool does it (files.h). Then the same host call is made again from its
 * beginning, comes to this place again, and finds the answer.
 *
 * A suspension of this kind shows nowhere: nothing was counted, charged or recorded before it, and
 * the answer is the one that an immediate call would have had. */
#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/files.h"
#include "microsandbox/wasi_impl.h"

int sh_wasi_perform(struct sh_wasi *w, struct sh_vfs_call *c) {
    struct sh_files *pool = w->g->config->files;
    int rc;

    if (w->flight) {
        if (!sh_file_over(w->flight)) {
            w->g->wait = (struct sh_agent_wait){.kind = SH_WAIT_FILE};
            return SH_CALL_PENDING;
        }
        sh_file_answer(w->flight, c);
        w->flight = sh_file_drop(w->flight);
        return 0;
    }
    if (!pool || c->grant->space) {
        sh_vfs_call_do(c);
        return 0;
    }
    if (c->grant->local && sh_vfs_call_quick(c)) {
        return 0;
    }
    rc = sh_files_start(pool, c, &w->flight);
    if (rc) {
        return sh_wasi_errno(w, c->grant,
                             rc); /* the host's fault: the agent is tried again later */
    }
    w->g->wait = (struct sh_agent_wait){.kind = SH_WAIT_FILE};
    return SH_CALL_PENDING;
}

struct sh_vfs_call sh_wasi_call(struct sh_vfs_grant *grant, enum sh_vfs_op op, int dir,
                                const char *path) {
    return (struct sh_vfs_call){
        .op = op, .grant = grant, .dir = dir, .to_dir = -1, .path = path, .opened.fd = -1};
}

void sh_wasi_close_host(struct sh_wasi *w, const struct sh_vfs_grant *grant, int fd) {
    if (fd < 0) {
        return;
    }
    if (grant && !grant->space && !grant->local && w->g->config->files) {
        sh_files_close(w->g->config->files, fd); /* a server may have to be told */
    } else {
        close(fd);
    }
}

bool sh_wasi_file_wait(struct sh_wasi *w, void (*ready)(void *arg), void *arg) {
    return !w->flight || sh_file_wait(w->flight, ready, arg);
}

void sh_wasi_file_unwait(struct sh_wasi *w) {
    if (w->flight) {
        sh_file_unwait(w->flight);
    }
}
