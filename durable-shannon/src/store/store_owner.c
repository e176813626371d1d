/* Owners of a store, and the fence between them. What an owner writes takes the next number of a
 * row of its own, "~owner/EPOCH", in the same transaction; a number that is there already refuses
 * the whole batch. Who takes over writes the number that the owner before it would have taken next:
 * from that transaction on nothing of that owner goes in any more, whatever it still believes. It
 * is the database's own check of an id, so that it costs no reading, and two writes of one row are
 * a conflict for every database.
 *
 *   meta:owner   {epoch, owner, at_us}: the latest
 *   ~owner/N     event k: the k-th batch of epoch N (the last of them are kept), or its end */
#include "store/store_owner.h"

#include <stdio.h>

#define RECORD "owner"
#define TRIES_MAX 64 /* others start at the same time */

struct claiming {
    struct sh_store *store;
    char *name;
    sh_store_owner_fn cb;
    void *arg;
    unsigned tries;
    uint64_t before;            /* the latest epoch */
    struct sh_store_owner last; /* of that one: where its row ends */
};

static void journal_name(char *ret, size_t size, uint64_t epoch) {
    snprintf(ret, size, "~owner/%llu", (unsigned long long)epoch);
}

struct sh_event_record sh_store_fence(const struct sh_store_owner *o) {
    return (struct sh_event_record){.workflow = sh_str(o->journal),
                                    .seq = o->next,
                                    .type = SH_STR("Wrote"),
                                    .body = SH_STR("{}")};
}

bool sh_store_fenced_by(const struct sh_store_owner *o, const struct sh_err *err) {
    char id[64];

    snprintf(id, sizeof(id), "'%s'", o->journal);
    return err->code == SH_E_EXISTS && strstr(err->message, id);
}

void sh_store_owner_lose(struct sh_store_owner *o) {
    sh_fail(&o->lost, SH_E_FENCED,
            "another process has taken over what this one wrote (its epoch %llu is past); nothing "
            "that it did since has been kept",
            (unsigned long long)o->epoch);
}

void sh_store_owner_unref(struct sh_store_owner *o) {
    if (o && --o->refs == 0) {
        sh_free(o);
    }
}

void sh_store_disown(struct sh_store_owner *o) {
    sh_store_owner_unref(o);
}

uint64_t sh_store_epoch(const struct sh_store_owner *o) {
    return o ? o->epoch : 0;
}

bool sh_store_lost(const struct sh_store_owner *o, struct sh_err *ret) {
    if (!o || !o->lost.code) {
        return false;
    }
    *ret = o->lost;
    return true;
}

/* ---- taking over ---- */

static void look(struct claiming *c);

static void end(struct claiming *c, const struct sh_err *err) {
    struct sh_store_owner *o = NULL;

    if (!err) {
        o = sh_new(struct sh_store_owner);
        o->refs = 1;
        o->epoch = c->before + 1;
        o->next = 2; /* the first is what took over */
        journal_name(o->journal, sizeof(o->journal), o->epoch);
    }
    c->cb(c->arg, o, err);
    sh_free(c->name);
    sh_free(c);
}

static void taken(void *arg, const struct sh_err *err) {
    struct claiming *c = arg;

    if (err && err->code == SH_E_EXISTS && ++c->tries < TRIES_MAX) {
        look(c); /* it wrote meanwhile, or somebody else took over */
    } else {
        end(c, err);
    }
}

static void take(struct claiming *c) {
    char mine[sizeof(c->last.journal)];
    struct sh_event_record rows[2];
    struct sh_put puts[2];
    size_t n = 0, n_puts = 0;
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *record =
        json_pack("{s:I, s:s, s:I}", "epoch", (json_int_t)c->before + 1, "owner", c->name, "at_us",
                  (json_int_t)sh_wall_us());
    sh_auto(sh_json_done) json_t *all = json_pack("{s:I}", "seq", (json_int_t)c->last.next - 1);

    journal_name(mine, sizeof(mine), c->before + 1);
    if (c->before > 0) {
        rows[n] = sh_store_fence(&c->last);
        rows[n++].type = SH_STR("Fenced");
    }
    if (c->before > 0 && c->last.next > 1) {
        puts[n_puts++] = (struct sh_put){SH_JOURNAL_CUT, sh_str(c->last.journal), all};
    }
    rows[n] = sh_store_fence(&c->last);
    rows[n].workflow = sh_str(mine);
    rows[n].seq = 1;
    rows[n++].type = SH_STR("Owned");
    puts[n_puts++] = (struct sh_put){SH_TABLE_META, SH_STR(RECORD), record};
    if (sh_store_append(c->store, rows, n, puts, n_puts, taken, c, &err) < 0) {
        end(c, &err);
    }
}

static void rows_read(void *arg, const struct sh_event_record *rows, size_t n,
                      const struct sh_err *err) {
    struct claiming *c = arg;

    if (err) {
        end(c, err);
        return;
    }
    if (n == 0) {
        take(c);
        return;
    }
    if (sh_str_eqz(rows[n - 1].type, "Fenced")) { /* its successor is on its way into the record */
        struct sh_err race = {0};
        sh_fail(&race, SH_E_EXISTS, "somebody else takes over");
        taken(c, &race);
        return;
    }
    c->last.next = rows[n - 1].seq + 1;
    sh_store_read_events(c->store, sh_str(c->last.journal), rows[n - 1].seq, SH_JOURNAL_PAGE,
                         rows_read, c);
}

static void record_read(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    struct claiming *c = arg;
    int64_t epoch = sh_json_get_int(json_array_get(records, 0), "epoch", 0);

    (void)total;
    if (err) {
        end(c, err);
        return;
    }
    if (epoch < 0 || epoch >= INT64_MAX) {
        struct sh_err bad = {0};
        sh_fail(&bad, SH_E_CORRUPT, "the record meta:owner has the epoch %lld", (long long)epoch);
        end(c, &bad);
        return;
    }
    c->before = (uint64_t)epoch;
    c->last.next = 1;
    journal_name(c->last.journal, sizeof(c->last.journal), c->before);
    if (c->before == 0) {
        take(c);
    } else {
        sh_store_read_events(c->store, sh_str(c->last.journal), 0, SH_JOURNAL_PAGE, rows_read, c);
    }
}

static void look(struct claiming *c) {
    sh_store_get(c->store, SH_TABLE_META, SH_STR(RECORD), record_read, c);
}

void sh_store_own(struct sh_store *s, const char *name, sh_store_owner_fn cb, void *arg) {
    struct claiming *c = sh_new(struct claiming);

    SH_ON_LOOP(s->loop);
    c->store = s;
    c->name = sh_strdup(name);
    c->cb = cb;
    c->arg = arg;
    look(c);
}
