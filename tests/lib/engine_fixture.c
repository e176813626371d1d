/* See engine_fixture.h. Calls of the engine answer later: each helper runs the loop until they do.
 */
#include "lib/engine_fixture.h"

#include "lib/check_main.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define PATIENCE_NS 20000000000ULL

struct sh_err fixture_error;

static void on_timeout(struct sh_timer *t) {
    ck_abort_msg("nothing happened for too long");
    (void)t;
}

static void stop_loop(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

void fixture_run(struct fixture *f, bool *flag) {
    struct sh_timer timer = {0};

    sh_timer_start(f->loop, &timer, PATIENCE_NS, on_timeout);
    while (!*flag) {
        sh_loop_run(f->loop);
    }
    sh_timer_stop(&timer);
}

void fixture_run_ms(struct fixture *f, uint64_t ms) {
    struct sh_timer timer = {0};

    sh_timer_start(f->loop, &timer, ms * 1000000, stop_loop);
    while (timer.slot != 0) {
        sh_loop_run(f->loop);
    }
}

static void finish(struct fixture_answer *a) {
    a->done = true;
    sh_loop_stop(a->f->loop);
}

static void on_gone(void *arg) {
    finish(arg);
}

void fixture_on_json(void *arg, json_t *value, const struct sh_err *err) {
    struct fixture_answer *a = arg;

    a->value = value ? json_deep_copy(value) : NULL;
    a->err = err ? *err : (struct sh_err){0};
    if (err) {
        fixture_error = *err;
    }
    finish(a);
}

void fixture_on_done(void *arg, const struct sh_err *err) {
    fixture_on_json(arg, NULL, err);
}

static void on_submit(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    (void)cached;
    fixture_on_json(arg, row, err);
}

static void on_fatal(void *arg, const struct sh_err *err) {
    struct fixture *f = arg;

    (void)err;
    f->fatal = true;
}

struct sh_engine_config fixture_config(struct fixture *f) {
    return (struct sh_engine_config){.loop = f->loop,
                                     .store = f->store,
                                     .sandbox = f->sandbox,
                                     .tools = f->tools,
                                     .policy = f->policy,
                                     .data_dir = f->dir,
                                     .executors = 2,
                                     .observe = true,
                                     .attended = f->attended,
                                     .budget_asks = f->budget_asks,
                                     .approval_timeout_ms = f->approval_timeout_ms,
                                     .keep_ms = f->keep_ms,
                                     .keep_failed_ms = f->keep_failed_ms,
                                     .first_sweep_ns = f->first_sweep_ns,
                                     .compact_after = f->compact_after,
                                     .compact_slice = f->compact_slice,
                                     .compact_bytes = f->compact_bytes,
                                     .blob_grace_ms = f->blob_grace_ms,
                                     .cancel_grace_ms = f->cancel_grace_ms,
                                     .max_running = f->max_running,
                                     .session_max_running = f->session_max_running,
                                     .agent_max_running = f->agent_max_running,
                                     .passivate_after_ms = f->passivate_after_ms,
                                     .watch_disk = f->watch_disk,
                                     .fatal = on_fatal,
                                     .fatal_arg = f};
}

void fixture_start_engine(struct fixture *f) {
    struct fixture_answer opened = {.f = f}, started = {.f = f};
    struct sh_err err = {0};
    struct sh_engine_config config;

    ck_assert_msg(
        sh_store_open(f->loop, f->endpoint, NULL, fixture_on_done, &opened, &f->store, &err) == 0,
        "%s", err.message);
    fixture_run(f, &opened.done);
    ck_assert_int_eq(opened.err.code, 0);
    ck_assert_int_eq(sh_policy_parse(f->policy_doc, NULL, NULL, &f->policy, &err), 0);
    ck_assert_int_eq(sh_sandbox_new(&(struct sh_sandbox_config){.file_stuck_ms = f->file_stuck_ms,
                                                                .worker = f->worker},
                                    &f->sandbox, &err),
                     0);
    ck_assert_int_eq(sh_tools_new(f->loop, NULL, &f->tools, &err), 0);
    config = fixture_config(f);
    f->fatal = false;
    ck_assert_msg(sh_engine_start(&config, fixture_on_done, &started, &f->engine, &err) == 0, "%s",
                  err.message);
    fixture_run(f, &started.done);
    ck_assert_int_eq(started.err.code, 0);
}

void fixture_stop_engine(struct fixture *f) {
    struct fixture_answer stopped = {.f = f}, closed = {.f = f};

    sh_engine_stop(f->engine, on_gone, &stopped);
    fixture_run(f, &stopped.done);
    sh_store_close(f->store, on_gone, &closed);
    fixture_run(f, &closed.done);
    f->engine = NULL;
    f->tools = sh_tools_free(f->tools);
    f->sandbox = sh_sandbox_free(f->sandbox);
    f->policy = sh_policy_free(f->policy);
}

void fixture_begin(struct fixture *f, const char *name) {
    struct sh_err err = {0};

    snprintf(f->dir, sizeof(f->dir), "/tmp/shannon-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(f->dir));
    snprintf(f->endpoint, sizeof(f->endpoint), "twin:%s", name);
    ck_assert_int_eq(sh_loop_new(&f->loop, &err), 0);
}

void fixture_end(struct fixture *f) {
    sh_twin_forget(f->endpoint + 5);
    f->loop = sh_loop_free(f->loop);
    sh_tree_remove(f->dir);
}

void fixture_open(struct fixture *f, const char *name) {
    fixture_begin(f, name);
    fixture_start_engine(f);
}

void fixture_close(struct fixture *f) {
    fixture_stop_engine(f);
    fixture_end(f);
}

void fixture_crash(struct fixture *f, enum sh_twin_loss loss) {
    sh_twin_power_loss(sh_twin_named(f->endpoint + 5), loss);
    fixture_stop_engine(f);
    fixture_start_engine(f);
}

void fixture_add_agent(struct fixture *f, const char *name, const char *program) {
    struct fixture_answer added = {.f = f};

    sh_engine_module_add(f->engine, sh_str(program), name, NULL, fixture_on_json, &added);
    fixture_run(f, &added.done);
    ck_assert_msg(added.err.code == 0, "%s", added.err.message);
    json_decref(added.value);
}

json_t *fixture_json(const char *text) {
    json_t *value = NULL;
    struct sh_err err = {0};

    sh_assert_ok(sh_json_parse(sh_str(text), SH_MIB, &value, &err), &err);
    return value;
}

char *fixture_submit(struct fixture *f, const char *program, const struct sh_submit *extra) {
    struct fixture_answer added = {.f = f}, submitted = {.f = f};
    struct sh_submit s = extra ? *extra : (struct sh_submit){0};
    char *id;

    sh_engine_module_add(f->engine, sh_str(program), NULL, NULL, fixture_on_json, &added);
    fixture_run(f, &added.done);
    ck_assert_int_eq(added.err.code, 0);
    s.agent = sh_json_get_str(added.value, "hash");
    if (s.query.len == 0 && !s.input) {
        s.query = SH_STR("what?");
    }
    sh_engine_submit(f->engine, &s, on_submit, &submitted);
    fixture_run(f, &submitted.done);
    json_decref(added.value);
    if (submitted.err.code) {
        return NULL;
    }
    id = sh_strdup(json_string_value(json_object_get(submitted.value, "id")));
    json_decref(submitted.value);
    return id;
}

json_t *fixture_row(struct fixture *f, const char *id) {
    struct fixture_answer got = {.f = f};

    sh_engine_get(f->engine, sh_str(id), fixture_on_json, &got);
    fixture_run(f, &got.done);
    return got.value;
}

json_t *fixture_wait(struct fixture *f, const char *id) {
    for (uint64_t until = sh_mono_ns() + PATIENCE_NS; sh_mono_ns() < until;) {
        json_t *row = fixture_row(f, id);
        if (json_object_get(row, "completed_at")) {
            return row;
        }
        json_decref(row);
        fixture_run_ms(f, 2);
    }
    ck_abort_msg("workflow %s did not end", id);
    return NULL;
}

json_t *fixture_events(struct fixture *f, const char *id) {
    json_t *all = json_array();
    bool more = true;

    while (more) {
        struct fixture_answer got = {.f = f};
        sh_engine_events(f->engine, sh_str(id), json_array_size(all), 0, fixture_on_json, &got);
        fixture_run(f, &got.done);
        ck_assert_int_eq(got.err.code, 0);
        json_array_extend(all, json_object_get(got.value, "events"));
        more = sh_json_get_bool(got.value, "more", false);
        json_decref(got.value);
    }
    return all;
}

json_t *fixture_verify(struct fixture *f, const char *id) {
    struct fixture_answer got = {.f = f};

    sh_engine_verify(f->engine, sh_str(id), fixture_on_json, &got);
    fixture_run(f, &got.done);
    return got.value;
}

size_t fixture_count(json_t *events, const char *type, json_t **ret) {
    size_t n = 0, i;
    json_t *ev;

    json_array_foreach(events, i, ev) {
        if (sh_str_eqz(sh_json_get_str(ev, "type"), type) && n++ == 0 && ret) {
            *ret = json_object_get(ev, "body");
        }
    }
    return n;
}

void fixture_await(struct fixture *f, const char *id, const char *type, size_t n) {
    for (uint64_t until = sh_mono_ns() + PATIENCE_NS; sh_mono_ns() < until;) {
        json_t *events = fixture_events(f, id);
        size_t found = fixture_count(events, type, NULL);
        json_decref(events);
        if (found >= n) {
            return;
        }
        fixture_run_ms(f, 2);
    }
    ck_abort_msg("workflow %s has no %zu events %s", id, n, type);
}

int fixture_control(struct fixture *f, const char *id,
                    void (*control)(struct sh_engine *, struct sh_str, const char *, const char *,
                                    sh_engine_json_fn, void *)) {
    struct fixture_answer got = {.f = f};

    control(f->engine, sh_str(id), "a test", "because", fixture_on_json, &got);
    fixture_run(f, &got.done);
    json_decref(got.value);
    return got.err.code;
}

json_t *fixture_approvals(struct fixture *f) {
    struct fixture_answer got = {.f = f};

    sh_engine_approvals(f->engine, fixture_on_json, &got);
    fixture_run(f, &got.done);
    ck_assert_int_eq(got.err.code, 0);
    return got.value;
}

static char *pending_of(struct fixture *f, const char *id) {
    json_t *list = fixture_approvals(f), *item;
    char *found = NULL;
    size_t i;

    json_array_foreach(list, i, item) {
        if (!found && sh_str_eqz(sh_json_get_str(item, "workflow_id"), id)) {
            found = sh_strdup(json_string_value(json_object_get(item, "approval_id")));
        }
    }
    json_decref(list);
    return found;
}

int fixture_answer(struct fixture *f, const char *id, const char *scope) {
    struct fixture_answer got = {.f = f};
    char *approval = NULL;

    for (uint64_t until = sh_mono_ns() + PATIENCE_NS; !approval && sh_mono_ns() < until;) {
        fixture_run_ms(f, 2);
        approval = pending_of(f, id);
    }
    ck_assert_msg(approval != NULL, "nothing was asked");
    sh_engine_decide(f->engine, sh_str(id), sh_str(approval), scope != NULL, scope ? scope : "once",
                     "a test", "because", fixture_on_json, &got);
    fixture_run(f, &got.done);
    json_decref(got.value);
    sh_free(approval);
    return got.err.code;
}

int fixture_decide(struct fixture *f, const char *id, const char *approval) {
    struct fixture_answer got = {.f = f};

    sh_engine_decide(f->engine, sh_str(id), sh_str(approval), false, "once", "a test", "because",
                     fixture_on_json, &got);
    fixture_run(f, &got.done);
    json_decref(got.value);
    return got.err.code;
}

int fixture_signal(struct fixture *f, const char *id, const char *name, json_t *payload) {
    struct fixture_answer got = {.f = f};

    sh_engine_signal(f->engine, sh_str(id), sh_str(name), payload, fixture_on_json, &got);
    fixture_run(f, &got.done);
    json_decref(got.value);
    json_decref(payload);
    return got.err.code;
}
