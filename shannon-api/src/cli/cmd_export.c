/* export, import: a task as a file that another machine checks and replays. */
#include "cli/ask.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static int write_whole(int fd, struct sh_str bytes) {
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.p, bytes.len);
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        n = n < 0 ? 0 : n;
        bytes.p += n;
        bytes.len -= (size_t)n;
    }
    return 0;
}

/* Whole or not at all: under another name first. "-" is standard output. */
static int write_out(const char *path, struct sh_str bytes, struct sh_err *err) {
    if (strcmp(path, "-") == 0) {
        int r = write_whole(STDOUT_FILENO, bytes);
        return r < 0 ? sh_fail_errno(err, SH_E_IO, -r, "cannot write the export") : 0;
    }
    sh_auto(sh_free_p) char *temporary = sh_asprintf("%s.XXXXXX", path);
    sh_auto(sh_close_p) int fd = mkostemp(temporary, O_CLOEXEC);
    int r = fd < 0 ? -errno : write_whole(fd, bytes);
    if (r == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0)) {
        r = -errno;
    }
    if (r < 0) {
        if (fd >= 0) {
            unlink(temporary);
        }
        return sh_fail_errno(err, SH_E_IO, -r, "cannot write %s", path);
    }
    return 0;
}

int sh_cmd_export(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    const char *out = NULL;
    bool interpreter = false;
    const struct sh_flag flags[] = {
        {"output", SH_FLAG_TEXT, &out, "FILE", "where to (ID.tar); - is standard output"},
        {"with-interpreter", SH_FLAG_BOOL, &interpreter, NULL,
         "put the Python interpreter in, for a machine that has another one"},
    };
    int rc =
        sh_cli_parse(&a.common, "export [--output FILE] ID", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_buf_done) struct sh_buf archive;
    sh_buf_init(&archive, SH_EXPORT_MAX + 1);
    sh_auto(sh_free_p) char *path =
        sh_ask_task_path(&a, interpreter ? "/export?interpreter=1" : "/export");
    if (path && sh_ask_open(&a) == 0 &&
        sh_client_fetch(&a.client, "GET", path, NULL, (struct sh_str){0}, &archive, &a.err) == 0) {
        sh_auto(sh_free_p) char *name =
            out ? sh_strdup(out) : sh_asprintf("%s.tar", a.common.operands.v[0]);
        if (write_out(name, sh_buf_str(&archive), &a.err) == 0 && strcmp(name, "-") != 0) {
            fprintf(stderr, "%s: %zu bytes\n", name, archive.len);
        }
    }
    return sh_ask_end(&a, 0);
}

int sh_cmd_import(int argc, char *const argv[]) {
    struct sh_ask a = {0};
    int rc = sh_cli_parse(&a.common, "import FILE", NULL, 0, 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_buf_done) struct sh_buf archive;
    sh_buf_init(&archive, SH_EXPORT_MAX + 1);
    json_t *task = NULL;
    if (sh_input_read(a.common.operands.v[0], SH_EXPORT_MAX, &archive, &a.err) == 0 &&
        sh_client_open(&a.client, &a.common, true, &a.err) == 0 &&
        sh_client_call(&a.client, "POST", "/api/v1/tasks/import", "application/x-tar",
                       sh_buf_str(&archive), &task, &a.err) == 0) {
        if (a.common.json) {
            sh_cli_print_json(task);
        } else {
            printf("%s\n", json_string_value(json_object_get(task, "task_id")));
        }
    }
    json_decref(task);
    return sh_ask_end(&a, 0);
}
