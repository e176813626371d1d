/* shannon explain: what an agent would be given, and why. Nothing runs and nothing is written; the
 * flags are those of `shannon run` and mean the same: what they name is asked for and allowed. */
#include "cli/cli.h"

#include "cli/agent_file.h"
#include "cli/run_flags.h"
#include "files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define EXIT_DENIED 126

struct explaining {
    struct sh_common common;
    struct sh_run_flags flags;
    struct sh_client client;
    bool opened; /* there is a data directory */
    struct sh_policy *base, *policy;
    struct sh_capabilities manifest, request;
    bool has_request;
    char *name; /* that rules speak of: the agent's, or its hash */
    struct sh_hash hash;
    char *manifest_from; /* for people, or NULL: there is none */
    json_t *told;
    struct sh_err err;
};

static const char *from_environment(const char *name) {
    return getenv(name);
}

/* --- the agent -------------------------------------------------------------------------------- */

static void records_done(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)total;
    sh_wait_json(arg, records, err);
}

static int list_table(struct explaining *x, enum sh_table table, json_t **ret) {
    struct sh_store_filter all = {.limit = SH_STORE_LIST_MAX};
    struct sh_wait w = {.app = &x->client.app};
    sh_store_list(x->client.app.store, table, &all, records_done, &w);
    int rc = sh_wait_run(&w, &x->err);
    *ret = w.value;
    return rc;
}

/* What is registered: through the owner of the data directory, or from the store itself. */
static int registered(struct explaining *x, json_t **ret) {
    if (!x->opened) {
        *ret = json_array();
        return 0;
    }
    if (!x->client.remote) {
        return list_table(x, SH_TABLE_MODULE, ret);
    }
    sh_auto(sh_json_done) json_t *answer = NULL;
    int rc = sh_client_call(&x->client, "GET", "/api/v1/modules", NULL, (struct sh_str){0}, &answer,
                            &x->err);
    *ret = rc == 0 ? json_incref(json_object_get(answer, "modules")) : NULL;
    return rc;
}

static json_t *find_record(const json_t *modules, const char *name_or_hash) {
    size_t i;
    json_t *record;
    json_array_foreach((json_t *)(uintptr_t)modules, i, record) {
        if (sh_str_eqz(sh_json_get_str(record, "name"), name_or_hash) ||
            sh_str_eqz(sh_json_get_str(record, "hash"), name_or_hash)) {
            return record;
        }
    }
    return NULL;
}

static int take_manifest(struct explaining *x, const json_t *doc, const char *from) {
    const json_t *inner = json_object_get(doc, "capabilities");
    struct sh_err inner_err = {0};
    if (sh_capabilities_parse(inner ? inner : doc, NULL, NULL, &x->manifest, &inner_err) < 0) {
        return sh_fail(&x->err, inner_err.code, "%s: %s", from, inner_err.message);
    }
    x->manifest_from = sh_strdup(from);
    return 0;
}

static int take_record(struct explaining *x, const json_t *record) {
    struct sh_str name = sh_json_get_str(record, "name");
    const json_t *manifest = json_object_get(record, "manifest");
    if (sh_hash_parse(sh_json_get_str(record, "hash"), &x->hash) < 0) {
        return sh_fail(&x->err, SH_E_CORRUPT, "the record of this agent has no readable hash");
    }
    if (name.len) {
        sh_free(x->name);
        x->name = sh_strndup0(name.p, name.len);
    }
    return manifest && !x->manifest_from
               ? take_manifest(x, manifest, "the manifest that it was registered with")
               : 0;
}

/* A file is what it would be when registered: NAME.json beside it is its manifest, and rules that
 * speak of a name count when these very bytes are registered under it. */
static int from_file(struct explaining *x, const char *path, const json_t *modules) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_auto(sh_json_done) json_t *manifest = NULL;
    char hex[SH_HASH_HEX_BYTES];
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    int rc = sh_agent_file_read(path, &bytes, &x->err);
    if (rc < 0) {
        return rc;
    }
    sh_sha256(bytes.p, bytes.len, &x->hash);
    sh_hash_hex(&x->hash, hex);
    x->name = sh_strdup(hex);
    rc = sh_app_manifest(path, &manifest, &x->err);
    if (rc == 0 && manifest) {
        sh_auto(sh_free_p) char *from = sh_asprintf("the manifest beside %s", path);
        rc = take_manifest(x, manifest, from);
    }
    const json_t *record = find_record(modules, hex);
    return rc == 0 && record ? take_record(x, record) : rc;
}

static int find_agent(struct explaining *x, const char *operand) {
    sh_auto(sh_json_done) json_t *modules = NULL;
    int rc = registered(x, &modules);
    if (rc < 0) {
        return rc;
    }
    if (sh_agent_file_named(operand)) {
        return from_file(x, operand, modules);
    }
    const json_t *record = find_record(modules, operand);
    if (record) {
        x->name = sh_strdup(operand);
        return take_record(x, record);
    }
    sh_auto(sh_free_p) char *file = sh_app_agent_file(&x->client.app, operand);
    if (!file) {
        return sh_fail(&x->err, SH_E_NOT_FOUND,
                       "there is no file and no registered agent named %.100s; `shannon modules "
                       "list` shows the agents",
                       operand);
    }
    rc = from_file(x, file, modules);
    if (rc == 0) { /* the server registers it under this name */
        sh_free(x->name);
        x->name = sh_strdup(operand);
    }
    return rc;
}

