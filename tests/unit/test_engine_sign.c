/* What a signed head shows: each way to change a finished journal is found, also where the chain
 * was made again. */
#include "engine/journal.h"
#include "engine/sign.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static const char program[] = "(module\nprint one\nstart calculator "
                              "{\"expression\":\"1+1\"}\nwait all\nprint two\n";

static void on_stored(void *arg, const struct sh_err *err) {
    bool *stored = arg;

    ck_assert_msg(!err, "%s", err ? err->message : "");
    *stored = true;
    sh_loop_stop(f.loop);
}

static void append(const struct sh_event_record *events, size_t n, const struct sh_put *puts,
                   size_t n_puts) {
    struct sh_err err = {0};
    bool stored = false;

    sh_assert_ok(sh_store_append(f.store, events, n, puts, n_puts, on_stored, &stored, &err), &err);
    sh_store_flush(f.store);
    fixture_run(&f, &stored);
}

static void put_row(const char *id, json_t *row) {
    struct sh_put put = {SH_TABLE_WORKFLOW, sh_str(id), row};

    append(NULL, 0, &put, 1);
}

/* Write the journal again as somebody would who can compute hashes: `edit` changes bodies, and
 * `drop` events go from its end. gives  the new head */
static struct sh_hash rewrite(const char *id, const char *from, const char *to, size_t drop) {
    json_t *events = fixture_events(&f, id), *all = json_pack("{s:I}", "seq", (json_int_t)1000000);
    struct sh_put cut = {SH_JOURNAL_CUT, sh_str(id), all};
    struct sh_event_record records[64];
    sh_auto(sh_free_p) char *texts[64] = {0};
    struct sh_journal j;
    struct sh_id parsed;
    size_t n = json_array_size(events) - drop;

    ck_assert_int_eq(sh_id_parse(sh_str(id), &parsed), 0);
    sh_journal_init(&j, &parsed);
    for (size_t i = 0; i < n; i++) {
        json_t *ev = json_array_get(events, i);
        char *text = sh_json_text(json_object_get(ev, "body"));
        char *hit = from ? strstr(text, from) : NULL;
        if (hit) {
            char *edited = sh_asprintf("%.*s%s%s", (int)(hit - text), text, to, hit + strlen(from));
            sh_free(text);
            text = edited;
        }
        texts[i] = text;
        records[i] = (struct sh_event_record){.workflow = sh_str(id),
                                              .seq = i + 1,
                                              .time_us = sh_json_get_int(ev, "time_us", 0),
                                              .type = sh_json_get_str(ev, "type"),
                                              .body = sh_str(text)};
        sh_journal_hash(&j.head, i + 1, records[i].time_us, records[i].type, records[i].body,
                        &records[i].hash);
        j.head = records[i].hash;
    }
    append(NULL, 0, &cut, 1);
    append(records, n, NULL, 0);
    for (size_t i = 0; i < n; i++) {
        sh_free(sh_take(&texts[i]));
    }
    struct sh_hash head = j.head;
    sh_journal_done(&j);
    json_decref(events);
    json_decref(all);
    return head;
}

static char *finished(void) {
    char *id = fixture_submit(&f, program, NULL);

    json_decref(fixture_wait(&f, id));
    return id;
}

static void expect(const char *id, bool ok, const char *member, const char *says) {
    json_t *v = fixture_verify(&f, id);
    sh_auto(sh_free_p) char *text = sh_json_text(v);

    ck_assert_msg(sh_json_get_bool(v, "ok", !ok) == ok, "%s", text);
    ck_assert_msg(strstr(json_string_value(json_object_get(v, member)), says) != NULL, "%s", text);
    json_decref(v);
}

