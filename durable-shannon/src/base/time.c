/* The clocks of the host. */
#include "base/time.h"

#include <stdio.h>
#include <time.h>

#include "base/err.h"

static struct timespec now(clockid_t clock) {
    struct timespec t;
    SH_ASSERT(clock_gettime(clock, &t) == 0);
    return t;
}

int64_t sh_wall_us(void) {
    struct timespec t = now(CLOCK_REALTIME);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

uint64_t sh_boot_ns(void) {
    struct timespec t = now(CLOCK_BOOTTIME);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sh_mono_ns(void) {
    struct timespec t = now(CLOCK_MONOTONIC);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void sh_time_format(int64_t wall_us, char out[SH_TIME_TEXT]) {
    time_t seconds = (time_t)(wall_us / 1000000);
    int64_t us = wall_us % 1000000;
    if (us < 0) { /* before 1970 the fraction still counts forwards */
        us += 1000000;
        seconds--;
    }
    struct tm tm;
    SH_ASSERT(gmtime_r(&seconds, &tm) != NULL); /* int64_t microseconds fit any year of tm */
    int n = snprintf(out, SH_TIME_TEXT, "%04lld-%02d-%02dT%02d:%02d:%02d.%06dZ",
                     (long long)tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
                     tm.tm_sec, (int)us);
    SH_ASSERT(n > 0 && n < SH_TIME_TEXT);
}
