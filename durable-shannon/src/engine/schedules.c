/* See schedules.h. One timer of the engine looks at all of them; it looks again every LOOK_NS,
 * because a step of the wall clock moves due times and no timer of the loop sees it. */
#include "engine/schedules.h"

#include "engine/call.h"
#include "engine/cron.h"
#include "engine/private.h"

#define LOOK_NS (10 * 1000000000ULL)
#define LATE_US 60000000LL /* a due time that is noticed later than this was missed */
#define KEY "schedule:"

struct schedule {
    struct sh_list link; /* engine->schedules */
    struct sh_engine *engine;
    char *id;
    json_t *record;
    struct sh_cron cron;
    struct sh_zone *zone; /* NULL: not read yet; it does not tick */
    bool starting;        /* a submission is under way, or waits to be tried again */
    struct sh_timer again;
};

/* One request from outside, or one write of our own. */
struct call {
    struct sh_call base; /* name: a schedule to look at when it is durable, or NULL */
    struct sh_err err;   /* known before; told later all the same */
    int64_t asked_us;    /* of a run that is asked for: not queued where it was not written */
};

static void pump(struct schedule *s);
static void arm(struct sh_engine *e);

static struct schedule *find(struct sh_engine *e, struct sh_str id) {
    sh_list_each (node, &e->schedules) {
        struct schedule *s = sh_container_of(node, struct schedule, link);
        if (sh_str_eqz(id, s->id)) {
            return s;
        }
    }
    return NULL;
}

static void schedule_free(struct schedule *s) {
    sh_list_unlink(&s->link);
    sh_timer_stop(&s->again);
    sh_free(s->id);
    json_decref(s->record);
    sh_zone_free(s->zone);
    sh_free(s);
}

static int64_t number(const struct schedule *s, const char *name) {
    return sh_json_get_int(s->record, name, 0);
}

static void set_number(struct schedule *s, const char *name, int64_t value) {
    json_object_set_new(s->record, name, json_integer(value));
}

static bool is(const struct schedule *s, const char *name, const char *value) {
    return sh_str_eqz(sh_json_get_str(s->record, name), value);
}

static json_t *list(const struct schedule *s, const char *name) {
    return json_object_get(s->record, name);
}

/* ---- writing ---- */

static struct call *call_new(struct sh_engine *e, sh_engine_json_fn cb, void *arg) {
    struct call *c = sh_new(struct call);

    sh_call_init(&c->base, e, (struct sh_str){0}, cb, arg);
    return c;
}

static void unqueue(struct schedule *s, int64_t due_us) {
    json_t *queue = list(s, "queue");

    for (size_t i = json_array_size(queue); i > 0; i--) {
        if (json_integer_value(json_array_get(queue, i - 1)) == due_us) {
            json_array_remove(queue, i - 1);
            return;
        }
    }
}

static void call_end(void *arg, const struct sh_err *err) {
    struct call *c = arg;
    struct sh_engine *e = c->base.engine;
    struct schedule *s = c->base.name ? find(e, sh_str(c->base.name)) : NULL;
    bool durable;

    err = err || !c->err.code ? err : &c->err;
    durable = !err;
    if (err && !c->base.cb) {
        sh_engine_fatal(e, err);
    }
    if (err && s && c->asked_us) {
        unqueue(s, c->asked_us);
    }
    e->pins++; /* what follows the answer needs the engine, too */
    sh_call_end(&c->base, c->base.value, err);
    if (s && durable && !e->stopping) {
        pump(s);
        arm(e);
    }
    sh_engine_unpin(e);
}

/* Answer after what was written before it. takes c */
static void call_later(struct call *c, const struct sh_put *put) {
    struct sh_err err = {0};

    if (sh_engine_append(c->base.engine, NULL, 0, put, put ? 1 : 0, call_end, c, &err) < 0) {
        call_end(c, &err);
    }
}

static void call_fail(struct call *c, const struct sh_err *err) {
    c->err = *err;
    call_later(c, NULL);
}

