/* Op "approval": an agent asks a person, and the answer is its result. The question and the answer
 * are the events of every approval; the result rides in the commit of the answer, so that a crash
 * finds all of them or none. Where nobody can be asked the answer is no, at once. */
#include "engine/private.h"

#include <stdio.h>

bool sh_question_is(const json_t *body) {
    return sh_str_eqz(sh_json_get_str(body, "op"), "approval");
}

static json_t *answer_at(const struct sh_workflow *wf, uint64_t ordinal) {
    char number[24];

    snprintf(number, sizeof(number), "%llu", (unsigned long long)ordinal);
    return json_object_get(wf->approvals.answers, number);
}

void sh_question_apply(struct sh_workflow *wf, const json_t *decided) {
    struct sh_str decision = sh_json_get_str(decided, "decision");
    struct sh_str reason = sh_json_get_str(decided, "reason");
    char number[24];

    if (sh_str_eqz(decision, "expired")) {
        reason = sh_str("nobody answered in time");
    }
    snprintf(number, sizeof(number), "%lld", (long long)sh_json_get_int(decided, "ordinal", 0));
    json_object_set_new(wf->approvals.answers, number,
                        json_pack("{s:b, s:o, s:o}", "approved", (int)sh_str_eqz(decision, "allow"),
                                  "by", sh_json_string(sh_json_get_str(decided, "by")), "reason",
                                  sh_json_string(reason)));
}

void sh_question_answered(struct sh_workflow *wf, const json_t *decided) {
    uint64_t ordinal = (uint64_t)sh_json_get_int(decided, "ordinal", 0);

    sh_question_apply(wf, decided);
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->ordinal == ordinal) {
            sh_activity_succeed(a, json_incref(answer_at(wf, ordinal)));
            return;
        }
    }
    /* The agent is not there again yet: it finds the answer when it asks. */
}

void sh_question_run(struct sh_activity *a) {
    struct sh_workflow *wf = a->wf;
    json_t *known = answer_at(wf, a->ordinal), *request;

    a->state = SH_ACTIVITY_OUT;
    if (known) {
        sh_activity_succeed(a, json_incref(known));
        return;
    }
    if (sh_approval_pending(wf, a->ordinal)) {
        return;
    }
    if (!sh_operator_attends(wf)) {
        sh_activity_succeed(a, json_pack("{s:b, s:s, s:s}", "approved", 0, "by", "", "reason",
                                         "nobody can be asked here; a server asks"));
        return;
    }
    request = json_pack("{s:I, s:s, s:O}", "ordinal", (json_int_t)a->ordinal, "op", "approval",
                        "args", a->args);
    if (a->timeout_ms) {
        json_object_set_new(request, "timeout_ms", json_integer((json_int_t)a->timeout_ms));
    }
    sh_approval_request(
        wf, json_pack("[{s:s, s:s}]", "capability", "question", "rule", "the agent asks"), request,
        NULL);
}
