/* forget: a task that has ended goes. replay: what a task had asked and said as of an event. fork:
 * go on from there under a new id. compact: one event for all before its last checkpoint. */
#include "cli/ask.h"

#include <stdlib.h>

static int number(const char *text, const char *flag, uint64_t *ret, struct sh_err *err) {
    char *end = NULL;
    *ret = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end) {
        return sh_fail(err, SH_E_INVAL, "--%s is \"%.40s\"; expected the number of an event", flag,
                       text);
    }
    return 0;
}

static void print_line(const char *name, const json_t *value, size_t width) {
    if (!value || json_is_null(value)) {
        return;
    }
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_JSON_TEXT_MAX);
    if (json_is_string(value)) {
        sh_buf_add(&text, json_string_value(value), json_string_length(value));
    } else {
        sh_json_dump(value, &text);
    }
    printf("%-12s ", name);
    sh_cli_print_text(stdout, sh_buf_str(&text), width);
    putchar('\n');
}

static void print_seen(const json_t *seen) {
    static const char *const shown[] = {"id",   "seq",        "type",      "state", "waits_for",
                                        "fuel", "checkpoint", "published", "end"};
    size_t i;
    json_t *item;
    for (i = 0; i < SH_N(shown); i++) {
        print_line(shown[i], json_object_get(seen, shown[i]), 400);
    }
    json_array_foreach(json_object_get(seen, "requests"), i, item) {
        printf("%-12s #%lld %s %s ", "request", (long long)sh_json_get_int(item, "ordinal", 0),
               json_string_value(json_object_get(item, "state")),
               json_string_value(json_object_get(item, "op")));
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, SH_JSON_TEXT_MAX);
        sh_json_dump(json_object_get(item, "args"), &text);
        sh_cli_print_text(stdout, sh_buf_str(&text), 120);
        putchar('\n');
    }
    json_array_foreach(json_object_get(seen, "emitted"), i, item) {
        print_line("emitted", item, 160);
    }
    print_line("stdout", json_object_get(seen, "stdout"), 0);
    print_line("stderr", json_object_get(seen, "stderr"), 0);
}

int sh_cmd_replay(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    const char *to_text = "0";
    const struct sh_flag flags[] = {
        {"to", SH_FLAG_TEXT, &to_text, "SEQ", "as of this event (the last)"},
    };
    int rc = sh_cli_parse(&a.common, "replay [--to SEQ] ID", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    uint64_t to = 0;
    if (number(to_text, "to", &to, &a.err) == 0) {
        sh_auto(sh_free_p) char *what = sh_asprintf("/replay?to=%llu", (unsigned long long)to);
        sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, what);
        if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
            if (a.common.json) {
                sh_cli_print_json(a.answer);
            } else {
                print_seen(a.answer);
            }
        }
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_fork(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    const char *at_text = NULL;
    const struct sh_flag flags[] = {
        {"at", SH_FLAG_TEXT, &at_text, "SEQ", "after this event (all but its end)"},
    };
    int rc = sh_cli_parse(&a.common, "fork [--at SEQ] ID", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    uint64_t at = 0;
    sh_auto(sh_free_p) char *path = NULL;
    if (!at_text || number(at_text, "at", &at, &a.err) == 0) {
        path = sh_ask_task_path(&a, "/fork");
    }
    sh_auto(sh_free_p) char *body =
        at_text ? sh_asprintf("{\"at\":%llu}", (unsigned long long)at) : sh_strdup("{}");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "POST", path, sh_str(body)) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%s\n", json_string_value(json_object_get(a.answer, "task_id")));
        }
        if (!a.client.remote) {
            fputs(
                "shannon: no server runs, so the fork stands still; `shannon serve` takes it up\n",
                stderr);
        }
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_forget(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "forget ID", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "DELETE", path, (struct sh_str){0}) == 0 &&
        a.common.json) {
        sh_cli_print_json(a.answer);
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_compact(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "compact ID", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "/compact");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "POST", path, (struct sh_str){0}) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%lld events are one; the journal begins with event %lld\n",
                   (long long)sh_json_get_int(a.answer, "events", 0),
                   (long long)sh_json_get_int(a.answer, "compacted", 0));
        }
    }
    return sh_ask_end(&a, 0);
}
