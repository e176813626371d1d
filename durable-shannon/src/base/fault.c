/* The fault plan (fail the k-th fallible call) and the crash plan (die at the k-th hit of a named
 * point). Both count hits; neither costs anything where SH_FAULTS is not defined, because then the
 * macros never call here. */
#include "base/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

static struct {
    _Atomic uint64_t hits;
    _Atomic uint64_t fail_at; /* 0: disarmed */
    atomic_bool from_then_on;
} plan;

bool sh_fault_hit(const char *name) {
    (void)name;
    uint64_t hit = atomic_fetch_add(&plan.hits, 1) + 1;
    uint64_t at = atomic_load(&plan.fail_at);
    return at && (hit == at || (hit > at && atomic_load(&plan.from_then_on)));
}

uint64_t sh_fault_plan(uint64_t k, bool from_then_on) {
    atomic_store(&plan.fail_at, 0);
    atomic_store(&plan.from_then_on, from_then_on);
    uint64_t hits = atomic_exchange(&plan.hits, 0);
    atomic_store(&plan.fail_at, k);
    return hits;
}

enum { NAMES_MAX = 64, NAME_BYTES = 64 };

static struct {
    pthread_once_t once;
    pthread_mutex_t lock;
    bool armed;              /* some variable is set */
    char die_at[NAME_BYTES]; /* empty: nowhere */
    uint64_t die_hit;
    const char *count_file;
    struct {
        char name[NAME_BYTES];
        uint64_t hits;
    } points[NAMES_MAX];
    size_t n;
} crash = {.once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER};

static void write_counts(void) {
    int fd = open(crash.count_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        fprintf(stderr, "shannon: SHANNON_CRASH_COUNT=%s cannot be written: %s\n", crash.count_file,
                strerror(errno));
        return;
    }
    pthread_mutex_lock(&crash.lock);
    for (size_t i = 0; i < crash.n; i++) {
        dprintf(fd, "%s %llu\n", crash.points[i].name, (unsigned long long)crash.points[i].hits);
    }
    pthread_mutex_unlock(&crash.lock);
    close(fd);
}

static void parse_environment(void) {
    const char *at = getenv("SHANNON_CRASH_AT");
    crash.count_file = getenv("SHANNON_CRASH_COUNT");
    if (at) {
        const char *colon = strrchr(at, ':');
        char *end = NULL;
        uint64_t hit = colon ? strtoull(colon + 1, &end, 10) : 0;
        if (!colon || hit == 0 || *end || colon == at || colon - at >= NAME_BYTES) {
            fprintf(stderr, "shannon: SHANNON_CRASH_AT is NAME:K with K from 1, not \"%s\"\n", at);
            exit(125);
        }
        memcpy(crash.die_at, at, (size_t)(colon - at));
        crash.die_hit = hit;
    }
    if (crash.count_file) {
        atexit(write_counts);
    }
    crash.armed = at || crash.count_file;
}

static uint64_t count_hit(const char *name) {
    pthread_mutex_lock(&crash.lock);
    size_t i = 0;
    while (i < crash.n && strcmp(crash.points[i].name, name) != 0) {
        i++;
    }
    if (i == crash.n) {
        SH_ASSERT(i < NAMES_MAX && strlen(name) < NAME_BYTES);
        memcpy(crash.points[i].name, name, strlen(name) + 1);
        crash.n++;
    }
    uint64_t hits = ++crash.points[i].hits;
    pthread_mutex_unlock(&crash.lock);
    return hits;
}

void sh_crash_hit(const char *name) {
    pthread_once(&crash.once, parse_environment);
    if (!crash.armed) {
        return;
    }
    uint64_t hit = count_hit(name);
    if (hit == crash.die_hit && strcmp(name, crash.die_at) == 0) {
        kill(getpid(), SIGKILL);
        for (;;) { /* nothing after this point may happen */
            pause();
        }
    }
}
