/* An MCP client that says anything: lines of JSON-RPC to one session, whose backend answers with
 * the bytes that are left. The first byte says what the client can do and how the backend answers.
 */
#include "mcp/mcp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Keeps what was asked; answered between two messages, as the loop would. */
struct backend {
    struct sh_mcp_backend base;
    struct {
        sh_mcp_answer_fn done;
        void *arg;
    } calls[64];
    size_t n;
    unsigned left, mode; /* left: so that following a task ends */
    json_t *answer;
};

static void call(struct sh_mcp_backend *base, const struct sh_mcp_ask *ask, sh_mcp_answer_fn done,
                 void *arg) {
    struct backend *b = sh_container_of(base, struct backend, base);
    SH_ASSERT(b->n < 64 && ask->method && ask->path[0] == '/');
    b->calls[b->n].done = done;
    b->calls[b->n++].arg = arg;
}

static void answer_all(struct backend *b, bool refuse) {
    struct sh_err err = {0};
    sh_fail(&err, SH_E_UNAVAILABLE, "gone");
    while (b->n) {
        bool fails = refuse || b->left == 0 || (b->mode & 2 && b->left % 3 == 0);
        b->left -= b->left > 0;
        b->n--;
        b->calls[b->n].done(b->calls[b->n].arg, fails ? NULL : b->answer, fails ? &err : NULL);
    }
}

static void send_nowhere(void *arg, void *channel, const json_t *message, bool last) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    (void)arg;
    (void)channel;
    SH_ASSERT(message || last);
    sh_buf_init(&text, 64 * SH_MIB);
    if (message) {
        SH_ASSERT(json_is_object(message));
        sh_json_dump(message, &text);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) {
        return 0;
    }
    struct backend b = {.base.call = call, .mode = data[0], .left = 40};
    struct sh_mcp_session *s = sh_mcp_session_new(&b.base, send_nowhere, NULL);
    const char *p = (const char *)data + 1, *end = (const char *)data + size;
    /* The last line is what the API says. */
    const char *last = memrchr(p, '\n', (size_t)(end - p));
    last = last ? last + 1 : end;
    if (sh_json_parse(sh_strn(last, (size_t)(end - last)), SH_MIB, &b.answer, NULL) < 0) {
        b.answer = json_object();
    }
    while (p < last) {
        const char *newline = memchr(p, '\n', (size_t)(last - p));
        const char *stop = newline ? newline : last;
        struct sh_rpc_message m;
        sh_rpc_read(sh_strn(p, (size_t)(stop - p)), &m);
        if (b.n < 32) {
            sh_mcp_receive(s, &m, NULL);
        }
        sh_rpc_message_done(&m);
        if (b.mode & 1) {
            answer_all(&b, false);
        }
        p = stop + 1;
    }
    answer_all(&b, false);
    sh_mcp_session_close(s);
    answer_all(&b, true);
    json_decref(b.answer);
    return 0;
}
