/* One runtime: a thread that opens store, sandbox, tools and engine in this order, runs the loop,
 * and closes them in the reverse. Calls come as messages. */
#include "library/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STORE_NAME "db"

int durable_error_set(struct durable_error *error, const struct sh_err *err) {
    if (error) {
        *error = (struct durable_error){.retryable = sh_code_info(err->code)->retryable};
        snprintf(error->code, sizeof(error->code), "%s", sh_code_info(err->code)->name);
        snprintf(error->message, sizeof(error->message), "%s", err->message);
    }
    return -1;
}

/* ---- calls ---- */

static void call_begin(struct sh_msg *msg) {
    struct durable_call *c = sh_container_of(msg, struct durable_call, msg);
    struct sh_err err = {0};

    c->d->n_calls++;
    if (c->d->stopping) {
        sh_fail(&err, SH_E_UNAVAILABLE, "the library is being closed");
        durable_call_end(c, NULL, &err);
    } else {
        c->start(c);
    }
}

void durable_call_end(struct durable_call *c, json_t *value, const struct sh_err *err) {
    struct durable *d = c->d;

    d->n_calls--;
    if (d->stopping && d->n_calls == 0) {
        sh_loop_stop(d->loop);
    }
    pthread_mutex_lock(&c->mutex);
    /* the value leaves this thread, so it may share nothing with those that stay */
    c->value = err ? NULL : json_deep_copy(value);
    c->err = err ? *err : (struct sh_err){0};
    c->done = true;
    pthread_cond_signal(&c->ended);
    pthread_mutex_unlock(&c->mutex);
}

void durable_call_json(void *arg, json_t *value, const struct sh_err *err) {
    durable_call_end(arg, value, err);
}

int durable_call_run(struct durable *d, struct durable_call *c, struct durable_error *error) {
    if (pthread_equal(d->thread, pthread_self())) {
        struct sh_err err = {0};
        sh_fail(&err, SH_E_STATE, "a callback cannot call the library: it would wait for itself");
        return durable_error_set(error, &err);
    }
    c->d = d;
    c->msg.run = call_begin;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_cond_init(&c->ended, NULL);
    sh_loop_post(d->loop, &c->msg);
    pthread_mutex_lock(&c->mutex);
    while (!c->done) {
        pthread_cond_wait(&c->ended, &c->mutex);
    }
    pthread_mutex_unlock(&c->mutex);
    pthread_mutex_destroy(&c->mutex);
    pthread_cond_destroy(&c->ended);
    return c->err.code ? durable_error_set(error, &c->err) : 0;
}

/* ---- opening and closing, on the thread ---- */

struct step {
    struct durable *d;
    bool done;
    struct sh_err err;
};

static void on_step(void *arg, const struct sh_err *err) {
    struct step *s = arg;

    s->done = true;
    s->err = err ? *err : (struct sh_err){0};
    sh_loop_stop(s->d->loop);
}

static void on_gone(void *arg) {
    on_step(arg, NULL);
}

static int step_run(struct step *s, struct sh_err *err) {
    while (!s->done) {
        sh_loop_run(s->d->loop);
    }
    *err = s->err;
    return -s->err.code;
}

static void on_fatal(void *arg, const struct sh_err *err) {
    struct durable *d = arg;
    struct durable_error error;

    durable_error_set(&error, err);
    if (d->options.on_fatal) {
        d->options.on_fatal(d->options.arg, &error);
    }
}

static int open_store(struct durable *d, struct sh_err *err) {
    struct step s = {.d = d};
    sh_auto(sh_free_p) char *endpoint =
        d->options.ephemeral ? sh_strdup("twin")
                             : sh_asprintf("rocksdb:%s/" STORE_NAME, d->options.data_dir);
    int rc = sh_store_open(d->loop, endpoint, NULL, on_step, &s, &d->store, err);

    return rc < 0 ? rc : step_run(&s, err);
}

static int open_sandbox(struct durable *d, struct sh_err *err) {
    sh_auto(sh_free_p) char *aot = sh_asprintf("%s/aot", d->options.data_dir);
    const char *kept[] = {d->options.data_dir, NULL};
    struct sh_sandbox_config config = {
        .aot_dir = aot, .worker = d->options.compiler, .protected_paths = kept};

    return sh_sandbox_new(&config, &d->sandbox, err);
}

static int open_policy(struct durable *d, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *doc = NULL;
    const char *home = getenv("HOME");

    if (d->options.policy &&
        sh_json_parse(sh_str(d->options.policy), SH_JSON_TEXT_MAX, &doc, err) < 0) {
        return -err->code;
    }
    return sh_policy_parse(doc, home && home[0] == '/' ? home : NULL, d->options.data_dir,
                           &d->policy, err);
}

