/* An input that is too large for an event is kept beside the journal, and is the same input for the
 * agent, a replay, a fork, a compacted journal and another machine; it leaves with its task. */
#include "engine/payload.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/private.h"
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

static const char program[] = "(module\ninput hash\nprint x\n";

struct got {
    struct fixture *f;
    bool done;
    json_t *value;
    int fd;
    struct sh_err err;
};

static void on_value(void *arg, json_t *value, const struct sh_err *err) {
    struct got *g = arg;

    g->value = value ? json_deep_copy(value) : NULL;
    g->err = err ? *err : (struct sh_err){0};
    g->done = true;
    sh_loop_stop(g->f->loop);
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    on_value(arg, row, err);
}

static void on_file(void *arg, int fd, uint64_t bytes, const struct sh_err *err) {
    struct got *g = arg;

    (void)bytes;
    g->fd = fd;
    g->err = err ? *err : (struct sh_err){0};
    g->done = true;
    sh_loop_stop(g->f->loop);
}

/* A JSON string of n bytes, its quotes included. */
static struct sh_buf text_of(size_t n) {
    struct sh_buf b;

    sh_buf_init_sure(&b, n + 1);
    char *p = sh_buf_room(&b, n);
    memset(p, 'x', n);
    p[0] = p[n - 1] = '"';
    p[n] = '\0';
    b.len = n;
    return b;
}

static char *submit(struct sh_str text) {
    struct sh_buf b;

    sh_buf_init_sure(&b, text.len + 1);
    sh_buf_add(&b, text.p, text.len);
    char *id = fixture_submit(&f, program, &(struct sh_submit){.input_text = &b});
    ck_assert_ptr_null(b.p); /* taken */
    return id;
}

/* What the agent prints of it: hash and length. */
static char *printed(struct sh_str text) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_sha256(text.p, text.len, &hash);
    sh_hash_hex(&hash, hex);
    return sh_asprintf("%s %zu\nx", hex, text.len);
}

static void assert_saw(struct fixture *at, const char *id, struct sh_str text) {
    json_t *row = fixture_wait(at, id);
    sh_auto(sh_free_p) char *expected = printed(text);
    json_t *kept = json_object_get(row, SH_INPUT_KEPT);

    ck_assert_str_eq(json_string_value(json_object_get(row, "result")), expected);
    ck_assert_ptr_null(json_object_get(row, "input"));
    ck_assert_int_eq(sh_json_get_int(kept, "bytes", 0), (int64_t)text.len);
    ck_assert(memcmp(sh_json_get_str(kept, "blob").p, expected, 64) == 0);
    json_decref(row);
}

static void assert_verified(struct fixture *at, const char *id, bool ok) {
    json_t *v = fixture_verify(at, id);

    ck_assert(sh_json_get_bool(v, "ok", !ok) == ok);
    json_decref(v);
}

static size_t blobs(const struct fixture *at) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/blobs", at->dir);
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
    for (int i = 0; i < 3000 && blobs(&f) != n; i++) {
        fixture_run_ms(&f, 10);
    }
    ck_assert_uint_eq(blobs(&f), n);
}

