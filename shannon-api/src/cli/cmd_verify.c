/* verify: one journal, or all of them, with a table of those that fail. */
#include "cli/ask.h"

#define PAGE 100

static void print_field(const json_t *result, const char *name) {
    json_t *value = json_object_get(result, name);
    if (!value || json_is_null(value)) {
        return;
    }
    printf("%-14s ", name);
    if (json_is_string(value)) {
        sh_cli_print_text(stdout, sh_json_get_str(result, name), 400);
    } else {
        json_dumpf(value, stdout, JSON_COMPACT | JSON_ENCODE_ANY);
    }
    putchar('\n');
}

static void print_one(const json_t *result) {
    static const char *const shown[] = {"id",     "events", "chain", "signature", "key",
                                        "replay", "note",   "fuel",  "digest",    "mismatch"};
    bool ok = sh_json_get_bool(result, "ok", false);
    struct sh_str replay = sh_json_get_str(result, "replay");
    bool skipped = sh_str_eqz(replay, "skipped");
    printf("%s\n", ok && skipped ? "the journal is whole; there was nothing to replay"
                   : ok          ? "the journal is whole and its replay is equal"
                   : skipped     ? "the journal could not be replayed"
                   : sh_str_eqz(replay, "mismatch") ? "the journal and its replay DIFFER"
                   : sh_str_eqz(replay, "runtime_mismatch")
                       ? "the journal and its replay DIFFER, and another runtime wrote it"
                       : "the journal is NOT what was written");
    for (size_t i = 0; i < SH_N(shown); i++) {
        print_field(result, shown[i]);
    }
}

/* Why it failed, on one line. */
static void print_failure(const json_t *result) {
    static const char *const parts[] = {"chain", "signature"};
    printf("%-32s ", json_string_value(json_object_get(result, "id")));
    for (size_t i = 0; i < SH_N(parts); i++) {
        struct sh_str text = sh_json_get_str(result, parts[i]);
        if (text.len && !sh_str_eqz(text, "ok") && !sh_str_eqz(text, "none")) {
            printf("%s: ", parts[i]);
            sh_cli_print_text(stdout, text, 200);
            putchar('\n');
            return;
        }
    }
    json_t *mismatch = json_object_get(result, "mismatch");
    if (mismatch) {
        bool runtime = sh_str_eqz(sh_json_get_str(result, "replay"), "runtime_mismatch");
        printf("replay: event %lld differs%s\n", (long long)sh_json_get_int(mismatch, "seq", 0),
               runtime ? ", and another runtime wrote it" : "");
    } else {
        printf("replay: ");
        sh_cli_print_text(stdout, sh_json_get_str(result, "note"), 200);
        putchar('\n');
    }
}

struct sweep {
    struct sh_ask *ask;
    json_t *failed, *seen; /* seen: ids, since new tasks push old ones onto the next page */
    size_t checked;
};

static int verify_one(struct sweep *s, const char *id) {
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s/verify", id);
    json_t *result = NULL;
    if (json_object_get(s->seen, id)) {
        return 0;
    }
    json_object_set_new(s->seen, id, json_true());
    s->checked++;
    struct sh_err why = {0};
    if (sh_client_call(&s->ask->client, "POST", path, NULL, (struct sh_str){0}, &result, &why) <
        0) {
        if (why.code == SH_E_UNAVAILABLE) {
            s->ask->err = why;
            return -why.code;
        }
        result = json_pack("{s:s, s:b, s:s, s:s}", "id", id, "ok", 0, "replay", "skipped", "note",
                           why.message);
    }
    if (!sh_json_get_bool(result, "ok", false)) {
        json_array_append(s->failed, result);
        if (!s->ask->common.json) {
            print_failure(result);
            fflush(stdout);
        }
    }
    json_decref(result);
    return 0;
}

static int verify_all(struct sh_ask *a) {
    struct sweep s = {.ask = a, .failed = json_array(), .seen = json_object()};
    bool more = true;
    for (size_t offset = 0; more && !a->err.code; offset += PAGE) {
        sh_auto(sh_free_p) char *path =
            sh_asprintf("/api/v1/tasks?limit=%d&offset=%zu", PAGE, offset);
        if (sh_ask_call(a, "GET", path, (struct sh_str){0}) < 0) {
            break;
        }
        json_t *tasks = json_incref(json_object_get(a->answer, "tasks")), *task;
        size_t i;
        json_array_foreach(tasks, i, task) {
            const char *id = json_string_value(json_object_get(task, "task_id"));
            if (id && verify_one(&s, id) < 0) {
                break;
            }
        }
        more = json_array_size(tasks) == PAGE;
        json_decref(tasks);
    }
    size_t bad = json_array_size(s.failed);
    if (!a->err.code && a->common.json) {
        json_t *view = json_pack("{s:b, s:I, s:O}", "ok", bad == 0, "checked",
                                 (json_int_t)s.checked, "failed", s.failed);
        sh_cli_print_json(view);
        json_decref(view);
    } else if (!a->err.code) {
        printf("%zu checked, %zu failed\n", s.checked, bad);
    }
    json_decref(s.failed);
    json_decref(s.seen);
    return bad ? SH_EXIT_OWN : 0;
}

int sh_cmd_verify(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    bool all = false;
    const struct sh_flag flags[] = {
        {"all", SH_FLAG_BOOL, &all, NULL, "every task; a line for each that fails"},
    };
    int rc =
        sh_cli_parse(&a.common, "verify ID | verify --all", flags, SH_N(flags), 0, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    int status = 0;
    if (all == (a.common.operands.n == 1)) {
        sh_fail(&a.err, SH_E_INVAL, "verify takes a task's id or --all, one of them");
        return sh_ask_end(&a, 0);
    }
    sh_auto(sh_free_p) char *path = all ? NULL : sh_ask_task_path(&a, "/verify");
    if ((!all && !path) || sh_ask_open(&a) < 0) {
        return sh_ask_end(&a, 0);
    }
    if (all) {
        status = verify_all(&a);
    } else if (sh_ask_call(&a, "POST", path, (struct sh_str){0}) == 0) {
        status = sh_json_get_bool(a.answer, "ok", false) ? 0 : SH_EXIT_OWN;
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            print_one(a.answer);
        }
    }
    return sh_ask_end(&a, status);
}
