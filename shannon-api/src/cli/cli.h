/* The commands: what they share. Each command is one function over its argv. */
#ifndef SH_API_CLI_H
#define SH_API_CLI_H

#include "flags.h"
#include "http/api.h"

#include <stdio.h>

/* Exit status of our own errors, as `env` and `timeout` use it. */
#define SH_EXIT_OWN 125

struct sh_command {
    const char *name, *usage, *summary;
    int (*run)(int argc, char *const argv[]);
};
int sh_cmd_serve(int argc, char *const argv[]);
int sh_cmd_run(int argc, char *const argv[]);
int sh_cmd_mcp(int argc, char *const argv[]);
int sh_cmd_tasks(int argc, char *const argv[]);
int sh_cmd_status(int argc, char *const argv[]);
int sh_cmd_events(int argc, char *const argv[]);
int sh_cmd_result(int argc, char *const argv[]);
int sh_cmd_cancel(int argc, char *const argv[]);
int sh_cmd_pause(int argc, char *const argv[]);
int sh_cmd_resume(int argc, char *const argv[]);
int sh_cmd_schedules(int argc, char *const argv[]);
int sh_cmd_raise(int argc, char *const argv[]);
int sh_cmd_signal(int argc, char *const argv[]);
int sh_cmd_update(int argc, char *const argv[]);
int sh_cmd_query(int argc, char *const argv[]);
int sh_cmd_sessions(int argc, char *const argv[]);
int sh_cmd_approvals(int argc, char *const argv[]);
int sh_cmd_approve(int argc, char *const argv[]);
int sh_cmd_deny(int argc, char *const argv[]);
int sh_cmd_verify(int argc, char *const argv[]);
int sh_cmd_compact(int argc, char *const argv[]);
int sh_cmd_forget(int argc, char *const argv[]);
int sh_cmd_replay(int argc, char *const argv[]);
int sh_cmd_fork(int argc, char *const argv[]);
int sh_cmd_export(int argc, char *const argv[]);
int sh_cmd_import(int argc, char *const argv[]);
int sh_cmd_explain(int argc, char *const argv[]);
int sh_cmd_modules(int argc, char *const argv[]);
int sh_cmd_sql(int argc, char *const argv[]);
int sh_cmd_tools(int argc, char *const argv[]);
int sh_cmd_new(int argc, char *const argv[]);
int sh_cmd_version(int argc, char *const argv[]);
int sh_cmd_doctor(int argc, char *const argv[]);

/* Flags that every command has, and what its table adds. */
struct sh_common {
    const char *data_dir, *config;
    bool json, help;
    bool active;     /* unfinished workflows are taken up while the command runs, not left alone */
    bool store_only; /* nothing that runs agents is opened: sh_client_call answers only when remote
                      */
    struct sh_values operands;
};
/* Reads the command line. 0: go on; 1: help was printed, leave with 0; negative: an error that was
 * printed, leave with SH_EXIT_OWN. `least` and `most` operands are expected. */
int sh_cli_parse(struct sh_common *common, const char *usage, const struct sh_flag *flags,
                 size_t n_flags, size_t least, size_t most, int argc, char *const argv[]);
#define SH_N(array) (sizeof(array) / sizeof((array)[0]))

/* One line on stderr, "shannon: ..."; gives the exit status of the error's code. */
int sh_cli_fail(const struct sh_err *err);
void sh_cli_print_json(const json_t *value); /* stdout, indented, a newline */
/* Foreign text for a terminal: control characters become '?'. At most `width` bytes when not 0. */
void sh_cli_print_text(FILE *out, struct sh_str text, size_t width);
/* Flush stdout; SH_EXIT_OWN when it did not take everything. */
int sh_cli_end(int status);

/* --- a client of the API, over the owner's socket or in this process ----------------------------
 */

struct sh_client {
    struct sh_app app; /* loop only, when remote */
    struct sh_api api;
    bool remote;
    long owner; /* process that owns the data directory, when remote */
};
/* Join the owner of the data directory, or open it here (passively). create: make it if absent. */
int sh_client_open(struct sh_client *c, const struct sh_common *common, bool create,
                   struct sh_err *err);
void sh_client_close(struct sh_client *c);
/* What the API answered with, from 400 on, as the error that it was before it became JSON. */
int sh_client_error(int status, const json_t *body, struct sh_err *err);
/* One request. gives  the body of a success as JSON in *ret (ret may be NULL)
 * fails  what the API answered, as its own code; SH_E_UNAVAILABLE when the owner is silent */
int sh_client_call(struct sh_client *c, const char *method, const char *path,
                   const char *content_type, struct sh_str body, json_t **ret, struct sh_err *err);
/* The same with the body of a success as it is, appended to `ret`; no more than that has room for.
 */
int sh_client_fetch(struct sh_client *c, const char *method, const char *path,
                    const char *content_type, struct sh_str body, struct sh_buf *ret,
                    struct sh_err *err);
/* The file that a GET is answered with, to the end of `to`. gives  its length
 * fails  as sh_client_call; SH_E_IO */
int sh_client_download(struct sh_client *c, const char *path, int to, uint64_t *ret_bytes,
                       struct sh_err *err);
/* A POST of the first so many bytes of a file, at least one, to a route that takes one. */
int sh_client_upload(struct sh_client *c, const char *path, const char *content_type, int file,
                     uint64_t bytes, json_t **ret, struct sh_err *err);
/* A task's result on stdout, whole, where the task itself does not have it. */
int sh_cli_print_result(struct sh_client *c, const char *id, struct sh_err *err);

#endif
