/* Reading an API key. It becomes part of a header line, so it must be one word of printable ASCII;
 * that also keeps a line break in a file from adding a header. */
#include "tools/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void sh_secret_done(struct sh_secret *s) {
    if (s && s->p) {
        explicit_bzero(s->p, s->len);
        sh_free(s->p);
        *s = (struct sh_secret){0};
    }
}

static int take(struct sh_str text, const char *kind, const char *source, struct sh_secret *ret,
                struct sh_err *err) {
    while (text.len && strchr(" \t\r\n", text.p[text.len - 1]) && text.p[text.len - 1]) {
        text.len--; /* files end with a line break */
    }
    if (text.len == 0 || text.len > SH_SECRET_MAX) {
        return sh_fail(err, SH_E_INVAL, "the API key in %s %s: expected 1 to %d bytes, not %zu",
                       kind, source, SH_SECRET_MAX, text.len);
    }
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] <= 0x20 || text.p[i] == 0x7f) {
            return sh_fail(err, SH_E_INVAL,
                           "the API key in %s %s: expected printable ASCII without spaces; byte "
                           "%zu is something else",
                           kind, source, i + 1);
        }
    }
    *ret = (struct sh_secret){sh_strndup0(text.p, text.len), text.len};
    return 0;
}

/* Non-blocking and regular files only: a FIFO must not stop the loop. */
static int read_file(const char *path, struct sh_secret *ret, struct sh_err *err) {
    char bytes[SH_SECRET_MAX + 3]; /* one too many shows; room for a line break */
    struct stat st;
    sh_auto(sh_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return sh_fail(err, SH_E_INVAL,
                       "cannot read the API key file %s (%s); see [llm] "
                       "api_key_file",
                       path, strerror(errno));
    }
    if (!S_ISREG(st.st_mode)) {
        return sh_fail(err, SH_E_INVAL, "the API key file %s is not a regular file", path);
    }
    ssize_t n = read(fd, bytes, sizeof(bytes));
    if (n < 0) {
        return sh_fail(err, SH_E_INVAL, "cannot read the API key file %s (%s)", path,
                       strerror(errno));
    }
    int r = take(sh_strn(bytes, (size_t)n), "file", path, ret, err);
    explicit_bzero(bytes, sizeof(bytes));
    return r;
}

int sh_secret_read(const char *env, const char *file, struct sh_secret *ret, struct sh_err *err) {
    const char *value = env ? getenv(env) : NULL;
    *ret = (struct sh_secret){0};
    if (value && value[0]) {
        return take(sh_str(value), "variable", env, ret, err);
    }
    return file ? read_file(file, ret, err) : 0;
}

void sh_secret_redact(const struct sh_secret *s, struct sh_str text, struct sh_buf *out) {
    for (size_t i = 0; i < text.len && !out->failed;) {
        if (s->len && sh_str_starts(sh_strn(text.p + i, text.len - i), sh_strn(s->p, s->len))) {
            sh_buf_adds(out, "***");
            i += s->len;
        } else {
            sh_buf_addc(out, text.p[i++]);
        }
    }
}

bool sh_secret_in(const struct sh_secret *s, struct sh_str text) {
    return s->len && text.len && memmem(text.p, text.len, s->p, s->len) != NULL;
}

json_t *sh_secret_clean(const struct sh_secret *s, json_t *owned) {
    json_t *clean = NULL;
    if (s->len == 0) {
        return owned;
    }
    sh_auto(sh_free_p) char *text = sh_json_text(owned);
    if (!sh_secret_in(s, sh_str(text))) {
        return owned;
    }
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    sh_buf_init(&out, strlen(text) * 3 + 1);
    sh_secret_redact(s, sh_str(text), &out);
    json_decref(owned);
    return sh_json_parse(sh_buf_str(&out), out.len + 1, &clean, NULL) == 0 ? clean : json_object();
}
