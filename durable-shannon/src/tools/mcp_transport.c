/* How an MCP server is reached, and messages through a child: one JSON text a line on its standard
 * input and output, its environment only what is named. HTTP is mcp_http.c. */
#include "tools/mcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Configuration. */

static int bad(const struct sh_mcp_server *s, const char *what, struct sh_err *err) {
    return sh_fail(err, SH_E_INVAL,
                   "[mcp.%s]: %s; a server has either command = [\"PROGRAM\", ...], env, dir, or "
                   "url, api_key_env, api_key_file",
                   s->name, what);
}

static char *find_program(const char *name) {
    const char *path = getenv("PATH");
    if (strchr(name, '/')) {
        return name[0] == '/' && access(name, X_OK) == 0 ? sh_strdup(name) : NULL;
    }
    for (const char *p = path ? path : "/usr/bin:/bin"; *p;) {
        const char *end = strchrnul(p, ':');
        char *full = sh_asprintf("%.*s/%s", (int)(end - p), p, name);
        if (full[0] == '/' && access(full, X_OK) == 0) {
            return full;
        }
        sh_free(full);
        p = *end ? end + 1 : end;
    }
    return NULL;
}

/* By its name; a path or a language in a variable is none. */
static bool is_secret(const char *name) {
    static const char *const parts[] = {"KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL", NULL};
    for (size_t i = 0; parts[i]; i++) {
        if (strcasestr(name, parts[i])) {
            return true;
        }
    }
    return false;
}

/* PATH, HOME, LANG, and what is named: a text, or "$NAME" for a variable of ours. */
static int read_env(struct sh_mcp_server *s, const json_t *env, struct sh_err *err) {
    static const char *const usual[] = {"PATH", "HOME", "LANG", NULL};
    const char *name = NULL;
    json_t *value = NULL;
    size_t n = 0;
    s->env = sh_new_array(char *, json_object_size(env) + 4);
    s->hidden = sh_new_array(struct sh_secret, json_object_size(env) + 1);
    for (size_t i = 0; usual[i]; i++) {
        const char *ours = getenv(usual[i]);
        if (ours && !json_object_get(env, usual[i])) {
            s->env[n++] = sh_asprintf("%s=%s", usual[i], ours);
        }
    }
    json_object_foreach((json_t *)(uintptr_t)env, name, value) {
        const char *text = json_string_value(value);
        const char *given = text && text[0] == '$' ? getenv(text + 1) : text;
        if (!text || strchr(name, '=')) {
            return bad(s, "env: expected a table of texts", err);
        }
        if (given) {
            s->env[n++] = sh_asprintf("%s=%s", name, given);
        }
        if (given && text[0] == '$' && (is_secret(name) || is_secret(text + 1)) && given[0]) {
            s->hidden[s->n_hidden++] = (struct sh_secret){sh_strdup(given), strlen(given)};
        }
    }
    return 0;
}

static int read_command(struct sh_mcp_server *s, const json_t *doc, struct sh_err *err) {
    const json_t *command = json_object_get(doc, "command");
    size_t n = json_array_size(command);
    if (n == 0 || n > 64) {
        return bad(s, "command: expected a list of 1 to 64 texts", err);
    }
    s->argv = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *word = json_string_value(json_array_get(command, i));
        if (!word) {
            return bad(s, "command: expected a list of 1 to 64 texts", err);
        }
        s->argv[i] = sh_strdup(word);
    }
    s->program = find_program(s->argv[0]);
    if (!s->program) {
        return sh_fail(err, SH_E_INVAL,
                       "[mcp.%s] command: there is no program \"%.100s\" (an absolute path, or a "
                       "name in PATH)",
                       s->name, s->argv[0]);
    }
    const char *dir = json_string_value(json_object_get(doc, "dir"));
    s->dir = dir ? sh_strdup(dir) : NULL;
    return read_env(s, json_object_get(doc, "env"), err);
}

int sh_mcp_transport_init(struct sh_mcp_server *s, const json_t *doc, struct sh_err *err) {
    static const char *const known[] = {"command",     "env",          "dir", "url",
                                        "api_key_env", "api_key_file", NULL};
    struct sh_err why = {0};
    const char *url = json_string_value(json_object_get(doc, "url"));
    if (!json_is_object(doc)) {
        return bad(s, "it is not a table", err);
    }
    if (sh_json_only(doc, known, "it", &why) != 0) {
        return bad(s, why.message, err);
    }
    if (!url == !json_object_get(doc, "command")) {
        return bad(s, "it needs one of command and url", err);
    }
    if (!url) {
        return read_command(s, doc, err);
    }
    const char *env = json_string_value(json_object_get(doc, "api_key_env"));
    const char *file = json_string_value(json_object_get(doc, "api_key_file"));
    s->url = sh_strdup(url);
    s->key_env = env ? sh_strdup(env) : NULL;
    s->key_file = file ? sh_strdup(file) : NULL;
    sh_auto(sh_free_p) char *what = sh_asprintf("[mcp.%s] url", s->name);
    return sh_egress_peer_parse(url, what, &s->peer, err);
}

