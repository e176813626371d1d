/* Clocks as side channels (Spectre and friends need one): time stands still while the guest
 * computes, every clock is the workflow's, none counts the processor's cycles. */
#include "escape.h"

static uint64_t now(uint32_t id) {
    __wasi_timestamp_t t = 0;

    expect("clock_time_get", __wasi_clock_time_get(id, 1, &t), 0);
    return t;
}

int main(void) {
    __wasi_timestamp_t t;
    volatile uint32_t sum = 0;

    for (uint32_t id = 0; id < 4; id++) {
        uint64_t before = now(id), after;

        for (uint32_t i = 0; i < 30000000; i++) {
            sum += i;
        }
        after = now(id);
        holds("a reading says how often it was asked, not how long it took",
              after - before <= 2000);
    }
    for (uint32_t id = 4; id < 40; id++) {
        refused("a clock of the host", __wasi_clock_time_get(id, 1, &t));
        refused("its resolution", __wasi_clock_res_get(id, &t));
    }
    refused("clock -1", __wasi_clock_time_get(UINT32_MAX, 1, &t));
    for (uint32_t id = 0; id < 4; id++) {
        expect("resolution", __wasi_clock_res_get(id, &t), 0);
        holds("no finer than a microsecond", t >= 1000);
    }
    return end();
}
