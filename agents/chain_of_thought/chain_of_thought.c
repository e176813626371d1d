/* Chain of thought: plan a few steps, think about each, answer.
 *
 * Read it as a tutorial. Each agent_ask() is an activity: its answer is in the journal before
 * this program sees it. When the host is killed, the program starts again from main, finds the
 * answers it had been given, and goes on where it was: nothing here has to save anything.
 *
 * Small models answer badly, so no answer has to have a form: whatever comes is cut into lines, and
 * where nothing useful came a plain step takes its place. */
#include "common/agent.h"

#include <stdlib.h>

enum { STEPS_MAX = 3, STEP_BYTES = 160, NOTES_BYTES = 600 };

/* The model's plan as steps, filled up with plain ones. */
static size_t read_plan(const char *plan, char *steps[]) {
    static const char *const plain[] = {
        "Say what is known about the question.",
        "Work out what follows from it.",
    };
    size_t n = agent_refuses(plan) ? 0 : agent_list(plan, steps, STEPS_MAX, STEP_BYTES);

    while (n < sizeof(plain) / sizeof(plain[0])) {
        steps[n] = shannon_format("%s", plain[n]);
        n++;
    }
    return n;
}

int main(void) {
    struct agent a;
    char *steps[STEPS_MAX], *plan, *answer, *notes = shannon_format("%s", "");
    size_t n;

    agent_open(&a, "chain_of_thought", (struct agent_budget){.llm_calls = 20, .seconds = 480});

    shannon_progress(a.ctx, "planning");
    plan = agent_ask(&a, 64, "Question: %s\nList 2 or 3 short steps to answer it, one per line.",
                     a.query);
    if (!plan) {
        return agent_finish(&a, NULL, -1);
    }
    n = read_plan(plan, steps);

    for (size_t i = 0; i < n && agent_room(&a, 1); i++) {
        char *thought;
        shannon_progress(a.ctx, "step %zu of %zu: %s", i + 1, n, steps[i]);
        thought = agent_ask(&a, 80, "Question: %s\n%sIn one or two sentences: %s", a.query, notes,
                            steps[i]);
        if (!thought) {
            break; /* what is known so far has to do */
        }
        agent_step(&a, thought, "%s", steps[i]);
        if (agent_useful(thought)) {
            agent_append(&notes, "%s\n", thought);
            agent_shorten(notes, NOTES_BYTES);
        }
    }

    shannon_progress(a.ctx, "answering");
    answer = agent_ask(&a, 96, "Notes:\n%s\nUsing the notes, answer this question briefly: %s",
                       notes, a.query);
    return agent_finish(&a, answer, answer ? agent_rating(answer, "confidence", 100) : -1);
}
