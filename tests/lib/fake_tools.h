/* What a test can see and set of the fake llm (fake_tools.c). */
#ifndef SH_TESTS_FAKE_TOOLS_H
#define SH_TESTS_FAKE_TOOLS_H

#include "tools/tools.h"

struct fake_llm {
    uint64_t delay_ms;
    int failures; /* how many calls fail from now on */
    bool retryable;
    size_t result_bytes; /* 0, or what each result has as JSON: its content is padded */
    size_t answered, canceled;
    size_t n_keys;
    char keys[256][SH_ID_MAX + 32]; /* of each attempt, in order */
};
extern struct fake_llm fake_llm;

#endif
