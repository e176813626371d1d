/* Opening order: loop, store, sandbox, tools, policy, engine; closing is the reverse. Each step is
 * waited for by running the loop, so that start-up reads from top to bottom. */
#include "workflow/engine.h"

#include "files.h"
#include "workflow/protect.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of a command, which runs what it was asked for. The pool's slots take system calls when it opens:
 * a server's thousands would be a quarter of a short run. */
#define COMMAND_AGENTS_MAX 128

void sh_wait_json(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_wait *w = arg;
    w->done = true;
    if (err) {
        w->err = *err;
    } else {
        w->value = json_incref(value);
    }
    sh_loop_stop(w->app->loop);
}

void sh_wait_store(void *arg, const struct sh_err *err) {
    sh_wait_json(arg, NULL, err);
}

void sh_wait_plain(void *arg) {
    sh_wait_json(arg, NULL, NULL);
}

int sh_wait_run(struct sh_wait *w, struct sh_err *err) {
    while (!w->done && !w->app->failed) {
        sh_loop_run(w->app->loop);
    }
    if (!w->done) {
        w->err = w->app->fatal;
    }
    if (w->err.code && err) {
        *err = w->err;
    }
    return -w->err.code;
}

static const char *from_environment(const char *name) {
    return getenv(name);
}

int sh_app_config(struct sh_config *c, const char *file, const char *data_dir, struct sh_err *err) {
    sh_config_init(c);
    sh_auto(sh_free_p) char *found = NULL;
    if (file) {
        found = sh_strdup(file);
    } else if (data_dir) {
        found = sh_path_join(data_dir, "shannon.toml");
        if (access(found, F_OK) < 0) {
            found = sh_free(found);
        }
    }
    if (found) {
        sh_auto(sh_json_done) json_t *doc = NULL;
        int rc = sh_document_read(found, &doc, err);
        if (rc == 0) {
            rc = sh_config_apply(c, doc, found, err);
        }
        c->file = sh_take(&found);
        if (rc < 0) {
            return rc;
        }
    }
    int rc = sh_config_env(c, from_environment, err);
    return rc < 0 ? rc : sh_config_check(c, err);
}

/* The binary's own path; build/bin/shannon may be a link, and then both folders count. */
static char *exe_path(void) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);
    if (n <= 0) {
        return sh_strdup("/proc/self/exe");
    }
    path[n] = 0;
    return sh_strdup(path);
}

char *sh_share_path(const char *name) {
    const char *env = getenv("SHANNON_SHARE");
    sh_auto(sh_free_p) char *exe = exe_path();
    char *slash = strrchr(exe, '/');
    if (slash) {
        *slash = 0;
    }
    static const char *const places[] = {"../share/shannon", "../../share/shannon",
                                         "../../../share/shannon"};
    for (size_t i = 0; i < 4; i++) {
        if (i == 0 && !env) {
            continue;
        }
        char *path =
            i == 0 ? sh_path_join(env, name) : sh_asprintf("%s/%s/%s", exe, places[i - 1], name);
        if (access(path, R_OK) == 0) {
            return path;
        }
        sh_free(path);
    }
    return NULL;
}

static char *home_folder(void) {
    const char *home = getenv("HOME");
    return home && home[0] == '/' ? sh_strdup(home) : NULL;
}

int sh_app_policy(struct sh_app *app, struct sh_err *err) {
    const char *name = app->config.policy_file;
    sh_auto(sh_free_p) char *path = sh_path_join(app->dir.path ? app->dir.path : ".", name);
    sh_auto(sh_json_done) json_t *doc = NULL;
    bool is_default = strcmp(name, "policy.toml") == 0;
    if (is_default && (!app->dir.path || access(path, F_OK) < 0)) {
        return sh_policy_parse(NULL, NULL, NULL, &app->policy, err);
    }
    int rc = sh_document_read(path, &doc, err);
    if (rc < 0) {
        return rc;
    }
    sh_auto(sh_free_p) char *home = home_folder();
    struct sh_err inner = {0};
    rc = sh_policy_parse(doc, home, app->dir.path ? app->dir.path : "/", &app->policy, &inner);
    if (rc < 0) {
        return sh_fail(err, inner.code, "%s: %s", path, inner.message);
    }
    sh_policy_rename_hosts(app->policy, sh_path_real);
    return 0;
}

