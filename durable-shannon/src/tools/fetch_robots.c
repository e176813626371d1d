/* robots.txt (RFC 9309): asked for before anything else of a site, kept for an hour, obeyed on
 * every hop. However many fetches want the same rules, one of them asks, with its own permission;
 * where that comes to nothing for a reason of its own (it was canceled, was late, may not), the
 * next one does. */
#include <stdio.h>

#include "tools/fetch.h"
#include "tools/robots.h"

#define ROBOTS_KEPT_NS (3600ULL * 1000000000)
enum { ROBOTS_SITES = 64 };

/* robots.txt of one site. */
struct sh_robots_entry {
    char *origin, *rules;
    uint64_t until_ns;
};

void sh_robots_cache_done(struct sh_tools *t) {
    for (size_t i = 0; i < t->n_robots; i++) {
        sh_free(t->robots[i].origin);
        sh_free(t->robots[i].rules);
    }
    t->robots = sh_free(t->robots);
    t->n_robots = 0;
}

static char *origin_of(const struct sh_egress_target *t) {
    return sh_asprintf("%s://%s:%u", t->scheme, t->host, t->port);
}

static const struct sh_robots_entry *robots_known(const struct sh_tools *t, const char *origin) {
    for (size_t i = 0; i < t->n_robots; i++) {
        if (strcmp(t->robots[i].origin, origin) == 0 && t->robots[i].until_ns > sh_boot_ns()) {
            return &t->robots[i];
        }
    }
    return NULL;
}

/* In the place of the same site's, or a free one, or the one that goes first. */
static void robots_keep(struct sh_tools *t, char *origin, char *rules) {
    size_t at = t->n_robots;
    if (!t->robots) {
        t->robots = sh_new_array(struct sh_robots_entry, ROBOTS_SITES);
    }
    for (size_t i = 0; i < t->n_robots; i++) {
        bool same = strcmp(t->robots[i].origin, origin) == 0;
        bool older = at < t->n_robots && t->robots[i].until_ns < t->robots[at].until_ns;
        if (same || (t->n_robots == ROBOTS_SITES && (at == t->n_robots || older))) {
            at = i;
            if (same) {
                break;
            }
        }
    }
    if (at == t->n_robots) {
        t->n_robots++;
    } else {
        sh_free(t->robots[at].origin);
        sh_free(t->robots[at].rules);
    }
    t->robots[at] = (struct sh_robots_entry){origin, rules, sh_boot_ns() + ROBOTS_KEPT_NS};
}

static const char *path_and_query(const struct sh_egress_target *t) {
    const char *host = strstr(t->url, "://");
    const char *path = host ? strchr(host + 3, '/') : NULL;
    return path ? path : "/";
}

static int obey(const struct sh_fetch *f, const char *rules, struct sh_err *err) {
    if (sh_robots_allow(sh_str(rules), path_and_query(&f->target))) {
        return 0;
    }
    return sh_fail(err, SH_E_UPSTREAM_REJECTED,
                   "the robots.txt of %s asks programs not to read %.200s", f->target.host,
                   f->target.url);
}

static bool somebody_asks(const struct sh_fetch *f) {
    sh_list_each (node, &f->base.tools->fetch_asking) {
        const struct sh_fetch *other = sh_container_of(node, struct sh_fetch, link);
        if (sh_egress_same_origin(&other->target, &f->target)) {
            return true;
        }
    }
    return false;
}

/* Those that wait for the rules of this site fail with `err`. */
static void fail_others(struct sh_tools *t, const struct sh_egress_target *site,
                        const struct sh_err *err) {
    struct sh_list gone, *node = NULL;
    sh_list_init(&gone);
    sh_list_each (each, &t->fetch_waiting) {
        if (sh_egress_same_origin(&sh_container_of(each, struct sh_fetch, link)->target, site)) {
            sh_list_unlink(each);
            sh_list_push(&gone, each);
        }
    }
    while ((node = sh_list_pop(&gone))) { /* an end may cancel another of them */
        sh_fetch_fail(sh_container_of(node, struct sh_fetch, link), err, true);
    }
}

void sh_fetch_robots_wake(struct sh_tools *t) {
    struct sh_list waiting, *node = NULL;
    sh_list_init(&waiting);
    sh_list_move(&waiting, &t->fetch_waiting);
    while ((node = sh_list_pop(&waiting))) { /* some come back to where they were */
        struct sh_fetch *f = sh_container_of(node, struct sh_fetch, link);
        struct sh_err err = {0};
        sh_timer_stop(&f->late);
        if (sh_fetch_robots(f, &err) != 0) {
            sh_fetch_fail(f, &err, false);
        }
    }
}