static void forget(const char *id) {
    struct got g = {.f = &f};

    sh_engine_forget(f.engine, sh_str(id), on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
}

static void open_engine(const char *name) {
    f.blob_grace_ms = 1;
    f.first_sweep_ns = 1000000;
    fixture_open(&f, name);
}

START_TEST(the_largest_input_is_kept_beside_the_journal) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_PAYLOAD_MAX);
    json_t *started = NULL;

    open_engine("payload-largest");
    sh_auto(sh_free_p) char *id = submit(sh_buf_str(&text));
    ck_assert_ptr_nonnull(id);
    assert_saw(&f, id, sh_buf_str(&text));
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "WorkflowStarted", &started), 1);
    sh_auto(sh_free_p) char *body = sh_json_text(started);
    ck_assert_uint_lt(strlen(body), 4096);
    json_decref(events);
    assert_verified(&f, id, true);
    ck_assert_uint_eq(blobs(&f), 1);
    forget(id);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(one_byte_more_is_refused) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_PAYLOAD_MAX + 1);

    open_engine("payload-more");
    ck_assert_ptr_null(submit(sh_buf_str(&text)));
    ck_assert_int_eq(fixture_error.code, SH_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(fixture_error.message, "at most 67108864 bytes"));
    ck_assert_uint_eq(blobs(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_no_json_is_refused_and_nothing_is_left) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(2 * SH_MIB);

    open_engine("payload-bad");
    text.p[SH_MIB] = '"';
    ck_assert_ptr_null(submit(sh_buf_str(&text)));
    ck_assert_int_eq(fixture_error.code, SH_E_JSON);
    ck_assert_uint_eq(blobs(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(of_a_refused_submission_nothing_is_left) {
    struct got g = {.f = &f};

    open_engine("payload-refused");
    struct sh_buf b = text_of(2 * SH_MIB);
    struct sh_submit s = {.agent = SH_STR("nobody"), .input_text = &b};
    sh_engine_submit(f.engine, &s, on_submitted, &g);
    fixture_run(&f, &g.done);
    ck_assert_int_eq(g.err.code, SH_E_NOT_FOUND);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(what_a_crash_left_of_a_submission_goes) {
    struct got g = {.f = &f};

    f.blob_grace_ms = 3600000;
    fixture_open(&f, "payload-left");
    struct sh_buf b = text_of(2 * SH_MIB);
    struct sh_submit s = {.agent = SH_STR("nobody"), .input_text = &b};
    sh_engine_submit(f.engine, &s, on_submitted, &g);
    fixture_run(&f, &g.done);
    fixture_run_ms(&f, 50);
    ck_assert_uint_eq(blobs(&f), 1); /* young */
    f.blob_grace_ms = 1;
    f.first_sweep_ns = 1000000;
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(two_tasks_share_it_and_the_last_takes_it_along) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(2 * SH_MIB);

    open_engine("payload-shared");
    sh_auto(sh_free_p) char *one = submit(sh_buf_str(&text)), *two = submit(sh_buf_str(&text));
    assert_saw(&f, one, sh_buf_str(&text));
    assert_saw(&f, two, sh_buf_str(&text));
    ck_assert_uint_eq(blobs(&f), 1);
    forget(one);
    fixture_run_ms(&f, 50);
    assert_verified(&f, two, true);
    forget(two);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_crash_leaves_the_task_with_its_input) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(2 * SH_MIB);

    open_engine("payload-crash");
    sh_auto(sh_free_p) char *id = submit(sh_buf_str(&text));
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    assert_saw(&f, id, sh_buf_str(&text));
    assert_verified(&f, id, true);
    fixture_close(&f);
}
END_TEST

START_TEST(a_blob_that_was_changed_or_has_gone_fails_the_replay) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(2 * SH_MIB);
    sh_auto(sh_free_p) char *name = printed(sh_buf_str(&text));

    open_engine("payload-changed");
    sh_auto(sh_free_p) char *id = submit(sh_buf_str(&text));
    assert_saw(&f, id, sh_buf_str(&text));
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/blobs/%.64s", f.dir, name);
    ck_assert_int_eq(chmod(path, 0600), 0);
    FILE *file = fopen(path, "r+");
    fputs("[", file);
    fclose(file);
    assert_verified(&f, id, false);
    ck_assert_int_eq(unlink(path), 0);
    assert_verified(&f, id, false);
    fixture_close(&f);
}
END_TEST

START_TEST(an_export_has_it_and_another_machine_replays_it) {
    static struct fixture there;
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_PAYLOAD_MAX);
    struct got out = {.f = &f}, in = {.f = &there};

    open_engine("payload-here");
    fixture_open(&there, "payload-there");
    sh_auto(sh_free_p) char *id = submit(sh_buf_str(&text));
    assert_saw(&f, id, sh_buf_str(&text));
    sh_engine_export(f.engine, sh_str(id), false, on_file, &out);
    fixture_run(&f, &out.done);
    ck_assert_msg(out.err.code == 0, "%s", out.err.message);
    sh_engine_import(there.engine, out.fd, on_value, &in);
    fixture_run(&there, &in.done);
    ck_assert_msg(in.err.code == 0, "%s", in.err.message);
    assert_saw(&there, id, sh_buf_str(&text));
    assert_verified(&there, id, true);
    json_decref(in.value);
    fixture_close(&there);
    fixture_close(&f);
}
END_TEST

START_TEST(a_fork_has_the_same_input) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(2 * SH_MIB);
    struct got g = {.f = &f};

    open_engine("payload-fork");
    sh_auto(sh_free_p) char *id = submit(sh_buf_str(&text));
    assert_saw(&f, id, sh_buf_str(&text));
    sh_engine_fork(f.engine, sh_str(id), 2, on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    forget(id);
    assert_saw(&f, json_string_value(json_object_get(g.value, "id")), sh_buf_str(&text));
    assert_verified(&f, json_string_value(json_object_get(g.value, "id")), true);
    json_decref(g.value);
    fixture_close(&f);
}
END_TEST

START_TEST(a_compacted_journal_keeps_it) {
    struct got g = {.f = &f};

    open_engine("payload-compact");
    struct sh_buf b = text_of(2 * SH_MIB);
    sh_auto(sh_free_p) char *id =
        fixture_submit(&f, "(module\nprint a\ncheckpoint x\ninput hash\nprint x\n",
                       &(struct sh_submit){.input_text = &b});
    json_decref(fixture_wait(&f, id));
    sh_engine_compact(f.engine, sh_str(id), on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    fixture_run_ms(&f, 100);
    ck_assert_uint_ge(blobs(&f), 1);
    assert_verified(&f, id, true);
    json_decref(g.value);
    forget(id);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

/* ---- results ---- */

static void assert_gave(struct fixture *at, const char *id, size_t bytes, const char *hash) {
    json_t *row = fixture_wait(at, id);
    json_t *kept = json_object_get(row, SH_OUTPUT_KEPT);

    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "completed");
    ck_assert_ptr_null(json_object_get(row, "output"));
    ck_assert_int_eq(sh_json_get_int(kept, "bytes", 0), (int64_t)bytes);
    ck_assert(memcmp(sh_json_get_str(kept, "blob").p, hash, 64) == 0);
    json_decref(row);
}

static char *give(size_t bytes, const char *more) {
    sh_auto(sh_free_p) char *text = sh_asprintf("(module\nlarge %zu%s\nprint x\n", bytes, more);
    return fixture_submit(&f, text, NULL);
}

START_TEST(the_largest_result_is_kept_beside_the_journal) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_PAYLOAD_MAX);
    sh_auto(sh_free_p) char *hash = printed(sh_buf_str(&text));
    json_t *end = NULL;

    open_engine("payload-result");
    sh_auto(sh_free_p) char *id = give(SH_PAYLOAD_MAX, "");
    assert_gave(&f, id, SH_PAYLOAD_MAX, hash);
    json_t *events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, "WorkflowCompleted", &end), 1);
    sh_auto(sh_free_p) char *body = sh_json_text(end);
    ck_assert_uint_lt(strlen(body), 4096);
    json_decref(events);
    assert_verified(&f, id, true);
    fixture_run_ms(&f, 50);
    ck_assert_uint_eq(blobs(&f), 1);
    forget(id);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_result_that_fits_its_event_is_there) {
    open_engine("payload-fits");
    sh_auto(sh_free_p) char *id = give(SH_OUTPUT_MAX, "");
    json_t *row = fixture_wait(&f, id);
    ck_assert_uint_eq(json_string_length(json_object_get(row, "output")), SH_OUTPUT_MAX - 2);
    ck_assert_ptr_null(json_object_get(row, SH_OUTPUT_KEPT));
    json_decref(row);
    ck_assert_uint_eq(blobs(&f), 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_result_that_is_no_json_becomes_a_string) {
    sh_auto(sh_buf_done) struct sh_buf quotes = text_of(SH_OUTPUT_MAX + 1), string = {0};

    open_engine("payload-string");
    memset(quotes.p, '"', quotes.len);
    sh_buf_init_sure(&string, 3 * quotes.len);
    sh_json_escape(&string, sh_buf_str(&quotes));
    sh_auto(sh_free_p) char *hash = printed(sh_buf_str(&string));
    sh_auto(sh_free_p) char *id = give(SH_OUTPUT_MAX + 1, " \"");
    assert_gave(&f, id, string.len, hash);
    assert_verified(&f, id, true);
    fixture_close(&f);
}
END_TEST

START_TEST(one_that_becomes_too_large_so_ends_the_task) {
    open_engine("payload-string-large");
    sh_auto(sh_free_p) char *id = give(SH_PAYLOAD_MAX / 2 + 1, " \"");
    json_t *row = fixture_wait(&f, id);
    json_t *error = json_object_get(row, "error");
    ck_assert_str_eq(json_string_value(json_object_get(error, "code")), "output_limit");
    json_decref(row);
    ck_assert_uint_eq(blobs(&f), 0);
    assert_verified(&f, id, true);
    fixture_close(&f);
}
END_TEST

START_TEST(a_result_given_before_a_checkpoint_or_a_crash_is_not_forgotten) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_OUTPUT_MAX + 1);
    sh_auto(sh_free_p) char *hash = printed(sh_buf_str(&text));
    struct got g = {.f = &f};

    open_engine("payload-checkpoint");
    sh_auto(sh_free_p) char *id =
        give(SH_OUTPUT_MAX + 1, "\ncheckpoint x\nstart llm {\"delay_ms\":200}\nwait any");
    fixture_await(&f, id, "ActivityScheduled", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    assert_gave(&f, id, SH_OUTPUT_MAX + 1, hash);
    assert_verified(&f, id, true);
    sh_engine_compact(f.engine, sh_str(id), on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
    fixture_run_ms(&f, 100);
    ck_assert_uint_ge(blobs(&f), 1);
    assert_gave(&f, id, SH_OUTPUT_MAX + 1, hash);
    assert_verified(&f, id, true);
    fixture_close(&f);
}
END_TEST

START_TEST(a_crash_before_its_end_gives_the_same_result) {
    sh_auto(sh_buf_done) struct sh_buf text = text_of(SH_OUTPUT_MAX + 1);
    sh_auto(sh_free_p) char *hash = printed(sh_buf_str(&text));

    open_engine("payload-result-crash");
    sh_auto(sh_free_p) char *id =
        give(SH_OUTPUT_MAX + 1, "\nstart llm {\"delay_ms\":200}\nwait any");
    fixture_await(&f, id, "ActivityScheduled", 1);
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    assert_gave(&f, id, SH_OUTPUT_MAX + 1, hash);
    assert_verified(&f, id, true);
    forget(id);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_cancel_while_it_is_being_kept_ends_the_task) {
    open_engine("payload-cancel");
    f.cancel_grace_ms = 50;
    sh_auto(sh_free_p) char *id =
        give(SH_PAYLOAD_MAX, "\nstart llm {\"delay_ms\":60000}\nwait any");
    ck_assert_int_eq(fixture_control(&f, id, sh_engine_cancel), 0);
    json_t *row = fixture_wait(&f, id);
    ck_assert_str_eq(json_string_value(json_object_get(row, "status")), "canceled");
    json_decref(row);
    forget(id);
    blobs_await(0);
    fixture_close(&f);
}
END_TEST

/* ---- what a child gives to its parent ---- */

static void add_agent(const char *text, const char *name) {
    struct got g = {.f = &f};

    sh_engine_module_add(f.engine, sh_str(text), name, NULL, on_value, &g);
    fixture_run(&f, &g.done);
    ck_assert_msg(g.err.code == 0, "%s", g.err.message);
    json_decref(g.value);
}

/* large: of that instruction, and what the child does then */
static void open_with_child(const char *name, const char *large) {
    static json_t *policy;
    sh_auto(sh_free_p) char *child = sh_asprintf("(module\nlarge %s\nprint x\n", large);

    json_decref(policy);
    policy = json_pack("{s:[{s:s, s:{s:[s,s]}}]}", "rules", "agent", "*", "allow", "tools",
                       "workflow", "llm");
    f.policy_doc = policy;
    open_engine(name);
    add_agent(child, "child");
}

static const char parent[] = "(module\nstart workflow {\"agent\":\"child\"}\nwait any\n";

/* The answer of its activity, whichever it is. */
static json_t *answer_of(const char *id, const char *type) {
    json_t *events, *body = NULL;

    json_decref(fixture_wait(&f, id));
    events = fixture_events(&f, id);
    ck_assert_uint_eq(fixture_count(events, type, &body), 1);
    body = json_deep_copy(body);
    json_decref(events);
    return body;
}

static json_t *result_of(const char *id) {
    json_t *body = answer_of(id, "ActivityCompleted");
    json_t *result = json_incref(json_object_get(body, "result"));

    json_decref(body);
    return result;
}

START_TEST(a_childs_result_is_a_value_in_its_parents_answer) {
    static const size_t sizes[] = {SH_OUTPUT_MAX, SH_OUTPUT_MAX + 1, SH_CHILD_OUTPUT_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        sh_auto(sh_free_p) char *name = sh_asprintf("payload-child-%zu", i);
        sh_auto(sh_free_p) char *large = sh_asprintf("%zu", sizes[i]);
        open_with_child(name, large);
        sh_auto(sh_free_p) char *id = fixture_submit(&f, parent, NULL);
        sh_auto(sh_json_done) json_t *result = result_of(id);
        ck_assert_uint_eq(json_string_length(json_object_get(result, "output")), sizes[i] - 2);
        ck_assert_ptr_null(json_object_get(result, SH_OUTPUT_KEPT));
        assert_verified(&f, id, true);
        fixture_close(&f);
    }
}
END_TEST

START_TEST(of_a_larger_one_the_parent_gets_what_it_is_kept_as) {
    sh_auto(sh_free_p) char *large = sh_asprintf("%llu", SH_CHILD_OUTPUT_MAX + 1);
    open_with_child("payload-child-large", large);
    sh_auto(sh_free_p) char *id = fixture_submit(&f, parent, NULL);
    sh_auto(sh_json_done) json_t *result = result_of(id);
    const json_t *kept = json_object_get(result, SH_OUTPUT_KEPT);
    ck_assert_ptr_null(json_object_get(result, "output"));
    ck_assert_int_eq(sh_json_get_int(kept, "bytes", 0), SH_CHILD_OUTPUT_MAX + 1);
    assert_verified(&f, id, true);
    fixture_close(&f);
}
END_TEST

/* The power goes after each commit of both: the parent gets it from memory or from the row. */
START_TEST(a_crash_gives_the_parent_the_same_result) {
    for (int commits = 0; commits < 8; commits++) {
        sh_auto(sh_free_p) char *name = sh_asprintf("payload-child-crash-%d", commits);
        open_with_child(name, "2097152");
        sh_auto(sh_free_p) char *id = fixture_submit(&f, parent, NULL);
        sh_twin_hold(sh_twin_named(name), true);
        for (int i = 0; i < commits; i++) {
            for (int t = 0; t < 100 && sh_twin_held(sh_twin_named(name)) == 0; t++) {
                fixture_run_ms(&f, 1);
            }
            sh_twin_release(sh_twin_named(name), 1);
        }
        fixture_crash(&f, SH_TWIN_LOSE_ALL);
        sh_twin_hold(sh_twin_named(name), false);
        sh_auto(sh_json_done) json_t *result = result_of(id);
        ck_assert_uint_eq(json_string_length(json_object_get(result, "output")), 2 * SH_MIB - 2);
        assert_verified(&f, id, true);
        fixture_close(&f);
    }
}
END_TEST

static void spoil_the_only_blob(void) {
    sh_auto(sh_free_p) char *folder = sh_asprintf("%s/blobs", f.dir);
    DIR *d = opendir(folder);

    for (struct dirent *e; (e = readdir(d));) {
        sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.') {
            ck_assert_int_eq(chmod(path, 0600), 0);
            FILE *file = fopen(path, "r+");
            ck_assert_ptr_nonnull(file);
            fputs("[", file);
            fclose(file);
        }
    }
    closedir(d);
}