static int open_store_once(struct sh_app *app, struct sh_err *err) {
    const char *endpoint = app->config.store_endpoint;
    sh_auto(sh_free_p) char *resolved = NULL;
    struct sh_str rocksdb = SH_STR("rocksdb:");
    if (app->ephemeral) {
        resolved = sh_strdup("twin");
    } else if (sh_str_starts(sh_str(endpoint), rocksdb)) {
        sh_auto(sh_free_p) char *path = sh_path_join(app->dir.path, endpoint + rocksdb.len);
        resolved = sh_asprintf("rocksdb:%s", path);
    } else {
        resolved = sh_strdup(endpoint);
    }
    sh_auto(sh_json_done) json_t *options = json_pack("{s:s}", "sync", app->config.store_sync);
    struct sh_wait w = {.app = app};
    int rc = sh_store_open(app->loop, resolved, options, sh_wait_store, &w, &app->store, err);
    return rc < 0 ? rc : sh_wait_run(&w, err);
}

/* A quota may be full where the disk is not, and only its error says so: then the ballast goes. */
static int open_store(struct sh_app *app, struct sh_err *err) {
    int rc = open_store_once(app, err);
    if (rc != -SH_E_NOSPC || app->ephemeral || !sh_ballast_release(app->root)) {
        return rc;
    }
    sh_log(SH_LOG_WARN, "ballast-released", "error=%s", SH_Q(sh_str(err->message)));
    if (app->store) {
        struct sh_wait w = {.app = app};
        sh_store_close(app->store, sh_wait_plain, &w);
        sh_wait_run(&w, NULL);
        app->store = NULL;
    }
    return open_store_once(app, err);
}

/* Compiled code is kept even by ephemeral runs: it is a cache, made from the module alone. */
static char *aot_folder(const struct sh_app *app) {
    if (!app->ephemeral) {
        return sh_path_join(app->dir.path, "aot");
    }
    sh_auto(sh_free_p) char *path = sh_datadir_default(NULL, NULL);
    struct sh_datadir dir = SH_DATADIR_CLOSED;
    if (!path || sh_datadir_open(path, true, &dir, NULL) < 0) {
        return NULL;
    }
    char *aot = sh_path_join(dir.path, "aot");
    sh_datadir_close(&dir);
    return aot;
}

static int open_sandbox(struct sh_app *app, struct sh_err *err) {
    sh_auto(sh_free_p) char *aot = aot_folder(app);
    sh_auto(sh_free_p) char *exe = exe_path();
    char **kept = sh_protected_paths(app);
    struct sh_sandbox_config config = {
        .aot_dir = aot,
        .worker = exe,
        .protected_paths = (const char *const *)kept,
        .agents_max = app->options.passive ? COMMAND_AGENTS_MAX : 0,
    };
    int rc = sh_sandbox_new(&config, &app->sandbox, err);
    sh_protected_paths_free(kept);
    return rc;
}

