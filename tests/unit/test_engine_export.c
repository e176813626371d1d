/* A task as a file: another machine (another engine with another store, folder and key) verifies
 * and replays it; a file that was changed anywhere is refused. */
#include "engine/archive.h"
#include "engine/export.h"
#include "engine/private.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static struct fixture here, there;

static const char program[] =
    "(module\nprint one\nemit step {\"n\":1}\nstart calculator {\"n\":21}\n"
    "wait all\nrandom\noutput {\"answer\":\"done\"}\nprint two\n";

struct got {
    struct fixture *f;
    bool done;
    json_t *value;
    int fd;
    struct sh_err err;
};

static void on_file(void *arg, int fd, uint64_t bytes, const struct sh_err *err) {
    struct got *g = arg;

    ck_assert_int_eq(fd < 0, err != NULL);
    if (!err) {
        ck_assert_int_eq(lseek(fd, 0, SEEK_END), (off_t)bytes);
    }
    g->fd = fd;
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

static int export_file(struct fixture *f, const char *id) {
    struct got g = {.f = f, .fd = -1};

    sh_engine_export(f->engine, sh_str(id), false, on_file, &g);
    fixture_run(f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    return g.fd;
}

static struct sh_buf export(struct fixture *f, const char *id) {
    sh_auto(sh_close_p) int fd = export_file(f, id);
    struct sh_buf b;
    struct sh_err err = {0};
    size_t n = (size_t)lseek(fd, 0, SEEK_END);

    sh_buf_init(&b, SH_MIB);
    sh_assert_ok(sh_spool_read(fd, 0, sh_buf_room(&b, n), n, &err), &err);
    b.len = n;
    return b;
}

static int in_file(struct sh_str bytes) {
    int fd = memfd_create("archive", MFD_CLOEXEC);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes.p, bytes.len), (ssize_t)bytes.len);
    return fd;
}

/* takes the file */
static int import_file(struct fixture *f, int fd, json_t **ret, struct sh_err *err) {
    struct got g = {.f = f};

    sh_engine_import(f->engine, fd, on_row, &g);
    fixture_run(f, &g.done);
    *err = g.err;
    if (ret) {
        *ret = g.value;
    } else {
        json_decref(g.value);
    }
    return -g.err.code;
}

static int import(struct fixture *f, struct sh_str archive, json_t **ret, struct sh_err *err) {
    return import_file(f, in_file(archive), ret, err);
}

/* The hashes and bodies of the events that an archive holds. */
static int note_event(void *arg, const struct sh_event_record *ev, struct sh_err *err) {
    struct sh_hasher *h = arg;

    (void)err;
    sh_hasher_add(h, ev->hash.b, sizeof(ev->hash.b));
    sh_hasher_str(h, ev->body);
    return 0;
}

