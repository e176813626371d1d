/* The reader of exports on hostile archives. What it takes must hold what it promises: a chain from
 * the first event to the one that is signed. */
#include <sys/mman.h>
#include <unistd.h>

#include "engine/export.h"
#include "engine/private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int follow(void *arg, const struct sh_event_record *ev, struct sh_err *err) {
    uint64_t *last = arg;

    (void)err;
    SH_ASSERT(*last == 0 || ev->seq == *last + 1);
    *last = ev->seq;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct sh_import im = {0};
    struct sh_err err = {0};
    uint64_t last = 0;
    sh_auto(sh_close_p) int fd = memfd_create("archive", MFD_CLOEXEC);

    SH_ASSERT(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (sh_import_read(fd, follow, &last, &im, &err) < 0) {
        SH_ASSERT(err.code != 0 && err.message[0] != '\0' && !im.manifest);
        return 0;
    }
    SH_ASSERT(im.n_events > 0 && im.last == last && im.id.s[0] != '\0');
    sh_import_done(&im);
    return 0;
}