/* As installed: shannon.py in a folder beside the interpreter, or what the interpreter made of it.
 * NULL where neither is there. */
static char *python_module(const char *python) {
    static const char *const names[] = {"shannon.pyc", "shannon.py"};
    const char *slash = python ? strrchr(python, '/') : NULL;

    for (size_t i = 0; slash && i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = sh_asprintf("%.*s/python/%s", (int)(slash - python), python, names[i]);
        if (access(path, R_OK) == 0) {
            return path;
        }
        sh_free(path);
    }
    return NULL;
}

static int open_engine(struct durable *d, struct sh_err *err) {
    struct step s = {.d = d};
    sh_auto(sh_free_p) char *module = python_module(d->options.python);
    struct sh_engine_config config = {.loop = d->loop,
                                      .store = d->store,
                                      .sandbox = d->sandbox,
                                      .tools = d->tools,
                                      .policy = d->policy,
                                      .data_dir = d->options.data_dir,
                                      .executors = d->options.executors,
                                      .observe = !d->options.ephemeral,
                                      .python = d->options.python,
                                      .python_module = module,
                                      .attended = d->options.attended,
                                      .watch_disk = !d->options.ephemeral,
                                      .fatal = on_fatal,
                                      .fatal_arg = d};
    int rc = sh_engine_start(&config, on_step, &s, &d->engine, err);

    return rc < 0 ? rc : step_run(&s, err);
}

static int open_all(struct durable *d, struct sh_err *err) {
    struct sh_tools_config tools = {.llm_base_url = d->options.llm_base_url,
                                    .llm_model = d->options.llm_model,
                                    .llm_provider = d->options.llm_provider,
                                    .llm_api_key_env = d->options.llm_api_key_env};
    int rc = sh_loop_new(&d->loop, err);

    rc = rc < 0 ? rc : open_store(d, err);
    rc = rc < 0 ? rc : open_sandbox(d, err);
    rc = rc < 0 ? rc : sh_tools_new(d->loop, &tools, &d->tools, err);
    rc = rc < 0 ? rc : open_policy(d, err);
    return rc < 0 ? rc : open_engine(d, err);
}

static void close_all(struct durable *d) {
    struct sh_err ignored;

    if (d->engine) {
        struct step s = {.d = d};
        sh_engine_stop(d->engine, on_gone, &s);
        step_run(&s, &ignored);
    }
    if (d->store) {
        struct step s = {.d = d};
        sh_store_close(d->store, on_gone, &s);
        step_run(&s, &ignored);
    }
    d->tools = d->tools ? sh_tools_free(d->tools) : NULL;
    d->sandbox = d->sandbox ? sh_sandbox_free(d->sandbox) : NULL;
    d->policy = d->policy ? sh_policy_free(d->policy) : NULL;
    d->loop = d->loop ? sh_loop_free(d->loop) : NULL;
}

static void *run(void *arg) {
    struct durable *d = arg;
    struct sh_err err = {0};
    int rc = open_all(d, &err);

    if (rc < 0) {
        close_all(d);
    }
    pthread_mutex_lock(&d->mutex);
    d->failure = err;
    d->is_open = true;
    pthread_cond_signal(&d->opened);
    pthread_mutex_unlock(&d->mutex);
    if (rc == 0) {
        while (!d->stopping || d->n_calls > 0) {
            sh_loop_run(d->loop);
        }
        close_all(d);
    }
    return NULL;
}

/* ---- opening and closing, from outside ---- */

static char *copy(const char *text) {
    return text ? sh_strdup(text) : NULL;
}