static int read_archive(struct sh_str archive, struct sh_import *im, struct sh_hash *ret,
                        struct sh_err *err) {
    sh_auto(sh_close_p) int fd = in_file(archive);
    struct sh_hasher h;

    sh_hasher_init(&h);
    int r = sh_import_read(fd, note_event, &h, im, err);
    sh_hasher_done(&h, ret);
    return r;
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
        struct sh_hash events, plain_events;
        archive.p[at] ^= 4;
        tried++;
        if (read_archive(sh_buf_str(&archive), &im, &events, &err) < 0) {
            refused++;
        } else { /* a fact about the export itself, such as its time; nothing of the task */
            archive.p[at] ^= 4;
            sh_assert_ok(read_archive(sh_buf_str(&archive), &plain, &plain_events, &err), &err);
            ck_assert_uint_eq(im.n_events, plain.n_events);
            ck_assert_uint_eq(im.n_modules, plain.n_modules);
            ck_assert_str_eq(im.id.s, plain.id.s);
            ck_assert(json_equal(json_object_get(im.manifest, "signed"),
                                 json_object_get(plain.manifest, "signed")));
            ck_assert(sh_hash_eq(&events, &plain_events));
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
    sh_auto(sh_close_p) int fd = in_file(sh_buf_str(archive));
    struct sh_archive a = {.fd = fd, .bytes = archive->len};
    struct sh_err err = {0};
    struct sh_buf out;
    uint64_t at, bytes;

    sh_buf_init(&out, SH_MIB);
    while (sh_archive_next(&a, name, &at, &bytes, &err) > 0) {
        bool hit = strncmp(name, drop, strlen(drop)) == 0;
        for (int i = 0; i < (hit ? (twice ? 2 : 0) : 1); i++) {
            sh_archive_add(&out, name, sh_strn(archive->p + at, (size_t)bytes));
        }
    }
    sh_archive_end(&out);
    return out;
}

START_TEST(missing_doubled_and_foreign_files_are_refused) {
    struct sh_import im = {0};
    struct sh_hash events;
    struct sh_err err = {0};

    fixture_open(&here, "export-f");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_decref(fixture_wait(&here, id));
    sh_auto(sh_buf_done) struct sh_buf archive = export(&here, id);
    static const char *const files[] = {"manifest.json", "journal.jsonl"};
    for (size_t i = 0; i < 2; i++) {
        sh_auto(sh_buf_done) struct sh_buf without = repacked(&archive, files[i], false);
        sh_auto(sh_buf_done) struct sh_buf twice = repacked(&archive, files[i], true);
        sh_assert_fails(read_archive(sh_buf_str(&without), &im, &events, &err), SH_E_CORRUPT, &err);
        sh_assert_fails(read_archive(sh_buf_str(&twice), &im, &events, &err), SH_E_CORRUPT, &err);
    }
    /* without its module it verifies as far as the chain goes, where the module is not at hand */
    sh_auto(sh_buf_done) struct sh_buf bare = repacked(&archive, "modules/", false);
    sh_assert_ok(read_archive(sh_buf_str(&bare), &im, &events, &err), &err);
    sh_import_done(&im);
    sh_assert_fails(read_archive(SH_STR(""), &im, &events, &err), SH_E_CORRUPT, &err);
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
    struct sh_import_lines lines;
    sh_auto(sh_close_p) int fd = in_file(sh_buf_str(&archive));
    sh_assert_ok(sh_import_read(fd, NULL, NULL, &im, &err), &err);
    sh_import_lines_init(&lines, &im);
    for (int i = 0; i < 2; i++) {
        struct sh_event_record ev;
        sh_auto(sh_json_done) json_t *line = NULL;
        ck_assert_int_eq(sh_import_next(&lines, &line, &ev, &err), 1);
        sh_assert_ok(sh_store_append(there.store, &ev, 1, NULL, 0, NULL, NULL, &err), &err);
    }
    sh_import_lines_done(&lines);
    sh_import_done(&im);
    sh_assert_ok(import(&there, sh_buf_str(&archive), NULL, &err), &err);
    json_t *v = fixture_verify(&there, id);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    close_both();
}
END_TEST

/* Events behind the end of a task, chained to it. */
struct adding {
    struct sh_event_record last;
    bool found;
};

static void on_last(void *arg, const struct sh_event_record *events, size_t n,
                    const struct sh_err *err) {
    struct adding *a = arg;

    ck_assert_ptr_null(err);
    ck_assert_uint_gt(n, 0);
    a->last = events[n - 1];
    a->found = true;
    sh_loop_stop(here.loop);
}

static void add_event(struct adding *a, const char *id, const char *type, struct sh_str body) {
    struct sh_event_record ev = {.workflow = sh_str(id),
                                 .seq = a->last.seq + 1,
                                 .time_us = a->last.time_us + 1,
                                 .type = sh_str(type),
                                 .body = body};
    struct sh_err err = {0};

    sh_journal_hash(&a->last.hash, ev.seq, ev.time_us, ev.type, ev.body, &ev.hash);
    sh_assert_ok(sh_store_append(here.store, &ev, 1, NULL, 0, NULL, NULL, &err), &err);
    a->last = ev;
}

/* A file beside the journal, all holes, and the event that names it. */
static void add_blob(struct adding *a, const char *id, uint64_t bytes) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    struct sh_err err = {0};
    struct {
        struct sh_hash hash;
        uint64_t bytes;
    } ref = {.bytes = bytes};
    char hex[SH_HASH_HEX_BYTES];
    int fd = memfd_create("hole", MFD_CLOEXEC);

    ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
    sh_assert_ok(sh_spool_copy(fd, 0, bytes, -1, &ref.hash, &err), &err);
    close(fd);
    sh_hash_hex(&ref.hash, hex);
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", here.dir);
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    mkdir(folder, 0700);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(ftruncate(fd, (off_t)bytes), 0);
    close(fd);
    sh_buf_init(&text, SH_KIB);
    sh_buf_adds(&text, "{\"kind\":\"file.kept\",\"data\":\"");
    sh_base64_encode(&text, &ref, sizeof(ref));
    sh_buf_adds(&text, "\"}");
    add_event(a, id, "Observed", sh_buf_str(&text));
}

