/* Where the program meets the library: everything that makes up a running Shannon, opened and
 * closed in the right order. The HTTP side and the commands reach the engine through this. */
#ifndef SH_API_WORKFLOW_ENGINE_H
#define SH_API_WORKFLOW_ENGINE_H

#include "config.h"
#include "datadir.h"
#include "engine/engine.h"

struct sh_app_options {
    bool attended;           /* somebody can be asked (a server): "ask" waits for an answer */
    bool passive;            /* unfinished workflows stay where they are */
    bool store_only;         /* loop and store, nothing that runs agents */
    bool ephemeral;          /* nothing is kept: a store in memory, a folder that is removed */
    unsigned executors;      /* 0: as configured */
    const char *policy_file; /* that a command was given, or NULL: no agent is given it */
    void (*on_fatal)(void *arg, const struct sh_err *err); /* the store failed: leave with 125 */
    void *on_fatal_arg;
};

struct sh_app {
    struct sh_config config;
    struct sh_datadir dir; /* closed when ephemeral */
    char *root;            /* of modules/ and work/: the data directory, or a temporary folder */
    bool ephemeral;
    struct sh_loop *loop;
    struct sh_store *store;
    struct sh_sandbox *sandbox;
    struct sh_tools *tools;
    struct sh_policy *policy;
    struct sh_engine *engine;
    struct sh_app_options options;
    bool failed; /* on_fatal was called */
    struct sh_err fatal;
};

/* Read the configuration: `file`, else shannon.toml in `data_dir` (either may be NULL), then the
 * environment. */
int sh_app_config(struct sh_config *c, const char *file, const char *data_dir, struct sh_err *err);
/* needs   app->config read; app->dir locked, unless ephemeral
 * takes   app->config and app->dir, to be closed by sh_app_close whatever this gives
 * Runs the loop until all is open. */
int sh_app_open(struct sh_app *app, const struct sh_app_options *options, struct sh_err *err);
/* The configured policy into app->policy. The default file may be absent; one that was named may
 * not. Part of sh_app_open, unless store_only.   needs   app->config read; the lock is not needed
 */
int sh_app_policy(struct sh_app *app, struct sh_err *err);
/* The server listens there: no tool may come back in by it. */
void sh_app_listens(struct sh_app *app, int fd);
/* Workflows stop where they stand and the engine goes: nothing of it answers later. Runs the loop.
 */
void sh_app_stop(struct sh_app *app);
/* The same, and the rest. Runs the loop until all is closed. Takes half-opened ones. */
void sh_app_close(struct sh_app *app);

/* Register the agents of [agents] path and those that ship beside the binary, under their file
 * names; a file is authoritative for its name. Runs the loop. */
int sh_app_register_agents(struct sh_app *app, struct sh_err *err);
/* The file of a shipped or configured agent, or NULL; yours to free. */
char *sh_app_agent_file(const struct sh_app *app, const char *name);
/* NAME.json, else NAME.toml, beside NAME.wasm is the agent's manifest where it has the member
 * "capabilities" (else it is some file of the agent's own): gives a reference to that member's
 * value, and leaves *ret untouched when there is none. */
int sh_app_manifest(const char *agent_path, json_t **ret, struct sh_err *err);
/* A file that ships beside the binary (share/shannon/NAME), or NULL; yours to free. */
char *sh_share_path(const char *name);

/* An answer of the engine, waited for by running the loop: for commands, never for the server. */
struct sh_wait {
    struct sh_app *app;
    bool done;
    json_t *value; /* owned */
    struct sh_err err;
};
void sh_wait_json(void *arg, json_t *value, const struct sh_err *err); /* sh_engine_json_fn */
void sh_wait_store(void *arg, const struct sh_err *err);               /* sh_store_done_fn */
void sh_wait_plain(void *arg);
/* 0, or the answer's failure. */
int sh_wait_run(struct sh_wait *w, struct sh_err *err);

#endif
