/* A task from its input to its result: options, budget, steps, sources. */
#include "agent.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TOKENS_OF_A_QUESTION = 400, SNIPPET_BYTES = 500 };

static double now_ms(void) {
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t); /* workflow time: a replay reads the same */
    return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

/* ---- options ---- */

struct shannon_view agent_option_json(const struct agent *a, const char *name) {
    struct shannon_view input = shannon_view(shannon_input(a->ctx));
    char *path = shannon_format("context.%s", name);
    struct shannon_view v = shannon_json_get(input, name);

    v = v.p ? v : shannon_json_get(input, path);
    free(path);
    return v;
}

long long agent_option(const struct agent *a, const char *name, long long otherwise, long long min,
                       long long max) {
    double value = shannon_json_number(agent_option_json(a, name), (double)otherwise);

    return value<(double)min ? min : value>(double) max ? max : (long long)value;
}

/* What the caller names in "budget"; else `percent` of what it said the task's limit is. */
static long long budget_option(const struct agent *a, const char *name, long long otherwise,
                               const char *limit, int percent) {
    char *own = shannon_format("budget.%s", name), *host = shannon_format("limits.%s", limit);
    long long most = agent_option(a, host, 0, 0, 1LL << 52) * percent / 100;

    otherwise = most > 0 && (otherwise == 0 || most < otherwise) ? most : otherwise;
    otherwise = agent_option(a, own, otherwise, 0, 1LL << 52);
    free(own);
    free(host);
    return otherwise;
}

static void read_model_options(struct agent *a) {
    char *model = shannon_json_string(agent_option_json(a, "model"));
    char *system = shannon_json_string(agent_option_json(a, "system_prompt"));
    double temperature = shannon_json_number(agent_option_json(a, "temperature"), 0.2);

    shannon_llm_model(a->ctx, model && *model ? model : NULL);
    shannon_llm_system(a->ctx, system && *system ? system : NULL);
    shannon_llm_temperature(a->ctx, temperature >= 0 && temperature <= 2 ? temperature : 0.2);
    free(model);
    free(system);
}

void agent_open(struct agent *a, const char *name, struct agent_budget budget) {
    *a = (struct agent){.ctx = shannon_open(), .name = name, .started_ms = now_ms()};
    a->query = shannon_query(a->ctx);
    if (!a->query[strspn(a->query, " \t\r\n")]) {
        fputs("expected an input with a question, {\"query\":\"...\"}, but it is empty\n", stderr);
        exit(2);
    }
    a->budget.llm_calls = budget_option(a, "llm_calls", budget.llm_calls, "activities", 40);
    a->budget.tool_calls = budget_option(a, "tool_calls", budget.tool_calls, "activities", 40);
    a->budget.tokens = budget_option(a, "tokens", budget.tokens, "tokens", 80);
    a->budget.seconds = budget_option(a, "seconds", budget.seconds, "seconds", 80);
    a->context_bytes = (size_t)agent_option(a, "context_bytes", 3000, 200, 1 << 20);
    a->reproducible = shannon_json_is_true(agent_option_json(a, "reproducible"));
    shannon_json_open(&a->facts, '{');
    read_model_options(a);
}

/* ---- budget ---- */

static bool stop(struct agent *a, const char *what, long long used, long long of) {
    if (!a->stopped) {
        a->stopped = shannon_format("budget of %s: %lld of %lld are used", what, used, of);
        shannon_progress(a->ctx, "stopping early: %s", a->stopped);
    }
    return false;
}

bool agent_room(struct agent *a, int questions) {
    long long each = a->used.llm_calls > 0 ? a->used.tokens / a->used.llm_calls : 0;
    long long seconds = (long long)((now_ms() - a->started_ms) / 1000);

    each = each > TOKENS_OF_A_QUESTION ? each : TOKENS_OF_A_QUESTION;
    if (a->budget.llm_calls && a->used.llm_calls + questions + 1 > a->budget.llm_calls) {
        return stop(a, "questions", a->used.llm_calls, a->budget.llm_calls);
    }
    if (a->budget.tokens && a->used.tokens + each * (questions + 1) > a->budget.tokens) {
        return stop(a, "tokens", a->used.tokens, a->budget.tokens);
    }
    if (a->budget.seconds && seconds >= a->budget.seconds) {
        return stop(a, "seconds", seconds, a->budget.seconds);
    }
    return true;
}

bool agent_tool_room(struct agent *a, int calls) {
    if (a->budget.tool_calls && a->used.tool_calls + calls > a->budget.tool_calls) {
        return stop(a, "tool calls", a->used.tool_calls, a->budget.tool_calls);
    }
    return true;
}

/* ---- what the result is made of ---- */

void agent_step(struct agent *a, const char *text, const char *format, ...) {
    char *title = NULL;
    va_list args;

    va_start(args, format);
    if (vasprintf(&title, format, args) < 0) {
        abort();
    }
    va_end(args);
    shannon_progress(a->ctx, "%s", title);
    if (a->n_steps == AGENT_STEPS_MAX) {
        free(title);
        return;
    }
    a->steps[a->n_steps].title = title;
    a->steps[a->n_steps++].text =
        agent_shorten(shannon_format("%s", text ? text : ""), AGENT_STEP_BYTES);
}

