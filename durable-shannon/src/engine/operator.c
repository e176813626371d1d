/* See operator.h. */
#include "engine/operator.h"

#include "engine/private.h"

static int check_form(const json_t *doc, struct sh_err *err) {
    static const char *const known[] = {"policy", "capabilities", "attended", NULL};
    const json_t *attended = json_object_get(doc, "attended");

    if (!json_is_object(doc)) {
        return sh_fail(err, SH_E_INVAL, "operator: expected an object");
    }
    if (attended && !json_is_boolean(attended)) {
        return sh_fail(err, SH_E_INVAL, "operator.attended: expected true or false");
    }
    return sh_json_only(doc, known, "operator", err);
}

int sh_operator_read(const struct sh_policy *base, const json_t *doc, struct sh_operator *ret,
                     struct sh_err *err) {
    const json_t *rules = json_object_get(doc, "policy"), *more;
    struct sh_capabilities caps = {0};
    struct sh_policy *policy = NULL;
    int r = doc ? check_form(doc, err) : 0;

    if (r == 0 && rules) {
        r = sh_policy_parse(rules, NULL, NULL, &policy, err);
    }
    more = json_object_get(doc, "capabilities");
    if (r == 0 && more && (r = sh_capabilities_parse(more, NULL, NULL, &caps, err)) == 0) {
        struct sh_policy *both = sh_policy_with(policy ? policy : base, &caps);
        sh_policy_free(policy);
        policy = both;
        sh_capabilities_done(&caps);
    }
    if (r < 0) {
        sh_policy_free(policy);
        return r;
    }
    *ret = (struct sh_operator){.policy = policy,
                                .unattended = !sh_json_get_bool(doc, "attended", true)};
    return 0;
}

void sh_operator_done(struct sh_operator *o) {
    sh_policy_free(o->policy);
    *o = (struct sh_operator){0};
}

void sh_operator_rules(struct sh_workflow *wf, struct sh_operator *o) {
    sh_operator_done(&wf->own);
    wf->own = *o;
    *o = (struct sh_operator){0};
    wf->policy = wf->own.policy ? wf->own.policy : wf->engine->config.policy;
}

bool sh_operator_attends(const struct sh_workflow *wf) {
    return wf->engine->config.attended && !wf->own.unattended;
}