/* Where the library itself is, lib/ or lib/TRIPLET/: the program is installed with it. */
static char *beside_library(const char *name) {
    static const char marker = 0;
    Dl_info info;
    const char *slash;
    char *path;

    if (!dladdr(&marker, &info) || !info.dli_fname || !(slash = strrchr(info.dli_fname, '/'))) {
        return NULL;
    }
    path = sh_asprintf("%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname, name);
    return access(path, X_OK) == 0 ? path : sh_free(path);
}

/* The program that compiles: named, beside the library's prefix, or in PATH. */
static char *find_compiler(const char *named) {
    const char *path = getenv("PATH");
    char *found;

    if (named) {
        return sh_strdup(named);
    }
    if ((found = beside_library("../bin/shannon")) ||
        (found = beside_library("../../bin/shannon"))) {
        return found;
    }
    while (path && *path) {
        size_t n = strcspn(path, ":");
        sh_auto(sh_free_p) char *candidate = sh_asprintf("%.*s/shannon", (int)n, path);
        if (n > 0 && access(candidate, X_OK) == 0) {
            return sh_take(&candidate);
        }
        path += n + (path[n] == ':');
    }
    return NULL;
}

static void durable_done(struct durable *d) {
    const char *const texts[] = {d->options.data_dir,     d->options.compiler,
                                 d->options.python,       d->options.policy,
                                 d->options.llm_base_url, d->options.llm_model,
                                 d->options.llm_provider, d->options.llm_api_key_env};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *text;
        memcpy(&text, &texts[i], sizeof(text)); /* ours: durable_new copied them */
        sh_free(text);
    }
    sh_close_p(&d->lock_fd);
    pthread_mutex_destroy(&d->mutex);
    pthread_cond_destroy(&d->opened);
    sh_free(d);
}

static struct durable *durable_new(const struct durable_options *o) {
    struct durable *d = sh_new(struct durable);

    d->options = *o;
    d->options.data_dir = copy(o->data_dir);
    d->options.compiler = find_compiler(o->compiler);
    d->options.python = copy(o->python);
    d->options.policy = copy(o->policy);
    d->options.llm_base_url = copy(o->llm_base_url);
    d->options.llm_model = copy(o->llm_model);
    d->options.llm_provider = copy(o->llm_provider);
    d->options.llm_api_key_env = copy(o->llm_api_key_env);
    d->lock_fd = -1;
    sh_list_init(&d->waits);
    sh_list_init(&d->follows);
    pthread_mutex_init(&d->mutex, NULL);
    pthread_cond_init(&d->opened, NULL);
    return d;
}

/* The lock that the program shannon takes, too: one process owns a data directory. */
static int take_lock(struct durable *d, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/lock", d->options.data_dir);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (mkdir(d->options.data_dir, 0700) < 0 && errno != EEXIST) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", d->options.data_dir);
    }
    d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (d->lock_fd < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot open %s", path);
    }
    if (fcntl(d->lock_fd, F_OFD_SETLK, &whole) < 0) {
        return sh_fail(err, SH_E_BUSY, "another process owns %s, or this one opened it before",
                       d->options.data_dir);
    }
    sh_ballast_make_way(d->options.data_dir);
    if (ftruncate(d->lock_fd, 0) < 0 || dprintf(d->lock_fd, "%ld\n", (long)getpid()) < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot write %s", path);
    }
    return 0;
}

/* Its threads take no SIGPIPE: a peer that closes a socket must not end the caller's program. */
static int start_thread(struct durable *d, struct sh_err *err) {
    sigset_t pipe_only, before;
    int r;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    r = pthread_create(&d->thread, NULL, run, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0) {
        return sh_fail_errno(err, SH_E_IO, r, "cannot start a thread");
    }
    pthread_mutex_lock(&d->mutex);
    while (!d->is_open) {
        pthread_cond_wait(&d->opened, &d->mutex);
    }
    pthread_mutex_unlock(&d->mutex);
    if (d->failure.code) {
        pthread_join(d->thread, NULL);
        *err = d->failure;
    }
    return -d->failure.code;
}

int durable_open(const struct durable_options *options, struct durable **ret,
                 struct durable_error *error) {
    struct durable *d;
    struct sh_err err = {0};

    if (!options || !options->data_dir || options->data_dir[0] != '/') {
        sh_fail(&err, SH_E_INVAL, "data_dir: expected an absolute path");
        return durable_error_set(error, &err);
    }
    setenv("SURREAL_KVS_THREADPOOL_SIZE", "4", 0); /* as the program: nothing asks for more */
    d = durable_new(options);
    if (take_lock(d, &err) < 0 || start_thread(d, &err) < 0) {
        durable_done(d);
        return durable_error_set(error, &err);
    }
    *ret = d;
    return 0;
}

static void stop(struct durable_call *c) {
    struct durable *d = c->d;

    d->stopping = true;
    durable_waits_end(d);
    sh_engine_updates_release(d->engine);
    durable_call_end(c, NULL, NULL);
}

void durable_close(struct durable *d) {
    struct durable_call c = {.start = stop};

    if (d && durable_call_run(d, &c, NULL) == 0) {
        pthread_join(d->thread, NULL);
        durable_done(d);
    }
}

void durable_free(char *text) {
    sh_free(text);
}

const char *durable_version(void) {
    return SHANNON_VERSION;
}
