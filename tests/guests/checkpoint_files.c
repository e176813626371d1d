/* Three lives, with files in the private directory that each finds as the one before left them. */
#include "shannon.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void save(const char *path, const char *text) {
    FILE *f = fopen(path, "a");

    if (f) {
        fputs(text, f);
        fclose(f);
    }
}

static void show(const char *path) {
    char text[100] = {0};
    struct stat st = {0};
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;

    (void)stat(path, &st);
    printf("%s: %zu \"%s\" names %d\n", path, n, text, (int)st.st_nlink);
    if (f) {
        fclose(f);
    }
}

static void list(const char *path) {
    DIR *d = opendir(path);

    for (struct dirent *e; d && (e = readdir(d));) {
        printf("%s/%s\n", path, e->d_name);
    }
    if (d) {
        closedir(d);
    }
}

int main(void) {
    struct shannon_ctx *ctx = shannon_open();
    char life[2] = {0};

    shannon_raw_checkpoint_read(life, 1);
    shannon_emit(ctx, "progress", "{\"message\":\"a life begins\"}");
    list("/");
    show("/log");
    show("/sub/other");
    show("/way");
    if (life[0] == 0) {
        mkdir("/sub", 0700);
        save("/log", "first ");
        link("/log", "/sub/other");
        symlink("sub/other", "/way");
        save("/gone", "soon");
        fflush(stdout);
        return shannon_checkpoint(ctx, "1", 1);
    }
    if (life[0] == '1') {
        save("/log", "second ");
        unlink("/gone");
        free(shannon_llm(ctx, "Between two lives: %s", shannon_query(ctx)));
        fflush(stdout);
        return shannon_checkpoint(ctx, "2", 1);
    }
    save("/log", "third");
    show("/log");
    return 0;
}
