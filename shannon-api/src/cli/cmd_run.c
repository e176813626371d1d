/* shannon run: submit, run, print, exit. The agent's streams are the terminal's, its exit status is
 * ours. The task runs in this process where nobody owns the data directory, else in its owner's
 * (run_join.c); this process then owns it for others, and leaves when its work and theirs is done.
 *
 *   setup --> submitted --> running (events arrive) --> ended (final event) --> closed */
#include "cli/cli.h"

#include "cli/agent_file.h"
#include "cli/run_flags.h"
#include "cli/run_join.h"
#include "cli/run_request.h"
#include "cli/run_stdin.h"
#include "cli/run_view.h"
#include "files.h"
#include "http/server.h"
#include "http/task_view.h"

#include <signal.h>
#include <unistd.h>
#include <uv.h>

#define OWNER_WAIT_MS 30000 /* for one that starts or leaves */
#define ATTEMPTS 5          /* where each owner that was found leaves before it takes the task */
#define LOOK_NS 100000000ULL

struct running {
    struct sh_common common;
    struct sh_run_flags flags;
    struct sh_run_request request;
    struct sh_client client; /* remote: the task is another process's */
    struct sh_join *join;    /* then, from the submission on */
    struct sh_server *server;
    char *agent, *argv0;
    char *id;
    struct sh_run_stdin in;
    uv_signal_t signals[2];
    int open_signals;
    struct sh_subscription *subscription;
    struct sh_run_view view;
    json_t *row; /* of the submission */
    bool submitted;
    int signal_number;
    struct sh_err err;
};

/* --- events and signals ----------------------------------------------------------------------- */

static void cancel_ignored(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    (void)err;
}

static void cancel(struct running *run, const char *reason) {
    if (run->join) {
        sh_join_cancel(run->join, reason);
    } else if (run->id) {
        sh_engine_cancel(run->client.app.engine, sh_str(run->id), "user", reason, cancel_ignored,
                         NULL);
    }
}

static void output_closed(void *arg) {
    cancel(arg, "the output was closed");
}

static void on_event(void *arg, const struct sh_live_event *ev) {
    struct running *run = arg;
    if (ev->event) {
        sh_run_view_event(&run->view, ev->event->seq, ev->event->time_us, ev->event->type,
                          ev->body);
    }
    if (run->view.ended) {
        sh_loop_stop(run->client.app.loop);
    }
}

static void on_missing(void *arg) {
    struct running *run = arg;
    sh_fail(&run->err, SH_E_INTERNAL, "the submitted task is gone");
    sh_loop_stop(run->client.app.loop);
}

static void on_signal(uv_signal_t *handle, int number) {
    struct running *run = handle->data;
    if (run->signal_number) {
        _exit(128 + number); /* asked twice: stopping is always safe */
    }
    run->signal_number = run->view.signal_number = number;
    cancel(run, "interrupted");
    sh_loop_stop(run->client.app.loop);
}

static void open_signals(struct running *run) {
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        SH_ASSERT(uv_signal_init(sh_loop_uv(run->client.app.loop), &run->signals[i]) == 0);
        run->signals[i].data = run;
        SH_ASSERT(uv_signal_start(&run->signals[i], on_signal, numbers[i]) == 0);
        run->open_signals++;
    }
}

static void signal_closed(uv_handle_t *handle) {
    struct running *run = handle->data;
    run->open_signals--;
    sh_loop_stop(run->client.app.loop);
}

static void close_signals(struct running *run) {
    for (int i = 0; i < run->open_signals; i++) {
        uv_close((uv_handle_t *)&run->signals[i], signal_closed);
    }
    while (run->open_signals) {
        sh_loop_run(run->client.app.loop);
    }
}

/* --- setup ------------------------------------------------------------------------------------ */

static int open_data(struct running *run) {
    struct sh_err *err = &run->err;
    struct sh_client *c = &run->client;
    sh_auto(sh_free_p) char *path = sh_datadir_default(run->common.data_dir, err);
    if (run->flags.ephemeral) {
        return sh_app_config(&c->app.config, run->common.config, path, err);
    }
    int rc = path ? sh_datadir_open(path, true, &c->app.dir, err) : -SH_E_INVAL;
    rc = rc < 0 ? rc : sh_datadir_lock_or_join(&c->app.dir, OWNER_WAIT_MS, err);
    if (rc == -SH_E_BUSY) {
        struct sh_err busy = *err;
        return sh_fail(err, SH_E_BUSY,
                       "%s, which does not answer; run with --ephemeral, with another --data-dir, "
                       "or wait for that process to end",
                       busy.message);
    }
    if (rc == 1) {
        c->remote = true;
        c->owner = sh_datadir_owner(&c->app.dir);
    }
    if (c->remote && run->common.config) {
        return sh_fail(err, SH_E_INVAL,
                       "--config: process %ld owns the data directory and goes by its own "
                       "configuration; leave --config out, or run with --ephemeral or another "
                       "--data-dir",
                       c->owner);
    }
    return rc < 0 ? rc : sh_app_config(&c->app.config, run->common.config, c->app.dir.path, err);
}

