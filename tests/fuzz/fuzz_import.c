/* The reader of exports on hostile archives. What it takes must hold what it promises: a chain from
 * the first event to the one that is signed. */
#include "engine/export.h"
#include "engine/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_import im = {0};
    struct sh_err err = {0};

    if (sh_import_read(sh_strn((const char *)data, size), &im, &err) < 0) {
        SH_ASSERT(err.code != 0 && err.message[0] != '\0' && !im.manifest);
        return 0;
    }
    SH_ASSERT(im.n_events > 0 && im.id.s[0] != '\0');
    for (size_t i = 0; i + 1 < im.n_events; i++) {
        SH_ASSERT(im.events[i + 1].seq == im.events[i].seq + 1);
    }
    sh_import_done(&im);
    return 0;
}
