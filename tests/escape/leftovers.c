/* CVE-2022-39393, CVE-2026-34988 (Wasmtime: memory of one instance seen by the next in its place of
 * the pool). `fill WORD` leaves the word all over its memory, `look WORD` grows and looks for it.
 */
#include "escape.h"

#include <stdlib.h>

int main(int argc, char **argv) {
    enum { PAGES = 1024 };
    /* Kept apart, or the arguments would be what is found. */
    char word[16] = "";
    uint8_t *base;

    if (argc < 3) {
        return 2;
    }
    for (size_t i = 0; i < 8; i++) {
        word[i] = (char)(argv[2][i] + 1);
    }
    base = (uint8_t *)(__builtin_wasm_memory_size(0) * 65536);
    if (__builtin_wasm_memory_grow(0, PAGES) == (size_t)-1) {
        return 3;
    }
    for (size_t at = 0; at < (size_t)PAGES * 65536; at += 64) {
        if (argv[1][0] == 'f') {
            memcpy(base + at, word, 8);
        } else if (memcmp(base + at, word, 8) == 0 || base[at] != 0) {
            holds("fresh memory is zero", false);
            break;
        }
    }
    return end();
}
