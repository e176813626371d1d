/* What is kept of a module so that its traps have a file and a line: where code went when it was
 * metered, and its debugging information. No Wasmtime, so that it is tested alone.
 *
 * The record is ours and private: its name depends on everything that it depends on. Its sections
 * are the module's own words, which may lie. */
#ifndef SH_GUEST_LINES_H
#define SH_GUEST_LINES_H

#include "microsandbox/guest_scan_impl.h"

#define SH_LINES_SECTIONS_MAX 16
#define SH_LINES_PLACES_MAX 128 /* frames of a backtrace, with inlined functions */

/* From `at` on, what is compiled was at `original` in its author's module. */
struct sh_lines_mark {
    uint32_t at, original;
};

struct sh_lines_section {
    struct sh_str name, bytes;
};

struct sh_lines {
    struct sh_str marks; /* struct sh_lines_mark, of any alignment */
    uint64_t code;       /* where the code section's content begins: addresses count from there */
    struct sh_lines_section section[SH_LINES_SECTIONS_MAX];
    size_t n_sections; /* 0: nothing is known of files and lines */
};

/* Is the section at s->p, up to s->end, one that lines are found by? Its parts, if asked for. */
bool sh_lines_wants(const struct sh_scan_state *s, uint8_t id, struct sh_lines_section *ret);

/* The record of a module that was scanned; nothing when there is nothing to keep.
 * gives  appended to *ret */
void sh_lines_write(struct sh_str wasm, const struct sh_buf *marks, struct sh_buf *ret);
/* gives  views into `record`     fails  -SH_E_INVAL */
int sh_lines_read(struct sh_str record, struct sh_lines *ret);

/* Where in its author's module is this offset of the compiled one? */
uint64_t sh_lines_original(const struct sh_lines *l, uint64_t offset);
/* Frames of a trap: their offsets become those of the author's module. */
void sh_lines_move(const struct sh_lines *l, json_t *frames);
/* Give frames their places: `places` has a list for each frame, innermost first, of {function,
 * file, line}; what else it may have is ignored. Inlined functions become frames of their own.
 * gives  new frames */
json_t *sh_lines_merge(const json_t *frames, const json_t *places);

#endif
