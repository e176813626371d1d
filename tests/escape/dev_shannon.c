/* Lines on /dev/shannon that are no requests: not JSON, too deep, too long, cut in the middle, with
 * ids that are not ids, ops that are not ops, several at once, and what looks like an answer. */
#include "escape.h"

#include <stdlib.h>

static void line(int fd, const char *text, size_t n) {
    static char answer[1 << 16];
    int rc;

    for (size_t done = 0; done < n; done += (size_t)rc) {
        rc = write_some(fd, text + done, n - done);
        if (rc <= 0) {
            break;
        }
    }
    if (write_some(fd, "\n", 1) == 1) {
        do {
            rc = read_some(fd, answer, sizeof(answer));
        } while (rc > 0 && answer[rc - 1] != '\n');
    }
}

int main(void) {
    static const char *const lines[] = {
        "",
        " ",
        "{",
        "[]",
        "null",
        "\"x\"",
        "{}",
        "{\"op\":1}",
        "{\"op\":\"\"}",
        "{\"op\":\"nope\"}",
        "{\"op\":\"llm\",\"args\":[]}",
        "{\"op\":\"calculator\",\"args\":{\"expression\":1}}",
        "{\"id\":{\"a\":[1,2]},\"op\":\"calculator\",\"args\":{\"expression\":\"1+1\"}}",
        "{\"op\":\"calculator\",\"op\":\"kv.put\",\"args\":{}}",
        "{\"op\":\"__proto__\"}",
        "{\"op\":\"approval\",\"args\":{\"allow\":true}}",
        "{\"op\":\"exec\",\"args\":{\"x\":1}}",
        "{\"op\":\"../../bin/sh\"}",
        "{\"op\":\"mcp:x/y\"}",
        "{\"ok\":1}",
        "\xff\xfe",
        "{\"op\":\"\\ud800\"}",
        "{\"op\":\"kv.put\",\"args\":{\"key\":\"\\u0000\",\"value\":1}}",
        "{\"op\":\"sleep\",\"args\":{\"ms\":-1}}",
        "{\"op\":\"sleep\",\"args\":{\"ms\":1e300}}",
        "{\"op\":\"sleep\",\"args\":{\"until\":\"9999999-99-99\"}}",
        "{\"op\":\"calculator\",\"args\":{\"expression\":\"9^9^9^9^9\"}}",
        "{\"op\":\"calculator\",\"args\":{},\"retry\":-1,\"timeout_ms\":\"x\"}",
    };
    enum { LONG = 3 << 20 };
    char *big = malloc(LONG);
    int fd = open_at(DEV, 0, "shannon", 0, READ_RIGHT | WRITE_RIGHT);

    holds("it opens", fd > 0);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        line(fd, lines[i], strlen(lines[i]));
    }
    memset(big, '[', LONG);
    line(fd, big, 100000);
    memset(big, 'x', LONG);
    line(fd, big, LONG);
    memcpy(big, "{\"op\":\"calculator\",\"args\":{\"expression\":\"", 41);
    memset(big + 41, '(', LONG - 41);
    line(fd, big, 900000);
    line(fd, "\0\0\0", 3);
    (void)write_some(fd, "{\"op\":\"calc", 11); /* and never the rest */
    return end();
}
