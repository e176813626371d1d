/* shannon modules add|list|remove */
#include "cli/cli.h"

#include "cli/agent_file.h"
#include "files.h"

static void print_module(const json_t *module) {
    printf("%-24s %-7s %10lld  %s\n",
           json_string_value(json_object_get(module, "name"))
               ? json_string_value(json_object_get(module, "name"))
               : "-",
           json_string_value(json_object_get(module, "kind")),
           (long long)sh_json_get_int(module, "bytes", 0),
           json_string_value(json_object_get(module, "hash")));
}

static int list(struct sh_client *c, const struct sh_common *common, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *answer = NULL;
    int rc = sh_client_call(c, "GET", "/api/v1/modules", NULL, (struct sh_str){0}, &answer, err);
    if (rc == 0 && common->json) {
        sh_cli_print_json(answer);
    } else if (rc == 0) {
        size_t i;
        json_t *module;
        json_array_foreach(json_object_get(answer, "modules"), i, module) {
            print_module(module);
        }
    }
    return rc;
}

/* As JSON when a manifest goes along, else the bytes themselves. */
static int upload(struct sh_client *c, struct sh_str bytes, const char *name, json_t *manifest,
                  json_t **ret, struct sh_err *err) {
    if (!manifest) {
        sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/modules?name=%s", name);
        return sh_client_call(c, "POST", path, "application/octet-stream", bytes, ret, err);
    }
    sh_auto(sh_buf_done) struct sh_buf encoded = {0};
    sh_buf_init(&encoded, SH_HTTP_MODULE_BODY_MAX);
    sh_base64_encode(&encoded, bytes.p, bytes.len);
    if (encoded.failed) {
        return sh_fail(err, SH_E_LIMIT, "the module is too large to be sent with a manifest");
    }
    sh_auto(sh_json_done) json_t *body =
        json_pack("{s:s, s:O, s:o}", "name", name, "manifest", manifest, "module",
                  sh_json_string(sh_buf_str(&encoded)));
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    sh_buf_init(&text, SH_HTTP_MODULE_BODY_MAX);
    sh_json_dump(body, &text);
    return text.failed ? sh_fail(err, SH_E_LIMIT, "the module is too large to be sent")
                       : sh_client_call(c, "POST", "/api/v1/modules", "application/json",
                                        sh_buf_str(&text), ret, err);
}

struct addition {
    const char *file, *name, *manifest_file;
};

static int add(struct sh_client *c, const struct sh_common *common, const struct addition *what,
               struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    sh_auto(sh_json_done) json_t *manifest = NULL, *answer = NULL;
    struct sh_id id;
    if (sh_id_parse(sh_str(what->name), &id) < 0) {
        return sh_fail(err, SH_E_INVAL,
                       "--name NAME is needed: 1 to %d characters of A-Z a-z 0-9 : _ - .",
                       SH_ID_MAX);
    }
    int rc = sh_agent_file_read(what->file, &bytes, err);
    if (rc == 0 && what->manifest_file) {
        rc = sh_document_read(what->manifest_file, &manifest, err);
        json_t *inner = rc == 0 ? json_object_get(manifest, "capabilities") : NULL;
        if (inner) {
            json_t *whole = manifest;
            manifest = json_incref(inner);
            json_decref(whole);
        }
    }
    rc = rc < 0 ? rc : upload(c, sh_buf_str(&bytes), what->name, manifest, &answer, err);
    if (rc == 0 && common->json) {
        sh_cli_print_json(answer);
    } else if (rc == 0) {
        print_module(answer);
    }
    return rc;
}

static int remove_module(struct sh_client *c, const struct sh_common *common, const char *name,
                         struct sh_err *err) {
    struct sh_id id;
    if (sh_id_parse(sh_str(name), &id) < 0) {
        return sh_fail(err, SH_E_INVAL, "\"%.60s\" is no module name or hash", name);
    }
    sh_auto(sh_json_done) json_t *answer = NULL;
    sh_auto(sh_free_p) char *path = sh_asprintf("/api/v1/modules/%s", id.s);
    int rc = sh_client_call(c, "DELETE", path, NULL, (struct sh_str){0}, &answer, err);
    if (rc == 0 && common->json) {
        sh_cli_print_json(answer);
    } else if (rc == 0) {
        printf("removed %s\n", id.s);
    }
    return rc;
}

int sh_cmd_modules(int argc, char *const argv[]) {
    struct sh_common common = {0};
    struct addition what = {.name = ""};
    const struct sh_flag flags[] = {
        {"name", SH_FLAG_TEXT, &what.name, "NAME", "what the agent is called (add)"},
        {"manifest", SH_FLAG_TEXT, &what.manifest_file, "FILE",
         "capabilities that the agent asks for, JSON or TOML (add)"},
    };
    int rc = sh_cli_parse(
        &common, "modules add FILE --name NAME [--manifest FILE] | list | remove NAME|HASH", flags,
        SH_N(flags), 1, 2, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    const char *verb = common.operands.v[0];
    const char *operand = common.operands.n == 2 ? common.operands.v[1] : NULL;
    bool is_list = strcmp(verb, "list") == 0, is_add = strcmp(verb, "add") == 0;
    bool known = (is_list && !operand) || (operand && (is_add || strcmp(verb, "remove") == 0));
    struct sh_client client;
    struct sh_err err = {0};
    if (!known) {
        sh_fail(&err, SH_E_INVAL,
                "expected: modules add FILE --name NAME, modules list, or modules "
                "remove NAME");
    } else if (sh_client_open(&client, &common, is_add, &err) == 0) {
        what.file = operand;
        if (is_list) {
            list(&client, &common, &err);
        } else if (is_add) {
            add(&client, &common, &what, &err);
        } else {
            remove_module(&client, &common, operand, &err);
        }
        sh_client_close(&client);
    }
    sh_values_done(&common.operands);
    return sh_cli_end(err.code ? sh_cli_fail(&err) : 0);
}
