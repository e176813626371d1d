/* The state of tasks and sessions: query, update, sessions. */
#include "cli/ask.h"

#include <stdlib.h>

/* Text as one segment of a path. */
static char *escaped(const char *text) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, 16 * SH_KIB);
    for (const char *p = text; *p; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~", *p);
        if (plain) {
            sh_buf_addc(&out, *p);
        } else {
            sh_buf_addf(&out, "%%%02X", (unsigned)(unsigned char)*p);
        }
    }
    return out.failed ? sh_strdup("") : sh_strndup0(out.p ? out.p : "", out.len);
}

static void print_value(const char *name, const json_t *value) {
    sh_auto(sh_free_p) char *text = sh_json_text(value);
    sh_cli_print_text(stdout, sh_str(name ? name : ""), 0);
    fputs("  ", stdout);
    sh_cli_print_text(stdout, sh_str(text), 0);
    putchar('\n');
}

static void print_list(const json_t *list, const char *name, const char *value) {
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item) {
        print_value(json_string_value(json_object_get(item, name)), json_object_get(item, value));
    }
}

int sh_cmd_query(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "query ID [NAME]", NULL, 0, 1, 2, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    bool one = a.common.operands.n == 2;
    sh_auto(sh_free_p) char *name = escaped(one ? a.common.operands.v[1] : "");
    sh_auto(sh_free_p) char *tail =
        one ? sh_asprintf("/queries/%s", name) : sh_strdup("/queries?limit=1000");
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, tail);
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else if (one) {
            sh_auto(sh_free_p) char *text = sh_json_text(json_object_get(a.answer, "data"));
            sh_cli_print_text(stdout, sh_str(text), 0);
            putchar('\n');
        } else {
            print_list(json_object_get(a.answer, "queries"), "name", "data");
        }
    }
    return sh_ask_end(&a, 0);
}

struct update_flags {
    const char *payload, *id, *wait;
    uint64_t wait_ms;
    bool get;
};

/* The body of an update; NULL with the error set when the payload is no JSON. */
static json_t *update_body(struct sh_ask *a, const struct update_flags *f) {
    const char *text = a->common.operands.n == 3 ? a->common.operands.v[2] : f->payload;
    json_t *payload = NULL;
    if (text && sh_json_parse(sh_str(text), SH_ACTIVITY_ARGS_MAX, &payload, &a->err) < 0) {
        return NULL;
    }
    json_t *body = json_pack("{s:o, s:I}", "payload", payload ? payload : json_null(), "wait_ms",
                             (json_int_t)f->wait_ms);
    if (f->id) {
        json_object_set_new(body, "update_id", sh_json_string(sh_str(f->id)));
    }
    return body;
}

static int call_update(struct sh_ask *a, const struct update_flags *f) {
    sh_auto(sh_free_p) char *name = escaped(a->common.operands.v[1]);
    sh_auto(sh_free_p) char *tail =
        f->get ? sh_asprintf("/updates/%s?wait_ms=%llu", name, (unsigned long long)f->wait_ms)
               : sh_asprintf("/updates/%s", name);
    sh_auto(sh_free_p) char *path = sh_ask_task_path(a, tail);
    sh_auto(sh_json_done) json_t *body = path && !f->get ? update_body(a, f) : NULL;
    if (!path || (!f->get && !body)) {
        return -a->err.code;
    }
    sh_auto(sh_free_p) char *bytes = body ? sh_json_text(body) : NULL;
    int rc = sh_ask_open(a);
    return rc < 0 ? rc : sh_ask_call(a, f->get ? "GET" : "POST", path, sh_str(bytes));
}

