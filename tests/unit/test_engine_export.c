/* A task as a file: another machine (another engine with another store, folder and key) verifies
 * and replays it; a file that was changed anywhere is refused. */
#include "engine/archive.h"
#include "engine/export.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static struct fixture here, there;

static const char program[] =
    "(module\nprint one\nemit step {\"n\":1}\nstart calculator {\"n\":21}\n"
    "wait all\nrandom\noutput {\"answer\":\"done\"}\nprint two\n";

struct got {
    struct fixture *f;
    bool done;
    json_t *value;
    struct sh_buf bytes;
    struct sh_err err;
};

static void on_bytes(void *arg, struct sh_str bytes, const struct sh_err *err) {
    struct got *g = arg;

    sh_buf_init(&g->bytes, SH_EXPORT_MAX);
    sh_buf_add(&g->bytes, bytes.p, bytes.len);
    g->err = err ? *err : (struct sh_err){0};
    g->done = true;
    sh_loop_stop(g->f->loop);
}

static void on_row(void *arg, json_t *value, const struct sh_err *err) {
    struct got *g = arg;

    g->value = value ? json_deep_copy(value) : NULL;
    g->err = err ? *err : (struct sh_err){0};
    g->done = true;
    sh_loop_stop(g->f->loop);
}

static struct sh_buf export(struct fixture *f, const char *id) {
    struct got g = {.f = f};

    sh_engine_export(f->engine, sh_str(id), false, on_bytes, &g);
    fixture_run(f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    return g.bytes;
}

static int import(struct fixture *f, struct sh_str archive, json_t **ret, struct sh_err *err) {
    struct got g = {.f = f};

    sh_engine_import(f->engine, archive, on_row, &g);
    fixture_run(f, &g.done);
    *err = g.err;
    if (ret) {
        *ret = g.value;
    } else {
        json_decref(g.value);
    }
    return -g.err.code;
}

static void open_both(const char *a, const char *b) {
    fixture_open(&here, a);
    fixture_open(&there, b);
}

static void close_both(void) {
    fixture_close(&there);
    fixture_close(&here);
}

START_TEST(a_finished_task_is_verified_and_replayed_elsewhere) {
    struct sh_err err = {0};
    json_t *row = NULL;

    open_both("export-a", "export-b");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_t *ended = fixture_wait(&here, id);
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    sh_assert_ok(import(&there, sh_buf_str(&archive), &row, &err), &err);
    static const char *const same[] = {"id",     "status", "result",      "output",       "agent",
                                       "query",  "input",  "exit_status", "completed_at", "head",
                                       "signed", "usage",  "created_at"};
    for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++) {
        ck_assert_msg(json_equal(json_object_get(row, same[i]), json_object_get(ended, same[i])),
                      "%s", same[i]);
    }
    json_t *was = fixture_verify(&here, id), *is = fixture_verify(&there, id);
    ck_assert_msg(json_equal(was, is) && sh_json_get_bool(is, "ok", false), "%s",
                  json_dumps(is, 0));
    sh_assert_fails(import(&there, sh_buf_str(&archive), NULL, &err), SH_E_EXISTS, &err);
    sh_auto(sh_buf_done) struct sh_buf again = export(&there, id);
    fixture_stop_engine(&here);
    fixture_start_engine(&here);
    sh_assert_fails(import(&here, sh_buf_str(&again), NULL, &err), SH_E_EXISTS, &err);
    json_decref(was);
    json_decref(is);
    json_decref(row);
    json_decref(ended);
    close_both();
}
END_TEST

START_TEST(an_unfinished_task_stands_still_where_it_was_imported) {
    struct sh_err err = {0};
    json_t *row = NULL;

    open_both("export-c", "export-d");
    sh_auto(sh_free_p) char *id = fixture_submit(
        &here, "(module\nprint a\nstart signal {\"name\":\"go\"}\nwait all\nprint b\n", NULL);
    json_t *events = NULL;
    do {
        json_decref(events);
        fixture_run_ms(&here, 2);
        events = fixture_events(&here, id);
    } while (fixture_count(events, "ActivityScheduled", NULL) == 0);
    json_decref(events);
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    sh_assert_ok(import(&there, sh_buf_str(&archive), &row, &err), &err);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "imported");
    ck_assert_int_eq(fixture_signal(&there, id, "go", NULL), SH_E_STATE);
    ck_assert_int_eq(fixture_control(&there, id, sh_engine_cancel), SH_E_STATE);
    fixture_stop_engine(&there);
    fixture_start_engine(&there); /* a restart does not take it up */
    fixture_run_ms(&there, 20);
    json_t *v = fixture_verify(&there, id), *after = fixture_events(&there, id);
    ck_assert_msg(sh_json_get_bool(v, "ok", false), "%s", json_dumps(v, 0));
    ck_assert_str_eq(json_string_value(json_object_get(v, "replay")), "partial");
    ck_assert_uint_eq(fixture_count(after, "Claimed", NULL), 0);
    json_decref(v);
    json_decref(after);
    json_decref(row);
    close_both();
}
END_TEST

