/* Why a call did not return: Wasmtime's trap or error, as our code, a sentence and a backtrace.
 * The C API gives a frame's name and offset; the name in readable form is only in the text of the
 * message, so it is read from there (lines "   N: 0x.. - module!name"). File and line come later,
 * from lines.c. */
#include "microsandbox/runtime.h"

#include <stdio.h>

#define SAID SH_STR("the agent trapped: ")
#define FRAMES_MAX 64 /* a stack overflow has tens of thousands */

static const char *trap_name(wasmtime_trap_code_t code) {
    switch (code) {
    case WASMTIME_TRAP_CODE_STACK_OVERFLOW:
        return "stack overflow";
    case WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS:
        return "memory out of bounds";
    case WASMTIME_TRAP_CODE_HEAP_MISALIGNED:
        return "misaligned memory access";
    case WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS:
        return "table out of bounds";
    case WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL:
        return "indirect call to null";
    case WASMTIME_TRAP_CODE_BAD_SIGNATURE:
        return "indirect call type mismatch";
    case WASMTIME_TRAP_CODE_INTEGER_OVERFLOW:
        return "integer overflow";
    case WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO:
        return "integer division by zero";
    case WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER:
        return "invalid conversion to integer";
    case WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED:
        return "unreachable";
    case WASMTIME_TRAP_CODE_INTERRUPT:
        return "interrupt";
    case WASMTIME_TRAP_CODE_OUT_OF_FUEL:
        return "out of fuel";
    case WASMTIME_TRAP_CODE_NULL_REFERENCE:
        return "null reference";
    case WASMTIME_TRAP_CODE_ALLOCATION_TOO_LARGE:
        return "allocation too large";
    default:
        return "trap";
    }
}

/* The text of the frames, a line at a time. */
struct lines {
    const char *p, *end;
};

static bool next_line(struct lines *l, struct sh_str *ret) {
    const char *newline;

    if (l->p == l->end) {
        return false;
    }
    newline = memchr(l->p, '\n', (size_t)(l->end - l->p));
    *ret = sh_strn(l->p, (size_t)((newline ? newline : l->end) - l->p));
    l->p = newline ? newline + 1 : l->end;
    while (ret->len && *ret->p == ' ') {
        ret->p++;
        ret->len--;
    }
    return true;
}

static bool line_is_frame(struct sh_str line, size_t index) {
    char head[32];

    (void)snprintf(head, sizeof(head), "%zu: ", index);
    return sh_str_starts(line, sh_str(head));
}

/* The name in readable form that the text has for frame `index`: "module!function". */
static struct sh_str frame_text(struct lines *l, size_t index) {
    struct sh_str line;

    while (next_line(l, &line)) {
        if (line_is_frame(line, index)) {
            const char *mark = memmem(line.p, line.len, " - ", 3);
            const char *end = line.p + line.len;

            mark = mark ? memchr(mark, '!', (size_t)(end - mark)) : NULL;
            return mark ? sh_strn(mark + 1, (size_t)(end - mark - 1)) : (struct sh_str){NULL, 0};
        }
    }
    return (struct sh_str){NULL, 0};
}

static void add_frame(struct sh_buf *b, const wasm_frame_t *frame, struct sh_str readable) {
    const wasm_name_t *function = wasmtime_frame_func_name(frame);
    const wasm_name_t *module = wasmtime_frame_module_name(frame);
    size_t offset = wasm_frame_module_offset(frame);

    sh_buf_addf(b, "%s{\"index\":%u", b->len > 1 ? "," : "", wasm_frame_func_index(frame));
    if (function) {
        struct sh_str name = readable.len ? readable : sh_strn(function->data, function->size);

        sh_buf_adds(b, ",\"function\":");
        sh_json_escape(b, sh_strn(name.p, name.len < 512 ? name.len : 512));
    }
    if (module && module->size) {
        sh_buf_adds(b, ",\"module\":");
        sh_json_escape(b, sh_strn(module->data, module->size < 256 ? module->size : 256));
    }
    if (offset != SIZE_MAX) {
        sh_buf_addf(b, ",\"offset\":%zu", offset);
    }
    sh_buf_addc(b, '}');
}

/* The guest's frames are the first part. With RUST_BACKTRACE set the host's own follow, which are
 * nobody's business here and differ from machine to machine. */
static struct sh_str frames_part(struct sh_str text) {
    static const char *const ends[] = {"\n\nCaused by:", "\n\nStack backtrace:"};

    for (size_t i = 0; text.len && i < sizeof(ends) / sizeof(ends[0]); i++) {
        const char *end = memmem(text.p, text.len, ends[i], strlen(ends[i]));

        if (end) {
            text.len = (size_t)(end - text.p);
        }
    }
    return text;
}

static bool is_added(const wasm_frame_t *frame, uint32_t functions) {
    return wasm_frame_func_index(frame) >= functions;
}