/* 0: completed; 1: the task answered with an error, or ended without one; 124: no answer yet. */
static int print_update(const struct sh_ask *a) {
    struct sh_str status = sh_json_get_str(a->answer, "status");
    bool completed = sh_str_eqz(status, "completed"), open = sh_str_eqz(status, "accepted");
    json_t *value = json_object_get(a->answer, completed ? "result" : "error");
    if (a->common.json) {
        sh_cli_print_json(a->answer);
    } else if (completed) {
        sh_auto(sh_free_p) char *text = sh_json_text(value);
        sh_cli_print_text(stdout, sh_str(text), 0);
        putchar('\n');
    } else {
        sh_auto(sh_free_p) char *text = value ? sh_json_text(value) : NULL;
        fprintf(stderr, "shannon: update %s: %s%s%s\n",
                json_string_value(json_object_get(a->answer, "update_id")),
                open ? "no answer yet; ask again with --get" : "",
                !open ? json_string_value(json_object_get(a->answer, "status")) : "",
                value ? ": " : "");
        if (text) {
            sh_cli_print_text(stderr, sh_str(text), 0);
            fputc('\n', stderr);
        }
    }
    return completed ? 0 : open ? 124 : 1;
}

int sh_cmd_update(int argc, char *const argv[]) {
    struct sh_ask a = {.common.active = true};
    struct update_flags f = {.wait_ms = 30000};
    const struct sh_flag flags[] = {
        {"get", SH_FLAG_BOOL, &f.get, NULL, "ask what became of an update: NAME is its id"},
        {"id", SH_FLAG_TEXT, &f.id, "ID", "the update's id: sent twice, it is received once"},
        {"payload", SH_FLAG_TEXT, &f.payload, "JSON", "what is sent"},
        {"wait", SH_FLAG_TEXT, &f.wait, "DURATION", "for the answer; 30s"},
    };
    int rc = sh_cli_parse(&a.common, "update [--id ID] [--wait DURATION] ID NAME [JSON]", flags,
                          SH_N(flags), 2, 3, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    rc = f.wait ? sh_parse_duration_ms(sh_str(f.wait), &f.wait_ms, &a.err) : 0;
    rc = rc < 0 ? rc : call_update(&a, &f);
    int status = rc == 0 ? print_update(&a) : 0;
    return sh_ask_end(&a, status);
}

static char *sessions_path(struct sh_ask *a) {
    const struct sh_values *v = &a->common.operands;
    bool list = strcmp(v->v[0], "list") == 0 && v->n == 1;
    struct sh_id id;
    if (list) {
        return sh_strdup("/api/v1/sessions?limit=100");
    }
    if (strcmp(v->v[0], "kv") != 0 || v->n < 2) {
        sh_fail(&a->err, SH_E_INVAL, "expected: sessions list, or sessions kv ID [KEY]");
        return NULL;
    }
    if (sh_id_parse(sh_str(v->v[1]), &id) < 0) {
        sh_fail(&a->err, SH_E_INVAL, "\"%.60s\" is no session id; `shannon sessions list` has them",
                v->v[1]);
        return NULL;
    }
    sh_auto(sh_free_p) char *key = escaped(v->n == 3 ? v->v[2] : "");
    return v->n == 3 ? sh_asprintf("/api/v1/sessions/%s/kv/%s", id.s, key)
                     : sh_asprintf("/api/v1/sessions/%s/kv?limit=1000", id.s);
}

static void print_sessions(const json_t *answer) {
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(answer, "sessions"), i, item) {
        printf("%-40s %5lld tasks  %.19s  ", json_string_value(json_object_get(item, "session_id")),
               (long long)sh_json_get_int(item, "task_count", 0),
               json_string_value(json_object_get(item, "updated_at")));
        sh_cli_print_text(stdout, sh_json_get_str(item, "title"), 60);
        putchar('\n');
    }
}

int sh_cmd_sessions(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "sessions list | kv ID [KEY]", NULL, 0, 1, 3, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_free_p) char *path = sessions_path(&a);
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "GET", path, (struct sh_str){0}) == 0) {
        json_t *value = json_object_get(a.answer, "value");
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else if (a.common.operands.n == 3) {
            sh_auto(sh_free_p) char *text = sh_json_text(value);
            sh_cli_print_text(stdout, sh_str(text), 0);
            putchar('\n');
        } else if (a.common.operands.n == 2) {
            print_list(json_object_get(a.answer, "items"), "key", "value");
        } else {
            print_sessions(a.answer);
        }
    }
    return sh_ask_end(&a, 0);
}
