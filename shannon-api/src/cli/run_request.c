/* See run_request.h. Whoever runs the task starts at no folder and has no home: host directories
 * are absolute, and without symbolic links, before they leave here. */
#include "cli/run_request.h"

#include "files.h"
#include "policy/policy.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static const char *from_environment(const char *name) {
    return getenv(name);
}

/* The host directories of a policy as they are meant here. What cannot be read stays: the policy's
 * reader says what is wrong with it. */
static void resolve_entry(json_t *entry, const char *home, const char *cwd) {
    struct sh_capabilities caps = {0};
    sh_auto(sh_json_done) json_t *alone = json_pack("{s:[O]}", "filesystem", entry);
    if (sh_capabilities_parse(alone, home, cwd, &caps, NULL) == 0 && caps.n_mounts == 1) {
        sh_capabilities_rename_hosts(&caps, sh_path_real);
        json_object_set_new(entry, "host", sh_json_string(sh_str(caps.mounts[0].host)));
    }
    sh_capabilities_done(&caps);
}

static void resolve_policy(json_t *policy, const char *home, const char *cwd) {
    static const char *const parts[] = {"allow", "ask", "deny"};
    size_t i, k;
    json_t *rule, *entry;
    json_array_foreach(json_object_get(policy, "rules"), i, rule) {
        for (size_t p = 0; p < sizeof(parts) / sizeof(parts[0]); p++) {
            json_t *part = json_object_get(rule, parts[p]);
            json_array_foreach(json_object_get(part, "filesystem"), k, entry) {
                resolve_entry(entry, home, cwd);
            }
        }
    }
}

static int read_policy(const struct sh_run_flags *f, const char *home, const char *cwd,
                       json_t *operator_doc, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *policy = NULL;
    struct sh_policy *checked = NULL;
    int rc = f->policy ? sh_document_read(f->policy, &policy, err) : 0;
    if (rc < 0 || !policy) {
        return rc;
    }
    rc = sh_policy_parse(policy, home, cwd, &checked, err);
    sh_policy_free(checked);
    resolve_policy(policy, home, cwd);
    json_object_set(operator_doc, "policy", policy);
    return rc;
}

/* The person at the keyboard is the operator: what the flags say is allowed, and asked for. */
static int read_capabilities(const struct sh_run_flags *f, struct sh_run_request *r,
                             struct sh_err *err) {
    sh_auto(sh_json_done) json_t *document = NULL;
    struct sh_capabilities caps = {0};
    char cwd[PATH_MAX];
    const char *home = getenv("HOME");
    if (!getcwd(cwd, sizeof(cwd))) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot find the current folder");
    }
    int rc = f->capabilities ? sh_document_read(f->capabilities, &document, err) : 0;
    rc = rc < 0 ? rc : read_policy(f, home, cwd, r->operator_doc, err);
    rc = rc < 0 ? rc
                : sh_run_capabilities(f, document, cwd, from_environment, &r->capabilities, err);
    if (rc < 0 || !r->capabilities) {
        return rc;
    }
    rc = sh_capabilities_parse(r->capabilities, home, cwd, &caps, err);
    if (rc == 0) {
        sh_capabilities_rename_hosts(&caps, sh_path_real);
        json_decref(r->capabilities);
        r->capabilities = sh_capabilities_json(&caps);
        json_object_set(r->operator_doc, "capabilities", r->capabilities);
    }
    sh_capabilities_done(&caps);
    return rc;
}

static int read_input(const struct sh_run_flags *f, struct sh_run_request *r, struct sh_err *err) {
    const char *text = f->input;
    if (!text) {
        r->input = json_object();
        return 0;
    }
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_PAYLOAD_MAX + 1);
    struct sh_err inner = {0};
    int rc = 0;
    if (text[0] == '@' || strcmp(text, "-") == 0) {
        rc = sh_input_read(text[0] == '@' ? text + 1 : "-", SH_PAYLOAD_MAX, &bytes, err);
    } else {
        sh_buf_adds(&bytes, text);
    }
    if (rc == 0 && bytes.len > SH_INPUT_MAX && sh_json_check(sh_buf_str(&bytes), &inner) == 0) {
        r->input_text = bytes;
        bytes = (struct sh_buf){0};
        return 0;
    }
    if (rc == 0 &&
        (inner.code || sh_json_parse(sh_buf_str(&bytes), SH_INPUT_MAX, &r->input, &inner) < 0)) {
        rc = sh_fail(err, inner.code,
                     "--input: %s; expected JSON such as '{\"query\":\"...\"}', "
                     "@FILE or -",
                     inner.message);
    }
    const json_t *query = json_object_get(r->input, "query");
    if (rc == 0 && json_is_string(query) && json_string_length(query) == 0) {
        rc = sh_fail(err, SH_E_INVAL,
                     "--input: query is empty; expected 1 to %d characters, or an input without it",
                     SH_QUERY_CHARS_MAX);
    }
    return rc;
}

static int read_priority(const struct sh_run_flags *f, struct sh_run_request *r,
                         struct sh_err *err) {
    const char *text = f->priority;
    if (!text) {
        return 0;
    }
    if (!isdigit((unsigned char)text[0]) || text[1] || text[0] - '0' > SH_PRIORITY_MAX) {
        return sh_fail(err, SH_E_INVAL, "--priority %.40s: expected 0 to %d, the most urgent", text,
                       SH_PRIORITY_MAX);
    }
    r->has_priority = true;
    r->priority = (unsigned)(text[0] - '0');
    return 0;
}

int sh_run_request_read(const struct sh_run_flags *f, struct sh_run_request *ret,
                        struct sh_err *err) {
    struct sh_run_request r = {.operator_doc = json_pack("{s:b}", "attended", 0)};
    int rc = read_priority(f, &r, err);
    rc = rc < 0 ? rc : read_input(f, &r, err);
    rc = rc < 0 ? rc : read_capabilities(f, &r, err);
    if (rc < 0) {
        sh_run_request_done(&r);
        return rc;
    }
    *ret = r;
    return 0;
}

void sh_run_request_done(struct sh_run_request *r) {
    json_decref(r->input);
    sh_buf_done(&r->input_text);
    json_decref(r->capabilities);
    json_decref(r->operator_doc);
    *r = (struct sh_run_request){0};
}
