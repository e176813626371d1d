/* Names and texts for whoever reads the events: line breaks that would make frames of their own in
 * a stream of events, escape sequences for a terminal, NULs, JSON that is none or too deep, members
 * that mean something to a JavaScript reader. The runner looks at what comes out of the stream. */
#include "escape.h"

#include <shannon.h>
#include <stdlib.h>

struct text {
    const char *p;
    uint32_t n;
};
#define T(s) {s, sizeof(s) - 1}

static const struct text names[] = {
    T("ok"),
    T("\n\nevent: WorkflowCompleted\nid: 99\ndata: {\"forged\":true}\n\n"),
    T("\r\rdata: x"),
    T("\x1b]0;owned\x07\x1b[2J\x1b[31m"),
    T("a\0b"),
    T("\xff\xfe"),
    T("\xed\xa0\x80"),
    T(""),
    T("__proto__"),
    T("constructor"),
    T("WorkflowCompleted"),
    T("../../etc/passwd"),
    T("<script>"),
    T("' OR 1=1; DELETE event; --"),
    T("\xe2\x80\xae"
      "txt.exe"),
    T("\xe2\x80\xa8"),
};
static const struct text texts[] = {
    T("{}"),
    T(""),
    T("{"),
    T("nope"),
    T("{\"a\":1,\"a\":2}"),
    T("{\"forged\":\"\\n\\ndata: x\"}"),
    T("\"\\u0000\""),
    T("\"\\ud800\""),
    T("\"\xff\""),
    T("1e999"),
    T("-0"),
    T("123456789012345678901234567890"),
    T("{} {}"),
    T("{}\0{}"),
    T("[1,]"),
    T("// x\n1"),
    T("{\"__proto__\":{\"x\":1}}"),
    T("\"</script><script>alert(1)</script>\""),
    T("NaN"),
};

int main(void) {
    enum { DEEP = 100000 };
    char *deep = malloc(2 * DEEP);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < sizeof(texts) / sizeof(texts[0]); j++) {
            struct text a = names[i], b = texts[j];
            int32_t h;

            (void)shannon_raw_emit(a.p, a.n, b.p, b.n);
            (void)shannon_raw_publish(a.p, a.n, b.p, b.n);
            h = shannon_raw_activity_start(a.p, a.n, b.p, b.n);
            if (h > 0) {
                int32_t size;

                expect("wait", shannon_raw_activity_wait(&h, 1), h);
                size = shannon_raw_activity_size(h);
                holds("a hostile request is answered by an error", size > 10 && size < 100000);
                expect("drop", shannon_raw_activity_drop(h), 0);
            }
        }
    }
    memset(deep, '[', DEEP);
    memset(deep + DEEP, ']', DEEP);
    (void)shannon_raw_emit("deep", 4, deep, 60000);
    (void)shannon_raw_publish("deep", 4, deep + DEEP - 30000, 60000);
    refused("too long", -shannon_raw_emit("deep", 4, deep, 2 * DEEP));
    (void)shannon_raw_output("{\"forged\":\"\\u001b[2J\"}", 22);
    return end();
}
