/* A scripted server (scripted_*.py beside this) as a child process of a test. */
#ifndef SH_TEST_SCRIPTED_SERVER_H
#define SH_TEST_SCRIPTED_SERVER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Where it lies: as the tests' environment says, else from here. Not from __FILE__: what the
 * compiler was given there depends on the compiler's cache. */
static inline void scripted_path(char *out, size_t size, const char *name) {
    const char *source = getenv("SHANNON_SOURCE");
    snprintf(out, size, "%s/tests/lib/%s", source ? source : ".", name);
}

/* Starts scripted_*.py `name` with at most 8 arguments, NULL-terminated, and waits for the line in
 * which it says its port. gives its process, to be ended and waited for */
static inline pid_t scripted_start(const char *name, const char *const args[], int *ret_port) {
    char program[4096], first[32];
    char *argv[11] = {(char[]){"python3"}, program};
    int out[2];
    size_t n = 0;
    scripted_path(program, sizeof(program), name);
    for (size_t i = 0; args[i]; i++) {
        ck_assert_uint_lt(i, 8);
        argv[2 + i] = (char *)(uintptr_t)args[i]; /* execvp writes to none of them */
    }
    ck_assert_int_eq(pipe(out), 0);
    pid_t server = fork();
    ck_assert_int_ge(server, 0);
    if (server == 0) {
        dup2(out[1], STDOUT_FILENO);
        close(out[0]);
        close(out[1]);
        execvp("python3", argv);
        _exit(127);
    }
    close(out[1]);
    while (n < sizeof(first) - 1 && read(out[0], first + n, 1) == 1 && first[n] != '\n') {
        n++;
    }
    first[n] = '\0';
    close(out[0]);
    *ret_port = atoi(first);
    ck_assert_msg(*ret_port > 0, "%s did not start", name);
    return server;
}

#endif