size_t agent_source(struct agent *a, const char *title, const char *url, const char *snippet) {
    struct agent_source *s = &a->sources[a->n_sources];

    for (size_t i = 0; i < a->n_sources; i++) {
        if (strcmp(a->sources[i].url, url) == 0) {
            return i + 1;
        }
    }
    if (a->n_sources == AGENT_SOURCES_MAX) {
        return 0;
    }
    s->title = shannon_format("%s", title && *title ? title : url);
    s->url = shannon_format("%s", url);
    s->snippet = agent_shorten(shannon_format("%s", snippet ? snippet : ""), SNIPPET_BYTES);
    return ++a->n_sources;
}

void agent_fact_int(struct agent *a, const char *name, long long value) {
    shannon_json_key(&a->facts, name);
    shannon_json_int(&a->facts, value);
}

void agent_fact_str(struct agent *a, const char *name, const char *value) {
    shannon_json_key(&a->facts, name);
    shannon_json_str(&a->facts, value);
}

static void member_int(struct shannon_json *w, const char *name, long long value) {
    shannon_json_key(w, name);
    shannon_json_int(w, value);
}

static void member_str(struct shannon_json *w, const char *name, const char *value) {
    shannon_json_key(w, name);
    shannon_json_str(w, value);
}

static void write_steps(struct shannon_json *w, const struct agent *a) {
    shannon_json_key(w, "reasoning_steps");
    shannon_json_open(w, '[');
    for (size_t i = 0; i < a->n_steps; i++) {
        shannon_json_open(w, '{');
        member_int(w, "step", (long long)i + 1);
        member_str(w, "title", a->steps[i].title);
        member_str(w, "reasoning", a->steps[i].text);
        shannon_json_close(w, '}');
    }
    shannon_json_close(w, ']');
    shannon_json_key(w, "sources");
    shannon_json_open(w, '[');
    for (size_t i = 0; i < a->n_sources; i++) {
        shannon_json_open(w, '{');
        member_str(w, "title", a->sources[i].title);
        member_str(w, "url", a->sources[i].url);
        member_str(w, "snippet", a->sources[i].snippet);
        shannon_json_close(w, '}');
    }
    shannon_json_close(w, ']');
}

static void write_usage(struct shannon_json *w, const struct agent *a) {
    shannon_json_key(w, "token_usage");
    shannon_json_open(w, '{');
    member_int(w, "input_tokens", a->input_tokens);
    member_int(w, "output_tokens", a->output_tokens);
    member_int(w, "total_tokens", a->used.tokens);
    shannon_json_close(w, '}');
    member_str(w, "model_used", a->model ? a->model : "");
    member_str(w, "provider", a->provider ? a->provider : "");
    if (a->reproducible) {
        shannon_json_key(w, "duration_ms");
        shannon_json_raw(w, shannon_view("null"));
    } else {
        member_int(w, "duration_ms", (long long)(now_ms() - a->started_ms));
    }
}

/* The facts of the agent first, then what went wrong, where something did. */
static void write_metadata(struct shannon_json *w, struct agent *a, bool said_confidence) {
    const struct {
        const char *name;
        int n;
    } troubles[] = {{"empty_answers", a->empty},
                    {"refusals", a->refused},
                    {"cut_off", a->cut},
                    {"malformed", a->malformed},
                    {"failed_calls", a->failed}};

    member_str(&a->facts, "strategy", a->name);
    member_int(&a->facts, "llm_calls", a->used.llm_calls);
    member_int(&a->facts, "tool_calls", a->used.tool_calls);
    member_str(&a->facts, "confidence_from", said_confidence ? "model" : "default");
    for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++) {
        if (troubles[i].n) {
            member_int(&a->facts, troubles[i].name, troubles[i].n);
        }
    }
    if (a->stopped) {
        member_str(&a->facts, "stopped_early", a->stopped);
    }
    if (a->error) {
        member_str(&a->facts, "last_error", a->error);
    }
    shannon_json_close(&a->facts, '}');
    shannon_json_key(w, "metadata");
    shannon_json_raw(w, shannon_view(a->facts.p));
}

int agent_finish(struct agent *a, const char *answer, double confidence) {
    struct shannon_json w = {0};
    char *json;

    if (!answer || !*answer) {
        fprintf(stderr, "%s\n",
                a->error ? a->error : "the model gave no answer that could be used");
        return 1;
    }
    if (agent_refuses(answer)) { /* a refusal is an answer, but nobody should rely on it */
        confidence = 0;
    }
    puts(answer);
    shannon_json_open(&w, '{');
    member_str(&w, "answer", answer);
    shannon_json_key(&w, "confidence");
    shannon_json_double(&w, confidence < 0 ? 0.5 : confidence);
    write_steps(&w, a);
    write_usage(&w, a);
    write_metadata(&w, a, confidence >= 0);
    shannon_json_close(&w, '}');
    json = shannon_json_take(&w);
    if (!json || shannon_output(a->ctx, json) < 0) {
        return json ? shannon_fail(a->ctx) : 1;
    }
    free(json);
    return 0;
}
