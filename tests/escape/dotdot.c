/* `..` in every position and through every call that takes a path; CVE-2023-51661 (Wasmer: the
 * file system of the host, by plain paths), CVE-2024-51745 (device names), zip-slip spellings. */
#include "escape.h"

static const char *const paths[] = {
    "..",
    "../",
    "../outside/secret",
    "dir/../../outside/secret",
    "dir/inner/../../../outside/secret",
    "./../outside/secret",
    "dir/./.././../outside/secret",
    "dir//..//..//outside//secret",
    "../../../../../../../../../../../../etc/passwd",
    "nothing/../../outside/secret",
    "..\\outside\\secret",
    "%2e%2e/outside/secret",
    "..%2foutside%2fsecret",
    "\xc0\xae\xc0\xae/outside/secret", /* overlong dots */
    "\xe2\x80\xa5/outside/secret",     /* two dots as one character */
    "C:\\Windows\\win.ini",
    "CON",
    "COM\xc2\xb9",
    "\\\\?\\C:\\",
    "/../outside/secret",
};

static void try(int dir, const char *path) {
    __wasi_filestat_t st;
    char buf[64];
    __wasi_size_t n;

    open_refused("open", dir, FOLLOW, path, 0, READ_RIGHT);
    open_refused("open for writing", dir, FOLLOW, path, 0, WRITE_RIGHT);
    open_refused("open a directory", dir, FOLLOW, path, __WASI_OFLAGS_DIRECTORY, READ_RIGHT);
    refused("stat", __wasi_path_filestat_get(dir, FOLLOW, path, &st));
    refused("set times", __wasi_path_filestat_set_times(dir, FOLLOW, path, 0, 0, 5));
    refused("remove", __wasi_path_unlink_file(dir, path));
    refused("remove directory", __wasi_path_remove_directory(dir, path));
    refused("read link", __wasi_path_readlink(dir, path, (uint8_t *)buf, sizeof(buf), &n));
    refused("rename from", __wasi_path_rename(dir, path, dir, "stolen"));
    refused("link from", __wasi_path_link(dir, 0, path, dir, "stolen"));
}

int main(void) {
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        try(RW, paths[i]);
        try(RO, paths[i]);
        try(DEV, paths[i]);
        if (strchr(paths[i], '.') == paths[i]) {
            try(ROOT, paths[i]);
        }
    }
    for (size_t i = 0; i < 10; i++) { /* the other way round: something of ours put there */
        refused("rename to", __wasi_path_rename(RW, "file", RW, paths[i]));
        refused("link to", __wasi_path_link(RW, 0, "file", RW, paths[i]));
        refused("symlink at", __wasi_path_symlink("file", RW, paths[i]));
        refused("mkdir", __wasi_path_create_directory(RW, paths[i]));
        open_refused("create", RW, FOLLOW, paths[i], __WASI_OFLAGS_CREAT, WRITE_RIGHT);
        open_refused("create anew", RW, 0, paths[i], __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL,
                     WRITE_RIGHT);
        open_refused("truncate", RW, FOLLOW, paths[i], __WASI_OFLAGS_TRUNC, WRITE_RIGHT);
    }
    return end();
}
