/* One loop, one set of tools and one scripted web server: what tests of remote operations begin
 * with. Rules are given as texts of the policy's form; credentials and tools by name. */
#ifndef SH_TEST_WEB_FIXTURE_H
#define SH_TEST_WEB_FIXTURE_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/scripted_server.h"
#include "tools/tools.h"

struct web {
    pid_t server;
    int port;
    char dir[64];
    struct sh_loop *loop;
    struct sh_tools *tools;
    struct sh_tools_config config;
    struct sh_tool_run *run;
    struct sh_capabilities caps;
    struct sh_timer watchdog;
    uint64_t timeout_ms;
    json_t *result;
    struct sh_err err;
    bool done, retryable;
};

static inline void web_write(const struct web *w, const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_int_ge(fputs(text, f), 0);
    ck_assert_int_eq(fclose(f), 0);
}

static inline void web_start_server(struct web *w, const char *script) {
    char script_file[128];
    char log_file[128];
    web_write(w, "script", script);
    snprintf(script_file, sizeof(script_file), "%s/script", w->dir);
    snprintf(log_file, sizeof(log_file), "%s/log", w->dir);
    const char *const args[] = {"--script",      script_file, "--log", log_file,
                                "--max-seconds", "100",       NULL};
    w->server = scripted_start("scripted_web.py", args, &w->port);
}

/* Rules: JSON text of capabilities; %PORT% becomes the server's port. NULL: nothing is allowed. */
static inline void web_allow(struct web *w, const char *capabilities) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *doc = NULL;
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, 64 * SH_KIB);
    for (const char *p = capabilities; *p;) {
        if (strncmp(p, "%PORT%", 6) == 0) {
            sh_buf_addf(&text, "%d", w->port);
            p += 6;
        } else {
            sh_buf_addc(&text, *p++);
        }
    }
    sh_assert_ok(sh_json_parse(sh_buf_str(&text), SH_MIB, &doc, &err), &err);
    sh_capabilities_done(&w->caps);
    sh_assert_ok(sh_capabilities_parse(doc, NULL, NULL, &w->caps, &err), &err);
}

static inline void web_begin(struct web *w, const char *script) {
    *w = (struct web){.timeout_ms = 20000, .port = 1};
    signal(SIGPIPE, SIG_IGN);
    snprintf(w->dir, sizeof(w->dir), "/tmp/sh-web-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->dir));
    if (script) {
        web_start_server(w, script);
    }
    sh_assert_ok(sh_loop_new(&w->loop, &w->err), &w->err);
    web_allow(w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%}],"
                 "\"tools\":[\"*\"]}");
}

static inline void web_end(struct web *w) {
    static const char *const files[] = {"script", "log", "secret", NULL};
    if (w->server > 0) {
        kill(w->server, SIGKILL);
        waitpid(w->server, NULL, 0);
    }
    for (size_t i = 0; files[i]; i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", w->dir, files[i]);
        unlink(path);
    }
    rmdir(w->dir);
    json_decref(w->result);
    sh_capabilities_done(&w->caps);
    sh_tools_free(w->tools);
    sh_loop_free(w->loop);
}

static inline bool web_may_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct web *w = arg;
    return sh_capabilities_net(&w->caps, what, written_out);
}

static inline bool web_may_use(void *arg, struct sh_str tool) {
    const struct web *w = arg;
    return sh_capabilities_tool(&w->caps, tool);
}

static inline void web_on_done(void *arg, const struct sh_tool_outcome *o) {
    struct web *w = arg;
    ck_assert(!w->done);
    w->done = true;
    w->retryable = o->retryable;
    json_decref(w->result);
    w->result = o->err ? NULL : json_deep_copy(o->result);
    w->err = o->err ? *o->err : (struct sh_err){0};
    sh_loop_stop(w->loop);
}

/* %s in args becomes "http://127.0.0.1:PORT". */
static inline json_t *web_args(struct web *w, const char *args) {
    json_t *doc = NULL;
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, 4 * SH_MIB);
    for (const char *p = args; *p;) {
        if (strncmp(p, "%s", 2) == 0) {
            sh_buf_addf(&text, "http://127.0.0.1:%d", w->port);
            p += 2;
        } else {
            sh_buf_addc(&text, *p++);
        }
    }
    sh_assert_ok(sh_json_parse(sh_buf_str(&text), 4 * SH_MIB, &doc, &w->err), &w->err);
    return doc;
}

static inline int web_start(struct web *w, const char *op, const char *args) {
    if (!w->tools) {
        sh_assert_ok(sh_tools_new(w->loop, &w->config, &w->tools, &w->err), &w->err);
    }
    sh_auto(sh_json_done) json_t *doc = web_args(w, args);
    struct sh_tool_call call = {
        .tool = sh_tools_find(w->tools, sh_str(op)),
        .args = doc,
        .idempotency_key = "wf-1:0",
        .timeout_ms = w->timeout_ms,
        .may_reach = web_may_reach,
        .may_use = web_may_use,
        .done = web_on_done,
        .arg = w,
    };
    ck_assert_ptr_nonnull(call.tool);
    w->done = false;
    w->err = (struct sh_err){0};
    return sh_tools_call(w->tools, &call, &w->run, &w->err);
}

/* The outcome, whether it came at once or later: w->result, or w->err. */
static inline void web_call(struct web *w, const char *op, const char *args) {
    json_decref(w->result);
    w->result = NULL;
    if (web_start(w, op, args) == 0) {
        ck_assert(!w->done); /* never inside the call */
        sh_loop_run(w->loop);
        ck_assert(w->done);
    } else {
        ck_assert_int_ne(w->err.code, 0);
    }
}

static inline const json_t *web_good(const struct web *w) {
    ck_assert_msg(w->err.code == 0, "%s: %s", sh_code_info(w->err.code)->name, w->err.message);
    return w->result;
}

static inline void web_fails(const struct web *w, int code, const char *says) {
    ck_assert_msg(w->err.code == code, "%s, not %s: %s", sh_code_info(w->err.code)->name,
                  sh_code_info(code)->name, w->err.message);
    ck_assert_msg(strstr(w->err.message, says) != NULL, "\"%s\" lacks \"%s\"", w->err.message,
                  says);
}

/* The requests that the server saw, an array of the log's lines. */
static inline json_t *web_log(const struct web *w) {
    char path[128];
    static char line[1 << 20];
    json_t *list = json_array();
    snprintf(path, sizeof(path), "%s/log", w->dir);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof(line), f)) {
        json_t *doc = NULL;
        ck_assert_int_eq(sh_json_parse(sh_str(line), SH_MIB, &doc, NULL), 0);
        json_array_append_new(list, doc);
    }
    if (f) {
        fclose(f);
    }
    return list;
}

#endif
