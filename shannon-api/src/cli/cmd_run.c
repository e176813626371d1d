/* shannon run: submit, run, print, exit, in this process. The agent's streams are the terminal's,
 * its exit status is ours. What is printed comes from durable events only, so that nothing is ever
 * shown that a crash could take back.
 *
 *   setup --> submitted --> running (events arrive) --> ended (final event) --> closed */
#include "cli/cli.h"

#include "cli/agent_file.h"
#include "cli/run_flags.h"
#include "cli/run_stdin.h"
#include "files.h"
#include "http/server.h"
#include "http/task_view.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

struct running {
    struct sh_common common;
    struct sh_run_flags flags;
    struct sh_app app;
    struct sh_api api;
    struct sh_server *server;
    struct sh_policy *base, *policy;
    json_t *capabilities, *input;
    char *agent, *argv0;
    char *id;
    struct sh_run_stdin in;
    uv_signal_t signals[2];
    int open_signals;
    struct sh_subscription *subscription;
    uint64_t printed[3]; /* bytes of stream 1 and 2 already written */
    json_t *row;         /* of the submission */
    bool submitted, ended, pipe_broken;
    int signal_number;
    json_t *final_body;
    char final_type[32];
    struct sh_err err;
};

static const char *from_environment(const char *name) {
    return getenv(name);
}

/* --- what comes out --------------------------------------------------------------------------- */

static void cancel_ignored(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    (void)err;
}

static void write_all(struct running *run, int fd, const char *p, size_t n) {
    while (n && !run->pipe_broken) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EAGAIN) { /* whoever gave us the descriptor made it non-blocking */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w < 0) {
            /* The reader has gone: nobody is left to run for. */
            run->pipe_broken = true;
            sh_engine_cancel(run->app.engine, sh_str(run->id), "user", "the output was closed",
                             cancel_ignored, NULL);
            return;
        }
        p += w;
        n -= (size_t)w;
    }
}

static void on_output(struct running *run, const json_t *body) {
    int64_t stream = sh_json_get_int(body, "stream", 1);
    uint64_t offset = (uint64_t)sh_json_get_int(body, "offset", 0);
    struct sh_str name = sh_json_get_str(body, "stream");
    stream = sh_str_eqz(name, "stderr") ? 2 : sh_str_eqz(name, "stdout") ? 1 : stream;
    sh_auto(sh_buf_done) struct sh_buf bytes;
    sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
    if ((stream != 1 && stream != 2) ||
        sh_base64_decode(&bytes, sh_json_get_str(body, "data")) < 0) {
        return;
    }
    uint64_t *printed = &run->printed[stream];
    if (offset + bytes.len <= *printed) {
        return; /* output is told by offset, never twice */
    }
    size_t skip = *printed > offset ? (size_t)(*printed - offset) : 0;
    *printed = offset + bytes.len;
    if (stream == 2 || !run->common.json) {
        write_all(run, (int)stream, bytes.p + skip, bytes.len - skip);
    }
}

static void print_event(const struct sh_live_event *ev) {
    char time[SH_TIME_TEXT];
    sh_time_format(ev->event->time_us, time);
    json_t *line = json_pack("{s:I, s:s, s:o, s:O}", "seq", (json_int_t)ev->event->seq, "time",
                             time, "type", sh_json_string(ev->event->type), "body", ev->body);
    json_dumpf(line, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(line);
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct running *run = arg;
    if (!ev->event) {
        return;
    }
    if (run->flags.events) {
        print_event(ev);
    }
    if (sh_str_eqz(ev->event->type, "Output")) {
        on_output(run, ev->body);
    }
    if (sh_event_is_final(ev->event->type)) {
        snprintf(run->final_type, sizeof(run->final_type), "%.*s", (int)ev->event->type.len,
                 ev->event->type.p);
        run->final_body = json_incref(ev->body);
        run->ended = true;
        sh_loop_stop(run->app.loop);
    }
}

static void on_missing(void *arg) {
    struct running *run = arg;
    sh_fail(&run->err, SH_E_INTERNAL, "the submitted task is gone");
    run->ended = true;
    sh_loop_stop(run->app.loop);
}

/* --- signals ---------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number) {
    struct running *run = handle->data;
    if (run->signal_number) {
        _exit(128 + number); /* asked twice: stopping is always safe */
    }
    run->signal_number = number;
    if (run->id) {
        sh_engine_cancel(run->app.engine, sh_str(run->id), "user", "interrupted", cancel_ignored,
                         NULL);
    }
    sh_loop_stop(run->app.loop);
}

