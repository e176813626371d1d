/* See admit.h. */
#include "engine/private.h"
#include "engine/request.h"

/* A length of time, at least 1 ms, out of the arguments where it is there. */
static int take_ms(struct sh_activity *a, const char *name, uint64_t *ret_ms, struct sh_err *err) {
    json_t *ms = json_object_get(a->args, name);

    if (ms && (!json_is_integer(ms) || json_integer_value(ms) < 1)) {
        return sh_fail(err, SH_E_INVAL, "%s: expected an integer of at least 1", name);
    }
    *ret_ms = ms ? (uint64_t)json_integer_value(ms) : 0;
    json_object_del(a->args, name);
    return 0;
}

/* The options that any op takes are the engine's; the tool sees the rest. */
static int take_options(struct sh_activity *a, struct sh_err *err) {
    json_t *retry = json_object_get(a->args, "retry");

    if ((retry && sh_retry_parse(retry, &a->retry, err) < 0) ||
        take_ms(a, "timeout_ms", &a->timeout_ms, err) < 0 ||
        take_ms(a, "heartbeat_timeout_ms", &a->heartbeat_ms, err) < 0) {
        return -SH_E_INVAL;
    }
    if (a->heartbeat_ms && sh_child_op(a->tool) && sh_json_get_bool(a->args, "detached", false)) {
        return sh_fail(err, SH_E_INVAL,
                       "heartbeat_timeout_ms: nobody waits for a detached child; leave one of "
                       "the two out");
    }
    if (a->heartbeat_ms && a->tool->kind != SH_TOOL_REMOTE && !sh_child_op(a->tool)) {
        return sh_fail(err, SH_E_INVAL,
                       "heartbeat_timeout_ms: \"%s\" gives no sign of life while it runs; leave it "
                       "out, or start a sleep beside it and wait for either",
                       a->tool->name);
    }
    a->at_most_once = sh_json_get_bool(
        a->args, "at_most_once", a->tool->at_most_once && a->tool->at_most_once(a->tool, a->args));
    json_object_del(a->args, "retry");
    json_object_del(a->args, "at_most_once");
    return 0;
}

char *sh_admit_rule(const struct sh_workflow *wf, const char *tool, bool how) {
    return sh_policy_tool_why(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, sh_str(tool),
                              how);
}

/* What was asked for, which rule denied it, how the operator would grant it. */
static int denied(const struct sh_workflow *wf, const char *tool, const char *why,
                  struct sh_err *err) {
    sh_auto(sh_free_p) char *rule = sh_admit_rule(wf, tool, true);

    return sh_fail(err, SH_E_DENIED, "the tool \"%s\" is not granted to agent \"%s\": %s%s", tool,
                   wf->spec.agent, rule, why);
}

/* The frozen capabilities and the policy in force, on one tool. 0, SH_ADMIT_ASK, or -SH_E_DENIED.
 */
static int may_call(const struct sh_workflow *wf, const struct sh_activity *a, const char *tool,
                    struct sh_err *err) {
    enum sh_verdict verdict =
        sh_policy_tool(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, sh_str(tool));

    if (!sh_capabilities_tool(&wf->spec.caps, sh_str(tool))) {
        return denied(wf, tool,
                      verdict == SH_ALLOW ? ", but this task was not given it: neither its request "
                                            "nor the agent's manifest asks for it; add it there"
                                          : "",
                      err);
    }
    switch (verdict) {
    case SH_ALLOW:
        return 0;
    case SH_DENY:
        return denied(wf, tool, "", err);
    case SH_ASK:
        break;
    }
    switch (sh_approval_known(wf, a->ordinal, tool, err)) {
    case SH_ASKED_ALLOW:
        return 0;
    case SH_ASKED_REFUSED:
        return -SH_E_DENIED;
    case SH_ASKED_MUST_ASK:
        return SH_ADMIT_ASK;
    case SH_ASKED_NOBODY:
        break;
    }
    return denied(wf, tool, "; nobody has said yes", err);
}

