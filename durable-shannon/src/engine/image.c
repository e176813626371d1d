/* Which scripts the interpreter's image may run. The image is the interpreter as it was after its
 * start, with the memory it then had (scripts/python-image), and so with what it had read by then:
 * no variables, "/" and "/dev" as the only preopened directories (and so no rule of tcp), no
 * option, a program name without a folder. A script that is to meet anything else there runs under
 * the interpreter itself. What was chosen is frozen in WorkflowStarted by its hash. */
#include "engine/private.h"

static bool ends_in_py(const char *name) {
    size_t n = strlen(name);

    return n > 3 && strcmp(name + n - 3, ".py") == 0;
}

bool sh_image_fits(const struct sh_engine *e, const struct sh_capabilities *effective,
                   const char *argv0, const char *script_name) {
    return e->config.python_image && effective->n_mounts == 0 &&
           !sh_capabilities_scheme(effective, "tcp") && json_object_size(effective->env) == 0 &&
           (!argv0 || (*argv0 && !strchr(argv0, '/'))) &&
           ends_in_py(script_name); /* pyvenv.cfg would be read by the start */
}
