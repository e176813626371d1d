/* Exit statuses and signals that pretend to be the host's, raised and returned in odd ways. */
#include "escape.h"

#include <stdlib.h>

__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_raise"))) int32_t
proc_raise(int32_t signal);

int main(int argc, char **argv) {
    int n = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0;

    puts("contained");
    (void)fflush(stdout);
    if (argc > 1 && strcmp(argv[1], "raise") == 0) {
        (void)proc_raise(n);
        return 9;
    }
    __wasi_proc_exit((uint32_t)n);
}