static void open_signals(struct running *run) {
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        SH_ASSERT(uv_signal_init(sh_loop_uv(run->app.loop), &run->signals[i]) == 0);
        run->signals[i].data = run;
        SH_ASSERT(uv_signal_start(&run->signals[i], on_signal, numbers[i]) == 0);
        run->open_signals++;
    }
}

static void signal_closed(uv_handle_t *handle) {
    struct running *run = handle->data;
    run->open_signals--;
    sh_loop_stop(run->app.loop);
}

static void close_signals(struct running *run) {
    for (int i = 0; i < run->open_signals; i++) {
        uv_close((uv_handle_t *)&run->signals[i], signal_closed);
    }
    while (run->open_signals) {
        sh_loop_run(run->app.loop);
    }
}

/* --- setup ------------------------------------------------------------------------------------ */

static int open_data(struct running *run) {
    struct sh_err *err = &run->err;
    sh_auto(sh_free_p) char *path = sh_datadir_default(run->common.data_dir, err);
    if (run->flags.ephemeral) {
        return sh_app_config(&run->app.config, run->common.config, path, err);
    }
    int rc = path ? sh_datadir_open(path, true, &run->app.dir, err) : -SH_E_INVAL;
    if (rc == 0 && (rc = sh_datadir_lock(&run->app.dir, err)) == -SH_E_BUSY) {
        struct sh_err busy = *err;
        return sh_fail(
            err, SH_E_BUSY,
            "%s; run with --ephemeral, with another --data-dir, or submit to that process",
            busy.message);
    }
    return rc < 0 ? rc
                  : sh_app_config(&run->app.config, run->common.config, run->app.dir.path, err);
}

/* The person at the keyboard is the operator: what the flags say is allowed, and asked for. */
static int read_capabilities(struct running *run) {
    struct sh_err *err = &run->err;
    sh_auto(sh_json_done) json_t *document = NULL, *policy = NULL;
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd))) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot find the current folder");
    }
    const char *home = getenv("HOME");
    int rc =
        run->flags.capabilities ? sh_document_read(run->flags.capabilities, &document, err) : 0;
    if (rc == 0 && run->flags.policy) {
        rc = sh_document_read(run->flags.policy, &policy, err);
        rc = rc < 0 ? rc : sh_policy_parse(policy, home, cwd, &run->base, err);
        if (rc == 0) {
            sh_policy_rename_hosts(run->base, sh_path_real);
        }
    }
    rc = rc < 0 ? rc
                : sh_run_capabilities(&run->flags, document, cwd, from_environment,
                                      &run->capabilities, err);
    if (rc < 0 || !run->capabilities) {
        return rc;
    }
    struct sh_capabilities caps = {0};
    rc = sh_capabilities_parse(run->capabilities, home, cwd, &caps, err);
    if (rc == 0) {
        sh_capabilities_rename_hosts(&caps, sh_path_real);
        run->policy = sh_policy_with(run->base ? run->base : run->app.policy, &caps);
        /* Absolute and normalised: a request has no home and no folder to start at. */
        json_decref(run->capabilities);
        run->capabilities = sh_capabilities_json(&caps);
    }
    sh_capabilities_done(&caps);
    return rc;
}

