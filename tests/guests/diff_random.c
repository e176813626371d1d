/* A random sequence of file calls, made straight at the WASI interface. Arguments: seed, number of
 * calls, directory. The same seed makes the same calls everywhere, so two runtimes that print the
 * same lines did the same things. Descriptor numbers, inodes and times of the runtime are left out.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wasi/api.h>

enum { SLOTS = 10, BYTES_MAX = 3000, LIST_MAX = 4096 };

static uint64_t state;
static struct {
    bool open, directory, append;
    __wasi_fd_t fd;
} slots[SLOTS]; /* slot 0 is the directory itself and is never closed */
static uint8_t bytes[BYTES_MAX], list[LIST_MAX];
static char path_a[600], path_b[600];
static unsigned step;

/* xorshift64*, Vigna 2016 */
static uint32_t draw(uint32_t below) {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * 0x2545F4914F6CDD1DULL) >> 33) % below;
}

static bool one_in(uint32_t n) {
    return draw(n) == 0;
}

static const char *make_path(char *to) {
    static const char *const names[] = {"a", "b", "c", "d", "e", "long-name.with dots", "\xc3\xa4"};
    size_t n = 0;
    uint32_t depth = 1 + (one_in(3) ? draw(3) : 0);

    if (one_in(60)) {
        to[0] = '\0';
        return to;
    }
    for (uint32_t i = 0; i < depth; i++) {
        const char *name = one_in(14) ? ".." : i + 1 < depth && one_in(10) ? "." : names[draw(7)];

        memcpy(to + n, name, strlen(name));
        n += strlen(name);
        if (i + 1 < depth) {
            to[n++] = '/';
            if (one_in(20)) {
                to[n++] = '/';
            }
        }
    }
    if (one_in(150)) {
        memset(to + n, 'x', 300);
        n += 300;
    }
    to[n] = '\0';
    return to;
}

/* A directory to start from. */
static uint32_t slot(void) {
    uint32_t s = one_in(2) ? 0 : draw(SLOTS);

    return slots[s].open && slots[s].directory ? s : 0;
}

/* A file. What a call on the wrong kind of descriptor says differs between runtimes, so such calls
 * have no place here; without a file there is no call. */
static uint32_t file_slot(void) {
    uint32_t first = draw(SLOTS - 1);

    for (uint32_t i = 0; i < SLOTS - 1; i++) {
        uint32_t s = 1 + (first + i) % (SLOTS - 1);

        if (slots[s].open && !slots[s].directory) {
            return s;
        }
    }
    return 0;
}

static uint32_t checksum(const uint8_t *p, size_t n) {
    uint32_t h = 2166136261U; /* FNV-1a */

    for (size_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * 16777619U;
    }
    return h;
}

static void begin(const char *name) {
    printf("%u %s", step, name);
}

static bool end(__wasi_errno_t error) {
    printf(" = %u", (unsigned)error);
    return error == 0;
}

static void show_stat(const __wasi_filestat_t *st) {
    printf(" type %u", (unsigned)st->filetype);
    if (st->filetype != __WASI_FILETYPE_DIRECTORY) {
        printf(" size %llu links %llu", (unsigned long long)st->size,
               (unsigned long long)st->nlink);
    }
}

