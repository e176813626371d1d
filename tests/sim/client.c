/* See client.h. Programs are made of blocks whose result does not depend on when things happen, so
 * that the run digest is that of the undisturbed run. */
#include "sim/client.h"

#include <stdio.h>

#include "sim/world.h"

/* Each but the first starts others that come before it; the engine allows four levels. */
const struct client_agent client_agents[] = {
    {"child", "(module\nprint in\nstart calculator {\"n\":3}\nwait any\n"
              "start sleep {\"ms\":2}\nwait any\nstart llm {\"child\":1}\nwait any\ninput\n"},
    {"napper", "(module\nstart sleep {\"ms\":259200000}\nwait any\nsleep 70000\n"
               "start llm {\"napper\":1}\nwait any\n"},
    {"talker", "(module\nstart signal {\"name\":\"go\"}\nwait any\nprint told\n"},
    {"broken", "(module\nstart compensate {\"op\":\"llm\",\"args\":{\"undo\":\"b\"}}\nwait any\n"
               "start sleep {\"ms\":700}\nwait any\nexit 3\n"},
    {"parent",
     "(module\nstart workflow {\"agent\":\"napper\"}\nstart workflow {\"agent\":\"child\"}\n"
     "wait 2\nwait 1\n"},
    {"leaver",
     "(module\nstart workflow {\"agent\":\"napper\"}\nstart workflow {\"agent\":\"talker\"}\n"
     "wait 2\nexit 3\n"}, /* the other one is canceled, asleep or not */
    {"grand",
     "(module\nstart workflow {\"agent\":\"broken\"}\nstart workflow {\"agent\":\"parent\"}\n"
     "start workflow {\"agent\":\"talker\"}\nwait 3\nwait 2\nwait 1\n"},
    {NULL, NULL},
};

#define KEY_KEPT_US 80000000000LL /* less than the day that is promised */

/* ---- programs ---- */

struct writing {
    struct client *c;
    struct sh_buf *to;
    unsigned handle; /* the next one's number */
    unsigned number;
};

static uint64_t some_ms(void) {
    static const uint64_t ms[] = {0, 3, 50, 700, 5000, 70000, 3600000, 3 * 86400000ULL};

    return ms[world_random(sizeof(ms) / sizeof(ms[0]))];
}

static void activity(struct writing *w) {
    unsigned long long ms = some_ms();

    switch (world_random(6)) {
    case 0:
        sh_buf_addf(w->to, "start calculator {\"n\":%u}\n", w->number);
        break;
    case 1:
        sh_buf_addf(w->to, "start kv.increment {\"key\":\"n\"}\n");
        break;
    case 2:
        sh_buf_addf(w->to, "start sleep {\"ms\":%llu}\n", ms);
        break;
    case 3:
        sh_buf_addf(w->to, "start workflow {\"agent\":\"child\",\"query\":\"%u\"}\n", w->number);
        break;
    default:
        sh_buf_addf(w->to, "start llm {\"q\":%u}\n", w->number);
    }
    w->handle++;
    w->number++;
}

/* Several at once, waited for in an order of its own. */
static void parallel(struct writing *w) {
    unsigned n = 2 + (unsigned)world_random(4), first = w->handle;
    bool back = world_random(2);

    for (unsigned i = 0; i < n; i++) {
        /* of what shares nothing: increments and models would see each other's order */
        sh_buf_addf(w->to,
                    world_random(2) ? "start sleep {\"ms\":%llu}\n" : "start llm {\"p\":%llu}\n",
                    (unsigned long long)some_ms());
        w->handle++;
    }
    for (unsigned i = 0; i < n; i++) {
        sh_buf_addf(w->to, "wait %u\n", back ? first + n - 1 - i : first + i);
    }
}

/* Children at once, waited for in some order. */
static void family(struct writing *w) {
    unsigned n = 1 + (unsigned)world_random(4), first = w->handle, kinds = 0;
    bool back = world_random(2);

    while (client_agents[kinds].name) {
        kinds++;
    }
    for (unsigned i = 0; i < n; i++) {
        const char *agent = client_agents[world_random(kinds)].name;
        sh_buf_addf(w->to, "start workflow {\"agent\":\"%s\",\"query\":\"%u\"}\n", agent,
                    w->number++);
        w->handle++;
    }
    w->c->talks = true; /* some of them, or of theirs */
    for (unsigned i = 0; i < n; i++) {
        sh_buf_addf(w->to, "wait %u\n", back ? first + n - 1 - i : first + i);
    }
}

