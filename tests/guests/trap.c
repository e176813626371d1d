/* Traps three calls deep, so that a backtrace has names to show. */
#include <stdio.h>

__attribute__((noinline)) static int third_function(int n) {
    if (n > 0) {
        __builtin_trap();
    }
    return n + 1;
}

__attribute__((noinline)) static int second_function(int n) {
    return third_function(n) + 1;
}

__attribute__((noinline)) static int first_function(int n) {
    return second_function(n) + 1;
}

int main(int argc, char **argv) {
    (void)argv;
    printf("about to trap\n");
    fflush(stdout);
    return first_function(argc);
}
