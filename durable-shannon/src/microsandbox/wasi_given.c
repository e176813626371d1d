/* /dev/output: what is written to it is the task's result, given when it is closed. One at a time
 * is open, so that an agent holds one result and not a thousand. */
#include "base/base.h"
#include "microsandbox/wasi_impl.h"

int sh_wasi_given_open(struct sh_wasi *w) {
    if (w->g->result_given) {
        return E_EXIST;
    }
    if (w->giving) {
        return E_BUSY;
    }
    w->giving = true;
    sh_buf_init(&w->given, SH_PAYLOAD_MAX + 1);
    return E_OK;
}

int sh_wasi_given_write(struct sh_wasi *w, size_t n_iov, uint32_t *ret) {
    size_t before = w->given.len;

    for (size_t i = 0; i < n_iov; i++) {
        if (w->iov[i].iov_len > SH_PAYLOAD_MAX - w->given.len) {
            w->given.len = before;
            return E_FBIG;
        }
        sh_buf_add(&w->given, w->iov[i].iov_base, w->iov[i].iov_len);
    }
    if (w->given.failed) {
        return sh_guest_end(w->g, SH_E_NOMEM, "no memory for a result of %zu bytes", w->given.len);
    }
    *ret = (uint32_t)(w->given.len - before);
    return E_OK;
}

int sh_wasi_given_close(struct sh_wasi *w) {
    int rc = w->given.len > 0 ? sh_guest_give_now(w->g, &w->given) : 0;

    w->giving = false;
    sh_buf_done(&w->given);
    return rc == SH_CALL_END ? rc : -rc;
}
