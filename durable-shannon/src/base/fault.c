/* The fault plan (fail the k-th fallible call), the crash plan (die at the k-th hit of a named
 * point) and the hang plan (stay there). All count hits; none costs anything where SH_FAULTS is not
 * defined, because then the macros never call here. */
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
    _Atomic(const char *) failed;
    void (*_Atomic watch)(uint64_t hit, const char *name);
} plan;

void sh_fault_watch(void (*fn)(uint64_t hit, const char *name)) {
    atomic_store(&plan.watch, fn);
}

bool sh_fault_hit(const char *name) {
    uint64_t hit = atomic_fetch_add(&plan.hits, 1) + 1;
    uint64_t at = atomic_load(&plan.fail_at);
    bool fails = at && (hit == at || (hit > at && atomic_load(&plan.from_then_on)));

    void (*watch)(uint64_t, const char *) = atomic_load(&plan.watch);

    if (fails && hit == at) {
        atomic_store(&plan.failed, name);
    }
    if (watch) {
        watch(hit, name);
    }
    return fails;
}

const char *sh_fault_first(void) {
    const char *name = atomic_load(&plan.failed);

    return name ? name : "none";
}

bool sh_fault_hit_io(const char *name) {
    bool fails = sh_fault_hit(name);

    errno = fails ? EIO : errno;
    return fails;
}

uint64_t sh_fault_plan(uint64_t k, bool from_then_on) {
    atomic_store(&plan.fail_at, 0);
    atomic_store(&plan.from_then_on, from_then_on);
    if (k) {
        atomic_store(&plan.failed, NULL);
    }
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

static struct {
    _Atomic uint64_t hits;
    _Atomic uint64_t from, to; /* hits that hang; 0: none */
    _Atomic unsigned waiting;
} hang;

static struct {
    pthread_once_t once;
    char name[NAME_BYTES];
    uint64_t from;
    const char *until;
    _Atomic uint64_t hits;
} hang_env = {.once = PTHREAD_ONCE_INIT};

static void parse_hang(void) {
    const char *at = getenv("SHANNON_HANG_AT");
    const char *colon = at ? strrchr(at, ':') : NULL;

    hang_env.until = getenv("SHANNON_HANG_UNTIL");
    if (colon && hang_env.until && colon - at < NAME_BYTES) {
        memcpy(hang_env.name, at, (size_t)(colon - at));
        hang_env.from = strtoull(colon + 1, NULL, 10);
    }
}

static bool hangs_now(uint64_t hit, uint64_t env_hit) {
    uint64_t from = atomic_load(&hang.from);

    return (from && hit >= from && hit < atomic_load(&hang.to)) ||
           (env_hit && env_hit >= hang_env.from && access(hang_env.until, F_OK) != 0);
}

void sh_hang_hit(const char *name) {
    uint64_t hit = atomic_fetch_add(&hang.hits, 1) + 1, env_hit = 0;

    pthread_once(&hang_env.once, parse_hang);
    if (hang_env.from && strcmp(name, hang_env.name) == 0) {
        env_hit = atomic_fetch_add(&hang_env.hits, 1) + 1;
    }
    if (!hangs_now(hit, env_hit)) {
        return;
    }
    atomic_fetch_add(&hang.waiting, 1);
    while (hangs_now(hit, env_hit)) {
        usleep(2000);
    }
    atomic_fetch_sub(&hang.waiting, 1);
}

void sh_hang_plan(uint64_t k, uint64_t n) {
    atomic_store(&hang.from, 0);
    atomic_store(&hang.hits, 0);
    atomic_store(&hang.to, k + n);
    atomic_store(&hang.from, k);
}

void sh_hang_release(void) {
    atomic_store(&hang.from, 0);
}

unsigned sh_hang_waiting(void) {
    return atomic_load(&hang.waiting);
}
