/* What is known of module files without reading them. A record tells, for the file at one path, the
 * hash of its bytes and what the scan found, as long as the file's inode, size and times are those
 * that were noted: reading and hashing 26 MB of interpreter costs a start more than all the rest.
 *
 *   KEY.index   mode 0400, in the folder of the artifacts; KEY = hash(version, settings, real path)
 *               dev ino size mtime_ns ctime_ns, the module's hash, the scan, a checksum; one line
 *
 * A record is taken under the same rules as an artifact (ours, one link, nobody may write it). A
 * file that changed within the last two seconds may change again within one tick of its clock: it
 * is not noted. The change time, which no program can set, is what catches an edit that puts the
 * old modification time back. Whatever is wrong with a record, the file is read instead. */
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

/* Counts up with whatever sh_guest_scan accepts or tells, and with the host's functions. */
#define INDEX_VERSION "index 1"
#define SETTLED_NS 2000000000LL
#define RECORD_BYTES_MAX 512

struct index_names {
    char record[SH_ARTIFACT_NAME_BYTES], temporary[SH_ARTIFACT_NAME_BYTES];
};

static int64_t time_ns(struct timespec t) {
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* By the path that the kernel gives for the open file, so that links and folders do not matter. */
static bool names_of(int fd, struct index_names *n) {
    char link[64], path[PATH_MAX], hex[SH_HASH_HEX_BYTES];
    struct sh_hasher h;
    struct sh_hash key;
    ssize_t length;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path));
    if (length <= 0 || (size_t)length == sizeof(path)) {
        return false;
    }
    sh_hasher_init(&h);
    sh_hasher_str(&h, SH_STR(INDEX_VERSION));
    sh_hasher_str(&h, sh_str(sh_runtime_settings()));
    sh_hasher_str(&h, sh_strn(path, (size_t)length));
    sh_hasher_done(&h, &key);
    sh_hash_hex(&key, hex);
    (void)snprintf(n->record, sizeof(n->record), "%s.index", hex);
    sh_artifact_temporary(n->temporary);
    return true;
}

/* The text that the checksum covers. */
static void record_text(struct sh_buf *b, const struct stat *st, const struct sh_hash *hash,
                        const struct sh_scan *scan) {
    char hex[SH_HASH_HEX_BYTES];

    sh_hash_hex(hash, hex);
    sh_buf_addf(b, "%ju %ju %jd %" PRId64 " %" PRId64 " %s %d %d %d %d %" PRIu64 " %u %u",
                (uintmax_t)st->st_dev, (uintmax_t)st->st_ino, (intmax_t)st->st_size,
                time_ns(st->st_mtim), time_ns(st->st_ctim), hex, scan->start_section, scan->command,
                scan->initialize, scan->memory, scan->memory_min_bytes, scan->functions,
                scan->tables);
}

static void add_checksum(struct sh_buf *b) {
    struct sh_hash sum;
    char hex[SH_HASH_HEX_BYTES];

    sh_sha256(b->p, b->len, &sum);
    sh_hash_hex(&sum, hex);
    sh_buf_addf(b, " %s\n", hex);
}

/* The module's hash and the scan, out of a line; then the line is made again from what was read and
 * from the file as it is, and must be the same to the last byte. */
static bool record_parse(struct sh_str text, const struct stat *st, struct sh_hash *hash,
                         struct sh_scan *scan) {
    char line[RECORD_BYTES_MAX + 1], *at = line;
    uint64_t field[13] = {0};
    sh_auto(sh_buf_done) struct sh_buf again = {0};

    if (text.len >= sizeof(line)) {
        return false;
    }
    memcpy(line, text.p, text.len);
    line[text.len] = 0;
    for (size_t i = 0; i < 13;
         i++) { /* the sixth field is the hash; whatever is wrong shows below */
        at += *at == ' ';
        if (i == 5) {
            if (strlen(at) < SH_HASH_HEX_BYTES ||
                sh_hash_parse(sh_strn(at, SH_HASH_HEX_BYTES - 1), hash) != 0) {
                return false;
            }
            at += SH_HASH_HEX_BYTES - 1;
        } else {
            field[i] = strtoull(at, &at, 10);
        }
    }
    scan->start_section = field[6] == 1;
    scan->command = field[7] == 1;
    scan->initialize = field[8] == 1;
    scan->memory = field[9] == 1;
    scan->memory_min_bytes = field[10];
    scan->functions = (uint32_t)field[11];
    scan->tables = (uint32_t)field[12];
    sh_buf_init(&again, RECORD_BYTES_MAX);
    record_text(&again, st, hash, scan);
    add_checksum(&again);
    return !again.failed && sh_str_eq(sh_buf_str(&again), text);
}

bool sh_index_find(struct sh_sandbox *s, int file, const struct stat *st, struct sh_hash *ret_hash,
                   struct sh_scan *ret_scan) {
    sh_auto(sh_close_p) int fd = -1;
    char text[RECORD_BYTES_MAX + 1];
    struct index_names n;
    struct sh_hash hash;
    struct sh_scan scan = {0};
    ssize_t length;

    if (s->aot_fd < 0 || !names_of(file, &n)) {
        return false;
    }
    fd = sh_artifact_open(s->aot_fd, n.record);
    length = fd >= 0 ? read(fd, text, RECORD_BYTES_MAX) : -1;
    if (length <= 0) {
        return false;
    }
    text[length] = 0;
    if (!record_parse(sh_strn(text, (size_t)length), st, &hash, &scan)) {
        return false;
    }
    *ret_hash = hash;
    *ret_scan = scan;
    return true;
}

static bool settled(const struct stat *st) {
    struct timespec now;
    int64_t limit;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    limit = time_ns(now) - SETTLED_NS;
    return time_ns(st->st_mtim) < limit && time_ns(st->st_ctim) < limit;
}

void sh_index_note(struct sh_sandbox *s, int file, const struct stat *st,
                   const struct sh_hash *hash, const struct sh_scan *scan) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    struct index_names n;
    int fd;

    sh_buf_init(&text, RECORD_BYTES_MAX);
    if (s->aot_fd < 0 || !settled(st) || !names_of(file, &n)) {
        return;
    }
    record_text(&text, st, hash, scan);
    add_checksum(&text);
    fd = openat(s->aot_fd, n.temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return;
    }
    if (text.failed || write(fd, text.p, text.len) != (ssize_t)text.len ||
        sh_artifact_publish(s->aot_fd, fd, n.temporary, n.record) != 0) {
        (void)unlinkat(s->aot_fd, n.temporary, 0);
    }
    (void)close(fd);
}
