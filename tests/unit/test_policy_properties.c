/* What must hold of every decision, over thousands of random policies, manifests and requests: it
 * grants nothing that one of the three does not, asking again for what was granted changes
 * nothing, manifest and request may change places for tools, variables and limits, for directories
 * and addresses wherever neither way round is refused, three may be taken together in either
 * order, and asking for less never gives more. A failure prints the seed; SHANNON_POLICY_SEED
 * repeats it. */
#include <stdlib.h>

#include "lib/check_main.h"
#include "policy/policy.h"

enum { ROUNDS = 4000 };

static uint64_t state;

static unsigned dice(unsigned n) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 20) % n);
}

static const char *one(const char *const *of, unsigned n) {
    return of[dice(n)];
}
#define ONE(...)                                                                                   \
    one((const char *const[]){__VA_ARGS__},                                                        \
        sizeof((const char *const[]){__VA_ARGS__}) / sizeof(const char *))

static void add_tools(json_t *c) {
    json_t *list = json_array();

    for (unsigned n = dice(4); n; n--) {
        json_array_append_new(list,
                              json_string(ONE("llm", "kv", "http", "mcp:a/*", "mcp:a/x", "*")));
    }
    json_object_set_new(c, "tools", list);
}

static json_t *perms(void) {
    static const char *const all[] = {"[\"read\"]", "[\"read\",\"write\"]", "[\"write\"]", "[]"};

    return json_loads(all[dice(4)], 0, NULL);
}

static void add_mounts(json_t *c) {
    json_t *list = json_array();
    char guest[16];

    for (unsigned n = 0, last = dice(3); n < last; n++) {
        json_t *m;

        (void)snprintf(guest, sizeof(guest), "/g%u", n + dice(2) * 4);
        m = json_pack("{s:s, s:s, s:o, s:o}", "host", ONE("/a", "/a/b", "/a/b/c", "/ab", "/x"),
                      "guest", guest, "dir_perms", perms(), "file_perms", perms());
        if (dice(3) == 0) {
            json_object_set_new(m, "bytes", json_integer(1 + dice(1000)));
        }
        if (dice(3) == 0) {
            json_object_set_new(m, "capture", json_integer(dice(1000)));
        }
        json_array_append_new(list, m);
    }
    json_object_set_new(c, "filesystem", list);
}

static void add_net(json_t *c) {
    json_t *list = json_array();

    for (unsigned n = dice(3); n; n--) {
        json_t *rule = json_pack("{s:s, s:s}", "scheme", ONE("https", "http"), "host",
                                 ONE("a.org", "*.a.org", "b.a.org", "*", "127.0.0.1"));

        if (dice(2)) {
            json_object_set_new(rule, "port", json_integer(dice(2) ? 443 : 8080));
        } else if (dice(2)) {
            json_object_set_new(rule, "port", json_string(ONE("*", "443-8080", "80-443", "1-80")));
        }
        if (dice(2)) {
            json_object_set_new(rule, "path", json_string(ONE("/x", "/x/*", "/*")));
        }
        if (dice(2)) {
            json_object_set_new(rule, "methods", json_pack("[s]", ONE("GET", "POST")));
        }
        json_array_append_new(list, rule);
    }
    json_object_set_new(c, "network", list);
}

static void add_env(json_t *c, bool values) {
    json_t *env = json_object();

    for (unsigned n = dice(3); n; n--) {
        json_object_set_new(env, ONE("A", "B", "C"),
                            values || dice(2) ? json_string(ONE("1", "2")) : json_true());
    }
    json_object_set_new(c, "env", env);
}

static void add_limits(json_t *c) {
    json_t *limits = json_object();

    if (dice(2)) {
        json_object_set_new(limits, "fuel", json_integer(1000 + dice(3)));
    }
    if (dice(2)) {
        json_object_set_new(limits, "activities", json_integer(10 + dice(3)));
    }
    json_object_set_new(c, "limits", limits);
}

static json_t *random_document(bool policy) {
    json_t *c = json_object();

    if (dice(4)) {
        add_tools(c);
    }
    if (dice(4)) {
        add_mounts(c);
    }
    if (dice(4)) {
        add_net(c);
    }
    if (dice(4)) {
        add_env(c, false);
    }
    if (!policy && dice(2)) {
        add_limits(c);
    }
    return c;
}

static bool random_caps(struct sh_capabilities *c) {
    sh_auto(sh_json_done) json_t *doc = random_document(false);
    struct sh_err err = {0};

    return sh_capabilities_parse(doc, NULL, NULL, c, &err) == 0;
}

