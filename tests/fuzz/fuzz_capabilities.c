/* Capabilities and policies from bytes: whatever is read must be written and read again as the
 * same, and a decision made of it never grants more than was asked or allowed. */
#include <stddef.h>
#include <stdint.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *text_of(const struct sh_capabilities *c) {
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(c);
    return sh_json_text(doc);
}

static void round_trip(const struct sh_capabilities *c) {
    struct sh_capabilities again = {0};
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(c);
    SH_ASSERT(sh_capabilities_parse(doc, NULL, NULL, &again, &err) == 0);
    sh_auto(sh_free_p) char *first = text_of(c);
    sh_auto(sh_free_p) char *second = text_of(&again);
    SH_ASSERT(strcmp(first, second) == 0);
    sh_capabilities_done(&again);
}

static void decide(const struct sh_policy *p, const struct sh_capabilities *manifest,
                   const struct sh_capabilities *request) {
    struct sh_decision d = {0};
    if (sh_policy_decide(p, SH_STR("bot"), NULL, manifest, request, &d, NULL) != 0) {
        return;
    }
    for (size_t i = 0; d.effective.tools && d.effective.tools[i]; i++) {
        struct sh_str tool = sh_str(d.effective.tools[i]);
        SH_ASSERT(sh_policy_tool(p, SH_STR("bot"), NULL, tool) == SH_ALLOW);
        SH_ASSERT(!request || !request->said_tools || sh_capabilities_tool(request, tool));
        SH_ASSERT(!manifest || !manifest->said_tools || sh_capabilities_tool(manifest, tool));
    }
    round_trip(&d.effective);
    sh_decision_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_capabilities c = {0};
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = NULL;
    if (sh_json_parse(sh_strn(data, size), SH_MIB, &doc, &err) != 0) {
        return 0;
    }
    struct sh_policy *standard = NULL;
    struct sh_policy *own = NULL;
    SH_ASSERT(sh_policy_parse(NULL, NULL, NULL, &standard, NULL) == 0);
    if (sh_capabilities_parse(doc, "/home/ann", "/base", &c, &err) == 0) {
        round_trip(&c);
        struct sh_policy *with = sh_policy_with(NULL, &c);
        decide(with, NULL, NULL);
        decide(with, &c, &c);
        decide(standard, &c, NULL);
        decide(standard, NULL, &c);
        sh_policy_free(with);
        sh_capabilities_done(&c);
    }
    const json_t *request = json_object_get(doc, "request"); /* a policy and a request in one */
    if (sh_policy_parse(json_object_get(doc, "policy"), "/home/ann", "/base", &own, &err) == 0) {
        if (request && sh_capabilities_parse(request, "/home/ann", "/base", &c, &err) == 0) {
            decide(own, NULL, &c);
            decide(own, &c, NULL);
            sh_capabilities_done(&c);
        }
        decide(own, NULL, NULL);
        sh_policy_free(own);
    }
    sh_policy_free(standard);
    return 0;
}
