/* What one decision costs: may this agent call this tool, as the engine asks before each activity
 * that is not journaled yet. First with the default policy, then with a long one (64 rules that
 * speak of this agent, 4 tools each, and the answer in the last), then with as many rules as one
 * may have, each of another agent. */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "policy/policy.h"

#define ROUNDS 5
#define DECISIONS 400000 /* in a round */
#define GOAL_US 0.5

/* Every allocation of the program ends here, so that "none" can be shown. */
extern void *__libc_malloc(size_t n);
static size_t allocations;
void *malloc(size_t n) __attribute__((visibility("default")));
void *malloc(size_t n) {
    allocations++;
    return __libc_malloc(n);
}
extern void *__libc_calloc(size_t n, size_t size);
void *calloc(size_t n, size_t size) __attribute__((visibility("default")));
void *calloc(size_t n, size_t size) {
    allocations++;
    return __libc_calloc(n, size);
}
extern void *__libc_realloc(void *p, size_t n);
void *realloc(void *p, size_t n) __attribute__((visibility("default")));
void *realloc(void *p, size_t n) {
    allocations++;
    return __libc_realloc(p, n);
}

static json_t *rule(const char *agent, size_t i) {
    json_t *tools = json_array();
    for (size_t j = 0; j < 4; j++) {
        sh_auto(sh_free_p) char *tool = sh_asprintf("mcp:server_%zu/tool_%zu", i, j);
        json_array_append_new(tools, json_string(tool));
    }
    return json_pack("{s:s, s:{s:o}}", "agent", agent, "allow", "tools", tools);
}

static struct sh_policy *policy(const json_t *doc) {
    struct sh_err err = {0};
    struct sh_policy *p = NULL;
    if (sh_policy_parse(doc, NULL, NULL, &p, &err) < 0) {
        fprintf(stderr, "bench_policy: %s\n", err.message);
        exit(1);
    }
    return p;
}

static void measure(const char *name, const struct sh_policy *p, struct sh_str tool) {
    struct sh_str agent = SH_STR("research");
    struct sh_hash module = {{0}};
    struct sh_decision d = {0};
    struct sh_err err = {0};
    double best = 1e9;
    size_t yes = 0, made = 0;
    if (sh_policy_decide_asking(p, agent, &module, NULL, NULL, SH_ASKS_LATER, &d, &err) < 0) {
        fprintf(stderr, "bench_policy: %s\n", err.message);
        exit(1);
    }
    for (int round = 0; round < ROUNDS; round++) {
        size_t before = allocations;
        uint64_t began = sh_mono_ns();
        for (int i = 0; i < DECISIONS; i++) {
            yes += sh_capabilities_tool(&d.effective, tool) &&
                   sh_policy_tool(p, agent, &module, tool) == SH_ALLOW;
        }
        double us = (double)(sh_mono_ns() - began) / DECISIONS / 1000;
        best = us < best ? us : best;
        made += allocations - before;
    }
    if (yes != (size_t)DECISIONS * ROUNDS) {
        fprintf(stderr, "bench_policy: %s: the tool was not allowed\n", name);
        exit(1);
    }
    printf("{\"name\":\"%s\",\"value\":%.4f,\"unit\":\"us\",\"goal\":%.1f}\n", name, best, GOAL_US);
    printf("{\"name\":\"%s_allocations\",\"value\":%zu,\"unit\":\"\",\"goal\":0}\n", name, made);
    sh_decision_done(&d);
}

static void long_policies(void) {
    json_t *speaking = json_array(), *foreign = json_array();
    for (size_t i = 0; i < 64; i++) {
        json_array_append_new(speaking, rule("research", i));
    }
    for (size_t i = 0; i < SH_POLICY_RULES_MAX; i++) {
        sh_auto(sh_free_p) char *other = sh_asprintf("research_%zu", i);
        json_array_append_new(foreign, rule(other, i));
    }
    sh_auto(sh_json_done) json_t *first = json_pack("{s:o}", "rules", speaking);
    sh_auto(sh_json_done) json_t *second = json_pack("{s:o}", "rules", foreign);
    struct sh_policy *p = policy(first);
    measure("decision_64_rules", p, SH_STR("mcp:server_63/tool_3"));
    sh_policy_free(p);
    p = policy(second);
    measure("decision_1024_rules_of_others", p, SH_STR("llm"));
    sh_policy_free(p);
}

int main(void) {
    struct sh_policy *p = policy(NULL);
    measure("decision_default_policy", p, SH_STR("llm"));
    sh_policy_free(p);
    long_policies();
    return 0;
}
