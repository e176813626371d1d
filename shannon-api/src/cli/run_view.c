/* What is printed comes from durable events only, so that nothing is ever shown that a crash could
 * take back; output is told by offset, never twice. */
#include "cli/run_view.h"

#include "cli/cli.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

static void write_all(struct sh_run_view *v, int fd, const char *p, size_t n) {
    while (n && !v->pipe_broken) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EAGAIN) { /* whoever gave us the descriptor made it non-blocking */
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, -1);
            continue;
        }
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w < 0) {
            /* The reader has gone: nobody is left to run for. */
            v->pipe_broken = true;
            v->output_closed(v->arg);
            return;
        }
        p += w;
        n -= (size_t)w;
    }
}

static void on_output(struct sh_run_view *v, const json_t *body) {
    int64_t stream = sh_json_get_int(body, "stream", 1);
    uint64_t offset = (uint64_t)sh_json_get_int(body, "offset", 0);
    struct sh_str name = sh_json_get_str(body, "stream");
    stream = sh_str_eqz(name, "stderr") ? 2 : sh_str_eqz(name, "stdout") ? 1 : stream;
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_EVENT_BODY_MAX);
    if ((stream != 1 && stream != 2) ||
        sh_base64_decode(&bytes, sh_json_get_str(body, "data")) < 0) {
        return;
    }
    uint64_t *printed = &v->printed[stream];
    if (offset + bytes.len <= *printed) {
        return; /* output is told by offset, never twice */
    }
    size_t skip = *printed > offset ? (size_t)(*printed - offset) : 0;
    *printed = offset + bytes.len;
    if (stream == 2 || !v->json) {
        write_all(v, (int)stream, bytes.p + skip, bytes.len - skip);
    }
}

static void print_event(uint64_t seq, int64_t time_us, struct sh_str type, json_t *body) {
    char time[SH_TIME_TEXT];
    sh_time_format(time_us, time);
    json_t *line = json_pack("{s:I, s:s, s:o, s:O}", "seq", (json_int_t)seq, "time", time, "type",
                             sh_json_string(type), "body", body);
    json_dumpf(line, stderr, JSON_COMPACT);
    fputc('\n', stderr);
    json_decref(line);
}

void sh_run_view_event(struct sh_run_view *v, uint64_t seq, int64_t time_us, struct sh_str type,
                       json_t *body) {
    if (v->events) {
        print_event(seq, time_us, type, body);
    }
    if (sh_str_eqz(type, "Output")) {
        on_output(v, body);
    }
    if (sh_event_is_final(type)) {
        snprintf(v->final_type, sizeof(v->final_type), "%.*s", (int)type.len, type.p);
        v->final_body = json_incref(body);
        v->ended = true;
    }
}

/* --- the end ---------------------------------------------------------------------------------- */

/* What the agent gave as its result, where it printed nothing. */
static void print_answer(struct sh_run_view *v) {
    json_t *output = json_object_get(v->final_body, "output");
    if (output && !json_is_null(output) && v->printed[1] == 0) {
        sh_cli_print_json(output);
    }
}

static void print_backtrace(const json_t *body) {
    size_t i;
    json_t *frame;
    json_array_foreach(json_object_get(body, "backtrace"), i, frame) {
        struct sh_str function = sh_json_get_str(frame, "function");
        struct sh_str file = sh_json_get_str(frame, "file");
        fprintf(stderr, "  %zu: ", i);
        sh_cli_print_text(stderr, function.len ? function : SH_STR("(unnamed)"), 200);
        if (file.len) {
            fputs(" at ", stderr);
            sh_cli_print_text(stderr, file, 200);
            fprintf(stderr, ":%lld", (long long)sh_json_get_int(frame, "line", 0));
        }
        fputc('\n', stderr);
    }
}

static int exit_of_failure(struct sh_run_view *v) {
    const json_t *body = v->final_body;
    const char *code = json_string_value(json_object_get(body, "code"));
    struct sh_err failure = {0};
    struct sh_str text = sh_json_get_str(body, "message");
    sh_fail(&failure, sh_code_from_name(code ? code : "internal_error"), "%s: %.*s",
            code ? code : "failed", (int)text.len, text.p ? text.p : "");
    int64_t status = sh_json_get_int(body, "exit_status", 1);
    if (failure.code == SH_E_EXIT) {
        return status > 0 && status < 256 ? (int)status : 1;
    }
    int exit_status = sh_cli_fail(&failure);
    print_backtrace(body);
    return exit_status;
}

int sh_run_view_end(struct sh_run_view *v) {
    if (strcmp(v->final_type, "WorkflowCompleted") == 0) {
        if (!v->json) {
            print_answer(v);
        }
        return (int)sh_json_get_int(v->final_body, "exit_status", 0) & 0xff;
    }
    if (strcmp(v->final_type, "WorkflowFailed") == 0) {
        return exit_of_failure(v);
    }
    if (v->pipe_broken) {
        return 128 + SIGPIPE;
    }
    fprintf(stderr, "shannon: canceled\n");
    return v->signal_number ? 128 + v->signal_number : SH_EXIT_OWN;
}

void sh_run_view_done(struct sh_run_view *v) {
    json_decref(v->final_body);
    v->final_body = NULL;
}
