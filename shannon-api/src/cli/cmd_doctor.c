/* shannon doctor: look at everything that a first run needs, and say what to do about what is
 * amiss. */
#include "base/sign.h"
#include "cli/cli.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FREE_BYTES_LEAST (256 * SH_MIB)

struct findings {
    json_t *list;
    bool bad;
};

/* needed false: worth knowing, but not a failure. */
static void find(struct findings *f, const char *name, bool ok, bool needed, char *text) {
    const char *state = ok ? "ok" : needed ? "problem" : "note";
    json_array_append_new(f->list, json_pack("{s:s, s:s, s:o}", "check", name, "state", state,
                                             "text", sh_json_string(sh_str(text))));
    f->bad = f->bad || (!ok && needed);
    sh_free(text);
}

static void check_kernel(struct findings *f) {
    struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_BENEATH};
    long fd = syscall(SYS_openat2, AT_FDCWD, ".", &how, sizeof(how));
    bool ok = fd >= 0;
    if (ok) {
        close((int)fd);
    }
    find(f, "kernel", ok, true,
         ok ? sh_strdup("openat2 works")
            : sh_asprintf("openat2: %s; Linux 5.6 or newer is needed, and a container must let it "
                          "through",
                          strerror(errno)));
}

static void check_key(struct findings *f, const struct sh_datadir *dir) {
    struct sh_sign_key key = {0};
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *path = sh_path_join(dir->path, "signing-key");
    char hex[SH_SIGN_KEY_HEX_BYTES];
    int rc = sh_sign_key_load(path, false, &key, &err);
    if (rc == 0) {
        sh_sign_key_hex(key.public, hex);
    }
    find(f, "signing key", rc == 0, rc != 0 && rc != -SH_E_NOT_FOUND,
         sh_strdup(rc == 0 ? hex : err.message));
    sh_sign_key_done(&key);
}

static bool check_data(struct findings *f, const struct sh_common *common, struct sh_datadir *dir) {
    struct sh_err err = {0};
    sh_auto(sh_free_p) char *path = sh_datadir_default(common->data_dir, &err);
    if (!path || sh_datadir_open(path, true, dir, &err) < 0) {
        find(f, "data directory", false, true, sh_strdup(err.message));
        return false;
    }
    find(f, "data directory", true, true, sh_strdup(dir->path));
    struct statvfs vfs;
    if (fstatvfs(dir->dir_fd, &vfs) == 0) {
        unsigned long long space = (unsigned long long)vfs.f_bavail * vfs.f_frsize;
        bool ok = space >= FREE_BYTES_LEAST;
        find(f, "disk", ok, true,
             sh_asprintf("%llu MiB free%s", space / SH_MIB,
                         ok ? "" : "; at least 256 MiB are needed, make room or move --data-dir"));
    }
    bool free_dir = sh_datadir_lock(dir, &err) == 0;
    check_key(f, dir);
    find(f, "owner", true, true,
         free_dir ? sh_strdup("nobody uses the data directory") : sh_strdup(err.message));
    return true;
}

struct probe {
    struct sh_wait wait;
    int status;
};

static void probed(void *arg, int status, struct sh_str body, uint64_t retry_after_ms,
                   const struct sh_err *err) {
    struct probe *p = arg;
    (void)body;
    (void)retry_after_ms;
    p->status = status;
    sh_wait_json(&p->wait, NULL, err);
}

static void check_llm(struct findings *f, const struct sh_config *c) {
    struct sh_app app = {.dir = SH_DATADIR_CLOSED};
    struct sh_err err = {0};
    struct probe probe = {.wait.app = &app};
    struct sh_http *http = NULL;
    const char *const headers[] = {"Accept: application/json", NULL};
    const char *base = c->llm_base_url ? c->llm_base_url : sh_tools_llm_url(c->llm_provider);
    base = base ? base : ""; /* an unknown provider, which the start refuses by name */
    sh_auto(sh_free_p) char *url = sh_asprintf("%s/models", base);
    struct sh_http_request request = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .max_response_bytes = SH_MIB,
        .timeout_ms = 2000,
        .connect_timeout_ms = 2000,
        .done = probed,
        .arg = &probe,
    };
    if (sh_loop_new(&app.loop, &err) == 0 && sh_http_start(app.loop, &request, &http, &err) == 0) {
        sh_wait_run(&probe.wait, &err);
    }
    app.loop = app.loop ? sh_loop_free(app.loop) : NULL;
    bool answers = probe.status > 0;
    find(f, "llm", answers, false,
         answers
             ? sh_asprintf("%s answers (status %d), model %s", base, probe.status, c->llm_model)
             : sh_asprintf("%s does not answer (%s); start it, or set base_url and model in [llm] "
                           "of shannon.toml",
                           base, err.message));
    const char *name = sh_config_llm_key_env(c);
    find(f, "llm key", true, false,
         name[0] && getenv(name) ? sh_asprintf("%s is set", name)
                                 : sh_asprintf("%s is not set; local servers need none", name));
}

static void check_shipped(struct findings *f) {
    const char *env = getenv("SHANNON_PYTHON_WASM");
    sh_auto(sh_free_p) char *python = env ? sh_strdup(env) : sh_share_path("python.wasm");
    bool ok = python && access(python, R_OK) == 0;
    find(f, "python", ok, false,
         ok ? sh_strdup(python)
            : sh_strdup(
                  "no python.wasm beside the program: Python scripts cannot run; `make` fetches "
                  "it, or set SHANNON_PYTHON_WASM"));
    sh_auto(sh_free_p) char *image = env ? NULL : sh_share_path("python-image.wasm");
    find(f, "python image", image || env, false,
         sh_strdup(image ? image
                   : env ? "none is used beside $SHANNON_PYTHON_WASM"
                         : "no python-image.wasm beside the program: scripts run, but each starts "
                           "the interpreter anew; `make` makes it"));
    sh_auto(sh_free_p) char *agents = sh_share_path("agents");
    find(f, "agents", agents != NULL, false,
         agents ? sh_strdup(agents) : sh_strdup("no agents beside the program"));
}

static void print(const struct findings *f, bool as_json) {
    if (as_json) {
        json_t *view = json_pack("{s:b, s:O}", "ok", !f->bad, "checks", f->list);
        sh_cli_print_json(view);
        json_decref(view);
        return;
    }
    size_t i;
    json_t *item;
    json_array_foreach(f->list, i, item) {
        printf("%-8s %-15s ", json_string_value(json_object_get(item, "state")),
               json_string_value(json_object_get(item, "check")));
        sh_cli_print_text(stdout, sh_json_get_str(item, "text"), 0);
        putchar('\n');
    }
}

int sh_cmd_doctor(int argc, char *const argv[]) {
    struct sh_common common = {0};
    int rc = sh_cli_parse(&common, "doctor", NULL, 0, 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    struct findings f = {.list = json_array()};
    struct sh_datadir dir = SH_DATADIR_CLOSED;
    struct sh_config config = {0};
    struct sh_err err = {0};
    check_kernel(&f);
    check_data(&f, &common, &dir);
    if (sh_app_config(&config, common.config, dir.path, &err) < 0) {
        find(&f, "configuration", false, true, sh_strdup(err.message));
    } else {
        find(&f, "configuration", true, true, sh_strdup("readable, every key is known"));
        check_llm(&f, &config);
    }
    check_shipped(&f);
    print(&f, common.json);
    json_decref(f.list);
    sh_config_done(&config);
    sh_datadir_close(&dir);
    sh_values_done(&common.operands);
    return sh_cli_end(f.bad ? SH_EXIT_OWN : 0);
}
