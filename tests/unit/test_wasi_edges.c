/* Every host function, with every pointer and length at every edge of memory: a pointer to what is
 * not there is EFAULT, nothing is written outside, nothing crashes. The functions are taken from
 * the tables of the code, and one without a shape below fails the test: none can be forgotten. */
#include "../lib/host_shapes.h"
#include "../lib/wasi_fixture.h"
#include "microsandbox/guest_calls.h"

enum { SIZE = 65536, GUARD = 4096, STEPS_MAX = 64 };
#define FILL 0xa5

static struct fx fx;
static uint8_t *block;
static int file;

static void setup(void) {
    static const char *const argv[] = {"edge", NULL}, *const env[] = {"K=V", NULL};

    fx_dirs(&fx);
    fx.config.argv = argv;
    fx.config.env = env;
    fx.config.input = SH_STR("{\"query\":\"x\"}");
    fx.config.state = SH_STR("state");
    fx_start(&fx);
    file = fx_open(&fx, 3, "f", O_WASI_CREAT,
                   FX_RW | R_FD_SEEK | R_FD_TELL | R_FD_ALLOCATE | R_FD_FILESTAT_SET_SIZE);
    ck_assert_int_gt(file, 0);
    ck_assert_int_eq(fx_write(&fx, file, "0123456789"), 10);
    /* Guards before and behind; under AddressSanitizer the allocation ends with the memory. */
    block = sh_alloc(GUARD + SIZE + GUARD);
    fx.mem = (struct sh_mem){block + GUARD, SIZE};
#if defined(__SANITIZE_ADDRESS__)
    sh_free(block);
    block = sh_alloc(SIZE);
    fx.mem.base = block;
#endif
}

static void teardown(void) {
    sh_free(block);
    fx_done(&fx);
}

static void check_guards(const char *name) {
#if !defined(__SANITIZE_ADDRESS__)
    bool whole = true;

    for (size_t i = 0; i < GUARD; i++) {
        whole &= block[i] == FILL && block[GUARD + SIZE + i] == FILL;
    }
    ck_assert_msg(whole, "%s wrote outside of memory", name);
#else
    (void)name;
#endif
}

/* Memory as the base arguments expect it: names, JSON, vectors, at their own kilobyte each. */
static void fill(const struct shape *shape) {
#if !defined(__SANITIZE_ADDRESS__)
    memset(block, FILL, GUARD);
    memset(block + GUARD + SIZE, FILL, GUARD);
#endif
    memset(fx.mem.base, 0, SIZE);
    for (size_t at = 1024; at < 16384; at += 1024) {
        memcpy(fx.mem.base + at, "{}", 2);
    }
    for (size_t at = 1024; strchr(shape->params, 'V') && at < 16384; at += 1024) {
        put32(fx.mem.base + at, 32768);
        put32(fx.mem.base + at + 4, 8);
    }
}

typedef int call_fn(const void *function, const uint64_t *a);

static int call_wasi(const void *function, const uint64_t *a) {
    return ((const struct sh_wasi_function *)function)->fn(fx.w, &fx.mem, a);
}
static int call_guest(const void *function, const uint64_t *a) {
    return ((const struct sh_guest_function *)function)->fn(&fx.g, &fx.mem, a);
}

/* To its end, waits answered as an engine would. */
static int call(call_fn *fn, const void *function, const uint64_t *a) {
    int rc = SH_CALL_PENDING;

    memset(&fx.g.call, 0, sizeof(fx.g.call));
    for (int i = 0; i < STEPS_MAX && (rc == SH_CALL_PENDING || rc == SH_CALL_AGAIN); i++) {
        rc = fn(function, a);
        fx.g.woken = rc == SH_CALL_PENDING && fx.g.wait.kind == SH_WAIT_SLEEP;
        sh_guest_effects_taken(&fx.g);
    }
    return rc;
}

/* An activity that has been answered, as handle 1. */
static void answered(void) {
    static const uint64_t start[4] = {1024, 1, 2048, 2}, wait[2] = {4096, 1};

    put32(fx.mem.base + 4096, 1);
    ck_assert_int_eq(call(call_guest, &sh_guest_functions[0], start), 1);
    sh_guest_push(&fx.g, &(struct sh_tape_item){.kind = SH_TAPE_COMPLETION,
                                                .seq = 5,
                                                .number = 1,
                                                .bytes = SH_STR("{\"ok\":1}")});
    ck_assert_int_eq(call(call_guest, &sh_guest_functions[1], wait), 1);
}

