/* The two small things that the program asks the native library itself. Only main.c names this
 * file, so tests of the other files link without the library. */
#include "toml.h"
#include "version.h"

#include <native.h>

static int native_reader(struct sh_str text, json_t **ret, struct sh_err *err) {
    struct sh_native_reply *reply = sh_native_toml_to_json((const uint8_t *)text.p, text.len);
    struct sh_str bytes = sh_strn(reply->bytes, reply->len);
    int rc;
    if (reply->code != SH_NATIVE_OK) {
        rc = sh_fail(err, SH_E_INVAL, "not valid TOML: %.*s",
                     (int)(bytes.len < 300 ? bytes.len : 300), bytes.p);
    } else {
        rc = sh_json_parse(bytes, SH_JSON_TEXT_MAX, ret, err);
    }
    sh_native_reply_free(reply);
    return rc;
}

void sh_toml_use_native(void) {
    sh_toml_install(native_reader);
}

const char *sh_native_text(void) {
    return sh_native_version();
}