static void save(struct schedule *s, struct call *c) {
    sh_auto(sh_free_p) char *key = sh_asprintf(KEY "%s", s->id);

    set_number(s, "updated_at", sh_wall_us());
    c->base.value = c->base.value ? c->base.value : json_deep_copy(s->record);
    c->base.name = sh_strdup(s->id);
    call_later(c, &(struct sh_put){SH_TABLE_META, sh_str(key), s->record});
}

/* ---- starting tasks ---- */

struct begin {
    struct sh_schedule_start start;
};

static void pop(struct schedule *s) {
    json_array_remove(list(s, "queue"), 0);
}

static void begin_again(struct sh_timer *t) {
    struct schedule *s = sh_container_of(t, struct schedule, again);

    s->starting = false;
    pump(s);
}

static void begun(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct begin *b = arg;
    struct sh_engine *e = b->start.engine;
    struct schedule *s = find(e, sh_str(b->start.id));

    (void)row;
    (void)cached;
    if (s && err && sh_end_is_the_hosts(err->code) && !e->stopping) { /* its time is not lost */
        sh_timer_start(e->loop, &s->again, SH_PARK_NS, begin_again);
    } else if (s) {
        s->starting = false;
        if (err && !e->stopping) {
            pop(s);
            set_number(s, "failed_runs", number(s, "failed_runs") + 1);
            json_object_set_new(s->record, "last_error", sh_json_string(sh_str(err->message)));
            save(s, call_new(e, NULL, NULL));
        } else if (!e->stopping) {
            pump(s);
        }
    }
    sh_free(b->start.id);
    sh_free(b);
    sh_engine_unpin(e);
}

static void start(struct schedule *s, int64_t due_us) {
    struct begin *b = sh_new(struct begin);
    sh_auto(sh_json_done) json_t *metadata = json_object();
    struct sh_submit in = {.agent = sh_json_get_str(s->record, "agent"),
                           .query = sh_json_get_str(s->record, "query"),
                           .input = json_object_get(s->record, "input"),
                           .session = sh_json_get_str(s->record, "session"),
                           .capabilities = json_object_get(s->record, "capabilities"),
                           .metadata = metadata};

    if (json_object_get(s->record, "metadata")) {
        json_object_update(metadata, json_object_get(s->record, "metadata"));
    }
    json_object_set_new(metadata, "schedule_id", json_string(s->id));
    json_object_set_new(metadata, "due_us", json_integer(due_us));
    b->start = (struct sh_schedule_start){s->engine, sh_strdup(s->id), due_us};
    s->starting = true;
    s->engine->pins++;
    sh_engine_submit_scheduled(s->engine, &in, &b->start, begun, b);
}

static void canceled(void *arg, json_t *row, const struct sh_err *err) {
    (void)arg;
    (void)row;
    (void)err; /* it has ended by itself, then */
}

static void cancel_active(struct schedule *s) {
    size_t i;
    json_t *id;

    json_array_foreach(list(s, "active"), i, id) {
        struct sh_workflow *wf = sh_workflow_find(s->engine, sh_str(json_string_value(id)));
        if (wf && !wf->reading) {
            sh_workflow_cancel(wf, "schedule", "its next run is due");
        } else { /* it sleeps, or is on its way into memory */
            sh_engine_cancel(s->engine, sh_str(json_string_value(id)), "schedule",
                             "its next run is due", canceled, NULL);
        }
    }
}

/* Start what is queued, as far as the overlap policy lets it. */
static void pump(struct schedule *s) {
    bool changed = false;

    while (!s->starting && json_array_size(list(s, "queue")) > 0 && !s->engine->stopping &&
           !s->engine->config.passive && !sh_disk_is_low(s->engine)) {
        bool busy = json_array_size(list(s, "active")) > 0;
        if (busy && is(s, "overlap", "skip")) {
            pop(s);
            set_number(s, "skipped_runs", number(s, "skipped_runs") + 1);
            changed = true;
            continue;
        }
        if (busy && is(s, "overlap", "queue")) {
            break;
        }
        if (busy && is(s, "overlap", "cancel_previous")) {
            cancel_active(s);
        }
        start(s, json_integer_value(json_array_get(list(s, "queue"), 0)));
    }
    if (changed) {
        save(s, call_new(s->engine, NULL, NULL));
    }
}

