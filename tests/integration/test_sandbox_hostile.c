/* Guests that mean harm, through real WebAssembly: pointers that wrap, vectors without end, memory
 * and output bombs, recursion with every host function at the bottom of the stack. Each ends as the
 * one thing it is, and the host stays as it was. */
#include "integration/sandbox_rig.h"

#include <ftw.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "microsandbox/guest_calls.h"
#include "microsandbox/wasi.h"

static char folder[64], workspace[80], mapped[80];

static int drop(const char *path, const struct stat *st, int kind, struct FTW *at) {
    (void)st;
    (void)kind;
    (void)at;
    return remove(path);
}

static void folder_make(void) {
    (void)snprintf(folder, sizeof(folder), "/tmp/sh-hostile-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(workspace, sizeof(workspace), "%s/work", folder);
    (void)snprintf(mapped, sizeof(mapped), "%s/mapped", folder);
    ck_assert_int_eq(mkdir(workspace, 0700), 0);
    ck_assert_int_eq(mkdir(mapped, 0700), 0);
}

static void folder_remove(void) {
    ck_assert_int_eq(nftw(folder, drop, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void module_of(struct rig *r, const char *text) {
    struct sh_err err = {0};
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MODULE_BYTES_MAX);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    sh_assert_ok(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), &err);
    sh_buf_done(&binary);
}

static long peak_kib(void) {
    struct rusage usage;

    ck_assert_int_eq(getrusage(RUSAGE_SELF, &usage), 0);
    return usage.ru_maxrss;
}

/* ---- pointers and vectors ---- */

/* Every call must give the errno beside it; one that does not traps. */
static const char pointers[] =
    "(module"
    "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result "
    "i32)))"
    "(import \"wasi_snapshot_preview1\" \"fd_read\" (func $r (param i32 i32 i32 i32) (result i32)))"
    "(import \"wasi_snapshot_preview1\" \"random_get\" (func $rnd (param i32 i32) (result i32)))"
    "(import \"wasi_snapshot_preview1\" \"poll_oneoff\""
    "  (func $poll (param i32 i32 i32 i32) (result i32)))"
    "(import \"wasi_snapshot_preview1\" \"path_open\""
    "  (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
    "(import \"shannon\" \"activity_start\" (func $start (param i32 i32 i32 i32) (result i32)))"
    "(import \"shannon\" \"activity_wait\" (func $wait (param i32 i32) (result i32)))"
    "(import \"shannon\" \"input_read\" (func $input (param i32 i32) (result i32)))"
    "(memory (export \"memory\") 160)"
    "(func $is (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))"
    "(func (export \"_start\")"
    /* a million vectors of nothing, and as many as 32 bits can say */
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 1000000) (i32.const 0))"
    "  (i32.const 28))"
    "(call $is (call $r (i32.const 0) (i32.const 64) (i32.const 1000000) (i32.const 0))"
    "  (i32.const 28))"
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const -1) (i32.const 0)) (i32.const 28))"
    /* 0x20000000 vectors are 4 GiB of them: zero, when computed in 32 bits */
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 0x20000000) (i32.const 0))"
    "  (i32.const 28))"
    /* the vectors themselves wrap, what they point at wraps, where the answer goes wraps */
    "(call $is (call $w (i32.const 1) (i32.const 0xfffffffc) (i32.const 1) (i32.const 0))"
    "  (i32.const 21))"
    "(i32.store (i32.const 64) (i32.const 0xffffffff)) (i32.store (i32.const 68) (i32.const 2))"
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (i32.const 21))"
    "(i32.store (i32.const 64) (i32.const 2)) (i32.store (i32.const 68) (i32.const 0xffffffff))"
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0)) (i32.const 21))"
    "(i32.store (i32.const 68) (i32.const 1))"
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 1) (i32.const 0xfffffffd))"
    "  (i32.const 21))"
    /* two lengths whose sum is zero in 32 bits */
    "(i32.store (i32.const 68) (i32.const 0x80000000)) (i32.store (i32.const 72) (i32.const 0))"
    "(i32.store (i32.const 76) (i32.const 0x80000000))"
    "(call $is (call $w (i32.const 1) (i32.const 64) (i32.const 2) (i32.const 0)) (i32.const 21))"
    "(call $is (call $rnd (i32.const 0xffffff00) (i32.const 0x200)) (i32.const 21))"
    "(call $is (call $rnd (i32.const 1) (i32.const -1)) (i32.const 21))"
    "(call $is (call $poll (i32.const 64) (i32.const 64) (i32.const 0x20000000) (i32.const 0))"
    "  (i32.const 28))"
    "(call $is (call $poll (i32.const -48) (i32.const 64) (i32.const 1) (i32.const 0))"
    "  (i32.const 21))"
    "(call $is (call $open (i32.const 3) (i32.const 0) (i32.const -4) (i32.const 8) (i32.const 0)"
    "  (i64.const 0) (i64.const 0) (i32.const 0) (i32.const 0)) (i32.const 21))"
    "(call $is (call $start (i32.const -1) (i32.const 2) (i32.const 0) (i32.const 1))"
    "  (i32.const -21))"
    "(call $is (call $wait (i32.const -4) (i32.const 2)) (i32.const -21))"
    "(call $is (call $wait (i32.const 0) (i32.const 0x40000001)) (i32.const -28))"
    "(call $is (call $input (i32.const 2) (i32.const -1)) (i32.const -21))))";

