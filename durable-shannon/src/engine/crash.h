/* Which workflow is to blame when the process dies of a signal (SEMANTICS 18). Threads that work
 * for a workflow say so in a small mapped file, `crash-stamp` in the data directory; the handler of
 * SIGABRT, SIGSEGV, SIGBUS, SIGILL and SIGFPE stamps it there. A kill, a power cut or an exit
 * stamps nothing: then nobody is to blame. */
#ifndef SH_ENGINE_CRASH_H
#define SH_ENGINE_CRASH_H

#include "base/base.h"

enum sh_crash_phase {
    SH_CRASH_IDLE,
    SH_CRASH_RUN,    /* the agent is on an executor */
    SH_CRASH_LAUNCH, /* it is being made */
    SH_CRASH_EFFECTS /* what it asked for is being carried out */
};

struct sh_crash; /* the mapped file */

/* Map the file and forget what it held.        fails  SH_E_IO, SH_E_NOSPC */
int sh_crash_open(const char *data_dir, struct sh_crash **ret, struct sh_err *err);
/* needs  no thread between enter and leave */
struct sh_crash *sh_crash_close(struct sh_crash *c);

/* The calling thread works for this workflow, until leave. Not nested. c may be NULL.
 * thread any; a few dozen instructions */
void sh_crash_enter(struct sh_crash *c, const char *workflow, enum sh_crash_phase phase);
void sh_crash_leave(struct sh_crash *c);

/* A stack for the handler in this thread, so that it can speak of an overflow. */
void *sh_crash_stack_new(void);
void sh_crash_stack_free(void *stack);

/* Install the handlers, once in a process; they pass on to those that were there before.
 * needs  to come before anything that handles such signals itself and passes on the rest */
void sh_crash_handlers(void);

/* What a data directory's last process left: {stamp: hex that names that process, signal, stamped:
 * [{workflow, phase}]}; NULL when it did not die of a signal. The file's content is hostile. */
json_t *sh_crash_read(const char *data_dir);

#endif
