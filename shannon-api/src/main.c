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
    {"mcp", "mcp [FLAGS]", "serve an MCP client over standard input and output", sh_cmd_mcp},
    {"tasks", "tasks [FLAGS]", "list the tasks, newest first", sh_cmd_tasks},
    {"status", "status ID", "what is known of a task", sh_cmd_status},
    {"events", "events [--follow] [--after SEQ] ID", "a task's journal", sh_cmd_events},
    {"result", "result ID", "a task's answer", sh_cmd_result},
    {"cancel", "cancel ID", "end a task", sh_cmd_cancel},
    {"pause", "pause ID", "hold a task", sh_cmd_pause},
    {"resume", "resume ID", "let a paused task go on", sh_cmd_resume},
    {"signal", "signal ID NAME [JSON]", "send a message to a task that waits for it",
     sh_cmd_signal},
    {"update", "update ID NAME [JSON]", "send a message and wait for the task's answer",
     sh_cmd_update},
    {"query", "query ID [NAME]", "what a task has published", sh_cmd_query},
    {"raise", "raise ID [FLAGS]", "more of a task's budget", sh_cmd_raise},
    {"schedules", "schedules [list] | add | pause | resume | remove | run | runs",
     "tasks that begin by the clock", sh_cmd_schedules},
    {"approvals", "approvals", "questions that wait for you", sh_cmd_approvals},
    {"approve", "approve [--scope SCOPE] ID APPROVAL", "say yes to one", sh_cmd_approve},
    {"deny", "deny ID APPROVAL", "say no to one", sh_cmd_deny},
    {"verify", "verify ID|--all", "check journals: chain, signature, replay", sh_cmd_verify},
    {"export", "export [--output FILE] ID", "a task as a file, journal and module", sh_cmd_export},
    {"import", "import FILE", "take such a file, to verify and replay it", sh_cmd_import},
    {"replay", "replay [--to SEQ] ID", "a task as of an event, from its journal", sh_cmd_replay},
    {"fork", "fork [--at SEQ] ID", "go on after an event, as a new task", sh_cmd_fork},
    {"forget", "forget ID", "delete a task that has ended", sh_cmd_forget},
    {"compact", "compact ID", "drop what a task's checkpoint made needless", sh_cmd_compact},
    {"explain", "explain [FLAGS] AGENT", "what an agent would be given, and why", sh_cmd_explain},
    {"sessions", "sessions list|kv ID [KEY]", "conversations, and what they keep", sh_cmd_sessions},
    {"modules", "modules add|list|remove", "the agents that are registered", sh_cmd_modules},
    {"tools", "tools [NAME]", "what agents may call, with JSON schemas", sh_cmd_tools},
    {"new", "new --lang LANGUAGE NAME", "a project for an agent: C, C++, Rust, Go, Python",
     sh_cmd_new},
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
    sh_auto(sh_buf_done) struct sh_buf all = {0};
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
    if (argc >= 2 && strcmp(argv[1], "read-worker") == 0) {
        return sh_read_worker_main(argc - 1, argv + 1);
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
