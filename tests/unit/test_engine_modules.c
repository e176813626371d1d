/* A file under modules/ is taken only when it holds what its name says. */
#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROGRAM "(module\nprint one\n"

static struct fixture f;

struct answer {
    bool done;
    struct sh_err err;
    char id[64];
};

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct answer *a = arg;
    struct sh_str id = sh_json_get_str(row, "id");

    (void)cached;
    a->done = true;
    snprintf(a->id, sizeof(a->id), "%.*s", (int)id.len, id.p ? id.p : "");
    if (err) {
        a->err = *err;
    }
    sh_loop_stop(f.loop);
}

static struct answer submit(const char *hash) {
    struct answer a = {0};
    struct sh_submit s = {.agent = sh_str(hash), .query = SH_STR("q")};

    sh_engine_submit(f.engine, &s, on_submitted, &a);
    fixture_run(&f, &a.done);
    return a;
}

static char *path_of(const char *program, char hex[SH_HASH_HEX_BYTES]) {
    struct sh_hash hash;

    sh_sha256(program, strlen(program), &hash);
    sh_hash_hex(&hash, hex);
    return sh_asprintf("%s/modules/%s", f.dir, hex);
}

static void put(const char *path, const char *text) {
    int fd;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0400);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

START_TEST(a_module_whose_bytes_are_not_those_of_its_name_is_corrupt) {
    char hex[SH_HASH_HEX_BYTES];
    struct answer a;

    fixture_open(&f, "modules");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, NULL);
    sh_auto(sh_free_p) char *path = path_of(PROGRAM, hex);
    json_decref(fixture_wait(&f, id));
    fixture_stop_engine(&f); /* what is loaded goes with it */
    put(path, "(module\nprint another\n");
    fixture_start_engine(&f);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, SH_E_CORRUPT);
    ck_assert_ptr_nonnull(strstr(a.err.message, hex));
    put(path, PROGRAM);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, 0);
    fixture_close(&f);
}
END_TEST