static void faults(call_fn *fn, const void *function, const struct shape *shape, int fault) {
    uint64_t base[9] = {0}, a[9];
    struct arg args[9];
    size_t n = shape_parse(shape, (uint32_t)file, base, args);

    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = (uint64_t)args[i].unit * args[i].n;
        for (size_t k = 0; strchr("PSVH", args[i].kind) && k < SHAPE_BAD; k++) {
            uint64_t bad = shape_bad(k, SIZE, bytes);
            int rc;

            memcpy(a, base, sizeof(a));
            a[i] = bad;
            fill(shape);
            rc = call(fn, function, a);
            ck_assert_msg(shape->never ? rc != 0 : rc == fault,
                          "%s with parameter %zu at %#llx gave %d, expected %d", shape->name, i,
                          (unsigned long long)bad, rc, fault);
            check_guards(shape->name);
        }
    }
}

/* Any two parameters at any two edges: whatever comes of it, it stays inside. */
static void pairs(call_fn *fn, const void *function, const struct shape *shape) {
    static const uint64_t edges[] = {SHAPE_EDGES(SIZE)};
    enum { EDGES = sizeof(edges) / sizeof(edges[0]) };
    uint64_t base[9] = {0}, a[9];
    struct arg args[9];
    size_t n = shape_parse(shape, (uint32_t)file, base, args);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            for (size_t k = 0; k < (size_t)EDGES * EDGES && !fx.g.ended; k++) {
                memcpy(a, base, sizeof(a));
                a[i] = edges[k / EDGES];
                a[j] = edges[k % EDGES];
                fill(shape);
                (void)call(fn, function, a);
                check_guards(shape->name);
            }
        }
    }
}

START_TEST(each_wasi_function_stays_within_memory) {
    const struct sh_wasi_function *f = &sh_wasi_functions[_i];
    const struct shape *shape = shape_of(wasi_shapes, SHAPES_N(wasi_shapes), f->name, f->params);

    setup();
    faults(call_wasi, f, shape, E_FAULT);
    pairs(call_wasi, f, shape);
    teardown();
}
END_TEST

START_TEST(each_host_function_stays_within_memory) {
    const struct sh_guest_function *f = &sh_guest_functions[_i];
    const struct shape *shape = shape_of(guest_shapes, SHAPES_N(guest_shapes), f->name, f->params);

    setup();
    fill(shape);
    answered();
    faults(call_guest, f, shape, -SH_ERRNO_FAULT);
    pairs(call_guest, f, shape);
    teardown();
}
END_TEST

/* What a vector names is looked at as closely as the vector itself. */
START_TEST(each_vector_stays_within_memory) {
    static const char *const names[] = {"fd_read", "fd_pread", "fd_write", "fd_pwrite"};
    static const uint32_t bad[][2] = {
        {SIZE, 1},     {SIZE - 1, 2},   {SIZE + 1, 0},        {UINT32_MAX, 1},
        {0, SIZE + 1}, {1, UINT32_MAX}, {1U << 31, 1U << 31}, {UINT32_MAX, UINT32_MAX}};

    setup();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t k = 0; k < sizeof(bad) / sizeof(bad[0]); k++) {
            uint64_t a[9] = {(uint64_t)file, 1024, 2, 0, 0};

            a[strchr(names[i], 'p') ? 4 : 3] = 4096;
            fill(&wasi_shapes[0]);
            put32(fx.mem.base + 1024, 8192); /* a good one, then a bad one */
            put32(fx.mem.base + 1028, 4);
            put32(fx.mem.base + 1032, bad[k][0]);
            put32(fx.mem.base + 1036, bad[k][1]);
            ck_assert_int_eq(fx_call_(&fx, names[i], a), E_FAULT);
            check_guards(names[i]);
        }
    }
    teardown();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("wasi_edges");
    TCase *tc = tcase_create("all");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, each_wasi_function_stays_within_memory, 0, (int)sh_wasi_functions_n);
    tcase_add_loop_test(tc, each_host_function_stays_within_memory, 0, (int)sh_guest_functions_n);
    tcase_add_test(tc, each_vector_stays_within_memory);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
