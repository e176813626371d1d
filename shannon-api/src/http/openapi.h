/* What the server offers, as OpenAPI 3.1 (GET /openapi.json). */
#ifndef SH_API_OPENAPI_H
#define SH_API_OPENAPI_H

#include "base/base.h"

/* The document; a new reference. Who needs which key comes from the routes themselves. */
json_t *sh_openapi_json(void);

/* openapi_schemas.c: "name!=TYPE other=TYPE ..." as {type: object, properties, required}; the mark
 * says that it is always there. TYPE: s (text; s60: at most so many characters), i (whole number;
 * i1..100: its range), n (number), b, any, object, time, status (of a task), [TYPE], @SCHEMA.
 * needs  text of ours: what is not in this form is a bug */
json_t *sh_openapi_object(const char *fields);
/* One type of the above. */
json_t *sh_openapi_type(struct sh_str type);
/* components.schemas */
json_t *sh_openapi_schemas(void);

#endif
