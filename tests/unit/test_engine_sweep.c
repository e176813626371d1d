/* Every marked place of the engine, its store, its files and its memory fails once, and from then
 * on, for what clients do (tests/lib/sweep.h). Whatever it stops, nothing is lost: a start with
 * nothing failing comes to the run that would have been, and asks for no durable answer again.
 *
 * A failure begins with the line that repeats it, SHANNON_SWEEP=SCENARIO:K:once|ever.
 * SHANNON_LONG=1 tries all places; else each kind of place fails once in each scenario, and some
 * from then on, others with each SHANNON_SWEEP_SEED. */
#include "engine/modules.h"
#include "lib/check_main.h"
#include "lib/fake_tools.c"
#include "lib/sweep.h"

#include <ftw.h>
#include <regex.h>
#include <stdatomic.h>
#include <stdio.h>

#ifdef SH_FAULTS

#define HITS_MAX 20000
#define EVER_SAMPLE 3 /* of one scenario, where not all are tried */

static const struct sweep_scenario *const *const groups[] = {sweep_runs, sweep_talks, sweep_times,
                                                             sweep_upkeep};

static const struct sweep_scenario *scenario_of(size_t number) {
    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++) {
        for (size_t i = 0; groups[g][i]; i++) {
            if (number-- == 0) {
                return groups[g][i];
            }
        }
    }
    return NULL;
}

static size_t count_scenarios(void) {
    size_t n = 0;

    while (scenario_of(n)) {
        n++;
    }
    return n;
}

/* ---- which places are passed ---- */

static _Atomic(const char *) passed[HITS_MAX]; /* by hit, of the last run */

static void note(uint64_t hit, const char *name) {
    if (hit < HITS_MAX) {
        atomic_store(&passed[hit], name);
    }
}

static char *undisturbed(const struct sweep_scenario *s, uint64_t *ret_hits) {
    char *came_to;

    memset(passed, 0, sizeof(passed));
    sh_fault_watch(note);
    came_to = sweep_run(s, 0, false, NULL, ret_hits);
    sh_fault_watch(NULL);
    ck_assert_uint_lt(*ret_hits, HITS_MAX);
    return came_to;
}

/* ---- which of them fail ---- */

static uint64_t seed(void) {
    const char *text = getenv("SHANNON_SWEEP_SEED");

    return text ? strtoull(text, NULL, 10) : 0;
}

/* Of the hits of each name, one. */
static bool is_chosen(uint64_t k) {
    const char *name = atomic_load(&passed[k]);
    uint64_t n = 0, before = 0;

    for (uint64_t i = 1; i < HITS_MAX; i++) {
        const char *other = atomic_load(&passed[i]);
        bool equal = name && other && strcmp(name, other) == 0;
        n += equal;
        before += equal && i < k;
    }
    return n > 0 && before == (seed() + n / 2) % n;
}

static bool is_to_fail(uint64_t k, uint64_t n, bool for_ever) {
    uint64_t step = n / EVER_SAMPLE + 1;

    if (getenv("SHANNON_LONG")) {
        return true;
    }
    return for_ever ? k % step == (seed() + step / 2) % step : is_chosen(k);
}

/* The one that was asked for: true, and 0 in *ret_k for all of them. */
static bool asked_for(const struct sweep_scenario *s, bool for_ever, uint64_t *ret_k) {
    const char *only = getenv("SHANNON_SWEEP");
    unsigned long long k = 0;
    char name[40] = "", mode[8] = "";

    if (!only) {
        *ret_k = UINT64_MAX;
        return true;
    }
    ck_assert_msg(sscanf(only, "%39[^:]:%llu:%7s", name, &k, mode) == 3,
                  "SHANNON_SWEEP: expected SCENARIO:K:once|ever (K 0: all), not \"%s\"", only);
    *ret_k = k;
    return strcmp(name, s->name) == 0 && strcmp(mode, for_ever ? "ever" : "once") == 0;
}