static void do_open(void) {
    static const __wasi_rights_t rights[] = {
        __WASI_RIGHTS_FD_READ, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE,
        __WASI_RIGHTS_FD_WRITE, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_READDIR};
    uint32_t at = slot(), to = 1 + draw(SLOTS - 1), follow = draw(2), which = draw(4);
    uint16_t oflags = 0, fdflags = one_in(5) ? __WASI_FDFLAGS_APPEND : 0;
    __wasi_fd_t fd = 0;

    oflags |= one_in(2) ? __WASI_OFLAGS_CREAT : 0;
    oflags |= oflags && one_in(3) ? __WASI_OFLAGS_EXCL : 0; /* alone it means nothing */
    oflags |= one_in(8) ? __WASI_OFLAGS_TRUNC : 0;
    oflags |= one_in(6) ? __WASI_OFLAGS_DIRECTORY : 0;
    if (oflags & (__WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC)) {
        which = 1 + draw(2); /* Wasmtime gives the right to write then, asked for or not */
    }
    begin("open");
    printf(" %u<-%u %s follow %u oflags %u rights %u flags %u", to, at, make_path(path_a), follow,
           oflags, which, fdflags);
    if (end(__wasi_path_open(slots[at].fd, follow, path_a, oflags, rights[which], rights[which],
                             fdflags, &fd))) {
        if (slots[to].open) {
            printf(" close %u", (unsigned)__wasi_fd_close(slots[to].fd));
        }
        __wasi_fdstat_t st = {0};

        printf(" kind %u", (unsigned)__wasi_fd_fdstat_get(fd, &st));
        printf(" %u", (unsigned)st.fs_filetype);
        slots[to].open = true;
        slots[to].directory = st.fs_filetype == __WASI_FILETYPE_DIRECTORY;
        slots[to].append = fdflags & __WASI_FDFLAGS_APPEND;
        slots[to].fd = fd;
    }
}

static void do_close(void) {
    uint32_t s = 1 + draw(SLOTS - 1);

    if (!slots[s].open) {
        return;
    }
    begin("close");
    printf(" %u", s);
    end(__wasi_fd_close(slots[s].fd));
    slots[s].open = false;
}

static void do_read(void) {
    uint32_t s = file_slot(), n = draw(BYTES_MAX);
    bool at = one_in(2);
    uint64_t offset = one_in(3) ? draw(20000) : draw(2000);
    __wasi_iovec_t iov = {bytes, n}; /* one: how many of several are used is left to runtimes */
    __wasi_size_t got = 0;
    __wasi_errno_t error;

    if (!s) {
        return;
    }
    begin(at ? "pread" : "read");
    printf(" %u %u", s, n);
    if (at) {
        printf(" at %llu", (unsigned long long)offset);
        error = __wasi_fd_pread(slots[s].fd, &iov, 1, offset, &got);
    } else {
        error = __wasi_fd_read(slots[s].fd, &iov, 1, &got);
    }
    if (end(error)) {
        printf(" %u bytes %08x", (unsigned)got, checksum(bytes, got));
    }
}

static void do_write(void) {
    uint32_t s = file_slot(), n = 1 + draw(one_in(4) ? BYTES_MAX - 1 : 100);
    /* Where a positional write lands in a descriptor that appends: POSIX and Linux disagree. */
    bool at = one_in(2) && !slots[s].append;
    uint64_t offset = one_in(10) ? draw(40000) : draw(2000);
    __wasi_ciovec_t iov = {bytes, n};
    __wasi_size_t put = 0;
    __wasi_errno_t error;

    if (!s) {
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)draw(256);
    }
    begin(at ? "pwrite" : "write");
    printf(" %u %u", s, n);
    if (at) {
        printf(" at %llu", (unsigned long long)offset);
        error = __wasi_fd_pwrite(slots[s].fd, &iov, 1, offset, &put);
    } else {
        error = __wasi_fd_write(slots[s].fd, &iov, 1, &put);
    }
    if (end(error)) {
        printf(" %u bytes", (unsigned)put);
    }
}

static void do_seek(void) {
    uint32_t s = file_slot(), whence = draw(3);
    int64_t delta = (int64_t)draw(3000) - 1000;
    __wasi_filesize_t now = 0;

    if (!s) {
        return;
    }
    begin("seek");
    printf(" %u %lld from %u", s, (long long)delta, whence);
    if (end(__wasi_fd_seek(slots[s].fd, delta, (uint8_t)whence, &now))) {
        printf(" at %llu", (unsigned long long)now);
    }
}

static void do_tell(void) {
    uint32_t s = file_slot();
    __wasi_filesize_t now = 0;

    if (!s) {
        return;
    }
    begin("tell");
    printf(" %u", s);
    if (end(__wasi_fd_tell(slots[s].fd, &now))) {
        printf(" at %llu", (unsigned long long)now);
    }
}

