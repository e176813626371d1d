/* What journals keep beside themselves leaves the disk with the last task that needs it, and not
 * before, whatever happens meanwhile. */
#include "engine/blobs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#define OLD_MS 1
#define YOUNG_MS 3600000

static struct fixture f;

static void forget(const char *id) {
    struct fixture_answer g = {.f = &f};

    sh_engine_forget(f.engine, sh_str(id), fixture_on_json, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
}

static size_t blobs(void) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/blobs", f.dir);
    DIR *d = opendir(path);
    size_t n = 0;

    for (struct dirent *e; d && (e = readdir(d));) {
        n += e->d_name[0] != '.';
    }
    if (d) {
        closedir(d);
    }
    return n;
}

static void blobs_await(size_t n) {
    for (int i = 0; i < 2000 && blobs() != n; i++) {
        fixture_run_ms(&f, 10);
    }
    ck_assert_uint_eq(blobs(), n);
}

/* Records of blobs, and notes about them, that name this in what a power cut would leave. */
static size_t records(const char *table, const char *what) {
    json_t *all = sh_twin_snapshot(sh_twin_named(f.endpoint + 5)), *record;
    const char *key;
    size_t n = 0;

    json_object_foreach(json_object_get(all, table), key, record) {
        n += strstr(key, what) != NULL;
    }
    json_decref(all);
    return n;
}

static void open_with(const char *name, uint64_t grace_ms) {
    f.blob_grace_ms = grace_ms;
    f.first_sweep_ns = 1000000;
    fixture_open(&f, name);
}

/* A task with a checkpoint and one file of that text: two blobs, the file and the manifest. */
static char *task(const char *name, const char *text) {
    sh_auto(sh_free_p) char *program =
        sh_asprintf("(module\nwrite %s %s\ncheckpoint x\nprint %s\n", name, text, name);
    char *id = fixture_submit(&f, program, NULL);
    json_t *row = fixture_wait(&f, id);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    json_decref(row);
    fixture_run_ms(&f, 20); /* it has left, and its blobs are not young any more */
    return id;
}

static void assert_verified(const char *id) {
    json_t *v = fixture_verify(&f, id);

    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
}

