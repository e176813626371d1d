/* Texts of models: JSON in fences and prose, lists with bullets, ratings in words. What a model was
 * asked for and what it gives are two things; each reader here takes the form it hoped for, then
 * whatever comes close, and at last says that there is nothing. */
#include "agent.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

char *agent_shorten(char *text, size_t n) {
    if (strlen(text) > n) {
        while (n > 0 && ((unsigned char)text[n] & 0xC0) == 0x80) {
            n--;
        }
        text[n] = '\0';
    }
    return text;
}

const char *agent_tail(const char *text, size_t n) {
    size_t all = strlen(text);
    const char *p = all > n ? text + all - n : text;

    while (((unsigned char)*p & 0xC0) == 0x80) {
        p++;
    }
    return p;
}

void agent_trim(char *text) {
    size_t before = strspn(text, " \t\r\n"), n = strlen(text);

    while (n > before && isspace((unsigned char)text[n - 1])) {
        n--;
    }
    memmove(text, text + before, n - before);
    text[n - before] = '\0';
}

/* Where more than half of the text is whole sentences, the broken one goes. */
void agent_trim_to_sentence(char *text) {
    size_t n = strlen(text), keep = 0;

    for (size_t i = n / 2; i < n; i++) {
        if (strchr(".!?", text[i]) && (i + 1 == n || isspace((unsigned char)text[i + 1]))) {
            keep = i + 1;
        }
    }
    if (keep) {
        text[keep] = '\0';
    }
}

void agent_append(char **text, const char *format, ...) {
    va_list args;
    char *more = NULL, *all;

    va_start(args, format);
    if (vasprintf(&more, format, args) < 0) {
        abort();
    }
    va_end(args);
    all = shannon_format("%s%s", *text, more);
    free(more);
    free(*text);
    *text = all;
}

bool agent_begins(const char *text, const char *word) {
    return strncasecmp(text, word, strlen(word)) == 0;
}

/* Where the bracket at p closes, or NULL; strings may hold brackets. */
static const char *closing(const char *p) {
    int depth = 0;
    bool quoted = false;

    for (; *p; p++) {
        if (quoted && *p == '\\' && p[1]) {
            p++;
        } else if (*p == '"') {
            quoted = !quoted;
        } else if (!quoted && (*p == '{' || *p == '[')) {
            depth++;
        } else if (!quoted && (*p == '}' || *p == ']') && --depth == 0) {
            return p;
        }
    }
    return NULL;
}

struct shannon_view agent_json(const char *text, char bracket) {
    int tries = 0;

    for (const char *p = strchr(text, bracket); p && tries < 16; p = strchr(p + 1, bracket)) {
        const char *end = closing(p);
        struct shannon_view v = shannon_view_n(p, end ? (size_t)(end - p) + 1 : 0);
        if (end && shannon_json_valid(v)) {
            return v;
        }
        tries++;
    }
    return shannon_view(NULL);
}

/* Any value as text: a string decoded, all else as it is written. */
static char *as_text(struct shannon_view v) {
    char *text = shannon_json_string(v);

    if (!text && v.p) {
        text = shannon_format("%.*s", (int)v.n, v.p);
    }
    if (text) {
        agent_trim(text);
    }
    return text;
}

char *agent_json_text(const char *text, const char *path) {
    struct shannon_view v = shannon_json_get(agent_json(text, '{'), path);

    return v.p && strncmp(v.p, "null", 4) != 0 ? as_text(v) : NULL;
}

/* Where the words of a line begin, after "1.", "-", "Step 2:", a quotation mark and the like. */
static char *skip_bullet(char *line) {
    char *p = line + strspn(line, " \t-*#>\"'[{");

    if (agent_begins(p, "step ") && isdigit((unsigned char)p[5])) {
        p += 5;
    }
    if (isdigit((unsigned char)*p)) {
        char *after = p + strspn(p, "0123456789");
        if (*after && strchr(".):", *after)) {
            p = after + 1;
        }
    }
    return p + strspn(p, " \t*:\"'");
}

/* What JSON and Markdown leave at the end of a line; "**bold**" in the middle loses its stars. */
static void drop_marks(char *line) {
    char *out = line;

    for (const char *p = line; *p; p++) {
        if (*p != '*') {
            *out++ = *p;
        }
    }
    while (out > line && strchr(" \t\r\"',]}", out[-1])) {
        out--;
    }
    *out = '\0';
}

static void keep(char *items[], size_t *n, size_t max, size_t bytes, char *text) {
    if (*n < max && strlen(text) >= 3) {
        items[(*n)++] = agent_shorten(text, bytes);
    } else {
        free(text);
    }
}

/* The lines of a text, as a list. */
static size_t lines(const char *text, char *items[], size_t max, size_t bytes) {
    char *copy = shannon_format("%s", text);
    size_t n = 0;

    for (char *line = copy, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) {
            *next++ = '\0';
        }
        line = skip_bullet(line);
        drop_marks(line);
        if (strncmp(line, "```", 3) != 0 &&
            strcspn(line, "abcdefghijklmnopqrstuvwxyz") + (size_t)(*line < 0) < strlen(line)) {
            keep(items, &n, max, bytes, shannon_format("%s", line));
        }
    }
    free(copy);
    return n;
}

size_t agent_list(const char *text, char *items[], size_t max, size_t item_bytes) {
    struct shannon_view list = agent_json(text, '[');
    size_t n = 0;

    for (size_t i = 0; list.p && i < 256; i++) {
        struct shannon_view item = shannon_json_item(list, i);
        static const char *const usual[] = {"query", "title", "text", "name", "step", "role"};
        if (!item.p) {
            break;
        }
        for (size_t k = 0; item.p[0] == '{' && k < sizeof(usual) / sizeof(usual[0]); k++) {
            struct shannon_view inner = shannon_json_get(item, usual[k]);
            item = inner.p ? inner : item;
        }
        if (*item.p == '"') {
            keep(items, &n, max, item_bytes, as_text(item));
        }
    }
    return n ? n : lines(text, items, max, item_bytes);
}

/* "7", "7/10", "70%", "0.7"; a number above 1 counts out of `full`. */
static double read_rating(const char *p, double full) {
    char *end;
    double value = strtod(p, &end);

    if (end == p || value < 0) {
        return -1;
    }
    end += strspn(end, " ");
    if (strncmp(end, "to ", 3) == 0) { /* our own "0 to 10", repeated */
        return -1;
    }
    if (*end == '%') {
        value /= 100;
    } else if (*end == '/') {
        double of = strtod(end + 1, NULL);
        value = of > 0 ? value / of : -1;
    } else if (value > 1) {
        value /= value <= full ? full : 100;
    }
    return value <= 1 ? value : -1;
}

double agent_rating(const char *text, const char *name, double full) {
    size_t n = strlen(name);
    double last = -1;

    for (const char *p = text; *p; p++) {
        if (strncasecmp(p, name, n) == 0) {
            const char *number = p + n + strspn(p + n, " :=*\"'\t");
            double value =
                isdigit((unsigned char)*number) || *number == '.' ? read_rating(number, full) : -1;
            last = value >= 0 ? value : last;
        }
    }
    if (last < 0 && isdigit((unsigned char)text[strspn(text, " \t\r\n*\"")])) {
        last = read_rating(text + strspn(text, " \t\r\n*\""), full);
    }
    return last;
}