static void block(struct writing *w) {
    switch (world_random(9)) {
    case 0:
        if (!w->c->checkpoints) {
            parallel(w);
            return;
        }
        sh_buf_addf(w->to, "checkpoint mark\n");
        return;
    case 1:
        w->c->updates++;
        sh_buf_addf(w->to, "start signal {\"name\":\"go\"}\nwait any\n");
        w->handle++;
        return;
    case 2:
        sh_buf_addf(w->to, "sleep %llu\n", (unsigned long long)some_ms());
        return;
    case 3:
        sh_buf_addf(w->to, "print %u\nemit progress {\"n\":%u}\npublish state {\"n\":%u}\n",
                    w->number, w->number, w->number);
        return;
    case 4:
        sh_buf_addf(w->to, "start compensate {\"op\":\"llm\",\"args\":{\"undo\":%u}}\nwait any\n",
                    w->number);
        w->handle++;
        return;
    default:
        activity(w);
        sh_buf_addf(w->to, "wait any\n");
    }
}

void client_make(struct client *c, unsigned number, bool families) {
    struct sh_buf text;
    struct writing w = {c, &text, 1, 1};

    memset(c, 0, sizeof(*c));
    c->number = number;
    c->checkpoints = !families && world_random(4) == 0;
    c->cancels = families && world_random(4) == 0;
    c->told = json_array();
    sh_buf_init(&text, SH_MIB);
    sh_buf_addf(&text, "(module\nprint %u\n", number);
    for (uint64_t n = 1 + world_random(7); n > 0; n--) {
        if (families && world_random(2)) {
            family(&w);
        } else {
            block(&w);
        }
    }
    if (c->checkpoints) {
        c->updates =
            c->updates > 0 ? 100 : 0; /* what came before a checkpoint is waited for again */
    }
    sh_buf_addf(&text, world_random(4) ? "print end\n" : "exit 3\n");
    c->program = sh_strndup0(text.p, text.len);
    sh_buf_done(&text);
}

void client_done(struct client *c) {
    sh_free(c->program);
    sh_free(c->digest);
    json_decref(c->told);
    json_decref(c->calm);
    memset(c, 0, sizeof(*c));
}

/* ---- requests ---- */

static unsigned waiting;

unsigned clients_waiting(void) {
    return waiting;
}

static void ask(struct client *c) {
    SIM_CHECK(!c->asking, "two requests at once");
    c->asking = true;
    waiting++;
}

static void answered(struct client *c) {
    SIM_CHECK(c->asking, "%s: a request was answered twice", c->key);
    c->asking = false;
    waiting--;
}

static void on_submitted(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct client *c = arg;
    const char *id = json_string_value(json_object_get(row, "id"));

    (void)cached;
    answered(c);
    if (err) {
        return; /* told nothing: it asks again */
    }
    SIM_CHECK(id != NULL, "%s: a row without an id", c->key);
    SIM_CHECK(!c->id[0] || strcmp(c->id, id) == 0, "%s: told %s, and then %s", c->key, c->id, id);
    snprintf(c->id, sizeof(c->id), "%s", id);
}

static bool key_is_kept(const struct client *c) {
    return sh_wall_us() - c->submitted_us < KEY_KEPT_US;
}

static void submit(struct client *c, struct sh_engine *e) {
    if (!c->id[0] && (!c->submitted_us || !key_is_kept(c))) {
        /* the first time, or nobody answered for a day: the key is another task's now */
        snprintf(c->key, sizeof(c->key), "key-%u-%u", c->number, c->tries);
        snprintf(c->session, sizeof(c->session), "s-%u-%u", c->number, c->tries++);
        c->submitted_us = sh_wall_us();
    } else if (!c->id[0] && sh_wall_us() < c->submitted_us) {
        c->submitted_us = sh_wall_us(); /* it may be this one that begins, on a clock set back */
    }
    struct sh_submit s = {
        .query = SH_STR("what?"), .session = sh_str(c->session), .idempotency_key = sh_str(c->key)};
    struct sh_hash hash;
    char hex[SH_HASH_HEX_BYTES];

    sh_sha256(c->program, strlen(c->program), &hash);
    sh_hash_hex(&hash, hex);
    s.agent = sh_str(hex);
    s.idempotency_digest = hash;
    ask(c);
    sh_engine_submit(e, &s, on_submitted, c);
}

