/* Prints what clock and chance give: equal in every replay of one journal, and only there. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void) {
    unsigned char bytes[16];
    struct timespec a, b, pause = {0, 5000000};

    clock_gettime(CLOCK_REALTIME, &a);
    nanosleep(&pause, NULL);
    clock_gettime(CLOCK_REALTIME, &b);
    if (getentropy(bytes, sizeof(bytes)) < 0) {
        perror("getentropy");
        return 1;
    }
    printf("from %lld.%09ld to %lld.%09ld\n", (long long)a.tv_sec, a.tv_nsec, (long long)b.tv_sec,
           b.tv_nsec);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        printf("%02x", bytes[i]);
    }
    printf("\n");
    return b.tv_sec > a.tv_sec || b.tv_nsec > a.tv_nsec ? 0 : 1;
}
