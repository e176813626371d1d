/* What the clients of a simulated history want and know: a program each, under an idempotency key,
 * and everything that they were told, which no crash may take back. */
#ifndef SH_TESTS_SIM_CLIENT_H
#define SH_TESTS_SIM_CLIENT_H

#include "engine/engine.h"

#define CLIENTS_MAX 6

struct client {
    char *program;
    unsigned number, tries;
    char key[32], session[32];
    unsigned updates; /* how many the program waits for */
    bool checkpoints; /* it may begin anew: no handles by number */
    bool talks;       /* members of its family wait for an update */
    bool cancels;     /* at some time: how its run ends depends on when */

    char id[SH_ID_MAX + 1];   /* once told */
    json_t *told;             /* hashes of the events that were read */
    int64_t submitted_us;     /* by the wall clock: keys are kept for a day */
    unsigned acknowledged;    /* updates */
    bool asking, ended;       /* one request at a time */
    bool canceled;            /* it was told so */
    struct sh_engine *engine; /* that it asked last */
    char *digest;             /* of the undisturbed run */
    json_t *calm;             /* its journal */
};

/* Print what broke, the seed and the command that repeats it; then exit. */
void sim_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
#define SIM_CHECK(cond, ...)                                                                       \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            sim_fail(__VA_ARGS__);                                                                 \
        }                                                                                          \
    } while (0)

/* Draw a program; `families`: of children above all. */
void client_make(struct client *c, unsigned number, bool families);
void client_done(struct client *c);
struct client_agent {
    const char *name, *program;
};
extern const struct client_agent client_agents[]; /* that programs start; the last is {NULL} */

/* Do something of its own accord: submit, read on, send an update, cancel. */
void client_act(struct client *c, struct sh_engine *e);
/* Requests that have not been answered. */
unsigned clients_waiting(void);

/* The op llm: how often it may fail from now on; calls answered and durable are in `done`, and must
 * not be made again. */
void model_begin(void);
void model_end(void);
void model_fail(void);
void model_durable(const json_t *snapshot); /* of the twin: what is on disk now */

#endif
