/* A first look at a module's bytes: what it asks for and whether it stays within what the compiler
 * can bear. No Wasmtime, so that it is tested and fuzzed alone; full validation comes after it. */
#ifndef SH_GUEST_SCAN_H
#define SH_GUEST_SCAN_H

#include "base/base.h"

/* Signatures have a letter each: i = i32, I = i64, f = f32, F = f64, v = v128, r = a reference. */
struct sh_signature {
    const char *params, *results;
};
/* The signature of a function that agents may import. False: there is none of that name. */
typedef bool (*sh_scan_resolve_fn)(struct sh_str module, struct sh_str name,
                                   struct sh_signature *ret);

struct sh_scan {
    bool start_section; /* instantiating it runs its code */
    bool command;       /* exports _start; else run_workflow, alloc and memory */
    bool initialize;    /* exports _initialize, to be called before run_workflow */
    bool memory;        /* exports `memory` */
    uint64_t memory_min_bytes;
    uint32_t functions, tables;
};

/* Bounds that Cranelift 40 does not check by itself (it packs entity numbers into 24 bits). */
#define SH_SCAN_FUNCTIONS_MAX 100000
#define SH_SCAN_TYPES_MAX 100000
#define SH_SCAN_IMPORTS_MAX 10000
#define SH_SCAN_GLOBALS_MAX 100000
#define SH_SCAN_SEGMENTS_MAX 100000 /* data, and elements */
#define SH_SCAN_TABLES_MAX 4
#define SH_SCAN_TABLE_ELEMENTS_MAX 200000
#define SH_SCAN_BODY_MAX (7 * SH_MIB)
#define SH_SCAN_LOCALS_MAX 50000
#define SH_SCAN_ARITY_MAX 1000 /* parameters, and results, of one type */
#define SH_SCAN_BR_TABLE_MAX 65520
#define SH_SCAN_NAME_MAX 4096       /* bytes in the name of a function */
#define SH_SCAN_WEIGHT_MAX 12000000 /* values that one function may give rise to */

/* fails  SH_E_MODULE (malformed, not supported, no entry point), SH_E_IMPORT (names each),
 *        SH_E_LIMIT, SH_E_NOMEM */
int sh_guest_scan(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_scan *ret,
                  struct sh_err *err);

/* The module as it is compiled: bulk instructions pay fuel for their length (guest_meter.c). One
 * without them comes back as it is.
 * gives  appended to *ret, at most 3 bytes a bulk instruction and 1 KiB larger; to *marks, where
 *        code is that has moved: struct sh_lines_mark, in order
 * fails  as sh_guest_scan */
int sh_guest_meter(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_buf *ret,
                   struct sh_buf *marks, struct sh_err *err);

#endif
