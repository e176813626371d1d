/* See children.h. An activity whose child is being made is named by its ordinal between callbacks:
 * it may be gone by then, because its workflow ended. */
#include "engine/children.h"

#include "engine/private.h"
#include "engine/python.h"

#define ID_DIGITS 16

struct starting { /* from the request until the start is durable */
    struct sh_birth birth;
    json_t *input, *capabilities;
    char *agent, *query, *session, *stdin_text;
    char **args;
    uint64_t timeout_ms;
};

/* ---- lineage ---- */

void sh_lineage_parse(const json_t *body, struct sh_lineage *ret) {
    const json_t *parent = json_object_get(body, "parent");

    *ret = (struct sh_lineage){0};
    if (!parent || sh_id_parse(sh_json_get_str(parent, "id"), &ret->parent) < 0 ||
        sh_id_parse(sh_json_get_str(parent, "root"), &ret->root) < 0) {
        *ret = (struct sh_lineage){0};
        return;
    }
    ret->ordinal = (uint64_t)sh_json_get_int(parent, "ordinal", 0);
    ret->depth = (unsigned)sh_json_get_int(parent, "depth", 1);
    ret->detached = sh_json_get_bool(parent, "detached", false);
    ret->heartbeat_ms = (uint64_t)sh_json_get_int(parent, "heartbeat_ms", 0);
}

void sh_lineage_describe(const struct sh_lineage *l, json_t *body) {
    json_t *parent;

    if (l->depth == 0) {
        return;
    }
    parent =
        json_pack("{s:s, s:s, s:I, s:i, s:b}", "id", l->parent.s, "root", l->root.s, "ordinal",
                  (json_int_t)l->ordinal, "depth", (int)l->depth, "detached", (int)l->detached);
    if (l->heartbeat_ms) {
        json_object_set_new(parent, "heartbeat_ms", json_integer((json_int_t)l->heartbeat_ms));
    }
    json_object_set_new(body, "parent", parent);
}

void sh_lineage_row(const struct sh_lineage *l, json_t *row) {
    if (l->depth > 0) {
        json_object_set_new(row, "parent", json_string(l->parent.s));
        json_object_set_new(row, "root", json_string(l->root.s));
        json_object_set_new(row, "depth", json_integer((json_int_t)l->depth));
        json_object_set_new(row, "detached", json_boolean(l->detached));
    }
}

/* The time part of the parent's id, so that a child is listed beside it, then a hash. */
void sh_birth_id(const struct sh_birth *b, struct sh_id *ret) {
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    const struct sh_lineage *l = &b->lineage;
    struct sh_hasher h;
    struct sh_hash hash;
    size_t n;

    sh_hasher_init(&h);
    sh_hasher_add(&h, "shannon child 1", 15);
    sh_hasher_str(&h, sh_str(l->parent.s));
    sh_hasher_u64(&h, l->ordinal);
    sh_hasher_done(&h, &hash);
    *ret = (struct sh_id){0};
    n = (size_t)snprintf(ret->s, sizeof(ret->s), "%.*s", SH_FAMILY_ID_COMMON, l->parent.s);
    for (size_t i = 0; i < ID_DIGITS; i++) {
        ret->s[n + i] = digits[hash.b[i] & 31];
    }
}

/* ---- a birth ---- */

struct sh_activity *sh_child_find(struct sh_workflow *wf, uint64_t ordinal) {
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *a = sh_container_of(node, struct sh_activity, link);
        if (a->ordinal == ordinal && sh_child_op(a->tool)) {
            return a;
        }
    }
    return NULL;
}

void sh_birth_done(struct sh_birth *b) {
    struct sh_workflow *parent = sh_take(&b->parent);

    b->name = sh_free(b->name);
    if (parent) {
        sh_workflow_unpin(parent);
    }
}

int sh_birth_check(const struct sh_birth *b, struct sh_err *err) {
    const struct sh_workflow *parent = b->parent;

    if (parent->leaving || parent->phase >= SH_PHASE_ENDING || parent->engine->stopping ||
        !sh_child_find(b->parent, b->lineage.ordinal)) {
        return sh_fail(err, SH_E_CANCELED, "the workflow that asked for this one has ended");
    }
    return 0;
}

