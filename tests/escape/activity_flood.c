/* A million activities that nobody waits for; then handles that were never given, or have gone. */
#include "escape.h"

#include <shannon.h>

int main(void) {
    static const char args[] = "{\"expression\":\"1+1\"}";
    int32_t handles[300], n = 0, last = 0, h;
    char buf[64];

    for (int i = 0; i < 1000000; i++) {
        h = shannon_raw_activity_start("calculator", 10, args, sizeof(args) - 1);
        if (h < 0) {
            last = -h;
            break;
        }
        handles[n++ % 300] = h;
    }
    expect("open handles end with", last, __WASI_ERRNO_MFILE);
    expect("after", n, 256);
    for (int i = -5; i < 5; i++) {
        h = i < 0 ? i : 1000000 + i;
        refused("a handle that was never given", shannon_raw_activity_size(h) >= 0 ? 0 : 1);
        refused("read", shannon_raw_activity_read(h, buf, sizeof(buf)) >= 0 ? 0 : 1);
        refused("drop", shannon_raw_activity_drop(h) >= 0 ? 0 : 1);
        refused("wait", shannon_raw_activity_wait(&h, 1) >= 0 ? 0 : 1);
    }
    expect("what has not been waited for", shannon_raw_activity_size(handles[0]),
           -__WASI_ERRNO_AGAIN);
    handles[1] = handles[0];
    (void)shannon_raw_activity_wait(handles, 2); /* the same twice */
    expect("drop", shannon_raw_activity_drop(handles[0]), 0);
    refused("twice", shannon_raw_activity_drop(handles[0]) == 0 ? 0 : 1);
    return end();
}
