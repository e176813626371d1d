/* Side doors to the host's environment: variables, arguments, user, host name, working directory,
 * processes. The runner has put a secret into the environment of the program. */
#include "escape.h"

#include <stdlib.h>
#include <unistd.h>

extern char **environ;

int main(int argc, char **argv) {
    char cwd[256];
    int n = 0;

    for (char **e = environ; e && *e; e++) {
        printf("env %s\n", *e);
        n++;
    }
    expect("variables", n, 1);
    holds("the one that was given", getenv("GIVEN") && strcmp(getenv("GIVEN"), "x\ty") == 0);
    holds("PATH", !getenv("PATH") && !getenv("HOME") && !getenv("ESCAPE_SECRET"));
    expect("arguments", argc, 4);
    holds("an argument is one argument", argc == 4 && strcmp(argv[1], "a b\nc") == 0 &&
                                             strcmp(argv[2], "--dir") == 0 &&
                                             strcmp(argv[3], "/::/host") == 0);
    holds("argv[0] is no path of the host", argc > 0 && argv[0][0] != '/');
    holds("the working directory is the root", getcwd(cwd, sizeof(cwd)) && strcmp(cwd, "/") == 0);
    holds("/etc/passwd", access("/etc/passwd", F_OK) != 0);
    holds("/etc/hostname", access("/etc/hostname", F_OK) != 0);
    return end();
}
