/* What the files behind a session share. */
#ifndef SH_API_MCP_PRIVATE_H
#define SH_API_MCP_PRIVATE_H

#include "mcp/mcp.h"

struct sh_mcp_session {
    struct sh_mcp_backend *backend;
    sh_mcp_send_fn send;
    void *arg;
    bool initialized, can_ask, closed; /* can_ask: the client shows its person a form */
    struct sh_list calls, questions;
    size_t n_calls; /* not answered yet */
    uint64_t asked; /* requests of ours so far: their ids */
};

struct sh_mcp_call;
struct sh_mcp_field;
struct sh_mcp_tool {
    const char *name, *title, *description;
    const struct sh_mcp_field *fields; /* of its arguments; tools.c */
    bool reads;                        /* changes nothing: readOnlyHint */
    bool owns;                         /* canceling the call cancels its task */
    /* fails  what is wrong with call->args, for the model that made them */
    int (*start)(struct sh_mcp_call *call, struct sh_err *err);
};
const struct sh_mcp_tool *sh_mcp_tool_find(const char *name);

/* One tool call. It lives until it is answered and the backend owes it nothing. */
struct sh_mcp_call {
    struct sh_list link; /* session->calls */
    struct sh_mcp_session *session;
    void *channel;
    const struct sh_mcp_tool *tool;
    json_t *id, *args, *progress; /* progress: the client's token, or NULL */
    bool gone;                    /* nobody reads the channel */
    bool answered, canceled;
    unsigned owed;      /* answers of the backend to come */
    unsigned questions; /* answers of the person to come */
    unsigned told;      /* progress notifications sent */
    char *task;         /* id, once known */
    uint64_t after;     /* journal events up to here are known */
    uint64_t until_ns;  /* CLOCK_BOOTTIME: answer with what there is */
    struct sh_buf out[2];
    uint64_t out_bytes[2];
    bool ended;        /* the task; or it rests, or waits for a person */
    json_t *approvals; /* questions of the task that are open */
    bool dismissed;    /* the person was shown one, and left it open */
    bool follows;      /* out[] is the task's output from its beginning */
};

/* --- call.c ----------------------------------------------------------------------------------- */

typedef void (*sh_mcp_step_fn)(struct sh_mcp_call *call, json_t *body, const struct sh_err *err);
/* Ask the backend; `step` gets the answer, unless the call has been answered meanwhile. */
void sh_mcp_call_ask(struct sh_mcp_call *call, const struct sh_mcp_ask *ask, sh_mcp_step_fn step);
/* The answer to tools/call: `content` for the model as text, `structured` (owned) for programs. */
void sh_mcp_call_answer(struct sh_mcp_call *call, struct sh_str text, json_t *structured,
                        bool is_error);
void sh_mcp_call_fail(struct sh_mcp_call *call, const struct sh_err *err);
/* "message" for whoever looks on, if the client asked for it. */
void sh_mcp_call_tell(struct sh_mcp_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sh_mcp_call_start(struct sh_mcp_session *s, const struct sh_rpc_message *m, void *channel);
void sh_mcp_call_cancel(struct sh_mcp_session *s, const json_t *id);
/* Answered by itself or not: nothing more is sent. */
void sh_mcp_call_drop(struct sh_mcp_call *call);

/* --- steps.c: what the tools do ----------------------------------------------------------------
 */

int sh_mcp_run_python(struct sh_mcp_call *call, struct sh_err *err);
int sh_mcp_run_wasm(struct sh_mcp_call *call, struct sh_err *err);
int sh_mcp_submit_task(struct sh_mcp_call *call, struct sh_err *err);
int sh_mcp_task_status(struct sh_mcp_call *call, struct sh_err *err);
int sh_mcp_pending_approvals(struct sh_mcp_call *call, struct sh_err *err);

/* --- follow.c --------------------------------------------------------------------------------- */

/* Until call->task ends, rests, waits for a person who cannot be asked, or time is up; then the
 * answer. */
void sh_mcp_follow(struct sh_mcp_call *call);
/* The answer, from the task as it is now. */
void sh_mcp_finish(struct sh_mcp_call *call);

/* --- result.c --------------------------------------------------------------------------------- */

/* call's answer from `task`, as GET /api/v1/tasks/{id} gives it. */
void sh_mcp_answer_task(struct sh_mcp_call *call, const json_t *task);

/* --- question.c: elicitation ------------------------------------------------------------------ */

/* Show the person the question `approval` of call's task.  needs  session->can_ask */
void sh_mcp_question(struct sh_mcp_call *call, const json_t *approval);
void sh_mcp_question_answered(struct sh_mcp_session *s, const struct sh_rpc_message *m);
void sh_mcp_questions_drop(struct sh_mcp_call *call);

#endif