static int read_input(struct running *run) {
    const char *text = run->flags.input;
    if (!text) {
        run->input = json_object();
        return 0;
    }
    sh_auto(sh_buf_done) struct sh_buf bytes;
    sh_buf_init(&bytes, SH_INPUT_MAX + 1);
    struct sh_err inner = {0};
    int rc = 0;
    if (text[0] == '@' || strcmp(text, "-") == 0) {
        rc = sh_input_read(text[0] == '@' ? text + 1 : "-", SH_INPUT_MAX, &bytes, &run->err);
    } else {
        sh_buf_adds(&bytes, text);
    }
    if (rc == 0 && sh_json_parse(sh_buf_str(&bytes), SH_INPUT_MAX, &run->input, &inner) < 0) {
        rc = sh_fail(&run->err, inner.code,
                     "--input: %s; expected JSON such as '{\"query\":\"...\"}', "
                     "@FILE or -",
                     inner.message);
    }
    const json_t *query = json_object_get(run->input, "query");
    if (rc == 0 && json_is_string(query) && json_string_length(query) == 0) {
        rc = sh_fail(&run->err, SH_E_INVAL,
                     "--input: query is empty; expected 1 to %d characters, or an input without it",
                     SH_QUERY_CHARS_MAX);
    }
    return rc;
}

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static int add_file(struct running *run, const char *path) {
    sh_auto(sh_buf_done) struct sh_buf bytes;
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    int rc = sh_agent_file_read(path, &bytes, &run->err);
    if (rc < 0) {
        return rc;
    }
    struct sh_wait w = {.app = &run->app};
    sh_engine_module_add(run->app.engine, sh_buf_str(&bytes), NULL, NULL, sh_wait_json, &w);
    rc = sh_wait_run(&w, &run->err);
    if (rc == 0) {
        struct sh_str hash = sh_json_get_str(w.value, "hash");
        run->agent = sh_strndup0(hash.p, hash.len);
        run->argv0 = sh_strdup(run->flags.argv0 ? run->flags.argv0 : base_name(path));
    }
    json_decref(w.value);
    return rc;
}

static int find_agent(struct running *run, const char *operand) {
    if (sh_agent_file_named(operand)) {
        return add_file(run, operand);
    }
    struct sh_wait w = {.app = &run->app};
    sh_engine_module_list(run->app.engine, sh_wait_json, &w);
    int rc = sh_wait_run(&w, &run->err);
    size_t i;
    json_t *module;
    json_array_foreach(w.value, i, module) {
        if (sh_str_eqz(sh_json_get_str(module, "name"), operand) ||
            sh_str_eqz(sh_json_get_str(module, "hash"), operand)) {
            run->agent = run->agent ? run->agent : sh_strdup(operand);
        }
    }
    json_decref(w.value);
    if (rc < 0 || run->agent) {
        run->argv0 = run->flags.argv0 ? sh_strdup(run->flags.argv0) : NULL;
        return rc;
    }
    sh_auto(sh_free_p) char *file = sh_app_agent_file(&run->app, operand);
    return file ? add_file(run, file)
                : sh_fail(&run->err, SH_E_NOT_FOUND,
                          "there is no file and no registered agent named %.100s; `shannon modules "
                          "list` shows the agents",
                          operand);
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct running *run = arg;
    (void)cached;
    run->submitted = true;
    if (err) {
        run->err = *err;
    } else {
        run->row = json_incref(row);
    }
    sh_loop_stop(run->app.loop);
}

/* The name that a script runs under: that of its file. Other agents have none. */
static const char *script_name(const char *operand) {
    const char *slash = strrchr(operand, '/');
    const char *name = slash ? slash + 1 : operand;
    size_t len = strlen(name);

    return len > 3 && strcmp(name + len - 3, ".py") == 0 ? name : NULL;
}

/* Compiling takes seconds, for an interpreter a quarter of a minute: say so to whoever looks on. */
static void still_compiling(struct sh_timer *t) {
    (void)t;
    fputs("shannon: compiling for this machine; it is kept, so only the first run waits\n", stderr);
}