START_TEST(pointers_and_counts_that_wrap_are_faults_and_nothing_else) {
    struct rig r;

    folder_make();
    rig_sandbox(&r, 0, 4, NULL);
    module_of(&r, pointers);
    r.config.workspace = workspace;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_msg(sh_agent_end(r.agent)->code == SH_OK, "%s", sh_agent_end(r.agent)->message);
    ck_assert_uint_eq(r.n_effects, 0);
    rig_done(&r);
    folder_remove();
}
END_TEST

/* ---- memory ---- */

static const char grower[] =
    "(module (memory (export \"memory\") 1) (table $t 1 funcref)"
    "(func (export \"_start\")"
    "(if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))"
    "(if (i32.ne (memory.grow (i32.const -1)) (i32.const -1)) (then unreachable))"
    "(if (i32.ne (table.grow $t (ref.null func) (i32.const -1)) (i32.const -1)) (then unreachable))"
    "(if (i32.ne (table.grow $t (ref.null func) (i32.const 200001)) (i32.const -1))"
    "  (then unreachable))"
    "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))"
    "(memory.fill (i32.const 0) (i32.const 1) (i32.mul (memory.size) (i32.const 65536)))))";

START_TEST(growing_stops_at_the_limit_and_costs_no_more_than_it) {
    struct rig r;
    long before;

    rig_sandbox(&r, 0, 4, NULL);
    module_of(&r, grower);
    r.caps.limits.memory_bytes = 16 * SH_MIB;
    before = peak_kib();
    for (int i = 0; i < 20; i++) { /* one after the other: what one had comes back */
        rig_agent(&r);
        ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
        ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
        ck_assert_uint_eq(sh_agent_end(r.agent)->peak_memory_bytes, 16 * SH_MIB);
        r.agent = sh_agent_free(r.agent);
    }
    ck_assert_int_lt(peak_kib() - before, 40 * 1024);
    rig_done(&r);
}
END_TEST

/* ---- output ---- */

/* A gigabyte in chunks of 64 KiB. */
static const char printer[] =
    "(module"
    "(import \"wasi_snapshot_preview1\" \"fd_write\" (func $w (param i32 i32 i32 i32) (result "
    "i32)))"
    "(memory (export \"memory\") 2)"
    "(func (export \"_start\") (local $n i32)"
    "(i32.store (i32.const 0) (i32.const 65536)) (i32.store (i32.const 4) (i32.const 65536))"
    "(local.set $n (i32.const 16384))"
    "(loop $more (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))"
    "(br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))";

static uint64_t print_to_limit(struct rig *r, uint64_t limit) {
    uint64_t bytes = 0;
    size_t n;

    r->caps.limits.output_bytes = limit;
    rig_agent(r);
    for (enum sh_agent_status s = SH_AGENT_YIELDED; s != SH_AGENT_FINISHED;) {
        const struct sh_effect *e;

        s = sh_agent_step(r->agent);
        e = sh_agent_effects(r->agent, &n);
        for (size_t i = 0; i < n; i++) {
            ck_assert_int_eq(e[i].kind, SH_EFFECT_OUTPUT);
            bytes += e[i].b.len;
        }
        sh_agent_effects_taken(r->agent);
    }
    ck_assert_int_eq(sh_agent_end(r->agent)->code, SH_E_OUTPUT);
    r->agent = sh_agent_free(r->agent);
    return bytes;
}

