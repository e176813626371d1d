/* What an agent asked for, read from op and arguments or from a line of /dev/shannon, and compared
 * with what the journal says that it asked. */
#include "engine/request.h"

#include <stdio.h>

#include "engine/private.h"

void sh_request_done(struct sh_request *rq) {
    sh_free(rq->op);
    json_decref(rq->args);
    json_decref(rq->id);
    *rq = (struct sh_request){0};
}

/* The id of a line that is no JSON, where it begins with one: {"id":N, or {"id":"NAME", so that who
 * asked can tell which of its requests it was. NULL where it does not. */
static json_t *leading_id(struct sh_str line) {
    static const char begins[] = "{\"id\":";
    enum { MOST = 128 };
    json_t *id = NULL;
    struct sh_str value;
    const char *comma;

    if (line.len < sizeof(begins) - 1 || memcmp(line.p, begins, sizeof(begins) - 1) != 0) {
        return NULL;
    }
    value = sh_strn(line.p + sizeof(begins) - 1, line.len - (sizeof(begins) - 1));
    comma = memchr(value.p, ',', value.len < MOST ? value.len : MOST);
    if (!comma || sh_json_parse(sh_strn(value.p, (size_t)(comma - value.p)), MOST, &id, NULL) < 0) {
        return NULL;
    }
    if (!json_is_integer(id) && !json_is_string(id)) {
        json_decref(id);
        return NULL;
    }
    return id;
}

/* A line of /dev/shannon: {"op":..., "args":{...}, "id":...}, options beside args. */
static void parse_line(struct sh_str line, struct sh_request *rq) {
    json_t *object = NULL;
    json_t *args;

    if (sh_json_parse(line, SH_DEV_LINE_MAX, &object, &rq->err) == 0 &&
        !json_is_string(json_object_get(object, "op"))) {
        sh_fail(&rq->err, SH_E_INVAL,
                "expected a line {\"op\":NAME,\"args\":{...}}, but it has no string \"op\"");
    }
    if (rq->err.code) {
        rq->id = object ? json_incref(json_object_get(object, "id")) : leading_id(line);
        json_decref(object);
        rq->op = sh_strdup("");
        rq->args = sh_json_string(line);
        return;
    }
    rq->op = sh_strdup(json_string_value(json_object_get(object, "op")));
    rq->id = json_incref(json_object_get(object, "id"));
    args = json_object_get(object, "args");
    rq->args = args ? json_deep_copy(args) : json_object();
    if (json_is_object(rq->args)) {
        static const char *const options[] = {"retry", "timeout_ms", "heartbeat_timeout_ms",
                                              "at_most_once"};
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
            json_t *option = json_object_get(object, options[i]);
            if (option) {
                json_object_set(rq->args, options[i], option);
            }
        }
    }
    json_decref(object);
}

void sh_request_parse(struct sh_str op, struct sh_str args, struct sh_request *rq) {
    *rq = (struct sh_request){0};
    if (op.len == 0) {
        parse_line(args, rq);
        return;
    }
    rq->op = sh_strndup0(op.p, op.len);
    if (args.len == 0) {
        rq->args = json_object();
    } else if (sh_json_parse(args, SH_ACTIVITY_ARGS_MAX, &rq->args, &rq->err) < 0) {
        rq->args = sh_json_string(args);
    }
}

/* {ordinal, op, args, id?}: what a journal keeps of a request. */
json_t *sh_request_body(const struct sh_request *rq, uint64_t ordinal) {
    json_t *body = json_object();

    json_object_set_new(body, "ordinal", json_integer((json_int_t)ordinal));
    json_object_set_new(body, "op", sh_json_string(sh_str(rq->op)));
    json_object_set(body, "args", rq->args);
    if (rq->id) {
        json_object_set(body, "id", rq->id);
    }
    return body;
}

bool sh_request_same(struct sh_workflow *wf, const struct sh_past_activity *past,
                     const struct sh_request *rq) {
    sh_auto(sh_json_done) json_t *request = sh_past_request(past);
    json_t *id = json_object_get(request, "id");
    json_t *args = json_object_get(request, "args");
    char message[200];

    /* Older journals do not have the ids of lines that could not be read. */
    if (sh_str_eqz(sh_json_get_str(request, "op"), rq->op) && json_equal(args, rq->args) &&
        (id == rq->id || json_equal(id, rq->id) || (!id && rq->err.code))) {
        return true;
    }
    sh_auto(sh_free_p) char *expected = sh_json_text(args);
    sh_auto(sh_free_p) char *actual = sh_json_text(rq->args);
    snprintf(message, sizeof(message),
             "event %llu, activity %llu: the journal has %s %.50s, the agent asked for %.20s %.50s",
             (unsigned long long)past->seq, (unsigned long long)past->ordinal,
             json_string_value(json_object_get(request, "op")), expected, rq->op, actual);
    sh_workflow_fail(wf, SH_E_NONDETERMINISM, message);
    return false;
}
