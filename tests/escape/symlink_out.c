/* Symbolic links out of the directory, found there and made here; wazero issue 2321, uvwasi issues
 * 271 and 299, CVE-2024-38358 (Wasmer). */
#include "escape.h"

/* What the runner has put into both directories. */
static const char *const found[] = {"link_out",      "link_file",     "link_abs",  "link_abs_file",
                                    "link_proc",     "link_proc_fd",  "link_root", "link_up",
                                    "link_dangling", "dir/link_deep", "chain_1"};
static const char *const below[] = {"",           "/",   "/secret",         "/dir/file",
                                    "/.",         "/..", "/outside/secret", "/self/environ",
                                    "/etc/passwd"};

static void try(int dir, const char *path) {
    __wasi_filestat_t st;

    open_refused("open", dir, FOLLOW, path, 0, READ_RIGHT);
    open_refused("open to write", dir, FOLLOW, path, 0, WRITE_RIGHT);
    open_refused("open a directory", dir, FOLLOW, path, __WASI_OFLAGS_DIRECTORY, 0);
    open_refused("create", dir, FOLLOW, path, __WASI_OFLAGS_CREAT, READ_RIGHT | WRITE_RIGHT);
    open_refused("truncate", dir, FOLLOW, path, __WASI_OFLAGS_TRUNC, WRITE_RIGHT);
    refused("stat through", __wasi_path_filestat_get(dir, FOLLOW, path, &st));
    refused("times through", __wasi_path_filestat_set_times(dir, FOLLOW, path, 0, 0, 5));
    refused("hard link to what it names", __wasi_path_link(dir, FOLLOW, path, RW, "stolen"));
}

static void try_below(int dir, const char *link) {
    char path[128];

    for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
        (void)snprintf(path, sizeof(path), "%s%s", link, below[i]);
        try(dir, path);
        if (i > 1) { /* within it, nothing is made or removed either */
            refused("unlink", __wasi_path_unlink_file(dir, path));
            refused("mkdir", __wasi_path_create_directory(dir, path));
            refused("rmdir", __wasi_path_remove_directory(dir, path));
            refused("rename out", __wasi_path_rename(RW, "file", dir, path));
            refused("rename in", __wasi_path_rename(dir, path, RW, "stolen"));
            refused("symlink", __wasi_path_symlink("x", dir, path));
        }
    }
}

int main(void) {
    static const char *const targets[] = {"../outside",
                                          "../outside/secret",
                                          "dir/../../outside",
                                          "..",
                                          "../../../../../../../../etc",
                                          "./../outside",
                                          "link_up/outside",
                                          "dir/inner/../../../outside"};
    char name[32];

    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++) {
        try_below(RW, found[i]);
        try_below(RO, found[i]);
    }
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        (void)snprintf(name, sizeof(name), "made_%zu", i);
        if (__wasi_path_symlink(targets[i], RW, name) == 0) {
            try_below(RW, name);
            (void)__wasi_path_unlink_file(RW, name);
        }
        if (__wasi_path_symlink(targets[i], ROOT, name) == 0) {
            try(ROOT, name);
            (void)__wasi_path_unlink_file(ROOT, name);
        }
    }
    /* A link to its own directory earns no level that a `..` could then spend. */
    expect("a link to where it stands", __wasi_path_symlink(".", RW, "here"), 0);
    try(RW, "here/../outside/secret");
    try(RW, "here/here/here/../outside/secret");
    try(RW, "dir/../here/..");
    (void)__wasi_path_unlink_file(RW, "here");
    return end();
}
