/* What the C library makes of files, section by section: `diff_files DIRECTORY SECTION`. Prints
 * every result, so that two runtimes can be compared line by line; compiled for Linux itself, it
 * says what an ordinary program would see. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#ifdef __wasi__
#include <wasi/libc.h>
#endif

static char where[512];

static const char *at(const char *name) {
    static char paths[4][1024];
    static unsigned turn;
    char *to = paths[turn++ % 4];

    snprintf(to, sizeof(paths[0]), "%s/%s", where, name);
    return to;
}

static const char *name_of(int error) {
    static const struct {
        int number;
        const char *name;
    } names[] = {{EACCES, "EACCES"},       {EBADF, "EBADF"},
                 {EBUSY, "EBUSY"},         {EEXIST, "EEXIST"},
                 {EINVAL, "EINVAL"},       {EISDIR, "EISDIR"},
                 {ELOOP, "ELOOP"},         {ENAMETOOLONG, "ENAMETOOLONG"},
                 {ENOENT, "ENOENT"},       {ENOTDIR, "ENOTDIR"},
                 {ENOTEMPTY, "ENOTEMPTY"}, {ENOTSUP, "ENOTSUP"},
                 {EPERM, "EPERM"},         {EXDEV, "EXDEV"}};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (names[i].number == error) {
            return names[i].name;
        }
    }
    return "another error";
}

static long long said(const char *what, long long got) {
    if (got < 0) {
        printf("%s: %s\n", what, name_of(errno));
    } else {
        printf("%s: %lld\n", what, got);
    }
    return got;
}

static int opened(const char *name, int flags) {
    int fd = open(at(name), flags, 0666);

    printf("open %s: %s\n", name, fd < 0 ? name_of(errno) : "ok");
    return fd;
}

static void show(const char *name) {
    char text[4096];
    struct stat st;
    int fd;

    if (lstat(at(name), &st) < 0) {
        printf("%s: %s\n", name, name_of(errno));
        return;
    }
    printf("%s: %s", name,
           S_ISDIR(st.st_mode)   ? "folder"
           : S_ISLNK(st.st_mode) ? "link"
           : S_ISREG(st.st_mode) ? "file"
                                 : "?");
    if (!S_ISDIR(st.st_mode)) {
        printf(" size %lld links %u", (long long)st.st_size, (unsigned)st.st_nlink);
    }
    fd = open(at(name), O_RDONLY);
    if (fd < 0) {
        printf(" open %s\n", name_of(errno));
        return;
    }
    ssize_t n = read(fd, text, sizeof(text));

    if (n < 0) {
        printf(" read %s\n", name_of(errno));
    } else {
        printf(" holds %zd:", n);
        for (ssize_t i = 0; i < n && i < 80; i++) {
            printf("%c", text[i] >= ' ' && text[i] < 127 ? text[i] : '.');
        }
        printf("\n");
    }
    close(fd);
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_in(const char *name) {
    DIR *d = opendir(at(name));
    char **names = NULL;
    size_t n = 0;

    if (!d) {
        printf("opendir %s: %s\n", name, name_of(errno));
        return;
    }
    for (struct dirent *e; (e = readdir(d));) {
        names = realloc(names, (n + 1) * sizeof(*names));
        if (!names || asprintf(&names[n++], "%s%s", e->d_name,
                               e->d_type == DT_DIR   ? "/"
                               : e->d_type == DT_LNK ? "@"
                                                     : "") < 0) {
            abort();
        }
    }
    closedir(d);
    if (n) {
        qsort(names, n, sizeof(*names), compare);
    }
    printf("%s has %zu entries\n", name, n);
    for (size_t i = 0; i < n; i++) {
        printf("  %s\n", names[i]);
        free(names[i]);
    }
    free(names);
}

static void creating(void) {
    int fd = opened("new", O_CREAT | O_EXCL | O_RDWR);

    said("write", write(fd, "0123456789", 10));
    said("close", close(fd));
    said("close again", close(fd));
    opened("new", O_CREAT | O_EXCL | O_RDWR);
    opened("none", O_RDONLY);
    opened("none/below", O_CREAT | O_RDWR);
    opened("new/below", O_CREAT | O_RDWR);
    opened("slash/", O_CREAT | O_RDWR);
    opened("new/", O_RDONLY);
    said("mkdir", mkdir(at("dir"), 0777));
    said("mkdir slash", mkdir(at("dir2/"), 0777));
    opened("dir", O_RDWR);
    opened("dir", O_CREAT | O_EXCL | O_RDWR);
    fd = opened("dir", O_RDONLY | O_DIRECTORY);
    said("read a directory", read(fd, where + sizeof(where) - 1, 1));
    close(fd);
    opened("new", O_RDONLY | O_DIRECTORY);
    fd = opened("new", O_RDONLY);
    said("write to a read-only descriptor", write(fd, "x", 1));
    close(fd);
    fd = opened("new", O_WRONLY);
    said("read from a write-only descriptor", read(fd, where + sizeof(where) - 1, 1));
    close(fd);
    show("new");
    names_in("");
}

static void writing(void) {
    char text[64];
    int fd = opened("f", O_CREAT | O_RDWR), ap;

    said("write", write(fd, "hello, world", 12));
    said("seek past the end", lseek(fd, 20, SEEK_SET));
    said("read there", read(fd, text, sizeof(text)));
    said("write there", write(fd, "far", 3));
    show("f");
    ap = opened("f", O_WRONLY | O_APPEND);
    said("append", write(ap, "+end", 4));
    said("append's position", lseek(ap, 0, SEEK_CUR));
    said("seek in an append", lseek(ap, 2, SEEK_SET));
    said("append", write(ap, "+more", 5));
    said("append's position", lseek(ap, 0, SEEK_CUR));
    said("pwrite", pwrite(fd, "JELLY", 5, 0));
    said("pread", pread(fd, text, 12, 0));
    printf("%.12s\n", text);
    said("position", lseek(fd, 0, SEEK_CUR));
    said("seek before the start", lseek(fd, -1, SEEK_SET));
    said("seek from the end", lseek(fd, -4, SEEK_END));
    said("read", read(fd, text, sizeof(text)));
    said("at the end", read(fd, text, sizeof(text)));
    said("truncate", ftruncate(fd, 5));
    show("f");
    said("grow", ftruncate(fd, 9));
    show("f");
    said("negative", ftruncate(fd, -1));
    said("allocate", posix_fallocate(fd, 4, 20));
    said("write nothing", write(fd, text, 0));
    close(fd);
    close(ap);
    fd = opened("f", O_WRONLY | O_TRUNC);
    close(fd);
    show("f");
    fd = opened("sparse", O_CREAT | O_RDWR);
    said("far away", pwrite(fd, "!", 1, 5000000));
    said("a hole", pread(fd, text, 8, 4000000));
    printf("%d\n", memcmp(text, "\0\0\0\0\0\0\0\0", 8));
    said("sync", fsync(fd));
    said("datasync", fdatasync(fd));
    close(fd);
}

/* One call each: how much of it is done at once. */
static void large(void) {
    enum { N = 900000 };
    static char out[N], in[N + 1];
    struct iovec parts[3] = {{in, 1000}, {in + 1000, 300000}, {in + 301000, N - 301000}};
    int fd = opened("f", O_CREAT | O_RDWR);

    for (int i = 0; i < N; i++) {
        out[i] = (char)(i * 31 + i / 251);
    }
    said("write", write(fd, out, N));
    said("pread", pread(fd, in, sizeof(in), 0));
    printf("same: %d\n", memcmp(in, out, N) == 0);
    memset(in, 0, sizeof(in));
    said("seek", lseek(fd, 0, SEEK_SET));
    for (int i = 0; i < 3; i++) { /* a readv may fill one part only: it is asked for one */
        said("readv", readv(fd, &parts[i], 1));
    }
    printf("same: %d\n", memcmp(in, out, N) == 0);
    said("read at the end", read(fd, in, N));
    close(fd);
}

