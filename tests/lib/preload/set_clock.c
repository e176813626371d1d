/* Preloaded by tests: a wall clock that a test sets, by writing an offset in microseconds (int64_t)
 * into the file that SHANNON_TEST_CLOCK names. All other clocks stay the machine's. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *offset_us;
static int (*real_clock_gettime)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHANNON_TEST_CLOCK");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (fd >= 0) {
        void *p = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, fd, 0);
        offset_us = p == MAP_FAILED ? NULL : p;
        close(fd);
    }
}

int clock_gettime(clockid_t clock, struct timespec *t) {
    int r;

    if (!real_clock_gettime) { /* called by another constructor */
        *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    }
    r = real_clock_gettime(clock, t);
    if (r == 0 && offset_us && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t us = *offset_us + t->tv_nsec / 1000;
        int64_t seconds = us >= 0 ? us / 1000000 : -((999999 - us) / 1000000);
        t->tv_sec += (time_t)seconds;
        t->tv_nsec = (long)(us - seconds * 1000000) * 1000 + t->tv_nsec % 1000;
    }
    return r;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *ret) {
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (ret) {
        *ret = now.tv_sec;
    }
    return now.tv_sec;
}
