/* See python.h. A script that exits with another status than 0 has not failed as a tool: the agent
 * that wrote it wants to see the traceback. */
#include "engine/python.h"

#include "engine/modules.h"
#include "engine/private.h"

void sh_python_request(const json_t *request, json_t **capabilities, char ***ret_args,
                       char **ret_stdin) {
    static const char *const lists[] = {"tools", "network", "filesystem"};
    json_t *caps = *capabilities ? json_copy(*capabilities) : json_object();
    json_t *args = json_object_get(request, "args");
    size_t n = json_array_size(args);

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        if (!json_object_get(caps, lists[i])) {
            json_object_set_new(caps, lists[i], json_array());
        }
    }
    if (!json_object_get(caps, "env")) {
        json_object_set_new(caps, "env", json_object());
    }
    json_decref(*capabilities);
    *capabilities = caps;
    *ret_args = sh_new_array(char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        (*ret_args)[i] = sh_strdup(json_string_value(json_array_get(args, i)));
    }
    struct sh_str in = sh_json_get_str(request, "stdin");
    *ret_stdin = sh_strndup0(in.p, in.len);
}

void sh_python_script(struct sh_str code, struct sh_buf *ret) {
    if (!sh_module_is_script(code)) {
        sh_buf_adds(ret, "#\n"); /* it begins with "(" */
    }
    sh_buf_add(ret, code.p, code.len);
}

/* What it printed, from its Output events. */
struct printed {
    struct sh_workflow *wf; /* pinned */
    uint64_t ordinal;
    struct sh_id child;
    json_t *row;
    struct sh_buf out[2];
    uint64_t after;
};

static void printed_end(struct printed *p, const struct sh_err *err) {
    struct sh_workflow *wf = p->wf;
    struct sh_activity *a = NULL;

    wf->looks--;
    sh_list_each (node, &wf->activities.list) {
        struct sh_activity *each = sh_container_of(node, struct sh_activity, link);
        a = each->ordinal == p->ordinal && sh_child_op(each->tool) ? each : a;
    }
    if (a && !wf->leaving && wf->phase < SH_PHASE_ENDING && !wf->engine->stopping) {
        if (err) {
            sh_activity_fail(a, err, false, 0);
        } else {
            json_t *result = json_pack(
                "{s:o, s:o, s:O, s:O}", "stdout", sh_json_string(sh_buf_str(&p->out[0])), "stderr",
                sh_json_string(sh_buf_str(&p->out[1])), "exit_status",
                json_object_get(p->row, "exit_status"), "usage", json_object_get(p->row, "usage"));
            if (json_object_get(p->row, "output")) {
                json_object_set(result, "result", json_object_get(p->row, "output"));
            }
            json_object_set(result, SH_OUTPUT_KEPT, json_object_get(p->row, SH_OUTPUT_KEPT));
            sh_child_answer(a, result);
        }
        sh_journal_commit(wf, NULL, NULL);
    }
    sh_buf_done(&p->out[0]);
    sh_buf_done(&p->out[1]);
    json_decref(p->row);
    sh_free(p);
    sh_workflow_unpin(wf);
}

/* As much as there is room for; the rest is left out, as the answer of a workflow is cut. */
static void keep(struct printed *p, struct sh_str body) {
    sh_auto(sh_json_done) json_t *event = NULL;
    struct sh_buf bytes;
    int64_t stream;

    if (sh_json_parse(body, SH_EVENT_BODY_MAX * 2, &event, NULL) < 0) {
        return;
    }
    stream = sh_json_get_int(event, "stream", 0);
    sh_buf_init_sure(&bytes, SH_EVENT_BODY_MAX);
    if ((stream == 1 || stream == 2) &&
        sh_base64_decode(&bytes, sh_json_get_str(event, "data")) == 0) {
        struct sh_buf *out = &p->out[stream - 1];
        size_t room = out->max - out->len - 1;
        sh_buf_add(out, bytes.p, bytes.len < room ? bytes.len : room);
    }
    sh_buf_done(&bytes);
}

static void page_read(void *arg, const struct sh_event_record *events, size_t n,
                      const struct sh_err *err) {
    struct printed *p = arg;

    for (size_t i = 0; i < n && !err; i++) {
        p->after = events[i].seq;
        if (sh_str_eqz(events[i].type, "Output")) {
            keep(p, events[i].body);
        }
    }
    if (!err && n == SH_JOURNAL_PAGE) {
        sh_store_read_events(p->wf->engine->store, sh_str(p->child.s), p->after, SH_JOURNAL_PAGE,
                             page_read, p);
        return;
    }
    printed_end(p, err);
}

bool sh_python_complete(struct sh_activity *a, const json_t *row) {
    struct sh_str code = sh_json_get_str(json_object_get(row, "error"), "code");
    struct printed *p;

    if (!sh_str_eqz(sh_json_get_str(row, "status"), "completed") &&
        !sh_str_eqz(code, "exit_status")) {
        return false;
    }
    p = sh_new(struct printed);
    if (sh_id_parse(sh_json_get_str(row, "id"), &p->child) < 0) {
        sh_free(p);
        return false;
    }
    p->wf = a->wf;
    p->ordinal = a->ordinal;
    p->row = json_deep_copy(row);
    sh_buf_init_sure(&p->out[0], SH_PYTHON_OUTPUT_MAX);
    sh_buf_init_sure(&p->out[1], SH_PYTHON_OUTPUT_MAX);
    a->wf->pins++;
    a->wf->looks++;
    sh_store_read_events(a->wf->engine->store, sh_str(p->child.s), 0, SH_JOURNAL_PAGE, page_read,
                         p);
    return true;
}