static struct sh_policy *random_policy(void) {
    sh_auto(sh_json_done) json_t *doc = json_pack("{s:[]}", "rules");
    struct sh_policy *p = NULL;
    struct sh_err err = {0};

    for (unsigned n = dice(4); n; n--) {
        json_t *rule = json_pack("{s:s}", "agent", ONE("bot", "*", "other"));

        for (unsigned i = 0; i < 3; i++) {
            if (dice(2)) {
                json_object_set_new(rule, ((const char *const[]){"allow", "ask", "deny"})[i],
                                    random_document(true));
            }
        }
        json_array_append_new(json_object_get(doc, "rules"), rule);
    }
    (void)sh_policy_parse(doc, NULL, NULL, &p, &err);
    return p;
}

static char *text(const struct sh_capabilities *c) {
    sh_auto(sh_json_done) json_t *doc = sh_capabilities_json(c);

    return sh_json_text(doc);
}

/* Every part of `c` that `bound` speaks of lies within it; what it does not speak of is free. */
static bool bounded_by(const struct sh_capabilities *c, const struct sh_capabilities *bound) {
    struct sh_capabilities part = *c;

    part.n_mounts = bound->said_mounts ? c->n_mounts : 0;
    part.n_net = bound->said_net ? c->n_net : 0;
    part.tools = bound->said_tools ? c->tools : NULL;
    part.env = bound->said_env ? c->env : NULL;
    return sh_capabilities_subset(&part, bound);
}

static void decide(const struct sh_policy *p, const struct sh_capabilities *m,
                   const struct sh_capabilities *r, struct sh_decision *ret) {
    struct sh_err err = {0};

    memset(ret, 0, sizeof(*ret));
    sh_assert_ok(sh_policy_decide(p, SH_STR("bot"), NULL, m, r, ret, &err), &err);
}

static void same(uint64_t seed, const char *what, const struct sh_capabilities *a,
                 const struct sh_capabilities *b) {
    sh_auto(sh_free_p) char *x = text(a);
    sh_auto(sh_free_p) char *y = text(b);

    ck_assert_msg(strcmp(x, y) == 0, "seed %llu: %s\n%s\n%s", (unsigned long long)seed, what, x, y);
}

/* Each gives the tools, variables and limits that the other gives; one may say a tool twice. A
 * request for more directories or addresses than the manifest has is refused instead of narrowed,
 * so in those the two are not alike. */
static void alike(uint64_t seed, const char *what, const struct sh_capabilities *a,
                  const struct sh_capabilities *b) {
    struct sh_capabilities x = *a, y = *b;

    x.n_net = y.n_net = x.n_mounts = y.n_mounts = 0;
    if (!sh_capabilities_subset(&x, &y) || !sh_capabilities_subset(&y, &x)) {
        same(seed, what, a, b);
    }
}

static struct sh_policy *everything(void) {
    static const char text[] =
        "{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"*\"],"
        "\"filesystem\":[{\"host\":\"/\",\"guest\":\"/\",\"dir_perms\":[\"read\",\"write\"],"
        "\"file_perms\":[\"read\",\"write\"]}],"
        "\"network\":[%s],\"env\":{\"A\":true,\"B\":true,\"C\":true}}}]}";
    struct sh_policy *p = NULL;
    struct sh_err err = {0};
    struct sh_buf rules;
    json_t *doc;
    char all[4096];

    sh_buf_init(&rules, 2048);
    for (int i = 0; i < 4; i++) {
        sh_buf_addf(&rules, "%s{\"scheme\":\"%s\",\"host\":\"%s\",\"port\":\"*\"}", i ? "," : "",
                    i % 2 ? "http" : "https", i < 2 ? "*" : "127.0.0.1");
    }
    (void)snprintf(all, sizeof(all), text, rules.p);
    doc = json_loads(all, 0, NULL);
    ck_assert_ptr_nonnull(doc);
    sh_assert_ok(sh_policy_parse(doc, NULL, NULL, &p, &err), &err);
    json_decref(doc);
    sh_buf_done(&rules);
    return p;
}

static bool refused(const struct sh_decision *d) {
    for (size_t i = 0; i < d->n_denials; i++) {
        if (strncmp(d->denials[i].capability, "filesystem", 10) == 0 ||
            strncmp(d->denials[i].capability, "network", 7) == 0) {
            return true;
        }
    }
    return false;
}

