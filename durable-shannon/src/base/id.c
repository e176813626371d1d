/* ULIDs: 48 bits of milliseconds and 80 random bits, in Crockford's base 32 (lower case). Within a
 * millisecond the random part counts up, and a clock that steps back does not take the ids with
 * it: later ids sort after earlier ones as long as the process lives. */
#include "base/id.h"

#include <pthread.h>
#include <unistd.h>

#include "base/err.h"
#include "base/hash.h"
#include "base/time.h"

enum { ULID_DIGITS = 26, RANDOM_BYTES = 10 };

static struct {
    pthread_mutex_t lock;
    uint64_t ms;
    uint8_t random[RANDOM_BYTES];
    pid_t pid; /* a forked child must not count on from where its parent counts on, too */
} last = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* False when all bits were set. */
static bool count_up(uint8_t random[RANDOM_BYTES]) {
    for (int i = RANDOM_BYTES - 1; i >= 0; i--) {
        if (++random[i] != 0) {
            return true;
        }
    }
    return false;
}

static void next_value(uint64_t *ret_ms, uint8_t random[RANDOM_BYTES]) {
    uint64_t ms = (uint64_t)(sh_wall_us() / 1000);
    pthread_mutex_lock(&last.lock);
    bool child = last.pid != getpid();
    if (ms > last.ms || child || !count_up(last.random)) {
        last.ms = ms > last.ms ? ms : last.ms + 1;
        last.pid = getpid();
        sh_random_bytes(last.random, RANDOM_BYTES);
    }
    *ret_ms = last.ms;
    memcpy(random, last.random, RANDOM_BYTES);
    pthread_mutex_unlock(&last.lock);
}

void sh_id_new(struct sh_id *id, const char *prefix) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    size_t n = strlen(prefix);
    SH_ASSERT(n + ULID_DIGITS <= SH_ID_MAX);
    uint64_t ms = 0;
    uint8_t random[RANDOM_BYTES];
    next_value(&ms, random);
    uint64_t high = 0; /* 40 bits each: eight digits, no remainder */
    uint64_t low = 0;
    for (int i = 0; i < 5; i++) {
        high = high << 8 | random[i];
        low = low << 8 | random[5 + i];
    }
    memset(id, 0, sizeof(*id));
    memcpy(id->s, prefix, n);
    char *out = id->s + n;
    for (int i = 0; i < 10; i++) {
        out[i] = digits[ms >> (5 * (9 - i)) & 31];
    }
    for (int i = 0; i < 8; i++) {
        out[10 + i] = digits[high >> (5 * (7 - i)) & 31];
        out[18 + i] = digits[low >> (5 * (7 - i)) & 31];
    }
}

static bool is_id_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == ':' ||
           c == '_' || c == '-' || c == '.';
}

int sh_id_parse(struct sh_str s, struct sh_id *ret) {
    if (s.len == 0 || s.len > SH_ID_MAX) {
        return -SH_E_INVAL;
    }
    for (size_t i = 0; i < s.len; i++) {
        if (!is_id_char(s.p[i])) {
            return -SH_E_INVAL;
        }
    }
    memset(ret, 0, sizeof(*ret)); /* all of it, so that ids compare and hash as bytes */
    memcpy(ret->s, s.p, s.len);
    return 0;
}
