/* What a person says to a task that waits: a signal, a yes, a no. */
#include "cli/ask.h"

#include <stdlib.h>

int sh_cmd_signal(int argc, char *const argv[]) {
    struct sh_ask a = {.common.active = true};
    int rc = sh_cli_parse(&a.common, "signal ID NAME [JSON]", NULL, 0, 2, 3, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_json_done) json_t *payload = NULL;
    const char *text = a.common.operands.v[2];
    if (text && sh_json_parse(sh_str(text), SH_ACTIVITY_ARGS_MAX, &payload, &a.err) < 0) {
        return sh_ask_end(&a, 0);
    }
    sh_auto(sh_json_done) json_t *body =
        json_pack("{s:o, s:O?}", "name", sh_json_string(sh_str(a.common.operands.v[1])), "payload",
                  payload ? payload : json_null());
    sh_auto(sh_free_p) char *bytes = sh_json_text(body);
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "/signal");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "POST", path, sh_str(bytes)) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%s: signal accepted\n", a.common.operands.v[0]);
        }
    }
    return sh_ask_end(&a, 0);
}

static void print_question(const json_t *item) {
    size_t i;
    json_t *ask;

    printf("%s %s  agent ", json_string_value(json_object_get(item, "workflow_id")),
           json_string_value(json_object_get(item, "approval_id")));
    sh_cli_print_text(stdout, sh_json_get_str(item, "agent"), 40);
    printf("  until %.19s\n", json_string_value(json_object_get(item, "expires_at")));
    json_array_foreach(json_object_get(item, "asks"), i, ask) {
        fputs("    asks for ", stdout);
        sh_cli_print_text(stdout, sh_json_get_str(ask, "capability"), 100);
        fputs("  (", stdout);
        sh_cli_print_text(stdout, sh_json_get_str(ask, "rule"), 100);
        puts(")");
    }
    if (json_object_get(item, "args")) {
        sh_auto(sh_free_p) char *args = sh_json_text(json_object_get(item, "args"));
        fputs("    with ", stdout);
        sh_cli_print_text(stdout, sh_str(args), 200);
        putchar('\n');
    }
}

int sh_cmd_approvals(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "approvals", NULL, 0, 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    if (sh_ask_open(&a) == 0 &&
        sh_ask_call(&a, "GET", "/api/v1/approvals?status=pending", (struct sh_str){0}) == 0) {
        size_t i;
        json_t *item;
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            json_array_foreach(json_object_get(a.answer, "approvals"), i, item) {
                print_question(item);
            }
        }
    }
    return sh_ask_end(&a, 0);
}

static int decide(int argc, char *const argv[], bool approve) {
    struct sh_ask a = {.common.active = true};
    const char *scope = "once", *reason = "";
    const struct sh_flag flags[] = {
        {"reason", SH_FLAG_TEXT, &reason, "TEXT", "kept in the journal"},
        {"scope", SH_FLAG_TEXT, &scope, "SCOPE",
         "once: this call; run: this tool in this task; always: this module, from now on"},
    };
    int rc = sh_cli_parse(&a.common,
                          approve ? "approve [--scope once|run|always] [--reason TEXT] ID APPROVAL"
                                  : "deny [--reason TEXT] ID APPROVAL",
                          flags, approve ? 2 : 1, 2, 2, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_json_done) json_t *body = json_pack(
        "{s:o, s:o, s:b, s:s, s:o}", "workflow_id", sh_json_string(sh_str(a.common.operands.v[0])),
        "approval_id", sh_json_string(sh_str(a.common.operands.v[1])), "approved", (int)approve,
        "scope", scope, "feedback", sh_json_string(sh_str(reason)));
    sh_auto(sh_free_p) char *bytes = sh_json_text(body);
    if (sh_ask_open(&a) == 0 &&
        sh_ask_call(&a, "POST", "/api/v1/approvals/decision", sh_str(bytes)) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%s %s: %s\n", a.common.operands.v[0], a.common.operands.v[1],
                   json_string_value(json_object_get(a.answer, "status")));
        }
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_approve(int argc, char *const argv[]) {
    return decide(argc, argv, true);
}

int sh_cmd_deny(int argc, char *const argv[]) {
    return decide(argc, argv, false);
}
