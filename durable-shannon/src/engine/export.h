/* A workflow as one file that another machine verifies and replays offline: a tar (archive.h) of
 *   manifest.json   {format: "shannon export", version: 1, id, runtime, exported_at_us, signed (the
 *                    head, sign.h), interpreter? (hash), files: [{name, bytes, sha256}]}
 *   journal.jsonl   one line an event: {seq, time_us, type, hash, body}; body is text, verbatim
 *   blobs/HASH      what the journal keeps beside itself: large observations, files of checkpoints
 *   modules/HASH    the agent; what a script imports; the interpreter where it was asked for
 * Everything else (capabilities, input, seed) is in the journal's first events. */
#ifndef SH_ENGINE_EXPORT_H
#define SH_ENGINE_EXPORT_H

#include "engine/engine.h"

#define SH_EXPORT_VERSION 1
#define SH_EXPORT_MODULES_MAX 3

/* An archive, checked as far as that needs no other knowledge: names, hashes of files, the chain of
 * the journal, the signature over its last event. Views are into the archive. */
struct sh_import {
    struct sh_id id;
    json_t *manifest;
    struct sh_str journal; /* of its lines */
    struct {
        struct sh_hash hash;
        struct sh_str bytes;
    } modules[SH_EXPORT_MODULES_MAX], *blobs;
    size_t n_modules, n_blobs;
    struct sh_event_record *events;
    char **texts; /* type and body of each event, decoded: two entries an event */
    size_t n_events;
};
void sh_import_done(struct sh_import *im);
/* gives  *ret, which stays where it is: its events point into it; all-zero after a failure
 * fails  SH_E_CORRUPT, SH_E_VERSION, SH_E_LIMIT, SH_E_JSON      thread any */
int sh_import_read(struct sh_str archive, struct sh_import *ret, struct sh_err *err);

#endif
