/* sieve N: counts the primes below 4 Mi, N times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BELOW (4 << 20)

static unsigned char composite[BELOW];

int main(int argc, char **argv) {
    long n = argc > 1 ? atol(argv[1]) : 0, primes = 0;

    for (long round = 0; round < n; round++) {
        memset(composite, 0, sizeof(composite));
        primes = 0;
        for (long i = 2; i < BELOW; i++) {
            if (composite[i]) {
                continue;
            }
            primes++;
            for (long j = i * 2; j < BELOW; j += i) {
                composite[j] = 1;
            }
        }
    }
    printf("%ld\n", primes);
    return 0;
}
