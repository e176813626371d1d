/* What a process has besides files: arguments, environment, streams, poll, and its end.
 * `diff_process SECTION [ARGS...]` */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wasi/api.h>

extern char **environ;

static int given(int argc, char **argv) {
    for (int i = 0; i < argc; i++) {
        printf("argument %d: <%s>\n", i, argv[i]);
    }
    for (char **e = environ; *e; e++) {
        printf("variable <%s>\n", *e);
    }
    return 0;
}

static int copying(int argc, char **argv) {
    char buf[1000];
    size_t total = 0;
    ssize_t n;

    (void)argc;
    (void)argv;
    while ((n = read(0, buf, sizeof(buf))) > 0) {
        total += (size_t)n;
        for (ssize_t done = 0, k; done < n; done += k) {
            k = write(1, buf + done, (size_t)(n - done));
            if (k < 0) {
                return 3;
            }
        }
    }
    fprintf(stderr, "%zu bytes, then %zd; again %zd\n", total, n, read(0, buf, sizeof(buf)));
    return 0;
}

/* How much one call takes. */
static int bulk(int argc, char **argv) {
    static char text[400000];

    (void)argc;
    (void)argv;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)('a' + i % 26);
    }
    ssize_t out = write(1, text, sizeof(text));
    ssize_t err = write(2, text, 100000);

    fprintf(stderr, "%zd %zd\n", out, err);
    return 0;
}

static int streams(int argc, char **argv) {
    struct stat st;
    char byte = 0;

    (void)argc;
    (void)argv;
    for (int fd = 0; fd < 3; fd++) {
        fprintf(stderr, "descriptor %d: tty %d", fd, isatty(fd));
        fprintf(stderr, " seek %lld", (long long)lseek(fd, 0, SEEK_CUR) >= 0 ? 0LL : -1LL);
        fprintf(stderr, " stat %d\n", fstat(fd, &st));
    }
    fprintf(stderr, "write to 0: %zd error %d\n", write(0, "x", 1), errno);
    fprintf(stderr, "read from 1: %zd error %d\n", read(1, &byte, 1), errno);
    fprintf(stderr, "write to 77: %zd error %d\n", write(77, "x", 1), errno);
    fprintf(stderr, "close 0: %d\n", close(0));
    fprintf(stderr, "read from 0: %zd error %d\n", read(0, &byte, 1), errno);
    return 0;
}

/* Clocks and streams; who is ready, not how late it was. */
static int polling(int argc, char **argv) {
    struct timespec pause = {0, 20000000}, before, after;
    __wasi_subscription_t in[3];
    __wasi_event_t out[3];
    __wasi_size_t n = 0;

    (void)argc;
    (void)argv;
    clock_gettime(CLOCK_MONOTONIC, &before);
    printf("nanosleep %d\n", nanosleep(&pause, NULL));
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("slept: %d\n",
           (after.tv_sec - before.tv_sec) * 1000000000LL + (after.tv_nsec - before.tv_nsec) >=
               20000000);
    memset(in, 0, sizeof(in));
    in[0].userdata = 11;
    in[0].u.tag = __WASI_EVENTTYPE_CLOCK;
    in[0].u.u.clock.id = __WASI_CLOCKID_MONOTONIC;
    in[0].u.u.clock.timeout = 3600000000000ULL;
    in[1].userdata = 22;
    in[1].u.tag = __WASI_EVENTTYPE_FD_WRITE;
    in[1].u.u.fd_write.file_descriptor = 1;
    in[2].userdata = 33;
    in[2].u.tag = __WASI_EVENTTYPE_FD_WRITE;
    in[2].u.u.fd_write.file_descriptor = 55;
    printf("poll nothing: %u\n", (unsigned)__wasi_poll_oneoff(in, out, 0, &n));
    printf("poll: %u", (unsigned)__wasi_poll_oneoff(in, out, 2, &n));
    for (__wasi_size_t i = 0; i < n; i++) {
        printf(" event %llu error %u type %u", (unsigned long long)out[i].userdata,
               (unsigned)out[i].error, (unsigned)out[i].type);
    }
    in[0].u.u.clock.timeout = 1000000;
    printf("\npoll: %u", (unsigned)__wasi_poll_oneoff(in, out, 1, &n));
    printf(" events %u user %llu type %u\n", (unsigned)n, (unsigned long long)out[0].userdata,
           (unsigned)out[0].type);
    __wasi_timestamp_t t = 0;
    printf("clocks: %d %d\n", __wasi_clock_time_get(0, 1, &t), __wasi_clock_time_get(1, 1, &t));
    return 0;
}

static int exits(int argc, char **argv) {
    printf("before\n");
    fprintf(stderr, "on stderr\n");
    exit(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
}

static volatile int zero;
static volatile uintptr_t far = 0xfffffff0;

__attribute__((noinline)) static int deeper(int n) {
    volatile char room[512];

    room[0] = (char)n;
    return n < 0 ? 0 : deeper(n + 1) + room[0];
}

__attribute__((noinline)) static int nested(int n) {
    volatile int here = n;

    if (here == 0) {
        __builtin_trap();
    }
    return nested(here - 1) + here;
}

static int traps(int argc, char **argv) {
    const char *how = argc > 2 ? argv[2] : "";

    printf("before %s\n", how);
    fflush(stdout);
    if (strcmp(how, "divide") == 0) {
        zero = 7 / zero;
    } else if (strcmp(how, "memory") == 0) {
        *(volatile char *)far = 1;
    } else if (strcmp(how, "deep") == 0) {
        return deeper(0);
    } else if (strcmp(how, "nested") == 0) {
        return nested(20);
    } else if (strcmp(how, "abort") == 0) {
        abort();
    } else if (strcmp(how, "call") == 0) {
        ((void (*)(int, int, int))(uintptr_t)&exits)(1, 2, 3);
    }
    __builtin_trap();
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } sections[] = {{"given", given},     {"copying", copying}, {"bulk", bulk},
                    {"streams", streams}, {"polling", polling}, {"exits", exits},
                    {"traps", traps}};

    for (size_t i = 0; argc > 1 && i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (strcmp(argv[1], sections[i].name) == 0) {
            return sections[i].run(argc, argv);
        }
    }
    fprintf(stderr, "usage: diff_process SECTION [ARGS...]\n");
    return 2;
}
