/* What a person may say of a schedule: the members of its document, their forms and defaults. */
#include "engine/cron.h"
#include "engine/schedules.h"
#include "policy/policy.h"

static int one_of(const json_t *doc, const char *name, const char *const known[],
                  struct sh_err *err) {
    struct sh_str value = sh_json_get_str(doc, name);
    sh_auto(sh_buf_done) struct sh_buf all = {0};

    sh_buf_init(&all, 200);
    for (size_t i = 0; known[i]; i++) {
        if (sh_str_eqz(value, known[i])) {
            return 0;
        }
        sh_buf_addf(&all, "%s%s", i ? ", " : "", known[i]);
    }
    return sh_fail(err, SH_E_INVAL, "%s: expected one of %s", name, all.p);
}

static void fill(json_t *doc, const char *name, json_t *fallback) {
    if (!json_object_get(doc, name)) {
        json_object_set(doc, name, fallback);
    }
    json_decref(fallback);
}

static int check_texts(const json_t *doc, struct sh_err *err) {
    static const char *const texts[] = {"name",  "cron",    "timezone",    "agent",
                                        "query", "session", "description", NULL};
    struct sh_id id;

    for (size_t i = 0; texts[i]; i++) {
        const json_t *value = json_object_get(doc, texts[i]);
        if (value && (!json_is_string(value) || json_string_length(value) > 40000)) {
            return sh_fail(err, SH_E_INVAL, "%s: expected text", texts[i]);
        }
    }
    if (sh_json_get_str(doc, "name").len == 0 || sh_json_get_str(doc, "name").len > 255) {
        return sh_fail(err, SH_E_INVAL, "name: expected 1 to 255 bytes of text");
    }
    if (sh_json_get_str(doc, "query").len == 0 && !json_object_get(doc, "input")) {
        return sh_fail(err, SH_E_INVAL, "query: expected text, or an input");
    }
    if (sh_json_get_str(doc, "session").len &&
        sh_id_parse(sh_json_get_str(doc, "session"), &id) < 0) {
        return sh_fail(err, SH_E_INVAL, "session: expected 1 to %d of A-Z a-z 0-9 : _ - .",
                       SH_ID_MAX);
    }
    return 0;
}

int sh_schedule_check(json_t *doc, struct sh_cron *ret, struct sh_err *err) {
    static const char *const known[] = {"name",         "cron",        "timezone", "agent",
                                        "query",        "input",       "session",  "capabilities",
                                        "metadata",     "description", "overlap",  "catch_up",
                                        "catch_up_max", "paused",      NULL};
    static const char *const overlaps[] = {"skip", "queue", "allow", "cancel_previous", NULL};
    static const char *const catch_ups[] = {"none", "one", "all", NULL};
    const json_t *caps = json_object_get(doc, "capabilities");
    const json_t *metadata = json_object_get(doc, "metadata");
    struct sh_capabilities parsed = {0};
    int64_t max;
    int r = sh_json_only(doc, known, "the schedule", err);

    fill(doc, "timezone", json_string("UTC"));
    fill(doc, "overlap", json_string("skip"));
    fill(doc, "catch_up", json_string("one"));
    fill(doc, "catch_up_max", json_integer(10));
    fill(doc, "paused", json_false());
    r = r < 0 ? r : check_texts(doc, err);
    r = r < 0 ? r : one_of(doc, "overlap", overlaps, err);
    r = r < 0 ? r : one_of(doc, "catch_up", catch_ups, err);
    r = r < 0 ? r : sh_cron_parse(sh_json_get_str(doc, "cron"), ret, err);
    if (r == 0 && caps) {
        r = sh_capabilities_parse(caps, NULL, NULL, &parsed, err);
        sh_capabilities_done(&parsed);
    }
    max = sh_json_get_int(doc, "catch_up_max", 0);
    if (r == 0 && (max < 1 || max > SH_SCHEDULE_CATCH_UP_MAX)) {
        r = sh_fail(err, SH_E_INVAL, "catch_up_max: expected 1 to %d", SH_SCHEDULE_CATCH_UP_MAX);
    }
    if (r == 0 && ((metadata && !json_is_object(metadata)) ||
                   !json_is_boolean(json_object_get(doc, "paused")))) {
        r = sh_fail(err, SH_E_INVAL, "expected metadata as an object, paused as true or false");
    }
    return r;
}
