/* CVE-2024-38358 (Wasmer): O_CREAT with the right to write followed a link out of the directory,
 * and opening a link that the guest had made itself brought the runtime down. */
#include "escape.h"

int main(void) {
    static const int flags[] = {__WASI_OFLAGS_CREAT, __WASI_OFLAGS_CREAT | __WASI_OFLAGS_TRUNC,
                                __WASI_OFLAGS_CREAT | __WASI_OFLAGS_EXCL};
    static const char *const links[] = {"link_file", "link_dangling", "link_abs_file", "own",
                                        "own_dangling"};

    refused("an absolute target", __wasi_path_symlink("/tmp/x", RW, "absolute"));
    (void)__wasi_path_symlink("../outside/secret", RW, "own");
    (void)__wasi_path_symlink("../outside/planted", RW, "own_dangling");
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        for (size_t f = 0; f < sizeof(flags) / sizeof(flags[0]); f++) {
            for (int lookup = 0; lookup <= FOLLOW; lookup++) {
                open_refused("create through a link", RW, lookup, links[i], flags[f],
                             READ_RIGHT | WRITE_RIGHT);
                open_refused("with all rights", RW, lookup, links[i], flags[f], ALL_RIGHTS);
                open_refused("with no rights", RW, lookup, links[i], flags[f], 0);
            }
        }
    }
    (void)__wasi_path_unlink_file(RW, "own");
    (void)__wasi_path_unlink_file(RW, "own_dangling");
    return end();
}
