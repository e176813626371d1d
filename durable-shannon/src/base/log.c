/* Log lines: formatted on the stack, written with one write(2), so that threads do not mix them and
 * a full disk or a closed stderr never stops the program. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/time.h"
#include "base/utf8.h"

enum { LINE_MAX_BYTES = 4096 };

static const char *const level_names[] = {"error", "warn", "info", "debug"};
static enum sh_log_level threshold = SH_LOG_INFO;

void sh_log_set_level(enum sh_log_level level) {
    threshold = level;
}

int sh_log_level_parse(const char *name, enum sh_log_level *ret) {
    for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *ret = (enum sh_log_level)i;
            return 0;
        }
    }
    return -SH_E_INVAL;
}

const char *sh_log_quote(char out[SH_LOG_QUOTE_MAX], struct sh_str s) {
    static const char cut_mark[] = "\"...";
    bool cut = false;
    out[0] = '"';
    size_t n = sh_utf8_escape(out + 1, SH_LOG_QUOTE_MAX - sizeof(cut_mark), s.p, s.len, true, &cut);
    memcpy(out + 1 + n, cut ? cut_mark : "\"", cut ? sizeof(cut_mark) : 2);
    return out;
}

void sh_log(enum sh_log_level level, const char *event, const char *format, ...) {
    if (level > threshold) {
        return;
    }
    char fields[LINE_MAX_BYTES / 2];
    char line[LINE_MAX_BYTES];
    char when[SH_TIME_TEXT];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(fields, sizeof(fields), format, args);
    va_end(args);
    size_t length = n < 0 ? 0 : (size_t)n < sizeof(fields) ? (size_t)n : sizeof(fields) - 1;
    sh_time_format(sh_wall_us(), when);
    int head = snprintf(line, sizeof(line), "%s %-5s %.200s%s", when, level_names[level], event,
                        length ? " " : "");
    SH_ASSERT(head > 0 && (size_t)head < sizeof(line));
    size_t used = (size_t)head;
    bool cut = false; /* one record is one line, whatever the fields held */
    used += sh_utf8_escape(line + used, sizeof(line) - used - 1, fields, length, false, &cut);
    line[used++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, used);
    (void)written;
}
