/* Journals that cannot be believed or understood: each is named for what it is, and left alone. */
#include "engine/journal.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <stdio.h>

static struct fixture f;

static void on_stored(void *arg, const struct sh_err *err) {
    bool *stored = arg;

    ck_assert_ptr_null(err);
    *stored = true;
    sh_loop_stop(f.loop);
}

/* Write a journal of two events with a row that says it runs, as another program would. */
static void plant(const char *id, const char *type, const char *body, bool chain_ok, uint64_t seq) {
    struct sh_event_record ev = {.workflow = sh_str(id),
                                 .seq = seq,
                                 .time_us = 1,
                                 .type = sh_str(type),
                                 .body = sh_str(body)};
    sh_auto(sh_json_done) json_t *row =
        json_pack("{s:s, s:s, s:s}", "id", id, "status", "running", "agent", "a");
    struct sh_put put = {SH_TABLE_WORKFLOW, sh_str(id), row};
    struct sh_journal j;
    struct sh_err err = {0};
    struct sh_id parsed;
    bool stored = false;

    ck_assert_int_eq(sh_id_parse(sh_str(id), &parsed), 0);
    sh_journal_init(&j, &parsed);
    sh_journal_hash(&j.head, ev.seq, ev.time_us, ev.type, ev.body, &ev.hash);
    ev.hash.b[0] ^= chain_ok ? 0 : 1;
    sh_assert_ok(sh_store_append(f.store, &ev, 1, &put, 1, on_stored, &stored, &err), &err);
    sh_store_flush(f.store);
    fixture_run(&f, &stored);
    sh_journal_done(&j);
}

#define ZERO "0000000000000000000000000000000000000000000000000000000000000000"

static char *start_body(const char *version, const char *script_name) {
    return sh_asprintf(
        "{\"agent\":\"a\",\"argv\":[],\"env\":[],\"input\":{},\"interpreter\":\"" ZERO
        "\",\"kind\":\"python\",\"module\":\"" ZERO "\",\"script_name\":\"%s\","
        "\"seed\":\"" ZERO "\",\"session\":\"s\",\"stdin\":\"\",\"tty\":[],\"v\":%s}",
        script_name, version);
}

START_TEST(a_journal_that_cannot_be_read_is_named_and_left_alone) {
    sh_auto(sh_free_p) char *newer = start_body("2", "main.py");
    sh_auto(sh_free_p) char *good = start_body("1", "main.py");
    sh_auto(sh_free_p) char *outside = start_body("1", "../main.py");
    const struct {
        const char *id, *type, *body, *says;
        bool chain_ok;
        uint64_t seq;
    } cases[] = {
        {"wf-newer", "WorkflowStarted", newer, "newer version", true, 1},
        {"wf-type", "QuantumLeap", "{}", "unknown type", true, 1},
        {"wf-chain", "WorkflowStarted", good, "hash", false, 1},
        {"wf-gap", "WorkflowStarted", good, "missing", true, 2},
        {"wf-json", "WorkflowStarted", "{\"v\":1,", "JSON", true, 1},
        {"wf-path", "WorkflowStarted", outside, "not readable", true, 1},
    };

    fixture_open(&f, "planted");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        plant(cases[i].id, cases[i].type, cases[i].body, cases[i].chain_ok, cases[i].seq);
    }
    fixture_stop_engine(&f);
    fixture_start_engine(&f); /* recovery meets them all, and goes on */
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *row = fixture_row(&f, cases[i].id);
        json_t *v = fixture_verify(&f, cases[i].id);
        sh_auto(sh_free_p) char *text = v ? sh_json_text(v) : sh_strdup(fixture_error.message);
        ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "running");
        ck_assert_msg(!v || !sh_json_get_bool(v, "ok", true), "%s: %s", cases[i].id, text);
        ck_assert_msg(strstr(text, cases[i].says) != NULL, "%s: %s", cases[i].id, text);
        json_decref(row);
        json_decref(v);
    }
    sh_auto(sh_free_p) char *id = fixture_submit(&f, "(module\nprint fine\n", NULL);
    json_decref(fixture_wait(&f, id));
    fixture_close(&f);
}
END_TEST

START_TEST(the_chain_depends_on_every_part_of_an_event) {
    struct sh_hash zero = {0}, one = {.b = {1}}, a, b;
    const struct {
        const struct sh_hash *previous;
        uint64_t seq;
        int64_t time_us;
        const char *type, *body;
    } base = {&zero, 1, 2, "T", "{}"},
      others[] = {{&one, 1, 2, "T", "{}"},  {&zero, 2, 2, "T", "{}"},  {&zero, 1, 3, "T", "{}"},
                  {&zero, 1, 2, "U", "{}"}, {&zero, 1, 2, "T", "{ }"}, {&zero, 1, 2, "T{", "}"}};

    sh_journal_hash(base.previous, base.seq, base.time_us, sh_str(base.type), sh_str(base.body),
                    &a);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        sh_journal_hash(others[i].previous, others[i].seq, others[i].time_us,
                        sh_str(others[i].type), sh_str(others[i].body), &b);
        ck_assert(!sh_hash_eq(&a, &b));
    }
}
END_TEST

START_TEST(a_time_that_is_past_is_slept_at_once_whatever_its_form) {
    static const char *const forms[] = {"\"2020-01-31T12:00:00Z\"", "\"2020-01-31T12:00:00.25Z\"",
                                        "1580472000000"};

    fixture_open(&f, "until");
    for (size_t i = 0; i < 3; i++) {
        sh_auto(sh_free_p) char *program =
            sh_asprintf("(module\nstart sleep {\"until\":%s}\nwait any\n", forms[i]);
        sh_auto(sh_free_p) char *id = fixture_submit(&f, program, NULL);
        json_t *row = fixture_wait(&f, id);
        ck_assert_ptr_nonnull(
            strstr(json_string_value(json_object_get(row, "result")), "slept_ms"));
        json_decref(row);
    }
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_journal_that_cannot_be_read_is_named_and_left_alone,
                                  the_chain_depends_on_every_part_of_an_event,
                                  a_time_that_is_past_is_slept_at_once_whatever_its_form, NULL};
    return sh_suite("engine_journal", tests);
}
SH_TEST_MAIN(suite)