static int submit(struct running *run) {
    bool takes_stdin = run->flags.input && strcmp(run->flags.input, "-") == 0;
    struct sh_submit s = {
        .agent = sh_str(run->agent),
        .query = sh_json_get_str(run->input, "query"),
        .input = run->input,
        .capabilities = run->capabilities,
        .args = run->common.operands.v + 1,
        .argv0 = run->argv0,
        .script_name = script_name(run->common.operands.v[0]),
        .stdin_live = !takes_stdin,
        .tty = {isatty(0) == 1, isatty(1) == 1, isatty(2) == 1},
        .policy = run->policy ? run->policy : run->base,
    };
    struct sh_timer patience = {0};
    if (isatty(2)) {
        sh_timer_start(run->app.loop, &patience, 1000000000, still_compiling);
    }
    sh_engine_submit(run->app.engine, &s, on_submitted, run);
    while (!run->submitted && !run->app.failed) {
        sh_loop_run(run->app.loop);
    }
    sh_timer_stop(&patience);
    if (!run->submitted) {
        run->err = run->app.fatal;
    }
    if (run->err.code) {
        return -run->err.code;
    }
    run->id = sh_strdup(json_string_value(json_object_get(run->row, "id")));
    if (sh_str_eqz(sh_json_get_str(run->row, "status"), "rejected")) {
        struct sh_str why = sh_json_get_str(json_object_get(run->row, "error"), "message");
        return sh_fail(&run->err, SH_E_DENIED, "denied: %.*s", (int)why.len, why.p ? why.p : "");
    }
    if (!takes_stdin) {
        sh_run_stdin_start(&run->in, &run->app, run->id);
    }
    return 0;
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What the agent gave as its result, where it printed nothing. */
static void print_answer(struct running *run) {
    json_t *output = json_object_get(run->final_body, "output");
    if (output && !json_is_null(output) && run->printed[1] == 0) {
        sh_cli_print_json(output);
    }
}

static void print_row(struct running *run) {
    struct sh_wait w = {.app = &run->app};
    sh_engine_get(run->app.engine, sh_str(run->id), sh_wait_json, &w);
    if (sh_wait_run(&w, &run->err) == 0) {
        json_t *task = sh_task_json(w.value);
        sh_cli_print_json(task);
        json_decref(task);
    }
    json_decref(w.value);
}

static void print_backtrace(const json_t *body) {
    size_t i;
    json_t *frame;
    json_array_foreach(json_object_get(body, "backtrace"), i, frame) {
        struct sh_str function = sh_json_get_str(frame, "function");
        struct sh_str file = sh_json_get_str(frame, "file");
        fprintf(stderr, "  %zu: ", i);
        sh_cli_print_text(stderr, function.len ? function : SH_STR("(unnamed)"), 200);
        if (file.len) {
            fputs("  ", stderr);
            sh_cli_print_text(stderr, file, 200);
            fprintf(stderr, ":%lld", (long long)sh_json_get_int(frame, "line", 0));
        }
        fputc('\n', stderr);
    }
}

static int exit_of_failure(struct running *run) {
    const json_t *body = run->final_body;
    const char *code = json_string_value(json_object_get(body, "code"));
    struct sh_err failure = {0};
    struct sh_str text = sh_json_get_str(body, "message");
    sh_fail(&failure, sh_code_from_name(code ? code : "internal_error"), "%s: %.*s",
            code ? code : "failed", (int)text.len, text.p ? text.p : "");
    int64_t status = sh_json_get_int(body, "exit_status", 1);
    if (failure.code == SH_E_EXIT) {
        return status > 0 && status < 256 ? (int)status : 1;
    }
    int exit_status = sh_cli_fail(&failure);
    print_backtrace(body);
    return exit_status;
}

static int exit_of_end(struct running *run) {
    if (run->common.json) {
        print_row(run);
    }
    if (strcmp(run->final_type, "WorkflowCompleted") == 0) {
        if (!run->common.json) {
            print_answer(run);
        }
        return (int)sh_json_get_int(run->final_body, "exit_status", 0) & 0xff;
    }
    if (strcmp(run->final_type, "WorkflowFailed") == 0) {
        return exit_of_failure(run);
    }
    if (run->pipe_broken) {
        return 128 + SIGPIPE;
    }
    fprintf(stderr, "shannon: canceled\n");
    return run->signal_number ? 128 + run->signal_number : SH_EXIT_OWN;
}

static int open_all(struct running *run) {
    struct sh_app_options options = {
        .passive = true, .ephemeral = run->flags.ephemeral, .policy_file = run->flags.policy};
    int rc = open_data(run);
    if (rc == 0) {
        /* stderr is the agent's; our own lines there are for what went wrong. */
        sh_free(run->app.config.server_log);
        run->app.config.server_log = sh_strdup("warn");
        rc = read_input(run);
    }
    rc = rc < 0 ? rc : sh_app_open(&run->app, &options, &run->err);
    if (rc < 0) {
        return rc;
    }
    open_signals(run);
    sh_api_init(&run->api, &run->app);
    struct sh_server_config config = {.api = &run->api, .sock = !run->flags.ephemeral};
    rc = sh_server_start(&config, &run->server, &run->err);
    return rc < 0 ? rc : read_capabilities(run);
}

static int carry_out(struct running *run) {
    int rc = open_all(run);
    rc = rc < 0 ? rc : find_agent(run, run->common.operands.v[0]);
    rc = rc < 0 ? rc : submit(run);
    rc = rc < 0 ? rc
                : sh_engine_subscribe(run->app.engine, sh_str(run->id), 0, on_event, on_missing,
                                      run, &run->subscription, &run->err);
    if (rc < 0) {
        return rc;
    }
    if (run->signal_number) { /* it came before there was anything to cancel */
        sh_engine_cancel(run->app.engine, sh_str(run->id), "user", "interrupted", cancel_ignored,
                         NULL);
    }
    while (!run->ended && !run->app.failed) {
        sh_loop_run(run->app.loop);
    }
    if (run->app.failed) {
        run->err = run->app.fatal;
    }
    return -run->err.code;
}

static void close_all(struct running *run) {
    if (run->subscription) {
        sh_engine_unsubscribe(run->subscription);
    }
    sh_run_stdin_stop(&run->in);
    if (run->server) {
        sh_server_drain(run->server);
    }
    sh_app_stop(&run->app);
    run->server = sh_server_free(run->server);
    close_signals(run);
    sh_app_close(&run->app);
    run->policy = run->policy ? sh_policy_free(run->policy) : NULL;
    run->base = run->base ? sh_policy_free(run->base) : NULL;
    json_decref(run->capabilities);
    json_decref(run->input);
    json_decref(run->row);
    json_decref(run->final_body);
    sh_free(run->agent);
    sh_free(run->argv0);
    sh_free(run->id);
    sh_values_done(&run->common.operands);
    sh_values_done(&run->flags.dirs);
    sh_values_done(&run->flags.env);
    sh_values_done(&run->flags.tools);
    sh_values_done(&run->flags.nets);
}

int sh_cmd_run(int argc, char *const argv[]) {
    struct running *run = sh_new(struct running);
    struct sh_run_flags *f = &run->flags;
    const struct sh_flag flags[] = {
        {"dir", SH_FLAG_LIST, &f->dirs, "HOST::GUEST[::ro]", "map a directory (read, write)"},
        {"env", SH_FLAG_LIST, &f->env, "NAME[=VALUE]", "give a variable"},
        {"tool", SH_FLAG_LIST, &f->tools, "NAME", "allow a tool: llm, kv, calculator"},
        {"allow-net", SH_FLAG_LIST, &f->nets, "RULE",
         "allow https://HOST/PATH* (no tool uses it yet)"},
        {"argv0", SH_FLAG_TEXT, &f->argv0, "NAME", "the agent's own name"},
        {"input", SH_FLAG_TEXT, &f->input, "JSON|@FILE|-", "the task's input"},
        {"capabilities", SH_FLAG_TEXT, &f->capabilities, "FILE",
         "allow what FILE says (JSON, TOML)"},
        {"policy", SH_FLAG_TEXT, &f->policy, "FILE", "policy in place of the data directory's"},
        {"fuel", SH_FLAG_TEXT, &f->fuel, "N", "instructions, roughly (10000000000)"},
        {"memory", SH_FLAG_TEXT, &f->memory, "SIZE", "memory (256MiB)"},
        {"timeout", SH_FLAG_TEXT, &f->timeout, "DURATION", "time of computing and calls (10m)"},
        {"ephemeral", SH_FLAG_BOOL, &f->ephemeral, NULL, "keep nothing"},
        {"events", SH_FLAG_BOOL, &f->events, NULL, "the journal on stderr as it grows"},
    };
    run->app.dir = SH_DATADIR_CLOSED;
    int rc = sh_cli_parse(&run->common, "run [FLAGS] AGENT [-- ARGS...]", flags, SH_N(flags), 1,
                          SH_FLAG_VALUES_MAX, argc, argv);
    if (rc != 0) {
        sh_free(run);
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    int status = carry_out(run) < 0 ? sh_cli_fail(&run->err) : exit_of_end(run);
    if (run->common.json && run->err.code && run->row) {
        print_row(run);
    }
    close_all(run);
    sh_free(run);
    return sh_cli_end(status);
}
