/* A checker for JSON Schemas that others wrote: an agent's for a model's answer, an MCP server's
 * for its arguments. Schema and value are both hostile: work and depth are bounded, and a word of a
 * wrong type counts as absent. Words (JSON Schema 2020-12): type, enum, const, properties,
 * required, additionalProperties, min/maxProperties, items, prefixItems, min/maxItems, uniqueItems,
 * minimum, maximum, exclusiveMinimum, exclusiveMaximum, min/maxLength, anyOf, oneOf, allOf, not,
 * and $ref within the document. Others (pattern, format, if ...) are not looked at. */
#ifndef SH_TOOLS_FOREIGN_SCHEMA_H
#define SH_TOOLS_FOREIGN_SCHEMA_H

#include "base/base.h"

/* fails  SH_E_INVAL: the first difference, by path;  SH_E_LIMIT: more work than is given to it */
int sh_foreign_schema_check(const json_t *schema, const json_t *value, const char *path,
                            struct sh_err *err);

#endif
