/* A checker for the part of JSON Schema that our own schemas use: type, enum, properties, required,
 * additionalProperties false, minProperties, maxProperties, items, minItems, maxItems, minimum,
 * maximum, minLength, maxLength (in characters). The schemas are ours and trusted; values are not.
 */
#ifndef SH_TOOLS_SCHEMA_H
#define SH_TOOLS_SCHEMA_H

#include "base/base.h"

/* `path` names the value in messages, e.g. "args". fails SH_E_INVAL */
int sh_schema_check(const json_t *schema, const json_t *value, const char *path,
                    struct sh_err *err);
/* Asserts that a schema uses nothing but the words above: at start, so that none is ignored. */
void sh_schema_assert_known(const json_t *schema);

#endif
