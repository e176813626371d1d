/* TOML, through the native library; programs without it (tests) refuse TOML and read JSON. */
#ifndef SH_API_TOML_H
#define SH_API_TOML_H

#include "base/base.h"

/* gives  a reference to an object      fails  SH_E_INVAL with line and column; SH_E_UNSUPPORTED
 * when no reader was installed */
int sh_toml_parse(struct sh_str text, json_t **ret, struct sh_err *err);

/* Install the native library's reader (native_bridge.c); main does, before anything is read. */
void sh_toml_use_native(void);

typedef int (*sh_toml_fn)(struct sh_str text, json_t **ret, struct sh_err *err);
void sh_toml_install(sh_toml_fn reader);

#endif