static void put(const char *name, const char *text) {
    int fd = open(at(name), O_CREAT | O_TRUNC | O_WRONLY, 0666);

    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text) || close(fd) < 0) {
        printf("put %s: %s\n", name, name_of(errno));
    }
}

static void renaming(void) {
    put("a", "I am a");
    put("b", "I am b");
    said("mkdir", mkdir(at("d"), 0777));
    said("mkdir", mkdir(at("e"), 0777));
    put("e/inside", "deep");
    int fd = opened("b", O_RDONLY);
    said("rename over a file", rename(at("a"), at("b")));
    char text[16] = "";
    said("read what was replaced", read(fd, text, sizeof(text)));
    printf("%s\n", text);
    close(fd);
    show("a");
    show("b");
    said("file over directory", rename(at("b"), at("d")));
    said("directory over file", rename(at("d"), at("b")));
    said("directory over full directory", rename(at("d"), at("e")));
    said("directory over empty directory", rename(at("e"), at("d")));
    said("into itself", rename(at("d"), at("d/x")));
    said("itself", rename(at("b"), at("b")));
    said("nothing", rename(at("zero"), at("b")));
    said("into nothing", rename(at("b"), at("zero/b")));
    said("with a slash", rename(at("b/"), at("c")));
    said("directory to a slash", rename(at("d"), at("g/")));
    names_in("");
    names_in("g");
}

