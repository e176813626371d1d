/* The journal decoder on hostile records. Input: lines "TYPE BODY"; each becomes an event of a
 * journal that is read as recovery reads it, and then asked everything that a replay asks. */
#include "engine/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ask(struct sh_history *h) {
    struct sh_agent_counters counters = {.call_number = 3};
    struct sh_buf what;

    sh_buf_init(&what, SH_MIB);
    sh_history_first_unmatched(h, &what);
    sh_history_over(h, &counters);
    for (uint64_t ordinal = 0; ordinal < 8; ordinal++) {
        struct sh_past_activity *past = sh_history_activity(h, h->first_ordinal + ordinal);
        if (past && !past->matched) {
            past->matched = true;
            SH_ASSERT(h->unmatched > 0);
            h->unmatched--;
        }
    }
    sh_buf_done(&what);
}

static void start(const json_t *body) {
    struct sh_spec spec = {0};
    struct sh_err err = {0};

    sh_buf_init(&spec.stdin_bytes, SH_INPUT_MAX * 2);
    if (sh_spec_parse(body, 1, &spec, &err) < 0) {
        SH_ASSERT(err.code != 0 && err.message[0] != '\0');
    }
    sh_spec_done(&spec);
}

static void decide(const json_t *body) {
    struct sh_capabilities caps = {0};
    struct sh_err err = {0};

    sh_capabilities_parse(json_object_get(body, "capabilities"), NULL, NULL, &caps, &err);
    sh_capabilities_done(&caps);
}

static bool one(struct sh_history *h, uint64_t seq, struct sh_str line) {
    const char *space = memchr(line.p, ' ', line.len);
    size_t n = space ? (size_t)(space - line.p) : line.len;
    struct sh_event ev = {.seq = seq, .time_us = (int64_t)seq};
    struct sh_err err = {0};
    struct sh_buf text;
    bool ok;

    ev.type = sh_event_type(sh_strn(line.p, n));
    if (!ev.type || !space ||
        sh_json_parse(sh_strn(space + 1, line.len - n - 1), SH_EVENT_BODY_MAX, &ev.body, &err) <
            0) {
        return false;
    }
    if (strcmp(ev.type, "WorkflowStarted") == 0) {
        start(ev.body);
    } else if (strcmp(ev.type, "PolicyDecided") == 0) {
        decide(ev.body);
    }
    sh_buf_init(&text, SH_JSON_TEXT_MAX);
    sh_activity_result_text(ev.body, &text);
    sh_buf_done(&text);
    ok = sh_history_add(h, &ev, &err) == 0;
    SH_ASSERT(ok || err.message[0] != '\0');
    json_decref(ev.body);
    return ok;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_history h;
    uint64_t seq = 0;

    sh_history_init(&h);
    while (size > 0) {
        const uint8_t *end = memchr(data, '\n', size);
        size_t n = end ? (size_t)(end - data) : size;
        if (!one(&h, ++seq, sh_strn(data, n))) {
            break;
        }
        n += end != NULL;
        data += n;
        size -= n;
    }
    ask(&h);
    sh_history_done(&h);
    return 0;
}
