/* What a workflow does on a good day, and what it says on a bad one. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static void expect(json_t *row, const char *status, const char *result) {
    const char *code = json_string_value(json_object_get(json_object_get(row, "error"), "message"));

    ck_assert_msg(sh_str_eqz(sh_json_get_str(row, "status"), status), "status %s, expected %s: %s",
                  json_string_value(json_object_get(row, "status")), status, code ? code : "");
    if (result) {
        ck_assert_str_eq(json_string_value(json_object_get(row, "result")), result);
    }
}

static void expect_error(json_t *row, const char *code) {
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(row, "error"), "code")),
                     code);
}

/* Run one program to its end, check it and its replay; gives the events. */
static json_t *run_one(const char *program, const char *status, const char *result) {
    sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
    json_t *row, *verified, *events;

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    row = fixture_wait(&f, id);
    expect(row, status, result);
    verified = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(verified);
    ck_assert_msg(sh_json_get_bool(verified, "ok", false), "%s", text);
    ck_assert_str_eq(json_string_value(json_object_get(verified, "replay")), "ok");
    events = fixture_events(&f, id);
    json_decref(row);
    json_decref(verified);
    return events;
}

START_TEST(output_and_exit_status_become_the_result) {
    json_t *events;

    fixture_open(&f, "run");
    events = run_one("(module\nprint hello\nprint world\nexit 0\n", "completed", "hello\nworld");
    ck_assert_uint_eq(fixture_count(events, "WorkflowStarted", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "PolicyDecided", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "Output", NULL), 1); /* folded */
    ck_assert_uint_eq(fixture_count(events, "WorkflowCompleted", NULL), 1);
    json_decref(events);
    events = run_one("(module\nexit 7\n", "failed", NULL);
    json_t *body = NULL;
    ck_assert_uint_eq(fixture_count(events, "WorkflowFailed", &body), 1);
    ck_assert_int_eq(sh_json_get_int(body, "exit_status", 0), 7);
    json_decref(events);
    events = run_one("(module\noutput {\"answer\":\"42\"}\nprint noise\n", "completed", "42");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

/* Live, a result keeps the beginning of stdout; so must a replay, which reads it in other pieces.
 */
START_TEST(a_long_output_gives_the_same_result_in_a_replay) {
    enum { LINES = 5, LINE = 300000 };
    struct sh_buf program;
    char *line = sh_alloc(LINE + 1);
    json_t *events, *body = NULL;

    memset(line, 'x', LINE);
    line[LINE] = '\0';
    sh_buf_init(&program, (LINES + 1) * (LINE + 16));
    sh_buf_adds(&program, "(module\n");
    for (size_t i = 0; i < LINES; i++) {
        sh_buf_adds(&program, "print ");
        sh_buf_adds(&program, line);
        sh_buf_adds(&program, "\nsleep 1\n");
    }
    fixture_open(&f, "long");
    events = run_one(program.p, "completed", NULL);
    ck_assert_uint_eq(fixture_count(events, "WorkflowCompleted", &body), 1);
    ck_assert_uint_gt(sh_json_get_str(body, "result").len, 3 * LINE);
    json_decref(events);
    fixture_close(&f);
    sh_buf_done(&program);
    sh_free(line);
}
END_TEST

START_TEST(activities_of_every_kind_give_results_in_journal_order) {
    json_t *events, *body = NULL;

    fixture_open(&f, "kinds");
    events = run_one("(module\n"
                     "start calculator {\"n\":21}\nwait any\n"
                     "start kv.put {\"key\":\"a\",\"value\":[1,2]}\nwait any\n"
                     "start kv.get {\"key\":\"a\"}\nwait any\n"
                     "start kv.get {\"key\":\"b\"}\nwait any\n"
                     "start sleep {\"ms\":5}\nwait any\n"
                     "start llm {\"q\":\"x\"}\nwait any\n",
                     "completed",
                     "1 {\"ok\":{\"value\":42}}\n2 {\"ok\":{}}\n"
                     "3 {\"ok\":{\"found\":true,\"value\":[1,2]}}\n"
                     "4 {\"ok\":{\"found\":false,\"value\":null}}\n5 {\"ok\":{\"slept_ms\":5}}\n"
                     "6 {\"ok\":{\"content\":\"{\\\"q\\\":\\\"x\\\"}\",\"model\":\"fake\","
                     "\"provider\":\"fake\",\"usage\":{\"cost_usd\":0.0,\"input_tokens\":2,"
                     "\"output_tokens\":3,\"total_tokens\":5}}}");
    ck_assert_uint_eq(fixture_count(events, "ActivityScheduled", &body), 2); /* sleep and llm */
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", NULL), 5);
    ck_assert_uint_eq(fixture_count(events, "TimerFired", NULL), 1);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(parallel_activities_come_in_the_order_of_the_journal) {
    json_t *events;

    fixture_open(&f, "parallel");
    events = run_one("(module\nstart llm {\"delay_ms\":60}\nstart llm {\"delay_ms\":5}\n"
                     "start calculator {\"n\":1}\nstart sleep {\"ms\":30}\nwait all\n",
                     "completed", NULL);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(a_device_line_carries_its_id_back) {
    json_t *events;

    fixture_open(&f, "line");
    events =
        run_one("(module\n"
                "start line {\"op\":\"calculator\",\"args\":{\"n\":3},\"id\":\"q1\"}\nwait any\n"
                "start line {\"op\":\"input\",\"id\":2}\nwait any\n"
                "start line nonsense\nwait any\n"
                "start line {\"id\": \"q4\", \"x\\u0000\": 1}\nwait any\n"
                "start line {\"id\":5}\nwait any\n"
                "start line {\"id\":[6,7], nonsense}\nwait any\n",
                "completed", NULL);
    json_t *body = NULL;
    fixture_count(events, "ActivityCompleted", &body);
    ck_assert_str_eq(json_string_value(json_object_get(body, "id")), "q1");
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 4);
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "code")),
                     "invalid_json");
    ck_assert_ptr_null(json_object_get(body, "id"));
    json_t *ids = json_array(), *expected = json_pack("[s,i]", "q4", 5);
    size_t i;
    json_t *ev;
    json_array_foreach(events, i, ev) {
        json_t *id = json_object_get(json_object_get(ev, "body"), "id");
        if (sh_str_eqz(sh_json_get_str(ev, "type"), "ActivityFailed") && id) {
            json_array_append(ids, id);
        }
    }
    ck_assert(json_equal(ids, expected));
    json_decref(ids);
    json_decref(expected);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(what_may_not_be_done_fails_as_an_activity) {
    static const struct {
        const char *line, *code;
    } cases[] = {
        {"start nothing {}", "unknown_tool"},
        {"start web_search {}", "permission_denied"},
        {"start calculator {", "invalid_json"},
        {"start calculator [1]", "invalid_argument"},
        {"start calculator {\"n\":-1}", "invalid_argument"},
        {"start llm {\"retry\":{\"attempts\":0}}", "invalid_argument"},
        {"start llm {\"retry\":{\"atempts\":1}}", "invalid_argument"},
        {"start llm {\"timeout_ms\":0}", "invalid_argument"},
        {"start sleep {\"until\":\"yesterday!\"}", "invalid_argument"},
        {"start kv.get {\"key\":\"\"}", "invalid_argument"},
    };

    fixture_open(&f, "refused");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_auto(sh_free_p) char *program = sh_asprintf("(module\n%s\nwait any\n", cases[i].line);
        json_t *body = NULL, *events = run_one(program, "completed", NULL);
        ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
        ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "code")),
                         cases[i].code);
        json_decref(events);
    }
    ck_assert_uint_eq(fake_llm.n_keys, 0);
    fixture_close(&f);
}
END_TEST

