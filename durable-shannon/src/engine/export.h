/* A workflow as one file that another machine verifies and replays offline: a tar (archive.h) of
 *   manifest.json   {format: "shannon export", version: 1, id, runtime, exported_at_us, signed (the
 *                    head, sign.h), interpreter? (hash), files: [{name, bytes, sha256}]}
 *   journal.jsonl   one line an event: {seq, time_us, type, hash, body}; body is text, verbatim
 *   blobs/HASH      what the journal keeps beside itself: large observations, files of checkpoints
 *   modules/HASH    the agent; what a script imports; the interpreter where it was asked for
 * Everything else (capabilities, input, seed) is in the journal's first events. None of it but the
 * manifest needs to fit memory: it is written to, and read from, a file piece by piece. */
#ifndef SH_ENGINE_EXPORT_H
#define SH_ENGINE_EXPORT_H

#include "engine/engine.h"

#define SH_EXPORT_VERSION 1
#define SH_EXPORT_MODULES_MAX 3

/* A file of an archive: where its bytes are. */
struct sh_import_part {
    struct sh_hash hash;
    uint64_t at, bytes;
};

/* An archive, checked as far as that needs no other knowledge: names, hashes of files, the chain of
 * the journal, the signature over its last event. */
struct sh_import {
    int fd; /* borrowed */
    struct sh_id id;
    json_t *manifest;
    json_t *expected; /* of the manifest's files, by name, those that have not come yet */
    struct sh_import_part journal, modules[SH_EXPORT_MODULES_MAX], *blobs;
    size_t n_modules, n_blobs;
    uint64_t n_events, last; /* of the journal: how many, and the number of the last */
};
void sh_import_done(struct sh_import *im);

/* Told of each event when the chain up to it was checked. A failure ends the reading. */
typedef int (*sh_import_event_fn)(void *arg, const struct sh_event_record *ev, struct sh_err *err);
/* needs  a file that nobody writes to      gives  *ret; all-zero after a failure
 * fails  SH_E_CORRUPT, SH_E_VERSION, SH_E_LIMIT, SH_E_JSON, SH_E_IO      thread any; blocks */
int sh_import_read(int fd, sh_import_event_fn each, void *arg, struct sh_import *ret,
                   struct sh_err *err);

/* The events of a journal, one after the other. */
struct sh_import_lines {
    const struct sh_import *im;
    uint64_t at;        /* of the journal: read into `text` so far */
    struct sh_buf text; /* that was read, of which `used` bytes were taken */
    size_t used;
    uint64_t line;
};
void sh_import_lines_init(struct sh_import_lines *l, const struct sh_import *im);
void sh_import_lines_done(struct sh_import_lines *l);
/* gives  1 and the next event, which points into *ret_line, a new reference; 0 after the last
 * fails  SH_E_CORRUPT, SH_E_VERSION, SH_E_JSON, SH_E_LIMIT, SH_E_IO      blocks */
int sh_import_next(struct sh_import_lines *l, json_t **ret_line, struct sh_event_record *ret,
                   struct sh_err *err);

#endif