static int open_all(struct running *run) {
    struct sh_client *c = &run->client;
    struct sh_app_options options = {
        .passive = true, .ephemeral = run->flags.ephemeral, .policy_file = run->flags.policy};
    int rc = open_data(run);
    if (rc < 0) {
        return rc;
    }
    if (c->remote) {
        rc = sh_loop_new(&c->app.loop, &run->err);
    } else {
        /* stderr is the agent's; our own lines there are for what went wrong. */
        sh_free(c->app.config.server_log);
        c->app.config.server_log = sh_strdup("warn");
        rc = sh_app_open(&c->app, &options, &run->err);
    }
    if (rc < 0) {
        return rc;
    }
    open_signals(run);
    sh_api_init(&c->api, &c->app);
    struct sh_server_config config = {.api = &c->api, .sock = !run->flags.ephemeral};
    return c->remote ? 0 : sh_server_start(&config, &run->server, &run->err);
}

/* --- the agent -------------------------------------------------------------------------------- */

static const char *base_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

/* gives  an array; a new reference */
static int list_modules(struct running *run, json_t **ret) {
    struct sh_client *c = &run->client;
    if (c->remote) {
        sh_auto(sh_json_done) json_t *answer = NULL;
        int rc = sh_client_call(c, "GET", "/api/v1/modules", NULL, (struct sh_str){0}, &answer,
                                &run->err);
        *ret = json_incref(json_object_get(answer, "modules"));
        return rc;
    }
    struct sh_wait w = {.app = &c->app};
    sh_engine_module_list(c->app.engine, sh_wait_json, &w);
    int rc = sh_wait_run(&w, &run->err);
    *ret = w.value;
    return rc;
}

static int add_remote(struct running *run, struct sh_str bytes, json_t *manifest, json_t **ret) {
    sh_auto(sh_json_done) json_t *body = NULL;
    sh_auto(sh_free_p) char *text = NULL;
    sh_auto(sh_buf_done) struct sh_buf encoded = {0};
    sh_buf_init(&encoded, SH_HTTP_MODULE_BODY_MAX);
    if (manifest && !json_is_object(manifest)) {
        return sh_fail(&run->err, SH_E_INVAL, "the manifest: capabilities: expected an object");
    }
    if (manifest) {
        sh_base64_encode(&encoded, bytes.p, bytes.len);
        if (encoded.failed) {
            return sh_fail(&run->err, SH_E_LIMIT,
                           "a module of %zu bytes is too large to be given with its manifest to "
                           "process %ld; add it first: shannon modules add",
                           bytes.len, run->client.owner);
        }
        body = json_pack("{s:s%, s:O}", "module", encoded.p ? encoded.p : "", encoded.len,
                         "manifest", manifest);
        text = sh_json_text(body);
        bytes = sh_str(text);
    }
    return sh_client_call(&run->client, "POST", "/api/v1/modules",
                          manifest ? "application/json" : "application/octet-stream", bytes, ret,
                          &run->err);
}

static int add_module(struct running *run, struct sh_str bytes, json_t *manifest, json_t **ret) {
    struct sh_wait w = {.app = &run->client.app};
    if (run->client.remote) {
        return add_remote(run, bytes, manifest, ret);
    }
    sh_engine_module_add(run->client.app.engine, bytes, NULL, manifest, sh_wait_json, &w);
    int rc = sh_wait_run(&w, &run->err);
    *ret = w.value;
    return rc;
}

/* Has somebody registered these bytes under a name? Then their manifest is what counts. */
static int is_named(struct running *run, struct sh_str bytes, bool *ret) {
    sh_auto(sh_json_done) json_t *modules = NULL;
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;
    size_t i;
    json_t *module;

    sh_sha256(bytes.p, bytes.len, &hash);
    sh_hash_hex(&hash, hex);
    int rc = list_modules(run, &modules);
    json_array_foreach(modules, i, module) {
        *ret = *ret || (sh_str_eqz(sh_json_get_str(module, "hash"), hex) &&
                        sh_json_get_str(module, "name").len > 0);
    }
    return rc;
}

