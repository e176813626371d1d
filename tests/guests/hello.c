/* Shows what a program is given: arguments, environment, standard input; exits with the status that
 * an argument `exit=N` names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv) {
    char chunk[4096];
    int status = 0;
    size_t n;

    printf("hello\n");
    for (int i = 0; i < argc; i++) {
        printf("argv[%d]=%s\n", i, argv[i]);
        if (strncmp(argv[i], "exit=", 5) == 0) {
            status = (int)strtol(argv[i] + 5, NULL, 10);
        }
    }
    for (char **e = environ; *e; e++) {
        printf("env %s\n", *e);
    }
    fflush(stdout);
    while ((n = fread(chunk, 1, sizeof(chunk), stdin)) > 0) {
        fwrite(chunk, 1, n, stdout);
    }
    fprintf(stderr, "done\n");
    return status;
}