START_TEST(a_blob_goes_with_the_last_task_that_names_it) {
    open_with("blobs-shared", OLD_MS);
    sh_auto(sh_free_p) char *one = task("a", "shared"), *two = task("b", "shared");
    sh_auto(sh_free_p) char *three = task("a", "shared"); /* manifest and all */

    ck_assert_uint_eq(blobs(), 3);
    ck_assert_uint_eq(records("blob", one), 4);
    forget(one);
    ck_assert_uint_eq(blobs(), 3);
    ck_assert_uint_eq(records("blob", one), 0);
    assert_verified(two);
    assert_verified(three);
    forget(three);
    ck_assert_uint_eq(blobs(), 2);
    assert_verified(two);
    forget(two);
    ck_assert_uint_eq(blobs(), 0);
    ck_assert_uint_eq(records("meta", "blob:"), 0);
    ck_assert_uint_eq(records("blob", "/"), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_young_blob_stays_until_it_is_not_across_a_restart) {
    open_with("blobs-young", YOUNG_MS);
    sh_auto(sh_free_p) char *id = task("a", "text");

    forget(id);
    ck_assert_uint_eq(blobs(), 2);
    ck_assert_uint_eq(records("meta", "blob:"), 2);
    fixture_stop_engine(&f);
    f.blob_grace_ms = OLD_MS;
    fixture_start_engine(&f);
    blobs_await(0);
    fixture_run_ms(&f, 50);
    ck_assert_uint_eq(records("meta", "blob:"), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_fork_needs_the_blobs_of_its_source) {
    struct fixture_answer g = {.f = &f};

    open_with("blobs-fork", OLD_MS);
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nwrite a text\ncheckpoint x\nstart signal {\"name\":\"n\"}\nwait all\n", NULL);
    fixture_await(&f, id, "ActivityScheduled", 1);
    json_t *events = fixture_events(&f, id), *scheduled = NULL;
    fixture_count(events, "ActivityScheduled", &scheduled);
    sh_engine_fork(f.engine, sh_str(id), (uint64_t)sh_json_get_int(scheduled, "seq", 0),
                   fixture_on_json, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    sh_auto(sh_free_p) char *fork = sh_strdup(json_string_value(json_object_get(g.value, "id")));
    json_decref(events);
    json_decref(g.value);
    ck_assert_int_eq(fixture_signal(&f, id, "n", json_null()), 0);
    json_decref(fixture_wait(&f, id));
    fixture_run_ms(&f, 20);
    forget(id);
    ck_assert_uint_eq(blobs(), 2);
    ck_assert_int_eq(fixture_signal(&f, fork, "n", json_null()), 0);
    json_decref(fixture_wait(&f, fork));
    assert_verified(fork);
    fixture_run_ms(&f, 20);
    forget(fork);
    ck_assert_uint_eq(blobs(), 0);
    fixture_close(&f);
}
END_TEST

/* A compaction takes the names of what went, and leaves those of the checkpoint that stays. */
START_TEST(what_only_compacted_events_named_goes) {
    struct fixture_answer g = {.f = &f};

    open_with("blobs-compact", OLD_MS);
    sh_auto(sh_free_p) char *id = fixture_submit(
        &f, "(module\nwrite a input\ncontinue {\"n\":2}\ncheckpoint x\nprint end\n", NULL);
    json_t *row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    json_decref(row);
    fixture_run_ms(&f, 20);
    ck_assert_uint_eq(blobs(), 4); /* two checkpoints, of one file each */
    sh_engine_compact(f.engine, sh_str(id), fixture_on_json, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
    blobs_await(2);
    assert_verified(id);
    forget(id);
    ck_assert_uint_eq(blobs(), 0);
    fixture_close(&f);
}
END_TEST

/* As an older version left it: no records and no mark. */
static void drop_records(void) {
    json_t *all = sh_twin_snapshot(sh_twin_named(f.endpoint + 5)), *record;
    struct sh_err err = {0};
    struct fixture_answer g = {.f = &f};
    const char *key;

    json_object_foreach(json_object_get(all, "blob"), key, record) {
        struct sh_put put = {SH_TABLE_BLOB, sh_str(key), NULL};
        sh_assert_ok(sh_store_append(f.store, NULL, 0, &put, 1, NULL, NULL, &err), &err);
    }
    struct sh_put mark = {SH_TABLE_META, SH_STR("blobs"), NULL};
    sh_assert_ok(sh_store_append(f.store, NULL, 0, &mark, 1, fixture_on_done, &g, &err), &err);
    sh_store_flush(f.store);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(all);
}

START_TEST(journals_of_an_older_version_are_counted_before_anything_goes) {
    open_with("blobs-older", OLD_MS);
    sh_auto(sh_free_p) char *one = task("a", "shared"), *two = task("b", "shared");

    drop_records();
    ck_assert_uint_eq(records("blob", "/"), 0);
    fixture_stop_engine(&f);
    fixture_start_engine(&f);
    for (int i = 0; i < 1000 && records("meta", "blobs") == 0; i++) {
        fixture_run_ms(&f, 10);
    }
    ck_assert_uint_eq(records("blob", "/"), 8);
    forget(one);
    ck_assert_uint_eq(blobs(), 2);
    assert_verified(two);
    forget(two);
    ck_assert_uint_eq(blobs(), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(more_names_than_a_commit_holds_are_written_in_several) {
    json_t *set = json_object();
    struct fixture_answer g = {.f = &f};

    open_with("blobs-many", OLD_MS);
    for (int i = 0; i < 5000; i++) {
        char name[SH_HASH_HEX_BYTES];
        snprintf(name, sizeof(name), "%064d", i);
        json_object_set_new(set, name, json_true());
    }
    sh_blobs_name_all(f.engine, "wf-many", set, 7, fixture_on_done, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    ck_assert_uint_eq(records("blob", "wf-many"), 10000);
    ck_assert_uint_eq(json_object_size(set), 0);
    json_decref(set);
    fixture_close(&f);
}
END_TEST

/* ---- as files ---- */

static char folder[64];

static char *blob_path(const char *name) {
    return sh_asprintf("%s/%s", folder, name);
}

static void blob_make(const char *name, bool old) {
    sh_auto(sh_free_p) char *path = blob_path(name);
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0400);
    struct timespec times[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};

    ck_assert_int_ge(fd, 0);
    if (old) {
        ck_assert_int_eq(futimens(fd, times), 0);
    }
    close(fd);
}

static bool blob_there(const char *name) {
    sh_auto(sh_free_p) char *path = blob_path(name);

    return access(path, F_OK) == 0;
}

START_TEST(only_old_files_are_removed_and_what_a_crash_left_comes_back) {
    snprintf(folder, sizeof(folder), "/tmp/shannon-blobs-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    blob_make("aa", true);
    blob_make("bb", false);
    ck_assert_int_eq(sh_blob_remove(folder, "aa", 60000), SH_BLOB_GONE);
    ck_assert_int_eq(sh_blob_remove(folder, "aa", 60000), SH_BLOB_GONE);
    ck_assert_int_eq(sh_blob_remove(folder, "bb", 60000), SH_BLOB_YOUNG);
    ck_assert(!blob_there("aa") && blob_there("bb"));
    blob_make("cc.gone", true);
    blob_make("new.1.2", true);
    blob_make("new.1.3", false);
    sh_blobs_restore(folder);
    ck_assert(blob_there("cc") && !blob_there("cc.gone"));
    ck_assert(!blob_there("new.1.2") && blob_there("new.1.3"));
    static const char *const left[] = {"bb", "cc", "new.1.3"};
    for (size_t i = 0; i < 3; i++) {
        sh_auto(sh_free_p) char *path = blob_path(left[i]);
        unlink(path);
    }
    rmdir(folder);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_blob_goes_with_the_last_task_that_names_it,
        a_young_blob_stays_until_it_is_not_across_a_restart,
        a_fork_needs_the_blobs_of_its_source,
        what_only_compacted_events_named_goes,
        journals_of_an_older_version_are_counted_before_anything_goes,
        more_names_than_a_commit_holds_are_written_in_several,
        only_old_files_are_removed_and_what_a_crash_left_comes_back,
        NULL,
    };
    return sh_suite("engine_blobs", tests);
}

SH_TEST_MAIN(suite)
