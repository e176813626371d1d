/* See digest.h. Hashed is the canonical text of [[op, args, outcome], ...] by ordinal; its parts
 * are kept as they come and joined only while they are hashed. */
#include "engine/digest.h"

#include "engine/engine.h"
#include "engine/payload.h"

#define ORDINAL_MAX 1000000 /* the loader refuses what would be far out of order */

void sh_digest_init(struct sh_digest *d) {
    *d = (struct sh_digest){0};
    sh_hasher_init(&d->stream[0]);
    sh_hasher_init(&d->stream[1]);
    sh_hasher_init(&d->emitted);
}

void sh_digest_done(struct sh_digest *d) {
    sh_free(d->entries);
    sh_texts_done(&d->texts);
    *d = (struct sh_digest){0};
}

static struct sh_digest_entry *entry_new(struct sh_digest *d) {
    if (d->n == d->cap) {
        d->cap = d->cap ? d->cap * 2 : 64;
        d->entries = sh_grow(d->entries, d->cap * sizeof(*d->entries));
    }
    d->entries[d->n] = (struct sh_digest_entry){0};
    return &d->entries[d->n++];
}

static struct sh_digest_entry *entry_of(struct sh_digest *d, uint64_t ordinal) {
    if (ordinal > ORDINAL_MAX) {
        return NULL;
    }
    while (d->n <= ordinal) {
        entry_new(d);
    }
    return &d->entries[ordinal];
}

/* takes value, which may be NULL */
static struct sh_str text_of(struct sh_digest *d, json_t *value) {
    sh_auto(sh_free_p) char *text = value ? sh_json_text(value) : NULL;

    json_decref(value);
    return text ? sh_texts_keep(&d->texts, sh_str(text)) : (struct sh_str){0};
}

static void add_activity(struct sh_digest *d, const json_t *body) {
    struct sh_digest_entry *entry = entry_of(d, (uint64_t)sh_json_get_int(body, "ordinal", 0));
    json_t *outcome = json_object_get(body, "result");

    if (!entry) {
        return;
    }
    if (json_object_get(body, "args")) {
        entry->op = text_of(d, json_incref(json_object_get(body, "op")));
        entry->args = text_of(d, json_incref(json_object_get(body, "args")));
    }
    outcome = outcome ? outcome : json_object_get(body, "error");
    if (outcome) {
        outcome = json_copy(outcome);
        if (sh_str_eqz(sh_json_get_str(body, "op"), "workflow")) { /* its id follows from ours */
            json_object_del(outcome, "id");
        }
        entry->outcome = text_of(d, outcome);
    }
}

void sh_digest_add_lean(struct sh_digest *d, const struct sh_lean *lean) {
    struct sh_digest_entry *entry = entry_of(d, lean->ordinal);

    if (!entry) {
        return;
    }
    if (lean->args.len > 0) {
        char *op = sh_texts_room(&d->texts, lean->op.len + 2);
        op[0] = op[lean->op.len + 1] = '"';
        memcpy(op + 1, lean->op.p, lean->op.len);
        entry->op = sh_strn(op, lean->op.len + 2);
        entry->args = sh_texts_keep(&d->texts, lean->args);
    }
    if (lean->result.len > 0) {
        entry->outcome = sh_texts_keep(&d->texts, lean->result);
    }
}

/* Hashed only where there is one, so that the digests of all other runs are what they were. */
static void add_compensation(struct sh_digest *d, const json_t *body) {
    json_t *result = json_object_get(body, "result");
    struct sh_str whole =
        text_of(d, json_pack("[s, O, O, O]", "compensation", json_object_get(body, "ordinal"),
                             json_object_get(body, "op"),
                             result ? result : json_object_get(body, "error")));

    entry_new(d)->whole = whole;
}

