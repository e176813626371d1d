/* See budget.h; what the members of a family used together is in their accounts (account.h). */
#include "engine/budget.h"

#include "engine/account.h"
#include "engine/private.h"

#define ANSWER_TOKENS 4096   /* reserved for an answer whose max_tokens is not said */
#define BYTES_PER_TOKEN 4    /* of a prompt, to estimate it before the call */
#define LOOK_NS 500000000ULL /* how often an agent that computes shows what it used */

/* ---- what was used ---- */

json_t *sh_spent_json(const struct sh_spent *s) {
    return json_pack("{s:I, s:f, s:I, s:I, s:I, s:I}", "tokens", (json_int_t)s->tokens, "cost_usd",
                     s->cost_usd, "fuel", (json_int_t)s->fuel, "wall_us", (json_int_t)s->wall_us,
                     "output", (json_int_t)s->output_bytes, "activities",
                     (json_int_t)s->activities);
}

void sh_spent_add_json(struct sh_spent *s, const json_t *json) {
    s->tokens += (uint64_t)sh_json_get_int(json, "tokens", 0);
    s->fuel += (uint64_t)sh_json_get_int(json, "fuel", 0);
    s->wall_us += (uint64_t)sh_json_get_int(json, "wall_us", 0);
    s->output_bytes += (uint64_t)sh_json_get_int(json, "output", 0);
    s->activities += (uint64_t)sh_json_get_int(json, "activities", 0);
    s->cost_usd += json_number_value(json_object_get(json, "cost_usd"));
}

void sh_spent_move(struct sh_spent *to, const struct sh_spent *from, const struct sh_spent *now) {
    to->tokens += now->tokens - from->tokens;
    to->fuel += now->fuel - from->fuel;
    to->wall_us += now->wall_us - from->wall_us;
    to->output_bytes += now->output_bytes - from->output_bytes;
    to->activities += now->activities - from->activities;
    to->cost_usd += now->cost_usd - from->cost_usd;
}

struct sh_spent sh_budget_own(const struct sh_workflow *wf) {
    const struct sh_agent_counters *c = &wf->seen;
    struct sh_spent s = {.tokens = wf->usage_total,
                         .fuel = c->fuel_used,
                         .wall_us = sh_wall_spent_us(wf),
                         .output_bytes = c->output_offset[0] + c->output_offset[1],
                         .activities = c->ordinal,
                         .cost_usd = wf->usage_cost};

    sh_list_each (node, &wf->activities.list) {
        const struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        s.tokens += a->reserved_tokens;
        s.cost_usd += a->reserved_usd;
    }
    return s;
}

struct sh_spent sh_budget_spent(struct sh_workflow *wf) {
    static const struct sh_spent none;
    struct sh_spent sum;

    if (wf->account) {
        sh_account_charge(wf);
        return sh_account_spent(wf->account);
    }
    sum = sh_budget_own(wf);
    sh_spent_move(&sum, &none, &wf->below);
    return sum;
}

/* ---- limits ---- */

/* One of those whose limits bind a workflow: itself, then the accounts above it. */
struct bound {
    const struct sh_id *id;
    const struct sh_limits *limits;
    struct sh_spent spent;
    bool family; /* it has children */
    const struct sh_account *up;
};

/* ret: the workflow itself, with what it uses charged. */
static void bound_first(struct sh_workflow *wf, struct bound *ret) {
    *ret = (struct bound){.id = &wf->id,
                          .limits = &wf->spec.caps.limits,
                          .spent = sh_budget_spent(wf),
                          .family = json_object_get(wf->row, "children") != NULL,
                          .up = wf->account ? wf->account->up : NULL};
}

static bool bound_next(struct bound *b) {
    const struct sh_account *a = b->up;

    if (a) {
        *b = (struct bound){.id = &a->id,
                            .limits = sh_account_limits(a),
                            .spent = sh_account_spent(a),
                            .family = true,
                            .up = a->up};
    }
    return a != NULL;
}

struct breach {
    const struct sh_id *of;
    const char *what;
    double limit, used;
};