START_TEST(a_childs_result_that_was_changed_is_refused) {
    open_with_child("payload-child-spoilt", "2097152\nstart llm {\"delay_ms\":300}\nwait any");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, parent, NULL);
    blobs_await(1);
    spoil_the_only_blob();
    sh_auto(sh_json_done) json_t *body = answer_of(id, "ActivityFailed");
    ck_assert_str_eq(json_string_value(json_object_get(json_object_get(body, "error"), "code")),
                     sh_code_info(SH_E_CORRUPT)->name);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        the_largest_input_is_kept_beside_the_journal,
        one_byte_more_is_refused,
        what_is_no_json_is_refused_and_nothing_is_left,
        of_a_refused_submission_nothing_is_left,
        what_a_crash_left_of_a_submission_goes,
        two_tasks_share_it_and_the_last_takes_it_along,
        a_crash_leaves_the_task_with_its_input,
        a_blob_that_was_changed_or_has_gone_fails_the_replay,
        an_export_has_it_and_another_machine_replays_it,
        a_fork_has_the_same_input,
        a_compacted_journal_keeps_it,
        the_largest_result_is_kept_beside_the_journal,
        a_result_that_fits_its_event_is_there,
        a_result_that_is_no_json_becomes_a_string,
        one_that_becomes_too_large_so_ends_the_task,
        a_result_given_before_a_checkpoint_or_a_crash_is_not_forgotten,
        a_crash_before_its_end_gives_the_same_result,
        a_cancel_while_it_is_being_kept_ends_the_task,
        a_childs_result_is_a_value_in_its_parents_answer,
        of_a_larger_one_the_parent_gets_what_it_is_kept_as,
        a_crash_gives_the_parent_the_same_result,
        a_childs_result_that_was_changed_is_refused,
        NULL,
    };
    return sh_suite("engine_payload", tests);
}

SH_TEST_MAIN(suite)
