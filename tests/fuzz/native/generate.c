/* A generator of WebAssembly: a tree of statements and typed expressions, chosen by the input's
 * bytes until they or the budget run out, and constants from there on. So every input is a valid
 * module, a changed byte is a changed instruction, and what the fuzzer spends its time on is what a
 * module can do: odd arguments to every host function, memory and tables at their edges, growth,
 * traps, recursion, tail calls, a start function, an alloc that lies. */
#include "fuzz/native/generate.h"

#include "microsandbox/guest_calls.h"
#include "microsandbox/wasi.h"

enum { DEPTH_MAX = 6, BUDGET = 600, STATEMENTS_MAX = 40, I32 = 0x7f, I64 = 0x7e, F64 = 0x7c };

/* Functions of its own, after the imports; tables and segments refer to them by these. */
enum { F_START, F_I32, F_I64, F_F64, F_ALLOC, F_RUN, F_SECTION, F_INITIALIZE, FUNCTIONS };
enum { T_NONE, T_I32, T_I64, T_F64, T_RUN, TYPES };
static const struct {
    const char *params;
    uint8_t result;
} types[TYPES] = {{"", 0}, {"i", I32}, {"II", I64}, {"F", F64}, {"ii", I64}};
static const uint8_t type_of[FUNCTIONS] = {T_NONE, T_I32, T_I64,  T_F64,
                                           T_I32,  T_RUN, T_NONE, T_NONE};

struct gen {
    const uint8_t *p, *end;
    struct sh_buf *b; /* body under way */
    int budget;
    unsigned function, n_params;
};

static void expr(struct gen *g, uint8_t type, int depth);
static void statements(struct gen *g, int depth);

static uint8_t next(struct gen *g) {
    return g->p < g->end ? *g->p++ : 0;
}

static void u8(struct gen *g, unsigned v) {
    sh_buf_u8(g->b, (uint8_t)v);
}

static void leb(struct sh_buf *b, uint64_t v) {
    for (; v > 0x7f; v >>= 7) {
        sh_buf_u8(b, (uint8_t)(v | 0x80));
    }
    sh_buf_u8(b, (uint8_t)v);
}

static void sleb(struct sh_buf *b, int64_t v) {
    while (v < -64 || v > 63) {
        sh_buf_u8(b, (uint8_t)((v & 0x7f) | 0x80));
        v >>= 7;
    }
    sh_buf_u8(b, (uint8_t)(v & 0x7f));
}

/* ---- what functions are made of ---- */

static unsigned imports(void) {
    return (unsigned)(sh_wasi_functions_n + sh_guest_functions_n);
}

static const char *import_params(unsigned i) {
    return i < sh_wasi_functions_n ? sh_wasi_functions[i].params
                                   : sh_guest_functions[i - sh_wasi_functions_n].params;
}

static bool import_returns(unsigned i) {
    return i >= sh_wasi_functions_n || sh_wasi_functions[i].returns;
}

/* Each function has two i32, an i64 and an f64 of its own after its parameters. */
static unsigned local_of(struct gen *g, uint8_t type) {
    return g->n_params + (type == I64 ? 2 : type == F64 ? 3 : next(g) & 1);
}

static uint32_t edge(struct gen *g) {
    static const uint32_t edges[] = {0,          1,          4,          8,         65532,
                                     65535,      65536,      65537,      131072,    0x7fffffff,
                                     0x80000000, 0xffff0000, 0xfffffff8, 0xffffffff};

    return edges[next(g) % (sizeof(edges) / sizeof(edges[0]))];
}

static void constant(struct gen *g, uint8_t type) {
    uint8_t how = next(g);
    uint32_t v = how & 1 ? next(g) : how & 2 ? edge(g) : (uint32_t)next(g) << (how >> 3);

    if (type == F64) {
        u8(g, 0x44);
        for (int i = 0; i < 8; i++) {
            u8(g, i < 6 ? 0 : next(g));
        }
    } else {
        u8(g, type == I32 ? 0x41 : 0x42);
        sleb(g->b, type == I32 ? (int32_t)v : (int64_t)((uint64_t)v << (how & 4 ? 32 : 0)));
    }
}

