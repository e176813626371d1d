/* The requests that the scenarios' steps are made of: see sweep.h. */
#include "sweep.h"

#include <stdio.h>
#include <string.h>

int sweep_module(const char *program, const char *name) {
    struct sweep_answer *a = sweep_ask();
    int code;

    sh_engine_module_add(sweep.f.engine, sh_str(program), name, NULL, sweep_on_json, a);
    code = sweep_answered(a);
    if (code == 0) {
        snprintf(sweep.note, sizeof(sweep.note), "%s",
                 json_string_value(json_object_get(a->value, "hash")));
    }
    return code;
}

int sweep_submit(size_t n, const char *program, const struct sh_submit *extra) {
    struct sh_submit s = extra ? *extra : (struct sh_submit){0};
    struct sweep_answer *a;
    char key[16];
    int code = sweep_module(program, NULL);
    const char *id;

    if (code) {
        return code;
    }
    snprintf(key, sizeof(key), "key-%zu", n);
    s.agent = sh_str(sweep.note);
    s.query = s.query.len ? s.query : SH_STR("q");
    s.idempotency_key = sh_str(key);
    a = sweep_ask();
    sh_engine_submit(sweep.f.engine, &s, sweep_on_submit, a);
    code = sweep_answered(a);
    if (code == 0) {
        id = json_string_value(json_object_get(a->value, "id"));
        sweep_assert(!sweep.ids[n][0] || strcmp(id, sweep.ids[n]) == 0,
                     "one key made two tasks: %s and %s", sweep.ids[n], id);
        snprintf(sweep.ids[n], sizeof(sweep.ids[n]), "%s", id);
    }
    return code;
}

int sweep_signal(size_t n, const char *name, int payload) {
    sh_auto(sh_json_done) json_t *value = json_integer(payload);
    struct sweep_answer *a = sweep_ask();

    sh_engine_signal(sweep.f.engine, sh_str(sweep.ids[n]), sh_str(name), value, sweep_on_json, a);
    return sweep_answered(a);
}

int sweep_compact(void) {
    struct sweep_answer *a = sweep_ask();

    sh_engine_compact(sweep.f.engine, sh_str(sweep.ids[0]), sweep_on_json, a);
    return sweep_answered(a);
}

bool sweep_compacted(const json_t *durable) {
    const json_t *events = sweep_journal(durable, 0);

    return sh_str_eqz(sh_json_get_str(json_array_get(events, 0), "type"), "Compacted") &&
           sh_str_eqz(sh_json_get_str(json_array_get(events, 1), "type"), "Checkpoint");
}

int sweep_asleep(void) {
    json_t *stats = sh_engine_stats(sweep.f.engine);
    bool asleep =
        sh_json_get_int(stats, "passivated", 0) > 0 && sh_json_get_int(stats, "in_memory", 1) == 0;

    json_decref(stats);
    return asleep ? 0 : SWEEP_LATER;
}

json_t *sweep_journal(const json_t *durable, size_t n) {
    return json_object_get(json_object_get(durable, "event"), sweep.ids[n]);
}

json_t *sweep_row(const json_t *durable, size_t n) {
    return json_object_get(json_object_get(durable, "workflow"), sweep.ids[n]);
}

size_t sweep_count(const json_t *durable, size_t n, const char *type, const char *member,
                   json_t *value) {
    size_t i, found = 0;
    json_t *ev;

    json_array_foreach(sweep_journal(durable, n), i, ev) {
        sh_auto(sh_json_done) json_t *body = NULL;
        if (sh_str_eqz(sh_json_get_str(ev, "type"), type) &&
            sh_json_parse(sh_json_get_str(ev, "body"), SH_MIB, &body, NULL) == 0) {
            found += !member || json_equal(json_object_get(body, member), value);
        }
    }
    json_decref(value);
    return found;
}

json_t *sweep_policy(const char *text) {
    static json_t *policy;
    struct sh_err err = {0};

    json_decref(policy);
    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &policy, &err), &err);
    return policy;
}

void sweep_sure(int code, const char *what) {
    sweep_assert(code == 0, "%s: %d %s", what, code, sweep.err.message);
}

void sweep_end_of(size_t n) {
    json_decref(fixture_wait(&sweep.f, sweep.ids[n]));
    fixture_run_ms(&sweep.f, 5);
}
