/* Signals: messages from outside. The n-th wait for a name gets the n-th message of that name
 * (SEMANTICS 10), so it makes no difference whether the message or the wait comes first. */
#include "engine/private.h"

#define SIGNAL_NAME_MAX 128

/* Number of this wait among those for its name, counted in the order in which the guest asked. */
void sh_signal_count(struct sh_workflow *wf, struct sh_str name, uint64_t *ret_number) {
    sh_auto(sh_free_p) char *key = sh_strndup0(name.p, name.len);
    int64_t n = sh_json_get_int(wf->signal_waits, key, 0);

    json_object_set_new(wf->signal_waits, key, json_integer(n + 1));
    *ret_number = (uint64_t)n;
}

/* Answer it if its message is there; else it rests. */
static bool answer(struct sh_activity *a) {
    struct sh_str name = sh_json_get_str(a->args, "name");
    sh_auto(sh_free_p) char *key = sh_strndup0(name.p, name.len);
    json_t *message = json_array_get(json_object_get(a->wf->signals, key), a->signal_number);
    json_t *payload = json_object_get(message, "payload");

    if (!message) {
        return false;
    }
    json_t *result =
        json_pack("{s:s, s:O}", "name", key, "payload", payload ? payload : json_null());
    if (json_object_get(message, "update")) {
        json_object_set(result, "update", json_object_get(message, "update"));
    }
    sh_activity_succeed(a, result);
    return true;
}

void sh_signal_run(struct sh_activity *a) {
    a->state = SH_ACTIVITY_OUT;
    (void)answer(a);
}

void sh_signal_apply(struct sh_workflow *wf, const struct sh_event *ev) {
    struct sh_str name = sh_json_get_str(ev->body, "name");
    sh_auto(sh_free_p) char *key = sh_strndup0(name.p, name.len);
    json_t *queue = json_object_get(wf->signals, key);

    sh_update_apply_received(wf, ev);
    if (!queue) {
        queue = json_array();
        json_object_set_new(wf->signals, key, queue);
    }
    json_array_append(queue, ev->body);
    if (wf->phase == SH_PHASE_LOADING) {
        return;
    }
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->state == SH_ACTIVITY_OUT && strcmp(a->tool->name, "signal") == 0 && answer(a)) {
            sh_journal_commit(wf, NULL, NULL);
            return; /* one message answers one wait */
        }
    }
}

int sh_signal_check(struct sh_str name, const json_t *payload, struct sh_err *err) {
    sh_auto(sh_free_p) char *text = payload ? sh_json_text(payload) : NULL;

    if (name.len == 0 || name.len > SIGNAL_NAME_MAX || !sh_utf8_valid(name)) {
        return sh_fail(err, SH_E_INVAL, "name: expected 1 to %d bytes of text, got %zu",
                       SIGNAL_NAME_MAX, name.len);
    }
    if (text && strlen(text) > SH_ACTIVITY_ARGS_MAX) {
        return sh_fail(err, SH_E_LIMIT, "payload: expected at most %llu bytes of JSON, got %zu",
                       SH_ACTIVITY_ARGS_MAX, strlen(text));
    }
    return 0;
}

void sh_engine_signal(struct sh_engine *e, struct sh_str id, struct sh_str name,
                      const json_t *payload, sh_engine_json_fn cb, void *arg) {
    const struct sh_asked_for asked = {SH_ASK_SIGNAL, .name = name, .payload = payload, .cb = cb,
                                       .arg = arg};
    struct sh_workflow *wf = sh_workflow_find(e, id);
    struct sh_control *c;
    struct sh_err err = {0};

    if (sh_signal_check(name, payload, &err) == 0 && sh_defer(e, wf, id, &asked)) {
        return;
    }
    c = sh_control_new(e, "signal", cb, arg);

    if (sh_signal_check(name, payload, &err) < 0) {
        sh_control_end(c, NULL, &err);
        return;
    }
    if (!sh_control_alive(c, wf, id)) {
        return;
    }
    if (sh_journal_add(wf, "SignalReceived",
                       json_pack("{s:o, s:o}", "name", sh_json_string(name), "payload",
                                 payload ? json_deep_copy(payload) : json_null())) == 0) {
        sh_fail(&err, SH_E_JOURNAL, "the task's journal has reached its size limit");
        sh_control_end(c, NULL, &err);
        return;
    }
    sh_journal_commit(wf, sh_control_written, c);
}