/* A manifest beside the file is what the agent asks for, as if it had been registered with it. */
static int add_file(struct running *run, const char *path) {
    bool named = false;
    sh_auto(sh_json_done) json_t *manifest = NULL, *module = NULL;
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    int rc = sh_agent_file_read(path, &bytes, &run->err);
    rc = rc < 0 ? rc : sh_app_manifest(path, &manifest, &run->err);
    rc = rc < 0 || !manifest ? rc : is_named(run, sh_buf_str(&bytes), &named);
    rc = rc < 0 ? rc : add_module(run, sh_buf_str(&bytes), named ? NULL : manifest, &module);
    if (rc == 0) {
        struct sh_str hash = sh_json_get_str(module, "hash");
        run->agent = sh_strndup0(hash.p, hash.len);
        run->argv0 = sh_strdup(run->flags.argv0 ? run->flags.argv0 : base_name(path));
    }
    return rc;
}

static int find_agent(struct running *run, const char *operand) {
    if (sh_agent_file_named(operand)) {
        return add_file(run, operand);
    }
    sh_auto(sh_json_done) json_t *modules = NULL;
    int rc = list_modules(run, &modules);
    size_t i;
    json_t *module;
    json_array_foreach(modules, i, module) {
        if (sh_str_eqz(sh_json_get_str(module, "name"), operand) ||
            sh_str_eqz(sh_json_get_str(module, "hash"), operand)) {
            run->agent = run->agent ? run->agent : sh_strdup(operand);
        }
    }
    if (rc < 0 || run->agent) {
        run->argv0 = run->flags.argv0 ? sh_strdup(run->flags.argv0) : NULL;
        return rc;
    }
    sh_auto(sh_free_p) char *file = sh_app_agent_file(&run->client.app, operand);
    return file ? add_file(run, file)
                : sh_fail(&run->err, SH_E_NOT_FOUND,
                          "there is no file and no registered agent named %.100s; `shannon modules "
                          "list` shows the agents",
                          operand);
}

/* `run NAME "question"`: without --input, the first word behind a name is the question too. */
static void question_from_words(struct running *run) {
    const struct sh_values *words = &run->common.operands;
    if (words->n > 1 && !run->flags.input && !sh_agent_file_named(words->v[0])) {
        json_object_set_new(run->request.input, "query", sh_json_string(sh_str(words->v[1])));
    }
}

/* --- the task --------------------------------------------------------------------------------- */

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct running *run = arg;
    (void)cached;
    run->submitted = true;
    if (err) {
        run->err = *err;
    } else {
        run->row = json_incref(row);
    }
    sh_loop_stop(run->client.app.loop);
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

static bool takes_stdin(const struct running *run) {
    return !run->flags.input || strcmp(run->flags.input, "-") != 0;
}

static int submit_here(struct running *run) {
    struct sh_client *c = &run->client;
    struct sh_run_request *q = &run->request;
    struct sh_submit s = {
        .agent = sh_str(run->agent),
        .query = sh_json_get_str(q->input, "query"),
        .input = q->input,
        .input_text = q->input ? NULL : &q->input_text,
        .capabilities = q->capabilities,
        .args = run->common.operands.v + 1,
        .argv0 = run->argv0,
        .script_name = script_name(run->common.operands.v[0]),
        .stdin_live = takes_stdin(run),
        .tty = {isatty(0) == 1, isatty(1) == 1, isatty(2) == 1},
        .operator_doc = q->operator_doc,
        .has_priority = q->has_priority,
        .priority = q->priority,
    };
    sh_engine_submit(c->app.engine, &s, on_submitted, run);
    while (!run->submitted && !c->app.failed) {
        sh_loop_run(c->app.loop);
    }
    if (!run->submitted) {
        run->err = c->app.fatal;
    }
    return -run->err.code;
}

static int submit_there(struct running *run) {
    const struct sh_run_request *q = &run->request;
    json_t *args = json_array();
    for (size_t i = 1; i < run->common.operands.n; i++) {
        json_array_append_new(args, sh_json_string(sh_str(run->common.operands.v[i])));
    }
    sh_auto(sh_json_done) json_t *body = json_pack(
        "{s:s, s:O*, s:O, s:O*, s:o, s:s*, s:s*, s:b, s:[b,b,b]}", "agent", run->agent, "input",
        q->input, "operator", q->operator_doc, "capabilities", q->capabilities, "args", args,
        "argv0", run->argv0, "script_name", script_name(run->common.operands.v[0]), "stdin_live",
        (int)takes_stdin(run), "tty", isatty(0) == 1, isatty(1) == 1, isatty(2) == 1);
    struct sh_str query = sh_json_get_str(q->input, "query");
    if (query.len) {
        json_object_set_new(body, "query", sh_json_string(query));
    }
    if (q->has_priority) {
        json_object_set_new(body, "priority", json_integer(q->priority));
    }
    int rc = sh_join_start(&run->client, body, &run->request.input_text, &run->view, &run->join,
                           &run->err);
    run->row = rc < 0 ? NULL : json_incref((json_t *)(uintptr_t)sh_join_row(run->join));
    return rc;
}

