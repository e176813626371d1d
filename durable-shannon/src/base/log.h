/* Logging for the edges: an event name and key=value fields on stderr. Libraries return errors. */
#ifndef SH_BASE_LOG_H
#define SH_BASE_LOG_H

#include "base/str.h"

enum sh_log_level { SH_LOG_ERROR, SH_LOG_WARN, SH_LOG_INFO, SH_LOG_DEBUG };

/* Lines above this level are dropped. Default SH_LOG_INFO; set before threads start. */
void sh_log_set_level(enum sh_log_level level);
int sh_log_level_parse(const char *name, enum sh_log_level *ret); /* error|warn|info|debug */

/* One line: time, level, event, then the fields, e.g. sh_log(SH_LOG_INFO, "listening",
 * "address=%s port=%d", ...). Values with spaces are the caller's to quote (SH_Q). Any thread. */
void sh_log(enum sh_log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Foreign text for a field: quoted, escaped, cut. SH_Q(s) gives a text that lives as long as the
 * block it stands in: sh_log(SH_LOG_WARN, "refused", "name=%s", SH_Q(name)). */
#define SH_LOG_QUOTE_MAX 256
#define SH_Q(s) sh_log_quote((char[SH_LOG_QUOTE_MAX]){0}, (s))
const char *sh_log_quote(char out[SH_LOG_QUOTE_MAX], struct sh_str s);

#endif