/* --- policy and request ----------------------------------------------------------------------- */

static int open_data(struct explaining *x) {
    x->common.store_only = true;
    int rc = sh_client_open(&x->client, &x->common, false, &x->err);
    x->opened = rc == 0;
    if (rc == -SH_E_NOT_FOUND) { /* no data directory yet: nothing is registered, no policy set */
        x->err = (struct sh_err){0};
        x->client = (struct sh_client){.app.dir = SH_DATADIR_CLOSED};
        return sh_app_config(&x->client.app.config, x->common.config, NULL, &x->err);
    }
    if (rc == 0 && x->client.remote) {
        rc =
            sh_app_config(&x->client.app.config, x->common.config, x->client.app.dir.path, &x->err);
    }
    return rc;
}

static int read_policy(struct explaining *x, const char *home, const char *cwd) {
    const char *file = x->flags.policy;
    sh_auto(sh_json_done) json_t *doc = NULL;
    struct sh_err inner = {0};
    if (!file) {
        return sh_app_policy(&x->client.app, &x->err);
    }
    int rc = sh_document_read(file, &doc, &x->err);
    if (rc == 0 && sh_policy_parse(doc, home, cwd, &x->base, &inner) < 0) {
        rc = sh_fail(&x->err, inner.code, "%s: %s", file, inner.message);
    }
    if (rc == 0) {
        sh_policy_rename_hosts(x->base, sh_path_real);
    }
    return rc;
}

static int read_request(struct explaining *x) {
    sh_auto(sh_json_done) json_t *document = NULL, *asked = NULL;
    const char *home = getenv("HOME");
    char cwd[PATH_MAX];
    if (!getcwd(cwd, sizeof(cwd))) {
        return sh_fail_errno(&x->err, SH_E_IO, errno, "cannot find the current folder");
    }
    int rc = read_policy(x, home, cwd);
    if (rc == 0 && x->flags.capabilities) {
        rc = sh_document_read(x->flags.capabilities, &document, &x->err);
    }
    if (rc == 0) {
        rc = sh_run_capabilities(&x->flags, document, cwd, from_environment, &asked, &x->err);
    }
    if (rc == 0 && asked) {
        rc = sh_capabilities_parse(asked, home, cwd, &x->request, &x->err);
        x->has_request = rc == 0;
    }
    const struct sh_policy *base = x->base ? x->base : x->client.app.policy;
    if (rc == 0 && x->has_request) {
        sh_capabilities_rename_hosts(&x->request, sh_path_real);
        x->policy = sh_policy_with(base, &x->request);
    }
    return rc;
}

static int explain(struct explaining *x) {
    int rc = open_data(x);
    rc = rc < 0 ? rc : find_agent(x, x->common.operands.v[0]);
    rc = rc < 0 ? rc : read_request(x);
    if (rc < 0) {
        return rc;
    }
    const struct sh_policy *p = x->policy ? x->policy : x->base ? x->base : x->client.app.policy;
    char hex[SH_HASH_HEX_BYTES];
    rc = sh_policy_explain(p, sh_str(x->name), &x->hash, x->manifest_from ? &x->manifest : NULL,
                           x->has_request ? &x->request : NULL, &x->told, &x->err);
    if (rc == 0) {
        sh_hash_hex(&x->hash, hex);
        json_object_set_new(x->told, "agent", sh_json_string(sh_str(x->name)));
        json_object_set_new(x->told, "module", json_string(hex));
        json_object_set_new(x->told, "manifest",
                            x->manifest_from ? sh_json_string(sh_str(x->manifest_from))
                                             : json_null());
    }
    return rc;
}

/* --- what is printed -------------------------------------------------------------------------- */

/* The parts of `gets` that the name of the capability does not show already. */
static void print_gets(const json_t *item) {
    const json_t *gets = json_object_get(item, "gets");
    struct sh_str kind = sh_json_get_str(item, "kind");
    sh_auto(sh_free_p) char *text = NULL;
    if (sh_str_eqz(kind, "env") && json_is_string(gets)) {
        text = sh_asprintf("= %s", json_string_value(gets));
    } else if (sh_str_eqz(kind, "filesystem") && json_is_object(gets)) {
        struct sh_str host = sh_json_get_str(gets, "host");
        text = sh_asprintf("is %.*s", (int)host.len, host.p);
    } else if (sh_str_eqz(kind, "tool") && json_array_size(gets) > 0) {
        sh_auto(sh_buf_done) struct sh_buf list = {0};
        sh_buf_init(&list, SH_MIB);
        sh_buf_adds(&list, "comes to");
        for (size_t i = 0; i < json_array_size(gets); i++) {
            sh_buf_addf(&list, " %s", json_string_value(json_array_get(gets, i)));
        }
        struct sh_str name = sh_json_get_str(item, "capability");
        text = name.p[name.len - 1] == '*' ? sh_buf_take(&list) : NULL;
    }
    if (text) {
        fputs("\n         ", stdout);
        sh_cli_print_text(stdout, sh_str(text), 300);
    }
}

