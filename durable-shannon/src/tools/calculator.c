/* Arithmetic on doubles: a recursive descent over the text, which is short and whose nesting is
 * counted. Errors point at the column. Numbers are read in the C locale whatever the process has.
 *
 *   sum     = product (('+' | '-') product)*
 *   product = signed (('*' | '/' | '%') signed)*
 *   signed  = ('-' | '+') signed | power
 *   power   = atom ('^' signed)?                  right to left, before the sign: -2^2 = -4
 *   atom    = number | constant | function '(' sum (',' sum)* ')' | '(' sum ')' */
#include "tools/tools_private.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
    struct sh_str text;
    size_t at, depth;
    struct sh_err *err;
};

static int complain(const struct parser *p, size_t at, const char *what) {
    char came[24] = "the end";
    if (at < p->text.len) {
        unsigned char c = (unsigned char)p->text.p[at];
        snprintf(came, sizeof(came), c >= 0x20 && c < 0x7f ? "\"%c\"" : "byte 0x%02x", c);
    }
    return sh_fail(p->err, SH_E_INVAL, "calculator: column %zu: %s, not %s", at + 1, what, came);
}

static int no_value(const struct parser *p, size_t at, const char *why) {
    return sh_fail(p->err, SH_E_INVAL, "calculator: column %zu: %s", at + 1, why);
}

static char peek(struct parser *p) {
    while (p->at < p->text.len && strchr(" \t\r\n", p->text.p[p->at]) && p->text.p[p->at]) {
        p->at++;
    }
    return p->at < p->text.len ? p->text.p[p->at] : '\0';
}

/* Every value passes here, so that infinity and NaN never travel on. */
static int checked(const struct parser *p, size_t at, double value, double *ret) {
    if (isnan(value)) {
        return no_value(p, at, "the result is not a real number");
    }
    if (isinf(value)) {
        return no_value(p, at, "the result is too large");
    }
    *ret = value;
    return 0;
}

static bool digit(char c) {
    return c >= '0' && c <= '9';
}
static bool letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static locale_t c_locale;
static pthread_once_t have_locale = PTHREAD_ONCE_INIT;
static void make_locale(void) {
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static size_t skip_digits(const struct parser *p, size_t at) {
    while (at < p->text.len && digit(p->text.p[at])) {
        at++;
    }
    return at;
}

static int number(struct parser *p, double *ret) {
    char copy[SH_EXPRESSION_CHARS_MAX + 1];
    size_t start = p->at;
    size_t end = skip_digits(p, start);
    size_t digits = end - start;
    if (end < p->text.len && p->text.p[end] == '.') {
        size_t from = end + 1;
        end = skip_digits(p, from);
        digits += end - from;
    }
    if (digits == 0) {
        return complain(p, start, "expected a number");
    }
    if (end < p->text.len && (p->text.p[end] == 'e' || p->text.p[end] == 'E')) {
        size_t from = end + 1;
        from += from < p->text.len && strchr("+-", p->text.p[from]) && p->text.p[from];
        size_t stop = skip_digits(p, from);
        end = stop > from ? stop : end;
    }
    pthread_once(&have_locale, make_locale);
    memcpy(copy, p->text.p + start, end - start);
    copy[end - start] = '\0';
    p->at = end;
    return checked(p, start, strtod_l(copy, NULL, c_locale), ret);
}

struct function {
    const char *name;
    double (*one)(double);
    double (*two)(double, double);
    bool many; /* folds two() over one or more arguments */
};

/* round() takes halves away from zero, as people do. */
static const struct function functions[] = {
    {"abs", fabs, NULL, false},    {"ceil", ceil, NULL, false},   {"cos", cos, NULL, false},
    {"exp", exp, NULL, false},     {"floor", floor, NULL, false}, {"ln", log, NULL, false},
    {"log10", log10, NULL, false}, {"max", NULL, fmax, true},     {"min", NULL, fmin, true},
    {"pow", NULL, pow, false},     {"round", round, NULL, false}, {"sin", sin, NULL, false},
    {"sqrt", sqrt, NULL, false},   {"tan", tan, NULL, false},
};

static int sum(struct parser *p, double *ret);

static int deeper(struct parser *p) {
    if (p->depth >= SH_EXPRESSION_DEPTH_MAX) {
        return sh_fail(p->err, SH_E_LIMIT,
                       "calculator: column %zu: nested deeper than %d levels; split the expression",
                       p->at + 1, SH_EXPRESSION_DEPTH_MAX);
    }
    p->depth++;
    return 0;
}

/* The arguments after "(", folded on the way. */
static int call(struct parser *p, const struct function *f, size_t at, double *ret) {
    double value = 0;
    size_t n = 0;
    int r = deeper(p);
    while (r == 0) {
        double x = 0;
        r = sum(p, &x);
        if (r) {
            return r;
        }
        r = checked(p, at, n++ == 0 ? x : f->two ? f->two(value, x) : value, &value);
        if (r || peek(p) != ',') {
            break;
        }
        p->at++;
    }
    if (r) {
        return r;
    }
    if (peek(p) != ')') {
        return complain(p, p->at, "expected \",\" or \")\"");
    }
    p->at++;
    p->depth--;
    if (f->one ? n != 1 : !f->many && n != 2) {
        char why[64];
        snprintf(why, sizeof(why), "%s takes %s, not %zu", f->name,
                 f->one ? "one argument" : "two arguments", n);
        return no_value(p, at, why);
    }
    return f->one ? checked(p, at, f->one(value), ret) : checked(p, at, value, ret);
}

static int name(struct parser *p, double *ret) {
    size_t start = p->at;
    while (p->at < p->text.len && (letter(p->text.p[p->at]) || digit(p->text.p[p->at]))) {
        p->at++;
    }
    struct sh_str s = sh_strn(p->text.p + start, p->at - start);
    if (sh_str_eqz(s, "pi") || sh_str_eqz(s, "e")) {
        *ret = s.len == 2 ? M_PI : M_E;
        return 0;
    }
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (sh_str_eqz(s, functions[i].name)) {
            if (peek(p) != '(') {
                return complain(p, p->at, "expected \"(\" after the function");
            }
            p->at++;
            return call(p, &functions[i], start, ret);
        }
    }
    return sh_fail(p->err, SH_E_INVAL,
                   "calculator: column %zu: \"%.*s\" is unknown; there are pi, e, abs, ceil, cos, "
                   "exp, floor, ln, log10, max, min, pow, round, sin, sqrt, tan",
                   start + 1, (int)(s.len < 32 ? s.len : 32), s.p);
}