static void on_late(struct sh_timer *timer) {
    struct sh_fetch *f = sh_container_of(timer, struct sh_fetch, late);
    struct sh_err err = {0};
    sh_fail(&err, SH_E_TIMEOUT,
            "the robots.txt of %s, which another call asks for, did not come in time",
            f->target.host);
    sh_fetch_fail(f, &err, true);
}

/* why: NULL where the site answered that it is in trouble */
static void robots_lost(struct sh_fetch *f, const struct sh_err *why, bool again) {
    struct sh_err err = {0};
    bool its_own = why && (why->code == SH_E_DENIED || why->code == SH_E_TIMEOUT);
    sh_fail(&err, why ? why->code : SH_E_UPSTREAM,
            "the robots.txt of %s cannot be read, and without it nothing there is (%.300s)",
            f->target.host, why ? why->message : "the site is in trouble");
    if (its_own) {
        sh_fetch_wake(f->base.tools);
    } else {
        fail_others(f->base.tools, &f->target, &err);
    }
    sh_fetch_fail(f, &err, why ? again : true);
}

static void on_robots(void *arg, const struct sh_outbound_answer *a, const struct sh_err *why,
                      bool again) {
    struct sh_fetch *f = arg;
    struct sh_err err = {0};
    sh_auto(sh_buf_done) struct sh_buf rules = {0};
    sh_buf_init(&rules, SH_ROBOTS_BYTES_MAX);
    f->out = NULL;
    sh_list_unlink(&f->link);
    bool too_large = why && why->code == SH_E_LIMIT;
    if ((why && !too_large) || (a && a->status >= 500)) { /* RFC 9309, 2.3.1.4: assume the worst */
        robots_lost(f, why, again);
        return;
    }
    if (a && a->status >= 200 && a->status < 300) {
        sh_robots_parse(a->body, "shannon", &rules);
    }
    char *kept = rules.len ? sh_strndup0(rules.p, rules.len) : sh_strdup("");
    int r = obey(f, kept, &err);
    robots_keep(f->base.tools, origin_of(&f->target), kept);
    sh_fetch_wake(f->base.tools);
    r = r ? r : sh_fetch_page(f, &err);
    if (r) {
        sh_fetch_fail(f, &err, false);
    }
}

/* robots.txt is ours to read: what the agent may read of the site decides. */
static bool robots_reachable(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct sh_fetch *f = arg;
    struct sh_net_rule rule = *what;
    if (rule.path && strcmp(rule.path, "/robots.txt") == 0 && rule.port == f->target.port &&
        strcmp(rule.scheme, f->target.scheme) == 0) {
        rule.path = f->target.path;
    }
    return f->gate.may_reach && f->gate.may_reach(f->gate.arg, &rule, written_out);
}

static int ask(struct sh_fetch *f, const char *origin, struct sh_err *err) {
    static const char *const headers[] = {SH_FETCH_AGENT, NULL};
    sh_auto(sh_free_p) char *url = sh_asprintf("%s/robots.txt", origin);
    struct sh_outbound_request request = {
        .method = "GET",
        .url = url,
        .headers = headers,
        .redirects = SH_FETCH_HOPS,
        .max_bytes = SH_MIB / 2,
        .timeout_ms = sh_fetch_left_ms(f),
        .gate = {robots_reachable, f},
        .on_alive = sh_fetch_alive,
        .done = on_robots,
        .arg = f,
    };
    int r = sh_outbound_start(f->base.tools, &request, &f->out, err);
    if (r == 0) {
        sh_list_push(&f->base.tools->fetch_asking, &f->link);
    }
    return r;
}

int sh_fetch_robots(struct sh_fetch *f, struct sh_err *err) {
    sh_auto(sh_free_p) char *origin = origin_of(&f->target);
    const struct sh_robots_entry *known = robots_known(f->base.tools, origin);
    if (known) {
        int r = obey(f, known->rules, err);
        return r ? r : sh_fetch_page(f, err);
    }
    if (!somebody_asks(f)) {
        return ask(f, origin, err);
    }
    sh_list_push(&f->base.tools->fetch_waiting, &f->link);
    sh_timer_start(f->base.tools->loop, &f->late, sh_fetch_left_ms(f) * 1000000, on_late);
    return 0;
}