/* The first limit of it that is passed. What a single agent's sandbox counts is counted there. */
static bool over(const struct bound *x, bool calls, struct breach *ret) {
    const struct sh_limits *l = x->limits;
    const struct sh_spent *s = &x->spent;
    bool family = x->family;
    const struct {
        const char *what;
        double limit, used;
        bool counts;
    } all[] = {
        {"tokens", (double)l->tokens, (double)s->tokens, calls},
        {"cost_usd", l->cost_usd, s->cost_usd, calls},
        {"fuel", (double)l->fuel, (double)s->fuel, family},
        {"wall_clock", (double)l->wall_clock_ms / 1e3, (double)s->wall_us / 1e6, family},
        {"output", (double)l->output_bytes, (double)s->output_bytes, family},
        {"activities", (double)l->activities, (double)s->activities, family},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if (all[i].counts && all[i].limit > 0 && all[i].used > all[i].limit) {
            *ret = (struct breach){x->id, all[i].what, all[i].limit, all[i].used};
            return true;
        }
    }
    return false;
}

static bool asks(const struct sh_workflow *wf) {
    return wf->engine->config.budget_asks && sh_operator_attends(wf);
}

/* It is over: journaled, then it rests or fails. */
static void exceeded(struct sh_workflow *wf, const struct breach *b) {
    json_t *body;
    char message[160];

    if (wf->over_budget || wf->doom || wf->verify || wf->phase >= SH_PHASE_ENDING) {
        return;
    }
    body = json_pack("{s:s, s:f, s:f, s:s, s:s}", "what", b->what, "limit", b->limit, "used",
                     b->used, "of", b->of->s, "action", asks(wf) ? "ask" : "fail");
    snprintf(message, sizeof(message), "the budget is used up: %s, %.15g of %.15g%s", b->what,
             b->used, b->limit,
             b->of == &wf->id ? "" : ", counted for all that the first task started");
    if (asks(wf)) {
        wf->over_budget = true;
        json_object_set(wf->row, "budget", body);
        if (wf->phase == SH_PHASE_RUNNABLE) {
            sh_task_interrupt(&wf->task);
        }
    }
    if (sh_journal_add(wf, "BudgetExceeded", body) == 0) {
        sh_workflow_journal_full(wf);
    }
    if (wf->over_budget) {
        sh_budget_rests_record(wf, true);
        sh_workflow_row_update(wf);
    } else {
        sh_workflow_doom(wf, SH_E_BUDGET, message);
    }
    sh_journal_commit(wf, NULL, NULL);
    sh_wall_update(wf);
}

static uint64_t prompt_tokens(const json_t *args) {
    json_t *messages = json_object_get(args, "messages");
    sh_auto(sh_free_p) char *text = sh_json_text(messages ? messages : args);

    return strlen(text) / BYTES_PER_TOKEN + 1;
}

/* What the least generous limit leaves; UINT64_MAX where there is none. */
static uint64_t tokens_left(struct sh_workflow *wf) {
    uint64_t left = UINT64_MAX;
    struct bound b;

    bound_first(wf, &b);
    do {
        uint64_t limit = b.limits->tokens;
        uint64_t theirs = !limit ? UINT64_MAX : b.spent.tokens < limit ? limit - b.spent.tokens : 0;
        left = theirs < left ? theirs : left;
    } while (bound_next(&b));
    return left;
}

static bool limited(const struct sh_workflow *wf) {
    const struct sh_limits *l = &wf->spec.caps.limits;
    const struct sh_account *a = wf->account ? wf->account->up : NULL;

    for (; l; l = a ? sh_account_limits(a) : NULL, a = a ? a->up : NULL) {
        if (l->tokens || l->cost_usd > 0) {
            return true;
        }
    }
    return false;
}

/* Is there a limit that what is reserved passes? Money is spent to the last: what is left may be
 * too little, but not nothing. */
static bool reserved_too_much(struct sh_activity *a, struct breach *ret) {
    struct bound b;

    bound_first(a->wf, &b);
    do {
        double limit = b.limits->cost_usd;
        if (limit > 0 && b.spent.cost_usd - a->reserved_usd >= limit) {
            b.spent.cost_usd = b.spent.cost_usd > limit ? b.spent.cost_usd : limit * (1 + 1e-9);
        }
        if (over(&b, true, ret)) {
            return true;
        }
    } while (bound_next(&b));
    return false;
}