static void add_frames(struct sh_buf *b, const wasm_frame_vec_t *frames, uint32_t functions,
                       struct sh_str text) {
    struct lines l;

    text = frames_part(text);
    l = (struct lines){text.p, text.len ? text.p + text.len : text.p};
    sh_buf_addc(b, '[');
    for (size_t i = 0; i < frames->size && i < FRAMES_MAX; i++) {
        struct sh_str readable = frame_text(&l, i);

        if (!is_added(frames->data[i], functions)) {
            add_frame(b, frames->data[i], readable);
        }
    }
    sh_buf_addc(b, ']');
}

/* The cause is what follows the backtrace ("Caused by:"), or all of it when there is none. */
static struct sh_str cause(struct sh_str text) {
    const char *p = text.len ? memmem(text.p, text.len, "Caused by:", 10) : NULL;
    struct sh_str line = text;
    struct lines l;

    if (p) {
        p += 10;
        text = sh_strn(p, (size_t)(text.p + text.len - p));
    }
    l = (struct lines){text.p, text.len ? text.p + text.len : text.p};
    while (next_line(&l, &line)) {
        if (line_is_frame(line, 0)) {
            line = sh_strn(line.p + 3, line.len - 3);
        }
        if (line.len && line.p[line.len - 1] == 0) {
            line.len--;
        }
        if (line.len) {
            break;
        }
    }
    return line;
}

static void say(struct sh_agent_end *end, const wasm_frame_vec_t *frames, uint32_t functions,
                struct sh_str text) {
    size_t first = frames->size > 1 && is_added(frames->data[0], functions) ? 1 : 0;
    const wasm_name_t *name = frames->size ? wasmtime_frame_func_name(frames->data[first]) : NULL;
    struct sh_str why = end->trap  ? sh_str(end->trap)
                        : text.len ? cause(text)
                                   : SH_STR("an error at great depth");
    struct sh_buf b;

    sh_buf_init(&b, 4096);
    sh_buf_addf(&b, "the agent trapped: %.*s", (int)(why.len < 300 ? why.len : 300),
                why.len ? why.p : "");
    if (name) {
        sh_buf_addf(&b, " in function \"%.*s\"", (int)(name->size < 128 ? name->size : 128),
                    name->data);
    }
    (void)snprintf(end->message, sizeof(end->message), "%s", b.p ? b.p : "the agent trapped");
    sh_buf_done(&b);
}

void sh_trap_say_where(struct sh_agent_end *end) {
    size_t used = strlen(end->message);
    sh_auto(sh_json_done) json_t *frames = NULL;
    const json_t *first;
    struct sh_str file;

    if (!used || end->message[used - 1] != '"' || !sh_str_starts(sh_str(end->message), SAID) ||
        sh_json_parse(end->backtrace, SH_MIB, &frames, NULL) < 0) {
        return;
    }
    first = json_array_get(frames, 0);
    file = sh_json_get_str(first, "file");
    if (file.len) {
        (void)snprintf(end->message + used, sizeof(end->message) - used, " at %.*s:%lld",
                       (int)file.len, file.p, (long long)sh_json_get_int(first, "line", 0));
    }
}

void sh_trap_read(struct sh_agent_end *end, struct sh_buf *text, uint32_t functions,
                  wasm_trap_t *trap, wasmtime_error_t *error) {
    wasm_frame_vec_t frames = {0};
    wasm_byte_vec_t message = {0};
    wasmtime_trap_code_t code = 0;

    if (end) {
        end->code = SH_E_TRAP;
        if (trap) {
            wasm_trap_trace(trap, &frames);
            if (frames.size <= FRAMES_MAX) { /* the text of a stack overflow may have gigabytes */
                wasm_trap_message(trap, &message);
            }
            if (wasmtime_trap_code(trap, &code)) {
                end->trap = trap_name(code);
                end->code = code == WASMTIME_TRAP_CODE_OUT_OF_FUEL      ? SH_E_FUEL
                            : code == WASMTIME_TRAP_CODE_STACK_OVERFLOW ? SH_E_STACK
                                                                        : SH_E_TRAP;
            }
        } else if (error) {
            wasmtime_error_wasm_trace(error, &frames);
            if (frames.size <= FRAMES_MAX) {
                wasmtime_error_message(error, &message);
            }
        }
        sh_buf_clear(text);
        add_frames(text, &frames, functions, sh_strn(message.data, message.size));
        end->backtrace = text->failed ? SH_STR("[]") : sh_buf_str(text);
        say(end, &frames, functions, sh_strn(message.data, message.size));
        wasm_frame_vec_delete(&frames);
        wasm_byte_vec_delete(&message);
    }
    if (trap) {
        wasm_trap_delete(trap);
    }
    if (error) {
        wasmtime_error_delete(error);
    }
}