START_TEST(a_changed_byte_anywhere_is_refused) {
    struct sh_err err = {0};
    size_t refused = 0, tried = 0;

    fixture_open(&here, "export-e");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_decref(fixture_wait(&here, id));
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    for (size_t at = 0; at < archive.len; at += 7) {
        struct sh_import im = {0}, plain = {0};
        archive.p[at] ^= 4;
        tried++;
        if (sh_import_read(sh_buf_str(&archive), &im, &err) < 0) {
            refused++;
        } else { /* a fact about the export itself, such as its time; nothing of the task */
            archive.p[at] ^= 4;
            sh_assert_ok(sh_import_read(sh_buf_str(&archive), &plain, &err), &err);
            ck_assert_uint_eq(im.n_events, plain.n_events);
            ck_assert_uint_eq(im.n_modules, plain.n_modules);
            ck_assert_str_eq(im.id.s, plain.id.s);
            ck_assert(json_equal(json_object_get(im.manifest, "signed"),
                                 json_object_get(plain.manifest, "signed")));
            for (size_t i = 0; i < im.n_events; i++) {
                ck_assert(sh_hash_eq(&im.events[i].hash, &plain.events[i].hash));
                ck_assert(sh_str_eq(im.events[i].body, plain.events[i].body));
            }
            archive.p[at] ^= 4;
            sh_import_done(&plain);
        }
        sh_import_done(&im);
        archive.p[at] ^= 4;
    }
    ck_assert_uint_gt(refused, tried * 3 / 4); /* the others are padding, times and owners */
    fixture_close(&here);
}
END_TEST

/* The archive taken apart and put together again, with `edit` in the place of `what`. */
static struct sh_buf repacked(const struct sh_buf *archive, const char *drop, bool twice) {
    char name[SH_ARCHIVE_NAME_MAX + 1];
    struct sh_str bytes;
    struct sh_err err = {0};
    struct sh_buf out;
    size_t at = 0;

    sh_buf_init(&out, SH_EXPORT_MAX);
    while (sh_archive_next(sh_buf_str(archive), &at, name, &bytes, &err) > 0) {
        bool hit = strncmp(name, drop, strlen(drop)) == 0;
        for (int i = 0; i < (hit ? (twice ? 2 : 0) : 1); i++) {
            sh_archive_add(&out, name, bytes);
        }
    }
    sh_archive_end(&out);
    return out;
}

START_TEST(missing_doubled_and_foreign_files_are_refused) {
    struct sh_import im = {0};
    struct sh_err err = {0};

    fixture_open(&here, "export-f");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_decref(fixture_wait(&here, id));
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    static const char *const files[] = {"manifest.json", "journal.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        sh_auto(sh_buf_done) struct sh_buf without = repacked(&archive, files[i], false);
        sh_auto(sh_buf_done) struct sh_buf twice = repacked(&archive, files[i], true);
        sh_assert_fails(sh_import_read(sh_buf_str(&without), &im, &err), SH_E_CORRUPT, &err);
        sh_assert_fails(sh_import_read(sh_buf_str(&twice), &im, &err), SH_E_CORRUPT, &err);
    }
    /* without its module it verifies as far as the chain goes, where the module is not at hand */
    sh_auto(sh_buf_done) struct sh_buf bare = repacked(&archive, "modules/", false);
    sh_assert_ok(sh_import_read(sh_buf_str(&bare), &im, &err), &err);
    sh_import_done(&im);
    sh_assert_fails(sh_import_read(SH_STR(""), &im, &err), SH_E_CORRUPT, &err);
    fixture_close(&here);
}
END_TEST

START_TEST(what_an_interrupted_import_left_is_replaced_by_the_next) {
    struct sh_err err = {0};

    open_both("export-g", "export-h");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_decref(fixture_wait(&here, id));
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    struct sh_import im = {0};
    sh_assert_ok(sh_import_read(sh_buf_str(&archive), &im, &err), &err);
    sh_assert_ok(sh_store_append(there.store, im.events, 2, NULL, 0, NULL, NULL, &err), &err);
    sh_import_done(&im);
    sh_assert_ok(import(&there, sh_buf_str(&archive), NULL, &err), &err);
    json_t *v = fixture_verify(&there, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    close_both();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_finished_task_is_verified_and_replayed_elsewhere,
                                  an_unfinished_task_stands_still_where_it_was_imported,
                                  a_changed_byte_anywhere_is_refused,
                                  missing_doubled_and_foreign_files_are_refused,
                                  what_an_interrupted_import_left_is_replaced_by_the_next,
                                  NULL};
    return sh_suite("engine_export", tests);
}
SH_TEST_MAIN(suite)
