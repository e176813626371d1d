/* Opens mapped files, sleeps, and only then reads them: what it prints is what they were when they
 * were opened. Appends to a log, too, before and after. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show(FILE *f) {
    char text[4096];
    unsigned long sum = 0, len = 0;
    size_t n;

    while (f && (n = fread(text, 1, sizeof(text), f)) > 0) {
        for (size_t i = 0; i < n; i++) {
            sum = sum * 31 + (unsigned char)text[i];
        }
        len += n;
    }
    printf("%lu bytes, sum %lu\n", len, sum);
}

static void note(const char *line) {
    FILE *f = fopen("/notes/log", "a");

    if (f) {
        fputs(line, f);
        fclose(f);
    }
}

int main(void) {
    FILE *small = fopen("/notes/small", "r"), *large = fopen("/notes/large", "r");

    note("before\n");
    sleep(3);
    show(small);
    show(large);
    note("after\n");
    return 0;
}