static char *submit_limited(const char *program, const char *limits) {
    struct sh_err err = {0};
    json_t *caps = NULL;
    char *id;

    sh_assert_ok(sh_json_parse(sh_str(limits), SH_MIB, &caps, &err), &err);
    id = fixture_submit(&f, program, &(struct sh_submit){.capabilities = caps});
    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    json_decref(caps);
    return id;
}

/* A denial at the call says what was asked for, which rule denied it, and what would grant it. */
START_TEST(a_denied_call_names_the_rule_and_the_way_out) {
    static const struct {
        const char *op, *request, *says;
    } cases[] = {
        {"llm", NULL, "rule 1 of the policy (all agents) denies it"},
        {"llm", NULL, "run with --tool llm"},
        {"web_search", NULL, "rule 1 of the policy (all agents) asks a person first"},
        {"web_search", NULL, "put allow = { tools = [\"web_search\"] } into a rule"},
        {"calculator", "{\"tools\":[]}",
         "rule 1 of the policy (all agents) allows it, but this task was not given it"},
    };
    json_t *policy =
        json_pack("{s:[{s:s, s:{s:[s]}, s:{s:[s]}, s:{s:[s]}}]}", "rules", "agent", "*", "allow",
                  "tools", "calculator", "ask", "tools", "web_search", "deny", "tools", "llm");

    f.policy_doc = policy;
    fixture_open(&f, "denials");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_auto(sh_free_p) char *program =
            sh_asprintf("(module\nstart %s {}\nwait any\n", cases[i].op);
        sh_auto(sh_free_p) char *id =
            submit_limited(program, cases[i].request ? cases[i].request : "{}");
        json_t *body = NULL;
        const char *message;

        json_decref(fixture_wait(&f, id));
        sh_auto(sh_json_done) json_t *events = fixture_events(&f, id);
        ck_assert_uint_eq(fixture_count(events, "ActivityFailed", &body), 1);
        message = json_string_value(json_object_get(json_object_get(body, "error"), "message"));
        ck_assert_msg(strstr(message, cases[i].says) != NULL, "%s: %s", cases[i].op, message);
        ck_assert_ptr_nonnull(strstr(message, "is not granted to agent"));
    }
    fixture_close(&f);
    json_decref(policy);
}
END_TEST