static int submit(struct running *run) {
    struct sh_timer patience = {0};
    if (isatty(2)) {
        sh_timer_start(run->client.app.loop, &patience, 1000000000, still_compiling);
    }
    int rc = find_agent(run, run->common.operands.v[0]);
    if (rc == 0) {
        question_from_words(run);
        rc = run->client.remote ? submit_there(run) : submit_here(run);
    }
    sh_timer_stop(&patience);
    if (rc < 0) {
        return rc;
    }
    run->id = sh_strdup(
        json_string_value(json_object_get(run->row, run->client.remote ? "task_id" : "id")));
    if (sh_str_eqz(sh_json_get_str(run->row, "status"), "rejected")) {
        struct sh_str why = sh_json_get_str(json_object_get(run->row, "error"), "message");
        return sh_fail(&run->err, SH_E_DENIED, "denied: %.*s", (int)why.len, why.p ? why.p : "");
    }
    if (run->signal_number) { /* it came before there was anything to cancel */
        cancel(run, "interrupted");
    }
    return 0;
}

static int give_here(void *arg, struct sh_str bytes, bool eof) {
    struct running *run = arg;
    return sh_engine_stdin(run->client.app.engine, sh_str(run->id), bytes, eof, NULL);
}

static int follow_here(struct running *run) {
    struct sh_client *c = &run->client;
    if (takes_stdin(run)) {
        sh_run_stdin_start(&run->in, c->app.loop, give_here, run);
    }
    int rc = sh_engine_subscribe(c->app.engine, sh_str(run->id), 0, on_event, on_missing, run,
                                 &run->subscription, &run->err);
    while (rc == 0 && !run->view.ended && !run->err.code && !c->app.failed) {
        sh_loop_run(c->app.loop);
    }
    if (c->app.failed) {
        run->err = c->app.fatal;
    }
    return -run->err.code;
}

static int carry_out(struct running *run) {
    int rc = open_all(run);
    rc = rc < 0 ? rc : submit(run);
    if (rc < 0) {
        return rc;
    }
    return run->join ? sh_join_follow(run->join, takes_stdin(run), &run->err) : follow_here(run);
}

/* --- the end ---------------------------------------------------------------------------------- */

static void print_row(struct running *run) {
    struct sh_client *c = &run->client;
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/tasks/%s", run->id);
    sh_auto(sh_json_done) json_t *task = NULL;
    if (sh_client_call(c, "GET", path, NULL, (struct sh_str){0}, &task, &run->err) == 0) {
        sh_cli_print_json(task);
    }
}

