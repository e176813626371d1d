/* The one writer. Appends wait in a queue; whatever waits leaves as one transaction; the next one
 * leaves when it has ended.
 *
 * A refused transaction (EXISTS, INVAL: nothing was written; FENCED: store_owner.h) is tried again
 * in halves until the guilty call is alone and fails. Later calls that carry events of a workflow
 * in it fail with it: to write seq 6 after seq 5 was refused would put our event into someone
 * else's journal. Any other failure leaves the outcome open: the store is poisoned and tells so to
 * everyone. */
#include <stdlib.h>

#include "store/store_codec.h"
#include "store/store_owner.h"
#include "store/store_private.h"

/* An append, encoded. */
struct call {
    struct sh_list link;
    struct sh_buf events, puts;
    struct put_mark {
        size_t at, key_at; /* offsets in puts: the record, its table and key */
        size_t len, key_len;
    } *marks;
    size_t n_events, n_puts, bytes;
    struct sh_store_owner *owner; /* or NULL */
    struct sh_err doom;           /* code != 0: fails when its turn comes */
    sh_store_done_fn cb;
    void *arg;
};

static struct call *call_free(struct call *c) {
    if (c) {
        sh_buf_done(&c->events);
        sh_buf_done(&c->puts);
        sh_free(c->marks);
        sh_store_owner_unref(c->owner);
        sh_free(c);
    }
    return NULL;
}

static void call_free_p(struct call **c) {
    *c = call_free(*c);
}

/* First of a list; NULL when empty. */
static struct call *first(struct sh_list *list) {
    return sh_list_empty(list) ? NULL : sh_container_of(list->next, struct call, link);
}

static bool text_ok(struct sh_str s) {
    return s.len > 0 && !memchr(s.p, 0, s.len) && sh_utf8_valid(s);
}

static int encode_events(struct call *c, const struct sh_event_record *events, size_t n,
                         struct sh_err *err) {
    for (size_t i = 0; i < n; i++) {
        const struct sh_event_record *e = &events[i];
        if (e->body.len > SH_EVENT_BODY_MAX) {
            return sh_fail(err, SH_E_LIMIT, "an event has %zu bytes, at most %llu are allowed",
                           e->body.len, SH_EVENT_BODY_MAX);
        }
        if (!text_ok(e->workflow) || !text_ok(e->type) || !sh_utf8_valid(e->body) || e->seq == 0 ||
            e->seq > INT64_MAX) {
            return sh_fail(err, SH_E_INVAL,
                           "event %zu of the batch has no workflow, no type, the sequence number "
                           "0 or text that is not UTF-8",
                           i);
        }
        sh_store_put_event(&c->events, e);
    }
    c->n_events = n;
    return 0;
}

static int encode_cut(struct call *c, const struct sh_put *put, struct put_mark *mark,
                      struct sh_err *err) {
    int64_t last = sh_json_get_int(put->value, "seq", 0);
    if (!text_ok(put->key) || last < 1) {
        return sh_fail(err, SH_E_INVAL, "a cut needs a workflow and a sequence number");
    }
    mark->at = mark->key_at = c->puts.len;
    sh_buf_bytes32(&c->puts, SH_STR(SH_STORE_EVENTS));
    sh_buf_bytes32(&c->puts, put->key);
    sh_buf_u8(&c->puts, 2);
    sh_buf_u64(&c->puts, (uint64_t)last);
    mark->len = mark->key_len = c->puts.len - mark->at; /* two cuts of one journal are two things */
    return 0;
}

static int encode_put(struct call *c, const struct sh_put *put, struct put_mark *mark,
                      struct sh_err *err) {
    if (put->table == SH_JOURNAL_CUT) {
        return encode_cut(c, put, mark, err);
    }
    if (!text_ok(put->key) || (put->value && !json_is_object(put->value))) {
        return sh_fail(err, SH_E_INVAL,
                       "a record of table %s needs a key of UTF-8 text and an object as value",
                       sh_table_name(put->table));
    }
    mark->at = mark->key_at = c->puts.len;
    sh_buf_bytes32(&c->puts, sh_str(sh_table_name(put->table)));
    sh_buf_bytes32(&c->puts, put->key);
    mark->key_len = c->puts.len - mark->key_at;
    sh_buf_u8(&c->puts, put->value != NULL);
    if (put->value && !sh_store_put_value(&c->puts, put->value)) {
        return sh_fail(err, SH_E_INVAL, "a record of table %s is nested deeper than %d levels",
                       sh_table_name(put->table), SH_STORE_DEPTH_MAX);
    }
    mark->len = c->puts.len - mark->at;
    return 0;
}