void sh_schedule_task_starts(const struct sh_schedule_start *start, struct sh_workflow *wf) {
    struct schedule *s = find(start->engine, sh_str(start->id));
    sh_auto(sh_free_p) char *key = sh_asprintf(KEY "%s", start->id);

    json_object_set_new(wf->row, "schedule", json_string(start->id));
    json_object_set_new(wf->row, "due_at", json_integer(start->due_us));
    if (!s) {
        return; /* removed meanwhile: its last task */
    }
    pop(s);
    json_array_append_new(list(s, "active"), json_string(wf->id.s));
    json_object_set_new(s->record, "last_task", json_string(wf->id.s));
    json_object_del(s->record, "last_error");
    set_number(s, "last_due", start->due_us);
    set_number(s, "last_at", wf->journal.time_us);
    set_number(s, "total_runs", number(s, "total_runs") + 1);
    sh_journal_put(wf, SH_TABLE_META, key, json_deep_copy(s->record));
}

void sh_schedule_task_ends(struct sh_workflow *wf, bool completed) {
    struct sh_str id = sh_json_get_str(wf->row, "schedule");
    struct schedule *s = id.len ? find(wf->engine, id) : NULL;
    const char *count = completed ? "successful_runs" : "failed_runs";
    size_t i;
    json_t *active;

    if (!s) {
        return;
    }
    json_array_foreach(list(s, "active"), i, active) {
        if (sh_str_eqz(sh_str(json_string_value(active)), wf->id.s)) {
            sh_auto(sh_free_p) char *key = sh_asprintf(KEY "%s", s->id);
            json_array_remove(list(s, "active"), i);
            set_number(s, count, number(s, count) + 1);
            sh_journal_put(wf, SH_TABLE_META, key, json_deep_copy(s->record));
            break;
        }
    }
    pump(s);
}

/* ---- what is due ---- */

/* The last `max` due times from `from` to `now`, oldest first; *ret_seen: how many there were. */
static size_t collect(const struct schedule *s, int64_t from, int64_t now, int64_t *due, size_t max,
                      size_t *ret_seen) {
    size_t n = 0;

    *ret_seen = 0;
    for (int64_t t = sh_cron_next(&s->cron, s->zone, from - 1); t <= now;
         t = sh_cron_next(&s->cron, s->zone, t)) {
        if (n == max) {
            memmove(due, due + 1, (max - 1) * sizeof(*due));
            n--;
        }
        due[n++] = t;
        ++*ret_seen;
    }
    return n;
}

/* From the end backwards in growing steps: a schedule of every minute that slept for a year has
 * half a million due times, and at most `max` of them matter. */
static size_t latest(const struct schedule *s, int64_t next, int64_t now, int64_t *due, size_t max,
                     size_t *ret_seen) {
    for (int64_t width = 3600000000LL;; width *= 4) {
        int64_t from = now - width > next ? now - width : next;
        size_t n = collect(s, from, now, due, max, ret_seen);
        if (n == max || from == next) {
            return n;
        }
    }
}

static bool decide(struct schedule *s, int64_t now) {
    int64_t next = number(s, "next_at"), due[SH_SCHEDULE_CATCH_UP_MAX];
    size_t max = is(s, "catch_up", "all") ? (size_t)number(s, "catch_up_max") : 1, n, seen;

    if (json_is_true(list(s, "paused")) || !s->zone || next > now) {
        return false;
    }
    n = latest(s, next, now, due, max, &seen);
    if (n == 1 && is(s, "catch_up", "none") && now - due[0] > LATE_US) {
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (json_array_size(list(s, "queue")) < SH_SCHEDULE_QUEUE_MAX) {
            json_array_append_new(list(s, "queue"), json_integer(due[i]));
            seen--;
        }
    }
    set_number(s, "skipped_runs", number(s, "skipped_runs") + (int64_t)seen);
    set_number(s, "next_at", sh_cron_next(&s->cron, s->zone, now));
    return true;
}

