/* Looking at tasks and steering them: thin words over the API. */
#include "cli/ask.h"

#include <stdlib.h>

static void print_task_line(const json_t *task) {
    struct sh_str status = sh_json_get_str(task, "status");
    struct sh_str prefix = SH_STR("TASK_STATUS_");
    if (sh_str_starts(status, prefix)) {
        status = sh_strn(status.p + prefix.len, status.len - prefix.len);
    }
    printf("%-30s %-10.*s %.19s  ", json_string_value(json_object_get(task, "task_id")),
           (int)status.len, status.p, sh_json_get_str(task, "created_at").p);
    sh_cli_print_text(stdout, sh_json_get_str(task, "query"), 60);
    putchar('\n');
}

/* The tasks of `list` that `parent` started, oldest first, each with its own below it. */
static void print_below(const json_t *list, const char *parent, int depth) {
    for (size_t i = json_array_size(list); i-- > 0;) {
        json_t *task = json_array_get(list, i);
        if (sh_str_eqz(sh_json_get_str(task, "parent_id"), parent)) {
            printf("%*s", depth * 2, "");
            print_task_line(task);
            print_below(list, json_string_value(json_object_get(task, "task_id")), depth + 1);
        }
    }
}

/* A task and all that it started, directly or not. */
static int print_tree(struct sh_ask *a, const char *id) {
    struct sh_id checked;
    sh_auto(sh_free_p) char *one = sh_asprintf("/api/v1/tasks/%.128s", id);
    sh_auto(sh_free_p) char *all = sh_asprintf("/api/v1/tasks?limit=100&root_id=%.128s", id);
    if (sh_id_parse(sh_str(id), &checked) < 0) {
        sh_fail(&a->err, SH_E_INVAL, "--tree %.128s: expected the id of a task", id);
    } else if (sh_ask_open(a) == 0 && sh_ask_call(a, "GET", one, (struct sh_str){0}) == 0) {
        sh_auto(sh_json_done) json_t *root = json_incref(a->answer);
        if (sh_ask_call(a, "GET", all, (struct sh_str){0}) == 0) {
            json_t *list = json_object_get(a->answer, "tasks");
            if (a->common.json) {
                json_array_insert(list, 0, root);
                sh_cli_print_json(a->answer);
            } else {
                print_task_line(root);
                print_below(list, id, 1);
            }
        }
    }
    return sh_ask_end(a, 0);
}

int sh_cmd_tasks(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    const char *status = NULL, *limit = "20", *offset = "0", *session = NULL, *tree = NULL;
    const struct sh_flag flags[] = {
        {"tree", SH_FLAG_TEXT, &tree, "ID", "this task and those that it started"},
        {"status", SH_FLAG_TEXT, &status, "STATUS", "only queued, running, paused, completed, ..."},
        {"session", SH_FLAG_TEXT, &session, "ID", "only tasks of this session"},
        {"limit", SH_FLAG_TEXT, &limit, "N", "at most N, newest first (20)"},
        {"offset", SH_FLAG_TEXT, &offset, "N", "leave out the first N"},
    };
    int rc = sh_cli_parse(&a.common, "tasks [FLAGS]", flags, SH_N(flags), 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    if (tree) {
        return print_tree(&a, tree);
    }
    sh_auto(sh_free_p) char *path =
        sh_asprintf("/api/v1/tasks?limit=%s&offset=%s&status=%s&session_id=%s", limit, offset,
                    status ? status : "", session ? session : "");
    if (strpbrk(path + 14, " \r\n#%")) {
        sh_fail(&a.err, SH_E_INVAL, "the flags hold a character that is not allowed there");
    } else if (sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
        size_t i;
        json_t *task;
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            json_array_foreach(json_object_get(a.answer, "tasks"), i, task) {
                print_task_line(task);
            }
        }
    }
    return sh_ask_end(&a, 0);
}