static int encode_puts(struct call *c, const struct sh_put *puts, size_t n, struct sh_err *err) {
    c->marks = n ? sh_new_array(struct put_mark, n) : NULL;
    for (size_t i = 0; i < n; i++) {
        int r = encode_put(c, &puts[i], &c->marks[i], err);
        if (r < 0) {
            return r;
        }
    }
    c->n_puts = n;
    return 0;
}

/* A buffer has failed: by its limit, or for want of memory? The first is the caller's doing. */
static int too_large(const struct sh_event_record *events, size_t n_events,
                     const struct sh_put *puts, size_t n_puts, struct sh_err *err) {
    size_t bytes = 0;
    for (size_t i = 0; i < n_events; i++) {
        bytes +=
            28 + SH_HASH_BYTES + events[i].workflow.len + events[i].type.len + events[i].body.len;
    }
    for (size_t i = 0; i < n_puts; i++) {
        bool cut = puts[i].table == SH_JOURNAL_CUT;
        bytes += 9 + (cut ? 5 : strlen(sh_table_name(puts[i].table))) + puts[i].key.len;
        bytes += puts[i].value ? sh_store_value_size(puts[i].value) : 0;
    }
    if (bytes <= SH_BATCH_BYTES_MAX) {
        return sh_fail(err, SH_E_NOMEM, "no memory for a batch of %zu bytes", bytes);
    }
    return sh_fail(err, SH_E_LIMIT, "a batch has %zu bytes, at most %llu are allowed", bytes,
                   SH_BATCH_BYTES_MAX);
}

int sh_store_append(struct sh_store *s, const struct sh_event_record *events, size_t n_events,
                    const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                    struct sh_err *err) {
    return sh_store_append_as(s, NULL, events, n_events, puts, n_puts, cb, arg, err);
}

int sh_store_append_as(struct sh_store *s, struct sh_store_owner *o,
                       const struct sh_event_record *events, size_t n_events,
                       const struct sh_put *puts, size_t n_puts, sh_store_done_fn cb, void *arg,
                       struct sh_err *err) {
    SH_ON_LOOP(s->loop);
    if (s->state != STORE_OPEN) {
        return sh_fail(err, SH_E_STATE, "the store is not open");
    }
    if (n_events > SH_BATCH_RECORDS_MAX || n_puts > SH_BATCH_RECORDS_MAX - n_events) {
        return sh_fail(err, SH_E_LIMIT,
                       "a batch of %zu events and %zu records: at most %d together", n_events,
                       n_puts, SH_BATCH_RECORDS_MAX);
    }
    sh_auto(call_free_p) struct call *c = sh_new(struct call);
    sh_buf_init(&c->events, SH_BATCH_BYTES_MAX);
    sh_buf_init(&c->puts, SH_BATCH_BYTES_MAX);
    int r = encode_events(c, events, n_events, err);
    r = r < 0 ? r : encode_puts(c, puts, n_puts, err);
    if (r < 0) {
        return r;
    }
    c->bytes = c->events.len + c->puts.len;
    if (c->events.failed || c->puts.failed || c->bytes > SH_BATCH_BYTES_MAX) {
        return too_large(events, n_events, puts, n_puts, err);
    }
    c->cb = cb;
    c->arg = arg;
    s->submitted++;
    c->owner = o;
    if (o) {
        o->refs++;
        c->doom = o->lost;
    }
    if (s->poison.code) {
        c->doom = s->poison;
    }
    if (c->doom.code) {
        sh_store_kick(s);
    }
    sh_list_push(&s->queue, &c->link);
    (void)sh_take(&c);
    return 0;
}

/* One call is over: tell. */
static void settle(struct sh_store *s, struct call *c, const struct sh_err *err) {
    sh_list_unlink(&c->link);
    s->settled++;
    s->probe_left -= s->probe_left > 0;
    sh_store_done_fn cb = c->cb;
    void *arg = c->arg;
    call_free(c);
    if (cb) {
        cb(arg, err);
    }
}

/* A call of nothing is a barrier: it ends when all before it have. */
static bool is_barrier(const struct call *c) {
    return c->n_events == 0 && c->n_puts == 0;
}

void sh_store_batch_done(struct sh_store *s) {
    struct call *c = NULL;
    uint64_t until = s->submitted; /* callbacks may submit more; those have their own turn */
    while (!s->in_flight && s->settled < until && (c = first(&s->queue)) &&
           (c->doom.code || is_barrier(c))) {
        struct sh_err doom = c->doom;
        settle(s, c, doom.code ? &doom : NULL);
    }
}

