/* See moment.h. */
#include "engine/moment.h"

#include "engine/private.h"

struct sh_clocks sh_clocks_now(void) {
    return (struct sh_clocks){sh_wall_us(), (int64_t)(sh_boot_ns() / 1000)};
}

json_t *sh_moment_new(const struct sh_engine *e, const struct sh_timer *t) {
    int64_t due_us = (int64_t)(t->due_ns / 1000);
    struct sh_clocks now = sh_clocks_now();

    return json_pack("{s:I, s:I, s:s}", "wall_us", (json_int_t)(now.wall_us + due_us - now.boot_us),
                     "boot_us", (json_int_t)due_us, "owner", e->owner);
}

int64_t sh_moment_boot_us(const struct sh_engine *e, const json_t *moment) {
    if (sh_str_eqz(sh_json_get_str(moment, "owner"), e->owner)) {
        return sh_json_get_int(moment, "boot_us", 0);
    }
    return sh_json_get_int(moment, "wall_us", 0) - e->clocks.wall_us + e->clocks.boot_us;
}

int64_t sh_moment_left_us(const struct sh_engine *e, const json_t *moments, const char *name) {
    const json_t *moment = json_object_get(moments, name);
    int64_t left_us =
        moment ? sh_moment_boot_us(e, moment) - (int64_t)(sh_boot_ns() / 1000) : INT64_MAX;

    return left_us > 0 ? left_us : 0;
}
