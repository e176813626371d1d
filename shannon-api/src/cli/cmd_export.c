/* export, import: a task as a file that another machine checks and replays. */
#include "cli/ask.h"
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* Whole or not at all: under another name first. "-" is standard output. gives  how many bytes */
static int fetch(struct sh_client *c, const char *from, const char *path, uint64_t *ret_bytes,
                 struct sh_err *err) {
    if (strcmp(path, "-") == 0) {
        return sh_client_download(c, from, STDOUT_FILENO, ret_bytes, err);
    }
    sh_auto(sh_free_p) char *temporary = sh_asprintf("%s.XXXXXX", path);
    sh_auto(sh_close_p) int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot write %s", path);
    }
    int rc = sh_client_download(c, from, fd, ret_bytes, err);
    if (rc == 0 && (fsync(fd) < 0 || rename(temporary, path) < 0)) {
        rc = sh_fail_errno(err, SH_E_IO, errno, "cannot write %s", path);
    }
    if (rc < 0) {
        unlink(temporary);
    }
    return rc;
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
    sh_auto(sh_free_p) char *path =
        sh_ask_task_path(&a, interpreter ? "/export?interpreter=1" : "/export");
    if (path && sh_ask_open(&a) == 0) {
        sh_auto(sh_free_p) char *name =
            out ? sh_strdup(out) : sh_asprintf("%s.tar", a.common.operands.v[0]);
        uint64_t bytes = 0;
        if (fetch(&a.client, path, name, &bytes, &a.err) == 0 && strcmp(name, "-") != 0) {
            fprintf(stderr, "%s: %llu bytes\n", name, (unsigned long long)bytes);
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
    sh_auto(sh_close_p) int archive = -1;
    uint64_t bytes = 0;
    json_t *task = NULL;
    if (sh_client_open(&a.client, &a.common, true, &a.err) == 0 &&
        sh_input_spool(a.common.operands.v[0], a.client.app.dir.path, SH_EXPORT_MAX, &archive,
                       &bytes, &a.err) == 0 &&
        sh_client_upload(&a.client, "/api/v1/tasks/import", SH_EXPORT_TYPE, archive, bytes, &task,
                         &a.err) == 0) {
        if (a.common.json) {
            sh_cli_print_json(task);
        } else {
            printf("%s\n", json_string_value(json_object_get(task, "task_id")));
        }
    }
    json_decref(task);
    return sh_ask_end(&a, 0);
}
