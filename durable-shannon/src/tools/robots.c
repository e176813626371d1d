/* See robots.h. Lines are "name: value"; groups begin with one or more user-agent lines. The group
 * that names us counts, several of them together, else that of "*". The longest pattern decides, of
 * equals the one that allows. */
#include "tools/robots.h"

#include <strings.h>

static struct sh_str trimmed(struct sh_str s) {
    while (s.len && (*s.p == ' ' || *s.p == '\t')) {
        s = sh_strn(s.p + 1, s.len - 1);
    }
    while (s.len && strchr(" \t\r", s.p[s.len - 1]) && s.p[s.len - 1]) {
        s.len--;
    }
    return s;
}

/* The next line without its comment; false at the end. */
static bool next_line(struct sh_str *rest, struct sh_str *ret_name, struct sh_str *ret_value) {
    while (rest->len) {
        const char *end = memchr(rest->p, '\n', rest->len);
        size_t n = end ? (size_t)(end - rest->p) : rest->len;
        struct sh_str line = sh_strn(rest->p, n);
        *rest = sh_strn(rest->p + n + (end != NULL), rest->len - n - (end != NULL));
        const char *comment = line.len ? memchr(line.p, '#', line.len) : NULL;
        line.len = comment ? (size_t)(comment - line.p) : line.len;
        const char *colon = line.len ? memchr(line.p, ':', line.len) : NULL;
        if (colon) {
            *ret_name = trimmed(sh_strn(line.p, (size_t)(colon - line.p)));
            *ret_value = trimmed(sh_strn(colon + 1, line.len - (size_t)(colon - line.p) - 1));
            return true;
        }
    }
    return false;
}

static bool is(struct sh_str s, const char *word) {
    return s.len == strlen(word) && strncasecmp(s.p, word, s.len) == 0;
}

static bool collect(struct sh_str file, const char *agent, struct sh_buf *out) {
    struct sh_str name;
    struct sh_str value;
    bool in_names = false;
    bool ours = false;
    bool found = false;
    while (next_line(&file, &name, &value)) {
        if (is(name, "user-agent")) {
            ours = (in_names && ours) || is(value, agent);
            in_names = true;
            found = found || ours;
            continue;
        }
        bool allow = is(name, "allow");
        if (!allow && !is(name, "disallow")) {
            continue; /* sitemap, crawl-delay ... end no group */
        }
        in_names = false;
        if (ours && value.len && value.len < 2048 && !memchr(value.p, 0, value.len) &&
            out->len + value.len + 2 <= out->max) {
            sh_buf_addc(out, allow ? '+' : '-');
            sh_buf_add(out, value.p, value.len);
            sh_buf_addc(out, '\n');
        }
    }
    return found;
}

void sh_robots_parse(struct sh_str file, const char *agent, struct sh_buf *ret) {
    if (sh_str_starts(file, SH_STR("\xef\xbb\xbf"))) {
        file = sh_strn(file.p + 3, file.len - 3);
    }
    if (!collect(file, agent, ret)) {
        collect(file, "*", ret);
    }
}

/* "*" is any text, "$" at the end is the end. One star at a time is taken back, so the work is at
 * most pattern times path. */
static bool matches(struct sh_str pattern, const char *path) {
    bool anchored = pattern.len && pattern.p[pattern.len - 1] == '$';
    pattern.len -= anchored;
    size_t star = SIZE_MAX;
    size_t from = 0;
    size_t i = 0;
    size_t k = 0;
    for (;;) {
        if (i < pattern.len && pattern.p[i] == '*') {
            star = ++i;
            from = k;
        } else if (i == pattern.len && (!anchored || !path[k])) {
            return true;
        } else if (i < pattern.len && path[k] && pattern.p[i] == path[k]) {
            i++;
            k++;
        } else if (star != SIZE_MAX && path[from]) {
            k = ++from;
            i = star;
        } else {
            return false;
        }
    }
}

bool sh_robots_allow(struct sh_str rules, const char *path) {
    bool allow = true;
    size_t longest = 0;
    while (rules.len) {
        const char *end = memchr(rules.p, '\n', rules.len);
        size_t n = end ? (size_t)(end - rules.p) : rules.len;
        struct sh_str pattern = sh_strn(rules.p + 1, n - 1);
        bool allows = rules.p[0] == '+';
        if ((pattern.len > longest || (pattern.len == longest && allows)) &&
            matches(pattern, path)) {
            allow = allows;
            longest = pattern.len;
        }
        rules = sh_strn(rules.p + n + (end != NULL), rules.len - n - (end != NULL));
    }
    return allow;
}
