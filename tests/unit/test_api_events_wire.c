/* Journal events as clients see them: names, ids, the order at the end, filters, framing. */
#include "../lib/check_main.h"

#include "http/events_wire.h"

static struct sh_wire wire;
static struct sh_buf sse; /* every frame, as server-sent events */
static size_t frames, with_id;
static const char *types;

static void collect(void *arg, const struct sh_frame *frame) {
    (void)arg;
    if (sh_frame_wanted(frame, types)) {
        frames++;
        with_id += frame->id != 0;
        sh_frame_sse(frame, &sse);
    }
}

static void begin(void) {
    sh_wire_init(&wire, "wf-1");
    sh_buf_init(&sse, SH_MIB);
    frames = with_id = 0;
}

static void end(void) {
    sh_wire_done(&wire);
    sh_buf_done(&sse);
}

static void event(uint64_t seq, const char *type, const char *body_text) {
    struct sh_err err = {0};
    json_t *body = NULL;
    sh_assert_ok(sh_json_parse(sh_str(body_text), SH_MIB, &body, &err), &err);
    struct sh_event_record record = {.workflow = SH_STR("wf-1"),
                                     .seq = seq,
                                     .time_us = (int64_t)seq * 1000000,
                                     .type = sh_str(type)};
    sh_wire_event(&wire,
                  &(struct sh_live_event){.event = &record, .body = body, .durable_seq = seq},
                  collect, NULL);
    json_decref(body);
}

static void assert_has(const char *text) {
    ck_assert_msg(strstr(sse.p, text), "%s is not in %s", text, sse.p);
}

START_TEST(what_came_of_a_call_is_told_in_a_line) {
    begin();
    event(1, "ActivityCompleted",
          "{\"op\":\"calculator\",\"args\":{\"expression\":\"6*7\"},\"result\":{\"value\":42}}");
    assert_has("\"message\":\"calculator: {\\\"value\\\":42}\"");
    event(2, "ActivityCompleted", "{\"op\":\"llm\",\"result\":{\"content\":\"Because.\"}}");
    assert_has("\"message\":\"llm: Because.\"");
    event(3, "ActivityFailed",
          "{\"op\":\"http\",\"error\":{\"code\":\"timeout\",\"message\":\"too late\"}}");
    assert_has("\"message\":\"http: timeout: too late\"");
    sh_auto(sh_buf_done) struct sh_buf body = {0};
    sh_buf_init(&body, SH_MIB);
    sh_buf_adds(&body, "{\"op\":\"llm\",\"result\":{\"content\":\"x");
    for (int i = 0; i < 200; i++) {
        sh_buf_adds(&body, "\xc3\xa4"); /* 240 bytes end within one of these */
    }
    sh_buf_adds(&body, "\"}}");
    event(4, "ActivityCompleted", body.p);
    assert_has("\xc3\xa4...\"");
    end();
}
END_TEST

START_TEST(each_event_has_at_most_one_id) {
    static const char *const all[] = {
        "WorkflowStarted", "PolicyDecided",     "ActivityScheduled", "ActivityCompleted",
        "ActivityFailed",  "ActivityRetried",   "TimerFired",        "Output",
        "Emitted",         "Published",         "Observed",          "Checkpoint",
        "Paused",          "Resumed",           "CancelRequested",   "WorkflowCompleted",
        "WorkflowFailed",  "WorkflowCancelled", "SignalReceived",
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        begin();
        event(i + 1, all[i], "{}");
        ck_assert_msg(with_id <= 1, "%s", all[i]);
        ck_assert_msg((with_id == 0) == (strcmp(all[i], "Observed") == 0), "%s", all[i]);
        end();
    }
}
END_TEST

START_TEST(the_end_is_message_event_done) {
    begin();
    event(1, "WorkflowStarted", "{\"agent\":\"cot\",\"query\":\"why\"}");
    event(9, "WorkflowCompleted",
          "{\"result\":\"because\",\"usage\":{\"total_tokens\":5,\"input_tokens\":2,\"output_"
          "tokens\":3}}");
    const char *message = strstr(sse.p, "event: thread.message.completed");
    const char *completed = strstr(sse.p, "id: 9\nevent: WORKFLOW_COMPLETED");
    const char *done = strstr(sse.p, "event: done\ndata: [DONE]\n\n");
    ck_assert(message && completed && done && message < completed && completed < done);
    assert_has("\"response\":\"because\"");
    assert_has("\"tokens_used\":5");
    assert_has("\"agent_id\":\"cot\"");
    end();
}
END_TEST

/* The clients go on after stream_id, on whichever frame they lost the connection. */
START_TEST(stream_ids_lose_nothing) {
    begin();
    event(8, "Emitted", "{}");
    assert_has("\"seq\":8,\"stream_id\":\"8\"");
    end();
    begin();
    event(9, "WorkflowCompleted", "{\"result\":\"because\"}");
    const char *message = strstr(sse.p, "\"seq\":9,\"stream_id\":\"8\"");
    const char *completed = strstr(sse.p, "\"seq\":9,\"stream_id\":\"9\"");
    ck_assert(message && completed && message < completed);
    end();
    begin();
    sh_wire_event(&wire, &(struct sh_live_event){.delta = SH_STR("x"), .durable_seq = 7}, collect,
                  NULL);
    assert_has("\"seq\":7,\"stream_id\":\"7\"");
    end();
}
END_TEST

