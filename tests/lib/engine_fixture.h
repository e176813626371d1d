/* An engine on the in-memory twin, in a temporary directory, with the fake sandbox and fake tools:
 *
 *     struct fixture f;
 *     fixture_open(&f, "name");
 *     char *id = fixture_submit(&f, "(module\nprint hello\n", NULL);
 *     json_t *row = fixture_wait(&f, id);            its row when it has ended
 *     fixture_close(&f);
 *
 * fixture_crash takes the power away and starts a new engine on what is left. */
#ifndef SH_TESTS_ENGINE_FIXTURE_H
#define SH_TESTS_ENGINE_FIXTURE_H

#include "engine/engine.h"
#include "store/store_twin.h"

struct fixture {
    char dir[64], endpoint[64];
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    const json_t *policy_doc; /* set before opening, or NULL */
    bool fatal;
    bool budget_asks;
    bool attended; /* set before opening: somebody can be asked */
    uint64_t approval_timeout_ms, cancel_grace_ms;
    uint64_t keep_ms, keep_failed_ms, first_sweep_ns; /* set before opening */
    uint64_t compact_after, compact_slice;            /* set before opening, or 0 */
    uint64_t compact_bytes, blob_grace_ms;            /* likewise */
    uint64_t file_stuck_ms;                           /* set before opening, or 0 */
    uint64_t passivate_after_ms;                      /* likewise */
    bool watch_disk;                                  /* likewise */
    const char *worker; /* of the real sandbox: who compiles for it; set before opening, or NULL */
    size_t max_running, session_max_running;
    const json_t *agent_max_running;
};

/* In parts, for who starts an engine in a way of its own: a folder, a loop and the twin's name, and
 * what is in those; the configuration that the fixture says, of what is open in it. */
void fixture_begin(struct fixture *f, const char *name);
void fixture_end(struct fixture *f);
struct sh_engine_config fixture_config(struct fixture *f);

void fixture_open(struct fixture *f, const char *name);
void fixture_close(struct fixture *f);
void fixture_start_engine(struct fixture *f);
void fixture_stop_engine(struct fixture *f);
void fixture_crash(struct fixture *f, enum sh_twin_loss loss);

/* One answer of the engine: the `arg` of the callbacks below, which end fixture_run(f, &a.done).
 * `value` is a copy, yours. */
struct fixture_answer {
    struct fixture *f; /* set before */
    bool done;
    json_t *value; /* or NULL */
    struct sh_err err;
};
void fixture_on_json(void *arg, json_t *value, const struct sh_err *err);
void fixture_on_done(void *arg, const struct sh_err *err);

/* Registers the program under a name that tasks may start it by. */
void fixture_add_agent(struct fixture *f, const char *name, const char *program);
json_t *fixture_json(const char *text); /* what it says; new */

/* Of the fake sandbox: how many steps `hold`, an end to all of them, and from then on anew. */
unsigned fake_held(void);
void fake_hold_release(void);
void fake_hold_again(void);

/* Registers the program under its hash and submits it; `extra` may set more (agent, query and input
 * are filled when empty). NULL when refused, with the reason in f_error. */
char *fixture_submit(struct fixture *f, const char *program, const struct sh_submit *extra);
extern struct sh_err fixture_error;
extern const char *fixture_runtime; /* what the fake sandbox calls itself */
/* Runs the loop until the workflow's row says it has ended (10 s). New reference. */
json_t *fixture_wait(struct fixture *f, const char *id);
json_t *fixture_row(struct fixture *f, const char *id);    /* now */
json_t *fixture_events(struct fixture *f, const char *id); /* array */
json_t *fixture_verify(struct fixture *f, const char *id);
/* How many events of that type; the first of them by `ret` (borrowed from events), if not NULL. */
size_t fixture_count(json_t *events, const char *type, json_t **ret);
/* Run the loop until the journal holds n events of that type (20 s). */
void fixture_await(struct fixture *f, const char *id, const char *type, size_t n);
/* Run the loop until *flag, at most 10 s. */
void fixture_run(struct fixture *f, bool *flag);
void fixture_run_ms(struct fixture *f, uint64_t ms);
/* Questions that wait for a person; array */
json_t *fixture_approvals(struct fixture *f);
/* Wait until the workflow has one, and answer the first. scope NULL: deny. gives the error's code
 */
int fixture_answer(struct fixture *f, const char *id, const char *scope);
int fixture_decide(struct fixture *f, const char *id, const char *approval); /* deny it */
/* Send a signal; the error's code. takes payload */
int fixture_signal(struct fixture *f, const char *id, const char *name, json_t *payload);
/* cancel, pause or resume; the error's code, 0 when done */
int fixture_control(struct fixture *f, const char *id,
                    void (*control)(struct sh_engine *, struct sh_str, const char *, const char *,
                                    sh_engine_json_fn, void *));

#endif