static int open_tools(struct sh_app *app, struct sh_err *err) {
    const struct sh_config *c = &app->config;
    sh_auto(sh_free_p) char *exe = exe_path();
    sh_auto(sh_free_p) char *pins = app->root ? sh_path_join(app->root, "mcp-tools.json") : NULL;
    struct sh_tools_config config = {
        .worker = exe,
        .mcp = c->mcp,
        .mcp_pins = pins,
        .search_provider = c->search_provider,
        .search_base_url = c->search_base_url,
        .search_api_key_env = c->search_api_key_env,
        .search_api_key_file = c->search_api_key_file,
        .llm_base_url = c->llm_base_url,
        .llm_model = c->llm_model,
        .llm_provider = c->llm_provider,
        .llm_api_key_env = sh_config_llm_key_env(c),
        .llm_api_key_file = c->llm_api_key_file,
        .llm_timeout_ms = c->llm_timeout_ms,
        .llm_prices = c->llm_prices,
        .llm_connect_ms = c->llm_connect_timeout_ms,
        .llm_first_ms = c->llm_first_token_timeout_ms,
        .llm_between_ms = c->llm_between_tokens_timeout_ms,
        .llm_models = c->llm_models,
        .llm_fallback = c->llm_fallback,
        .http_timeout_ms = c->http_timeout_ms,
        .http_credentials = c->http_credentials,
    };
    return sh_tools_new(app->loop, &config, &app->tools, err);
}

static void engine_fatal(void *arg, const struct sh_err *err) {
    struct sh_app *app = arg;
    if (app->failed) {
        return;
    }
    app->failed = true;
    app->fatal = *err;
    if (app->options.on_fatal) {
        app->options.on_fatal(app->options.on_fatal_arg, err);
    }
    sh_loop_stop(app->loop);
}

/* What scripts import: compiled, where it runs in the interpreter that it was compiled by. NULL
 * where there is none. */
static char *python_module_path(bool shipped) {
    sh_auto(sh_free_p) char *source = sh_share_path("python/shannon.py");
    sh_auto(sh_free_p) char *compiled = source && shipped ? sh_asprintf("%sc", source) : NULL;
    return compiled && access(compiled, R_OK) == 0 ? sh_take(&compiled) : sh_take(&source);
}

static int open_engine(struct sh_app *app, struct sh_err *err) {
    const char *python = getenv("SHANNON_PYTHON_WASM");
    sh_auto(sh_free_p) char *shipped = python ? NULL : sh_share_path("python.wasm");
    sh_auto(sh_free_p) char *python_module = python_module_path(python == NULL);
    sh_auto(sh_free_p) char *image = python ? NULL : sh_share_path("python-image.wasm");
    struct sh_engine_config config = {
        .loop = app->loop,
        .store = app->store,
        .sandbox = app->sandbox,
        .tools = app->tools,
        .policy = app->policy,
        .data_dir = app->root,
        .executors = app->options.executors ? app->options.executors
                                            : (unsigned)app->config.server_executors,
        .observe = !app->ephemeral,
        .default_agent = app->config.agents_default,
        .python = python ? python : shipped,
        .python_module = python_module,
        .python_image = image,
        .passive = app->options.passive,
        .attended = app->options.attended,
        .max_running = app->config.engine_max_running,
        .session_max_running = app->config.engine_session_max_running,
        .agent_max_running = app->config.engine_agent_max_running,
        .passivate_after_ms = app->config.engine_passivate_after_ms,
        .approval_timeout_ms = app->config.policy_approval_timeout_ms,
        .keep_ms = app->config.retention_keep_ms,
        .compact_after = app->config.compaction_after,
        .compact_bytes = app->config.compaction_bytes,
        .keep_failed_ms = app->config.retention_keep_failed_ms,
        .budget_asks = strcmp(app->config.policy_on_budget, "ask") == 0,
        .cancel_grace_ms = app->config.engine_cancel_grace_ms,
        .watch_disk = !app->ephemeral,
        .fatal = engine_fatal,
        .fatal_arg = app,
    };
    struct sh_wait w = {.app = app};
    int rc = sh_engine_start(&config, sh_wait_store, &w, &app->engine, err);
    return rc < 0 ? rc : sh_wait_run(&w, err);
}

