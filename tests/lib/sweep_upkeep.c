/* Scenarios: what is done with a task that has ended, each with an engine of its own, so that only
 * this can fail. */
#include "sweep.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/export.h"

static void allow(struct fixture *f) {
    f->policy_doc = sweep_policy("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"llm\","
                                 "\"kv\",\"calculator\"]}}]}");
    f->blob_grace_ms = 1;
    f->first_sweep_ns = 2000000; /* what was left goes soon */
    f->compact_slice = 4;
}

static const char done[] =
    "(module\nprint before\nwrite one first\nwrite two second\npublish p {\"n\":1}\n"
    "emit step {\"n\":1}\nstart kv.put {\"key\":\"k\",\"value\":1}\nwait any\n"
    "start llm {\"q\":1}\nwait any\ncheckpoint mark\nprint after\nstart llm {\"q\":2}\nwait any\n";

/* ids[0] has ended, and so has its neighbour ids[1]. */
static void two_that_ended(void) {
    sweep_sure(sweep_submit(0, done, NULL), "submit");
    sweep_sure(sweep_submit(1, "(module\nprint y\n", NULL), "submit");
    sweep_end_of(0);
    sweep_end_of(1);
}

/* ---- compaction ---- */

static const struct sweep_step compacts[] = {{"compact", sweep_compact, sweep_compacted, false},
                                             {0}};
static const struct sweep_scenario compacted = {
    .name = "compacted", .set = allow, .prepare = two_that_ended, .steps = compacts};

/* ---- forgetting ---- */

static char gone[SH_ID_MAX + 1]; /* the id of the task that goes */

static void one_that_goes(void) {
    two_that_ended();
    snprintf(gone, sizeof(gone), "%s", sweep.ids[0]);
    sweep_forget_followers(0);
}

static size_t traces(const json_t *durable) {
    static const char *const tables[] = {"workflow", "published", "update", "blob", "active"};
    size_t n = json_array_size(json_object_get(json_object_get(durable, "event"), gone));
    const char *key;
    json_t *record;

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        json_object_foreach(json_object_get(durable, tables[i]), key, record) {
            n += strstr(key, gone) != NULL;
        }
    }
    json_object_foreach(json_object_get(durable, "meta"), key, record) {
        n += strstr(key, gone) != NULL;
    }
    return n;
}

static int forget(void) {
    struct sweep_answer *a = sweep_ask();

    sh_engine_forget(sweep.f.engine, sh_str(gone), sweep_on_json, a);
    return sweep_answered(a);
}

static bool is_gone(const json_t *durable) {
    return traces(durable) == 0;
}

static void check_gone(const json_t *durable) {
    sweep_assert(is_gone(durable), "%zu traces are left", traces(durable));
}

static const struct sweep_step forgets[] = {{"forget", forget, is_gone, false}, {0}};
static const struct sweep_scenario forgotten = {.name = "forgotten",
                                                .set = allow,
                                                .prepare = one_that_goes,
                                                .steps = forgets,
                                                .check = check_gone};

/* ---- retention ---- */

static void keep_little(struct fixture *f) {
    f->keep_ms = 1;
}

static char live[SH_ID_MAX + 1]; /* the id of one that has not ended */

static void one_that_is_old(void) {
    one_that_goes();
    sweep_sure(sweep_submit(2, "(module\nstart signal {\"name\":\"n\"}\nwait any\n", NULL), "live");
    snprintf(live, sizeof(live), "%s", sweep.ids[2]);
    sweep.ids[1][0] = sweep.ids[2][0] = '\0'; /* ids[1] is old, too */
}

static int await_retention(void) {
    sh_auto(sh_json_done) json_t *durable = sh_twin_snapshot(sh_twin_named(sweep.f.endpoint + 5));

    return is_gone(durable) && json_object_size(json_object_get(durable, "workflow")) == 1
               ? 0
               : SWEEP_LATER;
}

static void check_retained(const json_t *durable) {
    check_gone(durable);
    sweep_assert(json_object_get(json_object_get(durable, "workflow"), live),
                 "what has not ended is gone");
}

