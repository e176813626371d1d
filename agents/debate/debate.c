/* Debate: several roles argue, over rounds; a judge decides.
 *
 *     round 1: every role, side by side --> round 2: every role, knowing round 1 --> ... --> judge
 *
 * The roles of a round are activities side by side: no one hears the others before the next round.
 * A role that fails or refuses is left out of the transcript; the judge is told who spoke. */
#include "common/agent.h"

#include <stdlib.h>
#include <string.h>

enum { ROLES_MAX = 5, ROUNDS_MAX = 5, ROLE_BYTES = 120, SPEECH_BYTES = 800, FORM_PROSE_BYTES = 24 };

/* Option "roles": a list of texts; without it, one for, one against, one who doubts both. */
static size_t read_roles(struct agent *a, char *roles[]) {
    static const char *const usual[] = {
        "the proponent, who argues for the most obvious answer",
        "the opponent, who argues against it",
        "the sceptic, who asks what both take for granted",
    };
    struct shannon_view list = agent_option_json(a, "roles");
    size_t n = 0;

    for (size_t i = 0; n < ROLES_MAX && i < 64; i++) {
        char *role = shannon_json_string(shannon_json_item(list, i));
        if (role && *role) {
            roles[n++] = agent_shorten(role, ROLE_BYTES);
        }
    }
    for (size_t i = 0; n < 2 && i < sizeof(usual) / sizeof(usual[0]); i++) {
        roles[n++] = shannon_format("%s", usual[i]);
        if (n == 2 && i == 1) {
            roles[n++] = shannon_format("%s", usual[2]);
        }
    }
    return n;
}

/* One round. gives  how many spoke; what they said is appended to the transcript. */
static size_t hold(struct agent *a, char *roles[], size_t n, int round, char **transcript) {
    char *prompts[ROLES_MAX], *speeches[ROLES_MAX];
    size_t spoke = 0;

    for (size_t i = 0; i < n; i++) {
        prompts[i] = shannon_format("Question: %s\n%s%s\nYou are %s. Give your argument in three "
                                    "sentences.%s",
                                    a->query, **transcript ? "The debate so far:\n" : "",
                                    agent_tail(*transcript, a->context_bytes), roles[i],
                                    round > 1 ? " Answer what the others said." : "");
    }
    agent_ask_all(a, 160, prompts, n, speeches);
    for (size_t i = 0; i < n; i++) {
        if (agent_useful(speeches[i])) {
            agent_append(transcript, "%s: %s\n", roles[i],
                         agent_shorten(speeches[i], SPEECH_BYTES));
            agent_step(a, speeches[i], "round %d, %s", round, roles[i]);
            spoke++;
        }
    }
    return spoke;
}

/* A form that was not filled in: it begins like JSON, and no answer can be read of it. */
static bool is_form(const char *verdict) {
    size_t prose = strcspn(verdict, "{[`");

    return verdict[prose] && prose < FORM_PROSE_BYTES;
}

/* Once more, without a form; and where there is no room for that, the last who spoke. */
static char *judge_plainly(struct agent *a, const char *transcript) {
    char *answer = NULL;

    if (agent_room(a, 0)) {
        answer =
            agent_ask(a, 160,
                      "Question: %s\nThe debate:\n%s\nYou are the judge. Answer the question in "
                      "two sentences.",
                      a->query, agent_tail(transcript, a->context_bytes));
    }
    if (answer && agent_useful(answer) && !is_form(answer)) {
        return answer;
    }
    return a->n_steps ? shannon_format("%s", a->steps[a->n_steps - 1].text) : answer;
}

/* {"answer", "winner", "confidence"}; else the whole text is the verdict. The form is described,
 * not shown: a small model repeats what it is shown. */
static int judge(struct agent *a, const char *transcript) {
    char *verdict, *answer, *winner;
    double confidence;

    shannon_progress(a->ctx, "judging");
    verdict =
        agent_ask(a, 240,
                  "Question: %s\nThe debate:\n%s\nYou are the judge. Weigh the arguments and "
                  "reply with a JSON object that has three members: answer (your own answer to "
                  "the question, in two sentences), winner (the role that argued best) and "
                  "confidence (a number from 0 to 1).",
                  a->query, agent_tail(transcript, a->context_bytes));
    if (!verdict) {
        return agent_finish(a, NULL, -1);
    }
    answer = agent_json_text(verdict, "answer");
    winner = agent_json_text(verdict, "winner");
    confidence = agent_rating(verdict, "confidence", 100);
    if (!answer || !*answer || is_form(answer)) {
        a->malformed++;
        answer = is_form(verdict) ? judge_plainly(a, transcript) : verdict;
    }
    if (winner) {
        agent_fact_str(a, "winner", agent_shorten(winner, ROLE_BYTES));
    }
    agent_step(a, answer, "verdict");
    return agent_finish(a, answer, confidence);
}

int main(void) {
    struct agent a;
    char *roles[ROLES_MAX], *transcript = shannon_format("%s", "");
    size_t n;
    int rounds, round;

    agent_open(&a, "debate", (struct agent_budget){.llm_calls = 40, .seconds = 480});
    n = read_roles(&a, roles);
    rounds = (int)agent_option(&a, "rounds", 2, 1, ROUNDS_MAX);

    for (round = 1; round <= rounds && agent_room(&a, (int)n); round++) {
        shannon_progress(a.ctx, "round %d of %d", round, rounds);
        if (hold(&a, roles, n, round, &transcript) == 0) {
            break; /* nobody has anything to say: further rounds would not help */
        }
    }
    agent_fact_int(&a, "roles", (long long)n);
    agent_fact_int(&a, "rounds", round - 1);
    return judge(&a, transcript);
}