static void print_row(const json_t *item) {
    printf("  %-5s  ", json_string_value(json_object_get(item, "verdict")));
    sh_cli_print_text(stdout, sh_json_get_str(item, "capability"), 200);
    if (sh_json_get_bool(item, "needed", false)) {
        fputs(sh_str_eqz(sh_json_get_str(item, "verdict"), "deny")
                  ? " (needed: the task is refused)"
                  : " (needed)",
              stdout);
    }
    print_gets(item);
    fputs("\n         ", stdout);
    sh_cli_print_text(stdout, sh_json_get_str(item, "rule"), 400);
    putchar('\n');
}

static void print_limit(const json_t *limit) {
    const json_t *value = json_object_get(limit, "value");
    sh_auto(sh_free_p) char *text = json_is_null(value) ? sh_strdup("none") : sh_json_text(value);
    printf("  %-20s %14s %-6s ", json_string_value(json_object_get(limit, "name")), text,
           json_is_null(value) ? "" : json_string_value(json_object_get(limit, "unit")));
    sh_cli_print_text(stdout, sh_json_get_str(limit, "from"), 120);
    putchar('\n');
}

static void print_told(const json_t *told) {
    const json_t *manifest = json_object_get(told, "manifest");
    size_t i;
    json_t *item;
    fputs("agent ", stdout);
    sh_cli_print_text(stdout, sh_json_get_str(told, "agent"), 80);
    printf("\nmodule %s\n", json_string_value(json_object_get(told, "module")));
    fputs("asks for: ", stdout);
    sh_cli_print_text(stdout,
                      json_is_string(manifest) ? sh_json_get_str(told, "manifest")
                                               : SH_STR("it has no manifest: all that the policy "
                                                        "allows"),
                      300);
    puts("\n\ncapabilities");
    json_array_foreach(json_object_get(told, "capabilities"), i, item) {
        print_row(item);
    }
    printf("  %-5s  any other tool\n", json_string_value(json_object_get(told, "other_tools")));
    puts("  deny   anything else\n\nlimits");
    json_array_foreach(json_object_get(told, "limits"), i, item) {
        print_limit(item);
    }
    puts("\n\"ask\": a server asks a person (`shannon approvals`); `shannon run` refuses.");
}

static void close_all(struct explaining *x) {
    sh_client_close(&x->client);
    x->policy = x->policy ? sh_policy_free(x->policy) : NULL;
    x->base = x->base ? sh_policy_free(x->base) : NULL;
    sh_capabilities_done(&x->manifest);
    sh_capabilities_done(&x->request);
    sh_free(x->name);
    sh_free(x->manifest_from);
    json_decref(x->told);
    sh_values_done(&x->common.operands);
    sh_values_done(&x->flags.dirs);
    sh_values_done(&x->flags.env);
    sh_values_done(&x->flags.tools);
    sh_values_done(&x->flags.nets);
}

int sh_cmd_explain(int argc, char *const argv[]) {
    struct explaining x = {.client.app.dir = SH_DATADIR_CLOSED};
    struct sh_run_flags *f = &x.flags;
    const struct sh_flag flags[] = {
        {"dir", SH_FLAG_LIST, &f->dirs, "HOST::GUEST[::ro]", "as if run with it"},
        {"env", SH_FLAG_LIST, &f->env, "NAME[=VALUE]", "as if run with it"},
        {"tool", SH_FLAG_LIST, &f->tools, "NAME", "as if run with it"},
        {"allow-net", SH_FLAG_LIST, &f->nets, "RULE", "as if run with it"},
        {"capabilities", SH_FLAG_TEXT, &f->capabilities, "FILE", "as if run with it"},
        {"policy", SH_FLAG_TEXT, &f->policy, "FILE", "policy in place of the data directory's"},
        {"fuel", SH_FLAG_TEXT, &f->fuel, "N", "as if run with it"},
        {"memory", SH_FLAG_TEXT, &f->memory, "SIZE", "as if run with it"},
        {"timeout", SH_FLAG_TEXT, &f->timeout, "DURATION", "as if run with it"},
    };
    int rc = sh_cli_parse(&x.common, "explain [FLAGS] AGENT", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    int status = explain(&x) < 0 ? sh_cli_fail(&x.err) : 0;
    if (x.told) {
        status = sh_json_get_bool(x.told, "refused", false) ? EXIT_DENIED : 0;
        if (x.common.json) {
            sh_cli_print_json(x.told);
        } else {
            print_told(x.told);
        }
    }
    close_all(&x);
    return sh_cli_end(status);
}