static void look_again(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

/* Others joined us, and their tasks are ours: they end first. A signal ends that, too. */
static void wait_for_guests(struct running *run) {
    struct sh_app *app = &run->client.app;
    int before = run->signal_number;
    if (run->server && !sh_list_empty(&run->client.api.guests) && isatty(2)) {
        fputs("shannon: others run their tasks in this process; it leaves when they are done\n",
              stderr);
    }
    run->signal_number = 0;
    while (run->server && !sh_list_empty(&run->client.api.guests) && !run->signal_number &&
           !app->failed) {
        struct sh_timer tick = {0};
        sh_timer_start(app->loop, &tick, LOOK_NS, look_again);
        sh_loop_run(app->loop);
        sh_timer_stop(&tick);
        sh_server_probe(run->server);
    }
    run->signal_number = before;
}

static void close_attempt(struct running *run) {
    struct sh_app *app = &run->client.app;
    if (run->subscription) {
        sh_engine_unsubscribe(run->subscription);
    }
    sh_run_stdin_stop(&run->in);
    if (run->join) {
        sh_join_free(run->join);
    }
    wait_for_guests(run);
    if (run->server) {
        sh_server_drain(run->server);
    }
    sh_app_stop(app);
    run->server = sh_server_free(run->server);
    close_signals(run);
    sh_app_close(app);
    json_decref(run->row);
    sh_free(run->agent);
    sh_free(run->argv0);
    sh_free(run->id);
}

/* A result that is too large for the journal: where the agent printed nothing, as with small ones.
 */
static int print_kept(struct running *run) {
    const struct sh_run_view *v = &run->view;
    return !json_object_get(v->final_body, "output_kept") || v->json || v->printed[1] > 0
               ? 0
               : sh_cli_print_result(&run->client, run->id, &run->err);
}

static int finish(struct running *run, int rc) {
    bool result = run->common.json && run->row;
    int status;
    rc = rc < 0 ? rc : print_kept(run);
    if (result && rc == 0) {
        print_row(run);
    }
    status = rc < 0 ? sh_cli_fail(&run->err) : sh_run_view_end(&run->view);
    if (result && rc < 0) {
        print_row(run);
    }
    fflush(stdout);
    return status;
}

/* The owner that was found left before it took the task: there is another, or we are it. */
static bool owner_left(const struct running *run, int rc) {
    return rc == -SH_E_UNAVAILABLE && run->client.remote && !run->row && !run->signal_number;
}

static int run_task(const struct sh_common *common, const struct sh_run_flags *flags,
                    struct sh_run_request *request) {
    int status = SH_EXIT_OWN;
    for (int left = ATTEMPTS; left > 0; left--) {
        struct running *run = sh_new(struct running);
        run->common = *common;
        run->flags = *flags;
        run->request = *request;
        run->client.app.dir = SH_DATADIR_CLOSED;
        run->view = (struct sh_run_view){.json = common->json,
                                         .events = flags->events,
                                         .output_closed = output_closed,
                                         .arg = run};
        int rc = carry_out(run);
        bool again = owner_left(run, rc) && left > 1;
        status = again ? status : finish(run, rc);
        request->input_text = run->request.input_text; /* it may have been taken */
        close_attempt(run);
        sh_run_view_done(&run->view);
        sh_free(run);
        if (!again) {
            break;
        }
    }
    return status;
}

int sh_cmd_run(int argc, char *const argv[]) {
    struct sh_run_flags all = {0}, *f = &all;
    struct sh_common common = {0};
    struct sh_run_request request = {0};
    struct sh_err err = {0};
    const struct sh_flag flags[] = {
        {"dir", SH_FLAG_LIST, &f->dirs, "HOST::GUEST[::ro]", "map a directory (read, write)"},
        {"env", SH_FLAG_LIST, &f->env, "NAME[=VALUE]", "give a variable"},
        {"tool", SH_FLAG_LIST, &f->tools, "NAME", "allow a tool: llm, kv, calculator"},
        {"allow-net", SH_FLAG_LIST, &f->nets, "RULE",
         "let it reach [METHODS ]SCHEME://HOST[:PORT][/PATH]"},
        {"argv0", SH_FLAG_TEXT, &f->argv0, "NAME", "the agent's own name"},
        {"input", SH_FLAG_TEXT, &f->input, "JSON|@FILE|-", "the task's input"},
        {"capabilities", SH_FLAG_TEXT, &f->capabilities, "FILE",
         "allow what FILE says (JSON, TOML)"},
        {"policy", SH_FLAG_TEXT, &f->policy, "FILE", "policy in place of the data directory's"},
        {"fuel", SH_FLAG_TEXT, &f->fuel, "N", "instructions, roughly (10000000000)"},
        {"memory", SH_FLAG_TEXT, &f->memory, "SIZE", "memory (256MiB)"},
        {"timeout", SH_FLAG_TEXT, &f->timeout, "DURATION", "time of computing and calls (10m)"},
        {"deadline", SH_FLAG_TEXT, &f->deadline, "DURATION", "all time, waits and stops too"},
        {"priority", SH_FLAG_TEXT, &f->priority, "N", "0 to 9, who of the queued is next (5)"},
        {"ephemeral", SH_FLAG_BOOL, &f->ephemeral, NULL, "keep nothing"},
        {"events", SH_FLAG_BOOL, &f->events, NULL, "the journal on stderr as it grows"},
    };
    int rc = sh_cli_parse(&common, "run [FLAGS] AGENT [-- ARGS...]", flags, SH_N(flags), 1,
                          SH_FLAG_VALUES_MAX, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    int status = sh_run_request_read(f, &request, &err) < 0 ? sh_cli_fail(&err)
                                                            : run_task(&common, f, &request);
    sh_run_request_done(&request);
    sh_values_done(&common.operands);
    sh_values_done(&f->dirs);
    sh_values_done(&f->env);
    sh_values_done(&f->tools);
    sh_values_done(&f->nets);
    return sh_cli_end(status);
}
