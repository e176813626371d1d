/* Time zones of the IANA database, read from the TZif files that the system keeps (RFC 8536). libc
 * would read them too, but only one for the whole process. */
#ifndef SH_ENGINE_ZONE_H
#define SH_ENGINE_ZONE_H

#include "base/base.h"

struct sh_zone;

/* name: "Europe/Berlin", "UTC". Blocks on a small file: pool threads only.
 * fails  SH_E_INVAL, SH_E_NOT_FOUND, SH_E_CORRUPT */
int sh_zone_load(struct sh_str name, struct sh_zone **ret, struct sh_err *err);
/* The same from bytes, for the fuzzer and for tests. */
int sh_zone_parse(struct sh_str bytes, struct sh_zone **ret, struct sh_err *err);
struct sh_zone *sh_zone_free(struct sh_zone *z);
/* Seconds east of UTC at that time (seconds since 1970). */
int64_t sh_zone_offset(const struct sh_zone *z, int64_t utc_s);
/* When clocks there show `local_s` (counted as if it were UTC). Shown twice: the first time. Never
 * shown, because clocks jump over it: the moment of the jump. */
int64_t sh_zone_utc(const struct sh_zone *z, int64_t local_s);

#endif
