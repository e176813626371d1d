/* sql, version */
#include "cli/cli.h"

#include "base/sign.h"
#include "files.h"
#include "version.h"

#include <stdlib.h>

static void records_done(void *arg, json_t *records, size_t total, const struct sh_err *err) {
    (void)total;
    sh_wait_json(arg, records, err);
}

static int query(const struct sh_common *common, struct sh_app *app, json_t **ret,
                 struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_datadir_default(common->data_dir, err);
    int rc = path ? sh_datadir_open(path, false, &app->dir, err) : -SH_E_INVAL;
    struct sh_err busy = {0};
    if (rc == 0 && sh_datadir_lock(&app->dir, &busy) < 0) {
        return busy.code == SH_E_BUSY
                   ? sh_fail(err, SH_E_BUSY,
                             "%s; stop it first: sql reads a data directory that is "
                             "not in use",
                             busy.message)
                   : (*err = busy, -busy.code);
    }
    rc = rc < 0 ? rc : sh_app_config(&app->config, common->config, app->dir.path, err);
    rc = rc < 0 ? rc : sh_app_open(app, &(struct sh_app_options){.store_only = true}, err);
    if (rc < 0) {
        return rc;
    }
    struct sh_wait w = {.app = app};
    sh_store_query(app->store, sh_str(common->operands.v[0]), records_done, &w);
    rc = sh_wait_run(&w, err);
    *ret = w.value;
    return rc;
}

int sh_cmd_sql(int argc, char *const argv[]) {
    struct sh_common common = {0};
    int rc = sh_cli_parse(&common, "sql \"SELECT ... FROM workflow\"", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    struct sh_app app = {.dir = SH_DATADIR_CLOSED};
    struct sh_err err = {0};
    json_t *result = NULL;
    if (query(&common, &app, &result, &err) == 0) {
        sh_cli_print_json(result);
    }
    json_decref(result);
    sh_app_close(&app);
    sh_values_done(&common.operands);
    return sh_cli_end(err.code ? sh_cli_fail(&err) : 0);
}

/* The public half, for those who are to check what this data directory signed. */
static int print_key(const struct sh_common *common) {
    struct sh_datadir dir = SH_DATADIR_CLOSED;
    struct sh_sign_key key = {0};
    struct sh_err err = {0};
    char hex[SH_SIGN_KEY_HEX_BYTES];
    sh_auto(sh_free_p) char *path = sh_datadir_default(common->data_dir, &err);
    if (path && sh_datadir_open(path, false, &dir, &err) == 0) {
        sh_auto(sh_free_p) char *file = sh_path_join(dir.path, "signing-key");
        if (sh_sign_key_load(file, false, &key, &err) == 0) {
            sh_sign_key_hex(key.public, hex);
            printf(common->json ? "{\"key\": \"%s\"}\n" : "%s\n", hex);
        }
    }
    sh_sign_key_done(&key);
    sh_datadir_close(&dir);
    return sh_cli_end(err.code ? sh_cli_fail(&err) : 0);
}

int sh_cmd_version(int argc, char *const argv[]) {
    struct sh_common common = {0};
    bool key = false;
    const struct sh_flag flags[] = {
        {"key", SH_FLAG_BOOL, &key, NULL, "the public key that this data directory signs with"},
    };
    int rc = sh_cli_parse(&common, "version [--key]", flags, SH_N(flags), 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    if (key) {
        rc = print_key(&common);
        sh_values_done(&common.operands);
        return rc;
    }
    if (common.json) {
        json_t *view = json_pack("{s:s, s:s}", "shannon", SH_VERSION, "native", sh_native_text());
        sh_cli_print_json(view);
        json_decref(view);
    } else {
        printf("shannon %s (%s)\n", SH_VERSION, sh_native_text());
    }
    sh_values_done(&common.operands);
    return sh_cli_end(0);
}
