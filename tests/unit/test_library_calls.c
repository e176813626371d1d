/* The public C interface: every call from threads of a stranger's program, and an end that nobody
 * waits past. */
#include "lib/check_main.h"
#include "lib/fake_tools.c"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "durable_shannon.h"

static char dir[64];
static struct durable *d;
static struct durable_error e;

#define OK(call) ck_assert_msg((call) == 0, "%s: %s", e.code, e.message)
#define FAILS(call, expected)                                                                      \
    do {                                                                                           \
        ck_assert_int_eq((call), -1);                                                              \
        ck_assert_str_eq(e.code, expected);                                                        \
    } while (0)

static void setup(void) {
    snprintf(dir, sizeof(dir), "/tmp/shannon-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    OK(durable_open(&(struct durable_options){.data_dir = dir,
                                              .ephemeral = true,
                                              .attended = true,
                                              .policy = "{\"rules\":[{\"agent\":\"*\",\"allow\":{"
                                                        "\"tools\":[\"kv\",\"llm\"]},\"ask\":{"
                                                        "\"tools\":[\"calculator\"]}}]}"},
                    &d, &e));
}

static void teardown(void) {
    durable_close(d);
    sh_tree_remove(dir);
}

static char *submit(const char *program) {
    char *id = NULL;

    OK(durable_module(d, "agent", program, strlen(program), NULL, NULL, &e));
    OK(durable_submit(d, "{\"agent\":\"agent\",\"query\":\"q\",\"session\":\"s\"}", &id, &e));
    return id;
}

static json_t *parsed(char *text) {
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);

    ck_assert_ptr_nonnull(value);
    durable_free(text);
    return value;
}

static void ends_with(const char *id, const char *status, const char *result) {
    char *text = NULL;

    OK(durable_wait(d, id, 20000, &text, &e));
    json_t *task = parsed(text);
    ck_assert_str_eq(json_string_value(json_object_get(task, "status")), status);
    if (result) {
        ck_assert_str_eq(json_string_value(json_object_get(task, "result")), result);
    }
    json_decref(task);
}

START_TEST(a_task_runs_and_is_verified) {
    char *text = NULL;
    char *id = submit("(module\nprint hello\nstart kv.put {\"key\":\"k\",\"value\":1}\nwait any\n");

    ends_with(id, "completed", "hello\n1 {\"ok\":{}}");
    ends_with(id, "completed", NULL); /* again, from what is kept */
    OK(durable_verify(d, id, &text, &e));
    json_t *verified = parsed(text);
    ck_assert(json_is_true(json_object_get(verified, "ok")));
    OK(durable_memory(d, "s", "", 0, 0, &text, &e));
    json_t *kept = parsed(text);
    ck_assert_int_eq(sh_json_get_int(kept, "total", 0), 1);
    OK(durable_events(d, id, 0, 2, &text, &e));
    json_t *page = parsed(text);
    ck_assert_uint_eq(json_array_size(json_object_get(page, "events")), 2);
    json_decref(page);
    json_decref(kept);
    json_decref(verified);
    durable_free(id);
}
END_TEST

START_TEST(a_task_is_signaled_updated_queried_and_controlled) {
    char *text = NULL;
    char *id =
        submit("(module\npublish state 7\nstart signal {\"name\":\"do\"}\nwait any\n"
               "start signal.reply {\"id\":\"u\",\"result\":8}\nwait any\n"
               "start signal {\"name\":\"go\"}\nwait any\nstart signal {\"name\":\"never\"}\n"
               "wait any\nloop\n");

    OK(durable_update(d, id, "do", "u", "{\"x\":1}", 20000, &text, &e));
    json_t *update = parsed(text);
    ck_assert_int_eq(sh_json_get_int(update, "result", 0), 8);
    OK(durable_query(d, id, "state", &text, &e));
    json_t *query = parsed(text);
    ck_assert_int_eq(sh_json_get_int(query, "data", 0), 7);
    OK(durable_pause(d, id, "wait", &e));
    OK(durable_signal(d, id, "go", NULL, &e));
    OK(durable_resume(d, id, NULL, &e));
    FAILS(durable_wait(d, id, 20, NULL, &e), "timeout");
    OK(durable_cancel(d, id, "enough", &e));
    ends_with(id, "canceled", NULL);
    FAILS(durable_signal(d, id, "go", NULL, &e), "invalid_state");
    json_decref(query);
    json_decref(update);
    durable_free(id);
}
END_TEST

