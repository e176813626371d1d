#include "toml.h"

static sh_toml_fn installed;

void sh_toml_install(sh_toml_fn reader) {
    installed = reader;
}

int sh_toml_parse(struct sh_str text, json_t **ret, struct sh_err *err) {
    if (!installed) {
        return sh_fail(err, SH_E_UNSUPPORTED,
                       "this program reads JSON only; begin the file with {");
    }
    return installed(text, ret, err);
}