static void memarg(struct gen *g) {
    uint8_t how = next(g);

    u8(g, 0); /* any alignment is a hint */
    leb(g->b, how < 200 ? how : edge(g));
}

static void two(struct gen *g, uint8_t type, int depth) {
    expr(g, type, depth);
    expr(g, type, depth);
}

/* An instruction among the `n` from `first` on. */
static void op(struct gen *g, unsigned first, unsigned n) {
    u8(g, first + next(g) % n);
}

static void prefixed(struct gen *g, uint8_t prefix, unsigned code) {
    u8(g, prefix);
    leb(g->b, code);
}

static void reference(struct gen *g) {
    uint8_t which = next(g);

    if (which & 1) {
        u8(g, 0xd0); /* ref.null func */
        u8(g, 0x70);
    } else {
        u8(g, 0xd2);
        leb(g->b, imports() + which % FUNCTIONS);
    }
}

static void call_import(struct gen *g, unsigned which, int depth) {
    for (const char *p = import_params(which); *p; p++) {
        expr(g, *p == 'I' ? I64 : I32, depth);
    }
    u8(g, 0x10);
    leb(g->b, which);
}

static void call_own(struct gen *g, unsigned which, int depth) {
    for (const char *p = types[type_of[which]].params; *p; p++) {
        expr(g, *p == 'I' ? I64 : *p == 'F' ? F64 : I32, depth);
    }
    u8(g, 0x10);
    leb(g->b, imports() + which);
}

static void choice(struct gen *g, uint8_t type, int depth) {
    switch (next(g) % 3) {
    case 0:
        two(g, type, depth);
        expr(g, I32, depth);
        u8(g, 0x1b); /* select */
        break;
    case 1:
        expr(g, I32, depth);
        u8(g, 0x04); /* if */
        u8(g, type);
        expr(g, type, depth);
        u8(g, 0x05);
        expr(g, type, depth);
        u8(g, 0x0b);
        break;
    default:
        u8(g, 0x02); /* block, left early with its value */
        u8(g, type);
        expr(g, type, depth);
        expr(g, I32, depth);
        u8(g, 0x0d);
        u8(g, 0);
        u8(g, 0x0b);
    }
}

/* ---- expressions ---- */

static void compare(struct gen *g, int depth) {
    switch (next(g) % 4) {
    case 0:
        two(g, I32, depth);
        op(g, 0x46, 10);
        break;
    case 1:
        two(g, I64, depth);
        op(g, 0x51, 10);
        break;
    case 2:
        two(g, F64, depth);
        op(g, 0x61, 6);
        break;
    default:
        expr(g, I32, depth);
        u8(g, 0x45);
    }
}

static void convert_i32(struct gen *g, int depth) {
    if (next(g) & 1) {
        expr(g, I64, depth);
        u8(g, 0xa7); /* wrap */
    } else {
        expr(g, F64, depth);
        if (next(g) & 1) {
            prefixed(g, 0xfc, 2 + (next(g) & 1)); /* saturating */
        } else {
            op(g, 0xaa, 2); /* trapping */
        }
    }
}

static void table_i32(struct gen *g, int depth) {
    uint8_t how = next(g);

    switch (how % 3) {
    case 0:
        prefixed(g, 0xfc, 16); /* size */
        u8(g, how >> 7);
        break;
    case 1:
        reference(g);
        expr(g, I32, depth);
        prefixed(g, 0xfc, 15); /* grow */
        u8(g, 0);
        break;
    default:
        expr(g, I32, depth);
        u8(g, 0x25); /* get */
        u8(g, how >> 7);
        u8(g, 0xd1); /* is it null? */
    }
}

static void vector_i32(struct gen *g, int depth) {
    expr(g, I32, depth);
    if (next(g) & 1) {
        prefixed(g, 0xfd, 0); /* v128.load */
        memarg(g);
    } else {
        prefixed(g, 0xfd, 0x11); /* i32x4.splat */
    }
    prefixed(g, 0xfd, 0x1b); /* i32x4.extract_lane */
    u8(g, next(g) & 3);
}

