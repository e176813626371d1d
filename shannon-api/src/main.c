/* shannon: one program, many commands. This file only finds the command. */
#include "cli/cli.h"

#include "nearest.h"
#include "toml.h"

#include <signal.h>
#include <stdlib.h>

static int cmd_help(int argc, char *const argv[]);

static const struct sh_command commands[] = {
    {"serve", "serve [FLAGS]", "run the server: REST, SSE, WebSocket", sh_cmd_serve},
    {"run", "run [FLAGS] AGENT [-- ARGS...]", "run one agent, here and now", sh_cmd_run},
    {"tasks", "tasks [FLAGS]", "list the tasks, newest first", sh_cmd_tasks},
    {"status", "status ID", "what is known of a task", sh_cmd_status},
    {"events", "events [--follow] [--after SEQ] ID", "a task's journal", sh_cmd_events},
    {"result", "result ID", "a task's answer", sh_cmd_result},
    {"cancel", "cancel ID", "end a task", sh_cmd_cancel},
    {"pause", "pause ID", "hold a task", sh_cmd_pause},
    {"resume", "resume ID", "let a paused task go on", sh_cmd_resume},
    {"signal", "signal ID NAME [JSON]", "send a message to a task that waits for it",
     sh_cmd_signal},
    {"approvals", "approvals", "questions that wait for you", sh_cmd_approvals},
    {"approve", "approve [--scope SCOPE] ID APPROVAL", "say yes to one", sh_cmd_approve},
    {"deny", "deny ID APPROVAL", "say no to one", sh_cmd_deny},
    {"verify", "verify ID", "replay a task from its journal and compare", sh_cmd_verify},
    {"explain", "explain [FLAGS] AGENT", "what an agent would be given, and why", sh_cmd_explain},
    {"modules", "modules add|list|remove", "the agents that are registered", sh_cmd_modules},
    {"tools", "tools [NAME]", "what agents may call, with JSON schemas", sh_cmd_tools},
    {"sql", "sql \"SELECT ...\"", "ask the stopped data directory", sh_cmd_sql},
    {"doctor", "doctor", "check this machine and say what to do", sh_cmd_doctor},
    {"version", "version", "versions", sh_cmd_version},
    {"help", "help", "this text", cmd_help},
};

static int cmd_help(int argc, char *const argv[]) {
    (void)argc;
    (void)argv;
    puts("usage: shannon COMMAND [FLAGS] ...      each command explains itself with --help\n");
    for (size_t i = 0; i < SH_N(commands); i++) {
        printf("  %-9s %s\n", commands[i].name, commands[i].summary);
    }
    return sh_cli_end(0);
}

static int unknown(const char *name) {
    const char *names[SH_N(commands) + 1] = {0};
    sh_auto(sh_buf_done) struct sh_buf all;
    sh_buf_init(&all, 1024);
    for (size_t i = 0; i < SH_N(commands); i++) {
        names[i] = commands[i].name;
        sh_buf_addf(&all, "%s%s", i ? ", " : "", names[i]);
    }
    const char *near = sh_nearest(name, names);
    struct sh_err err = {0};
    sh_fail(&err, SH_E_INVAL, "there is no command %.40s%s%s%s; the commands are %s", name,
            near ? "; did you mean " : "", near ? near : "", near ? "?" : "", all.p);
    return sh_cli_fail(&err);
}

int main(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "compile-worker") == 0) {
        return sh_compile_worker_main(argc - 1, argv + 1);
    }
    signal(SIGPIPE, SIG_IGN);
    /* SurrealDB reads it once, when its pool starts; by default that has a thread for each core, at
     * least 16. Nothing here asks queries that would keep more than these busy. */
    setenv("SURREAL_KVS_THREADPOOL_SIZE", "4", 0);
    sh_toml_use_native();
    if (argc < 2) {
        cmd_help(0, NULL);
        return SH_EXIT_OWN;
    }
    const char *name = argv[1];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (size_t i = 0; i < SH_N(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run(argc - 1, argv + 1);
        }
    }
    return unknown(name);
}