static void do_stat(void) {
    uint32_t s = slot(), follow = draw(2);
    bool by_path = one_in(2);
    __wasi_filestat_t st;

    begin(by_path ? "path_stat" : "stat");
    printf(" %u", s);
    if (by_path) {
        printf(" %s follow %u", make_path(path_a), follow);
    }
    if (end(by_path ? __wasi_path_filestat_get(slots[s].fd, follow, path_a, &st)
                    : __wasi_fd_filestat_get(slots[s].fd, &st))) {
        show_stat(&st);
    }
}

static void do_name(void) {
    static const char *const calls[] = {"mkdir", "mkdir", "rmdir", "unlink"};
    uint32_t s = slot(), which = draw(4);
    __wasi_errno_t error;

    begin(calls[which]);
    printf(" %u %s", s, make_path(path_a));
    if (which < 2) {
        error = __wasi_path_create_directory(slots[s].fd, path_a);
    } else {
        error = which == 2 ? __wasi_path_remove_directory(slots[s].fd, path_a)
                           : __wasi_path_unlink_file(slots[s].fd, path_a);
    }
    end(error);
}

static void do_two_names(void) {
    uint32_t s = slot(), to = slot();
    bool move = one_in(2);

    begin(move ? "rename" : "link");
    printf(" %u %s", s, make_path(path_a));
    printf(" %u %s", to, make_path(path_b));
    end(move ? __wasi_path_rename(slots[s].fd, path_a, slots[to].fd, path_b)
             : __wasi_path_link(slots[s].fd, 0, path_a, slots[to].fd, path_b));
}

static void do_symlink(void) {
    uint32_t s = slot();

    begin("symlink");
    printf(" to %s", make_path(path_a));
    printf(" %u %s", s, make_path(path_b));
    end(__wasi_path_symlink(path_a, slots[s].fd, path_b));
}

static void do_readlink(void) {
    uint32_t s = slot(), cap = one_in(4) ? draw(8) : 500;
    __wasi_size_t n = 0;

    begin("readlink");
    printf(" %u %s %u", s, make_path(path_a), cap);
    if (end(__wasi_path_readlink(slots[s].fd, path_a, list, cap, &n))) {
        printf(" %.*s", (int)n, (const char *)list);
    }
}

static int by_text(const void *a, const void *b) {
    return strcmp(a, b);
}

static void do_readdir(void) {
    static char names[64][48];
    uint32_t s = slot();
    __wasi_size_t used = 0;
    size_t n = 0;

    begin("readdir");
    printf(" %u", s);
    if (!end(__wasi_fd_readdir(slots[s].fd, list, LIST_MAX, 0, &used))) {
        return;
    }
    for (size_t at = 0; at + sizeof(__wasi_dirent_t) <= used && n < 64;) {
        __wasi_dirent_t e;

        memcpy(&e, list + at, sizeof(e));
        at += sizeof(e);
        snprintf(names[n++], sizeof(names[0]), "%.*s:%u", (int)e.d_namlen, (char *)list + at,
                 (unsigned)e.d_type);
        at += e.d_namlen;
    }
    qsort(names, n, sizeof(names[0]), by_text);
    for (size_t i = 0; i < n; i++) {
        printf(" %s", names[i]);
    }
}

static void do_size(void) {
    uint32_t s = file_slot();
    uint64_t size = draw(one_in(4) ? 30000 : 1500);

    if (!s) {
        return;
    }
    begin("set_size");
    printf(" %u %llu", s, (unsigned long long)size);
    end(__wasi_fd_filestat_set_size(slots[s].fd, size));
}

static void do_renumber(void) {
    uint32_t from = 1 + draw(SLOTS - 1), to = 1 + draw(SLOTS - 1);

    if (!slots[from].open || !slots[to].open) {
        return;
    }
    begin("renumber");
    printf(" %u to %u", from, to);
    if (end(__wasi_fd_renumber(slots[from].fd, slots[to].fd)) && from != to) {
        slots[from].open = false;
        slots[to].directory = slots[from].directory;
        slots[to].append = slots[from].append;
    }
}

