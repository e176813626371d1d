/* What an fdatasync costs on this disk, measured in the same minute as what is compared with it:
 * callers add samples between their own. A file overwritten in place is what a recycled log is; one
 * that grows writes its size as well. */
#ifndef SH_BENCH_DISK_H
#define SH_BENCH_DISK_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/base.h"

#define BENCH_SYNCS_MAX 4000
#define BENCH_SYNC_BYTES 512
#define BENCH_LOG_BYTES (4 * SH_MIB)

struct bench_disk {
    int in_place, growing;
    size_t n;
    uint64_t in_place_ns[BENCH_SYNCS_MAX], growing_ns[BENCH_SYNCS_MAX];
};

static inline int bench_disk_file(const char *dir, const char *name) {
    char *path = sh_asprintf("%s/%s", dir, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    sh_free(path);
    if (fd < 0) {
        perror("a file for fdatasync");
        exit(1);
    }
    return fd;
}

static inline void bench_disk_open(struct bench_disk *d, const char *dir) {
    char *zeros = sh_zalloc(BENCH_LOG_BYTES);

    d->n = 0;
    d->in_place = bench_disk_file(dir, "fdatasync-in-place");
    d->growing = bench_disk_file(dir, "fdatasync-growing");
    if (write(d->in_place, zeros, BENCH_LOG_BYTES) != (ssize_t)BENCH_LOG_BYTES ||
        fsync(d->in_place) < 0 || lseek(d->in_place, 0, SEEK_SET) < 0) {
        perror("preparing a file for fdatasync");
        exit(1);
    }
    sh_free(zeros);
}

static inline uint64_t bench_disk_sync(int fd) {
    static const char block[BENCH_SYNC_BYTES];
    uint64_t from = sh_mono_ns();

    if (write(fd, block, sizeof(block)) != (ssize_t)sizeof(block) || fdatasync(fd) < 0) {
        perror("fdatasync");
        exit(1);
    }
    return sh_mono_ns() - from;
}

static inline void bench_disk_sample(struct bench_disk *d, size_t n) {
    for (; n > 0 && d->n < BENCH_SYNCS_MAX; n--, d->n++) {
        d->in_place_ns[d->n] = bench_disk_sync(d->in_place);
        d->growing_ns[d->n] = bench_disk_sync(d->growing);
    }
}

static inline int bench_by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static inline double bench_percentile_ms(uint64_t *ns, size_t n, double p) {
    qsort(ns, n, sizeof(*ns), bench_by_value);
    return n ? (double)ns[(size_t)((double)(n - 1) * p)] / 1e6 : 0;
}

static inline void bench_disk_figure(const char *name, double value, const char *note) {
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"ms\",\"note\":\"%s\"}\n", name, value, note);
}

/* Prints both kinds, and gives what an fdatasync in place costs at its best: its fastest tenth.
 * Virtual disks may answer either at once or a few milliseconds later, by the minute; measured from
 * the median, a goal would be met by the disk's bad minutes. */
static inline double bench_disk_report(struct bench_disk *d) {
    double p10 = bench_percentile_ms(d->in_place_ns, d->n, 0.1);

    bench_disk_figure("fdatasync_in_place_p10", p10,
                      "512 bytes over a file that was there, as a recycled log; between the steps");
    bench_disk_figure("fdatasync_in_place_p50", bench_percentile_ms(d->in_place_ns, d->n, 0.5), "");
    bench_disk_figure("fdatasync_growing_p10", bench_percentile_ms(d->growing_ns, d->n, 0.1),
                      "the same at the end of a file");
    bench_disk_figure("fdatasync_growing_p50", bench_percentile_ms(d->growing_ns, d->n, 0.5), "");
    fflush(stdout);
    close(d->in_place);
    close(d->growing);
    return p10;
}

#endif