START_TEST(a_gigabyte_of_output_ends_at_the_limit_in_little_memory) {
    struct rig r;
    long before;

    rig_sandbox(&r, 0, 4, NULL);
    module_of(&r, printer);
    ck_assert_uint_eq(print_to_limit(&r, SH_MIB), SH_MIB); /* code and buffers are there now */
    before = peak_kib();
    ck_assert_uint_eq(print_to_limit(&r, 64 * SH_MIB + 1), 64 * SH_MIB + 1);
    ck_assert_int_lt(peak_kib() - before, 8 * 1024);
    rig_done(&r);
}
END_TEST

/* ---- the stack ---- */

static void add_import(struct sh_buf *t, const char *module, const char *name, const char *params) {
    sh_buf_addf(t, "(import \"%s\" \"%s\" (func $%s ", module, name, name);
    for (const char *p = params; *p; p++) {
        sh_buf_adds(t, *p == 'I' ? "(param i64) " : "(param i32) ");
    }
    sh_buf_adds(t, "(result i32)))\n");
}

/* Descriptor 3, numbers that are small, buffers at 256. */
static void add_call(struct sh_buf *t, const char *name, const char *params) {
    sh_buf_addf(t, "(drop (call $%s ", name);
    for (const char *p = params; *p; p++) {
        sh_buf_addf(t, "(%s.const %d) ", *p == 'I' ? "i64" : "i32",
                    p == params        ? 3
                    : (p - params) % 2 ? 256
                                       : 8);
    }
    sh_buf_adds(t, "))\n");
}

/* At 16: "f", "l", "g", "d" are names; at 32 a path of many parts. $at holds a descriptor. */
static const char files[] =
    "(drop (call $path_open (i32.const 4) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 1)"
    "  (i64.const 0x1fffffff) (i64.const 0x1fffffff) (i32.const 0) (i32.const 128)))"
    "(drop (call $fd_write (i32.load (i32.const 128)) (i32.const 96) (i32.const 1) (i32.const "
    "132)))"
    "(drop (call $fd_pread (i32.load (i32.const 128)) (i32.const 96) (i32.const 1) (i64.const 0)"
    "  (i32.const 132)))"
    "(drop (call $fd_close (i32.load (i32.const 128))))"
    "(drop (call $path_symlink (i32.const 18) (i32.const 1) (i32.const 4) (i32.const 17)"
    "  (i32.const 1)))"
    "(drop (call $path_open (i32.const 4) (i32.const 1) (i32.const 17) (i32.const 1) (i32.const 1)"
    "  (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 128)))"
    "(drop (call $fd_close (i32.load (i32.const 128))))"
    "(drop (call $path_readlink (i32.const 4) (i32.const 17) (i32.const 1) (i32.const 256)"
    "  (i32.const 16) (i32.const 132)))"
    "(drop (call $path_rename (i32.const 4) (i32.const 16) (i32.const 1) (i32.const 4)"
    "  (i32.const 18) (i32.const 1)))"
    "(drop (call $path_unlink_file (i32.const 4) (i32.const 17) (i32.const 1)))"
    "(drop (call $path_link (i32.const 4) (i32.const 0) (i32.const 18) (i32.const 1) (i32.const 4)"
    "  (i32.const 16) (i32.const 1)))"
    "(drop (call $path_create_directory (i32.const 4) (i32.const 19) (i32.const 1)))"
    "(drop (call $path_open (i32.const 4) (i32.const 1) (i32.const 32) (i32.const 40) (i32.const 1)"
    "  (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 128)))"
    "(drop (call $path_remove_directory (i32.const 4) (i32.const 19) (i32.const 1)))"
    "(drop (call $path_filestat_get (i32.const 4) (i32.const 1) (i32.const 18) (i32.const 1)"
    "  (i32.const 256)))"
    "(drop (call $path_filestat_set_times (i32.const 4) (i32.const 1) (i32.const 18) (i32.const 1)"
    "  (i64.const 5) (i64.const 5) (i32.const 5)))"
    "(drop (call $fd_readdir (i32.const 4) (i32.const 512) (i32.const 512) (i64.const 0)"
    "  (i32.const 132)))"
    "(drop (call $path_open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 1)"
    "  (i64.const 0x1fffffff) (i64.const 0) (i32.const 0) (i32.const 128)))"
    "(drop (call $fd_write (i32.load (i32.const 128)) (i32.const 96) (i32.const 1) (i32.const "
    "132)))"
    "(drop (call $fd_close (i32.load (i32.const 128))))"
    "(drop (call $path_filestat_get (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 1)"
    "  (i32.const 256)))"
    "(drop (call $fd_write (i32.const 1) (i32.const 96) (i32.const 1) (i32.const 132)))"
    "(drop (call $random_get (i32.const 512) (i32.const 64)))"
    "(drop (call $poll_oneoff (i32.const 2048) (i32.const 4096) (i32.const 2) (i32.const 132)))";

