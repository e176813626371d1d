/* Reflection: draft an answer, criticise it, revise it, until it is good or the budget is used up.
 *
 *     draft --> critique {score, problems} --> good enough, or `rounds` over? --> the best draft
 *                  ^                                |
 *                  '----------- revise <------------'
 *
 * The best draft is the answer, not the last: a revision may be worse, and a model may refuse to
 * revise. A critique without a score counts as middling and is used for its words. */
#include "common/agent.h"

#include <stdlib.h>

enum { ROUNDS_MAX = 8, DRAFT_TOKENS = 400, CRITIQUE_BYTES = 1200 };

struct critique {
    char *text;
    double score; /* 0 to 1; negative: the model named none */
};

static struct critique criticise(struct agent *a, const char *draft) {
    struct critique c = {.score = -1};
    char *problems;

    c.text =
        agent_ask(a, 200,
                  "Question: %s\n\nDraft answer:\n%.*s\n\nCriticise the draft. Reply with JSON: "
                  "{\"score\": 0 to 10, \"problems\": [\"...\"]}",
                  a->query, (int)a->context_bytes, draft);
    if (!c.text) {
        return c;
    }
    c.score = agent_rating(c.text, "score", 10);
    a->malformed += c.score < 0;
    problems = agent_json_text(c.text, "problems");
    if (problems) {
        free(c.text);
        c.text = problems;
    }
    agent_shorten(c.text, CRITIQUE_BYTES);
    return c;
}

int main(void) {
    struct agent a;
    char *draft, *best;
    double best_score = -1, good;
    long long rounds, round;

    agent_open(&a, "reflection", (struct agent_budget){.llm_calls = 20, .seconds = 480});
    rounds = agent_option(&a, "rounds", 3, 1, ROUNDS_MAX);
    good = (double)agent_option(&a, "good", 8, 1, 10) / 10;

    shannon_progress(a.ctx, "drafting");
    best = draft = agent_ask(&a, DRAFT_TOKENS, "Answer this question well: %s", a.query);
    if (!agent_useful(draft)) {
        return agent_finish(&a, draft, 0);
    }
    agent_step(&a, draft, "draft");
    for (round = 1; round <= rounds && agent_room(&a, 1); round++) {
        struct critique c = criticise(&a, draft);
        double score = c.score >= 0 ? c.score : 0.4;
        if (!c.text) {
            break;
        }
        agent_step(&a, c.text, "critique %lld: %.0f of 10", round, score * 10);
        if (c.score > best_score) {
            best = draft;
            best_score = c.score;
        }
        if (score >= good || round == rounds || !agent_room(&a, 2)) {
            break;
        }
        draft = agent_ask(&a, DRAFT_TOKENS,
                          "Question: %s\n\nDraft answer:\n%.*s\n\nIts problems:\n%s\n\nWrite the "
                          "improved answer, and nothing else.",
                          a.query, (int)a.context_bytes, draft, c.text);
        if (!agent_useful(draft)) {
            break; /* the draft before is what there is */
        }
        agent_step(&a, draft, "revision %lld", round);
        if (best_score < 0) {
            best = draft; /* nothing has been rated yet: a revised draft is likelier to be good */
        }
    }
    agent_fact_int(&a, "rounds", round < rounds ? round : rounds);
    return agent_finish(&a, best, best_score);
}
