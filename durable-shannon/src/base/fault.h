/* Marked places where the world may fail. Compiled in when SH_FAULTS is defined (all presets but
 * release); otherwise every macro here is a constant that the compiler removes. */
#ifndef SH_BASE_FAULT_H
#define SH_BASE_FAULT_H

#include <stdbool.h>
#include <stdint.h>

#ifdef SH_FAULTS
/* As SH_FAULT, for a system call that fails: errno is EIO then. */
#define SH_FAULT_IO(name) sh_fault_hit_io(#name)
/* True when the fault plan says that this hit fails: `if (SH_FAULT(store_append)) {return ...;}` */
#define SH_FAULT(name) sh_fault_hit(#name)
/* Kills this process with SIGKILL when the crash plan names this hit. The plan comes from the
 * environment: SHANNON_CRASH_AT="NAME:K" dies at the K-th hit (from 1) of NAME. With
 * SHANNON_CRASH_COUNT=FILE the number of hits of each name is appended to FILE at exit. */
#define SH_CRASH_POINT(name) sh_crash_hit(#name)
/* Stays here for as long as the hang plan says: as a call to a file system that does not answer. */
#define SH_HANG_POINT(name) sh_hang_hit(#name)
#else
#define SH_FAULT(name) false
#define SH_FAULT_IO(name) false
#define SH_CRASH_POINT(name) ((void)0)
#define SH_HANG_POINT(name) ((void)0)
#endif

bool sh_fault_hit(const char *name);
bool sh_fault_hit_io(const char *name);
void sh_crash_hit(const char *name);
void sh_hang_hit(const char *name);

/* For sweeps: fail the k-th hit (from 1) of any point, once or from then on; k = 0 disarms.
 * Returns the hits so far and resets the counter. Any thread may hit, one thread plans. */
uint64_t sh_fault_plan(uint64_t k, bool from_then_on);
const char *sh_fault_first(void); /* the point at which the last plan began to fail, or "none" */
/* Tell `fn` (NULL: nobody) each hit and its point, on the thread that hits; `name` stays. For tests
 * that choose by name which hit to fail, or ask which points a program passes. */
void sh_fault_watch(void (*fn)(uint64_t hit, const char *name));

/* Hang the k-th hit (from 1) of any hang point and the `n - 1` after it, until sh_hang_release;
 * k = 0 disarms and releases. Without such a plan the environment has it: SHANNON_HANG_AT="NAME:K"
 * hangs the K-th hit of NAME and all after it until the file SHANNON_HANG_UNTIL exists. */
void sh_hang_plan(uint64_t k, uint64_t n);
void sh_hang_release(void);
unsigned sh_hang_waiting(void); /* threads that hang now */

#endif
