/* Clocks. engine/ takes times as inputs of the run, guests see none of these. */
#ifndef SH_BASE_TIME_H
#define SH_BASE_TIME_H

#include <stdint.h>

#include "base/str.h"

int64_t sh_wall_us(void);  /* microseconds since 1970, CLOCK_REALTIME */
uint64_t sh_boot_ns(void); /* CLOCK_BOOTTIME: goes on while the machine sleeps */
uint64_t sh_mono_ns(void); /* CLOCK_MONOTONIC: for measuring */

/* "2026-01-31T12:34:56.789012Z" */
#define SH_TIME_TEXT 32
void sh_time_format(int64_t wall_us, char out[SH_TIME_TEXT]);

#endif