static void expr_i32(struct gen *g, int depth) {
    static const uint8_t loads[] = {0x28, 0x2c, 0x2d, 0x2e, 0x2f};
    unsigned which;

    switch (next(g) % 14) {
    case 0:
        two(g, I32, depth);
        op(g, 0x6a, 15);
        break;
    case 1:
        expr(g, I32, depth);
        op(g, 0x67, 3);
        break;
    case 2:
        compare(g, depth);
        break;
    case 3:
        expr(g, I32, depth);
        u8(g, loads[next(g) % sizeof(loads)]);
        memarg(g);
        break;
    case 4:
        convert_i32(g, depth);
        break;
    case 5:
        u8(g, 0x3f); /* memory.size */
        u8(g, 0);
        break;
    case 6:
        expr(g, I32, depth);
        u8(g, 0x40); /* memory.grow */
        u8(g, 0);
        break;
    case 7:
        table_i32(g, depth);
        break;
    case 8:
        call_own(g, F_I32, depth);
        break;
    case 9:
        two(g, I32, depth);
        u8(g, 0x11); /* call_indirect */
        leb(g->b, imports() + T_I32);
        u8(g, 0);
        break;
    case 10:
        vector_i32(g, depth);
        break;
    case 11:
        choice(g, I32, depth);
        break;
    default:
        which = next(g) % imports();
        call_import(g, which, depth);
        if (!import_returns(which)) {
            constant(g, I32);
        }
    }
}

static void expr_i64(struct gen *g, int depth) {
    switch (next(g) % 6) {
    case 0:
        two(g, I64, depth);
        op(g, 0x7c, 15);
        break;
    case 1:
        expr(g, I32, depth);
        op(g, 0xac, 2); /* extend */
        break;
    case 2:
        expr(g, I32, depth);
        u8(g, 0x29);
        memarg(g);
        break;
    case 3:
        call_own(g, F_I64, depth);
        break;
    case 4:
        expr(g, F64, depth);
        prefixed(g, 0xfc, 6 + (next(g) & 1));
        break;
    default:
        choice(g, I64, depth);
    }
}

static void expr_f64(struct gen *g, int depth) {
    switch (next(g) % 6) {
    case 0:
        two(g, F64, depth);
        op(g, 0xa0, 7);
        break;
    case 1:
        expr(g, F64, depth);
        op(g, 0x99, 7);
        break;
    case 2:
        expr(g, I32, depth);
        u8(g, 0x2b);
        memarg(g);
        break;
    case 3:
        call_own(g, F_F64, depth);
        break;
    case 4:
        expr(g, I64, depth);
        u8(g, next(g) & 1 ? 0xbf : 0xb9); /* reinterpret, convert */
        break;
    default:
        choice(g, F64, depth);
    }
}

static void expr(struct gen *g, uint8_t type, int depth) {
    uint8_t how = g->budget-- > 0 && depth > 0 && g->p < g->end ? next(g) : 0;

    if (how < 90) {
        constant(g, type);
    } else if (how < 130) {
        u8(g, 0x20);
        leb(g->b, local_of(g, type));
    } else if (how < 150) {
        u8(g, 0x23);
        u8(g, type == I32 ? 0 : type == I64 ? 1 : 2);
    } else if (type == I32) {
        expr_i32(g, depth - 1);
    } else if (type == I64) {
        expr_i64(g, depth - 1);
    } else {
        expr_f64(g, depth - 1);
    }
}

/* ---- statements ---- */

static void store(struct gen *g, int depth) {
    static const uint8_t codes[] = {0x36, 0x3a, 0x3b, 0x37, 0x39};
    uint8_t code = codes[next(g) % sizeof(codes)];

    expr(g, I32, depth);
    if (next(g) % 8 == 0) {
        expr(g, I32, depth);
        prefixed(g, 0xfd, 0x11);
        prefixed(g, 0xfd, 0x0b); /* v128.store */
    } else {
        expr(g, code == 0x37 ? I64 : code == 0x39 ? F64 : I32, depth);
        u8(g, code);
    }
    memarg(g);
}

