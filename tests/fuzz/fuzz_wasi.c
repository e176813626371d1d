/* WASI calls with arguments that nobody sane would pass: the input is a program of calls over
 * 64 KiB of memory, a private directory and four mapped ones with unequal rights. Nothing may
 * crash, no call may write outside of the memory it was given (its end is followed by poisoned
 * bytes under ASan), nothing may appear in the directory around them, and what a grant does not let
 * be changed is as it was.
 *
 * Input: records of a byte that picks the function, then for each parameter a byte that says how to
 * make it: below 0x80 a small number, else a little-endian number of 2, 4 or 8 bytes that follow.
 * Function byte 0xff: the next byte says how many bytes go to memory, at a 2-byte address. */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "microsandbox/wasi_impl.h"

enum { MEMORY = 65536, CALLS_MAX = 256, RETRIES_MAX = 4 };

struct input {
    const uint8_t *p, *end;
};

static uint64_t number(struct input *in, unsigned bytes) {
    uint64_t v = 0;

    for (unsigned i = 0; i < bytes && in->p < in->end; i++) {
        v |= (uint64_t)*in->p++ << (8 * i);
    }
    return v;
}

static uint64_t argument(struct input *in) {
    uint8_t how = (uint8_t)number(in, 1);

    return how < 0x80 ? how : number(in, 2U << (how & 3) > 8 ? 8 : 2U << (how & 3));
}

/* The mapped directories: m may be changed, r only read; in d names may be changed and files only
 * read, in f the other way round. Each holds a file, a directory and a link out. */
static const struct {
    const char *name;
    uint8_t dir_perms, file_perms;
} grants[] = {{"m", 3, 3}, {"r", 1, 1}, {"d", 3, 1}, {"f", 1, 3}};
enum { GRANTS = sizeof(grants) / sizeof(grants[0]) };
#define KEPT "what is in the file"

static char dir[64], workspace[96], mapped[GRANTS][96];

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void clear(void) {
    (void)nftw(workspace, drop, 16, FTW_DEPTH | FTW_PHYS);
    for (size_t i = 0; i < GRANTS; i++) {
        (void)nftw(mapped[i], drop, 16, FTW_DEPTH | FTW_PHYS);
    }
}

static void leave(void) {
    clear();
    (void)rmdir(dir);
}

static void furnish(const char *path) {
    int at, fd;

    SH_ASSERT(mkdir(path, 0700) == 0);
    at = open(path, O_RDONLY | O_DIRECTORY);
    fd = openat(at, "f", O_WRONLY | O_CREAT | O_EXCL, 0600);
    SH_ASSERT(fd >= 0 && write(fd, KEPT, strlen(KEPT)) == (ssize_t)strlen(KEPT));
    SH_ASSERT(mkdirat(at, "d", 0700) == 0 && symlinkat("../..", at, "l") == 0);
    (void)close(fd);
    (void)close(at);
}

