/* The compiler's side of compile.c: trusted code working on hostile bytes, so it gives up what it
 * does not need before it reads the first of them. */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "microsandbox/confine.h"
#include "microsandbox/runtime.h"

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

static int compile(struct sh_str wasm, struct sh_err *err) {
    wasm_engine_t *engine = sh_runtime_engine(0, err);
    const uint8_t *p = (const uint8_t *)wasm.p;
    wasmtime_module_t *module = NULL;
    wasmtime_error_t *error;
    wasm_byte_vec_t artifact;
    int r = 0;

    if (!engine) {
        return -SH_E_INTERNAL;
    }
    error = wasmtime_module_validate(engine, p, wasm.len);
    if (error) {
        return sh_runtime_error(err, SH_E_MODULE, "the module is not valid", error);
    }
    error = wasmtime_module_new(engine, p, wasm.len, &module);
    if (error) {
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    error = wasmtime_module_serialize(module, &artifact);
    if (error) {
        return sh_runtime_error(err, SH_E_COMPILE, "the module could not be compiled", error);
    }
    if (write_all(3, artifact.data, artifact.size) != 0) {
        r = sh_fail_errno(err, SH_E_IO, errno, "cannot write the compiled module");
    }
    wasm_byte_vec_delete(&artifact);
    wasmtime_module_delete(module);
    wasm_engine_delete(engine);
    return r;
}

int sh_compile_worker_main(int argc, char **argv) {
    struct sh_err err = {0};
    struct sh_buf wasm;
    char text[600];
    int r;

    (void)argc;
    (void)argv;
    sh_buf_init(&wasm, SH_MODULE_BYTES_MAX + 2 * SH_MIB);
    if (sh_compile_confine() != 0 || read_all(0, &wasm) != 0) {
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
