#include "cli/agent_file.h"

#include "files.h"
#include "microsandbox/microsandbox.h"

#include <unistd.h>

static bool ends(const char *s, const char *suffix) {
    size_t n = strlen(s), m = strlen(suffix);
    return n > m && strcmp(s + n - m, suffix) == 0;
}

bool sh_agent_file_named(const char *operand) {
    return strchr(operand, '/') || ends(operand, ".wasm") || ends(operand, ".wat") ||
           ends(operand, ".py") || access(operand, F_OK) == 0;
}

static bool is_binary(const struct sh_buf *b) {
    return b->len >= 4 && memcmp(b->p, "\0asm", 4) == 0;
}

/* What the first bytes are, for the message. */
static int not_wasm(const char *path, const struct sh_buf *b, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf hex = {0};
    sh_buf_init(&hex, 64);
    sh_hex_encode(&hex, b->p, b->len < 4 ? b->len : 4);
    return sh_fail(
        err, SH_E_MODULE,
        "%s is not a WebAssembly module: it begins with %s, expected 0061736d (\\0asm)%s", path,
        b->len ? hex.p : "nothing (it is empty)",
        ends(path, ".wasm") ? "" : "; agents are .wasm, .wat or .py files");
}

int sh_agent_file_read(const char *path, struct sh_buf *out, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    int rc = sh_input_read(path, SH_MODULE_BYTES_MAX, &bytes, err);
    if (rc < 0) {
        return rc;
    }
    if (ends(path, ".wat") && !is_binary(&bytes)) {
        struct sh_err inner = {0};
        rc = sh_module_from_text(sh_buf_str(&bytes), out, &inner);
        return rc < 0 ? sh_fail(err, inner.code, "%s: %s", path, inner.message) : 0;
    }
    if (!ends(path, ".py") && !is_binary(&bytes)) {
        return not_wasm(path, &bytes, err);
    }
    if (ends(path, ".py") && (bytes.len == 0 || !sh_utf8_valid(sh_buf_str(&bytes)))) {
        return sh_fail(err, SH_E_INVAL, "%s: expected a Python script in UTF-8, but %s", path,
                       bytes.len ? "it is not UTF-8" : "it is empty");
    }
    sh_buf_add(out, bytes.p, bytes.len);
    return out->failed ? sh_fail(err, SH_E_LIMIT, "%s is too large", path) : 0;
}