static void make(void) {
    if (!dir[0]) {
        (void)snprintf(dir, sizeof(dir), "%s/shannon-fuzz.XXXXXX",
                       access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
        SH_ASSERT(mkdtemp(dir));
        (void)snprintf(workspace, sizeof(workspace), "%s/w", dir);
        for (size_t i = 0; i < GRANTS; i++) {
            (void)snprintf(mapped[i], sizeof(mapped[i]), "%s/%s", dir, grants[i].name);
        }
        (void)atexit(leave);
    }
    SH_ASSERT(mkdir(workspace, 0700) == 0);
    for (size_t i = 0; i < GRANTS; i++) {
        furnish(mapped[i]);
    }
}

/* What is below path, as text: names and, if asked, what is in the files. */
static void look(struct sh_buf *b, const char *path, bool files) {
    DIR *d = opendir(path);

    SH_ASSERT(d);
    for (struct dirent *e; (e = readdir(d));) {
        sh_auto(sh_free_p) char *inner = sh_asprintf("%s/%s", path, e->d_name);
        struct stat st;

        if (e->d_name[0] == '.' || lstat(inner, &st) != 0) {
            continue;
        }
        sh_buf_addf(b, "%s %o\n", e->d_name, (unsigned)(st.st_mode & S_IFMT));
        if (S_ISDIR(st.st_mode)) {
            look(b, inner, files);
        } else if (S_ISREG(st.st_mode) && files) {
            char text[256];
            int fd = open(inner, O_RDONLY | O_NOFOLLOW);
            ssize_t got = read(fd, text, sizeof(text));

            sh_buf_add(b, text, got > 0 ? (size_t)got : 0);
            sh_buf_addf(b, "%lld\n", (long long)st.st_mtim.tv_sec);
            (void)close(fd);
        }
    }
    (void)closedir(d);
}

/* A grant's directory as far as its rights keep it the same. */
static void keeps(size_t i, struct sh_buf *b) {
    bool names = !(grants[i].dir_perms & 2), files = !(grants[i].file_perms & 2);

    sh_buf_init(b, 64 * SH_KIB);
    if (names) {
        look(b, mapped[i], files);
    }
}

/* Only the directories may be there. */
static void check(void) {
    DIR *d = opendir(dir);
    int n = 0;

    SH_ASSERT(d);
    for (struct dirent *e; (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    (void)closedir(d);
    SH_ASSERT(n == 1 + GRANTS);
}

static void complete(struct sh_guest *g) {
    sh_guest_push(g, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                            .seq = (uint64_t)g->wait.handles[0],
                                            .number = (uint64_t)g->wait.handles[0],
                                            .bytes = SH_STR("{}")});
}

/* A connection's answer: what the call wants to hear, or bytes of the input. */
static void answer_net(struct sh_guest *g, struct input *in) {
    const struct sh_net_ask *q = &g->wait.net;
    uint8_t how = (uint8_t)number(in, 1);
    struct sh_buf b;

    SH_ASSERT(q->kind && (strcmp(q->kind, SH_NET_OPEN) != 0 || (*q->host && q->port)));
    SH_ASSERT(q->bytes.len <= SH_NET_PIECE_MAX && q->n_poll <= SH_NET_CONNECTIONS_MAX);
    if (g->wait.n_handles && how & 8) { /* a mixture: a result ends it, too */
        complete(g);
        return;
    }
    sh_buf_init(&b, SH_MIB);
    sh_buf_add(&b, q->question.p, q->question.len);
    if (how & 1) {
        for (unsigned i = 0; i < how / 8U; i++) {
            sh_buf_u8(&b, (uint8_t)number(in, 1));
        }
    } else {
        sh_buf_u32(&b, how & 2 ? E_CONNRESET : 0);
        if (strcmp(q->kind, SH_NET_POLL) == 0 || strcmp(q->kind, SH_POLL) == 0) {
            sh_buf_u8(&b, how & 4);
            for (size_t i = 0; i < q->n_poll; i++) {
                sh_buf_u32(&b, how & 4 ? 0 : how);
            }
            sh_buf_u8(&b, how & 16);
            sh_buf_bytes32(&b, how & 32 ? SH_STR("typed") : (struct sh_str){NULL, 0});
        } else {
            sh_buf_bytes32(&b, how & 4 ? (struct sh_str){NULL, 0} : SH_STR("from the peer"));
        }
    }
    sh_guest_push(g, &(struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                            .number = g->wait.call_number,
                                            .what = sh_str(q->kind),
                                            .bytes = sh_buf_str(&b)});
    sh_buf_done(&b);
}

/* Whatever it is, a target has a host and a port. */
static void check_path(const uint8_t *data, size_t size) {
    sh_auto(sh_free_p) char *path = sh_strndup0((const char *)data, size);
    struct sh_net_path p;

    if (sh_net_path(path, &p) == 0 && p.kind == SH_NET_TARGET) {
        SH_ASSERT(p.port && *p.host && strlen(p.host) < sizeof(p.host));
        SH_ASSERT(!strpbrk(p.host, "/@?#%\\ \r\n"));
    }
}

static void call(struct sh_guest *g, struct sh_wasi *w, struct sh_mem *m, struct input *in,
                 uint8_t which) {
    const struct sh_wasi_function *f = &sh_wasi_functions[which % sh_wasi_functions_n];
    uint64_t a[9] = {0};
    int rc;

    for (size_t i = 0; f->params[i]; i++) {
        a[i] = argument(in);
        if (f->params[i] == 'i') {
            a[i] = (uint32_t)a[i];
        }
    }
    memset(&g->call, 0, sizeof(g->call));
    for (int i = 0; i < RETRIES_MAX; i++) {
        rc = f->fn(w, m, a);
        SH_ASSERT(rc == SH_CALL_PENDING || rc == SH_CALL_END || (rc >= 0 && rc <= 76));
        if (rc != SH_CALL_PENDING) {
            return;
        }
        SH_ASSERT(f->may_wait);
        (void)sh_guest_line_read(g);
        g->woken = g->wait.kind == SH_WAIT_SLEEP;
        if (g->wait.kind == SH_WAIT_ACTIVITY) {
            complete(g);
        }
        if (g->wait.kind == SH_WAIT_NET) {
            answer_net(g, in);
        }
        sh_guest_effects_taken(g);
    }
}

static void run(struct sh_guest *g, struct sh_wasi *w, struct sh_mem *m, struct input *in) {
    for (int calls = 0; in->p < in->end && calls < CALLS_MAX && !g->ended; calls++) {
        uint8_t which = *in->p++;

        if (which == 0xff) {
            size_t n = (size_t)number(in, 1), at = (size_t)number(in, 2);

            n = n < (size_t)(in->end - in->p) ? n : (size_t)(in->end - in->p);
            n = n < MEMORY - at ? n : MEMORY - at;
            memcpy(m->base + at, in->p, n);
            in->p += n;
        } else {
            call(g, w, m, in, which);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input in = {data, data + size};
    struct sh_mount mounts[GRANTS];
    char scheme[] = "tcp", host[] = "*";
    struct sh_net_rule net = {.scheme = scheme, .host = host, .port = 7};
    struct sh_capabilities caps = {.mounts = mounts,
                                   .net = &net,
                                   .n_net = 1,
                                   .n_mounts = GRANTS,
                                   .limits = {.workspace_bytes = SH_MIB, .output_bytes = SH_MIB}};
    static const char *const argv[] = {"fuzz", "x", NULL};
    struct sh_agent_config config = {.caps = &caps,
                                     .argv = argv,
                                     .workspace = workspace,
                                     .stdin_bytes = SH_STR("standard input"),
                                     .observe = true};
    struct sh_mem m = {sh_zalloc(MEMORY), MEMORY};
    struct sh_guest g;
    struct sh_wasi *w;
    struct sh_err err = {0};
    struct sh_buf before[GRANTS], after;
    char guest[GRANTS][4];

    check_path(data, size);
    make();
    for (size_t i = 0; i < GRANTS; i++) {
        (void)snprintf(guest[i], sizeof(guest[i]), "/%s", grants[i].name);
        mounts[i] = (struct sh_mount){.host = mapped[i],
                                      .guest = guest[i],
                                      .dir_perms = grants[i].dir_perms,
                                      .file_perms = grants[i].file_perms,
                                      .bytes = SH_MIB};
        keeps(i, &before[i]);
    }
    sh_guest_init(&g, &config);
    SH_ASSERT(sh_wasi_new(&g, &w, &err) == 0);
    run(&g, w, &m, &in);
    sh_wasi_free(w);
    sh_guest_done(&g);
    sh_free(m.base);
    check();
    for (size_t i = 0; i < GRANTS; i++) {
        keeps(i, &after);
        SH_ASSERT(sh_str_eq(sh_buf_str(&before[i]), sh_buf_str(&after)));
        sh_buf_done(&before[i]);
        sh_buf_done(&after);
    }
    clear();
    return 0;
}
