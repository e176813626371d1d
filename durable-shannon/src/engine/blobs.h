/* Who needs a blob: the files under blobs/, named by their hash, that journals keep beside
 * themselves. Each workflow whose journal names one has two records in SH_TABLE_BLOB, written in
 * the transaction of the event that names it: "WORKFLOW/HASH" {blob, seq of that event} and
 * "HASH/WORKFLOW". When they go, a note "blob:HASH" in the table meta asks for a look: a blob that
 * nobody names any more leaves the disk.
 *
 * A blob may be about to be named: it was kept, or found to be there already, by an agent whose
 * event is still on its way. Both make the file young, and a young one stays until it is not. */
#ifndef SH_ENGINE_BLOBS_H
#define SH_ENGINE_BLOBS_H

#include "engine/engine.h"

struct sh_workflow;

struct sh_blobs {
    bool counted; /* every journal of this data directory has its records */
    bool changed; /* while they are counted: tasks came or went, it is to be done again */
    bool restored, counting;
    struct sh_timer timer;
    json_t *held; /* of payload.c */
};

/* Records to be written; keys and values are theirs until done. */
struct sh_blob_puts {
    struct sh_put *v;
    size_t n, cap;
};
void sh_blob_puts_name(struct sh_blob_puts *p, const char *id, const char *hex, uint64_t seq);
void sh_blob_puts_drop(struct sh_blob_puts *p, const char *id, const char *hex);
void sh_blob_puts_done(struct sh_blob_puts *p);

/* The open commit of wf holds event `seq`, which names the blobs that are the members of `set`. */
void sh_blobs_named(struct sh_workflow *wf, const json_t *set, uint64_t seq);
/* Many names, in commits of their own: before the event that needs them. Takes them out of the set;
 * cb once, later. seq INT64_MAX: until the task is forgotten */
#define SH_BLOBS_AT_ONCE 1000 /* of one commit, beside its event */
void sh_blobs_name_all(struct sh_engine *e, const char *id, json_t *set, uint64_t seq,
                       sh_store_done_fn cb, void *arg);
/* The same of an observation: nothing where it is none that is kept beside the journal. */
void sh_blobs_observed(struct sh_workflow *wf, struct sh_str kind, struct sh_str bytes,
                       uint64_t seq);

/* Have a sweep look at this blob, now or after a crash: before it is written. cb once, later. */
void sh_blobs_note(struct sh_engine *e, const char *hex, sh_store_done_fn cb, void *arg);
/* Look after all notes; cb, which may be NULL, once that is done. It never fails: what could not be
 * done is tried again later. */
void sh_blobs_sweep(struct sh_engine *e, void (*cb)(void *arg), void *arg);
void sh_blobs_stop(struct sh_engine *e);
/* Events 1 to k of a journal are gone: so are their names. */
void sh_blobs_cut(struct sh_engine *e, const char *id, uint64_t k);

/* ---- blobs_file.c: pool threads ---- */

/* The files that a manifest lists, into the set.
 * fails  SH_E_NOT_FOUND, SH_E_IO, SH_E_JSON: it is not to be read */
int sh_blobs_of_manifest(const char *folder, const char *hex, json_t *set, struct sh_err *err);
/* An event that names these is about to be written: make them young. fails  SH_E_IO: one has gone
 * meanwhile */
int sh_blobs_touch(const char *folder, const json_t *set, struct sh_err *err);
enum sh_blob_fate { SH_BLOB_GONE, SH_BLOB_YOUNG, SH_BLOB_FAILED };
/* It is named by nobody: remove it, unless it is younger than that. */
enum sh_blob_fate sh_blob_remove(const char *folder, const char *hex, uint64_t grace_ms);
/* What a crash left in the middle of it, put back. */
void sh_blobs_restore(const char *folder);

/* ---- blobs_count.c ---- */

/* A data directory of an older version: its journals are read once. done: counted, or not yet */
void sh_blobs_count(struct sh_engine *e, void (*done)(struct sh_engine *e, void *arg), void *arg);

#endif