bool sh_admit_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct sh_activity *a = arg;
    const struct sh_workflow *wf = a->wf;

    return sh_capabilities_net(&wf->spec.caps, what, written_out) &&
           sh_policy_net(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, what, written_out) !=
               SH_DENY;
}

bool sh_admit_use(void *arg, struct sh_str tool) {
    const struct sh_activity *a = arg;
    const struct sh_workflow *wf = a->wf;

    return sh_capabilities_tool(&wf->spec.caps, tool) &&
           sh_policy_tool(wf->policy, sh_str(wf->spec.agent), &wf->spec.module, tool) == SH_ALLOW;
}

/* Nobody is asked to allow what cannot work, because it is not set up or leads nowhere. */
static int can_work(struct sh_activity *a, struct sh_err *err) {
    struct sh_tool_call call = {.tool = a->tool,
                                .args = a->args,
                                .may_reach = sh_admit_reach,
                                .may_use = sh_admit_use,
                                .arg = a};

    return a->tool->kind == SH_TOOL_REMOTE ? sh_tools_ready(a->wf->engine->config.tools, &call, err)
                                           : 0;
}

int sh_admit(struct sh_activity *a, const struct sh_request *rq, struct sh_err *err) {
    struct sh_workflow *wf = a->wf;
    const struct sh_limits *limits = &wf->spec.caps.limits;
    int asked = 0;

    if (rq->err.code) {
        *err = rq->err;
        return -err->code;
    }
    a->tool = sh_tools_find(wf->engine->config.tools, sh_str(rq->op));
    if (!a->tool) {
        return sh_fail(err, SH_E_UNKNOWN_TOOL, "there is no tool \"%.60s\"; see `shannon tools`",
                       rq->op);
    }
    if (a->tool->capability) {
        asked = may_call(wf, a, a->tool->capability, err);
    } else if (strcmp(a->tool->name, "compensate") == 0) { /* asked for what it names */
        asked = sh_admit_probe(wf, a->ordinal, a->args, err);
    }
    if (asked < 0) {
        return asked;
    }
    if (a->ordinal >= limits->activities) {
        return sh_fail(err, SH_E_ACTIVITIES, "activity %llu is over the limit of %llu",
                       (unsigned long long)a->ordinal + 1, (unsigned long long)limits->activities);
    }
    if (json_is_object(a->args) && take_options(a, err) < 0) {
        return -err->code;
    }
    return sh_tool_check(a->tool, a->args, err) < 0 || can_work(a, err) < 0 ? -err->code : asked;
}

int sh_admit_probe(struct sh_workflow *wf, uint64_t ordinal, const json_t *args,
                   struct sh_err *err) {
    json_t *inner = json_object_get(args, "args");
    struct sh_activity a = {.wf = wf, .ordinal = ordinal};
    int r = 0;

    a.tool = sh_compensate_tool(args, err);
    if (!a.tool) {
        return -err->code;
    }
    a.args = inner ? json_deep_copy(inner) : json_object();
    sh_retry_init(&a.retry);
    if (a.tool->capability) {
        r = may_call(wf, &a, a.tool->capability, err);
    }
    if (r >= 0 && ((json_is_object(a.args) && take_options(&a, err) < 0) ||
                   sh_tool_check(a.tool, a.args, err) < 0 || can_work(&a, err) < 0)) {
        r = -err->code;
    }
    sh_retry_done(&a.retry);
    json_decref(a.args);
    return r;
}

int sh_admit_again(struct sh_activity *a, const json_t *item, struct sh_err *err) {
    int r = 0;

    a->tool = sh_compensate_tool(item, err);
    if (!a->tool) {
        return -err->code;
    }
    if (a->tool->capability) {
        r = may_call(a->wf, a, a->tool->capability, err);
    }
    if (r == SH_ADMIT_ASK) {
        r = sh_fail(err, SH_E_DENIED, "the policy asks a person, and an end does not wait for one");
    }
    r = r < 0 ? r : take_options(a, err);
    a->at_most_once = false; /* at least once, whatever the operation says of itself */
    return r;
}
