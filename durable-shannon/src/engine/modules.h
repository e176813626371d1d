/* Modules on disk (data_dir/modules/HASH) and loaded ones by hash. */
#ifndef SH_ENGINE_MODULES_H
#define SH_ENGINE_MODULES_H

#include "engine/engine.h"

struct sh_module_cache {
    struct sh_list loaded; /* private to modules.c */
    struct sh_interpreter {
        struct sh_hash hash; /* once known */
        bool known;
    } python, python_image;
    struct sh_hash python_module; /* of what scripts import: pysdk.h */
    bool python_module_known;
};
void sh_module_cache_done(struct sh_module_cache *c);

/* Load the module of that hash, once; later calls answer in the same way but sooner. cb on the
 * loop, later; borrowed. */
typedef void (*sh_module_ready_fn)(void *arg, struct sh_module *m, const struct sh_err *err);
void sh_modules_load(struct sh_engine *e, const struct sh_hash *hash, sh_module_ready_fn cb,
                     void *arg);
/* The interpreter, or its image, stored under its hash like any module. */
void sh_modules_python(struct sh_engine *e, bool image, sh_module_ready_fn cb, void *arg);
/* May the interpreter's image run this script? Else the interpreter itself has to. argv0 NULL: our
 * own name for it. */
bool sh_image_fits(const struct sh_engine *e, const struct sh_capabilities *effective,
                   const char *argv0, const char *script_name);
/* The record of an agent by its name or module hash: cb as engine.h's; SH_E_NOT_FOUND. */
void sh_modules_find(struct sh_engine *e, struct sh_str name_or_hash, sh_engine_json_fn cb,
                     void *arg);
/* Is this source text of a script rather than a module? */
bool sh_module_is_script(struct sh_str bytes);
char *sh_modules_path(const struct sh_engine *e, const struct sh_hash *hash);
/* Whole file, at most max bytes. Blocks: pool threads. */
int sh_file_read(const char *path, size_t max, struct sh_buf *ret, struct sh_err *err);
/* Atomic: a temporary name, then the real one. Blocks. Durable as well (fsync of the file and of
 * its folder) where the file must outlive this process: what a restart makes again need not be. */
int sh_file_write(const char *path, struct sh_str bytes, unsigned mode, struct sh_err *err);
int sh_file_write_durable(const char *path, struct sh_str bytes, unsigned mode, struct sh_err *err);
/* The same with n bytes of another file, from `at` on, which need not fit memory. */
int sh_file_copy_durable(const char *path, int from, uint64_t at, uint64_t n, unsigned mode,
                         struct sh_err *err);

#endif