static void tick(struct sh_timer *t) {
    struct sh_engine *e = sh_container_of(t, struct sh_engine, schedule_timer);
    int64_t now = sh_wall_us();

    sh_list_each (node, &e->schedules) {
        struct schedule *s = sh_container_of(node, struct schedule, link);
        if (decide(s, now)) {
            save(s, call_new(e, NULL, NULL)); /* then pump */
        }
    }
    arm(e);
}

static void arm(struct sh_engine *e) {
    int64_t soonest = INT64_MAX, now = sh_wall_us();
    uint64_t wait_ns = LOOK_NS;

    sh_list_each (node, &e->schedules) {
        struct schedule *s = sh_container_of(node, struct schedule, link);
        if (s->zone && !json_is_true(list(s, "paused")) && number(s, "next_at") < soonest) {
            soonest = number(s, "next_at");
        }
    }
    if (soonest == INT64_MAX || e->config.passive || e->stopping || sh_disk_is_low(e)) {
        sh_timer_stop(&e->schedule_timer);
        return;
    }
    if (soonest - now < (int64_t)(LOOK_NS / 1000)) {
        wait_ns = soonest > now ? (uint64_t)(soonest - now) * 1000 : 0;
    }
    sh_timer_start(e->loop, &e->schedule_timer, wait_ns, tick);
}

void sh_schedules_go_on(struct sh_engine *e) {
    sh_list_each (node, &e->schedules) {
        pump(sh_container_of(node, struct schedule, link));
    }
    arm(e);
}

/* ---- saying what and when ---- */

struct define { /* a schedule that is being made or changed: its zone is read by the pool */
    struct sh_job job;
    struct call *call; /* NULL: at the start of the engine */
    struct sh_engine *engine;
    char *id;
    json_t *doc;
    struct sh_cron cron;
    struct sh_zone *zone;
    struct sh_err err;
};

static void define_free(struct define *d) {
    struct sh_engine *e = d->engine;

    sh_free(d->id);
    json_decref(d->doc);
    sh_zone_free(d->zone);
    sh_free(d);
    sh_engine_unpin(e);
}

static void define_fail(struct define *d) {
    if (d->call) {
        call_fail(d->call, &d->err);
    } else {
        sh_log(SH_LOG_ERROR, "schedule-idle", "id=%s message=%s", d->id,
               SH_Q(sh_str(d->err.message)));
    }
    define_free(d);
}

static void zone_read(struct sh_job *job) {
    struct define *d = sh_container_of(job, struct define, job);

    sh_zone_load(sh_json_get_str(d->doc, "timezone"), &d->zone, &d->err);
}

/* What it has done so far outlives a change of what it is to do. */
static struct schedule *apply(struct define *d) {
    static const char *const kept[] = {
        "created_at", "queue",      "active",       "last_due",    "last_task",      "last_at",
        "total_runs", "last_error", "skipped_runs", "failed_runs", "successful_runs"};
    struct schedule *s = find(d->engine, sh_str(d->id));
    json_t *record = json_deep_copy(d->doc);

    json_object_set_new(record, "v", json_integer(1));
    json_object_set_new(record, "id", json_string(d->id));
    if (!s) {
        s = sh_new(struct schedule);
        s->engine = d->engine;
        s->id = sh_strdup(d->id);
        s->record = json_pack("{s:I, s:[], s:[]}", "created_at", (json_int_t)sh_wall_us(), "queue",
                              "active");
        sh_list_push(&d->engine->schedules, &s->link);
    }
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        json_t *value = json_object_get(s->record, kept[i]);
        if (value) {
            json_object_set(record, kept[i], value);
        }
    }
    json_decref(s->record);
    s->record = record;
    s->cron = d->cron;
    sh_zone_free(s->zone);
    s->zone = sh_take(&d->zone);
    set_number(s, "next_at", sh_cron_next(&s->cron, s->zone, sh_wall_us()));
    return s;
}