START_TEST(a_module_whose_file_is_gone_is_not_found) {
    char hex[SH_HASH_HEX_BYTES];
    struct answer a;

    fixture_open(&f, "gone");
    sh_auto(sh_free_p) char *id = fixture_submit(&f, PROGRAM, NULL);
    sh_auto(sh_free_p) char *path = path_of(PROGRAM, hex);
    json_decref(fixture_wait(&f, id));
    fixture_stop_engine(&f);
    ck_assert_int_eq(unlink(path), 0);
    fixture_start_engine(&f);
    a = submit(hex);
    ck_assert_int_eq(a.err.code, SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

struct added {
    bool done;
    json_t *value;
};

static void on_value(void *arg, json_t *value, const struct sh_err *err) {
    struct added *a = arg;

    ck_assert_msg(!err, "%s", err ? err->message : "");
    a->done = true;
    a->value = json_incref(value);
    sh_loop_stop(f.loop);
}

static json_t *add_program(const char *program, const char *name, const json_t *manifest) {
    struct added a = {0};

    sh_engine_module_add(f.engine, sh_str(program), name, manifest, on_value, &a);
    fixture_run(&f, &a.done);
    return a.value;
}

static json_t *add(const char *name, const json_t *manifest) {
    return add_program(PROGRAM, name, manifest);
}

/* Else to run the file of a registered agent would take its manifest from it. */
START_TEST(bytes_alone_leave_a_registered_module_as_it_is) {
    struct added listed = {0};

    fixture_open(&f, "known");
    sh_auto(sh_json_done) json_t *manifest = json_pack("{s:[s]}", "tools", "kv");
    json_decref(add("answer", manifest));
    sh_auto(sh_json_done) json_t *again = add(NULL, NULL);
    ck_assert_str_eq(json_string_value(json_object_get(again, "name")), "answer");
    sh_engine_module_list(f.engine, on_value, &listed);
    fixture_run(&f, &listed.done);
    json_t *record = json_array_get(listed.value, 0);
    ck_assert_uint_eq(json_array_size(listed.value), 1);
    ck_assert_str_eq(json_string_value(json_object_get(record, "name")), "answer");
    ck_assert(json_equal(json_object_get(record, "manifest"), manifest));
    json_decref(listed.value);
    json_decref(add("answer", NULL)); /* registered anew: this time it asks for nothing special */
    listed = (struct added){0};
    sh_engine_module_list(f.engine, on_value, &listed);
    fixture_run(&f, &listed.done);
    ck_assert_ptr_null(json_object_get(json_array_get(listed.value, 0), "manifest"));
    json_decref(listed.value);
    fixture_close(&f);
}
END_TEST

/* The name that the list shows for the module with this hash. */
static void assert_listed(const json_t *module, const char *name) {
    struct added listed = {0};
    const json_t *hash = json_object_get(module, "hash");
    bool found = false;
    size_t i;
    json_t *record;

    sh_engine_module_list(f.engine, on_value, &listed);
    fixture_run(&f, &listed.done);
    json_array_foreach(listed.value, i, record) {
        if (json_equal(json_object_get(record, "hash"), hash)) {
            ck_assert_pstr_eq(json_string_value(json_object_get(record, "name")), name);
            found = true;
        }
    }
    ck_assert(found);
    json_decref(listed.value);
}

START_TEST(a_name_is_listed_with_the_module_that_has_it_now) {
    struct added removed = {0};

    fixture_open(&f, "renamed");
    sh_auto(sh_json_done) json_t *old = add_program(PROGRAM, "answer", NULL);
    assert_listed(old, "answer");
    sh_auto(sh_json_done) json_t *new = add_program("(module\nprint two\n", "answer", NULL);
    assert_listed(new, "answer");
    assert_listed(old, NULL);
    sh_engine_module_remove(f.engine, SH_STR("answer"), on_value, &removed);
    fixture_run(&f, &removed.done);
    ck_assert(json_equal(json_object_get(removed.value, "hash"), json_object_get(new, "hash")));
    json_decref(removed.value);
    assert_listed(old, NULL);
    fixture_close(&f);
}
END_TEST

/* A task of `agent` runs that module under that name. */
static void assert_module_of(const char *agent, const json_t *module, const char *name) {
    struct answer a = submit(agent);

    ck_assert_int_eq(a.err.code, 0);
    sh_auto(sh_json_done) json_t *row = fixture_wait(&f, a.id);
    ck_assert(json_equal(json_object_get(row, "module"), json_object_get(module, "hash")));
    ck_assert_str_eq(json_string_value(json_object_get(row, "agent")), name);
}

/* What is remembered of an agent is forgotten when it changes: by name and by hash. */
START_TEST(a_task_gets_the_agent_as_it_is_registered_now) {
    struct added removed = {0};
    const char *hash;

    fixture_open(&f, "remembered");
    sh_auto(sh_json_done) json_t *old = add_program(PROGRAM, NULL, NULL);
    hash = json_string_value(json_object_get(old, "hash"));
    assert_module_of(hash, old, hash);
    assert_module_of(hash, old, hash);
    json_decref(
        add_program(PROGRAM, "answer", NULL)); /* it has a name now: rules may speak of it */
    assert_module_of(hash, old, "answer");
    assert_module_of("answer", old, "answer");
    assert_module_of("answer", old, "answer");
    sh_auto(sh_json_done) json_t *new = add_program("(module\nprint two\n", "answer", NULL);
    assert_module_of("answer", new, "answer");
    assert_module_of(hash, old, hash);
    sh_engine_module_remove(f.engine, SH_STR("answer"), on_value, &removed);
    fixture_run(&f, &removed.done);
    json_decref(removed.value);
    ck_assert_int_eq(submit("answer").err.code, SH_E_NOT_FOUND);
    fixture_close(&f);
}
END_TEST

/* Else each task of an agent would wait for two or three questions to the database. */
START_TEST(a_known_agent_is_not_looked_up_again) {
    char hash[SH_HASH_HEX_BYTES];

    fixture_open(&f, "unread");
    sh_auto(sh_json_done) json_t *module = add_program(PROGRAM, NULL, NULL);
    snprintf(hash, sizeof(hash), "%s", json_string_value(json_object_get(module, "hash")));
    sh_fault_plan(1, true);
    ck_assert_int_eq(submit(hash).err.code, SH_E_IO);
    ck_assert_str_eq(sh_fault_first(), "store_read");
    sh_fault_plan(0, false);
    assert_module_of(hash, module, hash);
    sh_fault_plan(1, true);
    submit(hash);
    ck_assert_str_ne(sh_fault_first(), "store_read");
    sh_fault_plan(0, false);
    fixture_close(&f);
}
END_TEST

static void on_refused(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_err *ret = arg;

    ck_assert_ptr_null(value);
    *ret = *err;
    sh_loop_stop(f.loop);
}

static int refused(struct sh_str bytes, struct sh_err *ret) {
    *ret = (struct sh_err){0};
    sh_engine_module_add(f.engine, bytes, NULL, NULL, on_refused, ret);
    sh_loop_run(f.loop);
    return ret->code;
}

/* A script is not looked into when it is added: nothing else would see that its bytes are not all
 * there, and an empty one would be kept under the hash of nothing. */
START_TEST(a_script_is_added_whole_or_refused) {
    struct sh_err err;
    struct added whole = {0};
    size_t n = SH_MODULE_BYTES_MAX + 1;
    sh_auto(sh_free_p) char *text = sh_alloc(n);

    fixture_open(&f, "script");
    memset(text, '#', n);
    ck_assert_int_eq(refused((struct sh_str){text, n}, &err), SH_E_LIMIT);
    ck_assert_ptr_nonnull(strstr(err.message, "67108865"));
    sh_fault_plan(1, true);
    ck_assert_int_eq(refused((struct sh_str){text, 100}, &err), SH_E_NOMEM);
    sh_fault_plan(0, false);
    sh_engine_module_add(f.engine, (struct sh_str){text, n - 1}, NULL, NULL, on_value, &whole);
    fixture_run(&f, &whole.done);
    ck_assert_int_eq(sh_json_get_int(whole.value, "bytes", 0), SH_MODULE_BYTES_MAX);
    json_decref(whole.value);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_module_whose_bytes_are_not_those_of_its_name_is_corrupt,
        a_module_whose_file_is_gone_is_not_found,
        bytes_alone_leave_a_registered_module_as_it_is,
        a_name_is_listed_with_the_module_that_has_it_now,
        a_task_gets_the_agent_as_it_is_registered_now,
        a_known_agent_is_not_looked_up_again,
        a_script_is_added_whole_or_refused,
        NULL,
    };

    return sh_suite("engine_modules", tests);
}

SH_TEST_MAIN(suite)
