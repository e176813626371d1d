/* A task's input or result that is too large for an event: JSON text, at most SH_PAYLOAD_MAX bytes,
 * kept as a blob (blobs.h) and never made into values. Events and rows have a reference to it,
 * {"blob": hash, "bytes": n}, under a name of its own ("input_kept", "output_kept"), so that no
 * value of an agent can be taken for one. What fits an event is in the event, as ever.
 *
 *   keep: checked and hashed (pool) -> a note asks for a look at the blob (store) -> written (pool)
 *
 * The note comes first, so that a crash at any point leaves nothing for good: the next sweep finds
 * a blob that nobody names. Until it is named, the blob is held, and a sweep passes it over. */
#ifndef SH_ENGINE_PAYLOAD_H
#define SH_ENGINE_PAYLOAD_H

#include "engine/engine.h"

struct sh_workflow;

#define SH_INPUT_KEPT "input_kept"
#define SH_OUTPUT_KEPT "output_kept"

struct sh_payload {
    struct sh_hash hash;
    uint64_t bytes; /* 0: there is none */
};
json_t *sh_payload_json(const struct sh_payload *p);
/* A reference of a journal. false: it is none */
bool sh_payload_parse(const json_t *ref, struct sh_payload *ret);
/* The payloads that the body of an event names, into the set {hash: false}. */
void sh_payload_names(const json_t *body, json_t *set);
/* The open commit of wf is the one that names it; it stays until the task is forgotten. */
void sh_payload_named(struct sh_workflow *wf, const struct sh_payload *p);

/* Keep a text that is JSON.  takes  text, which is empty then
 * gives  cb once, later: what it is called, held until sh_payload_release
 * fails  SH_E_JSON, SH_E_LIMIT, SH_E_IO, what the store says */
typedef void (*sh_payload_fn)(void *arg, const struct sh_payload *kept, const struct sh_err *err);
enum sh_payload_how {
    SH_PAYLOAD_INPUT,
    SH_PAYLOAD_RESULT, /* what is no JSON becomes a string, as with small ones */
    SH_PAYLOAD_VERIFY, /* the same, but nothing is written */
};
void sh_payload_keep(struct sh_engine *e, struct sh_buf *text, enum sh_payload_how how,
                     sh_payload_fn cb, void *arg);
void sh_payload_release(struct sh_engine *e, const struct sh_payload *p);
bool sh_payload_is_held(const struct sh_engine *e, const char *hex);

/* The whole text, as it was kept.  thread  any; blocks    needs  ret empty, its maximum is set here
 * fails  SH_E_CORRUPT: it has gone, or other bytes are there; SH_E_IO, SH_E_NOMEM */
int sh_payload_read(const char *folder, const struct sh_payload *p, struct sh_buf *ret,
                    struct sh_err *err);

/* The agent of a RUNNABLE workflow gave a result that is to be kept: nothing is done with what else
 * it left before that is done; then it is as if its step had ended now.
 * gives  false: there is none */
struct sh_task;
bool sh_output_keep(struct sh_task *task);

/* The operation `input` over /dev/shannon: of an input that is a value. */
struct sh_activity;
void sh_input_run(struct sh_activity *a);

#endif
