/* A journal event makes at most one frame with an id, so that a client that resumes at an id has
 * had all of that event. Text that streams ahead of the journal carries no id: it may be void after
 * a crash, and the completed message replaces it. */
#include "http/events_wire.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define OPEN_MAX 4096 /* a journal may hold activities that never end */

static const struct {
    const char *journal, *wire; /* wire NULL: no frame */
} names[] = {
    {"WorkflowStarted", "WORKFLOW_STARTED"},
    {"ActivityScheduled", "TOOL_INVOKED"},
    {"ActivityCompleted", "TOOL_OBSERVATION"},
    {"ActivityFailed", "TOOL_OBSERVATION"},
    {"ActivityRetried", "TOOL_RETRIED"},
    {"Emitted", "PROGRESS"},
    {"Output", "AGENT_OUTPUT"},
    {"Observed", NULL},
    {"Claimed", NULL},
    {"Compacted", NULL},
    {"Paused", "workflow.paused"},
    {"Resumed", "workflow.resumed"},
    {"CancelRequested", "workflow.cancelling"},
    {"WorkflowCompleted", "WORKFLOW_COMPLETED"},
    {"WorkflowFailed", "WORKFLOW_FAILED"},
    {"WorkflowCancelled", "workflow.cancelled"},
};
/* Names that the clients' own code uses inside for what has another name on the wire. */
static const char *const aliases[][2] = {
    {"LLM_PARTIAL", "thread.message.delta"},        {"LLM_OUTPUT", "thread.message.completed"},
    {"WORKFLOW_PAUSED", "workflow.paused"},         {"WORKFLOW_RESUMED", "workflow.resumed"},
    {"WORKFLOW_CANCELLING", "workflow.cancelling"}, {"WORKFLOW_CANCELLED", "workflow.cancelled"},
};

void sh_wire_init(struct sh_wire *w, const char *workflow) {
    *w = (struct sh_wire){
        .workflow = sh_strdup(workflow), .agent = sh_strdup(""), .open = json_object()};
}

void sh_wire_done(struct sh_wire *w) {
    sh_free(w->workflow);
    sh_free(w->agent);
    json_decref(w->open);
    memset(w, 0, sizeof(*w));
}

/* The wire name of a journal type; others (SignalReceived) in capitals (SIGNAL_RECEIVED). A type
 * with anything but letters in it was written by nobody's version: it has no name. */
static bool wire_name(struct sh_str type, char out[64]) {
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (sh_str_eqz(type, names[i].journal)) {
            snprintf(out, 64, "%s", names[i].wire ? names[i].wire : "");
            return names[i].wire != NULL;
        }
    }
    size_t n = 0;
    for (size_t i = 0; i < type.len && n + 3 < 64; i++) {
        if (!isalpha((unsigned char)type.p[i])) {
            return false;
        }
        if (i && isupper((unsigned char)type.p[i])) {
            out[n++] = '_';
        }
        out[n++] = (char)toupper((unsigned char)type.p[i]);
    }
    out[n] = 0;
    return n > 0;
}

static void open_key(int64_t ordinal, char out[32]) {
    snprintf(out, 32, "%lld", (long long)ordinal);
}

static json_t *payload_scheduled(struct sh_wire *w, const json_t *body, int64_t time_us) {
    int64_t ordinal = sh_json_get_int(body, "ordinal", -1);
    struct sh_str op = sh_json_get_str(body, "op");
    json_t *params = json_object_get(body, "args");
    if (json_object_size(w->open) < OPEN_MAX) {
        char key[32];
        open_key(ordinal, key);
        json_object_set_new(
            w->open, key,
            json_pack("{s:o, s:I}", "tool", sh_json_string(op), "time_us", (json_int_t)time_us));
    }
    return json_pack("{s:o, s:I, s:O?}", "tool", sh_json_string(op), "ordinal", (json_int_t)ordinal,
                     "params", params);
}

static json_t *payload_observed(struct sh_wire *w, const json_t *body, int64_t time_us, bool ok) {
    char key[32];
    int64_t ordinal = sh_json_get_int(body, "ordinal", -1);
    open_key(ordinal, key);
    json_t *started = json_object_get(w->open, key);
    struct sh_str op = sh_json_get_str(body, "op");
    if (!op.len) {
        op = sh_json_get_str(started, "tool");
    }
    json_t *payload = json_pack("{s:o, s:b, s:I}", "tool", sh_json_string(op), "success", ok,
                                "ordinal", (json_int_t)ordinal);
    int64_t since = sh_json_get_int(started, "time_us", time_us);
    json_object_set_new(payload, "duration_ms", json_integer((time_us - since) / 1000));
    const char *what = ok ? "result" : "error";
    json_t *value = json_object_get(body, what);
    if (value) {
        json_object_set(payload, what, value);
    }
    json_object_del(w->open, key);
    return payload;
}

