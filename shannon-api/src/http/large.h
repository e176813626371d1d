/* Submissions whose input is too large to become values: it is cut out of the body by a pool thread
 * and stays text. */
#ifndef SH_API_LARGE_H
#define SH_API_LARGE_H

#include "http/request.h"

/* The body's member "input", where it has more than SH_INPUT_MAX bytes, into r->input_text; null is
 * left in its place. r->digest is that of the whole body. Small bodies are left as they are.
 * gives  `then` once: at once, or in a later turn of the loop; with err when the body is no JSON
 * needs  r lives until it is answered, and `then` answers it */
void sh_request_cut(struct sh_request *r,
                    void (*then)(struct sh_request *r, const struct sh_err *err));

#endif
