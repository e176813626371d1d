/* Modules: upload, list, remove. The upload is the bytes themselves with ?name=, or JSON with the
 * bytes in base64 when a manifest comes along. */
#include "http/api.h"

#include <strings.h>

static void module_done(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, value ? json_incref(value) : json_pack("{s:b}", "success", 1));
    }
}

static int check_name(const char *name, struct sh_err *err) {
    struct sh_id id;
    if (name && (sh_id_parse(sh_str(name), &id) < 0 || name[0] == '.')) {
        return sh_fail(
            err, SH_E_INVAL,
            "a name has 1 to %d characters of A-Z a-z 0-9 : _ - . and does not begin with "
            "a dot",
            SH_ID_MAX);
    }
    return 0;
}

static bool is_json(const struct sh_request *r) {
    const char *type = sh_request_header(r, "content-type");
    return type && strncasecmp(type, "application/json", 16) == 0;
}

static void add_json(struct sh_request *r) {
    struct sh_err err = {0};
    sh_auto(sh_json_done) json_t *body = NULL;
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX);
    static const char *const known[] = {"name", "manifest", "module", "source", NULL};
    int rc = sh_json_parse(sh_buf_str(&r->body), SH_HTTP_MODULE_BODY_MAX, &body, &err);
    if (rc == 0) {
        rc = json_is_object(body) ? sh_json_only(body, known, "the body", &err)
                                  : sh_fail(&err, SH_E_INVAL, "the body must be a JSON object");
    }
    const char *name = json_string_value(json_object_get(body, "name"));
    json_t *manifest = json_object_get(body, "manifest");
    struct sh_str source = sh_json_get_str(body, "source"),
                  module = sh_json_get_str(body, "module");
    if (rc == 0 && manifest && !json_is_null(manifest) && !json_is_object(manifest)) {
        rc = sh_fail(&err, SH_E_INVAL, "manifest must be an object");
    }
    if (rc == 0 && !source.len == !module.len) {
        rc = sh_fail(&err, SH_E_INVAL, "give module (base64) or source (text), one of them");
    }
    if (rc == 0) {
        rc = check_name(name, &err);
    }
    if (rc == 0) {
        sh_buf_add(&bytes, source.p, source.len);
        if (module.len && sh_base64_decode(&bytes, module) < 0) {
            rc = sh_fail(&err, SH_E_INVAL, "module is not valid base64, or too large");
        }
    }
    if (rc < 0) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_module_add(r->api->app->engine, sh_buf_str(&bytes), name,
                         json_is_object(manifest) ? manifest : NULL, module_done, r);
}

void sh_handle_module_add(struct sh_request *r) {
    struct sh_err err = {0};
    if (is_json(r)) {
        add_json(r);
        return;
    }
    const char *name = sh_request_param(r, "name");
    name = name && *name ? name : NULL;
    if (r->body.len == 0) {
        sh_fail(&err, SH_E_MODULE,
                "the body is empty; send the bytes of a .wasm or .wat module, or a "
                "Python script");
    } else {
        check_name(name, &err);
    }
    if (err.code) {
        sh_reply_error(r, &err);
        return;
    }
    sh_engine_module_add(r->api->app->engine, sh_buf_str(&r->body), name, NULL, module_done, r);
}

static void modules_listed(void *arg, json_t *value, const struct sh_err *err) {
    struct sh_request *r = arg;
    if (err) {
        sh_reply_error(r, err);
    } else {
        sh_reply_json(r, 200, json_pack("{s:O}", "modules", value));
    }
}

void sh_handle_module_list(struct sh_request *r) {
    sh_engine_module_list(r->api->app->engine, modules_listed, r);
}

void sh_handle_module_remove(struct sh_request *r) {
    sh_engine_module_remove(r->api->app->engine, sh_str(r->id), module_done, r);
}
