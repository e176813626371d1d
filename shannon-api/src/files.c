#include "files.h"

#include "toml.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

int sh_input_read(const char *path, size_t max_bytes, struct sh_buf *out, struct sh_err *err) {
    sh_auto(sh_close_p) int own = -1;
    int fd = STDIN_FILENO;
    if (strcmp(path, "-") != 0) {
        fd = own = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0) {
            return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                                 "cannot read %s", path);
        }
    }
    size_t before = out->len;
    for (;;) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot read %s", path);
        }
        if (out->len - before + (size_t)n > max_bytes) {
            return sh_fail(err, SH_E_LIMIT, "%s is larger than %zu bytes", path, max_bytes);
        }
        sh_buf_add(out, chunk, (size_t)n);
        if (out->failed) {
            return sh_fail(err, SH_E_LIMIT, "%s is too large", path);
        }
    }
}

int sh_document_parse(struct sh_str text, const char *what, json_t **ret, struct sh_err *err) {
    size_t i = 0;
    while (i < text.len && strchr(" \t\r\n", text.p[i])) {
        i++;
    }
    struct sh_err inner = {0};
    json_t *doc = NULL;
    int rc = i < text.len && text.p[i] == '{' ? sh_json_parse(text, SH_DOCUMENT_MAX, &doc, &inner)
                                              : sh_toml_parse(text, &doc, &inner);
    if (rc < 0) {
        return sh_fail(err, inner.code, "%s: %s", what, inner.message);
    }
    if (!json_is_object(doc)) {
        json_decref(doc);
        return sh_fail(err, SH_E_INVAL, "%s: expected a table of keys and values", what);
    }
    *ret = doc;
    return 0;
}

int sh_document_read(const char *path, json_t **ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text;
    sh_buf_init(&text, SH_DOCUMENT_MAX + 1);
    int rc = sh_input_read(path, SH_DOCUMENT_MAX, &text, err);
    return rc < 0 ? rc : sh_document_parse(sh_buf_str(&text), path, ret, err);
}

char *sh_path_join(const char *a, const char *b) {
    return b[0] == '/' ? sh_strdup(b) : sh_asprintf("%s/%s", a, b);
}

char *sh_path_real(const char *path) {
    char real[PATH_MAX];
    size_t cut = strlen(path); /* before it: what is resolved */

    if (path[0] != '/' || cut >= PATH_MAX) {
        return NULL;
    }
    sh_auto(sh_free_p) char *head = sh_strdup(path);
    while (!realpath(cut ? head : "/", real)) {
        if (errno != ENOENT || !cut) {
            return NULL;
        }
        do {
            cut--;
        } while (cut && head[cut] != '/');
        head[cut] = 0;
    }
    return sh_asprintf("%s%s", strcmp(real, "/") == 0 && path[cut] ? "" : real, path + cut);
}
