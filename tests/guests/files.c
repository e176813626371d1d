/* Writes and reads its workspace, lists it, and reads what is mapped at /notes. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void show(const char *path) {
    char text[256];
    FILE *f = fopen(path, "r");

    if (!f) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    size_t n = fread(text, 1, sizeof(text) - 1, f);
    text[n] = '\0';
    printf("%s: %s\n", path, text);
    fclose(f);
}

static void list(const char *path) {
    DIR *d = opendir(path);
    struct dirent *e;

    if (!d) {
        printf("%s: %s\n", path, strerror(errno));
        return;
    }
    while ((e = readdir(d))) {
        printf("%s/ %s\n", path, e->d_name);
    }
    closedir(d);
}

static void save(const char *path, const char *text) {
    FILE *f = fopen(path, "w");

    if (!f) {
        printf("write %s: %s\n", path, strerror(errno));
        return;
    }
    fputs(text, f);
    if (fclose(f) != 0) {
        printf("write %s: %s\n", path, strerror(errno));
    }
}

int main(void) {
    if (mkdir("/d", 0700) < 0) {
        printf("mkdir: %s\n", strerror(errno));
    }
    save("/d/a.txt", "written by the agent");
    show("/d/a.txt");
    show("/work/d/a.txt");
    if (rename("/d/a.txt", "/d/b.txt") < 0) {
        printf("rename: %s\n", strerror(errno));
    }
    list("/d");
    list("/notes");
    show("/notes/note.txt");
    save("/notes/new.txt", "may be refused");
    show("/etc/passwd");
    show("/notes/../../etc/passwd");
    return 0;
}