/* Of memory and of tables: destination or index, source or value, length. */
static void bulk(struct gen *g, int depth) {
    static const struct {
        uint8_t code, operands, first, second;
        bool reference;
    } ops[] = {{11, 1, 0, 0, false}, {10, 2, 0, 0, false}, {8, 2, 1, 0, false},
               {9, 1, 1, 0, false},  {17, 1, 0, 0, true},  {14, 2, 0, 0, false},
               {12, 2, 1, 0, false}, {13, 1, 1, 0, false}};
    unsigned i = next(g) % (sizeof(ops) / sizeof(ops[0]));

    if (ops[i].code != 9 && ops[i].code != 13) { /* not the two drops */
        expr(g, I32, depth);
        if (ops[i].reference) {
            reference(g);
        } else {
            expr(g, I32, depth);
        }
        expr(g, I32, depth);
    }
    prefixed(g, 0xfc, ops[i].code);
    u8(g, ops[i].first);
    if (ops[i].operands > 1) {
        u8(g, ops[i].second);
    }
}

/* A loop that counts down, so that most of them end before the fuel does. */
static void loop(struct gen *g, int depth) {
    unsigned counter = g->n_params + (next(g) & 1);

    expr(g, I32, depth);
    u8(g, 0x21);
    leb(g->b, counter);
    u8(g, 0x03);
    u8(g, 0x40);
    statements(g, depth);
    u8(g, 0x20);
    leb(g->b, counter);
    u8(g, 0x41);
    u8(g, 1);
    u8(g, 0x6b);
    u8(g, 0x22);
    leb(g->b, counter);
    u8(g, 0x0d);
    u8(g, 0);
    u8(g, 0x0b);
}

static void branch(struct gen *g, int depth) {
    switch (next(g) % 3) {
    case 0:
        expr(g, I32, depth);
        u8(g, 0x04);
        u8(g, 0x40);
        statements(g, depth);
        u8(g, 0x05);
        statements(g, depth);
        u8(g, 0x0b);
        break;
    case 1:
        u8(g, 0x02);
        u8(g, 0x40);
        statements(g, depth);
        expr(g, I32, depth);
        u8(g, 0x0d);
        u8(g, 0);
        statements(g, depth);
        u8(g, 0x0b);
        break;
    default: /* block block EXPR br_table 1 0 1 end STATEMENTS end */
        sh_buf_add(g->b, "\x02\x40\x02\x40", 4);
        expr(g, I32, depth);
        sh_buf_add(g->b, "\x0e\x02\x01\x00\x01\x0b", 6);
        statements(g, depth);
        u8(g, 0x0b);
    }
}

static uint8_t some_type(struct gen *g) {
    static const uint8_t some[] = {I32, I64, F64, I32};

    return some[next(g) & 3];
}

/* Ends of a function before its end; what follows is typed as if it could be reached. */
static void leave(struct gen *g, int depth) {
    uint8_t how = next(g), result = types[type_of[g->function]].result;

    if (how < 16) {
        u8(g, 0x00); /* unreachable */
    } else if (how < 100 && !result) {
        u8(g, 0x12); /* return_call */
        leb(g->b, imports() + (how & 1 ? F_START : F_SECTION));
    } else if (how < 160) {
        expr(g, I32, depth);
        u8(g, 0x04);
        u8(g, 0x40);
        if (result) {
            expr(g, result, depth);
        }
        u8(g, 0x0f); /* return */
        u8(g, 0x0b);
    }
}