static void linking(void) {
    char text[64] = "";

    put("file", "content");
    said("link", link(at("file"), at("second")));
    said("link again", link(at("file"), at("second")));
    show("second");
    put("second", "changed through the second name");
    show("file");
    said("unlink", unlink(at("file")));
    show("second");
    said("symlink", symlink("second", at("soft")));
    said("readlink", readlink(at("soft"), text, sizeof(text)));
    printf("%s\n", text);
    said("readlink short", readlink(at("soft"), text, 3));
    said("readlink of a file", readlink(at("second"), text, sizeof(text)));
    show("soft");
    said("symlink over", symlink("x", at("soft")));
    said("symlink to nothing", symlink("nowhere", at("dangling")));
    opened("dangling", O_RDONLY);
    opened("dangling", O_CREAT | O_EXCL | O_RDWR);
    opened("soft", O_RDONLY | O_NOFOLLOW);
    said("loop", symlink("loop", at("loop")));
    opened("loop", O_RDONLY);
    said("mkdir", mkdir(at("d"), 0777));
    said("link to a directory", symlink("d", at("dlink")));
    put("dlink/through", "through a link");
    show("d/through");
    said("rmdir of a link", rmdir(at("dlink")));
    said("unlink of a link with a slash", unlink(at("dlink/")));
    said("hard link of a directory", link(at("d"), at("d2")));
    said("hard link of a link", link(at("soft"), at("soft2")));
    show("soft2");
    said("up", symlink("../second", at("d/up")));
    show("d/up");
    said("empty", symlink("", at("empty")));
    said("unlink the link", unlink(at("dlink")));
    names_in("");
}

static void removing(void) {
    int fd;
    char text[16] = "";

    put("f", "still here");
    said("mkdir", mkdir(at("d"), 0777));
    said("mkdir", mkdir(at("d/e"), 0777));
    fd = opened("f", O_RDWR);
    said("unlink", unlink(at("f")));
    said("unlink again", unlink(at("f")));
    said("read", read(fd, text, 10));
    printf("%s\n", text);
    said("write", write(fd, "more", 4));
    said("size", lseek(fd, 0, SEEK_END));
    struct stat st;
    said("fstat", fstat(fd, &st));
    printf("links %u size %lld\n", (unsigned)st.st_nlink, (long long)st.st_size);
    close(fd);
    said("unlink a directory", unlink(at("d/e")));
    said("rmdir a full one", rmdir(at("d")));
    put("d/f", "");
    said("rmdir a file", rmdir(at("d/f")));
    said("rmdir", rmdir(at("d/e")));
    said("rmdir again", rmdir(at("d/e")));
    said("unlink", unlink(at("d/f")));
    fd = opened("d", O_RDONLY | O_DIRECTORY);
    said("rmdir an open one", rmdir(at("d")));
    said("openat in it", openat(fd, "x", O_CREAT | O_RDWR, 0666));
    close(fd);
    said("remove", remove(at("d")));
    names_in("");
}

static void many(void) {
    char name[64], deep[700] = "deep";

    said("mkdir", mkdir(at("many"), 0777));
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "many/entry-%d-%s", i, i % 7 ? "x" : "a-much-longer-name");
        put(name, "");
    }
    names_in("many");
    said("mkdir", mkdir(at(deep), 0777));
    for (int i = 0; i < 60; i++) {
        size_t n = strlen(deep);

        snprintf(deep + n, sizeof(deep) - n, "/level-%d", i);
        if (mkdir(at(deep), 0777) < 0) {
            said("mkdir", -1);
        }
    }
    snprintf(deep + strlen(deep), sizeof(deep) - strlen(deep), "/bottom");
    put(deep, "the bottom");
    show(deep);
}

/* Where Wasmtime differs from Linux in what it does, not only in the errno. */
static void strict(void) {
    char name[300];
    struct stat st;
    int seen = 0, rewound = 0;
    DIR *d;

    put("b", "");
    said("mkdir", mkdir(at("d"), 0777));
    said("mkdir", mkdir(at("d/e"), 0777));
    said("rename a file to a slash", rename(at("b"), at("c/")));
    said("stat a file with a slash", lstat(at("b/"), &st));
    said("symlink", symlink("b", at("l")));
    said("stat below a link to a file", lstat(at("l/."), &st));
    said("rmdir with a slash", rmdir(at("d/e/")));
    said("mkdir with a slash", mkdir(at("d/e/"), 0777));
    said("create in place of a folder", open(at("d"), O_CREAT | O_RDONLY, 0666));
    said("create where a link leads out", symlink("../../../../../../x", at("out")));
    said("exclusively", open(at("out"), O_CREAT | O_EXCL | O_RDWR, 0666));
    said("mkdir", mkdir(at("many"), 0777));
    for (int i = 0; i < 1500; i++) {
        snprintf(name, sizeof(name), "many/entry-%d", i);
        put(name, "");
    }
    d = opendir(at("many"));
    for (struct dirent *e; (e = readdir(d)); seen++) {
        if (strncmp(e->d_name, "entry", 5) == 0) { /* removing while reading */
            snprintf(name, sizeof(name), "many/%s", e->d_name);
            unlink(at(name));
        }
    }
    rewinddir(d);
    while (readdir(d)) {
        rewound++;
    }
    closedir(d);
    printf("seen %d, after removing %d\n", seen, rewound);
    said("rmdir", rmdir(at("many")));
}