void sh_store_batch_fail_all(struct sh_store *s) {
    struct call *c = NULL;
    uint64_t until = s->submitted;
    while (s->settled < until && ((c = first(&s->flying)) || (c = first(&s->queue)))) {
        struct sh_err why = c->doom.code ? c->doom : s->poison;
        settle(s, c, &why);
    }
}

/* A record of the batch that is being made. */
struct chosen {
    struct sh_str key, bytes;
    size_t order;
};

static int by_key(const void *pa, const void *pb) {
    const struct chosen *a = pa, *b = pb;
    int c = sh_str_cmp(a->key, b->key);
    return c ? c : (a->order > b->order) - (a->order < b->order);
}

/* The records of the flying calls, each key once: the last value wins. Returns how many. */
static uint32_t fold_puts(struct sh_store *s, size_t n, struct sh_buf *out) {
    if (n == 0) {
        return 0;
    }
    struct chosen *all = sh_new_array(struct chosen, n);
    size_t at = 0;
    sh_list_each (node, &s->flying) {
        const struct call *c = sh_container_of(node, struct call, link);
        for (size_t i = 0; i < c->n_puts; i++, at++) {
            all[at].key = sh_strn(c->puts.p + c->marks[i].key_at, c->marks[i].key_len);
            all[at].bytes = sh_strn(c->puts.p + c->marks[i].at, c->marks[i].len);
            all[at].order = at;
        }
    }
    qsort(all, n, sizeof(*all), by_key);
    uint32_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (i + 1 == n || !sh_str_eq(all[i].key, all[i + 1].key)) {
            sh_buf_add(out, all[i].bytes.p, all[i].bytes.len);
            kept++;
        }
    }
    sh_free(all);
    return kept;
}

static void write_u32_at(struct sh_buf *b, size_t at, uint32_t v) {
    for (unsigned i = 0; i < 4; i++) {
        b->p[at + i] = (char)(uint8_t)(v >> (8 * i));
    }
}

struct sizes {
    size_t calls, events, puts, bytes;
};

/* Move calls from the queue to `flying`, as many as one transaction may hold, of one owner. */
static struct sizes gather(struct sh_store *s) {
    struct sizes z = {0, 0, 0, 0};
    size_t most = s->probe_left ? s->probe : SIZE_MAX;
    struct call *c = NULL;
    s->batch_owner = NULL;
    while (z.calls < most && (c = first(&s->queue)) && !c->doom.code) {
        if (z.calls > 0 && (z.events + z.puts + c->n_events + c->n_puts > SH_BATCH_RECORDS_MAX ||
                            z.bytes + c->bytes > SH_BATCH_BYTES_MAX)) {
            break;
        }
        if (c->owner && s->batch_owner && c->owner != s->batch_owner) {
            break;
        }
        s->batch_owner = c->owner ? c->owner : s->batch_owner;
        sh_list_unlink(&c->link);
        sh_list_push(&s->flying, &c->link);
        z.calls++;
        z.events += c->n_events;
        z.puts += c->n_puts;
        z.bytes += c->bytes;
    }
    return z;
}

static bool encode_batch(struct sh_store *s, struct sizes *z) {
    const struct sh_store_owner *o = s->batch_owner;
    sh_buf_clear(&s->batch);
    sh_store_put_header(&s->batch, &(struct sh_store_header){.n_events = (uint32_t)z->events,
                                                             .fenced = o != NULL,
                                                             .epoch = sh_store_epoch(o)});
    sh_list_each (node, &s->flying) {
        const struct call *c = sh_container_of(node, struct call, link);
        sh_buf_add(&s->batch, c->events.p, c->events.len);
    }
    z->puts = fold_puts(s, z->puts, &s->batch);
    if (!s->batch.failed) {
        write_u32_at(&s->batch, 8, (uint32_t)z->puts);
    }
    return !s->batch.failed;
}

static void on_commit(void *arg, const struct sh_err *err);

static void send(struct sh_store *s) {
    struct sizes z = gather(s);
    if (z.calls == 0) {
        return;
    }
    if (!encode_batch(s, &z)) {
        sh_fail(&s->poison, SH_E_NOMEM, "no memory for a batch of %zu bytes", z.bytes);
    } else if (SH_FAULT(store_commit)) {
        sh_fail(&s->poison, SH_E_IO, "the commit failed, as a fault test asked");
    }
    if (s->poison.code) {
        sh_store_kick(s);
        return;
    }
    s->in_flight = true;
    SH_CRASH_POINT(store_before_commit);
    s->ops->commit(s->backend, sh_buf_str(&s->batch), on_commit, s);
}

