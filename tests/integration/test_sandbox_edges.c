/* Every host function from WebAssembly, with every pointer and length at every edge of memory, and
 * with each two of its parameters at any two edges: the errno is the one that it is natively,
 * nothing crashes. A module of text is generated for each function, from the tables of the code and
 * the shapes that the native test shares. */
#include "integration/sandbox_rig.h"
#include "lib/host_shapes.h"

#include <ftw.h>
#include <sys/stat.h>

#include "microsandbox/guest_calls.h"
#include "microsandbox/wasi_abi.h"

enum { SIZE = 65536, STEPS_MAX = 100000, TEXT_MAX = 4 * 1024 * 1024 };

/* One function of either module. */
struct host {
    const char *module, *name, *params;
    bool returns, wasi;
    int fault;
    const struct shape *shape;
};

static struct host host_at(size_t i) {
    struct host h;

    if (i < sh_wasi_functions_n) {
        const struct sh_wasi_function *f = &sh_wasi_functions[i];

        h = (struct host){
            "wasi_snapshot_preview1", f->name, f->params, f->returns, true, E_FAULT, NULL};
        h.shape = shape_of(wasi_shapes, SHAPES_N(wasi_shapes), f->name, f->params);
    } else {
        const struct sh_guest_function *f = &sh_guest_functions[i - sh_wasi_functions_n];

        h = (struct host){SH_GUEST_MODULE, f->name, f->params, true, false, -SH_ERRNO_FAULT, NULL};
        h.shape = shape_of(guest_shapes, SHAPES_N(guest_shapes), f->name, f->params);
    }
    return h;
}

/* ---- the module ---- */

#define WASI_IMPORT "(import \"wasi_snapshot_preview1\" "
#define GUEST_IMPORT "(import \"" SH_GUEST_MODULE "\" "

/* Memory as the base arguments expect it; then a file, or an activity that was answered. */
static const char wasi_setup[] =
    "(func $setup (call $fill) (i32.store8 (i32.const 1024) (i32.const 0x66))"
    "(call $is (call $open (i32.const 3) (i32.const 0) (i32.const 1024) (i32.const 1)"
    "  (i32.const 1) (i64.const 0x2001ff) (i64.const 0) (i32.const 0) (i32.const 4096))"
    "  (i32.const 0) (i32.const 1))"
    "(global.set $file (i32.load (i32.const 4096))))";
static const char guest_setup[] =
    "(func $setup (call $fill)"
    "(call $is (call $start (i32.const 1024) (i32.const 1) (i32.const 2048) (i32.const 2))"
    "  (i32.const 1) (i32.const 1))"
    "(i32.store (i32.const 4096) (i32.const 1))"
    "(call $is (call $wait (i32.const 4096) (i32.const 1)) (i32.const 1) (i32.const 2)))";

static void put_head(struct sh_buf *b, const struct host *h) {
    sh_buf_addf(b, "(module (import \"%s\" \"%s\" (func $f", h->module, h->name);
    for (const char *p = h->params; *p; p++) {
        sh_buf_adds(b, *p == 'I' ? " (param i64)" : " (param i32)");
    }
    sh_buf_adds(b, h->returns ? " (result i32)))" : "))");
    sh_buf_adds(b, WASI_IMPORT "\"proc_exit\" (func $exit (param i32)))");
    if (h->wasi) {
        sh_buf_adds(b, WASI_IMPORT "\"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 "
                                   "i32 i32) (result i32)))");
    } else {
        sh_buf_adds(b, GUEST_IMPORT "\"activity_start\" (func $start (param i32 i32 i32 i32) "
                                    "(result i32)))" GUEST_IMPORT
                                    "\"activity_wait\" (func $wait (param i32 i32) (result i32)))");
    }
    sh_buf_adds(b, "(memory (export \"memory\") 1 1) (global $file (mut i32) (i32.const 0))"
                   "(func $fill (local $at i32)"
                   "(memory.fill (i32.const 0) (i32.const 0) (i32.const 65536))"
                   "(loop $more (local.set $at (i32.add (local.get $at) (i32.const 1024)))");
    sh_buf_adds(b, strchr(h->shape->params, 'V')
                       ? "(i32.store (local.get $at) (i32.const 32768))"
                         "(i32.store offset=4 (local.get $at) (i32.const 8))"
                       : "(i32.store16 (local.get $at) (i32.const 0x7d7b))");
    sh_buf_adds(b, "(br_if $more (i32.lt_u (local.get $at) (i32.const 15360)))))"
                   "(func $is (param $got i32) (param $want i32) (param $id i32)"
                   "(if (i32.ne (local.get $got) (local.get $want)) (then (call $exit"
                   "(i32.or (i32.shl (local.get $id) (i32.const 8)) (i32.and (local.get $got)"
                   "(i32.const 255)))))))");
    sh_buf_adds(b, h->wasi ? wasi_setup : guest_setup);
}

