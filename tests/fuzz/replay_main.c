/* Runs a fuzz target over files instead of libFuzzer: every argument is a file or a folder of
 * them, taken in sorted order. A finding that became a corpus file is thus an ordinary test. */
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/base.h"

#define CORPUS_FILE_MAX (16 * SH_MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/* A target may have one; those without get NULL here. */
int LLVMFuzzerInitialize(int *argc, char ***argv) __attribute__((weak));

static int replay_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return -1;
    }
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, CORPUS_FILE_MAX);
    char chunk[16384];
    for (size_t n = fread(chunk, 1, sizeof(chunk), f); n > 0;
         n = fread(chunk, 1, sizeof(chunk), f)) {
        sh_buf_add(&bytes, chunk, n);
    }
    bool bad = ferror(f) != 0 || bytes.failed;
    fclose(f);
    if (bad) {
        fprintf(stderr, "%s: not readable, or larger than %llu bytes\n", path, CORPUS_FILE_MAX);
        return -1;
    }
    /* An exact copy, so that a read past the end is seen by AddressSanitizer. */
    sh_auto(sh_free_p) uint8_t *exact = sh_memdup(bytes.len ? bytes.p : "", bytes.len);
    (void)LLVMFuzzerTestOneInput(exact, bytes.len);
    return 0;
}

static int replay_folder(const char *path, size_t *runs) {
    sh_auto(sh_free_p) char *pattern = sh_asprintf("%s/*", path);
    glob_t found; /* sorted; leaves out names that start with a dot */
    int rc = 0;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (replay_file(found.gl_pathv[i]) < 0) {
                rc = -1;
            }
            *runs += 1;
        }
        globfree(&found);
    }
    return rc;
}

int main(int argc, char **argv) {
    if (LLVMFuzzerInitialize) {
        (void)LLVMFuzzerInitialize(&argc, &argv);
    }
    size_t runs = 0;
    int rc = 0;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        bool folder = stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode);
        if (folder ? replay_folder(argv[i], &runs) < 0 : replay_file(argv[i]) < 0) {
            rc = 1;
        }
        runs += folder ? 0 : 1;
    }
    if (runs == 0) {
        fprintf(stderr, "no input was given: name the files or folders of a corpus\n");
        return 1;
    }
    printf("%zu inputs\n", runs);
    return rc;
}
