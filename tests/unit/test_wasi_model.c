/* Random sequences of file calls against a small model of a directory tree: after each, the answer
 * is the one that the model gives, and in the end names, kinds and bytes are the same. Private and
 * mapped directories alike. Where two things are wrong at once, any error
 * will do. A failure prints its seed; SHANNON_MODEL_SEED repeats it. */
#include <stdlib.h>

#include "../lib/wasi_fixture.h"

enum { SEQUENCES = 150, SEQUENCES_LONG = 2000, CALLS = 60, NODES = 40, BYTES = 64 };

struct node {
    bool used, dir;
    int parent, file; /* file: index of the content, shared by hard links */
    char name[4];
};
struct content {
    uint8_t bytes[BYTES];
    size_t len;
    int links;
};

static struct node nodes[NODES]; /* 0 is the root */
static struct content contents[NODES];
static uint64_t state;
static struct fx fx;

static unsigned dice(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 20) % n);
}

/* --- the model ------------------------------------------------------------------------------- */

static int child(int parent, const char *name) {
    for (int i = 1; i < NODES; i++) {
        if (nodes[i].used && nodes[i].parent == parent && strcmp(nodes[i].name, name) == 0) {
            return i;
        }
    }
    return -1;
}

static bool empty(int dir) {
    for (int i = 1; i < NODES; i++) {
        if (nodes[i].used && nodes[i].parent == dir) {
            return false;
        }
    }
    return true;
}

static bool within(int node, int dir) {
    for (; node > 0; node = nodes[node].parent) {
        if (node == dir) {
            return true;
        }
    }
    return false;
}

struct place { /* of a path: the directory and the last name; error: why there is none */
    int dir, node, error;
    char name[4], path[16];
};

/* One or two names out of three. */
static struct place random_place(void) {
    struct place p = {.dir = 0};
    char first[4];

    if (dice(2)) {
        (void)snprintf(first, sizeof(first), "%c", 'a' + (int)dice(3));
        p.dir = child(0, first);
        p.error = p.dir < 0 ? E_NOENT : nodes[p.dir].dir ? 0 : E_NOTDIR;
        (void)snprintf(p.name, sizeof(p.name), "%c", 'a' + (int)dice(3));
        (void)snprintf(p.path, sizeof(p.path), "%s/%s", first, p.name);
    } else {
        (void)snprintf(p.name, sizeof(p.name), "%c", 'a' + (int)dice(3));
        (void)snprintf(p.path, sizeof(p.path), "%s", p.name);
    }
    p.node = p.error ? -1 : child(p.dir, p.name);
    return p;
}

static void add(const struct place *p, bool dir, int file) {
    for (int i = 1; i < NODES; i++) {
        if (!nodes[i].used) {
            nodes[i] = (struct node){.used = true, .dir = dir, .parent = p->dir, .file = file};
            memcpy(nodes[i].name, p->name, sizeof(p->name));
            return;
        }
    }
    ck_abort_msg("the model is full");
}

static int new_content(void) {
    for (int i = 0; i < NODES; i++) {
        if (contents[i].links == 0) {
            contents[i] = (struct content){.links = 1};
            return i;
        }
    }
    return -1;
}

static void drop(int node) {
    if (!nodes[node].dir) {
        contents[nodes[node].file].links--;
    }
    nodes[node].used = false;
}

/* --- one call, by the model and by the code --------------------------------------------------- */

enum { SOME_ERROR = -1 };

static int model_rename(const struct place *from, const struct place *to) {
    int target = to->node, node = from->node;

    if (to->error) {
        return from->error || node < 0 ? SOME_ERROR : to->error;
    }
    if (node < 0) {
        return from->error ? from->error : E_NOENT;
    }
    if (nodes[node].dir && within(to->dir, node)) {
        return target >= 0 ? SOME_ERROR : E_INVAL;
    }
    if (target >= 0 && target != node) {
        if (nodes[target].dir && within(node, target)) {
            return SOME_ERROR; /* it is not empty, and perhaps of another kind */
        }
        if (nodes[node].dir != nodes[target].dir) {
            return nodes[target].dir ? E_ISDIR : E_NOTDIR;
        }
        if (nodes[target].dir && !empty(target)) {
            return E_NOTEMPTY;
        }
        if (!nodes[node].dir && nodes[node].file == nodes[target].file) {
            return E_OK; /* two names of one file: nothing happens */
        }
        drop(target);
    }
    nodes[node].parent = to->dir;
    memcpy(nodes[node].name, to->name, sizeof(to->name));
    return E_OK;
}

static int model_link(const struct place *from, const struct place *to) {
    int missing = from->error ? from->error : from->node < 0 ? E_NOENT : 0;
    int taken = to->error ? to->error : to->node >= 0 ? E_EXIST : 0;
    int kind = !missing && nodes[from->node].dir ? E_PERM : 0;

    if (missing || taken || kind) {
        return (missing || kind) && taken ? SOME_ERROR : missing + taken + kind;
    }
    contents[nodes[from->node].file].links++;
    add(to, false, nodes[from->node].file);
    return E_OK;
}