/* More than once had to fit memory, with an event of the largest size, every byte of it escaped:
 * the file is written and read in pieces. */
START_TEST(a_task_of_any_size_goes_out_and_comes_in) {
    struct adding a = {0};
    struct sh_err err = {0};
    json_t *row = NULL;
    sh_auto(sh_free_p) char *large = sh_alloc(SH_EVENT_BODY_MAX);

    open_both("export-i", "export-j");
    sh_auto(sh_free_p) char *id = fixture_submit(&here, program, NULL);
    json_decref(fixture_wait(&here, id));
    sh_store_read_events(here.store, sh_str(id), 0, SH_JOURNAL_PAGE, on_last, &a);
    fixture_run(&here, &a.found);
    memset(large, '"', SH_EVENT_BODY_MAX);
    add_event(&a, id, "Emitted", sh_strn(large, SH_EVENT_BODY_MAX));
    add_blob(&a, id, 130 * SH_MIB);
    for (size_t i = 0; i < 2 * SH_JOURNAL_PAGE; i++) {
        add_event(&a, id, "Emitted", SH_STR("{}"));
    }
    fixture_run_ms(&here, 1);
    int fd = export_file(&here, id);
    ck_assert_int_gt(lseek(fd, 0, SEEK_END), (off_t)(140 * SH_MIB));
    sh_assert_ok(import_file(&there, fd, &row, &err), &err);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_int_eq(sh_json_get_int(row, "seq", 0), (json_int_t)a.last.seq);
    sh_auto(sh_close_p) int again = export_file(&there, id);
    ck_assert_int_gt(lseek(again, 0, SEEK_END), (off_t)(140 * SH_MIB));
    json_decref(row);
    close_both();
}
END_TEST

START_TEST(a_file_beyond_the_most_is_refused_unread) {
    struct sh_err err = {0};
    int fd = memfd_create("large", MFD_CLOEXEC);

    fixture_open(&here, "export-k");
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)SH_EXPORT_MAX + 1), 0);
    sh_assert_fails(import_file(&here, fd, NULL, &err), SH_E_LIMIT, &err);
    fixture_close(&here);
}
END_TEST

START_TEST(a_manifest_or_a_line_beyond_the_most_is_refused) {
    struct sh_err err = {0};
    struct sh_import im = {0};
    struct sh_hash events;
    sh_auto(sh_buf_done) struct sh_buf archive = {0}, text = {0};

    sh_buf_init(&archive, SH_EXPORT_MANIFEST_MAX + SH_MIB);
    sh_buf_init(&text, SH_EXPORT_MANIFEST_MAX + 1);
    memset(sh_buf_room(&text, SH_EXPORT_MANIFEST_MAX + 1), ' ', SH_EXPORT_MANIFEST_MAX + 1);
    for (size_t over = 0; over < 2; over++) { /* all blanks: what is not too large is no JSON */
        sh_buf_clear(&archive);
        sh_archive_add(&archive, "manifest.json", sh_strn(text.p, SH_EXPORT_MANIFEST_MAX + over));
        sh_archive_end(&archive);
        int r = read_archive(sh_buf_str(&archive), &im, &events, &err);
        ck_assert_int_eq(r, over ? -SH_E_LIMIT : -SH_E_JSON);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {a_finished_task_is_verified_and_replayed_elsewhere,
                                  an_unfinished_task_stands_still_where_it_was_imported,
                                  a_changed_byte_anywhere_is_refused,
                                  missing_doubled_and_foreign_files_are_refused,
                                  what_an_interrupted_import_left_is_replaced_by_the_next,
                                  a_task_of_any_size_goes_out_and_comes_in,
                                  a_file_beyond_the_most_is_refused_unread,
                                  a_manifest_or_a_line_beyond_the_most_is_refused,
                                  NULL};
    return sh_suite("engine_export", tests);
}
SH_TEST_MAIN(suite)