static int make_root(struct sh_app *app, struct sh_err *err) {
    if (!app->ephemeral) {
        app->root = sh_strdup(app->dir.path);
        return 0;
    }
    const char *tmp = getenv("TMPDIR");
    char *root = sh_asprintf("%s/shannon-XXXXXX", tmp && tmp[0] == '/' ? tmp : "/tmp");
    if (!mkdtemp(root)) {
        int rc = sh_fail_errno(err, SH_E_IO, errno, "cannot make the temporary folder %s", root);
        sh_free(root);
        return rc;
    }
    app->root = root;
    return 0;
}

int sh_app_open(struct sh_app *app, const struct sh_app_options *options, struct sh_err *err) {
    app->options = *options;
    app->ephemeral = options->ephemeral;
    enum sh_log_level level = SH_LOG_INFO;
    sh_log_level_parse(app->config.server_log, &level);
    sh_log_set_level(level);
    sh_engine_catch_crashes();
    int rc = make_root(app, err);
    if (rc == 0) {
        rc = sh_loop_new(&app->loop, err);
    }
    if (rc == 0) {
        rc = open_store(app, err);
    }
    if (rc < 0 || options->store_only) {
        return rc;
    }
    if ((rc = open_sandbox(app, err)) < 0 || (rc = open_tools(app, err)) < 0 ||
        (rc = sh_app_policy(app, err)) < 0) {
        return rc;
    }
    return open_engine(app, err);
}

void sh_app_listens(struct sh_app *app, int fd) {
    struct sockaddr_storage address;
    socklen_t n = sizeof(address);
    if (getsockname(fd, (struct sockaddr *)&address, &n) == 0) {
        sh_tools_own_listener(app->tools, (const struct sockaddr *)&address);
    }
}

void sh_app_stop(struct sh_app *app) {
    app->failed = false; /* closing waits are not cut short by the failure that led here */
    if (app->engine) {
        struct sh_wait w = {.app = app};
        sh_engine_stop(app->engine, sh_wait_plain, &w);
        sh_wait_run(&w, NULL);
        app->engine = NULL;
    }
}

void sh_app_close(struct sh_app *app) {
    sh_app_stop(app);
    app->failed = false;
    if (app->store) {
        struct sh_wait w = {.app = app};
        sh_store_close(app->store, sh_wait_plain, &w);
        sh_wait_run(&w, NULL);
        app->store = NULL;
    }
    app->tools = app->tools ? sh_tools_free(app->tools) : NULL;
    app->sandbox = app->sandbox ? sh_sandbox_free(app->sandbox) : NULL;
    app->policy = app->policy ? sh_policy_free(app->policy) : NULL;
    app->loop = app->loop ? sh_loop_free(app->loop) : NULL;
    if (app->ephemeral && app->root) {
        sh_tree_remove(app->root);
    }
    app->root = sh_free(app->root);
    sh_config_done(&app->config);
    sh_datadir_close(&app->dir);
}

/* --- shipped and configured agents ------------------------------------------------------------ */

/* Folders of agents, first wins: yours to free with sh_free each, then the list. */
static size_t agent_folders(const struct sh_app *app, char *ret[], size_t max) {
    size_t n = 0, i;
    json_t *item;
    json_array_foreach(app->config.agents_path, i, item) {
        if (n < max) {
            ret[n++] = sh_path_join(app->dir.path ? app->dir.path : ".", json_string_value(item));
        }
    }
    char *shipped = n < max ? sh_share_path("agents") : NULL;
    if (shipped) {
        ret[n++] = shipped;
    }
    return n;
}

#define FOLDERS_MAX 16

/* Of one name, a module goes before a script. */
static const char *const agent_endings[] = {".wasm", ".py", NULL};

char *sh_app_agent_file(const struct sh_app *app, const char *name) {
    struct sh_id id;
    if (sh_id_parse(sh_str(name), &id) < 0 || name[0] == '.') {
        return NULL;
    }
    char *folders[FOLDERS_MAX];
    size_t n = agent_folders(app, folders, FOLDERS_MAX);
    char *found = NULL;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; !found && agent_endings[k]; k++) {
            char *path = sh_asprintf("%s/%s%s", folders[i], name, agent_endings[k]);
            if (access(path, R_OK) == 0) {
                found = sh_take(&path);
            }
            sh_free(path);
        }
        sh_free(folders[i]);
    }
    return found;
}

