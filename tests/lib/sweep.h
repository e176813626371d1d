/* The sweep: what a client does with an engine, over and over, and each time another marked place
 * fails (base/fault.h). Then a start with nothing failing, in which the client asks again for what
 * it was not promised; and what must hold is checked (sweep.c says what).
 *
 * A scenario is a list of steps. The client does them in order, takes refusals as they come, and
 * tries again as long as the engine lives. Its state is `sweep`, of one run; a step is a function
 * that asks for one thing and waits for the answer (sweep_client.c). */
#ifndef SH_TESTS_SWEEP_H
#define SH_TESTS_SWEEP_H

#include "check_main.h"
#include "engine_fixture.h"

#define SWEEP_LATER (-1)  /* of a step: what it waits for is not there yet */
#define SWEEP_SILENT (-2) /* the engine has stopped by itself, and answers nothing more */
#define SWEEP_FOLLOWED 4  /* workflows whose ends are compared */
#define SWEEP_STEPS 8
#define SWEEP_PATIENCE_MS 20000 /* of whatever is to come right by itself */

struct sweep_step {
    const char *what;
    int (*ask)(void); /* 0: promised; else the error's code, SWEEP_LATER or SWEEP_SILENT */
    /* Is it in what a power cut would leave? NULL: to ask again is harmless, so that it is done
     * again after the restart even when it was promised. */
    bool (*holds)(const json_t *durable);
    bool waits; /* it only waits, and is not done again */
};

struct sweep_scenario {
    const char *name;
    void (*set)(struct fixture *f);       /* configuration, or NULL */
    void (*prepare)(void);                /* with an engine that does not fail, or NULL */
    void (*then)(struct fixture *f);      /* configuration from there on, or NULL */
    const struct sweep_step *steps;       /* up to one without a name */
    void (*check)(const json_t *durable); /* besides, at the end, or NULL */
    bool differs; /* what it comes to, because its agent is shown what failed */
};

/* NULL-terminated; each file has some. */
extern const struct sweep_scenario *const sweep_runs[],
    *const sweep_talks[], *const sweep_times[], *const sweep_upkeep[];

/* The client of this run. */
struct sweep {
    struct fixture f;
    char place[200];                         /* how to repeat it, for messages */
    bool faulty;                             /* something may fail now */
    char ids[SWEEP_FOLLOWED][SH_ID_MAX + 1]; /* "": not known (yet) */
    int kept;                                /* a file that a step was given, or -1 */
    char note[SH_ID_MAX + 1];                /* a step's own */
    struct sh_err err;                       /* of the last refusal */
};
extern struct sweep sweep;

#define sweep_assert(what, ...)                                                                    \
    do {                                                                                           \
        sh_auto(sh_free_p) char *sweep_text = sh_asprintf(__VA_ARGS__);                            \
        ck_assert_msg((what), "%s: %s", sweep.place, sweep_text);                                  \
    } while (0)

/* One run in which the k-th place fails, once or from then on, and what must hold after it.
 * k = 0: nothing fails; then gives what the run came to (see `expected`), else NULL. */
char *sweep_run(const struct sweep_scenario *s, uint64_t k, bool for_ever, const char *expected,
                uint64_t *ret_hits);

/* ---- for steps ---- */

/* One request that was sent. It may be answered when nobody waits any more. */
struct sweep_answer {
    bool done;
    struct sh_err err;
    json_t *value;
    int fd; /* ours until a step takes it; or -1 */
};
struct sweep_answer *sweep_ask(void); /* the run's */
/* 0, an error's code (every one has a message) or SWEEP_SILENT */
int sweep_answered(struct sweep_answer *a);
void sweep_on_json(void *arg, json_t *value, const struct sh_err *err);
void sweep_on_submit(void *arg, json_t *row, bool cached, const struct sh_err *err);
void sweep_on_file(void *arg, int fd, uint64_t bytes, const struct sh_err *err);

/* Register the program and submit it as ids[n], always under the same key: one task, however often
 * it is asked for. extra: or NULL */
int sweep_submit(size_t n, const char *program, const struct sh_submit *extra);
int sweep_module(const char *program, const char *name); /* registers it alone */
int sweep_signal(size_t n, const char *name, int payload);
int sweep_compact(void); /* the journal of ids[0] */
bool sweep_compacted(const json_t *durable);
int sweep_asleep(void);                                 /* waits until a workflow has left memory */
json_t *sweep_journal(const json_t *durable, size_t n); /* events of ids[n], borrowed; or NULL */
json_t *sweep_row(const json_t *durable, size_t n);     /* likewise */
/* How many events of that type, with that member of the body (NULL: any) being `value`. takes value
 */
size_t sweep_count(const json_t *durable, size_t n, const char *type, const char *member,
                   json_t *value);
json_t *sweep_policy(const char *text); /* kept until the process ends */
void sweep_forget_followers(size_t n);  /* ids[n] leaves nothing that would be told */

/* For prepare(): with an engine that does not fail. Aborts where the step is refused. */
void sweep_sure(int code, const char *what);
void sweep_end_of(size_t n); /* runs until it has ended */
void sweep_elsewhere(void);  /* another folder and store, with nothing in them */

#endif
