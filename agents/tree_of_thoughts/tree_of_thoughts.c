/* Tree of thoughts: think in several directions at once, rate them, follow the best.
 *
 *     question -- depth 1: `breadth` thoughts -- rated -- the best `keep` --.
 *                  .--------------------------------------------------------'
 *                  '- depth 2: thoughts that go on from each -- rated -- ... -- answer from the
 * best
 *
 * The thoughts of one depth are activities side by side, and so are their ratings. A branch whose
 * call failed, or whose model refused, has the rating 0 and is cut off like any other bad one. */
#include "common/agent.h"

#include <stdlib.h>

enum { BREADTH_MAX = 5, DEPTH_MAX = 4, KEEP_MAX = 3, THOUGHT_BYTES = 700 };

struct branch {
    char *path;     /* the thoughts from the question to here */
    char *thought;  /* the last of them */
    double rating;  /* 0 to 1 */
    bool was_rated; /* else it is a guess */
};

static const char *const directions[BREADTH_MAX] = {
    "Begin with what is known.",
    "Begin with a doubt: what would make the obvious answer wrong?",
    "Begin with a concrete example.",
    "Begin from the end: what would a good answer have to show?",
    "Begin by taking the question apart.",
};

/* Grow `breadth` branches from each of `n`: all at once. gives  how many there are */
static size_t grow(struct agent *a, const struct branch *from, size_t n, size_t breadth,
                   struct branch *ret) {
    char *prompts[AGENT_AT_ONCE_MAX], *thoughts[AGENT_AT_ONCE_MAX];
    size_t m = 0;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < breadth; k++, m++) {
            prompts[m] = shannon_format("Question: %s\n%s%s\nWrite the next thought towards an "
                                        "answer, in two or three sentences.",
                                        a->query, from[i].path, directions[k]);
        }
    }
    agent_ask_all(a, 160, prompts, m, thoughts);
    for (size_t i = 0; i < m; i++) {
        const char *text = thoughts[i] ? agent_shorten(thoughts[i], THOUGHT_BYTES) : "";
        ret[i] = (struct branch){
            .path = shannon_format("%s- %s\n", from[i / breadth].path, text),
            .thought = shannon_format("%s", text),
        };
    }
    return m;
}

/* Rate all branches at once. Without a number a useful thought counts as middling. */
static void rate(struct agent *a, struct branch *b, size_t n) {
    char *prompts[AGENT_AT_ONCE_MAX], *answers[AGENT_AT_ONCE_MAX];
    size_t which[AGENT_AT_ONCE_MAX], m = 0;

    for (size_t i = 0; i < n; i++) {
        if (agent_useful(b[i].thought)) {
            which[m] = i;
            prompts[m++] = shannon_format("Question: %s\nThoughts:\n%s\nHow likely do they lead to "
                                          "a correct answer? Reply with JSON: {\"score\": 0 to 10}",
                                          a->query, b[i].path);
        }
    }
    agent_ask_all(a, 48, prompts, m, answers);
    for (size_t k = 0; k < m; k++) {
        double rating = answers[k] ? agent_rating(answers[k], "score", 10) : -1;
        a->malformed += answers[k] && rating < 0;
        b[which[k]].was_rated = rating >= 0;
        b[which[k]].rating = rating >= 0 ? rating : 0.4;
    }
}

static int by_rating(const void *x, const void *y) {
    const struct branch *a = x, *b = y;

    return (a->rating < b->rating) - (a->rating > b->rating);
}

/* The best first; equal ones stay in order, as no two libraries' qsort would promise. */
static void sort(struct branch *b, size_t n) {
    for (size_t i = 1; i < n; i++) {
        struct branch moved = b[i];
        size_t k = i;
        for (; k > 0 && by_rating(&b[k - 1], &moved) > 0; k--) {
            b[k] = b[k - 1];
        }
        b[k] = moved;
    }
}

int main(void) {
    struct agent a;
    struct branch best[KEEP_MAX] = {{.path = ""}}, all[AGENT_AT_ONCE_MAX];
    size_t breadth, depth, keep, n_best = 1, grown = 0, level;
    double rating = -1;
    char *answer;

    agent_open(&a, "tree_of_thoughts", (struct agent_budget){.llm_calls = 60, .seconds = 480});
    breadth = (size_t)agent_option(&a, "breadth", 3, 1, BREADTH_MAX);
    depth = (size_t)agent_option(&a, "depth", 2, 1, DEPTH_MAX);
    keep = (size_t)agent_option(&a, "keep", 2, 1, KEEP_MAX);

    for (level = 1; level <= depth && agent_room(&a, (int)(2 * n_best * breadth)); level++) {
        size_t n = grow(&a, best, n_best, breadth, all);
        grown += n;
        rate(&a, all, n);
        sort(all, n);
        if (!agent_useful(all[0].thought)) {
            break; /* no branch of this depth is of use: answer from the one above */
        }
        n_best = n < keep ? n : keep;
        while (n_best > 1 && !agent_useful(all[n_best - 1].thought)) {
            n_best--;
        }
        for (size_t i = 0; i < n_best; i++) {
            best[i] = all[i];
        }
        rating = best[0].was_rated ? best[0].rating : rating;
        agent_step(&a, best[0].thought, "depth %zu: kept %zu of %zu thoughts, the best rated %.1f",
                   level, n_best, n, best[0].rating * 10);
    }

    shannon_progress(a.ctx, "answering");
    answer = agent_ask(&a, 200, "Question: %s\nThoughts:\n%s\nAnswer the question.", a.query,
                       agent_tail(best[0].path, a.context_bytes));
    agent_fact_int(&a, "branches", (long long)grown);
    agent_fact_int(&a, "depth", (long long)level - 1);
    return agent_finish(&a, answer, rating);
}
