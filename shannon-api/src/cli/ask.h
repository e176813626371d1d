/* Parse, open, and one call: the shape of most commands. */
#ifndef SH_API_CLI_ASK_H
#define SH_API_CLI_ASK_H

#include "cli/cli.h"

struct sh_ask {
    struct sh_common common;
    struct sh_client client;
    json_t *answer; /* of the last call */
    struct sh_err err;
};
int sh_ask_open(struct sh_ask *a);
int sh_ask_call(struct sh_ask *a, const char *method, const char *path, struct sh_str body);
/* Close all; gives the exit status: that of the error, if there is one. */
int sh_ask_end(struct sh_ask *a, int status);
/* /api/v1/tasks/ID and `what`, of the first operand; NULL (err set) when that can be no id. */
char *sh_ask_task_path(struct sh_ask *a, const char *what);

#endif
