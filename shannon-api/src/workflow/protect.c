#include "workflow/protect.h"

#include "files.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { PATHS_MAX = 16 };

struct list {
    char **paths;
    size_t n;
};

/* `path` may be relative to `base`, and that to the current folder. */
static void add(struct list *l, const char *base, const char *path) {
    char cwd[PATH_MAX];

    if (!path || !*path || !getcwd(cwd, sizeof(cwd))) {
        return;
    }
    SH_ASSERT(l->n < PATHS_MAX);
    sh_auto(sh_free_p) char *from = sh_path_join(cwd, base ? base : ".");
    sh_auto(sh_free_p) char *whole = sh_path_join(from, path);
    char *real = sh_path_real(whole);
    l->paths[l->n++] = real ? real : sh_take(&whole);
}

static void add_folder_of(struct list *l, const char *file) {
    const char *slash = file ? strrchr(file, '/') : NULL;

    if (slash > file) {
        sh_auto(sh_free_p) char *folder = sh_strndup0(file, (size_t)(slash - file));
        add(l, NULL, folder);
    }
}

static void add_program(struct list *l) {
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    sh_auto(sh_free_p) char *shipped = sh_share_path("python.wasm");

    if (n > 0) {
        exe[n] = 0;
        add_folder_of(l, exe);
    }
    add_folder_of(l, shipped);
    add(l, NULL, getenv("SHANNON_PYTHON_WASM"));
}

/* Where scripts/native-build keeps what becomes part of the program. */
static void add_build_cache(struct list *l) {
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");

    add(l, NULL, getenv("SHANNON_NATIVE_CACHE"));
    if (xdg && xdg[0] == '/') {
        add(l, xdg, "shannon");
    } else if (home && home[0] == '/') {
        add(l, home, ".cache/shannon");
    }
}

char **sh_protected_paths(const struct sh_app *app) {
    struct list l = {.paths = sh_new_array(char *, PATHS_MAX + 1)};
    sh_auto(sh_free_p) char *usual = sh_datadir_default(NULL, NULL);
    struct sh_str store = sh_str(app->config.store_endpoint), rocksdb = SH_STR("rocksdb:");
    const char *data = app->dir.path;

    add(&l, NULL, app->root);
    add(&l, NULL, data);
    add(&l, NULL, usual);
    if (!app->ephemeral && sh_str_starts(store, rocksdb)) {
        add(&l, data, store.p + rocksdb.len);
    }
    add(&l, NULL, app->config.file);
    add(&l, data, app->config.policy_file);
    add(&l, NULL, app->options.policy_file);
    add(&l, NULL, app->config.llm_api_key_file);
    add_program(&l);
    add_build_cache(&l);
    return l.paths;
}

char **sh_protected_paths_free(char **paths) {
    for (size_t i = 0; paths && paths[i]; i++) {
        sh_free(paths[i]);
    }
    return sh_free(paths);
}
