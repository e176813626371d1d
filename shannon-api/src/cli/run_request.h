/* What the flags of `shannon run` come to, wherever the task is run: its input, what it asks for,
 * and what the person at the keyboard allows it. Files that the flags name are read here. */
#ifndef SH_API_RUN_REQUEST_H
#define SH_API_RUN_REQUEST_H

#include "cli/run_flags.h"

/* All-zero is empty. */
struct sh_run_request {
    json_t *input;            /* --input; {} without; NULL: it is too large to be a value */
    struct sh_buf input_text; /* then this is it, as JSON text; else empty */
    json_t *capabilities;     /* absolute, links resolved; NULL: nothing was said */
    json_t *operator_doc;     /* the same and --policy, as sh_submit takes it */
    bool has_priority;
    unsigned priority;
};
/* fails  SH_E_INVAL, SH_E_IO and what readers of documents say, naming the flag */
int sh_run_request_read(const struct sh_run_flags *f, struct sh_run_request *ret,
                        struct sh_err *err);
void sh_run_request_done(struct sh_run_request *r);

#endif
