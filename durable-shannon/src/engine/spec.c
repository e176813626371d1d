/* See spec.h. */
#include "engine/spec.h"

void sh_spec_done(struct sh_spec *spec) {
    sh_free(spec->script_name);
    sh_free(spec->agent);
    sh_free(spec->session);
    json_decref(spec->argv);
    json_decref(spec->env);
    json_decref(spec->input);
    sh_capabilities_done(&spec->caps);
    sh_buf_done(&spec->stdin_bytes);
    *spec = (struct sh_spec){0};
}

bool sh_spec_script_name_is_good(const char *name) {
    size_t n = strlen(name);

    return n > 0 && n <= 255 && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0 && sh_utf8_valid(sh_str(name));
}

static char *copy(struct sh_str s) {
    return sh_strndup0(s.p, s.len);
}

static bool all_strings(const json_t *array) {
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (!json_is_string(json_array_get(array, i))) {
            return false;
        }
    }
    return json_is_array(array);
}

int sh_spec_parse(const json_t *body, int64_t time_us, struct sh_spec *ret, struct sh_err *err) {
    json_t *tty = json_object_get(body, "tty");
    int64_t version = sh_json_get_int(body, "v", 0);

    if (version > 1) {
        return sh_fail(err, SH_E_VERSION,
                       "the journal was written by a newer version (format %lld, this one reads "
                       "up to 1); install that version",
                       (long long)version);
    }
    ret->agent = copy(sh_json_get_str(body, "agent"));
    ret->session = copy(sh_json_get_str(body, "session"));
    ret->python = sh_str_eqz(sh_json_get_str(body, "kind"), "python");
    ret->script_name = copy(sh_json_get_str(body, "script_name"));
    ret->argv = json_incref(json_object_get(body, "argv"));
    ret->env = json_incref(json_object_get(body, "env"));
    ret->input = json_incref(json_object_get(body, "input"));
    ret->stdin_live = sh_json_get_bool(body, "stdin_live", false);
    ret->has_python_module = ret->python && json_object_get(body, "python_module");
    ret->started_us = time_us;
    ret->deadline_us = sh_json_get_int(body, "deadline_us", 0);
    sh_lineage_parse(body, &ret->lineage);
    for (size_t i = 0; i < 3; i++) {
        ret->tty[i] = json_is_true(json_array_get(tty, i));
    }
    if (sh_hash_parse(sh_json_get_str(body, "module"), &ret->module) < 0 ||
        sh_hex_decode(sh_json_get_str(body, "seed"), ret->seed, sizeof(ret->seed)) < 0 ||
        (ret->python &&
         sh_hash_parse(sh_json_get_str(body, "interpreter"), &ret->interpreter) < 0) ||
        (ret->has_python_module &&
         sh_hash_parse(sh_json_get_str(body, "python_module"), &ret->python_module) < 0) ||
        sh_base64_decode(&ret->stdin_bytes, sh_json_get_str(body, "stdin")) < 0 ||
        !(ret->input || sh_payload_parse(json_object_get(body, SH_INPUT_KEPT), &ret->input_kept)) ||
        !all_strings(ret->argv) || !all_strings(ret->env) || version < 1 ||
        (ret->python && !sh_spec_script_name_is_good(ret->script_name))) {
        return sh_fail(err, SH_E_CORRUPT, "event 1 (WorkflowStarted) is not readable");
    }
    return 0;
}