START_TEST(an_end_is_signed_with_the_key_of_the_data_directory) {
    fixture_open(&f, "signed");
    sh_auto(sh_free_p) char *id = finished();
    json_t *row = fixture_row(&f, id), *said = json_object_get(row, "signed");
    struct sh_head head;
    struct sh_err err = {0};

    sh_assert_ok(sh_head_check(said, id, &head, &err), &err);
    ck_assert_int_eq((int64_t)head.seq, sh_json_get_int(row, "seq", 0));
    expect(id, true, "signature", "ok");
    sh_assert_fails(sh_head_check(said, "wf-other", &head, &err), SH_E_CORRUPT, &err);
    json_object_set_new(said, "seq", json_integer((json_int_t)head.seq + 1));
    sh_assert_fails(sh_head_check(said, id, &head, &err), SH_E_CORRUPT, &err);
    json_object_set_new(said, "key", json_string("00"));
    sh_assert_fails(sh_head_check(said, id, &head, &err), SH_E_CORRUPT, &err);
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_checkpoint_is_signed_and_the_end_after_it_too) {
    fixture_open(&f, "signed-checkpoint");
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nprint a\ncheckpoint state\nprint b\n", NULL);
    json_t *row = fixture_wait(&f, id);

    expect(id, true, "signature", "ok");
    ck_assert_int_eq(sh_json_get_int(json_object_get(row, "signed"), "seq", 0),
                     sh_json_get_int(row, "seq", -1));
    json_decref(row);
    sh_auto(sh_free_p) char *waits = fixture_submit(
        &f, "(module\ncheckpoint state\nstart signal {\"name\":\"n\"}\nwait all\n", NULL);
    for (bool signed_now = false; !signed_now;) {
        fixture_run_ms(&f, 2);
        row = fixture_row(&f, waits);
        signed_now = json_object_get(row, "signed") != NULL;
        json_decref(row);
    }
    expect(waits, true, "signature", "ok");
    fixture_close(&f);
}
END_TEST

START_TEST(an_edit_is_found_though_the_chain_was_made_again) {
    fixture_open(&f, "edited");
    sh_auto(sh_free_p) char *id = finished();
    json_t *row = fixture_row(&f, id);
    char head[SH_HASH_HEX_BYTES];
    struct sh_hash now = rewrite(id, "\"exit_status\":0", "\"exit_status\":9", 0);

    expect(id, false, "chain", "not the one that the task's record was written with");
    expect(id, false, "signature", "changed after it was signed");
    /* the record is made to agree, too */
    sh_hash_hex(&now, head);
    json_object_set_new(row, "head", json_string(head));
    put_row(id, row);
    expect(id, false, "signature", "changed after it was signed");
    /* and the signature is taken away */
    json_object_del(row, "signed");
    put_row(id, row);
    expect(id, false, "signature", "there is no signature");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(an_end_that_was_cut_off_is_missed) {
    fixture_open(&f, "cut-off");
    sh_auto(sh_free_p) char *id = finished();

    rewrite(id, NULL, NULL, 1);
    expect(id, false, "chain", "the journal ends before event");
    expect(id, false, "signature", "is missing");
    fixture_close(&f);
}
END_TEST

START_TEST(a_signature_of_another_key_is_not_believed) {
    struct sh_sign_key other;

    fixture_open(&f, "other-key");
    sh_auto(sh_free_p) char *id = finished();
    json_t *row = fixture_row(&f, id);
    struct sh_hash head;

    sh_sign_key_new(&other);
    ck_assert_int_eq(sh_hash_parse(sh_json_get_str(row, "head"), &head), 0);
    json_object_set_new(row, "signed",
                        sh_head_sign(&other, id, (uint64_t)sh_json_get_int(row, "seq", 0), &head));
    put_row(id, row);
    expect(id, false, "signature", "not this data directory's");
    json_object_set_new(row, "signed", json_string("yes"));
    put_row(id, row);
    expect(id, false, "signature", "not readable");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

START_TEST(a_journal_from_before_signatures_is_whole_without_one) {
    fixture_open(&f, "unsigned");
    sh_auto(sh_free_p) char *id = finished();
    json_t *row = fixture_row(&f, id);
    char head[SH_HASH_HEX_BYTES];
    struct sh_hash now = rewrite(id, "\"signer\":", "\"sinner\":", 0);

    sh_hash_hex(&now, head);
    json_object_set_new(row, "head", json_string(head));
    json_object_del(row, "signed");
    put_row(id, row);
    expect(id, true, "signature", "none");
    json_decref(row);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {an_end_is_signed_with_the_key_of_the_data_directory,
                                  a_checkpoint_is_signed_and_the_end_after_it_too,
                                  an_edit_is_found_though_the_chain_was_made_again,
                                  an_end_that_was_cut_off_is_missed,
                                  a_signature_of_another_key_is_not_believed,
                                  a_journal_from_before_signatures_is_whole_without_one,
                                  NULL};
    return sh_suite("engine_sign", tests);
}
SH_TEST_MAIN(suite)