int sh_birth_narrow(const struct sh_birth *b, const struct sh_capabilities *manifest,
                    const struct sh_capabilities *request, struct sh_decision *d,
                    struct sh_err *err) {
    static const struct sh_capabilities nothing = {0};
    const struct sh_capabilities *r = request ? request : &nothing;
    struct sh_policy *parents = sh_policy_with(NULL, &b->parent->spec.caps);
    struct sh_decision narrowed = {0};
    /* Views of one decision: what was asked for must be granted, all else may be left out. */
    struct sh_capabilities asked = d->effective, offered = d->effective;
    int rc;

    asked.said_mounts = r->said_mounts;
    asked.said_net = r->said_net;
    asked.said_env = r->said_env;
    asked.said_tools = r->said_tools;
    offered.said_mounts = offered.said_net = offered.said_env = offered.said_tools = true;
    offered.required = manifest ? manifest->required : NULL;
    rc = sh_policy_decide(parents, sh_str(""), &b->parent->spec.module, &offered, &asked, &narrowed,
                          err);
    sh_policy_free(parents);
    if (rc < 0) {
        return rc;
    }
    if (narrowed.n_denials > 0) {
        sh_fail(err, SH_E_DENIED, "%.200s: the agent that starts this one has not got it itself",
                narrowed.denials[0].capability);
        sh_decision_done(&narrowed);
        return -err->code;
    }
    sh_capabilities_done(&d->effective);
    d->effective = narrowed.effective;
    narrowed.effective = nothing;
    sh_decision_done(&narrowed);
    return 0;
}

int sh_birth_commit(const struct sh_birth *b, struct sh_workflow *child,
                    void (*then)(struct sh_workflow *wf, void *arg, const struct sh_err *err),
                    void *arg, struct sh_err *err) {
    struct sh_workflow *parent = b->parent;
    struct sh_activity *a = sh_child_find(parent, b->lineage.ordinal);
    json_t *body = sh_activity_request_body(a);

    json_object_set_new(body, "child", json_string(child->id.s));
    if (sh_journal_add(parent, "ActivityScheduled", body) == 0) {
        return sh_fail(err, SH_E_JOURNAL, "an activity does not fit the journal limit");
    }
    a->state = SH_ACTIVITY_OUT;
    sh_account_join(child, parent);
    json_object_set_new(parent->row, "children",
                        json_integer(sh_json_get_int(parent->row, "children", 0) + 1));
    sh_workflow_row_update(parent);
    sh_journal_commit_both(child, then, arg, parent);
    return 0;
}

/* ---- starting one ---- */

bool sh_child_op(const struct sh_tool *tool) {
    return strcmp(tool->name, "workflow") == 0 || strcmp(tool->name, "python") == 0;
}

bool sh_child_outcome(const json_t *body) {
    struct sh_str op = sh_json_get_str(body, "op");

    /* one event tells of a refusal: it has the request, too */
    return (sh_str_eqz(op, "workflow") || sh_str_eqz(op, "python")) &&
           !json_object_get(body, "args");
}

static void starting_free(struct starting *s) {
    json_decref(s->input);
    json_decref(s->capabilities);
    sh_free(s->agent);
    sh_free(s->query);
    sh_free(s->session);
    sh_free(s->stdin_text);
    for (size_t i = 0; s->args && s->args[i]; i++) {
        sh_free(s->args[i]);
    }
    sh_free(s->args);
    sh_birth_done(&s->birth);
    sh_free(s);
}

static void fail(struct starting *s, const struct sh_err *err) {
    struct sh_workflow *wf = s->birth.parent;
    struct sh_activity *a = sh_child_find(wf, s->birth.lineage.ordinal);

    if (a && a->state == SH_ACTIVITY_STARTING && !wf->leaving && wf->phase < SH_PHASE_ENDING &&
        !wf->engine->stopping) {
        if (sh_end_is_the_hosts(err->code)) { /* nothing that a guest may learn */
            sh_workflow_park(wf, err->code, err->message);
        } else {
            sh_activity_refuse(a, err);
            sh_journal_commit(wf, NULL, NULL);
        }
    }
    starting_free(s);
}

static void begun(void *arg, json_t *row, bool cached, const struct sh_err *err) {
    struct starting *s = arg;
    struct sh_workflow *wf = s->birth.parent;
    struct sh_activity *a;

    (void)cached;
    if (err) {
        fail(s, err);
        return;
    }
    a = sh_child_find(wf, s->birth.lineage.ordinal);
    if (a && s->birth.lineage.detached) {
        sh_activity_succeed(
            a, json_pack("{s:O, s:s}", "id", json_object_get(row, "id"), "status", "running"));
        sh_journal_commit(wf, NULL, NULL);
    }
    starting_free(s);
}