static void zone_done(struct sh_job *job) {
    struct define *d = sh_container_of(job, struct define, job);
    struct schedule *s;

    if (d->engine->stopping && !d->err.code) {
        sh_fail(&d->err, SH_E_UNAVAILABLE, "the engine is stopping");
    }
    if (d->err.code) {
        define_fail(d);
        return;
    }
    if (d->call) {
        save(apply(d), d->call);
        define_free(d);
        return;
    }
    s = find(d->engine, sh_str(d->id));
    if (s && !s->zone) { /* read at the start of the engine; else it was changed meanwhile */
        s->zone = sh_take(&d->zone);
        pump(s);
        arm(d->engine);
    }
    define_free(d);
}

static void read_zone(struct define *d) {
    d->job.work = zone_read;
    d->job.done = zone_done;
    sh_loop_submit(d->engine->loop, SH_POOL_FILES, &d->job);
}

static struct define *define_new(struct sh_engine *e, const char *id, const json_t *doc) {
    struct define *d = sh_new(struct define);

    d->engine = e;
    e->pins++;
    d->id = sh_strdup(id);
    d->doc = json_deep_copy(doc);
    return d;
}

static size_t count(const struct sh_engine *e) {
    size_t n = 0;

    sh_list_each (node, &e->schedules) {
        n++;
    }
    return n;
}

static int no_schedule(struct sh_err *err, struct sh_str id) {
    return sh_fail(err, SH_E_NOT_FOUND,
                   "there is no schedule \"%.*s\"; `shannon schedules` lists them",
                   (int)(id.len < 130 ? id.len : 130), id.p ? id.p : "");
}

void sh_engine_schedule_save(struct sh_engine *e, struct sh_str id, const json_t *doc,
                             sh_engine_json_fn cb, void *arg) {
    struct schedule *s = find(e, id);
    struct sh_id fresh;
    struct define *d;
    struct call *c = call_new(e, cb, arg);

    SH_ON_LOOP(e->loop);
    sh_id_new(&fresh, "sched-");
    d = define_new(e, s ? s->id : fresh.s, doc);
    d->call = c;
    if (id.len > 0 && !s) {
        no_schedule(&d->err, id);
    } else if (!s && count(e) >= SH_SCHEDULES_MAX) {
        sh_fail(&d->err, SH_E_LIMIT, "there are %d schedules already; remove one first",
                SH_SCHEDULES_MAX);
    } else {
        sh_schedule_check(d->doc, &d->cron, &d->err);
    }
    if (d->err.code) {
        define_fail(d);
    } else {
        read_zone(d);
    }
}

/* ---- looking and steering ---- */

void sh_engine_schedules(struct sh_engine *e, sh_engine_json_fn cb, void *arg) {
    struct call *c = call_new(e, cb, arg);

    c->base.value = json_array();
    sh_list_each (node, &e->schedules) {
        json_array_append_new(c->base.value,
                              json_deep_copy(sh_container_of(node, struct schedule, link)->record));
    }
    call_later(c, NULL);
}

/* The request about a schedule that is there, else it is answered and NULL. */
static struct schedule *asked(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                              void *arg, struct call **ret) {
    struct schedule *s = find(e, id);
    struct call *c = call_new(e, cb, arg);
    struct sh_err err = {0};

    if (s) {
        *ret = c;
        return s;
    }
    no_schedule(&err, id);
    call_fail(c, &err);
    return NULL;
}

void sh_engine_schedule_get(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                            void *arg) {
    struct call *c;
    struct schedule *s = asked(e, id, cb, arg, &c);

    if (s) {
        c->base.value = json_deep_copy(s->record);
        call_later(c, NULL);
    }
}

void sh_engine_schedule_remove(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                               void *arg) {
    struct call *c;
    struct schedule *s = asked(e, id, cb, arg, &c);

    if (s) {
        sh_auto(sh_free_p) char *key = sh_asprintf(KEY "%s", s->id);
        c->base.value = json_incref(s->record);
        schedule_free(s);
        arm(e);
        call_later(c, &(struct sh_put){SH_TABLE_META, sh_str(key), NULL});
    }
}