START_TEST(tools_are_invoked_and_observed) {
    begin();
    event(2, "ActivityScheduled", "{\"ordinal\":0,\"op\":\"llm\",\"args\":{\"a\":1}}");
    event(4, "ActivityCompleted", "{\"ordinal\":0,\"result\":{}}");
    event(5, "ActivityScheduled", "{\"ordinal\":1,\"op\":\"kv.get\"}");
    event(6, "ActivityFailed", "{\"ordinal\":1,\"error\":{\"code\":\"x\"}}");
    assert_has("event: TOOL_INVOKED");
    assert_has("\"params\":{\"a\":1}");
    assert_has("\"duration_ms\":2000");
    assert_has("\"success\":true,\"tool\":\"llm\"");
    assert_has("\"success\":false,\"tool\":\"kv.get\"");
    ck_assert_uint_eq(json_object_size(wire.open), 0);
    end();
}
END_TEST

START_TEST(deltas_are_provisional_and_carry_no_id) {
    begin();
    sh_wire_event(
        &wire,
        &(struct sh_live_event){
            .delta = SH_STR("wo\nrd"), .ordinal = 1, .attempt = 2, .offset = 3, .durable_seq = 7},
        collect, NULL);
    ck_assert_uint_eq(with_id, 0);
    ck_assert_ptr_null(strstr(sse.p, "id:"));
    assert_has("event: thread.message.delta\ndata: {");
    assert_has("\"delta\":\"wo\\nrd\"");
    assert_has("\"seq\":7");
    assert_has("\"attempt\":2");
    end();
}
END_TEST

START_TEST(hostile_text_stays_in_its_line) {
    begin();
    event(1, "Emitted",
          "{\"type\":\"log\",\"data\":{\"message\":\"a\\n\\nevent: done\\ndata: x\"}}");
    ck_assert_ptr_null(strstr(sse.p, "\nevent: done"));
    event(2, "Output", "{\"stream\":1,\"offset\":0,\"data\":\"/w==\"}");
    ck_assert(sh_utf8_valid(sh_buf_str(&sse)));
    end();
}
END_TEST

START_TEST(types_filter_by_either_name) {
    static const struct {
        const char *types;
        size_t want; /* of WORKFLOW_STARTED, completed message, WORKFLOW_COMPLETED, done */
    } cases[] = {
        {NULL, 4},
        {"", 4},
        {"WORKFLOW_STARTED", 2},
        {"WorkflowStarted", 2},
        {"LLM_OUTPUT", 2},
        {"thread.message.completed,WORKFLOW_COMPLETED", 3},
        {"nothing", 1},
        {",,", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin();
        types = cases[i].types;
        event(1, "WorkflowStarted", "{}");
        event(2, "WorkflowCompleted", "{\"result\":\"\"}");
        ck_assert_msg(frames == cases[i].want, "%s: %zu", types ? types : "NULL", frames);
        end();
    }
    types = NULL;
}
END_TEST

START_TEST(unknown_events_are_told_in_capitals) {
    begin();
    event(3, "BudgetExceeded", "{}");
    assert_has("id: 3\nevent: BUDGET_EXCEEDED");
    end();
}
END_TEST

START_TEST(what_no_version_wrote_is_not_told) {
    begin();
    event(3, "Bad\nevent: done", "{}");
    ck_assert_uint_eq(frames, 0);
    event(4, "WorkflowStarted", "{\"seed\":\"5eed\",\"env\":[\"A=B\"],\"stdin\":\"eA==\"}");
    ck_assert_ptr_null(strstr(sse.p, "5eed"));
    ck_assert_ptr_null(strstr(sse.p, "A=B"));
    end();
}
END_TEST

/* The engine's word on what ends a journal; this test links no engine. */
bool sh_event_is_final(struct sh_str type) {
    return sh_str_eqz(type, "WorkflowCompleted") || sh_str_eqz(type, "WorkflowFailed") ||
           sh_str_eqz(type, "WorkflowCancelled");
}

static Suite *suite(void) {
    static const TTest *tests[16];
    size_t n = 0;
    tests[n++] = what_came_of_a_call_is_told_in_a_line;
    tests[n++] = each_event_has_at_most_one_id;
    tests[n++] = the_end_is_message_event_done;
    tests[n++] = stream_ids_lose_nothing;
    tests[n++] = tools_are_invoked_and_observed;
    tests[n++] = deltas_are_provisional_and_carry_no_id;
    tests[n++] = hostile_text_stays_in_its_line;
    tests[n++] = types_filter_by_either_name;
    tests[n++] = unknown_events_are_told_in_capitals;
    tests[n++] = what_no_version_wrote_is_not_told;
    return sh_suite("api_events_wire", tests);
}

SH_TEST_MAIN(suite)