static json_t *payload_output(const json_t *body) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
    struct sh_str text = SH_STR("");
    if (sh_base64_decode(&bytes, sh_json_get_str(body, "data")) == 0) {
        text = sh_buf_str(&bytes);
    }
    json_t *stream = json_object_get(body, "stream");
    return json_pack("{s:O?, s:I, s:o}", "stream", stream, "offset",
                     (json_int_t)sh_json_get_int(body, "offset", 0), "text", sh_json_string(text));
}

static json_t *payload_of(struct sh_wire *w, struct sh_str type, const json_t *body,
                          int64_t time_us) {
    if (sh_str_eqz(type, "ActivityScheduled")) {
        return payload_scheduled(w, body, time_us);
    }
    if (sh_str_eqz(type, "ActivityCompleted")) {
        return payload_observed(w, body, time_us, true);
    }
    if (sh_str_eqz(type, "ActivityFailed")) {
        return payload_observed(w, body, time_us, false);
    }
    if (sh_str_eqz(type, "Output")) {
        return payload_output(body);
    }
    if (sh_str_eqz(type, "Checkpoint")) {
        return json_object(); /* the state is the agent's own and may be large */
    }
    json_t *payload = json_deep_copy(body);
    if (sh_str_eqz(type, "WorkflowStarted")) {
        /* what a replay is made from and no listener needs; the journal has it */
        static const char *const inner[] = {"seed", "env",         "stdin",        "runtime",
                                            "tty",  "interpreter", "python_module"};
        for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
            json_object_del(payload, inner[i]);
        }
    }
    return payload;
}

/* What came of a call, short: what a model said, else the result as JSON; or the error. */
static json_t *outcome_of(const json_t *body) {
    enum { MOST = 240 };
    const json_t *error = json_object_get(body, "error");
    const json_t *result = json_object_get(body, "result");
    struct sh_str op = sh_json_get_str(body, "op"), said = sh_json_get_str(result, "content");
    struct sh_str code = sh_json_get_str(error, "code"), why = sh_json_get_str(error, "message");
    sh_auto(sh_free_p) char *text =
        error      ? sh_asprintf("%.*s: %.*s", (int)code.len, code.p, (int)why.len, why.p)
        : said.len ? sh_strndup0(said.p, said.len)
        : result   ? sh_json_text(result)
                   : sh_strdup("");
    if (!op.len) {
        return NULL;
    }
    size_t n = strlen(text), cut = n < MOST ? n : MOST;
    while (cut < n && cut && ((unsigned char)text[cut] & 0xC0) == 0x80) {
        cut--; /* not within a character */
    }
    sh_auto(sh_free_p) char *line =
        sh_asprintf("%.*s: %.*s%s", (int)op.len, op.p, (int)cut, text, cut < n ? "..." : "");
    return sh_json_string(sh_str(line));
}

/* One line for people, where the event has one. */
static json_t *message_of(struct sh_str type, const json_t *body) {
    static const char *const where[][2] = {
        {"WorkflowStarted", "query"},    {"WorkflowFailed", "message"},
        {"WorkflowCompleted", "result"}, {"Paused", "reason"},
        {"CancelRequested", "reason"},   {"WorkflowCancelled", "reason"},
        {"ActivityScheduled", "op"},
    };
    if (sh_str_eqz(type, "ActivityCompleted") || sh_str_eqz(type, "ActivityFailed") ||
        sh_str_eqz(type, "ActivityRetried")) {
        return outcome_of(body);
    }
    if (sh_str_eqz(type, "Emitted")) {
        json_t *data = json_object_get(body, "data");
        struct sh_str text = sh_json_get_str(data, "message");
        if (!text.len && json_is_string(data)) {
            text = sh_strn(json_string_value(data), json_string_length(data));
        }
        return text.len ? sh_json_string(text) : NULL;
    }
    for (size_t i = 0; i < sizeof(where) / sizeof(where[0]); i++) {
        if (sh_str_eqz(type, where[i][0])) {
            struct sh_str text = sh_json_get_str(body, where[i][1]);
            return text.len ? sh_json_string(text) : NULL;
        }
    }
    return NULL;
}

/* `stream_id` is where the clients go on after this frame, whether they have read its id or not:
 * after the event itself, or, where more frames of it follow, after the one before. */
static json_t *base_event(const struct sh_wire *w, const char *type, uint64_t seq, uint64_t after) {
    char resume[24];
    snprintf(resume, sizeof(resume), "%llu", (unsigned long long)after);
    json_t *data = json_pack("{s:s, s:s, s:s, s:I}", "workflow_id", w->workflow, "type", type,
                             "stream_id", resume, "seq", (json_int_t)seq);
    if (w->agent[0]) {
        json_object_set_new(data, "agent_id", sh_json_string(sh_str(w->agent)));
    }
    return data;
}

static void give_delta(struct sh_wire *w, const struct sh_live_event *ev, sh_frame_fn fn,
                       void *arg) {
    json_t *data = base_event(w, "thread.message.delta", ev->durable_seq, ev->durable_seq);
    json_object_set_new(data, "delta", sh_json_string(ev->delta));
    json_object_set_new(data, "ordinal", json_integer((json_int_t)ev->ordinal));
    json_object_set_new(data, "attempt", json_integer((json_int_t)ev->attempt));
    json_object_set_new(data, "offset", json_integer((json_int_t)ev->offset));
    json_object_set_new(data, "provisional", json_true());
    fn(arg, &(struct sh_frame){.name = "thread.message.delta", .journal = "", .data = data});
    json_decref(data);
}

