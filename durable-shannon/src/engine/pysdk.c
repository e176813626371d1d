/* The module that scripts import. Whether it is put beside a script depends on what the journal
 * froze alone: the hash of the module and the bytes of the script. So a script that does not use it
 * finds its directory empty, and journals from before there was a module replay without one. */
#include "engine/pysdk.h"

#include <unistd.h>

#include "engine/private.h"

#define NAME "shannon"

int sh_pysdk_keep(const struct sh_engine *e, struct sh_hash *ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    int r;

    if (!e->config.python_module) {
        return 0;
    }
    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    if ((r = sh_file_read(e->config.python_module, SH_MODULE_BYTES_MAX, &bytes, err)) < 0) {
        return r;
    }
    sh_sha256(bytes.p, bytes.len, ret);
    sh_auto(sh_free_p) char *path = sh_modules_path(e, ret);
    if (access(path, R_OK) == 0) {
        return 1;
    }
    r = e->config.observe ? sh_file_write_durable(path, sh_buf_str(&bytes), 0400, err)
                          : sh_file_write(path, sh_buf_str(&bytes), 0400, err);
    return r < 0 ? r : 1;
}

bool sh_pysdk_wanted(struct sh_str script) {
    const char *p = script.p, *end = script.p + script.len;

    while (script.len && (p = memmem(p, (size_t)(end - p), NAME, strlen(NAME)))) {
        if (p == script.p || p[-1] != '/') {
            return true;
        }
        p += strlen(NAME);
    }
    return false;
}

/* A .pyc begins with two bytes of CPython's version, CR and LF, then flags, of which 0 to 3 are
 * known (PEP 552). A source has no NUL. */
const char *sh_pysdk_name(struct sh_str bytes) {
    bool compiled = bytes.len >= 16 && bytes.p[2] == '\r' && bytes.p[3] == '\n' && !bytes.p[5] &&
                    !bytes.p[6] && !bytes.p[7];

    return compiled ? NAME ".pyc" : NAME ".py";
}

int sh_pysdk_place(const struct sh_engine *e, const struct sh_spec *spec, struct sh_str script,
                   const char *workspace, struct sh_err *err) {
    sh_auto(sh_free_p) char *from = sh_modules_path(e, &spec->python_module);
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    struct sh_hash actual;
    int r;

    sh_buf_init(&bytes, SH_MODULE_BYTES_MAX + 1);
    if (!spec->has_python_module || strcmp(spec->script_name, NAME ".py") == 0 ||
        !sh_pysdk_wanted(script)) {
        return 0;
    }
    if ((r = sh_file_read(from, SH_MODULE_BYTES_MAX, &bytes, err)) < 0) {
        return r;
    }
    sh_sha256(bytes.p, bytes.len, &actual);
    if (!sh_hash_eq(&actual, &spec->python_module)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "%s is not the module " NAME " that the script began with: its bytes do not "
                       "have the hash that is its name; put the original back",
                       from);
    }
    sh_auto(sh_free_p) char *to =
        sh_asprintf("%s/%s", workspace, sh_pysdk_name(sh_buf_str(&bytes)));
    return sh_file_write(to, sh_buf_str(&bytes), 0644, err);
}