void sh_store_flush(struct sh_store *s) {
    SH_ON_LOOP(s->loop);
    if (s->state == STORE_OPEN || s->state == STORE_CLOSING) {
        struct call *head = first(&s->queue);
        if (s->in_flight || s->dispatching || !head) {
            return;
        }
        if (s->poison.code || head->doom.code || is_barrier(head)) {
            sh_store_kick(s);
        } else {
            send(s);
        }
    }
}

static void count(struct sh_store *s) {
    struct sh_reader r = {(const uint8_t *)s->batch.p, (const uint8_t *)s->batch.p + s->batch.len,
                          false};
    struct sh_store_header h = {0};
    SH_ASSERT(sh_store_get_header(&r, &h));
    s->stats.transactions++;
    s->stats.events += h.n_events;
    s->stats.records += h.n_puts;
    s->stats.bytes += s->batch.len;
    if (h.n_events + (uint64_t)h.n_puts > s->stats.largest_batch) {
        s->stats.largest_batch = h.n_events + (uint64_t)h.n_puts;
    }
}

static void succeeded(struct sh_store *s) {
    struct call *c = NULL;
    count(s);
    while ((c = first(&s->flying))) {
        settle(s, c, NULL);
    }
}

/* True when the two carry events of one workflow. Neighbours mostly share it: repeats are skipped.
 */
static bool shares_workflow(const struct call *a, const struct call *b) {
    struct sh_str last_a = {0};
    struct sh_reader ra = {(const uint8_t *)a->events.p,
                           (const uint8_t *)a->events.p + a->events.len, false};
    for (size_t i = 0; i < a->n_events; i++) {
        struct sh_event_record ea, eb;
        SH_ASSERT(sh_store_get_event(&ra, &ea));
        if (sh_str_eq(ea.workflow, last_a)) {
            continue;
        }
        last_a = ea.workflow;
        struct sh_reader rb = {(const uint8_t *)b->events.p,
                               (const uint8_t *)b->events.p + b->events.len, false};
        for (size_t j = 0; j < b->n_events; j++) {
            SH_ASSERT(sh_store_get_event(&rb, &eb));
            if (sh_str_eq(ea.workflow, eb.workflow)) {
                return true;
            }
        }
    }
    return false;
}

/* Somebody else has taken over: nothing that is waiting goes in, nor what comes later. */
static void fenced(struct sh_store *s) {
    struct sh_store_owner *o = s->batch_owner;
    struct sh_list *const lists[] = {&s->flying, &s->queue};
    sh_store_owner_lose(o);
    for (size_t i = 0; i < 2; i++) {
        sh_list_each (node, lists[i]) {
            struct call *c = sh_container_of(node, struct call, link);
            if (c->owner == o && !c->doom.code) {
                c->doom = o->lost;
            }
        }
    }
    s->probe_left = 0;
    sh_list_move(&s->flying, &s->queue);
    sh_list_move(&s->queue, &s->flying);
}

static void refused(struct sh_store *s, const struct sh_err *err) {
    size_t n = 0;
    if (err->code == SH_E_FENCED) {
        fenced(s);
        return;
    }
    sh_list_each (node, &s->flying) {
        n++;
    }
    if (n == 1) {
        struct call *guilty = first(&s->flying);
        sh_list_each (node, &s->queue) {
            struct call *c = sh_container_of(node, struct call, link);
            if (!c->doom.code && shares_workflow(guilty, c)) {
                c->doom = *err;
            }
        }
        struct sh_err why = *err;
        settle(s, guilty, &why);
        s->probe = s->probe_left; /* all the others again: mostly only one is guilty */
        return;
    }
    if (s->probe_left < n) {
        s->probe_left = n;
    }
    s->probe = n / 2;
    sh_list_move(&s->flying, &s->queue);
    sh_list_move(&s->queue, &s->flying);
}

static void on_commit(void *arg, const struct sh_err *err) {
    struct sh_store *s = arg;
    SH_ASSERT(s->in_flight);
    if (!err) {
        SH_CRASH_POINT(store_after_commit);
    }
    s->dispatching++;
    s->in_flight = false;
    if (!err) {
        succeeded(s);
    } else if (err->code == SH_E_EXISTS || err->code == SH_E_INVAL || err->code == SH_E_FENCED) {
        refused(s, err);
    } else {
        s->poison = *err;
        sh_store_batch_fail_all(s);
    }
    sh_store_batch_done(s);
    s->dispatching--;
    sh_store_advance(s);
}