static bool excluded(const char *name) {
    return strcmp(name, "proc_exit") == 0 || strcmp(name, "checkpoint") == 0 ||
           strcmp(name, "continue_as_new") == 0;
}

static void deep_module(struct sh_buf *t) {
    sh_buf_adds(t, "(module\n");
    for (size_t i = 0; i < sh_wasi_functions_n; i++) {
        if (!excluded(sh_wasi_functions[i].name)) {
            add_import(t, "wasi_snapshot_preview1", sh_wasi_functions[i].name,
                       sh_wasi_functions[i].params);
        }
    }
    for (size_t i = 0; i < sh_guest_functions_n; i++) {
        if (!excluded(sh_guest_functions[i].name)) {
            add_import(t, SH_GUEST_MODULE, sh_guest_functions[i].name,
                       sh_guest_functions[i].params);
        }
    }
    sh_buf_adds(t, "(memory (export \"memory\") 1)\n"
                   "(data (i32.const 16) \"flgd\")\n"
                   "(data (i32.const 32) \"d/../d/../d/../d/../d/../d/../d/../d/new\")\n"
                   "(data (i32.const 96) \"\\10\\00\\00\\00\\04\\00\\00\\00\")\n"
                   "(func $deeper (param $n i32) (result i32)\n");
    sh_buf_adds(t, files);
    for (size_t i = 0; i < sh_wasi_functions_n; i++) {
        const char *name = sh_wasi_functions[i].name;

        if (!excluded(name) && strcmp(name, "proc_raise") != 0 && strcmp(name, "fd_close") != 0 &&
            strcmp(name, "fd_renumber") != 0 && strcmp(name, "random_get") != 0) {
            add_call(t, name, sh_wasi_functions[i].params);
        }
    }
    for (size_t i = 0; i < sh_guest_functions_n; i++) {
        if (!excluded(sh_guest_functions[i].name)) {
            add_call(t, sh_guest_functions[i].name, sh_guest_functions[i].params);
        }
    }
    sh_buf_adds(t, "(i32.add (i32.const 1) (call $deeper (i32.add (local.get $n) (i32.const 1)))))"
                   "\n(func (export \"_start\") (drop (call $deeper (i32.const 0)))))");
}

static void map_folder(struct rig *r, struct sh_mount *mount) {
    *mount = (struct sh_mount){
        .host = mapped, .guest = (char[]){"/m"}, .dir_perms = 3, .file_perms = 3, .bytes = SH_MIB};
    r->caps.mounts = mount;
    r->caps.n_mounts = 1;
    r->config.workspace = workspace;
    r->config.observe = true;
}

START_TEST(every_host_function_works_at_the_bottom_of_the_stack) {
    struct sh_mount mount;
    struct sh_buf text;
    struct rig r;

    folder_make();
    rig_sandbox(&r, 0, 4, NULL);
    sh_buf_init(&text, SH_MIB);
    deep_module(&text);
    ck_assert(!text.failed);
    module_of(&r, text.p);
    map_folder(&r, &mount);
    r.caps.limits.activities = 1000000;
    r.caps.limits.output_bytes = 64 * SH_MIB;
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_msg(sh_agent_end(r.agent)->code == SH_E_STACK, "%s", sh_agent_end(r.agent)->message);
    ck_assert_uint_gt(r.n_effects, 1000);
    ck_assert_uint_gt(sh_agent_counters(r.agent).output_offset[0], 1000); /* it was deep */
    sh_buf_done(&text);
    rig_done(&r);
    folder_remove();
}
END_TEST

