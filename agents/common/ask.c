/* Questions to the model and calls of tools, alone or side by side. Each is an activity: its
 * outcome is in the journal before this program sees it, and a program that starts again after a
 * crash is given it again. Which of several comes first depends on luck, so all are waited for and
 * then looked at in the order in which they were asked. */
#include "agent.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REFUSAL_BYTES = 400 }; /* a longer text that begins with "I'm sorry" says something, too */

bool agent_refuses(const char *text) {
    static const char *const words[] = {
        "I'm sorry, but",  "I\xE2\x80\x99m sorry, but",
        "I am sorry, but", "Sorry, I can",
        "I can't ",        "I can\xE2\x80\x99t ",
        "I cannot ",       "I'm unable",
        "I am unable",     "As an AI",
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (agent_begins(text, words[i]) && strlen(text) <= REFUSAL_BYTES) {
            return true;
        }
    }
    return false;
}

bool agent_useful(const char *text) {
    return text && *text && !agent_refuses(text);
}

static void note_error(struct agent *a) {
    free(a->error);
    a->error = shannon_format("%s: %s", shannon_error_code(a->ctx), shannon_error(a->ctx));
    a->failed++;
}

/* Start all, wait for all, take them in order. */
static void perform_all(struct agent *a, const char *op, char *args[], size_t n, char *results[],
                        char *errors[]) {
    int32_t handles[AGENT_AT_ONCE_MAX];

    for (size_t i = 0; i < n; i++) {
        handles[i] = shannon_start(a->ctx, op, args[i]);
        results[i] = NULL;
        errors[i] = NULL;
        if (handles[i] < 0) {
            note_error(a);
            errors[i] = shannon_format("%s", a->error);
        }
        free(args[i]);
    }
    if (shannon_wait_all(a->ctx, handles, n, 0) < 0) { /* canceled: there is no more to be done */
        exit(shannon_fail(a->ctx));
    }
    for (size_t i = 0; i < n; i++) {
        if (handles[i] > 0 && !(results[i] = shannon_take(a->ctx, handles[i]))) {
            note_error(a);
            errors[i] = shannon_format("%s", a->error);
        }
    }
}

void agent_call_all(struct agent *a, const char *op, char *args[], size_t n, char *results[],
                    char *errors[]) {
    a->used.tool_calls += (long long)n;
    perform_all(a, op, args, n, results, errors);
}

static void keep_name(char **where, struct shannon_view v) {
    char *name = shannon_json_string(v);

    if (name) {
        free(*where);
        *where = name;
    }
}

static void count(struct agent *a, struct shannon_view result) {
    double in = shannon_json_number(shannon_json_get(result, "usage.input_tokens"), 0);
    double out = shannon_json_number(shannon_json_get(result, "usage.output_tokens"), 0);
    double all = shannon_json_number(shannon_json_get(result, "usage.total_tokens"), 0);

    a->input_tokens += (long long)in;
    a->output_tokens += (long long)out;
    a->used.tokens += (long long)(all > 0 ? all : in + out);
    keep_name(&a->model, shannon_json_get(result, "model"));
    keep_name(&a->provider, shannon_json_get(result, "provider"));
}

/* The text of an llm result, as far as it is of use; "" when it is not. Takes the result. */
static char *read_answer(struct agent *a, char *result) {
    struct shannon_view v = shannon_view(result);
    char *text = shannon_json_string(shannon_json_get(v, "content"));
    char *reason = shannon_json_string(shannon_json_get(v, "finish_reason"));

    count(a, v);
    text = text ? text : shannon_format("%s", "");
    agent_trim(text);
    if (reason && strcmp(reason, "length") == 0) {
        a->cut++;
        agent_trim_to_sentence(text);
    }
    a->empty += !*text;
    a->refused += agent_refuses(text);
    free(reason);
    free(result);
    return text;
}

static void ask_once(struct agent *a, char *prompts[], size_t n, char *answers[]) {
    char *args[AGENT_AT_ONCE_MAX], *errors[AGENT_AT_ONCE_MAX];

    for (size_t i = 0; i < n; i++) {
        args[i] = shannon_llm_args(a->ctx, "%s", prompts[i]);
    }
    a->used.llm_calls += (long long)n;
    perform_all(a, "llm", args, n, answers, errors);
    for (size_t i = 0; i < n; i++) {
        answers[i] = answers[i] ? read_answer(a, answers[i]) : NULL;
        free(errors[i]);
    }
}

void agent_ask_all(struct agent *a, int max_tokens, char *prompts[], size_t n, char *answers[]) {
    char *again[AGENT_AT_ONCE_MAX], *second[AGENT_AT_ONCE_MAX];
    size_t which[AGENT_AT_ONCE_MAX], m = 0;

    shannon_llm_max_tokens(a->ctx, max_tokens);
    ask_once(a, prompts, n, answers);
    for (size_t i = 0; i < n; i++) {
        if (answers[i] && !*answers[i] && agent_room(a, (int)m + 1)) {
            which[m] = i;
            again[m++] = shannon_format("%s\n\nPlease answer in words.", prompts[i]);
        }
    }
    ask_once(a, again, m, second);
    for (size_t k = 0; k < m; k++) {
        if (second[k]) {
            free(answers[which[k]]);
            answers[which[k]] = second[k];
        }
        free(again[k]);
    }
    for (size_t i = 0; i < n; i++) {
        free(prompts[i]);
    }
}

char *agent_ask(struct agent *a, int max_tokens, const char *format, ...) {
    char *prompt = NULL, *answer;
    va_list args;

    va_start(args, format);
    if (vasprintf(&prompt, format, args) < 0) {
        abort();
    }
    va_end(args);
    agent_ask_all(a, max_tokens, &prompt, 1, &answer);
    return answer;
}
