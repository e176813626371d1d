/* Private to the scan: its state, and bounded reading of a module's bytes. */
#ifndef SH_GUEST_SCAN_IMPL_H
#define SH_GUEST_SCAN_IMPL_H

#include "microsandbox/guest_scan.h"

struct sh_scan_type {
    const uint8_t *params, *results;
    uint32_t n_params, n_results;
};

struct sh_scan_state {
    const uint8_t *p, *end, *begin; /* end: of the section */
    bool failed;                    /* read past the end, or a number too long */
    sh_scan_resolve_fn resolve;
    struct sh_err *err;
    struct sh_scan *ret;
    struct sh_scan_type *types;
    uint32_t n_types;
    uint32_t *functions; /* type of each, imported ones first */
    uint32_t n_functions, n_imported, n_bodies;
    bool run_workflow, alloc;
    struct sh_buf *sites;  /* where bulk instructions are, see sh_guest_scan_sites; or NULL */
    struct sh_buf unknown; /* imports that do not exist */
    unsigned n_unknown;
};

/* Each reads within the section; past its end `failed` is set and zero comes. */
uint8_t sh_scan_u8(struct sh_scan_state *s);
uint32_t sh_scan_u32(struct sh_scan_state *s);
/* LEB128 of at most `bits` bits; signed ones are only skipped, so their value does not matter. */
uint64_t sh_scan_leb(struct sh_scan_state *s, unsigned bits);
const uint8_t *sh_scan_bytes(struct sh_scan_state *s, uint64_t n);

/* The letter of a value type (see struct sh_signature), or 0. */
char sh_scan_letter(uint8_t type);

int sh_scan_malformed(struct sh_scan_state *s, const char *what);
int sh_scan_over(struct sh_scan_state *s, const char *what, uint64_t have, uint64_t max);

/* sh_guest_scan that also notes each bulk instruction, in order, as a uint64_t: twice its offset in
 * the module, with SH_SCAN_SITE_TABLE where its length counts elements and not bytes. */
#define SH_SCAN_SITE_TABLE 1
int sh_guest_scan_sites(struct sh_str wasm, sh_scan_resolve_fn resolve, struct sh_scan *ret,
                        struct sh_buf *sites, struct sh_err *err);

/* The body of function `index`, at s->p. */
int sh_scan_body(struct sh_scan_state *s, uint32_t index);

#endif
