/* What each host function takes, for tests that call all of them with every pointer and length at
 * the edges of memory: natively, and from WebAssembly. A function without a shape fails both tests.
 */
#ifndef SH_TESTS_HOST_SHAPES_H
#define SH_TESTS_HOST_SHAPES_H

#include "check_main.h"

/* A letter and a number for each parameter:
 * D a directory, F a file, B no descriptor    P a pointer to so many bytes
 * S a pointer to bytes, V to iovecs, H to handles; the next parameter counts them, here so many
 * N this number    A a handle whose answer is there */
struct shape {
    const char *name, *params;
    bool never; /* answers before it looks at pointers: no descriptor is a socket */
};
static const struct shape wasi_shapes[] = {
    {"args_get", "P4 P5", false},
    {"args_sizes_get", "P4 P4", false},
    {"environ_get", "P4 P4", false},
    {"environ_sizes_get", "P4 P4", false},
    {"clock_res_get", "N0 P8", false},
    {"clock_time_get", "N0 N0 P8", false},
    {"fd_advise", "F N0 N0 N0", false},
    {"fd_allocate", "F N0 N1", false},
    {"fd_close", "B", false},
    {"fd_datasync", "F", false},
    {"fd_fdstat_get", "F P24", false},
    {"fd_fdstat_set_flags", "F N0", false},
    {"fd_fdstat_set_rights", "B N0 N0", false},
    {"fd_filestat_get", "F P64", false},
    {"fd_filestat_set_size", "F N8", false},
    {"fd_filestat_set_times", "F N0 N0 N0", false},
    {"fd_pread", "F V1 N0 P4", false},
    {"fd_prestat_get", "D P8", false},
    {"fd_prestat_dir_name", "D S1", false},
    {"fd_pwrite", "F V1 N0 P4", false},
    {"fd_read", "F V1 P4", false},
    {"fd_readdir", "D S64 N0 P4", false},
    {"fd_renumber", "B B", false},
    {"fd_seek", "F N0 N0 P8", false},
    {"fd_sync", "F", false},
    {"fd_tell", "F P8", false},
    {"fd_write", "F V1 P4", false},
    {"path_create_directory", "D S1", false},
    {"path_filestat_get", "D N0 S1 P64", false},
    {"path_filestat_set_times", "D N0 S1 N0 N0 N0", false},
    {"path_link", "D N0 S1 D S1", false},
    {"path_open", "D N0 S1 N0 N2 N0 N0 P4", false},
    {"path_readlink", "D S1 S8 P4", false},
    {"path_remove_directory", "D S1", false},
    {"path_rename", "D S1 D S1", false},
    {"path_symlink", "S1 D S1", false},
    {"path_unlink_file", "D S1", false},
    {"poll_oneoff", "P48 P32 N1 P4", false},
    {"proc_exit", "N0", false},
    {"proc_raise", "N0", false},
    {"sched_yield", "", false},
    {"random_get", "S8", false},
    {"sock_accept", "D N0 P4", true},
    {"sock_recv", "D V1 N0 P4 P2", true},
    {"sock_send", "D V1 N0 P4", true},
    {"sock_shutdown", "D N0", true},
};
static const struct shape guest_shapes[] = {
    {"activity_start", "S1 S2", false}, {"activity_wait", "H1", false},
    {"activity_size", "A", false},      {"activity_read", "A S8", false},
    {"activity_drop", "N9", false},     {"input_size", "", false},
    {"input_read", "S8", false},        {"output", "S2", false},
    {"emit", "S1 S2", false},           {"publish", "S1 S2", false},
    {"checkpoint", "S4", false},        {"checkpoint_size", "", false},
    {"checkpoint_read", "S8", false},   {"continue_as_new", "S2", false},
};
#define SHAPES_N(shapes) (sizeof(shapes) / sizeof((shapes)[0]))
#define SHAPE_PARAMS_MAX 9

struct arg {
    char kind;
    uint32_t unit; /* bytes of one, where the next parameter counts; else bytes of all */
    uint32_t n;
};

/* The base arguments, and what each is: pointers have a kilobyte each. Gives how many there are. */
static inline size_t shape_parse(const struct shape *shape, uint32_t file, uint64_t *a,
                                 struct arg *args) {
    const char *p = shape->params;
    size_t n = 0;

    while (*p) {
        char kind = *p++, *rest;
        uint32_t number = (uint32_t)strtoul(p, &rest, 10);

        p = *rest == ' ' ? rest + 1 : rest;
        args[n] = (struct arg){kind, kind == 'V' ? 8 : kind == 'H' ? 4 : 1, number};
        a[n] = kind == 'D'   ? 3
               : kind == 'F' ? file
               : kind == 'B' ? 77
               : kind == 'A' ? 1
               : kind == 'N' ? number
                             : 1024 * (n + 1);
        if (kind == 'P') {
            args[n].unit = number;
            args[n].n = 1;
        }
        n++;
        if (strchr("SVH", kind)) {
            args[n] = (struct arg){'L', 0, 0};
            a[n++] = number;
        }
    }
    return n;
}

/* Pointers to `bytes` that do not lie in a memory of `size`. */
#define SHAPE_BAD 7
static inline uint64_t shape_bad(size_t k, uint64_t size, uint64_t bytes) {
    const uint64_t bad[SHAPE_BAD] = {size - bytes + 1, size,       size + 1,
                                     INT32_MAX,        1ULL << 31, UINT32_MAX - bytes + 1,
                                     UINT32_MAX};

    return bad[k];
}

/* Values for any parameter, of which any may come of it but harm. */
#define SHAPE_EDGES(size)                                                                          \
    0, 1, 2, (size) - 8, (size) - 1, (size), (size) + 1, 0x20000000, INT32_MAX, 1ULL << 31,        \
        (size) - 4, UINT32_MAX - 7, UINT32_MAX - 1, UINT32_MAX

static inline const struct shape *shape_of(const struct shape *shapes, size_t n, const char *name,
                                           const char *params) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(shapes[i].name, name) == 0) {
            uint64_t a[SHAPE_PARAMS_MAX];
            struct arg args[SHAPE_PARAMS_MAX];

            ck_assert_msg(shape_parse(&shapes[i], 0, a, args) == strlen(params),
                          "%s has other parameters", name);
            return &shapes[i];
        }
    }
    ck_abort_msg("%s has no shape in tests/lib/host_shapes.h: add it", name);
    return NULL;
}

#endif