/* Open to write, with O_CREAT and perhaps O_EXCL or O_TRUNC, at an offset. */
static int write_at(const struct place *p, unsigned oflags, size_t at, const char *text,
                    int *ret_wanted) {
    int fd = fx_open(&fx, 3, p->path, oflags, FX_RW | R_FD_SEEK);
    struct content *c;

    *ret_wanted = p->error               ? p->error
                  : p->node < 0          ? E_OK
                  : oflags & O_WASI_EXCL ? E_EXIST
                  : nodes[p->node].dir   ? E_ISDIR
                                         : E_OK;
    if (fd < 0 || *ret_wanted) {
        return fd < 0 ? -fd : E_OK;
    }
    if (p->node < 0) {
        add(p, false, new_content());
    }
    c = &contents[nodes[child(p->dir, p->name)].file];
    if (oflags & O_WASI_TRUNC) {
        memset(c, 0, offsetof(struct content, links));
    }
    fx_iov(&fx, FX_DATA, (uint32_t)fx_put(&fx, FX_DATA, text));
    ck_assert_int_eq(fx_call(&fx, "fd_pwrite", (uint64_t)fd, FX_IOV, 1, at, FX_OUT), E_OK);
    memcpy(c->bytes + at, text, strlen(text));
    c->len = c->len < at + strlen(text) ? at + strlen(text) : c->len;
    ck_assert_int_eq(fx_close(&fx, fd), E_OK);
    return E_OK;
}

static void one_call(uint64_t seed, int step) {
    struct place p = random_place(), q;
    int wanted, got;
    unsigned which = dice(7);

    switch (which) {
    case 0:
        got = fx_path(&fx, "path_create_directory", 3, p.path);
        wanted = p.error ? p.error : p.node >= 0 ? E_EXIST : E_OK;
        if (!wanted) {
            add(&p, true, 0);
        }
        break;
    case 1:
        got = fx_path(&fx, "path_unlink_file", 3, p.path);
        wanted = p.error ? p.error : p.node < 0 ? E_NOENT : nodes[p.node].dir ? E_ISDIR : E_OK;
        if (!wanted) {
            drop(p.node);
        }
        break;
    case 2:
        got = fx_path(&fx, "path_remove_directory", 3, p.path);
        wanted = p.error              ? p.error
                 : p.node < 0         ? E_NOENT
                 : !nodes[p.node].dir ? E_NOTDIR
                 : !empty(p.node)     ? E_NOTEMPTY
                                      : E_OK;
        if (!wanted) {
            drop(p.node);
        }
        break;
    case 3:
        q = random_place();
        got = fx_rename(&fx, 3, p.path, 3, q.path);
        wanted = model_rename(&p, &q);
        break;
    case 4:
        q = random_place();
        got = fx_link(&fx, 3, p.path, 3, q.path);
        wanted = model_link(&p, &q);
        break;
    default: {
        static const unsigned flags[] = {O_WASI_CREAT, O_WASI_CREAT | O_WASI_EXCL,
                                         O_WASI_CREAT | O_WASI_TRUNC};

        got = write_at(&p, flags[dice(3)], dice(40), which == 5 ? "abc" : "Z", &wanted);
    }
    }
    ck_assert_msg(wanted == SOME_ERROR ? got > 0 : got == wanted,
                  "seed %llu, call %d of kind %u on %s: gave %d, the model %d",
                  (unsigned long long)seed, step, which, p.path, got, wanted);
}

/* Names, kinds and bytes of everything are what the model has. */
static void compare(uint64_t seed) {
    for (int i = 1; i < NODES; i++) {
        char path[16];
        struct content *c = &contents[nodes[i].file];
        int fd;

        if (!nodes[i].used) {
            continue;
        }
        (void)snprintf(path, sizeof(path), "%s%s%s",
                       nodes[i].parent ? nodes[nodes[i].parent].name : "",
                       nodes[i].parent ? "/" : "", nodes[i].name);
        if (nodes[i].parent && nodes[nodes[i].parent].parent) {
            continue; /* moved deeper than paths here go */
        }
        ck_assert_msg(fx_stat(&fx, 3, path, false) == E_OK, "seed %llu: %s is gone",
                      (unsigned long long)seed, path);
        ck_assert_msg((fx.m[FX_OUT + 16] == SH_VFS_DIR) == nodes[i].dir,
                      "seed %llu: %s is of another kind", (unsigned long long)seed, path);
        if (!nodes[i].dir) {
            fd = fx_open(&fx, 3, path, 0, R_FD_READ);
            ck_assert_msg(fd > 0 && fx_read(&fx, fd, BYTES + 1) == (int)c->len &&
                              memcmp(fx.m + FX_DATA, c->bytes, c->len) == 0,
                          "seed %llu: %s has other bytes", (unsigned long long)seed, path);
            ck_assert_int_eq(fx_close(&fx, fd), E_OK);
        }
    }
}

static void sequence(uint64_t seed, bool mapped) {
    memset(nodes, 0, sizeof(nodes));
    memset(contents, 0, sizeof(contents));
    nodes[0] = (struct node){.used = true, .dir = true, .parent = -1};
    state = seed * 0x9e3779b97f4a7c15ULL + 1;
    fx_dirs(&fx);
    if (mapped) {
        fx_map(&fx, 3, 3, dice(2) == 0);
    }
    fx_start(&fx);
    for (int i = 0; i < CALLS; i++) {
        one_call(seed, i);
        sh_guest_effects_taken(&fx.g);
    }
    compare(seed);
    fx_done(&fx);
}

START_TEST(random_file_calls_do_what_a_small_model_does) {
    const char *given = getenv("SHANNON_MODEL_SEED");
    uint64_t last = getenv("SHANNON_LONG") ? SEQUENCES_LONG : SEQUENCES;
    bool mapped = _i;

    for (uint64_t seed = 1; !given && seed <= last; seed++) {
        sequence(seed * 2 + mapped, mapped);
    }
    if (given) {
        sequence(strtoull(given, NULL, 10), mapped);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("wasi_model");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, random_file_calls_do_what_a_small_model_does, 0, 2);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