static void times(void) {
    struct timespec set[2] = {{1000000000, 123456789}, {2000000000, 987654321}};
    struct timespec omit[2] = {{0, UTIME_OMIT}, {5, 5}};
    struct stat st;
    int fd;

    put("f", "x");
    said("utimensat", utimensat(AT_FDCWD, at("f"), set, 0));
    said("stat", stat(at("f"), &st));
    printf("%lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    fd = opened("f", O_RDWR);
    said("futimens", futimens(fd, omit));
    said("fstat", fstat(fd, &st));
    printf("%lld.%09ld %lld.%09ld\n", (long long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
           (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    close(fd);
    said("symlink", symlink("f", at("l")));
    said("the link's own", utimensat(AT_FDCWD, at("l"), set, AT_SYMLINK_NOFOLLOW));
    said("lstat", lstat(at("l"), &st));
    printf("%lld.%09ld\n", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    said("stat", stat(at("f"), &st));
    printf("%lld.%09ld\n", (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    said("of nothing", utimensat(AT_FDCWD, at("none"), set, 0));
}

#ifdef __wasi__
static void leaving(void) {
    struct stat st;

    said("mkdir", mkdir(at("d"), 0777));
    said("out", symlink("../../../../../../../../etc/passwd", at("d/out")));
    opened("d/out", O_RDONLY);
    opened("../../../../etc/passwd", O_RDONLY);
    said("stat", stat(at("d/out"), &st));
    said("lstat", lstat(at("d/out"), &st));
    said("absolute", symlink("/etc/passwd", at("abs")));
    said("up and back", symlink("../../d", at("d/back")));
    opened("d/back/x", O_CREAT | O_RDWR);
    said("mkdir outside", mkdir(at("../outside"), 0777));
    said("rename out", rename(at("d"), at("../outside")));
    names_in("d");
}

static void numbers(void) {
    int a, b;
    char text[8] = "";

    put("a", "AAAA");
    put("b", "BBBB");
    a = opened("a", O_RDONLY);
    b = opened("b", O_RDONLY);
    printf("numbers differ: %d\n", a != b);
    said("read", read(a, text, 2));
    said("renumber", __wasilibc_fd_renumber(a, b));
    said("read the old number", read(a, text, 2));
    said("read the new number", read(b, text + 2, 2));
    printf("%.4s\n", text);
    said("onto itself", __wasilibc_fd_renumber(b, b));
    said("from nothing", __wasilibc_fd_renumber(a, b));
    said("close", close(b));
    for (int i = 0; i < 300; i++) {
        a = open(at("a"), O_RDONLY);
        b = open(at("b"), O_RDONLY);
        if (a < 0 || b < 0 || __wasilibc_fd_renumber(a, b) < 0 || close(b) < 0) {
            said("renumber in a loop", -1);
        }
    }
    a = opened("a", O_RDONLY);
    said("no descriptor leaked", a < 16 ? 0 : a);
    said("stdout elsewhere", __wasilibc_fd_renumber(a, 0));
    said("standard input is the file", read(0, text, 4));
    printf("%.4s\n", text);
}
#endif

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } sections[] = {
        {"creating", creating}, {"writing", writing},   {"renaming", renaming},
        {"linking", linking},   {"removing", removing}, {"many", many},
        {"times", times},       {"large", large},       {"strict", strict},
#ifdef __wasi__
        {"leaving", leaving},   {"numbers", numbers},
#endif
    };

    if (argc != 3 || strlen(argv[1]) >= sizeof(where) - 1) {
        fprintf(stderr, "usage: diff_files DIRECTORY SECTION\n");
        return 2;
    }
    snprintf(where, sizeof(where), "%s", strcmp(argv[1], "/") == 0 ? "" : argv[1]);
    for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        if (strcmp(argv[2], sections[i].name) == 0) {
            sections[i].run();
            return 0;
        }
    }
    fprintf(stderr, "diff_files: no section %s\n", argv[2]);
    return 2;
}
