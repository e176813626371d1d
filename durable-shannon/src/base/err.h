/* Errors: one table makes every code; one struct carries what happened and where. */
#ifndef SH_BASE_ERR_H
#define SH_BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* X(NAME, journal name, text, retryable, HTTP status, exit status)
 * The journal and the API store names, never numbers; numbers may change between releases. */
#define SH_ERROR_TABLE(X)                                                                          \
    X(INVAL, "invalid_argument", "the request is not valid", false, 400, 125)                      \
    X(JSON, "invalid_json", "the text is not valid JSON", false, 400, 125)                         \
    X(AUTH, "unauthorized", "no valid API key was given", false, 401, 125)                         \
    X(DENIED, "permission_denied", "the policy does not allow this", false, 403, 126)              \
    X(NOT_FOUND, "not_found", "there is no such thing", false, 404, 125)                           \
    X(METHOD, "method_not_allowed", "this does not take that method", false, 405, 125)             \
    X(EXISTS, "already_exists", "it exists already", false, 409, 125)                              \
    X(STATE, "invalid_state", "not possible in the current state", false, 409, 125)                \
    X(LIMIT, "limit_exceeded", "a limit was exceeded", false, 413, 124)                            \
    X(BUSY, "data_directory_in_use", "another process owns the data directory", true, 503, 125)    \
    X(RATE, "rate_limited", "too many requests", true, 429, 125)                                   \
    X(NOMEM, "out_of_memory", "the host is out of memory", true, 503, 125)                         \
    X(NOSPC, "no_space", "the disk is full", true, 507, 125)                                       \
    X(IO, "io_error", "input or output failed", true, 500, 125)                                    \
    X(CORRUPT, "corrupt", "stored data is damaged", false, 500, 125)                               \
    X(VERSION, "unsupported_version", "written by a newer version", false, 500, 125)               \
    X(UNSUPPORTED, "unsupported", "this is not supported", false, 501, 125)                        \
    X(UNAVAILABLE, "unavailable", "the service is not available", true, 503, 125)                  \
    X(INTERNAL, "internal_error", "an internal error", false, 500, 125)                            \
    X(MODULE, "invalid_module", "not a usable WebAssembly module", false, 400, 125)                \
    X(IMPORT, "unknown_import", "the module imports what no agent gets", false, 400, 125)          \
    X(COMPILE, "compile_failed", "the module could not be compiled", false, 400, 125)              \
    X(TRAP, "trap", "the agent trapped", false, 500, 134)                                          \
    X(STACK, "stack_overflow", "the agent used up its stack", false, 500, 134)                     \
    X(EXIT, "exit_status", "the agent exited with a status other than 0", false, 500, 1)           \
    X(FUEL, "fuel_exhausted", "the agent used up its fuel", false, 500, 124)                       \
    X(MEMORY, "memory_limit", "the agent asked for more memory than its limit", false, 500, 124)   \
    X(WALL_CLOCK, "wall_clock_limit", "the agent used up its time", false, 504, 124)               \
    X(DEADLINE, "deadline_exceeded", "the deadline passed", false, 504, 124)                       \
    X(OUTPUT, "output_limit", "the agent wrote more output than its limit", false, 500, 124)       \
    X(JOURNAL, "journal_limit", "the journal reached its size limit", false, 500, 124)             \
    X(ACTIVITIES, "activity_limit", "the agent started too many activities", false, 500, 124)      \
    X(BUDGET, "budget_exceeded", "the budget is used up", false, 500, 124)                         \
    X(CANCELED, "canceled", "canceled on request", false, 409, 125)                                \
    X(NONDETERMINISM, "nondeterminism", "a replay differs from its journal", false, 500, 125)      \
    X(INPUT_CHANGED, "input_changed", "a mapped file changed since it was read", false, 500, 125)  \
    X(UNKNOWN_TOOL, "unknown_tool", "there is no such tool", false, 404, 125)                      \
    X(TIMEOUT, "timeout", "it took too long", true, 504, 124)                                      \
    X(UPSTREAM, "upstream_error", "the remote service failed", true, 502, 125)                     \
    X(UPSTREAM_REJECTED, "upstream_rejected", "the remote service refused", false, 502, 125)       \
    X(OUTCOME_UNKNOWN, "outcome_unknown", "a crash hid the outcome", false, 500, 125)              \
    X(QUARANTINED, "quarantined", "the process died of it again and again", false, 500, 125)       \
    X(UNCONFIGURED, "not_configured", "the operator has not set this up", false, 503, 125)         \
    X(GONE, "gone", "it was there and is no longer kept", false, 410, 125)                         \
    X(FENCED, "fenced", "another process has taken over", false, 503, 125)

enum sh_code {
    SH_OK = 0,
#define SH_ERROR_ENUM(name, text, long_text, retry, http, exit) SH_E_##name,
    SH_ERROR_TABLE(SH_ERROR_ENUM)
#undef SH_ERROR_ENUM
        SH_E_COUNT
};

struct sh_code_info {
    const char *name; /* stable: journals and clients see it */
    const char *text;
    bool retryable;
    int http_status;
    int exit_status;
};

/* What went wrong, once, at its origin. All-zero means "nothing". */
struct sh_err {
    int code; /* enum sh_code */
    int line;
    const char *file;
    char message[480]; /* UTF-8, cut at a character; may quote hostile text, escaped */
};

/* Facts of a code; a number that is no code gives those of SH_E_INTERNAL. Accepts -code too. */
const struct sh_code_info *sh_code_info(int code);

/* The code whose journal name is `name`, or SH_E_INTERNAL. */
int sh_code_from_name(const char *name);

/* Record a failure at its origin and return -code. `err` may be NULL. */
#define sh_fail(err, code, ...) sh_fail_at((err), (code), __FILE__, __LINE__, __VA_ARGS__)
int sh_fail_at(struct sh_err *err, int code, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same with the text of errno value `errnum` appended; ENOSPC, EDQUOT and ENOMEM pick their own
 * code, all else is `code` (SH_E_DENIED is the policy's word, not the kernel's). */
#define sh_fail_errno(err, code, errnum, ...)                                                      \
    sh_fail_errno_at((err), (code), (errnum), __FILE__, __LINE__, __VA_ARGS__)
int sh_fail_errno_at(struct sh_err *err, int code, int errnum, const char *file, int line,
                     const char *format, ...) __attribute__((format(printf, 6, 7)));

/* Our own bugs only; stays on in release builds. Prints and aborts. */
#define SH_ASSERT(expr) ((expr) ? (void)0 : sh_assert_failed(#expr, __FILE__, __LINE__))
void sh_assert_failed(const char *expr, const char *file, int line) __attribute__((noreturn));

#endif
