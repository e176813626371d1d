/* Two engines on one store, as two processes would be that both believe to own it. For the twin and
 * for the real store. */
#ifndef SH_TESTS_ENGINE_OWNER_CASE_H
#define SH_TESTS_ENGINE_OWNER_CASE_H

#include "engine_fixture.h"

/* A second engine takes over what the first carries; the first is refused, tells nothing and stops;
 * the second brings the task to its end. waits: a program that waits for the signal `go` and ends.
 * needs  f open; it is the second's afterwards. gives  the task's id */
char *engine_owner_case(struct fixture *f, const char *waits);

#endif
