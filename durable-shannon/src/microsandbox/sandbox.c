/* The process's one sandbox: engine, host functions, limits that all agents share. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microsandbox/files.h"
#include "microsandbox/lines.h"
#include "microsandbox/runtime.h"

/* The artifacts are native code that we will run: nobody else may have a hand in their folder. */
static int aot_open(struct sh_sandbox *s, const char *path, struct sh_err *err) {
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot create the folder %s", path);
    }
    s->aot_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->aot_fd < 0 || fstat(s->aot_fd, &st) != 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot open the folder %s", path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077)) {
        return sh_fail(err, SH_E_DENIED,
                       "%s has mode %04o and owner %u; compiled code is kept only in a folder of "
                       "mode 0700 that belongs to user %u: chmod 0700 it, or name another",
                       path, (unsigned)(st.st_mode & 07777), (unsigned)st.st_uid,
                       (unsigned)geteuid());
    }
    s->aot_dir = sh_strdup(path);
    return 0;
}

static char **paths_copy(const char *const *paths) {
    size_t n = 0;
    char **copy;

    while (paths && paths[n]) {
        n++;
    }
    copy = n ? sh_new_array(char *, n + 1) : NULL;
    for (size_t i = 0; i < n; i++) {
        copy[i] = sh_strdup(paths[i]);
    }
    return copy;
}

int sh_sandbox_new(const struct sh_sandbox_config *config, struct sh_sandbox **ret,
                   struct sh_err *err) {
    struct sh_sandbox *s = sh_new(struct sh_sandbox);
    int r = 0;

    s->aot_fd = -1;
    s->slice_fuel = config->slice_fuel ? config->slice_fuel : SH_SLICE_FUEL;
    s->agents_max = config->agents_max ? config->agents_max : SH_AGENTS_DEFAULT;
    s->host_calls_per_s = config->host_calls_per_s ? config->host_calls_per_s : SH_HOST_CALLS_PER_S;
    s->worker = config->worker ? sh_strdup(config->worker) : NULL;
    s->protected_paths = paths_copy(config->protected_paths);
    s->files = sh_files_new(config->file_stuck_ms);
    s->lines = sh_lines_pool_new();
    (void)pthread_mutex_init(&s->lock, NULL);
    sh_compile_queue_init(&s->compiling);
    sh_list_init(&s->modules);
    if (s->agents_max > SH_AGENTS_DEFAULT * 4) {
        r = sh_fail(err, SH_E_LIMIT, "agents_max is %u, at most %u fit the address space",
                    s->agents_max, SH_AGENTS_DEFAULT * 4U);
    }
    if (r == 0 && config->aot_dir) {
        r = aot_open(s, config->aot_dir, err);
    }
    if (r == 0) {
        s->engine = sh_runtime_engine(s->agents_max, err);
        r = s->engine ? 0 : -(err ? err->code : SH_E_INTERNAL);
    }
    if (r == 0) {
        s->linker = wasmtime_linker_new(s->engine);
        r = sh_hostcalls_define(s, err);
    }
    if (r < 0) {
        (void)sh_sandbox_free(s);
        return r;
    }
    *ret = s;
    return 0;
}

struct sh_sandbox *sh_sandbox_free(struct sh_sandbox *s) {
    if (!s) {
        return NULL;
    }
    SH_ASSERT(sh_list_empty(&s->modules) && atomic_load(&s->agents) == 0);
    s->lines = sh_lines_pool_free(s->lines);
    if (s->linker) {
        wasmtime_linker_delete(s->linker);
    }
    if (s->engine) {
        wasm_engine_delete(s->engine);
    }
    if (s->aot_fd >= 0) {
        (void)close(s->aot_fd);
    }
    for (size_t i = 0; s->protected_paths && s->protected_paths[i]; i++) {
        sh_free(s->protected_paths[i]);
    }
    sh_free(s->protected_paths);
    sh_files_free(s->files);
    sh_free(s->functions);
    sh_free(s->aot_dir);
    sh_free(s->worker);
    (void)pthread_mutex_destroy(&s->lock);
    sh_compile_queue_done(&s->compiling);
    return sh_free(s);
}

const char *sh_sandbox_runtime(const struct sh_sandbox *s) {
    (void)s;
    return sh_runtime_name();
}