static void put_value(struct sh_buf *b, char type, uint64_t v) {
    sh_buf_addf(b, type == 'I' ? "(i64.const %llu)" : "(i32.const %llu)", (unsigned long long)v);
}

/* A parameter as it is when it is not at an edge. */
static void put_base(struct sh_buf *b, char type, const struct arg *arg, uint64_t v) {
    if (arg->kind == 'F') {
        sh_buf_adds(b, "(global.get $file)");
    } else {
        put_value(b, type, v);
    }
}

/* Each pointer to what is not there: the wrong answer to the n-th call is exit status n << 8. */
static size_t put_faults(struct sh_buf *b, const struct host *h) {
    uint64_t base[SHAPE_PARAMS_MAX] = {0};
    struct arg args[SHAPE_PARAMS_MAX];
    size_t n = shape_parse(h->shape, 0, base, args), id = 10;

    sh_buf_adds(b, "(func (export \"_start\") (call $setup)");
    for (size_t i = 0; i < n; i++) {
        uint64_t bytes = (uint64_t)args[i].unit * args[i].n;

        for (size_t k = 0; strchr("PSVH", args[i].kind) && k < SHAPE_BAD; k++) {
            sh_buf_adds(b, "(call $fill) (call $is ");
            sh_buf_adds(b, h->shape->never ? "(i32.eqz (call $f" : "(call $f");
            for (size_t j = 0; j < n; j++) {
                if (j == i) {
                    put_value(b, h->params[j], shape_bad(k, SIZE, bytes));
                } else {
                    put_base(b, h->params[j], &args[j], base[j]);
                }
            }
            sh_buf_addf(b, "%s (i32.const %d) (i32.const %zu))", h->shape->never ? "))" : ")",
                        h->shape->never ? 0 : h->fault, id++);
        }
    }
    sh_buf_adds(b, "))");
    return id - 10;
}

static void put_edges(struct sh_buf *b, size_t *ret_n) {
    static const uint64_t edges[] = {SHAPE_EDGES(SIZE)};

    *ret_n = sizeof(edges) / sizeof(edges[0]);
    sh_buf_adds(b, "(func $edge (param i32) (result i32)");
    for (size_t i = 0; i < *ret_n; i++) {
        sh_buf_addf(b,
                    "(if (i32.eq (local.get 0) (i32.const %zu)) (then (return (i32.const %llu))))",
                    i, (unsigned long long)edges[i]);
    }
    sh_buf_adds(b, "(i32.const 0))");
}

/* Each two parameters at any two edges. */
static void put_pairs(struct sh_buf *b, const struct host *h) {
    uint64_t base[SHAPE_PARAMS_MAX] = {0};
    struct arg args[SHAPE_PARAMS_MAX];
    size_t n = shape_parse(h->shape, 0, base, args), n_edges;

    put_edges(b, &n_edges);
    sh_buf_adds(b, "(func (export \"_start\") (local $k i32) (call $setup)");
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i; j < n; j++) {
            sh_buf_addf(b, "(local.set $k (i32.const 0)) (loop $l (call $fill) (call $f");
            for (size_t m = 0; m < n; m++) {
                if (m != i && m != j) {
                    put_base(b, h->params[m], &args[m], base[m]);
                    continue;
                }
                sh_buf_adds(b, h->params[m] == 'I' ? "(i64.extend_i32_u" : "");
                sh_buf_addf(b, "(call $edge (i32.%s (local.get $k) (i32.const %zu)))",
                            m == j ? "rem_u" : "div_u", n_edges);
                sh_buf_adds(b, h->params[m] == 'I' ? ")" : "");
            }
            sh_buf_addf(b,
                        ") %s (br_if $l (i32.lt_u (local.tee $k (i32.add (local.get $k) "
                        "(i32.const 1))) (i32.const %zu))))",
                        h->returns ? "(drop)" : "", n_edges * n_edges);
        }
    }
    sh_buf_adds(b, "))");
}