/* The answer as one message; has no id, because WORKFLOW_COMPLETED of the same event follows. */
static void give_answer(struct sh_wire *w, const json_t *body, uint64_t seq, sh_frame_fn fn,
                        void *arg) {
    json_t *usage = json_object_get(body, "usage");
    json_t *data = base_event(w, "thread.message.completed", seq, seq - 1);
    json_object_set_new(data, "response", sh_json_string(sh_json_get_str(body, "result")));
    json_t *meta = json_pack("{s:I, s:I, s:I}", "tokens_used",
                             (json_int_t)sh_json_get_int(usage, "total_tokens", 0), "input_tokens",
                             (json_int_t)sh_json_get_int(usage, "input_tokens", 0), "output_tokens",
                             (json_int_t)sh_json_get_int(usage, "output_tokens", 0));
    static const char *const more[][2] = {
        {"cost_usd", "cost_usd"}, {"model", "model_used"}, {"provider", "provider"}};
    for (size_t i = 0; i < 3; i++) {
        json_t *value = json_object_get(usage, more[i][0]);
        value = value ? value : json_object_get(body, more[i][0]);
        if (value) {
            json_object_set(meta, more[i][1], value);
        }
    }
    json_object_set_new(data, "metadata", meta);
    fn(arg, &(struct sh_frame){
                .name = "thread.message.completed", .journal = "WorkflowCompleted", .data = data});
    json_decref(data);
}

static void remember_agent(struct sh_wire *w, const json_t *body) {
    struct sh_str agent = sh_json_get_str(body, "agent");
    if (agent.len && agent.len <= 256) {
        sh_free(w->agent);
        w->agent = sh_strndup0(agent.p, agent.len);
    }
}

static void give_event(struct sh_wire *w, const struct sh_event_record *event, const json_t *body,
                       const char *name, sh_frame_fn fn, void *arg) {
    char time[SH_TIME_TEXT];
    sh_time_format(event->time_us, time);
    json_t *data = base_event(w, name, event->seq, event->seq);
    json_object_set_new(data, "timestamp", json_string(time));
    json_t *message = message_of(event->type, body);
    json_object_set_new(data, "message", message ? message : json_string(""));
    json_object_set_new(data, "payload", payload_of(w, event->type, body, event->time_us));
    char journal[64];
    snprintf(journal, sizeof(journal), "%.*s", (int)(event->type.len < 63 ? event->type.len : 63),
             event->type.p);
    fn(arg, &(struct sh_frame){.name = name, .journal = journal, .data = data, .id = event->seq});
    json_decref(data);
}

void sh_wire_event(struct sh_wire *w, const struct sh_live_event *ev, sh_frame_fn fn, void *arg) {
    if (!ev->event) {
        give_delta(w, ev, fn, arg);
        return;
    }
    const struct sh_event_record *event = ev->event;
    if (sh_str_eqz(event->type, "WorkflowStarted")) {
        remember_agent(w, ev->body);
    }
    if (sh_str_eqz(event->type, "WorkflowCompleted")) {
        give_answer(w, ev->body, event->seq, fn, arg);
    }
    char name[64];
    if (wire_name(event->type, name)) {
        give_event(w, event, ev->body, name, fn, arg);
    }
    if (sh_event_is_final(event->type)) {
        fn(arg, &(struct sh_frame){.name = "done", .journal = ""});
    }
}

static bool name_matches(struct sh_str wanted, const struct sh_frame *frame) {
    if (sh_str_eqz(wanted, frame->name) ||
        (frame->journal[0] && sh_str_eqz(wanted, frame->journal))) {
        return true;
    }
    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++) {
        if (sh_str_eqz(wanted, aliases[i][0]) && strcmp(aliases[i][1], frame->name) == 0) {
            return true;
        }
    }
    return false;
}

bool sh_frame_wanted(const struct sh_frame *frame, const char *types) {
    if (!types || !*types || !frame->data) {
        return true;
    }
    for (const char *p = types; *p;) {
        const char *end = strchrnul(p, ',');
        if (name_matches(sh_strn(p, (size_t)(end - p)), frame)) {
            return true;
        }
        p = *end ? end + 1 : end;
    }
    return false;
}

void sh_frame_sse(const struct sh_frame *frame, struct sh_buf *out) {
    if (frame->id) {
        sh_buf_addf(out, "id: %llu\n", (unsigned long long)frame->id);
    }
    sh_buf_addf(out, "event: %s\ndata: ", frame->name);
    sh_frame_text(frame, out);
    sh_buf_adds(out, "\n\n");
}

void sh_frame_text(const struct sh_frame *frame, struct sh_buf *out) {
    if (frame->data) {
        sh_json_dump(frame->data, out); /* JSON escapes every line break: one data: line */
    } else {
        sh_buf_adds(out, "[DONE]");
    }
}
