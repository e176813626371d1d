/* Tasks that begin by the clock. */
#include "cli/ask.h"

#include <stdlib.h>

#define USAGE "schedules [list] | add CRON QUERY | pause|resume|remove|run|runs ID"

struct flags {
    const char *name, *agent, *timezone, *overlap, *catch_up, *input, *session, *max;
};

static const char *operand(const struct sh_ask *a, size_t i) {
    return i < a->common.operands.n ? a->common.operands.v[i] : NULL;
}

static void print_schedule(const json_t *s) {
    const char *next = json_string_value(json_object_get(s, "next_run_at"));

    printf("%-32s %-7s %-16s ", json_string_value(json_object_get(s, "schedule_id")),
           json_string_value(json_object_get(s, "status")),
           json_string_value(json_object_get(s, "cron_expression")));
    sh_cli_print_text(stdout, sh_json_get_str(s, "timezone"), 30);
    printf("  next %.19s  runs %lld  ", next ? next : "-",
           (long long)sh_json_get_int(s, "total_runs", 0));
    sh_cli_print_text(stdout, sh_json_get_str(s, "name"), 40);
    putchar('\n');
}

static void print_run(const json_t *run) {
    printf("%-30s %-24s %.19s\n", json_string_value(json_object_get(run, "task_id")),
           json_string_value(json_object_get(run, "status")),
           json_string_value(json_object_get(run, "triggered_at")));
}

static void print_each(const json_t *list, void (*print)(const json_t *item)) {
    size_t i;
    json_t *item;

    json_array_foreach(list, i, item) {
        print(item);
    }
}

static int call(struct sh_ask *a, const char *method, const char *path, const char *body) {
    int rc = sh_ask_open(a);

    rc = rc < 0 ? rc : sh_ask_call(a, method, path, sh_str(body));
    if (rc == 0 && a->common.json) {
        sh_cli_print_json(a->answer);
    }
    return rc;
}

static int list(struct sh_ask *a) {
    if (call(a, "GET", "/api/v1/schedules", NULL) == 0 && !a->common.json) {
        print_each(json_object_get(a->answer, "schedules"), print_schedule);
    }
    return sh_ask_end(a, 0);
}

static void set(json_t *body, const char *name, const char *value) {
    if (value) {
        json_object_set_new(body, name, sh_json_string(sh_str(value)));
    }
}

static int add(struct sh_ask *a, const struct flags *f) {
    const char *cron = operand(a, 1), *query = operand(a, 2);
    sh_auto(sh_json_done) json_t *body = json_object();
    json_t *input = NULL;

    if (f->input && sh_json_parse(sh_str(f->input), SH_INPUT_MAX, &input, &a->err) < 0) {
        return sh_ask_end(a, 0);
    }
    if (!cron || (!query && !input)) {
        json_decref(input);
        sh_fail(&a->err, SH_E_INVAL,
                "expected: shannon schedules add [FLAGS] CRON QUERY, such as "
                "\"30 7 * * 1-5\" \"what is new?\"");
        return sh_ask_end(a, 0);
    }
    set(body, "name", f->name ? f->name : query ? query : f->agent ? f->agent : "schedule");
    set(body, "cron_expression", cron);
    set(body, "task_query", query);
    set(body, "agent", f->agent);
    set(body, "timezone", f->timezone);
    set(body, "overlap", f->overlap);
    set(body, "catch_up", f->catch_up);
    set(body, "session_id", f->session);
    if (input) {
        json_object_set_new(body, "input", input);
    }
    if (f->max) {
        json_object_set_new(body, "catch_up_max", json_integer(strtol(f->max, NULL, 10)));
    }
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    if (call(a, "POST", "/api/v1/schedules", text) == 0 && !a->common.json) {
        print_schedule(a->answer);
    }
    return sh_ask_end(a, 0);
}

static int steer(struct sh_ask *a, const char *verb) {
    const char *id = operand(a, 1);
    bool removes = strcmp(verb, "remove") == 0, runs = strcmp(verb, "runs") == 0;
    struct sh_id checked;

    if (!id || sh_id_parse(sh_str(id), &checked) < 0) {
        sh_fail(&a->err, SH_E_INVAL, "expected: shannon schedules %.20s ID", verb);
        return sh_ask_end(a, 0);
    }
    sh_auto(sh_free_p) char *path =
        sh_asprintf("/api/v1/schedules/%s%s%s", checked.s, removes ? "" : "/", removes ? "" : verb);
    if (call(a,
             removes ? "DELETE"
             : runs  ? "GET"
                     : "POST",
             path, runs || removes ? NULL : "{}") == 0 &&
        !a->common.json) {
        if (runs) {
            print_each(json_object_get(a->answer, "runs"), print_run);
        } else {
            printf("%s: %s\n", checked.s, json_string_value(json_object_get(a->answer, "message")));
        }
    }
    return sh_ask_end(a, 0);
}

int sh_cmd_schedules(int argc, char *const argv[]) {
    static const char *const verbs[] = {"pause", "resume", "remove", "run", "runs"};
    struct sh_ask a = {0};
    struct flags f = {0};
    const struct sh_flag flags[] = {
        {"name", SH_FLAG_TEXT, &f.name, "TEXT", "add: what people call it"},
        {"agent", SH_FLAG_TEXT, &f.agent, "NAME", "add: who does it (the default agent)"},
        {"timezone", SH_FLAG_TEXT, &f.timezone, "ZONE", "add: such as Europe/Berlin (UTC)"},
        {"overlap", SH_FLAG_TEXT, &f.overlap, "POLICY",
         "add: skip, queue, allow or cancel_previous (skip)"},
        {"catch-up", SH_FLAG_TEXT, &f.catch_up, "POLICY", "add: none, one or all (one)"},
        {"catch-up-max", SH_FLAG_TEXT, &f.max, "N", "add: how many of all (10)"},
        {"input", SH_FLAG_TEXT, &f.input, "JSON", "add: the task's input"},
        {"session", SH_FLAG_TEXT, &f.session, "ID", "add: the session of its tasks"},
    };
    int rc = sh_cli_parse(&a.common, USAGE, flags, SH_N(flags), 0, 3, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    const char *verb = operand(&a, 0);
    if (!verb || strcmp(verb, "list") == 0) {
        return list(&a);
    }
    if (strcmp(verb, "add") == 0) {
        return add(&a, &f);
    }
    for (size_t i = 0; i < SH_N(verbs); i++) {
        if (strcmp(verb, verbs[i]) == 0) {
            return steer(&a, verb);
        }
    }
    sh_fail(&a.err, SH_E_INVAL,
            "schedules %.40s: expected list, add, pause, resume, remove, run "
            "or runs",
            verb);
    return sh_ask_end(&a, 0);
}