static void print_field(const json_t *task, const char *name) {
    json_t *value = json_object_get(task, name);
    if (!value || json_is_null(value)) {
        return;
    }
    printf("%-14s ", name);
    if (json_is_string(value)) {
        sh_cli_print_text(stdout, sh_strn(json_string_value(value), json_string_length(value)),
                          400);
    } else {
        json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    putchar('\n');
}

int sh_cmd_status(int argc, char *const argv[]) {
    static const char *const shown[] = {
        "task_id",    "status",       "agent",       "query",      "session_id", "created_at",
        "updated_at", "completed_at", "parent_id",   "root_id",    "children",   "deadline_at",
        "model_used", "usage",        "exit_status", "error_code", "error",      "result"};
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "status ID", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            for (size_t i = 0; i < SH_N(shown); i++) {
                print_field(a.answer, shown[i]);
            }
        }
    }
    return sh_ask_end(&a, 0);
}

static void print_lines(struct sh_str text) {
    fwrite(text.p, 1, text.len, stdout);
    if (text.len && text.p[text.len - 1] != '\n') {
        putchar('\n');
    }
}

int sh_cli_print_result(struct sh_client *c, const char *id, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s/result", id);
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_PAYLOAD_MAX + 2);
    int rc = sh_client_fetch(c, "GET", path, NULL, (struct sh_str){0}, &text, err);
    if (rc == 0) {
        print_lines(sh_buf_str(&text));
    }
    return rc;
}

/* The answer on stdout, and the exit status the run itself would have given. */
static int print_result(struct sh_ask *a) {
    const json_t *task = a->answer;
    struct sh_str status = sh_json_get_str(task, "status");
    if (a->common.json) {
        sh_cli_print_json(task);
    }
    if (!json_object_get(task, "result")) {
        sh_fail(&a->err, SH_E_STATE,
                "the task has not ended (%.*s); follow it with: shannon events "
                "--follow %s",
                (int)status.len, status.p, a->common.operands.v[0]);
        return SH_EXIT_OWN;
    }
    if (!a->common.json && json_object_get(task, "output_kept")) {
        if (sh_cli_print_result(&a->client, a->common.operands.v[0], &a->err) < 0) {
            return SH_EXIT_OWN;
        }
    } else if (!a->common.json) {
        print_lines(sh_json_get_str(task, "result"));
    }
    if (sh_str_eqz(status, "TASK_STATUS_COMPLETED")) {
        return (int)sh_json_get_int(task, "exit_status", 0);
    }
    struct sh_err failure = {0};
    const char *code = json_string_value(json_object_get(task, "error_code"));
    sh_fail(&failure, sh_code_from_name(code ? code : "canceled"), "%s",
            json_string_value(json_object_get(task, "error"))
                ? json_string_value(json_object_get(task, "error"))
                : "the task did not complete");
    int exit_status = sh_cli_fail(&failure);
    size_t i;
    json_t *frame;
    json_array_foreach(json_object_get(task, "backtrace"), i, frame) {
        fprintf(stderr, "  %zu: ", i);
        sh_cli_print_text(stderr, sh_strn(json_string_value(frame), json_string_length(frame)),
                          400);
        fputc('\n', stderr);
    }
    return failure.code == SH_E_EXIT ? (int)sh_json_get_int(task, "exit_status", 1) : exit_status;
}

int sh_cmd_result(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "result ID", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    int status = 0;
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
        status = print_result(&a);
    }
    return sh_ask_end(&a, status);
}

static void print_event(const json_t *event, bool as_json) {
    if (as_json) {
        json_dumpf(event, stdout, JSON_COMPACT);
        putchar('\n');
        return;
    }
    printf("%6lld  %.23s  %-18s ", (long long)sh_json_get_int(event, "seq", 0),
           json_string_value(json_object_get(event, "timestamp")),
           json_string_value(json_object_get(event, "type")));
    sh_auto(sh_buf_done) struct sh_buf body = {0};
    sh_buf_init(&body, SH_EVENT_BODY_MAX);
    sh_json_dump(json_object_get(event, "body"), &body);
    sh_cli_print_text(stdout, sh_buf_str(&body), 160);
    putchar('\n');
}

