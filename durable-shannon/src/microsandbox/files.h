/* The pool for file calls that may wait (SEMANTICS 15): SH_FILE_THREADS threads of its own, so that
 * a hung mount delays neither executors nor DNS, compiling or the store.
 *
 * A call is copied whole before it is handed over: paths, descriptors (duplicated), bytes. A pool
 * thread sees neither the guest's memory nor its agent, so the agent can go on, or be freed, while
 * a thread is still stuck in the kernel with a call that was given up. */
#ifndef SH_FILES_H
#define SH_FILES_H

#include "microsandbox/vfs_call.h"

struct sh_files; /* the pool */
struct sh_file;  /* one call under way */

/* stuck_ms: a call that takes longer is given up (EIO); 0: SH_FILE_STUCK_MS. Threads start when
 * they are needed. */
struct sh_files *sh_files_new(uint64_t stuck_ms);
/* Waits for calls under way, for a second at most: a stuck thread keeps what it needs and ends by
 * itself. Takes NULL. */
struct sh_files *sh_files_free(struct sh_files *f);

/* Hand over a copy of `c`. A grant whose device hangs is answered EIO at once.
 * gives  *ret, until sh_file_drop      fails  ENOMEM, EMFILE: errno of the host, nothing started */
int sh_files_start(struct sh_files *f, const struct sh_vfs_call *c, struct sh_file **ret);
/* Close a descriptor there: on some file systems that waits for a server. Takes fd. */
void sh_files_close(struct sh_files *f, int fd);

/* Is it over? Else `ready` is called once, from any thread and under the pool's lock: it may lock
 * others, but calls nothing of this header. */
bool sh_file_wait(struct sh_file *file, void (*ready)(void *arg), void *arg);
void sh_file_unwait(struct sh_file *file); /* no call of ready begins after this or lasts past it */
/* Over: its answer into `c`, the call that it was started with; a READ's bytes into c->iov. */
void sh_file_answer(struct sh_file *file, struct sh_vfs_call *c);
bool sh_file_over(struct sh_file *file);
/* Forget it; one that no thread has begun is not made any more. Takes NULL; returns NULL. */
struct sh_file *sh_file_drop(struct sh_file *file);

struct sh_files_counts {
    unsigned threads, stuck, queued;
};
struct sh_files_counts sh_files_counts(struct sh_files *f);

#endif