static void statement(struct gen *g, int depth) {
    uint8_t type = some_type(g);
    unsigned which;

    switch (next(g) % 12) {
    case 0:
        expr(g, type, depth);
        u8(g, 0x21);
        leb(g->b, local_of(g, type));
        break;
    case 1:
        expr(g, type, depth);
        u8(g, 0x24);
        u8(g, type == I32 ? 0 : type == I64 ? 1 : 2);
        break;
    case 2:
        store(g, depth);
        break;
    case 3:
        bulk(g, depth);
        break;
    case 4:
        expr(g, I32, depth);
        reference(g);
        u8(g, 0x26); /* table.set */
        u8(g, 0);
        break;
    case 5:
        loop(g, depth);
        break;
    case 6:
        branch(g, depth);
        break;
    case 7:
        leave(g, depth);
        break;
    case 8:
        expr(g, type, depth);
        u8(g, 0x1a);
        break;
    default:
        which = next(g) % imports();
        call_import(g, which, depth);
        if (import_returns(which)) {
            u8(g, next(g) & 1 ? 0x1a : 0x24); /* drop, or keep in the global, which is 0 */
            if ((uint8_t)g->b->p[g->b->len - 1] == 0x24) {
                u8(g, 0);
            }
        }
    }
}

static void statements(struct gen *g, int depth) {
    unsigned n = depth > 0 && g->budget > 0 && g->p < g->end ? next(g) % 6 : 0;

    for (; n > 0; n--) {
        statement(g, depth - 1);
    }
}

/* ---- sections ---- */

static void section(struct sh_buf *wasm, uint8_t id, struct sh_buf *s) {
    sh_buf_u8(wasm, id);
    leb(wasm, s->len);
    sh_buf_add(wasm, s->p, s->len);
    sh_buf_clear(s);
}

static void put_type(struct sh_buf *s, const char *params, uint8_t result) {
    sh_buf_u8(s, 0x60);
    leb(s, strlen(params));
    for (; *params; params++) {
        sh_buf_u8(s, *params == 'I' ? I64 : *params == 'F' ? F64 : I32);
    }
    sh_buf_u8(s, result != 0);
    if (result) {
        sh_buf_u8(s, result);
    }
}

static void put_name(struct sh_buf *s, const char *name) {
    leb(s, strlen(name));
    sh_buf_adds(s, name);
}

/* The first import of the same type as import i: types are few, so that little is compiled. */
static unsigned import_type(unsigned i) {
    unsigned j = 0;

    while (strcmp(import_params(i), import_params(j)) != 0 ||
           import_returns(i) != import_returns(j)) {
        j++;
    }
    return j;
}

static void put_imports(struct sh_buf *wasm, struct sh_buf *s) {
    leb(s, imports() + TYPES);
    for (unsigned i = 0; i < imports(); i++) {
        put_type(s, import_params(i), import_returns(i) ? I32 : 0);
    }
    for (unsigned i = 0; i < TYPES; i++) {
        put_type(s, types[i].params, types[i].result);
    }
    section(wasm, 1, s);
    leb(s, imports());
    for (unsigned i = 0; i < imports(); i++) {
        bool wasi = i < sh_wasi_functions_n;

        put_name(s, wasi ? "wasi_snapshot_preview1" : SH_GUEST_MODULE);
        put_name(s, wasi ? sh_wasi_functions[i].name
                         : sh_guest_functions[i - sh_wasi_functions_n].name);
        sh_buf_u8(s, 0);
        leb(s, import_type(i));
    }
    section(wasm, 2, s);
}

static void put_export(struct sh_buf *s, const char *name, uint8_t kind, unsigned index) {
    put_name(s, name);
    sh_buf_u8(s, kind);
    leb(s, index);
}

/* `shape` decides: 1 a start section, 2 a memory that cannot grow, 4 a reactor, 8 with _initialize
 */
