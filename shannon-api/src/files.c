#include "files.h"

#include "toml.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* "-" is standard input, which stays open: *ret_own is -1 then. To open a FIFO must not wait for
 * somebody who writes to it: no signal would end that. gives  the descriptor */
static int input_open(const char *path, int *ret_own, struct sh_err *err) {
    *ret_own = -1;
    if (strcmp(path, "-") == 0) {
        return STDIN_FILENO;
    }
    *ret_own = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    return *ret_own >= 0 ? *ret_own
                         : sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                                         "cannot read %s", path);
}

static bool is_fifo(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode);
}

/* Give what is read to `take`, which ends it by failing, until nothing more comes. */
static int input_each(const char *path,
                      int (*take)(void *arg, struct sh_str bytes, struct sh_err *), void *arg,
                      struct sh_err *err) {
    sh_auto(sh_close_p) int own = -1;
    int fd = input_open(path, &own, err), rc = fd < 0 ? fd : 0;
    bool begun = own < 0 || !is_fifo(own);
    while (rc == 0) {
        char chunk[16384];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        if (n == 0) {
            return begun ? 0
                         : sh_fail(err, SH_E_IO,
                                   "cannot read %s: it is a FIFO, and nobody writes to it", path);
        }
        if (n > 0) {
            begun = true;
            rc = take(arg, sh_strn(chunk, (size_t)n), err);
        } else if (errno == EAGAIN && own >= 0) { /* somebody will write */
            (void)fcntl(own, F_SETFL, fcntl(own, F_GETFL) & ~O_NONBLOCK);
        } else if (errno != EINTR) {
            rc = sh_fail_errno(err, SH_E_IO, errno, "cannot read %s", path);
        }
    }
    return rc;
}

struct input {
    const char *path;
    uint64_t bytes, max_bytes;
    struct sh_buf *out;
    int file;
};

static int count(struct input *in, size_t n, struct sh_err *err) {
    in->bytes += n;
    return in->bytes <= in->max_bytes ? 0
                                      : sh_fail(err, SH_E_LIMIT, "%s is larger than %llu bytes",
                                                in->path, (unsigned long long)in->max_bytes);
}

static int take_text(void *arg, struct sh_str bytes, struct sh_err *err) {
    struct input *in = arg;
    int rc = count(in, bytes.len, err);
    if (rc == 0) {
        sh_buf_add(in->out, bytes.p, bytes.len);
        rc = in->out->failed ? sh_fail(err, SH_E_LIMIT, "%s is too large", in->path) : 0;
    }
    return rc;
}

int sh_input_read(const char *path, size_t max_bytes, struct sh_buf *out, struct sh_err *err) {
    struct input in = {.path = path, .max_bytes = max_bytes, .out = out};
    return input_each(path, take_text, &in, err);
}

static int take_piece(void *arg, struct sh_str bytes, struct sh_err *err) {
    struct input *in = arg;
    int rc = count(in, bytes.len, err);
    return rc < 0 ? rc : sh_spool_write(in->file, bytes.p, bytes.len, err);
}

int sh_input_spool(const char *path, const char *dir, uint64_t max_bytes, int *ret,
                   uint64_t *ret_bytes, struct sh_err *err) {
    struct input in = {.path = path, .max_bytes = max_bytes};
    sh_auto(sh_close_p) int fd = sh_spool_open(dir, err);
    int rc = fd < 0 ? fd : 0;
    in.file = fd;
    rc = rc < 0 ? rc : input_each(path, take_piece, &in, err);
    if (rc == 0) {
        *ret = fd;
        *ret_bytes = in.bytes;
        fd = -1;
    }
    return rc;
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
    sh_auto(sh_buf_done) struct sh_buf text = {0};
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
