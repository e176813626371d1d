/* ReAct: think, act with a tool, look at what came of it, until there is an answer.
 *
 *     question --> model: {"thought", "tool", "input"} --> tool --> observation --.
 *                    ^                                                            |
 *                    '------------------------------------------------------------'
 *                  model: {"thought", "answer"} --> done
 *
 * A tool that fails is an observation like any other ("permission_denied: ..."), so that the model
 * can do something else. An answer that is no JSON is asked for again; after the second in a row it
 * counts as the answer, because small models do not speak JSON. */
#include "common/agent.h"

#include <stdlib.h>
#include <string.h>

enum { TURNS_MAX = 16, OBSERVATION_BYTES = 900, FUTILE_MAX = 2 };

/* What the model may use: the one argument that its input becomes, and for whom it is. */
static const struct tool {
    const char *name, *argument, *use;
} tools[] = {
    {"calculator", "expression", "an arithmetic expression such as 12*(3+4)"},
    {"web_search", "query", "words to look for in the web"},
    {"web_fetch", "url", "the address of a page to read"},
};
enum { TOOLS = sizeof(tools) / sizeof(tools[0]) };

/* Option "tools": names; without it all of them. Whether one is granted, the policy decides. */
static bool offered(const struct agent *a, const char *name) {
    struct shannon_view list = agent_option_json(a, "tools");
    bool found = !list.p || *list.p != '[';

    for (size_t i = 0; !found && shannon_json_item(list, i).p; i++) {
        char *one = shannon_json_string(shannon_json_item(list, i));
        found = one && strcmp(one, name) == 0;
        free(one);
    }
    return found;
}

static char *describe_tools(const struct agent *a) {
    char *text = shannon_format("%s", "");

    for (size_t i = 0; i < TOOLS; i++) {
        if (offered(a, tools[i].name)) {
            agent_append(&text, "- %s: %s\n", tools[i].name, tools[i].use);
        }
    }
    return text;
}

static char *arguments(const struct tool *tool, const char *input) {
    struct shannon_json w = {0};

    shannon_json_open(&w, '{');
    shannon_json_key(&w, tool->argument);
    shannon_json_str(&w, input);
    if (strcmp(tool->name, "web_fetch") == 0) {
        shannon_json_key(&w, "max_chars");
        shannon_json_int(&w, OBSERVATION_BYTES);
    }
    shannon_json_close(&w, '}');
    return shannon_json_take(&w);
}

/* Pages and hits that were seen are the sources of the answer. */
static void note_sources(struct agent *a, const struct tool *tool, const char *result) {
    struct shannon_view v = shannon_view(result);

    for (size_t i = 0; strcmp(tool->name, "web_search") == 0 && i < 5; i++) {
        struct shannon_view hit = shannon_json_item(shannon_json_get(v, "results"), i);
        char *url = shannon_json_string(shannon_json_get(hit, "url"));
        if (url) {
            agent_source(a, shannon_json_string(shannon_json_get(hit, "title")), url,
                         shannon_json_string(shannon_json_get(hit, "snippet")));
        }
    }
    if (strcmp(tool->name, "web_fetch") == 0) {
        char *url = shannon_json_string(shannon_json_get(v, "url"));
        if (url) {
            agent_source(a, shannon_json_string(shannon_json_get(v, "title")), url,
                         shannon_json_string(shannon_json_get(v, "text")));
        }
    }
}

/* Do what the model asked for. gives  the observation, whatever happened; *ret_futile: nothing did
 */
static char *act(struct agent *a, const char *name, const char *input, bool *ret_futile) {
    char *args, *result, *error;

    *ret_futile = true;
    for (size_t i = 0; i < TOOLS; i++) {
        if (strcmp(tools[i].name, name) == 0 && offered(a, name)) {
            if (!agent_tool_room(a, 1)) {
                return shannon_format("no more tools may be used; answer now");
            }
            *ret_futile = false;
            args = arguments(&tools[i], input);
            agent_call_all(a, name, &args, 1, &result, &error);
            if (!result) {
                return error;
            }
            note_sources(a, &tools[i], result);
            return agent_shorten(result, OBSERVATION_BYTES);
        }
    }
    return shannon_format("there is no tool \"%.40s\"; use one of those that were named", name);
}

static char *next_turn(struct agent *a, const char *list, const char *notes) {
    return agent_ask(a, 240,
                     "Question: %s\nTools:\n%s%s%s\nReply with one JSON object: {\"thought\": "
                     "\"...\", \"tool\": "
                     "\"name\", \"input\": \"...\"} to use a tool, or {\"thought\": \"...\", "
                     "\"answer\": \"...\", "
                     "\"confidence\": 0 to 1} when you know.",
                     a->query, list, *notes ? "So far:\n" : "",
                     agent_tail(notes, a->context_bytes));
}

/* Carry out a call and note what was seen. gives  was it of any use? The same call twice is not. */
static bool use_tool(struct agent *a, const char *reply, char *tool, char **notes) {
    char *input = agent_json_text(reply, "input"), *call, *seen;
    bool futile;

    input = input ? input : shannon_format("%s", "");
    call = shannon_format("%.40s(%.300s) gave: ", tool, input);
    if (strstr(*notes, call)) {
        agent_append(notes, "(you did %.40s with this already)\n", tool);
        return false;
    }
    seen = act(a, tool, input, &futile);
    agent_append(notes, "%s%s\n", call, seen);
    agent_step(a, seen, "%.40s: %.100s", tool, input);
    return !futile;
}

int main(void) {
    struct agent a;
    char *list, *notes = shannon_format("%s", ""), *answer = NULL, *reply = NULL;
    double confidence = -1;
    int futile = 0;

    agent_open(&a, "react",
               (struct agent_budget){.llm_calls = 20, .tool_calls = 15, .seconds = 480});
    list = describe_tools(&a);

    for (int turn = 1; turn <= TURNS_MAX && futile < FUTILE_MAX && agent_room(&a, 1); turn++) {
        char *tool;
        reply = next_turn(&a, list, notes);
        if (!reply) {
            break;
        }
        tool = agent_json_text(reply, "tool");
        answer = agent_json_text(reply, "answer");
        if (answer && *answer) {
            confidence = agent_rating(reply, "confidence", 100);
            agent_step(&a, agent_json_text(reply, "thought"), "answer");
            break;
        }
        answer = NULL;
        if (tool && *tool) {
            futile = use_tool(&a, reply, tool, &notes) ? 0 : futile + 1;
        } else {
            a.malformed++;
            futile++;
            agent_append(&notes, "(your reply was no such JSON object)\n");
        }
    }
    if (!answer && (reply || a.stopped)) { /* no more turns: what is known has to do */
        shannon_progress(a.ctx, "answering from what is known");
        answer = agent_ask(&a, 200, "Question: %s\nWhat is known:\n%s\nAnswer briefly.", a.query,
                           agent_tail(notes, a.context_bytes));
    }
    return agent_finish(&a, answer, confidence);
}
