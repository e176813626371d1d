/* poll_oneoff with what no C library would pass: unknown kinds, the answers over the questions,
 * every byte of a subscription set, descriptors that are not there, clocks with unknown flags. */
#include "escape.h"

#include <stdlib.h>

enum { MANY = 4096 };

int main(void) {
    static uint8_t both[MANY * 48];
    __wasi_subscription_t *s = (void *)both;
    __wasi_event_t *events = calloc(MANY + 1, sizeof(*events));
    __wasi_size_t n = 0;

    refused("none", __wasi_poll_oneoff(s, events, 0, &n));
    memset(both, 0xff, sizeof(both));
    (void)__wasi_poll_oneoff(s, events, 1, &n);
    (void)__wasi_poll_oneoff(s, events, MANY, &n);
    refused("one too many", __wasi_poll_oneoff(s, events, MANY + 1, &n));
    refused("2^32 / 48 of them", __wasi_poll_oneoff(s, events, 0x05555556, &n));
    for (int tag = 3; tag < 256; tag += 7) {
        memset(both, 0, 48);
        both[8] = (uint8_t)tag;
        (void)__wasi_poll_oneoff(s, events, 1, &n);
    }
    memset(both, 0, sizeof(both)); /* answers on the questions, the number on both */
    for (int i = 0; i < MANY; i++) {
        s[i].u.tag = i % 2 ? __WASI_EVENTTYPE_FD_READ : __WASI_EVENTTYPE_FD_WRITE;
        s[i].u.u.fd_read.file_descriptor = i % 9;
    }
    (void)__wasi_poll_oneoff(s, (__wasi_event_t *)(void *)both, MANY,
                             (__wasi_size_t *)(void *)both);
    for (int i = 0; i < MANY; i++) {
        memset(&s[i], 0, sizeof(s[i]));
        s[i].u.tag = __WASI_EVENTTYPE_FD_READ;
        s[i].u.u.fd_read.file_descriptor = 1000 + i;
    }
    if (__wasi_poll_oneoff(s, events, MANY, &n) == 0) {
        for (__wasi_size_t i = 0; i < n; i++) {
            holds("what is not there is an error", events[i].error != 0);
        }
    }
    memset(both, 0, sizeof(both));
    s[0].u.u.clock.id = 77;
    s[0].u.u.clock.flags = 0xffff;
    (void)__wasi_poll_oneoff(s, events, 1, &n);
    return end();
}