static const struct sweep_step retains[] = {{"wait for retention", await_retention, NULL, false},
                                            {0}};
static const struct sweep_scenario retained = {.name = "retained",
                                               .set = allow,
                                               .prepare = one_that_is_old,
                                               .then = keep_little,
                                               .steps = retains,
                                               .check = check_retained};

/* ---- export, import ---- */

static int export(void) {
    struct sweep_answer *a = sweep_ask();
    struct sh_import im = {0};
    struct sh_err err = {0};
    int code;

    sh_engine_export(sweep.f.engine, sh_str(sweep.ids[0]), false, sweep_on_file, a);
    code = sweep_answered(a);
    if (!sweep.faulty && sweep.kept >= 0) { /* what was given while something failed */
        sh_assert_ok(sh_import_read(sweep.kept, NULL, NULL, &im, &err), &err);
        sh_import_done(&im);
    }
    if (code == 0) {
        sh_close_p(&sweep.kept);
        sweep.kept = a->fd;
        a->fd = -1;
    }
    return code;
}

static const struct sweep_step exports[] = {{"export", export, NULL, false}, {0}};
static const struct sweep_scenario exported = {
    .name = "exported", .set = allow, .prepare = two_that_ended, .steps = exports};

static void one_to_import(void) {
    sweep_sure(sweep_submit(0, done, NULL), "submit");
    sweep_end_of(0);
    sweep_sure(export(), "export");
    sweep_elsewhere();
}

static int import(void) {
    struct sweep_answer *a = sweep_ask();

    sh_engine_import(sweep.f.engine, fcntl(sweep.kept, F_DUPFD_CLOEXEC, 3), sweep_on_json, a);
    return sweep_answered(a);
}

static bool is_imported(const json_t *durable) {
    return sweep_row(durable, 0) != NULL;
}

static const struct sweep_step imports[] = {{"import", import, is_imported, false}, {0}};
static const struct sweep_scenario imported = {
    .name = "imported", .set = allow, .prepare = one_to_import, .steps = imports};

/* ---- forks, and looking at what was ---- */

static int replay(void) {
    struct sweep_answer *a = sweep_ask();

    sh_engine_replay(sweep.f.engine, sh_str(sweep.ids[0]), 4, sweep_on_json, a);
    return sweep_answered(a);
}

static int verify(void) {
    struct sweep_answer *a = sweep_ask();
    int code;

    sh_engine_verify(sweep.f.engine, sh_str(sweep.ids[0]), sweep_on_json, a);
    code = sweep_answered(a);
    if (code == 0) {
        sh_auto(sh_free_p) char *text = sh_json_text(a->value);
        sweep_assert(sh_json_get_bool(a->value, "ok", false), "%s", text);
    }
    return code;
}

static int fork_it(void) {
    struct sweep_answer *a = sweep_ask();

    sh_engine_fork(sweep.f.engine, sh_str(sweep.ids[0]), 0, sweep_on_json, a);
    return sweep_answered(a);
}

/* The one that there is is followed. */
static bool is_forked(const json_t *durable) {
    const char *id;
    json_t *row;
    size_t n = 0;

    json_object_foreach(json_object_get(durable, "workflow"), id, row) {
        if (json_object_get(row, "forked_from")) {
            snprintf(sweep.ids[2], sizeof(sweep.ids[2]), "%s", id);
            n++;
        }
    }
    sweep_assert(n <= 1, "%zu forks instead of one", n);
    return n == 1;
}

static const struct sweep_step forks[] = {{"replay", replay, NULL, false},
                                          {"verify", verify, NULL, false},
                                          {"fork", fork_it, is_forked, false},
                                          {0}};
static const struct sweep_scenario forked = {
    .name = "forked", .set = allow, .prepare = two_that_ended, .steps = forks};

const struct sweep_scenario *const sweep_upkeep[] = {&compacted, &forgotten, &retained, &exported,
                                                     &imported,  &forked,    NULL};