/* ---- executors ---- */

struct turn { /* two threads step one agent, taking turns */
    pthread_mutex_t lock;
    pthread_cond_t passed;
    struct sh_agent *agents[2];
    enum sh_agent_status status[2];
    int next;
    unsigned steps;
};

/* Thread k steps agent 0 and 1 in turn, so each agent is stepped by both threads. */
static void *executor(void *arg) {
    struct turn *t = arg;
    bool more = true;

    while (more) {
        (void)pthread_mutex_lock(&t->lock);
        for (int i = 0; i < 2; i++) {
            if (t->status[i] == SH_AGENT_YIELDED) {
                t->status[i] = sh_agent_step(t->agents[i]);
                sh_agent_effects_taken(t->agents[i]);
                t->steps++;
            }
        }
        more = t->status[0] == SH_AGENT_YIELDED || t->status[1] == SH_AGENT_YIELDED;
        t->next++;
        (void)pthread_cond_broadcast(&t->passed);
        for (int seen = t->next; more && t->next == seen && t->next > 1;) {
            struct timespec until;

            (void)clock_gettime(CLOCK_REALTIME, &until);
            until.tv_nsec += 1000000;
            until.tv_sec += until.tv_nsec / 1000000000;
            until.tv_nsec %= 1000000000;
            if (pthread_cond_timedwait(&t->passed, &t->lock, &until) != 0) {
                break; /* the other one has left */
            }
        }
        (void)pthread_mutex_unlock(&t->lock);
    }
    return NULL;
}

static uint64_t fuel_alone(struct rig *r) {
    uint64_t fuel;

    rig_agent(r);
    ck_assert_int_eq(rig_run(r), SH_AGENT_FINISHED);
    fuel = sh_agent_counters(r->agent).fuel_used;
    r->agent = sh_agent_free(r->agent);
    return fuel;
}

START_TEST(agents_that_change_threads_at_every_step_do_the_same_work) {
    struct turn t = {.lock = PTHREAD_MUTEX_INITIALIZER, .passed = PTHREAD_COND_INITIALIZER};
    pthread_t threads[2];
    struct rig r;
    uint64_t fuel;

    rig_sandbox(&r, 1000, 4, NULL);
    rig_module(&r, "busy.wat");
    fuel = fuel_alone(&r);
    for (int i = 0; i < 2; i++) {
        rig_agent(&r);
        t.agents[i] = r.agent;
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, executor, &t), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
    }
    ck_assert_uint_gt(t.steps, 4);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(t.status[i], SH_AGENT_FINISHED);
        ck_assert_int_eq(sh_agent_end(t.agents[i])->code, SH_OK);
        ck_assert_uint_eq(sh_agent_counters(t.agents[i]).fuel_used, fuel);
        (void)sh_agent_free(t.agents[i]);
    }
    r.agent = NULL;
    rig_done(&r);
}
END_TEST

START_TEST(a_protected_directory_is_not_mapped_by_the_real_sandbox) {
    const char *kept[] = {folder, NULL};
    struct sh_sandbox_config c = {
        .worker = "/proc/self/exe", .agents_max = 4, .protected_paths = kept};
    struct sh_mount mount;
    struct sh_err err = {0};
    struct rig r = {0};

    folder_make();
    sh_assert_ok(sh_sandbox_new(&c, &r.sandbox, &err), &err);
    rig_module(&r, "busy.wat");
    map_folder(&r, &mount);
    r.config.module = r.module;
    r.config.caps = &r.caps;
    sh_assert_fails(sh_agent_new(r.sandbox, &r.config, &r.agent, &err), SH_E_DENIED, &err);
    ck_assert_ptr_nonnull(strstr(err.message, mapped));
    rig_done(&r);
    folder_remove();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        pointers_and_counts_that_wrap_are_faults_and_nothing_else,
        growing_stops_at_the_limit_and_costs_no_more_than_it,
        a_gigabyte_of_output_ends_at_the_limit_in_little_memory,
        every_host_function_works_at_the_bottom_of_the_stack,
        agents_that_change_threads_at_every_step_do_the_same_work,
        a_protected_directory_is_not_mapped_by_the_real_sandbox,
        NULL,
    };

    return sh_suite("sandbox_hostile", tests);
}

RIG_MAIN(suite)
