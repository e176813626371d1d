/* Reading: the server itself looks at headers and robots.txt only; documents are parsed in a child
 * that has no network, no files and little memory. A child costs a process and up to a gigabyte, so
 * only some are at work at a time, however many agents fetch. */
#include <stdio.h>
#include <unistd.h>

#include "tools/fetch.h"
#include "tools/readable.h"

#define READ_MEMORY_BYTES (1 * SH_GIB)
enum { READ_CPU_SECONDS = 20 };

static void on_output(void *arg, struct sh_str bytes) {
    struct sh_fetch *f = arg;
    sh_buf_add(&f->read, bytes.p, bytes.len);
}

static void reading_failed(struct sh_fetch *f, const char *why) {
    struct sh_err err = {0};
    sh_fail(&err, SH_E_UPSTREAM, "%.200s (%s) could not be made text: %s", f->target.url, f->type,
            why);
    sh_fetch_fail(f, &err, false);
}

static void on_exit_of_reader(void *arg, int status, int sig) {
    struct sh_fetch *f = arg;
    json_t *result = NULL;
    char why[80];
    snprintf(why, sizeof(why), "its reader ended with %s %d", sig ? "signal" : "status",
             sig ? sig : status);
    bool pdf = f->kind == SH_FETCH_PDF;
    if (status != 0 || (f->read.failed && !pdf)) {
        reading_failed(f, why);
    } else if (pdf) {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, SH_FETCH_BYTES_MAX * 4);
        sh_charset_convert(NULL, sh_buf_str(&f->read), &text);
        sh_fetch_succeed(f, result = sh_readable_text(sh_buf_str(&text), f->chars));
    } else if (sh_json_parse(sh_buf_str(&f->read), SH_ACTIVITY_RESULT_MAX * 2, &result, NULL) !=
                   0 ||
               !json_is_object(result)) {
        reading_failed(f, "its reader said nothing that makes sense");
    } else {
        sh_fetch_succeed(f, result);
    }
    json_decref(result);
}

static void on_late(struct sh_timer *t) {
    struct sh_fetch *f = sh_container_of(t, struct sh_fetch, late);
    struct sh_err err = {0};
    sh_fail(&err, SH_E_TIMEOUT, "making text of %.200s took too long", f->target.url);
    sh_fetch_fail(f, &err, false);
}

static int start_reader(struct sh_fetch *f, struct sh_err *err) {
    const struct sh_tools *t = f->base.tools;
    char chars[24];
    snprintf(chars, sizeof(chars), "%zu", f->chars);
    const char *const reader[] = {
        "shannon",  "read-worker", f->kind == SH_FETCH_HTML ? "html" : "text",
        f->charset, f->target.url, chars,
        NULL};
    const char *const pdf[] = {"pdftotext", "-q", "-nopgbrk", "-enc", "UTF-8", "-", "-", NULL};
    const char *const env[] = {"LC_ALL=C.UTF-8", NULL};
    bool is_pdf = f->kind == SH_FETCH_PDF;
    const char *program = is_pdf ? t->pdftotext : t->worker;
    if (!program || access(program, X_OK) != 0) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       is_pdf ? "%.200s is a PDF, and pdftotext is not installed here (Debian: "
                                "apt-get install poppler-utils)"
                              : "%.200s cannot be read: there is no reader",
                       f->target.url);
    }
    struct sh_process_options o = {
        .program = program,
        .argv = is_pdf ? pdf : reader,
        .env = env,
        .memory_bytes = READ_MEMORY_BYTES,
        .cpu_seconds = READ_CPU_SECONDS,
        .confined = true,
        .on_out = on_output,
        .on_exit = on_exit_of_reader,
        .arg = f,
    };
    int r = sh_process_start(t->loop, &o, &f->reader, err);
    if (r == 0) {
        f->base.tools->fetch_readers++;
        (void)sh_process_write(f->reader, sh_buf_str(&f->page), SH_FETCH_BYTES_MAX, NULL);
        sh_process_end_input(f->reader);
        sh_buf_done(&f->page);
    }
    return r;
}

void sh_fetch_read_wake(struct sh_tools *t) {
    struct sh_list *node = NULL;
    while (t->fetch_readers < SH_FETCH_READERS_MAX && (node = sh_list_pop(&t->fetch_queue))) {
        struct sh_fetch *f = sh_container_of(node, struct sh_fetch, link);
        struct sh_err err = {0};
        if (start_reader(f, &err) != 0) {
            sh_fetch_fail(f, &err, false);
        }
    }
}

void sh_fetch_read(struct sh_fetch *f) {
    struct sh_tools *t = f->base.tools;
    sh_timer_start(t->loop, &f->late, sh_fetch_left_ms(f) * 1000000, on_late);
    sh_list_push(&t->fetch_queue, &f->link);
    sh_fetch_read_wake(t);
}