static int atom(struct parser *p, double *ret) {
    char c = peek(p);
    if (letter(c)) {
        return name(p, ret);
    }
    if (c != '(') {
        return digit(c) || c == '.' ? number(p, ret)
                                    : complain(p, p->at, "expected a number, a name or \"(\"");
    }
    int r = deeper(p);
    p->at++;
    if (r == 0) {
        r = sum(p, ret);
    }
    if (r == 0 && peek(p) != ')') {
        return complain(p, p->at, "expected \")\"");
    }
    p->at++;
    p->depth--;
    return r;
}

static int sign(struct parser *p, double *ret);

static int power(struct parser *p, double *ret) {
    double base = 0;
    int r = atom(p, &base);
    if (r || peek(p) != '^') {
        *ret = base;
        return r;
    }
    size_t at = p->at++;
    double exponent = 0;
    r = deeper(p);
    if (r == 0) {
        r = sign(p, &exponent);
        p->depth--;
    }
    return r ? r : checked(p, at, pow(base, exponent), ret);
}

static int sign(struct parser *p, double *ret) {
    char c = peek(p);
    if (c != '-' && c != '+') {
        return power(p, ret);
    }
    p->at++;
    int r = deeper(p);
    if (r == 0) {
        r = sign(p, ret);
        p->depth--;
        *ret = c == '-' ? -*ret : *ret;
    }
    return r;
}

static int product(struct parser *p, double *ret) {
    double value = 0;
    int r = sign(p, &value);
    for (char c = '\0'; r == 0 && ((c = peek(p)) == '*' || c == '/' || c == '%');) {
        size_t at = p->at++;
        double x = 0;
        r = sign(p, &x);
        if (r == 0 && c != '*' && x == 0) {
            return no_value(p, at, "division by zero");
        }
        if (r == 0) {
            r = checked(p, at,
                        c == '*'   ? value * x
                        : c == '/' ? value / x
                                   : fmod(value, x),
                        &value);
        }
    }
    *ret = value;
    return r;
}

static int sum(struct parser *p, double *ret) {
    double value = 0;
    int r = product(p, &value);
    for (char c = '\0'; r == 0 && ((c = peek(p)) == '+' || c == '-');) {
        size_t at = p->at++;
        double x = 0;
        r = product(p, &x);
        if (r == 0) {
            r = checked(p, at, c == '+' ? value + x : value - x, &value);
        }
    }
    *ret = value;
    return r;
}

int sh_calculator(const json_t *args, json_t **ret_result, struct sh_err *err) {
    struct parser p = {.text = sh_json_get_str(args, "expression"), .err = err};
    double value = 0;
    if (p.text.len > SH_EXPRESSION_CHARS_MAX) { /* bytes; the schema counts characters */
        return sh_fail(err, SH_E_LIMIT, "calculator: expected at most %d characters, not %zu",
                       SH_EXPRESSION_CHARS_MAX, p.text.len);
    }
    int r = sum(&p, &value);
    peek(&p);
    if (r == 0 && p.at < p.text.len) {
        r = complain(&p, p.at, "expected an operator or the end");
    }
    if (r) {
        return r;
    }
    /* Whole numbers are written as such; beyond 2^53 a double has no units to show. */
    bool whole = value == floor(value) && fabs(value) <= 9007199254740992.0;
    json_t *result = json_object();
    json_object_set_new(result, "value",
                        whole ? json_integer((json_int_t)value) : json_real(value));
    *ret_result = result;
    return 0;
}
