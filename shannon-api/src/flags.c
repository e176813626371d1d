/* One table drives the reading, the errors and the help text, so that they cannot disagree. */
#include "flags.h"

#include "nearest.h"

static int values_add(struct sh_values *values, const char *value, struct sh_err *err) {
    if (values->n >= SH_FLAG_VALUES_MAX) {
        return sh_fail(err, SH_E_INVAL, "more than %d values on the command line",
                       SH_FLAG_VALUES_MAX);
    }
    values->v = sh_grow(values->v, (values->n + 2) * sizeof(*values->v));
    values->v[values->n++] = value;
    values->v[values->n] = NULL;
    return 0;
}

void sh_values_done(struct sh_values *values) {
    values->v = sh_free(values->v);
    values->n = 0;
}

static const struct sh_flag *find(const struct sh_flag *flags, size_t n, struct sh_str name) {
    for (size_t i = 0; i < n; i++) {
        if (sh_str_eqz(name, flags[i].name)) {
            return &flags[i];
        }
    }
    return NULL;
}

static int unknown(const struct sh_flag *flags, size_t n, struct sh_str name, struct sh_err *err) {
    const char **known = sh_new_array(const char *, n + 2);
    for (size_t i = 0; i < n; i++) {
        known[i] = flags[i].name;
    }
    known[n] = "help";
    char word[64];
    snprintf(word, sizeof(word), "%.*s", (int)(name.len < 60 ? name.len : 60), name.p);
    const char *near = sh_nearest(word, known);
    int rc =
        near ? sh_fail(err, SH_E_INVAL,
                       "unknown flag --%s; did you mean --%s? (an agent's own flags go after --)",
                       word, near)
             : sh_fail(err, SH_E_INVAL,
                       "unknown flag --%s; --help lists the flags (an agent's own go after --)",
                       word);
    sh_free(known);
    return rc;
}

static int set(const struct sh_flag *flag, const char *value, struct sh_err *err) {
    switch (flag->kind) {
    case SH_FLAG_BOOL:
        *(bool *)flag->target = true;
        return 0;
    case SH_FLAG_TEXT:
        *(const char **)flag->target = value;
        return 0;
    case SH_FLAG_LIST:
        return values_add(flag->target, value, err);
    }
    return 0;
}

/* One `--word` at argv[*i]; moves *i over a value that is the next argument. */
static int read_flag(const struct sh_flag *flags, size_t n, int argc, char *const argv[], int *i,
                     struct sh_err *err) {
    const char *word = argv[*i] + 2;
    const char *equals = strchr(word, '=');
    struct sh_str name = equals ? sh_strn(word, (size_t)(equals - word)) : sh_str(word);
    const struct sh_flag *flag = find(flags, n, name);
    if (!flag) {
        return unknown(flags, n, name, err);
    }
    if (flag->kind == SH_FLAG_BOOL) {
        if (equals) {
            return sh_fail(err, SH_E_INVAL, "--%s takes no value", flag->name);
        }
        return set(flag, NULL, err);
    }
    if (equals) {
        return set(flag, equals + 1, err);
    }
    if (*i + 1 >= argc || strcmp(argv[*i + 1], "--") == 0) {
        return sh_fail(err, SH_E_INVAL, "--%s needs a value: --%s %s", flag->name, flag->name,
                       flag->argument);
    }
    return set(flag, argv[++*i], err);
}

int sh_flags_parse(const struct sh_flag *flags, size_t n_flags, int argc, char *const argv[],
                   struct sh_values *operands, bool *ret_help, struct sh_err *err) {
    *ret_help = false;
    bool only_operands = false;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        int rc = 0;
        if (only_operands || word[0] != '-' || word[1] == 0) {
            rc = values_add(operands, word, err);
        } else if (strcmp(word, "--") == 0) {
            only_operands = true;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *ret_help = true;
        } else if (word[1] != '-') {
            rc = sh_fail(err, SH_E_INVAL,
                         "unknown flag %.60s; flags begin with -- (an agent's own go after --)",
                         word);
        } else {
            rc = read_flag(flags, n_flags, argc, argv, &i, err);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void sh_flags_help(const struct sh_flag *flags, size_t n_flags, struct sh_buf *out) {
    for (size_t i = 0; i < n_flags; i++) {
        char left[64];
        snprintf(left, sizeof(left), "--%s%s%s", flags[i].name, flags[i].argument ? " " : "",
                 flags[i].argument ? flags[i].argument : "");
        sh_buf_addf(out, "  %-28s %s\n", left, flags[i].help);
    }
}
