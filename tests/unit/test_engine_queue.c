/* When not all may run, who runs next is decided: by priority, fairly, and for none never. */
#include <stdio.h>

#include "lib/check_main.h"
#include "lib/engine_fixture.h"
#include "lib/fake_tools.c"

static struct fixture f;

/* Runs until it is told to go, so that a test says who ends when. */
static const char waits[] = "(module\nstart signal {\"name\":\"go\"}\nwait any\n";
static const char other[] = "(module\nprint o\nstart signal {\"name\":\"go\"}\nwait any\n";

static void open_it(const char *name, size_t max, size_t session_max) {
    memset(&f, 0, sizeof(f));
    f.max_running = max;
    f.session_max_running = session_max;
    fixture_open(&f, name);
}

static char *submit(const char *program, unsigned priority, const char *session) {
    char *id =
        fixture_submit(&f, program,
                       &(struct sh_submit){
                           .has_priority = true, .priority = priority, .session = sh_str(session)});

    ck_assert_msg(id != NULL, "%s", fixture_error.message);
    return id;
}

static bool is(const char *id, const char *status) {
    json_t *row = fixture_row(&f, id);
    bool same = sh_str_eqz(sh_json_get_str(row, "status"), status);

    json_decref(row);
    return same;
}

static void await(const char *id, const char *status) {
    for (int i = 0; i < 4000 && !is(id, status); i++) {
        fixture_run_ms(&f, 5);
    }
    ck_assert_msg(is(id, status), "%s never was %s", id, status);
}

static void let_go(const char *id) {
    ck_assert_int_eq(fixture_signal(&f, id, "go", NULL), 0);
    await(id, "completed");
}

/* Each that ends makes room for exactly the next one of `order`. */
static void expect_order(char *first, char *const order[], size_t n) {
    char *running = first;

    for (size_t i = 0; i < n; i++) {
        for (size_t k = i; k < n; k++) {
            ck_assert_msg(is(order[k], "queued"), "%zu runs before %zu", k, i);
        }
        let_go(running);
        await(order[i], "running");
        running = order[i];
    }
    let_go(running);
}

static void free_all(char **ids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        sh_free(ids[i]);
    }
}

START_TEST(the_most_urgent_runs_first_and_then_the_oldest) {
    open_it("priority", 1, 0);
    char *ids[5] = {submit(waits, 5, NULL), submit(waits, 1, NULL), submit(waits, 9, NULL),
                    submit(waits, 9, NULL), submit(waits, 5, NULL)};
    ck_assert(is(ids[0], "running"));
    expect_order(ids[0], (char *[]){ids[2], ids[3], ids[4], ids[1]}, 4);
    free_all(ids, 5);
    fixture_close(&f);
}
END_TEST

START_TEST(the_order_survives_a_crash) {
    open_it("crash", 1, 0);
    char *ids[4] = {submit(waits, 5, NULL), submit(waits, 2, NULL), submit(waits, 7, NULL),
                    submit(waits, 7, NULL)};
    fixture_crash(&f, SH_TWIN_LOSE_ALL);
    await(ids[0], "running");
    expect_order(ids[0], (char *[]){ids[2], ids[3], ids[1]}, 3);
    for (size_t i = 0; i < 4; i++) {
        json_t *v = fixture_verify(&f, ids[i]);
        ck_assert(sh_json_get_bool(v, "ok", false));
        json_decref(v);
    }
    free_all(ids, 4);
    fixture_close(&f);
}
END_TEST

START_TEST(a_session_with_less_running_goes_first) {
    open_it("fair", 2, 0);
    char *ids[5] = {submit(waits, 5, "a"), submit(waits, 5, "b"), submit(waits, 5, "a"),
                    submit(waits, 5, "a"), submit(waits, 5, "b")};
    let_go(ids[1]); /* of b: none of b runs now, so b's next is before the older ones of a */
    await(ids[4], "running");
    ck_assert(is(ids[2], "queued"));
    let_go(ids[0]);
    await(ids[2], "running");
    ck_assert(is(ids[3], "queued"));
    let_go(ids[2]);
    await(ids[3], "running");
    free_all(ids, 5);
    fixture_close(&f);
}
END_TEST