static void add_output(struct sh_digest *d, const json_t *body) {
    int64_t stream = sh_json_get_int(body, "stream", 0);
    struct sh_buf bytes;

    sh_buf_init_sure(&bytes, SH_EVENT_BODY_MAX);
    if ((stream == 1 || stream == 2) &&
        sh_base64_decode(&bytes, sh_json_get_str(body, "data")) == 0) {
        sh_hasher_add(&d->stream[stream - 1], bytes.p, bytes.len);
    }
    sh_buf_done(&bytes);
}

void sh_digest_add(struct sh_digest *d, const struct sh_event *ev) {
    if (strcmp(ev->type, "ActivityRetried") == 0) {
        return;
    }
    if (strcmp(ev->type, "CompensationCompleted") == 0 ||
        strcmp(ev->type, "CompensationFailed") == 0) {
        add_compensation(d, ev->body);
    }
    if (strncmp(ev->type, "Activity", 8) == 0 || strcmp(ev->type, "TimerFired") == 0) {
        add_activity(d, ev->body);
    } else if (strcmp(ev->type, "Output") == 0) {
        add_output(d, ev->body);
    } else if (strcmp(ev->type, "Emitted") == 0) {
        sh_auto(sh_free_p) char *text = sh_json_text(ev->body);
        sh_hasher_str(&d->emitted, sh_str(text));
    }
}

/* ---- the end ---- */

/* Only counted where h is NULL, because a text is hashed behind its length. */
static void part(struct sh_hasher *h, struct sh_str s, size_t *len) {
    s = s.p ? s : SH_STR("null");
    if (h) {
        sh_hasher_add(h, s.p, s.len);
    }
    *len += s.len;
}

static void entry_text(struct sh_hasher *h, const struct sh_digest_entry *e, size_t *len) {
    if (e->whole.p) {
        part(h, e->whole, len);
        return;
    }
    part(h, SH_STR("["), len);
    part(h, e->op, len);
    part(h, SH_STR(","), len);
    part(h, e->args, len);
    part(h, SH_STR(","), len);
    part(h, e->outcome, len);
    part(h, SH_STR("]"), len);
}

static size_t all_text(struct sh_hasher *h, const struct sh_digest *d) {
    size_t len = 0;

    part(h, SH_STR("["), &len);
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0) {
            part(h, SH_STR(","), &len);
        }
        entry_text(h, &d->entries[i], &len);
    }
    part(h, SH_STR("]"), &len);
    return len;
}

static void add_digest(struct sh_hasher *to, struct sh_hasher *from) {
    struct sh_hash h;

    sh_hasher_done(from, &h);
    sh_hasher_add(to, h.b, sizeof(h.b));
}

void sh_digest_end(struct sh_digest *d, const struct sh_history *h, char hex[SH_HASH_HEX_BYTES]) {
    static const char *const end_members[] = {"code", "exit_status", "output", "result"};
    struct sh_hasher all;
    struct sh_hash digest;

    sh_hasher_init(&all);
    sh_hasher_u64(&all, all_text(NULL, d));
    all_text(&all, d);
    add_digest(&all, &d->stream[0]);
    add_digest(&all, &d->stream[1]);
    add_digest(&all, &d->emitted);
    sh_hasher_str(&all, sh_str(h->final_type ? h->final_type : ""));
    for (size_t i = 0; i < sizeof(end_members) / sizeof(end_members[0]); i++) {
        json_t *member = json_object_get(h->final, end_members[i]);
        sh_auto(sh_free_p) char *text = member ? sh_json_text(member) : NULL;
        sh_hasher_str(&all, sh_str(text));
    }
    if (json_object_get(h->final, SH_OUTPUT_KEPT)) { /* only then: as with compensations */
        sh_auto(sh_free_p) char *kept = sh_json_text(json_object_get(h->final, SH_OUTPUT_KEPT));
        sh_hasher_str(&all, sh_str(kept));
    }
    sh_hasher_done(&all, &digest);
    sh_hash_hex(&digest, hex);
}
