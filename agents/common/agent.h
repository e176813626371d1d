/* What the shipped agents share: the task's options and budget, questions to the model whose
 * answers may be anything, and the result. An agent is the rest: which questions, in which order.
 *
 * Everything here is deterministic: answers to questions that were asked side by side are looked at
 * in the order of the questions, and what came of bad luck (a failed call, a bad answer) is part of
 * the result. Memory is not given back where the agent ends soon anyway. */
#ifndef AGENT_H
#define AGENT_H

#include "shannon.h"

enum {
    AGENT_STEPS_MAX = 64,
    AGENT_SOURCES_MAX = 32,
    AGENT_AT_ONCE_MAX = 16, /* questions or calls side by side */
    AGENT_STEP_BYTES = 2000,
};

struct agent_source {
    char *title, *url, *snippet;
};

/* What may be spent. The agent stops while there is still enough for its last question. */
struct agent_budget {
    long long llm_calls, tool_calls, tokens, seconds;
};

struct agent {
    struct shannon_ctx *ctx;
    const char *name, *query;
    struct agent_budget budget, used;
    size_t context_bytes; /* how much of earlier text goes into a question: option context_bytes */
    long long input_tokens, output_tokens;
    char *model, *provider;
    struct {
        char *title, *text;
    } steps[AGENT_STEPS_MAX];
    size_t n_steps;
    struct agent_source sources[AGENT_SOURCES_MAX];
    size_t n_sources;
    int empty, refused, cut, malformed, failed; /* answers that were no use, by kind */
    char *stopped;                              /* why it ended early, or NULL */
    char *error;                                /* the last call that failed, or NULL */
    struct shannon_json facts;                  /* members of metadata: agent_fact_* */
    double started_ms;
    bool reproducible; /* option: leave out what depends on the clock */
};

/* Read the task. An input without a question ends the agent with status 2. */
void agent_open(struct agent *a, const char *name, struct agent_budget budget);

/* Options of the task: input.NAME, else input.context.NAME. Numbers are brought into the range. */
long long agent_option(const struct agent *a, const char *name, long long otherwise, long long min,
                       long long max);
struct shannon_view agent_option_json(const struct agent *a, const char *name);

/* Is there room for so many more questions and the last one? The first "no" is kept as the reason
 * for stopping early. */
bool agent_room(struct agent *a, int questions);
bool agent_tool_room(struct agent *a, int calls);

/* Ask the model. gives  its answer, "" when there was nothing useful in it (it was asked twice), or
 * NULL when the call failed. max_tokens bounds the answer; what was cut off ends with a sentence.
 */
char *agent_ask(struct agent *a, int max_tokens, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* n <= AGENT_AT_ONCE_MAX questions side by side; answers[i] as above. Frees the prompts. */
void agent_ask_all(struct agent *a, int max_tokens, char *prompts[], size_t n, char *answers[]);
/* n calls of one tool side by side; results[i] is its JSON, or NULL: then errors[i] says why.
 * Frees the arguments. */
void agent_call_all(struct agent *a, const char *op, char *args[], size_t n, char *results[],
                    char *errors[]);
/* Does the text say no more than that the model will not answer? */
bool agent_refuses(const char *text);
/* Neither missing, nor empty, nor a refusal. */
bool agent_useful(const char *text);

/* A step of reasoning, for the result; also a progress event. */
void agent_step(struct agent *a, const char *text, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* gives  the number of the source, from 1: that of an earlier one with this URL; 0 when there are
 * too many */
size_t agent_source(struct agent *a, const char *title, const char *url, const char *snippet);
void agent_fact_int(struct agent *a, const char *name, long long value);
void agent_fact_str(struct agent *a, const char *name, const char *value);
/* Print the answer, give the result; the exit status. Without a useful answer the task fails.
 * confidence is what the model said of it, 0 to 1; negative: unknown, which counts as 0.5. */
int agent_finish(struct agent *a, const char *answer, double confidence);

/* ---- texts of models (text.c); none of them trusts a byte ---- */

/* The first JSON value in the text that begins with `bracket`, whatever is around it. */
struct shannon_view agent_json(const char *text, char bracket);
/* The string at `path` of the first JSON object, or NULL; numbers and lists are given as text. */
char *agent_json_text(const char *text, const char *path);
/* A list that the model was asked for: a JSON array of strings or objects, alone or inside an
 * object; else the lines of the text without bullets and numbers. gives  how many */
size_t agent_list(const char *text, char *items[], size_t max, size_t item_bytes);
/* What the model rates, brought to 0..1: {"NAME": 7}, "NAME: 7/10", "70%"; a number above 1 counts
 * out of `full`. Negative when there is none. */
double agent_rating(const char *text, const char *name, double full);
/* At most n bytes, without cutting a character. In place. */
char *agent_shorten(char *text, size_t n);
/* The last n bytes, from the beginning of a character. Borrowed. */
const char *agent_tail(const char *text, size_t n);
void agent_trim_to_sentence(char *text);
void agent_trim(char *text);
/* *text += addition, the old one is freed */
void agent_append(char **text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Does it begin with this word, whatever the case? */
bool agent_begins(const char *text, const char *word);

#endif