static void submit(struct starting *s) {
    struct sh_workflow *parent = s->birth.parent;
    struct sh_submit in = {
        .agent = sh_str(s->agent),
        .query = sh_str(s->query),
        .input = s->input,
        .session = sh_str(s->session),
        .capabilities = s->capabilities,
        .args = (const char *const *)s->args,
        .stdin_bytes = sh_str(s->stdin_text),
        .operator_doc = json_object_get(parent->row, "operator"),
        .deadline_us = s->timeout_ms ? sh_wall_us() + (int64_t)s->timeout_ms * 1000 : 0,
    };

    sh_engine_submit_child(parent->engine, &in, &s->birth, begun, s);
}

static void script_added(void *arg, json_t *record, const struct sh_err *err) {
    struct starting *s = arg;

    if (err) {
        fail(s, err);
        return;
    }
    s->agent = sh_strdup(json_string_value(json_object_get(record, "hash")));
    submit(s);
}

/* Sessions are what keeps the memory of tasks apart: an agent reaches its own and those below. */
static int take_session(struct starting *s, const struct sh_activity *a, struct sh_err *err) {
    struct sh_str name = sh_json_get_str(a->args, "session");
    struct sh_str own = sh_str(a->wf->spec.session);

    if (name.len == 0) {
        s->session = sh_strndup0(own.p, own.len);
    } else if (!sh_str_eq(name, own) && !(sh_str_starts(name, own) && name.p[own.len] == ':')) {
        return sh_fail(err, SH_E_DENIED,
                       "session: expected \"%.60s\" or a name that begins with \"%.60s:\", which "
                       "are this agent's own",
                       own.p, own.p);
    } else {
        s->session = sh_strndup0(name.p, name.len);
    }
    return 0;
}

static int take_request(struct starting *s, const struct sh_activity *a, struct sh_err *err) {
    const struct sh_spec *spec = &a->wf->spec;
    struct sh_lineage *l = &s->birth.lineage;
    struct sh_str query = sh_json_get_str(a->args, "query");
    json_t *input = json_object_get(a->args, "input");

    l->parent = a->wf->id;
    l->root = spec->lineage.depth ? spec->lineage.root : a->wf->id;
    l->ordinal = a->ordinal;
    l->depth = spec->lineage.depth + 1;
    l->detached = sh_json_get_bool(a->args, "detached", false);
    l->heartbeat_ms = a->heartbeat_ms;
    if (l->depth > SH_WORKFLOW_DEPTH_MAX) {
        return sh_fail(err, SH_E_LIMIT,
                       "workflows may start others %d levels deep, and this one is at the last",
                       SH_WORKFLOW_DEPTH_MAX);
    }
    s->query = sh_strndup0(query.p, query.len);
    s->input = input ? json_incref(input) : query.len ? NULL : json_object();
    s->capabilities = json_incref(json_object_get(a->args, "capabilities"));
    s->timeout_ms = a->timeout_ms;
    return take_session(s, a, err);
}

void sh_child_start(struct sh_activity *a) {
    struct starting *s = sh_new(struct starting);
    struct sh_str agent = sh_json_get_str(a->args, "agent");
    struct sh_err err = {0};

    a->state = SH_ACTIVITY_STARTING;
    s->birth.parent = a->wf;
    a->wf->pins++;
    if (take_request(s, a, &err) < 0) {
        sh_activity_refuse(a, &err); /* the caller commits */
        starting_free(s);
    } else if (strcmp(a->tool->name, "python") == 0) {
        struct sh_buf script;
        sh_python_request(a->args, &s->capabilities, &s->args, &s->stdin_text);
        s->birth.name = sh_strdup("python");
        sh_buf_init_sure(&script, SH_ACTIVITY_ARGS_MAX + 16);
        sh_python_script(sh_json_get_str(a->args, "code"), &script);
        sh_engine_module_add(a->wf->engine, sh_buf_str(&script), NULL, NULL, script_added, s);
        sh_buf_done(&script);
    } else {
        s->agent = sh_strndup0(agent.p, agent.len);
        submit(s);
    }
}