static void on_events(void *arg, json_t *page, const struct sh_err *err) {
    struct client *c = arg;
    json_t *ev;
    size_t i;

    answered(c);
    SIM_CHECK(!err || err->code != SH_E_NOT_FOUND, "%s: %s, which was told, is not there", c->key,
              c->id);
    json_array_foreach(json_object_get(page, "events"), i, ev) {
        size_t at = (size_t)sh_json_get_int(ev, "seq", 0);

        SIM_CHECK(at > 0 && at <= json_array_size(c->told) + 1, "%s: a gap before event %zu",
                  c->key, at);
        if (at > json_array_size(c->told)) {
            json_array_append(c->told, json_object_get(ev, "hash"));
        }
        SIM_CHECK(json_equal(json_array_get(c->told, at - 1), json_object_get(ev, "hash")),
                  "%s: event %zu is another one than was told", c->key, at);
        c->ended = c->ended || sh_event_is_final(sh_json_get_str(ev, "type"));
    }
}

static void on_update(void *arg, json_t *value, const struct sh_err *err) {
    struct client *c = arg;

    (void)value;
    answered(c);
    c->acknowledged += !err;
}

static void send_update(struct client *c, struct sh_engine *e) {
    char id[16];
    json_t *payload = json_pack("{s:i}", "n", (int)c->acknowledged);

    snprintf(id, sizeof(id), "u%u", c->acknowledged);
    ask(c);
    sh_engine_update(
        e, sh_str(c->id),
        &(struct sh_update){.name = SH_STR("go"), .id = sh_str(id), .payload = payload}, on_update,
        c);
    json_decref(payload);
}

/* ---- the members of its family ---- */

static void on_talk(void *arg, json_t *value, const struct sh_err *err) {
    (void)value;
    (void)err; /* it has ended, or hears it again */
    answered(arg);
}

static void on_family(void *arg, json_t *list, const struct sh_err *err) {
    struct client *c = arg;
    json_t *tasks = json_object_get(list, "tasks");
    const json_t *row =
        err ? NULL : json_array_get(tasks, world_random(json_array_size(tasks) + 1));
    struct sh_engine *e = c->engine;

    answered(c);
    if (row && !json_object_get(row, "completed_at")) {
        struct sh_update u = {.name = SH_STR("go"), .id = SH_STR("once")};
        ask(c);
        sh_engine_update(e, sh_json_get_str(row, "id"), &u, on_talk, c);
    }
}

/* To any of them: who does not wait for it keeps it. */
static void talk(struct client *c, struct sh_engine *e) {
    c->engine = e;
    ask(c);
    sh_engine_list_family(e, "root", sh_str(c->id), 0, 100, on_family, c);
}

static void on_canceled(void *arg, json_t *row, const struct sh_err *err) {
    struct client *c = arg;

    (void)row;
    answered(c);
    c->canceled = c->canceled || !err;
}

static void cancel(struct client *c, struct sh_engine *e) {
    ask(c);
    sh_engine_cancel(e, sh_str(c->id), "client", "it takes too long", on_canceled, c);
}

void client_act(struct client *c, struct sh_engine *e) {
    if (c->asking || (c->ended && world_random(4))) {
        return;
    }
    if (!c->id[0] || (world_random(20) == 0 && key_is_kept(c))) {
        submit(c, e); /* again: it is the same task */
    } else if (c->acknowledged < c->updates && !c->ended && world_random(2)) {
        send_update(c, e);
    } else if (c->talks && !c->ended && world_random(2)) {
        talk(c, e);
    } else if (c->cancels && !c->canceled && !c->ended && world_random(40) == 0) {
        cancel(c, e);
    } else {
        ask(c); /* from the beginning at times: nothing that was told has changed */
        sh_engine_events(e, sh_str(c->id), world_random(3) ? json_array_size(c->told) : 0, 0,
                         on_events, c);
    }
}
