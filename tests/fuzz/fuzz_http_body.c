/* Bodies and query strings of the API: any bytes. The first byte picks the reader. */
#include "http/request.h"
#include "http/submit_body.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_err err = {0};
    if (size == 0) {
        return 0;
    }
    struct sh_str rest = sh_strn(data + 1, size - 1);
    if (data[0] & 1) {
        struct sh_request *r = sh_request_new(NULL, "GET", "/");
        if (sh_request_query(r, rest, &err) == 0) {
            uint64_t v = 0;
            sh_request_number(r, "limit", 20, 1, 100, &v, &err);
        }
        sh_request_free(r);
    } else {
        struct sh_submit_body body = {0};
        if (sh_submit_body_parse(rest, false, &body, &err) == 0) {
            SH_ASSERT(body.query && body.input && body.metadata);
            sh_submit_body_done(&body);
        } else {
            SH_ASSERT(err.code && err.message[0]);
        }
    }
    return 0;
}