static void put_head(struct sh_buf *wasm, struct sh_buf *s, uint8_t shape) {
    leb(s, FUNCTIONS);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        leb(s, imports() + type_of[i]);
    }
    section(wasm, 3, s);
    sh_buf_add(s, "\x02\x70\x01\x10\x40\x6f\x00\x02", 8); /* funcref 16..64, externref 2.. */
    section(wasm, 4, s);
    sh_buf_add(s, shape & 2 ? "\x01\x01\x01\x01" : "\x01\x01\x01\x20", 4);
    section(wasm, 5, s);
    sh_buf_add(s, "\x03\x7f\x01\x41\x00\x0b\x7e\x01\x42\x00\x0b\x7c\x01\x44\0\0\0\0\0\0\0\0\x0b",
               23);
    section(wasm, 6, s);
    leb(s, shape & 4 ? shape & 8 ? 4 : 3 : 2);
    put_export(s, "memory", 2, 0);
    if (shape & 4) {
        put_export(s, "alloc", 0, imports() + F_ALLOC);
        put_export(s, "run_workflow", 0, imports() + F_RUN);
        if (shape & 8) {
            put_export(s, "_initialize", 0, imports() + F_INITIALIZE);
        }
    } else {
        put_export(s, "_start", 0, imports() + F_START);
    }
    section(wasm, 7, s);
    if (shape & 1) {
        leb(s, imports() + F_SECTION);
        section(wasm, 8, s);
    }
}

static void put_elements(struct sh_buf *wasm, struct sh_buf *s) {
    sh_buf_add(s, "\x02\x00\x41\x00\x0b", 5); /* active in table 0 */
    for (int passive = 0; passive < 2; passive++) {
        if (passive) {
            sh_buf_add(s, "\x01\x00", 2);
        }
        leb(s, FUNCTIONS);
        for (unsigned i = 0; i < FUNCTIONS; i++) {
            leb(s, imports() + i);
        }
    }
    section(wasm, 9, s);
    sh_buf_u8(s, 2);
    section(wasm, 12, s); /* how many data segments */
}

/* Names, JSON and vectors at addresses that a byte can say. */
static void put_data(struct sh_buf *wasm, struct sh_buf *s) {
    static const char bytes[128] =
        "f\0d\0/m/f\0../..\0l\0{}\0[1]\0\"x\"\0calculator\0http\0kv.put\0"
        "{\"ms\":1}\0name\0\x40\0\0\0\x10\0\0\0\x50\0\0\0\x10";

    sh_buf_add(s, "\x02\x00\x41\x00\x0b", 5);
    leb(s, sizeof(bytes));
    sh_buf_add(s, bytes, sizeof(bytes));
    sh_buf_add(s, "\x01\x04\xff\x00\x80\x7f", 6);
    section(wasm, 11, s);
}

static void put_body(struct gen *g, struct sh_buf *s, unsigned function) {
    struct sh_buf body;
    uint8_t result = types[type_of[function]].result;

    sh_buf_init(&body, SH_MIB);
    g->b = &body;
    g->budget = BUDGET / FUNCTIONS;
    g->function = function;
    g->n_params = (unsigned)strlen(types[type_of[function]].params);
    sh_buf_add(&body, "\x03\x02\x7f\x01\x7e\x01\x7c", 7);
    for (unsigned n = next(g) % STATEMENTS_MAX; n > 0 && g->budget > 0 && g->p < g->end; n--) {
        statement(g, DEPTH_MAX);
    }
    if (function == F_ALLOC && next(g) & 3) {
        sh_buf_add(&body, "\x41\x80\x10", 3); /* i32.const 2048: room, most of the time */
    } else if (result) {
        expr(g, result, DEPTH_MAX);
    }
    u8(g, 0x0b);
    leb(s, body.len);
    sh_buf_add(s, body.p, body.len);
    sh_buf_done(&body);
}

void fuzz_generate(struct sh_str bytes, struct sh_buf *wasm, struct fuzz_knobs *ret_knobs) {
    struct gen g = {.p = (const uint8_t *)bytes.p, .end = (const uint8_t *)bytes.p + bytes.len};
    struct sh_buf s;
    uint8_t shape = next(&g);

    ret_knobs->grants = next(&g);
    ret_knobs->cut = shape & 0x10 ? next(&g) : 0;
    sh_buf_init(&s, SH_MIB);
    sh_buf_add(wasm, "\0asm\x01\0\0\0", 8);
    put_imports(wasm, &s);
    put_head(wasm, &s, shape);
    put_elements(wasm, &s);
    leb(&s, FUNCTIONS);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        put_body(&g, &s, i);
    }
    section(wasm, 10, &s);
    put_data(wasm, &s);
    sh_buf_done(&s);
}