START_TEST(a_failed_call_is_tried_again_under_the_same_key) {
    json_t *events, *body = NULL;

    fixture_open(&f, "retry");
    fake_llm.failures = 2;
    fake_llm.retryable = true;
    events = run_one("(module\nstart llm {\"retry\":{\"attempts\":3,\"backoff_ms\":1}}\nwait any\n",
                     "completed", NULL);
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", NULL), 2);
    ck_assert_uint_eq(fixture_count(events, "ActivityCompleted", &body), 1);
    ck_assert_int_eq(sh_json_get_int(body, "attempt", 0), 3);
    ck_assert_uint_eq(fake_llm.n_keys, 3);
    ck_assert_str_eq(fake_llm.keys[0], fake_llm.keys[2]);
    json_decref(events);
    fake_llm.failures = 9;
    fake_llm.retryable = false;
    events = run_one("(module\nstart llm {}\nwait any\n", "completed", NULL);
    ck_assert_uint_eq(fixture_count(events, "ActivityFailed", NULL), 1);
    ck_assert_uint_eq(fixture_count(events, "ActivityRetried", NULL), 0);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(a_result_ends_at_its_limit) {
    json_t *body = NULL;

    fixture_open(&f, "result-limit");
    for (size_t more = 0; more < 2; more++) {
        fake_llm.result_bytes = SH_ACTIVITY_RESULT_MAX + more;
        sh_auto(sh_free_p) char *id =
            fixture_submit(&f, "(module\nstart llm {\"q\":1}\nwait any\n", NULL);
        json_decref(fixture_wait(&f, id));
        json_t *events = fixture_events(&f, id);
        ck_assert_uint_eq(
            fixture_count(events, more ? "ActivityFailed" : "ActivityCompleted", &body), 1);
        sh_auto(sh_free_p) char *text =
            sh_json_text(json_object_get(body, more ? "error" : "result"));
        ck_assert_msg(more ? strstr(text, "limit_exceeded") && strstr(text, "4194305 bytes")
                           : strlen(text) == SH_ACTIVITY_RESULT_MAX,
                      "%.300s", text);
        json_decref(events);
        json_t *v = fixture_verify(&f, id);
        ck_assert(sh_json_get_bool(v, "ok", false));
        json_decref(v);
    }
    fake_llm.result_bytes = 0;
    fixture_close(&f);
}
END_TEST

START_TEST(ends_have_their_own_codes) {
    json_t *events, *body = NULL;

    fixture_open(&f, "ends");
    events = run_one("(module\nprint a\ntrap here\n", "failed", NULL);
    ck_assert_uint_eq(fixture_count(events, "WorkflowFailed", &body), 1);
    ck_assert_str_eq(json_string_value(json_object_get(body, "code")), "trap");
    ck_assert_str_eq(json_string_value(json_object_get(body, "trap")), "unreachable");
    ck_assert_int_eq(sh_json_get_int(body, "exit_status", 0), 134);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(fuel_that_a_trap_lost_is_not_compared) {
    json_t *body = NULL;

    fixture_open(&f, "lost");
    json_t *events = run_one("(module\nprint a\ntrap overflow\n", "failed", NULL);
    ck_assert_uint_eq(fixture_count(events, "WorkflowFailed", &body), 1);
    ck_assert_str_eq(json_string_value(json_object_get(body, "trap")), "integer overflow");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(limits_end_a_workflow_with_their_names) {
    static const struct {
        const char *program, *limits, *status, *code;
    } cases[] = {
        {"(module\nspin 100\n", "{\"limits\":{\"fuel\":5000}}", "failed", "fuel_exhausted"},
        {"(module\nloop\n", "{\"limits\":{\"wall_clock\":\"50ms\"}}", "timeout",
         "wall_clock_limit"},
        {"(module\nstart llm {\"delay_ms\":60000}\nwait any\n",
         "{\"limits\":{\"wall_clock\":\"50ms\"},\"tools\":[\"llm\"]}", "timeout",
         "wall_clock_limit"},
    };

    fixture_open(&f, "limits");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sh_auto(sh_free_p) char *id = submit_limited(cases[i].program, cases[i].limits);
        json_t *row = fixture_wait(&f, id);
        json_t *verified = fixture_verify(&f, id);
        expect(row, cases[i].status, NULL);
        expect_error(row, cases[i].code);
        ck_assert(sh_json_get_bool(verified, "ok", false));
        json_decref(verified);
        json_decref(row);
    }
    fixture_close(&f);
}
END_TEST

START_TEST(waiting_for_a_timer_costs_no_wall_clock) {
    fixture_open(&f, "timer");
    sh_auto(sh_free_p) char *id = submit_limited("(module\nstart sleep {\"ms\":2500}\nwait any\n",
                                                 "{\"limits\":{\"wall_clock\":\"2s\"}}");
    json_t *row = fixture_wait(&f, id);
    expect(row, "completed", NULL);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(what_nobody_granted_is_rejected_and_journaled) {
    json_t *row, *events, *body = NULL;

    fixture_open(&f, "rejected");
    sh_auto(sh_free_p) char *id =
        submit_limited("(module\nprint never\n", "{\"tools\":[\"web_search\"]}");
    row = fixture_wait(&f, id);
    expect(row, "rejected", NULL);
    expect_error(row, "permission_denied");
    events = fixture_events(&f, id);
    ck_assert_uint_eq(json_array_size(events), 3);
    ck_assert_uint_eq(fixture_count(events, "PolicyDecided", &body), 1);
    ck_assert_str_eq(json_string_value(json_object_get(body, "verdict")), "deny");
    json_decref(row);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(cancel_is_seen_by_a_waiting_agent_and_stops_one_that_does_not_look) {
    json_t *row;

    fixture_open(&f, "cancel");
    sh_auto(sh_free_p) char *looks = fixture_submit(
        &f, "(module\nstart sleep {\"seconds\":3600}\nwait any\nprint cleanup\n", NULL);
    ck_assert_int_eq(fixture_control(&f, looks, sh_engine_cancel), 0);
    row = fixture_wait(&f, looks);
    expect(row, "canceled", "canceled\ncleanup");
    json_decref(row);
    sh_auto(sh_free_p) char *loops = fixture_submit(&f, "(module\nloop\n", NULL);
    ck_assert_int_eq(fixture_control(&f, loops, sh_engine_cancel), 0);
    row = fixture_wait(&f, loops);
    expect(row, "canceled", NULL);
    json_decref(row);
    ck_assert_int_eq(fixture_control(&f, loops, sh_engine_cancel), SH_E_STATE);
    ck_assert_int_eq(fixture_control(&f, "wf-unknown", sh_engine_cancel), SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

START_TEST(a_paused_workflow_rests_and_goes_on) {
    json_t *row;

    fixture_open(&f, "pause");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nstart sleep {\"ms\":30}\nwait any\nprint done\n", NULL);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_pause), 0);
    fixture_run_ms(&f, 80);
    row = fixture_row(&f, id);
    expect(row, "paused", NULL);
    json_decref(row);
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_resume), 0);
    row = fixture_wait(&f, id);
    expect(row, "completed", NULL);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(live_standard_input_is_journaled_before_it_is_read) {
    struct sh_err err = {0};
    json_t *row, *events;

    fixture_open(&f, "stdin");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nread\nread\n", &(struct sh_submit){.stdin_live = true});
    fixture_run_ms(&f, 20);
    sh_assert_ok(sh_engine_stdin(f.engine, sh_str(id), SH_STR("line"), false, &err), &err);
    fixture_run_ms(&f, 20);
    sh_assert_ok(sh_engine_stdin(f.engine, sh_str(id), SH_STR(""), true, &err), &err);
    row = fixture_wait(&f, id);
    expect(row, "completed", "read \"line\"\nread \"\"");
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "Observed", NULL), 2);
    json_t *verified = fixture_verify(&f, id);
    ck_assert(sh_json_get_bool(verified, "ok", false));
    json_decref(verified);
    json_decref(events);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(options_of_an_activity_are_part_of_its_request) {
    json_t *events, *body = NULL;

    fixture_open(&f, "options");
    events = run_one("(module\nstart calculator {\"n\":1,\"timeout_ms\":5}\nwait any\n"
                     "start kv.get {\"key\":\"\",\"retry\":{\"attempts\":2}}\nwait any\n",
                     "completed", NULL);
    fixture_count(events, "ActivityCompleted", &body);
    ck_assert_int_eq(sh_json_get_int(json_object_get(body, "args"), "timeout_ms", 0), 5);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(an_idempotency_key_submits_once) {
    struct sh_submit s = {.idempotency_key = SH_STR("k1")};
    struct sh_submit other = {.idempotency_key = SH_STR("k1"), .idempotency_digest = {.b = {1}}};

    fixture_open(&f, "key");
    sh_auto(sh_free_p) char *first = fixture_submit(&f, "(module\nprint a\n", &s);
    sh_auto(sh_free_p) char *again = fixture_submit(&f, "(module\nprint a\n", &s);
    ck_assert_str_eq(first, again);
    ck_assert_ptr_null(fixture_submit(&f, "(module\nprint a\n", &other));
    ck_assert_int_eq(fixture_error.code, SH_E_EXISTS);
    json_decref(fixture_wait(&f, first));
    fixture_close(&f);
}
END_TEST

static char *query_of(size_t chars) {
    char *q = sh_alloc(chars + 1);

    memset(q, 'q', chars);
    q[chars] = '\0';
    return q;
}

START_TEST(a_query_has_1_to_10000_characters) {
    fixture_open(&f, "query");
    sh_auto(sh_free_p) char *most = query_of(10000);
    sh_auto(sh_free_p) char *more = query_of(10001);
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\n", &(struct sh_submit){.query = sh_str(most)});
    ck_assert_ptr_nonnull(id);
    json_decref(fixture_wait(&f, id));
    ck_assert_ptr_null(fixture_submit(&f, "(module\n", &(struct sh_submit){.query = sh_str(more)}));
    ck_assert_int_eq(fixture_error.code, SH_E_INVAL);
    fixture_close(&f);
}
END_TEST

START_TEST(an_outcome_that_comes_while_a_checkpoint_is_written_does_not_run_the_old_agent) {
    json_t *events;

    fixture_open(&f, "checkpoint-outcome");
    events = run_one("(module\nstart calculator {\"n\":1}\ncheckpoint state\nprint end\n",
                     "completed", "began anew\nend");
    ck_assert_uint_eq(fixture_count(events, "Checkpoint", NULL), 1);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(a_checkpoint_starts_the_agent_anew) {
    json_t *events;

    fixture_open(&f, "checkpoint");
    events = run_one("(module\nstart calculator {\"n\":1}\nwait any\nprint x\ncheckpoint state\n"
                     "start calculator {\"n\":2}\nwait any\n",
                     "completed", NULL);
    ck_assert_uint_eq(fixture_count(events, "Checkpoint", NULL), 1);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

/* As an agent does that waits with a limit, drops the timer and makes a checkpoint. */
START_TEST(what_was_dropped_before_a_checkpoint_may_end_after_it) {
    json_t *events;

    fixture_open(&f, "checkpoint-dropped");
    events =
        run_one("(module\nstart sleep {\"ms\":30}\ncheckpoint state\nstart sleep {\"ms\":120}\n"
                "wait 3\nprint end\n",
                "completed", NULL);
    ck_assert_uint_eq(fixture_count(events, "TimerFired", NULL), 3);
    json_decref(events);
    fixture_close(&f);
}
END_TEST

START_TEST(a_device_reads_the_state_of_the_last_checkpoint) {
    json_t *events;

    fixture_open(&f, "checkpoint-state");
    events = run_one("(module\nstart state {}\nwait any\ncheckpoint {\"n\":1}\n", "completed",
                     "1 {\"ok\":{\"found\":false,\"state\":null}}\n"
                     "2 {\"ok\":{\"found\":true,\"state\":{\"n\":1}}}\nbegan anew");
    json_decref(events);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        output_and_exit_status_become_the_result,
        a_long_output_gives_the_same_result_in_a_replay,
        activities_of_every_kind_give_results_in_journal_order,
        parallel_activities_come_in_the_order_of_the_journal,
        a_device_line_carries_its_id_back,
        what_may_not_be_done_fails_as_an_activity,
        a_denied_call_names_the_rule_and_the_way_out,
        a_failed_call_is_tried_again_under_the_same_key,
        a_result_ends_at_its_limit,
        ends_have_their_own_codes,
        fuel_that_a_trap_lost_is_not_compared,
        limits_end_a_workflow_with_their_names,
        waiting_for_a_timer_costs_no_wall_clock,
        what_nobody_granted_is_rejected_and_journaled,
        cancel_is_seen_by_a_waiting_agent_and_stops_one_that_does_not_look,
        a_paused_workflow_rests_and_goes_on,
        live_standard_input_is_journaled_before_it_is_read,
        options_of_an_activity_are_part_of_its_request,
        an_idempotency_key_submits_once,
        a_query_has_1_to_10000_characters,
        a_checkpoint_starts_the_agent_anew,
        a_device_reads_the_state_of_the_last_checkpoint,
        what_was_dropped_before_a_checkpoint_may_end_after_it,
        an_outcome_that_comes_while_a_checkpoint_is_written_does_not_run_the_old_agent,
        NULL};
    return sh_suite("engine_run", tests);
}
SH_TEST_MAIN(suite)
