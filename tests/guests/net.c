/* An ordinary program: it opens, writes and reads, and knows nothing of sockets or of Shannon.
 *   net [@steady] PATH WORD...    for each word: a line to the peer, its answer to standard output
 * "@again" closes the connection and opens it anew; "@poll" waits 50 ms for something to read. With
 * "@steady" whatever goes wrong is tried again on a new connection. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRIES = 5 };

static int steady;

static int failed(const char *what) {
    FILE *to = steady ? stderr : stdout;

    fprintf(to, "%s: %s\n", what, strerror(errno));
    fflush(to);
    return -1;
}

static int say(int fd, const char *word) {
    char line[256];
    int n = snprintf(line, sizeof(line), "%s\n", word);

    return write(fd, line, (size_t)n) == n ? 0 : failed("write");
}

/* A line, put out once it is whole. */
static int hear(int fd) {
    char line[256];
    size_t n = 0;

    while (n < sizeof(line) - 1 && (n == 0 || line[n - 1] != '\n')) {
        ssize_t got = read(fd, line + n, 1);

        if (got < 0) {
            return failed("read");
        }
        if (got == 0) {
            if (!steady) {
                printf("(end)\n");
            }
            return -1;
        }
        n++;
    }
    line[n] = '\0';
    printf("%.*s\n", (int)strcspn(line, "\r\n"), line);
    fflush(stdout);
    return 0;
}

static int look(int fd) {
    struct stat st;

    if (fd < 0) {
        return failed("open");
    }
    if (fstat(fd, &st) != 0 || S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)) {
        printf("fstat: what is this?\n");
        return -1;
    }
    return 0;
}

static void wait_a_moment(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int n = poll(&p, 1, 50);

    printf("poll %d %s\n", n, n < 0 ? strerror(errno) : p.revents & POLLIN ? "in" : "-");
}

int main(int argc, char **argv) {
    int fd;

    if (argc > 1 && strcmp(argv[1], "@steady") == 0) {
        steady = 1;
        argv++;
        argc--;
    }
    fd = open(argv[1], O_RDWR);
    if (look(fd) != 0) {
        return 1;
    }
    for (int i = 2; i < argc; i++) {
        int again = strcmp(argv[i], "@again") == 0;

        if (strcmp(argv[i], "@poll") == 0) {
            wait_a_moment(fd);
            continue;
        }
        for (int tries = 0; again || say(fd, argv[i]) != 0 || hear(fd) != 0; tries++) {
            if ((!again && !steady) || tries == TRIES) {
                break;
            }
            close(fd);
            fd = open(argv[1], O_RDWR);
            if (look(fd) != 0) {
                return 1;
            }
            if (again) {
                break;
            }
        }
    }
    return 0;
}