START_TEST(every_place_that_fails_stops_early_and_loses_nothing) {
    const struct sweep_scenario *s = scenario_of((size_t)_i / 2);
    bool for_ever = _i % 2;
    uint64_t n = 0, only;

    if (!asked_for(s, for_ever, &only)) {
        return;
    }
    sh_auto(sh_free_p) char *expected = undisturbed(s, &n);
    ck_assert_uint_gt(n, 20); /* places passed */
    for (uint64_t k = 1; k <= n; k++) {
        if (only == k || only == 0 || (only == UINT64_MAX && is_to_fail(k, n, for_ever))) {
            sweep_run(s, k, for_ever, expected, NULL);
        }
    }
}
END_TEST

/* ---- is every place of the sources among them? ---- */

/* Those that no scenario here can pass, and where they fail instead. */
static const char *const elsewhere[][2] = {
    {"sandbox_slot", "of the real sandbox: tests/integration/test_sandbox_failures.c"},
    {"ballast_make", "made when an engine has run for some seconds: tests/unit/test_base_disk.c"},
    {"artifact_publish", "of the real sandbox: tests/integration/test_sandbox_artifacts.c"},
};

static json_t *in_sources, *reached;

static int look_at(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    regmatch_t m[3];
    regex_t marked;
    struct sh_err err = {0};
    size_t len = strlen(path);

    (void)st;
    (void)ftw;
    sh_buf_init_sure(&text, SH_MIB);
    if (flag != FTW_F || len < 2 || strcmp(path + len - 2, ".c") != 0) {
        return 0;
    }
    sh_assert_ok(sh_file_read(path, SH_MIB - 1, &text, &err), &err);
    ck_assert_int_eq(regcomp(&marked, "SH_FAULT(_IO)?\\(([a-z_]+)\\)", REG_EXTENDED), 0);
    for (const char *at = text.p; at && regexec(&marked, at, 3, m, 0) == 0; at += m[0].rm_eo) {
        json_object_setn_new(in_sources, at + m[2].rm_so, (size_t)(m[2].rm_eo - m[2].rm_so),
                             json_string(path));
    }
    regfree(&marked);
    return 0;
}

static void reach(const struct sweep_scenario *s) {
    uint64_t n;

    sh_free(undisturbed(s, &n));
    for (uint64_t i = 1; i <= n; i++) {
        const char *name = atomic_load(&passed[i]);
        if (name) {
            json_object_set_new(reached, name, json_string(s->name));
        }
    }
}

START_TEST(every_place_of_the_sources_is_passed_by_some_scenario) {
    const char *top = getenv("SHANNON_SOURCE"), *name;
    sh_auto(sh_free_p) char *sources = sh_asprintf("%s/durable-shannon/src", top ? top : ".");
    json_t *path;

    in_sources = json_object();
    reached = json_object();
    ck_assert_msg(nftw(sources, look_at, 16, FTW_PHYS) == 0, "cannot read %s", sources);
    ck_assert_uint_gt(json_object_size(in_sources), 20);
    for (size_t i = 0; scenario_of(i); i++) {
        reach(scenario_of(i));
    }
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        ck_assert_msg(json_object_get(in_sources, elsewhere[i][0]) &&
                          !json_object_get(reached, elsewhere[i][0]),
                      "%s needs no exception any more", elsewhere[i][0]);
        json_object_del(in_sources, elsewhere[i][0]);
    }
    json_object_foreach(in_sources, name, path) {
        ck_assert_msg(json_object_get(reached, name),
                      "%s: SH_FAULT(%s) is passed by no scenario: add one to tests/lib/sweep_*.c",
                      json_string_value(path), name);
    }
    json_decref(in_sources);
    json_decref(reached);
}
END_TEST

#endif

static Suite *suite(void) {
    Suite *s = suite_create("engine_sweep");
    TCase *sweep_case = tcase_create("sweep");

#ifdef SH_FAULTS
    tcase_set_timeout(sweep_case, getenv("SHANNON_LONG") ? 3600 : 240);
    tcase_add_test(sweep_case, every_place_of_the_sources_is_passed_by_some_scenario);
    tcase_add_loop_test(sweep_case, every_place_that_fails_stops_early_and_loses_nothing, 0,
                        (int)count_scenarios() * 2);
#endif
    suite_add_tcase(s, sweep_case);
    return s;
}

SH_TEST_MAIN(suite)
