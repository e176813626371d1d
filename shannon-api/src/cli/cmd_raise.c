/* More of a task's budget. */
#include "cli/ask.h"

#include <stdlib.h>

/* A positive number, a size or a duration as JSON; the engine checks its range. */
static int add_number(json_t *body, const char *name, const char *text, struct sh_err *err) {
    char *end = NULL;
    long long n = text ? strtoll(text, &end, 10) : 0;

    if (!text) {
        return 0;
    }
    if (n <= 0 || *end) {
        return sh_fail(err, SH_E_INVAL, "--%s %.40s: expected a number above 0", name, text);
    }
    return json_object_set_new(body, name, json_integer(n));
}

static int add_others(json_t *body, const char *cost, const char *wall, const char *output,
                      struct sh_err *err) {
    struct sh_err inner = {0};
    uint64_t value = 0;
    char *end = NULL;

    if (cost) {
        double usd = strtod(cost, &end);
        if (!(usd > 0) || *end) {
            return sh_fail(err, SH_E_INVAL, "--cost %.40s: expected US dollars above 0", cost);
        }
        json_object_set_new(body, "cost_usd", json_real(usd));
    }
    if (wall) {
        if (sh_parse_duration_ms(sh_str(wall), &value, &inner) < 0) {
            return sh_fail(err, SH_E_INVAL, "--wall-clock: %s", inner.message);
        }
        json_object_set_new(body, "wall_clock_ms", json_integer((json_int_t)value));
    }
    if (output) {
        if (sh_parse_size(sh_str(output), &value, &inner) < 0) {
            return sh_fail(err, SH_E_INVAL, "--output: %s", inner.message);
        }
        json_object_set_new(body, "output", json_integer((json_int_t)value));
    }
    return 0;
}

int sh_cmd_raise(int argc, char *const argv[]) {
    struct sh_ask a = {.common.active = true};
    const char *tokens = NULL, *cost = NULL, *fuel = NULL, *wall = NULL, *output = NULL,
               *activities = NULL, *reason = NULL;
    const struct sh_flag flags[] = {
        {"tokens", SH_FLAG_TEXT, &tokens, "N", "more tokens of models"},
        {"cost", SH_FLAG_TEXT, &cost, "USD", "more money"},
        {"fuel", SH_FLAG_TEXT, &fuel, "N", "more computing"},
        {"wall-clock", SH_FLAG_TEXT, &wall, "DURATION", "more time of computing and calls"},
        {"output", SH_FLAG_TEXT, &output, "SIZE", "more standard output"},
        {"activities", SH_FLAG_TEXT, &activities, "N", "more activities"},
        {"reason", SH_FLAG_TEXT, &reason, "TEXT", "kept in the journal"},
    };
    int rc = sh_cli_parse(&a.common, "raise [FLAGS] ID", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_auto(sh_json_done) json_t *body = json_object();
    if (add_number(body, "tokens", tokens, &a.err) < 0 ||
        add_number(body, "fuel", fuel, &a.err) < 0 ||
        add_number(body, "activities", activities, &a.err) < 0 ||
        add_others(body, cost, wall, output, &a.err) < 0) {
        return sh_ask_end(&a, 0);
    }
    if (reason) {
        json_object_set_new(body, "reason", sh_json_string(sh_str(reason)));
    }
    sh_auto(sh_free_p) char *text = sh_json_text(body);
    sh_auto(sh_free_p) char *path = sh_ask_task_path(&a, "/raise");
    if (path && sh_ask_open(&a) == 0 && sh_ask_call(&a, "POST", path, sh_str(text)) == 0) {
        if (a.common.json) {
            sh_cli_print_json(a.answer);
        } else {
            printf("%s: raised\n", a.common.operands.v[0]);
        }
    }
    return sh_ask_end(&a, 0);
}