/* Prints a page; *after moves on. True at the end of the journal. */
static bool print_page(const struct sh_ask *a, uint64_t *after) {
    size_t i;
    json_t *event;
    bool final = false;
    json_array_foreach(json_object_get(a->answer, "events"), i, event) {
        print_event(event, a->common.json);
        *after = (uint64_t)sh_json_get_int(event, "seq", 0);
        final = final || sh_event_is_final(sh_json_get_str(event, "type"));
    }
    fflush(stdout);
    return final;
}

int sh_cmd_events(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    bool follow = false;
    const char *after_text = "0";
    const struct sh_flag flags[] = {
        {"follow", SH_FLAG_BOOL, &follow, NULL, "go on until the task has ended"},
        {"after", SH_FLAG_TEXT, &after_text, "SEQ", "only events after this number"},
    };
    int rc = sh_cli_parse(&a.common, "events [--follow] [--after SEQ] ID", flags, SH_N(flags), 1, 1,
                          argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    char *end = NULL;
    uint64_t after = strtoull(after_text, &end, 10);
    if (after_text[0] < '0' || after_text[0] > '9' || *end) {
        sh_fail(&a.err, SH_E_INVAL, "--after is \"%.40s\"; expected a number", after_text);
        return sh_ask_end(&a, 0);
    }
    bool more = sh_ask_open(&a) == 0;
    while (more) {
        sh_auto(sh_free_p) char *what =
            sh_asprintf("/journal?after=%llu%s", (unsigned long long)after,
                        follow && a.client.remote ? "&wait=20" : "");
        sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, what);
        if (!path || sh_ask_call(&a, "GET", path, (struct sh_str){0}) < 0) {
            if (path && follow && after > 0 && a.err.code == SH_E_UNAVAILABLE) {
                sh_fail(&a.err, SH_E_UNAVAILABLE,
                        "the server went away; when it runs again, go on with: shannon events "
                        "--follow --after %llu %.128s",
                        (unsigned long long)after, a.common.operands.v[0]);
            }
            break;
        }
        bool final = print_page(&a, &after);
        more = !final && (follow || sh_json_get_bool(a.answer, "more", false)) && !ferror(stdout);
        if (follow && more && !a.client.remote) {
            sh_fail(&a.err, SH_E_STATE,
                    "no server runs, so the task stands still; `shannon serve` "
                    "takes it up");
            more = false;
        }
    }
    return sh_ask_end(&a, 0);
}

static int control(int argc, char *const argv[], const char *verb) {
    struct sh_ask a = {.common.active = true}; /* an event can only be added to what is taken up */
    const char *reason = "";
    const struct sh_flag flags[] = {
        {"reason", SH_FLAG_TEXT, &reason, "TEXT", "kept in the journal"},
    };
    sh_auto(sh_free_p) char *usage = sh_asprintf("%s [--reason TEXT] ID", verb);
    int rc = sh_cli_parse(&a.common, usage, flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_json_done) json_t *body =
        json_pack("{s:o}", "reason", sh_json_string(sh_str(reason)));
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    sh_auto(sh_free_p) char *what = sh_asprintf("/%s", verb);
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, what);
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "POST", path, sh_str(text)) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%s: %s\n", json_string_value(json_object_get(a.answer, "task_id")),
                   json_string_value(json_object_get(a.answer, "message")));
        }
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_cancel(int argc, char *const argv[]) {
    return control(argc, argv, "cancel");
}

int sh_cmd_pause(int argc, char *const argv[]) {
    return control(argc, argv, "pause");
}

int sh_cmd_resume(int argc, char *const argv[]) {
    return control(argc, argv, "resume");
}
