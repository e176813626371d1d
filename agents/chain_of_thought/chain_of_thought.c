/* Chain of thought: plan a few steps, think about each, answer.
 *
 * Read it as a tutorial. Each shannon_llm() is an activity: its answer is in the journal before
 * this program sees it. When the host is killed, the program starts again from main, finds the
 * answers it had been given, and goes on where it was: nothing here has to save anything.
 *
 * Small models answer badly, so no answer has to have a form: whatever comes is cut into lines, and
 * where nothing useful came a plain step takes its place. */
#include "shannon.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { STEPS_MIN = 2, STEPS_MAX = 3, STEP_BYTES = 160, CONTEXT_BYTES = 600 };

struct step {
    char *title, *reasoning;
};

/* Shorten to at most n bytes without cutting a UTF-8 character. */
static void shorten(char *text, size_t n) {
    if (strlen(text) > n) {
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) {
            n--;
        }
        text[n] = '\0';
    }
}

/* Where the words of a line begin, after "1.", "-", "Step 2:" and the like. */
static char *skip_bullet(char *line) {
    char *p = line + strspn(line, " \t-*#>");

    if (strncmp(p, "Step ", 5) == 0 && isdigit((unsigned char)p[5])) {
        p += 5;
    }
    if (isdigit((unsigned char)*p)) {
        char *after = p + strspn(p, "0123456789");
        if (strchr(".):", *after)) {
            p = *after ? after + 1 : after;
        }
    }
    return p + strspn(p, " \t*:");
}

/* Models like to write **bold**. */
static void drop_stars(char *text) {
    char *out = text;

    for (const char *p = text; *p; p++) {
        if (*p != '*') {
            *out++ = *p;
        }
    }
    *out = '\0';
}

/* Cut the model's plan into steps; fills up with plain ones. */
static int read_plan(char *plan, struct step *steps) {
    static const char *const plain[STEPS_MIN] = {
        "Say what is known about the question.",
        "Work out what follows from it.",
    };
    int n = 0;

    for (char *line = plan, *next; line && n < STEPS_MAX; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        line = skip_bullet(line);
        drop_stars(line);
        if (strlen(line) >= 4) {
            shorten(line, STEP_BYTES);
            steps[n++].title = shannon_format("%s", line);
        }
    }
    while (n < STEPS_MIN) {
        steps[n].title = shannon_format("%s", plain[n]);
        n++;
    }
    return n;
}

/* "Confidence: 80%" or "confidence 0.8" anywhere in the text; negative when there is none. */
static double read_confidence(const char *text) {
    for (const char *p = text; *p; p++) {
        if (strncmp(p, "onfidence", 9) == 0) {
            const char *number = p + 9 + strspn(p + 9, " :=*");
            char *end;
            double value = strtod(number, &end);
            if (end > number && value >= 0 && value <= 100) {
                return value > 1 ? value / 100 : value;
            }
        }
    }
    return -1;
}

static double now_ms(void) {
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t); /* workflow time: a replay reads the same */
    return (double)t.tv_sec * 1000 + (double)t.tv_nsec / 1e6;
}

static void write_steps(struct shannon_json *w, const struct step *steps, int n) {
    shannon_json_key(w, "reasoning_steps");
    shannon_json_open(w, '[');
    for (int i = 0; i < n; i++) {
        shannon_json_open(w, '{');
        shannon_json_key(w, "step");
        shannon_json_int(w, i + 1);
        shannon_json_key(w, "title");
        shannon_json_str(w, steps[i].title);
        shannon_json_key(w, "reasoning");
        shannon_json_str(w, steps[i].reasoning);
        shannon_json_close(w, '}');
    }
    shannon_json_close(w, ']');
}

static void write_usage(struct shannon_json *w, const struct shannon_usage *used) {
    shannon_json_key(w, "token_usage");
    shannon_json_open(w, '{');
    shannon_json_key(w, "input_tokens");
    shannon_json_int(w, used->input_tokens);
    shannon_json_key(w, "output_tokens");
    shannon_json_int(w, used->output_tokens);
    shannon_json_key(w, "total_tokens");
    shannon_json_int(w, used->total_tokens);
    shannon_json_close(w, '}');
    shannon_json_key(w, "model_used");
    shannon_json_str(w, used->model);
    shannon_json_key(w, "provider");
    shannon_json_str(w, used->provider);
}

/* The result as the task's output. Confidence is the model's own, or 0.5 when it named none. */
static int give(struct shannon_ctx *ctx, const char *answer, const struct step *steps, int n,
                double started_ms) {
    struct shannon_usage used = shannon_usage(ctx);
    double confidence = read_confidence(answer);
    struct shannon_json w = {0};
    char *json;
    int result;

    shannon_json_open(&w, '{');
    shannon_json_key(&w, "answer");
    shannon_json_str(&w, answer);
    shannon_json_key(&w, "confidence");
    shannon_json_double(&w, confidence < 0 ? 0.5 : confidence);
    write_steps(&w, steps, n);
    shannon_json_key(&w, "sources");
    shannon_json_open(&w, '[');
    shannon_json_close(&w, ']');
    write_usage(&w, &used);
    shannon_json_key(&w, "duration_ms");
    shannon_json_int(&w, (long long)(now_ms() - started_ms));
    shannon_json_key(&w, "metadata");
    shannon_json_open(&w, '{');
    shannon_json_key(&w, "strategy");
    shannon_json_str(&w, "chain_of_thought");
    shannon_json_key(&w, "llm_calls");
    shannon_json_int(&w, used.calls);
    shannon_json_key(&w, "confidence_from");
    shannon_json_str(&w, confidence < 0 ? "default" : "model");
    shannon_json_close(&w, '}');
    shannon_json_close(&w, '}');
    json = shannon_json_take(&w);
    if (!json) {
        return 1;
    }
    result = shannon_output(ctx, json);
    free(json);
    return result < 0 ? shannon_fail(ctx) : 0;
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    const char *query = shannon_query(ctx);
    struct step steps[STEPS_MAX] = {0};
    double started_ms = now_ms();
    char *plan, *notes, *answer;
    int n;

    if (!*query) {
        fputs("expected an input with a question, {\"query\":\"...\"}, but it is empty\n", stderr);
        return 2;
    }
    shannon_llm_temperature(ctx, 0.2);

    shannon_progress(ctx, "planning");
    shannon_llm_max_tokens(ctx, 64);
    plan = shannon_llm(ctx, "Question: %s\nList 2 or 3 short steps to answer it, one per line.",
                       query);
    if (!plan) {
        return shannon_fail(ctx);
    }
    n = read_plan(plan, steps);
    free(plan);

    notes = shannon_format("%s", "");
    shannon_llm_max_tokens(ctx, 80);
    for (int i = 0; i < n; i++) {
        char *more;
        shannon_progress(ctx, "step %d of %d: %s", i + 1, n, steps[i].title);
        steps[i].reasoning = shannon_llm(ctx, "Question: %s\n%sIn one or two sentences: %s", query,
                                         notes, steps[i].title);
        if (!steps[i].reasoning) {
            return shannon_fail(ctx);
        }
        more = shannon_format("%s%s\n", notes, steps[i].reasoning);
        shorten(more, CONTEXT_BYTES);
        free(notes);
        notes = more;
    }

    shannon_progress(ctx, "answering");
    shannon_llm_max_tokens(ctx, 96);
    answer = shannon_llm(ctx, "Notes:\n%s\nUsing the notes, answer this question briefly: %s",
                         notes, query);
    if (!answer) {
        return shannon_fail(ctx);
    }
    puts(answer);
    return give(ctx, answer, steps, n, started_ms);
}