/* ---- running it ---- */

static char folder[64];

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

/* To its end, or to a checkpoint; its waits are answered as an engine would. */
static enum sh_agent_status run(struct rig *r) {
    uint64_t seq = 10;

    for (int i = 0; i < STEPS_MAX; i++) {
        enum sh_agent_status s = rig_run(r);
        const struct sh_agent_wait *w = sh_agent_wait(r->agent);

        if (s != SH_AGENT_WAITING) {
            return s;
        }
        ck_assert_int_ne(w->kind, SH_WAIT_STDIN);
        if (w->kind == SH_WAIT_SLEEP) {
            sh_agent_wake(r->agent);
        } else if (w->kind == SH_WAIT_ACTIVITY) {
            rig_complete(r, (uint64_t)w->handles[0], seq++, "{\"ok\":1}");
        }
    }
    ck_abort_msg("it does not end");
    return SH_AGENT_FINISHED;
}

static void start(struct rig *r, const struct sh_buf *text) {
    static const char *const argv[] = {"edge", NULL}, *const env[] = {"K=V", NULL};
    struct sh_err err = {0};
    struct sh_buf binary;

    (void)snprintf(folder, sizeof(folder), "/tmp/sh-edges-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert(!text->failed);
    rig_sandbox(r, 0, 4, NULL);
    sh_buf_init(&binary, SH_MODULE_BYTES_MAX);
    sh_assert_ok(sh_module_from_text(sh_buf_str(text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
    r->config.workspace = folder;
    r->config.input = SH_STR("{\"query\":\"x\"}");
    r->config.state = SH_STR("state");
    r->config.module = r->module;
    r->config.argv = argv;
    r->config.env = env;
    r->config.caps = &r->caps;
    r->config.start_us = 1700000000000000;
    sh_assert_ok(sh_agent_new(r->sandbox, &r->config, &r->agent, &err), &err);
}

static void stop(struct rig *r) {
    rig_done(r);
    ck_assert_int_eq(nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS), 0);
}

START_TEST(what_is_not_in_memory_is_a_fault) {
    struct host h = host_at((size_t)_i);
    const struct sh_agent_end *end;
    struct sh_buf text;
    struct rig r;
    size_t calls;

    sh_buf_init(&text, TEXT_MAX);
    put_head(&text, &h);
    calls = put_faults(&text, &h);
    start(&r, &text);
    ck_assert_msg(run(&r) == SH_AGENT_FINISHED, "%s ended in a checkpoint", h.name);
    end = sh_agent_end(r.agent);
    ck_assert_msg(end->code == SH_OK, "%s, call %d of %zu gave %d, expected %d: %s", h.name,
                  (end->exit_status >> 8) - 9, calls, (int)(int8_t)(end->exit_status & 255),
                  h.fault, end->message);
    stop(&r);
    sh_buf_done(&text);
}
END_TEST

START_TEST(any_two_parameters_at_any_two_edges_do_no_harm) {
    struct host h = host_at((size_t)_i);
    const struct sh_agent_end *end;
    struct sh_buf text;
    struct rig r;

    sh_buf_init(&text, TEXT_MAX);
    put_head(&text, &h);
    put_pairs(&text, &h);
    start(&r, &text);
    if (run(&r) == SH_AGENT_FINISHED) {
        end = sh_agent_end(r.agent);
        /* Exit, a signal that it raised, output or activities without end: all its own doing. */
        ck_assert_msg(!end->trap && (end->code == SH_OK || end->code == SH_E_EXIT ||
                                     end->code == SH_E_TRAP || end->code == SH_E_OUTPUT ||
                                     end->code == SH_E_ACTIVITIES || end->code == SH_E_JOURNAL),
                      "%s ended by %s: %s", h.name, sh_code_info(end->code)->name, end->message);
    }
    stop(&r);
    sh_buf_done(&text);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("sandbox_edges");
    TCase *tc = tcase_create("all");
    int n = (int)(sh_wasi_functions_n + sh_guest_functions_n);

    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, what_is_not_in_memory_is_a_fault, 0, n);
    tcase_add_loop_test(tc, any_two_parameters_at_any_two_edges_do_no_harm, 0, n);
    suite_add_tcase(s, tc);
    return s;
}
RIG_MAIN(suite)