static void do_flags(void) {
    uint32_t s = file_slot();
    uint16_t flags = one_in(2) ? __WASI_FDFLAGS_APPEND : 0;
    __wasi_fdstat_t st;

    if (!s) {
        return;
    }
    begin("flags");
    printf(" %u %u", s, flags);
    if (one_in(2)) {
        if (end(__wasi_fd_fdstat_set_flags(slots[s].fd, flags))) {
            slots[s].append = flags;
        }
    }
    if (end(__wasi_fd_fdstat_get(slots[s].fd, &st))) {
        printf(" type %u flags %u", (unsigned)st.fs_filetype, (unsigned)st.fs_flags);
    }
}

static void do_times(void) {
    bool by_path = one_in(2);
    uint32_t s = by_path ? slot() : file_slot(), follow = draw(2);
    uint64_t a = draw(100000) * 1000000007ULL, m = draw(100000) * 1000000009ULL;
    uint16_t flags =
        __WASI_FSTFLAGS_ATIM | __WASI_FSTFLAGS_MTIM | (one_in(10) ? __WASI_FSTFLAGS_MTIM_NOW : 0);
    __wasi_filestat_t st;
    __wasi_errno_t error;

    if (!by_path && !s) {
        return;
    }
    begin(by_path ? "path_times" : "times");
    printf(" %u", s);
    if (by_path) {
        printf(" %s follow %u", make_path(path_a), follow);
        error = __wasi_path_filestat_set_times(slots[s].fd, follow, path_a, a, m, flags);
    } else {
        error = __wasi_fd_filestat_set_times(slots[s].fd, a, m, flags);
    }
    if (end(error) && end(by_path ? __wasi_path_filestat_get(slots[s].fd, follow, path_a, &st)
                                  : __wasi_fd_filestat_get(slots[s].fd, &st))) {
        printf(" atim %llu mtim %llu", (unsigned long long)st.atim, (unsigned long long)st.mtim);
    }
}

static void do_sync(void) {
    uint32_t s = file_slot(), which = draw(3);

    if (!s) {
        return;
    }
    begin("sync");
    printf(" %u %u", s, which);
    end(which == 0   ? __wasi_fd_sync(slots[s].fd)
        : which == 1 ? __wasi_fd_datasync(slots[s].fd)
                     : __wasi_fd_advise(slots[s].fd, draw(100), draw(100), (uint8_t)draw(6)));
}

static bool find_directory(const char *name) {
    char found[256];
    __wasi_prestat_t p;

    for (__wasi_fd_t fd = 3; __wasi_fd_prestat_get(fd, &p) == 0; fd++) {
        size_t n = p.u.dir.pr_name_len;

        if (n < sizeof(found) && __wasi_fd_prestat_dir_name(fd, (uint8_t *)found, n) == 0 &&
            n == strlen(name) && memcmp(found, name, n) == 0) {
            slots[0].open = true;
            slots[0].fd = fd;
            slots[0].directory = true;
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv) {
    static void (*const calls[])(void) = {
        do_open,    do_open,  do_open,      do_open,      do_close,     do_read,
        do_read,    do_write, do_write,     do_write,     do_seek,      do_tell,
        do_stat,    do_stat,  do_name,      do_name,      do_name,      do_readdir,
        do_size,    do_flags, do_two_names, do_two_names, do_two_names, do_symlink,
        do_symlink, do_times, do_sync,      do_readlink,  do_renumber};

    if (argc != 4 || !find_directory(argv[3])) {
        fprintf(stderr, "usage: diff_random SEED CALLS DIRECTORY (a preopened one)\n");
        return 2;
    }
    state = strtoull(argv[1], NULL, 10) * 0x9E3779B97F4A7C15ULL + 1;
    for (unsigned long left = strtoul(argv[2], NULL, 10); left > 0; left--) {
        step++;
        calls[draw(sizeof(calls) / sizeof(calls[0]))]();
        printf("\n");
    }
    return 0;
}