static void free_texts(char **list) {
    for (size_t i = 0; list && list[i]; i++) {
        sh_free(list[i]);
    }
    sh_free(list);
}

void sh_mcp_transport_done(struct sh_mcp_server *s) {
    free_texts(s->argv);
    free_texts(s->env);
    for (size_t i = 0; i < s->n_hidden; i++) {
        sh_secret_done(&s->hidden[i]);
    }
    sh_free(s->hidden);
    sh_free(s->program);
    sh_free(s->dir);
    sh_mcp_http_done(s);
    sh_free(s->url);
    sh_free(s->key_env);
    sh_free(s->key_file);
    sh_free(s->session);
}

/* A child. */

/* What it was given as a secret and says again. */
static void redact(const struct sh_mcp_server *s, struct sh_buf *line) {
    for (size_t i = 0; i < s->n_hidden; i++) {
        if (sh_secret_in(&s->hidden[i], sh_buf_str(line))) {
            struct sh_buf clean;
            sh_buf_init(&clean, line->len * 3 + 1);
            sh_secret_redact(&s->hidden[i], sh_buf_str(line), &clean);
            sh_buf_done(line);
            *line = clean;
        }
    }
}

static void on_out(void *arg, struct sh_str bytes) {
    struct sh_mcp_server *s = arg;
    const struct sh_process *process = s->process;
    for (size_t i = 0; i < bytes.len;) {
        const char *end = memchr(bytes.p + i, '\n', bytes.len - i);
        size_t n = end ? (size_t)(end - (bytes.p + i)) : bytes.len - i;
        sh_buf_add(&s->line, bytes.p + i, n);
        i += n + 1;
        if (s->line.failed) {
            struct sh_err err = {0};
            sh_fail(&err, SH_E_LIMIT, "the MCP server %s sent a message of more than %llu bytes",
                    s->name, SH_MCP_MESSAGE_MAX);
            sh_mcp_down(s, &err);
            return;
        }
        if (end) {
            struct sh_buf line = s->line;
            sh_buf_init(&s->line, SH_MCP_MESSAGE_MAX);
            if (line.len && !(line.len == 1 && line.p[0] == '\r')) {
                redact(s, &line);
                sh_mcp_message(s, sh_buf_str(&line));
            }
            sh_buf_done(&line);
            if (s->process != process) {
                return; /* it went down by that message */
            }
        }
    }
}

static void on_err(void *arg, struct sh_str bytes) {
    struct sh_mcp_server *s = arg;
    while (bytes.len && (bytes.p[bytes.len - 1] == '\n' || bytes.p[bytes.len - 1] == '\r')) {
        bytes.len--;
    }
    size_t n = bytes.len < sizeof(s->said) - 1 ? bytes.len : sizeof(s->said) - 1;
    if (n) {
        memcpy(s->said, bytes.p + bytes.len - n, n);
        s->said[n] = '\0';
    }
}

static void on_exit_of_server(void *arg, int status, int sig) {
    struct sh_mcp_server *s = arg;
    struct sh_err err = {0};
    sh_fail(&err, SH_E_UNAVAILABLE, "the MCP server %s ended (%s %d)%s%s", s->name,
            sig ? "signal" : "status", sig ? sig : status, s->said[0] ? "; it said: " : "",
            s->said);
    sh_mcp_down(s, &err);
}

int sh_mcp_transport_start(struct sh_mcp_server *s, struct sh_err *err) {
    s->said[0] = '\0';
    if (!s->program) {
        return 0; /* the first message connects */
    }
    sh_buf_clear(&s->line);
    struct sh_process_options o = {
        .program = s->program,
        .argv = (const char *const *)s->argv,
        .env = (const char *const *)s->env,
        .dir = s->dir,
        .on_out = on_out,
        .on_err = on_err,
        .on_exit = on_exit_of_server,
        .arg = s,
    };
    return sh_process_start(s->tools->loop, &o, &s->process, err);
}

void sh_mcp_transport_stop(struct sh_mcp_server *s) {
    sh_process_close(s->process);
    s->process = NULL;
    sh_mcp_http_stop(s);
}

/* An answer of ours carries an id of theirs, and waits for nothing. */
static int64_t id_of_request(const json_t *message) {
    return json_object_get(message, "method") ? sh_json_get_int(message, "id", 0) : 0;
}

int sh_mcp_send(struct sh_mcp_server *s, const json_t *message, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_MCP_MESSAGE_MAX);
    sh_json_dump(message, &text);
    if (!s->program) {
        return text.failed ? sh_fail(err, SH_E_LIMIT, "the message is too large")
                           : sh_mcp_http_post(s, id_of_request(message), sh_buf_str(&text), err);
    }
    sh_buf_addc(&text, '\n');
    if (text.failed || !s->process) {
        return sh_fail(err, text.failed ? SH_E_LIMIT : SH_E_UNAVAILABLE,
                       text.failed ? "the message is too large" : "the server is not running");
    }
    return sh_process_write(s->process, sh_buf_str(&text), SH_MCP_MESSAGE_MAX, err);
}