/* Directories and addresses: what both ways round give, each gives whole. */
static void places_alike(uint64_t seed, const struct sh_capabilities *a,
                         const struct sh_capabilities *b) {
    struct sh_capabilities x = *a, y = *b;

    x.tools = y.tools = NULL;
    x.env = y.env = NULL;
    x.limits = y.limits;
    if (!sh_capabilities_subset(&x, &y) || !sh_capabilities_subset(&y, &x)) {
        same(seed, "manifest and request are not alike in directories or addresses", a, b);
    }
}

/* (m and r) and n is what m and (r and n) is, where nothing is refused on the way. */
static void check_three(uint64_t seed, const struct sh_capabilities *m,
                        const struct sh_capabilities *r, const struct sh_capabilities *n) {
    struct sh_decision mr, rn, left, right;
    struct sh_policy *all = everything();

    decide(all, m, r, &mr);
    decide(all, r, n, &rn);
    decide(all, &mr.effective, n, &left);
    decide(all, m, &rn.effective, &right);
    ck_assert_msg(bounded_by(&left.effective, m) && bounded_by(&left.effective, r) &&
                      bounded_by(&left.effective, n),
                  "seed %llu: more than one of the three", (unsigned long long)seed);
    if (!refused(&mr) && !refused(&rn) && !refused(&left) && !refused(&right)) {
        places_alike(seed, &left.effective, &right.effective);
    }
    sh_decision_done(&mr);
    sh_decision_done(&rn);
    sh_decision_done(&left);
    sh_decision_done(&right);
    sh_policy_free(all);
}

static void check(uint64_t seed, const struct sh_policy *p, const struct sh_capabilities *m,
                  const struct sh_capabilities *r) {
    struct sh_decision d, again, swapped;

    decide(p, m, r, &d);
    ck_assert_msg(bounded_by(&d.effective, m), "seed %llu: more than the manifest",
                  (unsigned long long)seed);
    ck_assert_msg(bounded_by(&d.effective, r), "seed %llu: more than the request",
                  (unsigned long long)seed);
    for (size_t i = 0; d.effective.tools && d.effective.tools[i]; i++) {
        ck_assert_msg(sh_policy_tool(p, SH_STR("bot"), NULL, sh_str(d.effective.tools[i])) ==
                          SH_ALLOW,
                      "seed %llu: a tool that the policy does not allow", (unsigned long long)seed);
    }
    decide(p, m, &d.effective, &again);
    same(seed, "asking for what was granted changes it", &d.effective, &again.effective);
    ck_assert_msg(again.n_denials == 0, "seed %llu: what was granted is denied: %s",
                  (unsigned long long)seed, again.denials ? again.denials[0].capability : "");
    decide(p, r, m, &swapped);
    /* "*" comes to those tools that somebody names, and a request names louder than a manifest. */
    if (!sh_capabilities_tool(m, SH_STR("zz")) && !sh_capabilities_tool(r, SH_STR("zz"))) {
        alike(seed, "manifest and request are not alike", &d.effective, &swapped.effective);
    }
    if (!refused(&d) && !refused(&swapped)) {
        places_alike(seed, &d.effective, &swapped.effective);
    }
    sh_decision_done(&d);
    sh_decision_done(&again);
    sh_decision_done(&swapped);
}

static void round_of(uint64_t seed) {
    struct sh_capabilities m = {0}, r = {0}, n = {0};
    struct sh_policy *p;

    state = seed * 0x9e3779b97f4a7c15ULL + 1;
    p = random_policy();
    if (p && random_caps(&m)) {
        if (random_caps(&r)) {
            check(seed, p, &m, &r);
            ck_assert_msg(sh_capabilities_subset(&m, &m), "seed %llu: not within itself",
                          (unsigned long long)seed);
            if (random_caps(&n)) {
                check_three(seed, &m, &r, &n);
                sh_capabilities_done(&n);
            }
            sh_capabilities_done(&r);
        }
        sh_capabilities_done(&m);
    }
    sh_policy_free(p);
}

START_TEST(a_decision_never_grows_and_is_the_same_again_and_either_way_round) {
    const char *given = getenv("SHANNON_POLICY_SEED");

    if (given) {
        round_of(strtoull(given, NULL, 10));
        return;
    }
    for (uint64_t seed = 1; seed <= ROUNDS; seed++) {
        round_of(seed);
    }
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_decision_never_grows_and_is_the_same_again_and_either_way_round,
        NULL,
    };

    return sh_suite("policy_properties", tests);
}

SH_TEST_MAIN(suite)