START_TEST(a_question_is_answered) {
    char *text = NULL;
    char *id = submit("(module\nstart calculator {\"n\":4}\nwait any\n");
    json_t *list = NULL;

    for (int i = 0; i < 2000 && json_array_size(list) == 0; i++) {
        json_decref(list);
        usleep(5000);
        OK(durable_approvals(d, &text, &e));
        list = parsed(text);
    }
    const char *approval =
        json_string_value(json_object_get(json_array_get(list, 0), "approval_id"));
    ck_assert_ptr_nonnull(approval);
    OK(durable_decide(d, id, approval, true, NULL, "fine", &e));
    ends_with(id, "completed", "1 {\"ok\":{\"value\":8}}");
    json_decref(list);
    durable_free(id);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused) {
    struct durable *other = NULL;
    char *id = NULL;

    FAILS(durable_open(&(struct durable_options){.data_dir = "here"}, &other, &e),
          "invalid_argument");
    FAILS(durable_open(&(struct durable_options){.data_dir = dir}, &other, &e),
          "data_directory_in_use");
    FAILS(durable_module(d, "a", "\0asm, or is it?", 16, NULL, NULL, &e), "invalid_module");
    FAILS(durable_submit(d, "{", &id, &e), "invalid_json");
    FAILS(durable_submit(d, "[]", &id, &e), "invalid_argument");
    FAILS(durable_submit(d, "{\"agnt\":1}", &id, &e), "invalid_argument");
    FAILS(durable_submit(d, "{\"agent\":\"none\",\"query\":\"q\"}", &id, &e), "not_found");
    FAILS(durable_submit(d, "{\"agent\":\"none\",\"query\":\"q\",\"args\":[1]}", &id, &e),
          "invalid_argument");
    FAILS(durable_wait(d, "wf-none", 10, NULL, &e), "not_found");
    FAILS(durable_signal(d, "wf-none", "a", "{", &e), "invalid_json");
    FAILS(durable_signal(d, "wf-none", "a", "1", &e), "not_found");
    FAILS(durable_query(d, "wf-none", "a", NULL, &e), "not_found");
}
END_TEST

static void on_event(void *arg, const char *event) {
    int *counts = arg;

    ck_assert_int_eq(durable_get(d, "wf-none", NULL, &e), -1); /* from within: refused */
    ck_assert_str_eq(e.code, "invalid_state");
    __atomic_add_fetch(&counts[0], 1, __ATOMIC_SEQ_CST);
    if (strstr(event, "WorkflowCompleted")) {
        __atomic_add_fetch(&counts[1], 1, __ATOMIC_SEQ_CST);
    }
}

START_TEST(events_are_followed_from_the_first_to_the_last) {
    int counts[2] = {0, 0};
    struct durable_follow *follow = NULL;
    char *id = submit("(module\nstart signal {\"name\":\"go\"}\nwait any\n");

    OK(durable_follow(d, id, 0, on_event, counts, &follow, &e));
    OK(durable_signal(d, id, "go", "1", &e));
    ends_with(id, "completed", NULL);
    for (int i = 0; i < 2000 && !__atomic_load_n(&counts[1], __ATOMIC_SEQ_CST); i++) {
        usleep(5000);
    }
    durable_unfollow(d, follow);
    ck_assert_int_eq(counts[1], 1);
    ck_assert_int_ge(counts[0], 5); /* started, decided, signal, completed, output, end */
    durable_free(id);
}
END_TEST

static void *many_calls(void *arg) {
    (void)arg;
    for (int i = 0; i < 20; i++) {
        struct durable_error mine;
        char *id = NULL, *task = NULL;
        if (durable_submit(d, "{\"agent\":\"agent\",\"query\":\"q\"}", &id, &mine) < 0 ||
            durable_wait(d, id, 20000, &task, &mine) < 0 || !strstr(task, "completed")) {
            return &e;
        }
        durable_free(id);
        durable_free(task);
    }
    return NULL;
}

START_TEST(many_threads_call_at_once) {
    pthread_t threads[6];
    void *failed = NULL;

    durable_free(submit("(module\nprint a\n"));
    for (size_t i = 0; i < 6; i++) {
        pthread_create(&threads[i], NULL, many_calls, NULL);
    }
    for (size_t i = 0; i < 6; i++) {
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
}
END_TEST

static void *wait_long(void *arg) {
    static struct durable_error mine;

    return durable_wait(d, arg, 0, NULL, &mine) < 0 ? mine.code : NULL;
}

START_TEST(closing_ends_those_who_wait) {
    pthread_t thread;
    void *code = NULL;
    char *id = submit("(module\nstart signal {\"name\":\"never\"}\nwait any\n");

    pthread_create(&thread, NULL, wait_long, id);
    usleep(100000);
    durable_close(d);
    pthread_join(thread, &code);
    ck_assert_str_eq(code, "unavailable");
    d = NULL;
    durable_free(id);
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("library_calls");
    TCase *c = tcase_create("calls");

    tcase_set_timeout(c, 120);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, a_task_runs_and_is_verified);
    tcase_add_test(c, a_task_is_signaled_updated_queried_and_controlled);
    tcase_add_test(c, a_question_is_answered);
    tcase_add_test(c, what_makes_no_sense_is_refused);
    tcase_add_test(c, events_are_followed_from_the_first_to_the_last);
    tcase_add_test(c, many_threads_call_at_once);
    tcase_add_test(c, closing_ends_those_who_wait);
    suite_add_tcase(s, c);
    return s;
}
SH_TEST_MAIN(suite)