static bool is_registered(const json_t *modules, const char *name, const struct sh_hash *hash) {
    char hex[SH_HASH_HEX_BYTES];
    sh_hash_hex(hash, hex);
    size_t i;
    json_t *module;
    json_array_foreach(modules, i, module) {
        if (sh_str_eqz(sh_json_get_str(module, "name"), name) &&
            sh_str_eqz(sh_json_get_str(module, "hash"), hex)) {
            return true;
        }
    }
    return false;
}

int sh_app_manifest(const char *agent_path, json_t **ret, struct sh_err *err) {
    const char *slash = strrchr(agent_path, '/');
    const char *dot = strrchr(slash ? slash : agent_path, '.');
    int stem = dot ? (int)(dot - agent_path) : (int)strlen(agent_path);
    sh_auto(sh_free_p) char *json = sh_asprintf("%.*s.json", stem, agent_path);
    sh_auto(sh_free_p) char *toml = sh_asprintf("%.*s.toml", stem, agent_path);
    const char *path = access(json, F_OK) == 0 ? json : toml;

    if (access(path, F_OK) < 0) {
        return 0;
    }
    sh_auto(sh_json_done) json_t *document = NULL;
    int rc = sh_document_read(path, &document, err);
    if (rc == 0) {
        *ret = json_incref(json_object_get(document, "capabilities"));
    }
    return rc;
}

static int register_file(struct sh_app *app, const char *path, const char *name,
                         const json_t *modules, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    int rc = sh_input_read(path, SH_MODULE_BYTES_MAX, &bytes, err);
    struct sh_hash hash;
    sh_sha256(bytes.p, bytes.len, &hash);
    if (rc < 0 || is_registered(modules, name, &hash)) {
        return rc;
    }
    sh_auto(sh_json_done) json_t *manifest = NULL;
    rc = sh_app_manifest(path, &manifest, err);
    if (rc < 0) {
        return rc;
    }
    struct sh_wait w = {.app = app};
    sh_engine_module_add(app->engine, sh_buf_str(&bytes), name, manifest, sh_wait_json, &w);
    rc = sh_wait_run(&w, err);
    json_decref(w.value);
    return rc;
}

static void register_folder(struct sh_app *app, const char *folder, const json_t *modules) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry = dir ? readdir(dir) : NULL; entry; entry = readdir(dir)) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || dot == entry->d_name ||
            (strcmp(dot, ".wasm") != 0 && strcmp(dot, ".py") != 0)) {
            continue;
        }
        sh_auto(sh_free_p) char *name = sh_strndup0(entry->d_name, (size_t)(dot - entry->d_name));
        sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, entry->d_name);
        /* An earlier folder's file of that name wins. */
        sh_auto(sh_free_p) char *first = sh_app_agent_file(app, name);
        struct sh_err err = {0};
        if (first && strcmp(first, path) == 0 &&
            register_file(app, path, name, modules, &err) < 0) {
            sh_log(SH_LOG_WARN, "agent_not_registered", "file=%s error=\"%s\"", path, err.message);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

int sh_app_register_agents(struct sh_app *app, struct sh_err *err) {
    struct sh_wait w = {.app = app};
    sh_engine_module_list(app->engine, sh_wait_json, &w);
    int rc = sh_wait_run(&w, err);
    char *folders[FOLDERS_MAX];
    size_t n = rc < 0 ? 0 : agent_folders(app, folders, FOLDERS_MAX);
    for (size_t i = 0; i < n; i++) {
        register_folder(app, folders[i], w.value);
        sh_free(folders[i]);
    }
    json_decref(w.value);
    return rc;
}