bool sh_budget_reserve(struct sh_activity *a, json_t *body) {
    struct sh_workflow *wf = a->wf;
    uint64_t prompt, left;
    int64_t answer = sh_json_get_int(a->args, "max_tokens", 0);
    struct breach b;

    if (strcmp(a->tool->name, "llm") != 0 || !limited(wf)) {
        return true;
    }
    prompt = prompt_tokens(a->args);
    left = tokens_left(wf);
    if (answer <= 0) { /* as much as there is */
        answer = left > prompt + ANSWER_TOKENS ? ANSWER_TOKENS
                 : left > prompt               ? (int64_t)(left - prompt)
                                               : 1;
    }
    a->reserved_tokens = prompt + (uint64_t)answer;
    /* At the price of what there was so far; the first call shows it. */
    a->reserved_usd =
        wf->usage_total ? wf->usage_cost / (double)wf->usage_total * (double)a->reserved_tokens : 0;
    if (reserved_too_much(a, &b)) {
        a->reserved_tokens = 0;
        a->reserved_usd = 0;
        exceeded(wf, &b);
        return false;
    }
    json_object_set_new(body, "reserved",
                        json_pack("{s:I, s:f}", "tokens", (json_int_t)a->reserved_tokens,
                                  "cost_usd", a->reserved_usd));
    return true;
}

void sh_budget_look(struct sh_workflow *wf) {
    if (wf->phase == SH_PHASE_RUNNABLE) {
        sh_task_interrupt(&wf->task); /* what it used shows when it is the loop's */
    } else {
        sh_budget_check(wf);
    }
}

static void look(struct sh_timer *t) {
    sh_budget_look(sh_container_of(t, struct sh_workflow, budget_timer));
}

void sh_budget_runs(struct sh_workflow *wf) {
    if (wf->account && !wf->verify) {
        sh_timer_start(wf->engine->loop, &wf->budget_timer, LOOK_NS, look);
    }
}

void sh_budget_check(struct sh_workflow *wf) {
    struct breach breach;
    struct bound b;

    if (wf->agent && wf->phase == SH_PHASE_HELD) {
        wf->seen = sh_agent_counters(wf->agent);
    }
    sh_timer_stop(&wf->budget_timer);
    if (!wf->account || wf->verify || wf->over_budget || wf->leaving ||
        wf->phase >= SH_PHASE_ENDING) {
        return;
    }
    bound_first(wf, &b);
    do {
        if (over(&b, false, &breach)) {
            exceeded(wf, &breach);
            return;
        }
    } while (bound_next(&b));
}

bool sh_budget_rests(struct sh_workflow *wf, const struct sh_agent_end *end) {
    const struct sh_limits *l = &wf->spec.caps.limits;
    const char *what = end->code == SH_E_FUEL         ? "fuel"
                       : end->code == SH_E_OUTPUT     ? "output"
                       : end->code == SH_E_ACTIVITIES ? "activities"
                                                      : NULL;
    double limit = end->code == SH_E_FUEL     ? (double)l->fuel
                   : end->code == SH_E_OUTPUT ? (double)l->output_bytes
                                              : (double)l->activities;

    if (!what || !asks(wf) || wf->verify || wf->cancel_requested) {
        return false;
    }
    wf->phase = SH_PHASE_HELD;
    wf->waiting = true;
    exceeded(wf, &(struct breach){&wf->id, what, limit, limit});
    sh_workflow_dispose(wf); /* a rest may be long; it is made again from its journal */
    sh_asleep_rest(wf);
    return wf->over_budget;
}

void sh_budget_wall_used_up(struct sh_workflow *wf) {
    double limit = (double)wf->spec.caps.limits.wall_clock_ms / 1e3;
    char message[120];

    if (asks(wf)) {
        exceeded(wf, &(struct breach){&wf->id, "wall_clock", limit, limit});
        return;
    }
    snprintf(message, sizeof(message), "the agent used up its %llu ms of wall-clock time",
             (unsigned long long)wf->spec.caps.limits.wall_clock_ms);
    sh_workflow_doom(wf, SH_E_WALL_CLOCK, message);
}

void sh_budget_settle_lost(struct sh_workflow *wf, int64_t claimed_us) {
    for (size_t i = 0; i < wf->history.n_activities; i++) {
        const struct sh_past_activity *a = &wf->history.activities[i];
        const json_t *reserved = json_object_get(a->request, "reserved");
        if (a->request && a->scheduled && !a->finished && reserved && a->next_at_us <= claimed_us) {
            wf->usage_total += (uint64_t)sh_json_get_int(reserved, "tokens", 0);
            wf->usage_cost += json_number_value(json_object_get(reserved, "cost_usd"));
        }
    }
}
