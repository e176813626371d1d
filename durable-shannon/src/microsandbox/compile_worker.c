/* The compiler's side of compile.c: trusted code working on hostile bytes, so it gives up what it
 * does not need before it reads the first of them. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/confine.h"
#include "microsandbox/guest_lines.h"
#include "microsandbox/lines.h"

static int read_all(int fd, struct sh_buf *b) {
    for (;;) {
        char *p = sh_buf_room(b, 1 * SH_MIB);
        ssize_t n = p ? read(fd, p, 1 * SH_MIB) : -1;

        if (n == 0) {
            return 0;
        }
        if (n < 0 && (!p || errno != EINTR)) {
            return -1;
        }
        b->len += n > 0 ? (size_t)n : 0;
    }
}

static int write_all(int fd, const char *p, size_t n) {
    while (n) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno != EINTR) {
            return -1;
        }
        p += done > 0 ? done : 0;
        n -= done > 0 ? (size_t)done : 0;
    }
    return 0;
}

static int metered(struct sh_str given, struct sh_buf *ret, struct sh_buf *marks,
                   struct sh_err *err) {
    if (!sh_runtime_counts_bulk()) {
        return sh_guest_meter(given, sh_hostcalls_resolve, ret, marks, err);
    }
    sh_buf_add(ret, given.p, given.len);
    return ret->failed ? sh_fail(err, SH_E_NOMEM, "no memory for a module of %zu bytes", given.len)
                       : 0;
}

/* What file and line are found by, if anything. */
static int lines_write(struct sh_str given, const struct sh_buf *marks, int fd,
                       struct sh_err *err) {
    struct sh_buf record;
    int r = 0;

    sh_buf_init(&record, 2 * SH_MODULE_BYTES_MAX + SH_MIB);
    sh_lines_write(given, marks, &record);
    if (record.failed) {
        r = sh_fail(err, SH_E_NOMEM, "no memory for what the module says of its lines");
    } else if (record.len && write_all(fd, record.p, record.len) != 0) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot write what the module says of its lines");
    }
    sh_buf_done(&record);
    return r;
}

int sh_compile_here(wasm_engine_t *engine, struct sh_str given, int fd, int lines,
                    struct sh_err *err) {
    const uint8_t *p = (const uint8_t *)given.p;
    wasmtime_module_t *module = NULL;
    wasmtime_error_t *error;
    wasm_byte_vec_t artifact;
    struct sh_buf wasm, marks;
    int r;

    error = wasmtime_module_validate(engine, p, given.len); /* offsets are those of its author */
    if (error) {
        return sh_runtime_error(err, SH_E_MODULE, "the module is not valid", error);
    }
    sh_buf_init(&wasm, 2 * SH_MODULE_BYTES_MAX + SH_MIB);
    sh_buf_init(&marks, SH_MODULE_BYTES_MAX * 4);
    if ((r = metered(given, &wasm, &marks, err)) == 0) {
        r = lines < 0 ? 0 : lines_write(given, &marks, lines, err);
    }
    sh_buf_done(&marks);
    if (r < 0) {
        sh_buf_done(&wasm);
        return r;
    }
    error = wasmtime_module_new(engine, (const uint8_t *)wasm.p, wasm.len, &module);
    sh_buf_done(&wasm);
    if (error) {
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    error = wasmtime_module_serialize(module, &artifact);
    if (error) {
        wasmtime_module_delete(module);
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    if (write_all(fd, artifact.data, artifact.size) != 0) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot write the compiled module");
    }
    wasm_byte_vec_delete(&artifact);
    wasmtime_module_delete(module);
    return r;
}

static int compile(struct sh_str given, struct sh_err *err) {
    wasm_engine_t *engine = sh_runtime_engine(0, err);
    int r = engine ? sh_compile_here(engine, given, 3, 5, err) : -SH_E_INTERNAL;

    if (engine) {
        wasm_engine_delete(engine);
    }
    return r;
}

int sh_compile_worker_main(int argc, char **argv) {
    struct sh_err err = {0};
    struct sh_buf wasm;
    char text[600];
    int r;

    if (argc > 1 && strcmp(argv[argc - 1], "lines") == 0) {
        return sh_confine() == 0 ? sh_lines_worker_main() : 1;
    }
    sh_buf_init(&wasm, SH_MODULE_BYTES_MAX + 2 * SH_MIB);
    if (sh_confine() != 0 || read_all(0, &wasm) != 0) {
        r = sh_fail_errno(&err, SH_E_COMPILE, errno, "the compiler cannot confine itself or read");
    } else {
        r = compile(sh_buf_str(&wasm), &err);
    }
    sh_buf_done(&wasm);
    if (r == 0) {
        return 0;
    }
    (void)snprintf(text, sizeof(text), "%s\n%s", sh_code_info(err.code)->name, err.message);
    (void)write_all(4, text, strlen(text));
    return 1;
}
