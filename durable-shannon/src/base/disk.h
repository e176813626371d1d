/* Room on the disk that holds the data directory. A ballast file lies there in good times; when the
 * disk is full it is given up, so that what frees space (forgetting, compacting, stopping, the next
 * start) finds some. */
#ifndef SH_BASE_DISK_H
#define SH_BASE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define SH_BALLAST_NAME "ballast"

/* Bytes that we may still use on the file system of a folder.  thread  any; asks the kernel
 * fails  SH_E_IO */
int sh_disk_free(const char *dir, uint64_t *ret, struct sh_err *err);
/* The same by a descriptor of anything there; an answer that cannot be had is UINT64_MAX: what is
 * really full says so itself. */
uint64_t sh_disk_free_at(int fd);

/* Is there ballast in this folder? */
bool sh_ballast_is_there(const char *dir);
/* Make it, where it is not and where SH_DISK_BALLAST_ROOM are left afterwards. Slow on file systems
 * that cannot set blocks aside.  gives  1 made, 0 there already, or no room for it; else -code */
int sh_ballast_make(const char *dir, struct sh_err *err);
/* Give it up: true when there was one. */
bool sh_ballast_release(const char *dir);
/* Before anything is written at a start: give it up where less than SH_DISK_FULL is left. */
void sh_ballast_make_way(const char *dir);

#ifdef SH_FAULTS
/* For tests: from now on this is what is free, plus SH_BALLAST where the ballast that was there at
 * the call has gone, or less where it has come; UINT64_MAX: ask the kernel again. */
void sh_disk_pretend(uint64_t free_bytes);
#endif

#endif
