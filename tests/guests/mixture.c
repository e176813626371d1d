/* An ordinary program that polls whatever it is given, at once:
 *   mixture MS ROUNDS [PATH LINE]...
 * Each PATH is opened and the LINE written to it; then, for so many rounds, it waits for standard
 * input and all of them, MS at most, and says what came. What is at its end is left out. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX = 8 };

static struct pollfd polled[MAX];
static const char *names[MAX];
static int n_polled = 1;

static int open_one(const char *path, const char *line) {
    int fd = open(path, O_RDWR);

    if (fd < 0 || write(fd, line, strlen(line)) != (ssize_t)strlen(line) ||
        write(fd, "\n", 1) != 1) {
        printf("%s: %s\n", path, strerror(errno));
        return 1;
    }
    names[n_polled] = path;
    polled[n_polled++] = (struct pollfd){.fd = fd, .events = POLLIN};
    return 0;
}

static void hear(int i) {
    char text[512];
    ssize_t n = read(polled[i].fd, text, sizeof(text) - 1);

    if (n <= 0) {
        printf("%s: end\n", names[i]);
        polled[i].events = 0;
        return;
    }
    text[n] = '\0';
    printf("%s: %.*s\n", names[i], (int)strcspn(text, "\r\n"), text);
}

/* libc polls what it is given, whatever is asked of it. */
static void leave_out(void) {
    int kept = 0;

    for (int i = 0; i < n_polled; i++) {
        if (polled[i].events) {
            names[kept] = names[i];
            polled[kept++] = polled[i];
        }
    }
    n_polled = kept;
}

int main(int argc, char **argv) {
    int ms = argc > 2 ? atoi(argv[1]) : 0, rounds = argc > 2 ? atoi(argv[2]) : 0;

    names[0] = "stdin";
    polled[0] = (struct pollfd){.fd = 0, .events = POLLIN};
    for (int i = 3; i + 1 < argc && n_polled < MAX; i += 2) {
        if (open_one(argv[i], argv[i + 1])) {
            return 1;
        }
    }
    for (int round = 0; round < rounds; round++) {
        int ready = poll(polled, (nfds_t)n_polled, ms);

        if (ready < 0) {
            printf("poll: %s\n", strerror(errno));
            return 1;
        }
        printf("%s", ready ? "" : "late\n");
        for (int i = 0; ready && i < n_polled; i++) {
            if (polled[i].revents) {
                hear(i);
            }
        }
        leave_out();
        fflush(stdout);
    }
    return 0;
}