/* Why and since when, for people; gone with the pause. */
static void note_pause(struct schedule *s, bool paused, const char *reason) {
    json_object_del(s->record, "pause_reason");
    json_object_del(s->record, "paused_at");
    if (paused) {
        set_number(s, "paused_at", sh_wall_us());
        if (reason && *reason) {
            json_object_set_new(s->record, "pause_reason", sh_json_string(sh_str(reason)));
        }
    }
}

void sh_engine_schedule_pause(struct sh_engine *e, struct sh_str id, bool paused,
                              const char *reason, sh_engine_json_fn cb, void *arg) {
    struct call *c;
    struct schedule *s = asked(e, id, cb, arg, &c);
    struct sh_err err = {0};

    if (!s) {
        return;
    }
    if (!s->zone) {
        no_schedule(&err, id);
        call_fail(c, &err);
        return;
    }
    if (!paused && json_is_true(list(s, "paused"))) { /* what a pause held back was not missed */
        set_number(s, "next_at", sh_cron_next(&s->cron, s->zone, sh_wall_us()));
    }
    json_object_set_new(s->record, "paused", json_boolean(paused));
    note_pause(s, paused, reason);
    save(s, c);
}

void sh_engine_schedule_run(struct sh_engine *e, struct sh_str id, sh_engine_json_fn cb,
                            void *arg) {
    struct call *c;
    struct schedule *s = asked(e, id, cb, arg, &c);
    struct sh_err err = {0};

    if (!s) {
        return;
    }
    if (json_array_size(list(s, "queue")) >= SH_SCHEDULE_QUEUE_MAX) {
        sh_fail(&err, SH_E_LIMIT, "%d runs of it are waiting already", SH_SCHEDULE_QUEUE_MAX);
        call_fail(c, &err);
        return;
    }
    c->asked_us = sh_wall_us();
    json_array_append_new(list(s, "queue"), json_integer(c->asked_us));
    save(s, c);
}

/* ---- start and stop ---- */

struct loading {
    struct sh_engine *engine;
    sh_store_done_fn cb;
    void *arg;
};

static void take(struct sh_engine *e, const json_t *record) {
    struct sh_str id = sh_json_get_str(record, "id");
    struct schedule *s;
    struct define *d;
    struct sh_err err = {0};

    if (!sh_str_starts(id, SH_STR(KEY))) { /* the store names a record by its key */
        return;
    }
    s = sh_new(struct schedule);
    s->engine = e;
    s->id = sh_strndup0(id.p + strlen(KEY), id.len - strlen(KEY));
    s->record = json_deep_copy(record);
    json_object_set_new(s->record, "id", json_string(s->id));
    sh_list_push(&e->schedules, &s->link);
    if (!json_is_array(list(s, "queue")) || !json_is_array(list(s, "active")) ||
        number(s, "catch_up_max") < 1 || number(s, "catch_up_max") > SH_SCHEDULE_CATCH_UP_MAX ||
        sh_cron_parse(sh_json_get_str(record, "cron"), &s->cron, &err) < 0) {
        sh_log(SH_LOG_ERROR, "schedule-idle", "id=%s message=%s", s->id,
               SH_Q(sh_str("its record is damaged")));
        schedule_free(s);
        return;
    }
    d = define_new(e, s->id, s->record);
    read_zone(d);
}

static void listed(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct loading *l = arg;
    size_t i;
    json_t *record;

    (void)total;
    json_array_foreach(records, i, record) {
        take(l->engine, record);
    }
    l->cb(l->arg, err);
    sh_free(l);
}

void sh_schedules_load(struct sh_engine *e, sh_store_done_fn cb, void *arg) {
    struct sh_store_filter f = {.prefix = KEY, .limit = SH_STORE_LIST_MAX};
    struct loading *l = sh_new(struct loading);

    *l = (struct loading){e, cb, arg};
    sh_store_list(e->store, SH_TABLE_META, &f, listed, l);
}

void sh_schedules_stop(struct sh_engine *e) {
    sh_timer_stop(&e->schedule_timer);
    while (!sh_list_empty(&e->schedules)) {
        schedule_free(sh_container_of(e->schedules.next, struct schedule, link));
    }
}