START_TEST(an_agent_with_less_running_goes_first_where_sessions_are_even) {
    open_it("agents", 2, 0);
    char *ids[6] = {submit(waits, 5, "a"), submit(waits, 5, "b"), submit(waits, 5, "c"),
                    submit(waits, 5, "d"), submit(other, 5, "e"), submit(other, 5, "f")};
    let_go(ids[0]); /* of the other agent none runs, though many of this one came before it */
    await(ids[4], "running");
    ck_assert(is(ids[2], "queued"));
    let_go(ids[1]); /* now each has one: the oldest */
    await(ids[2], "running");
    ck_assert(is(ids[5], "queued"));
    let_go(ids[2]);
    await(ids[3], "running");
    let_go(ids[4]);
    await(ids[5], "running");
    free_all(ids, 6);
    fixture_close(&f);
}
END_TEST

START_TEST(limits_of_a_session_and_of_an_agent_hold_for_it_alone) {
    open_it("session", 0, 1);
    char *ids[3] = {submit(waits, 5, "a"), submit(waits, 9, "a"), submit(waits, 5, "b")};
    ck_assert(is(ids[1], "queued"));
    ck_assert(is(ids[2], "running"));
    let_go(ids[0]);
    await(ids[1], "running");
    free_all(ids, 3);
    fixture_close(&f);

    struct sh_hash hash;
    char hex[SH_HASH_HEX_BYTES];
    sh_sha256(waits, sizeof(waits) - 1, &hash);
    sh_hash_hex(&hash, hex);
    json_t *of_agent = json_pack("{s:i}", hex, 1);
    memset(&f, 0, sizeof(f));
    f.agent_max_running = of_agent;
    fixture_open(&f, "agent");
    char *more[3] = {submit(waits, 5, NULL), submit(waits, 5, NULL), submit(other, 5, NULL)};
    ck_assert(is(more[1], "queued"));
    ck_assert(is(more[2], "running"));
    let_go(more[0]);
    await(more[1], "running");
    free_all(more, 3);
    fixture_close(&f);
    json_decref(of_agent);
}
END_TEST

START_TEST(the_least_urgent_is_not_starved) {
    char *low, *running;
    int turns = 0;

    open_it("starve", 1, 0);
    running = submit(waits, 9, NULL);
    low = submit(waits, 0, NULL);
    while (is(low, "queued")) { /* there is always something more urgent */
        char *next = submit(waits, 9, NULL);
        let_go(running);
        for (int i = 0; i < 4000 && !is(next, "running") && !is(low, "running"); i++) {
            fixture_run_ms(&f, 2);
        }
        sh_free(running);
        running = next;
        ck_assert_int_le(++turns, 8);
    }
    ck_assert_int_gt(turns, 1);
    sh_free(running);
    sh_free(low);
    fixture_close(&f);
}
END_TEST

START_TEST(what_is_queued_can_be_spoken_to) {
    json_t *row;

    open_it("speak", 1, 0);
    char *ids[3] = {submit(waits, 5, NULL), submit(waits, 5, NULL), submit(waits, 5, NULL)};
    ck_assert_int_eq(fixture_signal(&f, ids[1], "go", NULL), 0); /* kept; its turn is to come */
    ck_assert(is(ids[1], "queued"));
    ck_assert_int_eq(fixture_control(&f, ids[2], sh_engine_cancel), 0);
    await(ids[2], "canceled");
    ck_assert(is(ids[1], "queued"));
    let_go(ids[0]);
    await(ids[1], "completed");
    row = fixture_row(&f, ids[1]);
    ck_assert_ptr_null(json_object_get(row, "queue"));
    json_decref(row);
    json_t *v = fixture_verify(&f, ids[1]);
    ck_assert(sh_json_get_bool(v, "ok", false));
    json_decref(v);
    free_all(ids, 3);
    fixture_close(&f);
}
END_TEST

START_TEST(a_priority_at_its_limit_is_taken_and_one_past_it_is_not) {
    open_it("limit", 0, 0);
    char *id = submit(waits, SH_PRIORITY_MAX, NULL);
    ck_assert_ptr_null(fixture_submit(
        &f, waits, &(struct sh_submit){.has_priority = true, .priority = SH_PRIORITY_MAX + 1}));
    ck_assert_int_eq(fixture_error.code, SH_E_INVAL);
    sh_free(id);
    fixture_close(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_most_urgent_runs_first_and_then_the_oldest,
                                  the_order_survives_a_crash,
                                  a_session_with_less_running_goes_first,
                                  an_agent_with_less_running_goes_first_where_sessions_are_even,
                                  limits_of_a_session_and_of_an_agent_hold_for_it_alone,
                                  the_least_urgent_is_not_starved,
                                  what_is_queued_can_be_spoken_to,
                                  a_priority_at_its_limit_is_taken_and_one_past_it_is_not,
                                  NULL};
    return sh_suite("engine_queue", tests);
}
SH_TEST_MAIN(suite)
