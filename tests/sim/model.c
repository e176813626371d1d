/* The op llm of a simulation: the fake of the engine's tests, which also knows what was asked under
 * which key, and what is durable. */
#include "tools/tools.h"

int fake_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                    struct sh_err *err);
#define sh_tools_call fake_tools_call
#include "lib/fake_tools.c"
#undef sh_tools_call

#include "sim/client.h"
#include "sim/world.h"

static json_t *asked; /* {key: arguments} */
static int failures;  /* in this history */
static json_t *done;  /* {key: true}: its outcome is on disk */

void model_end(void) {
    json_decref(asked);
    json_decref(done);
}

void model_begin(void) {
    model_end();
    failures = 0;
    asked = json_object();
    done = json_object();
    memset(&fake_llm, 0, sizeof(fake_llm));
    fake_llm.delay_ms = 1;
    fake_llm.retryable = true;
}

/* An activity has four attempts, and fails when all of them do: three failures are no outcome. */
void model_fail(void) {
    if (failures < 3) {
        failures++;
        fake_llm.failures++;
    }
}

int sh_tools_call(struct sh_tools *t, const struct sh_tool_call *call, struct sh_tool_run **ret,
                  struct sh_err *err) {
    static const uint64_t latencies[] = {0, 1, 1, 5, 40, 900, 20000};
    const char *key = call->idempotency_key;
    json_t *before = json_object_get(asked, key);

    SIM_CHECK(!before || json_equal(before, call->args), "%s: one key, two requests", key);
    SIM_CHECK(!json_object_get(done, key), "%s: asked again after its outcome was durable", key);
    json_object_set_new(asked, key, json_deep_copy(call->args));
    fake_llm.delay_ms = latencies[world_random(sizeof(latencies) / sizeof(latencies[0]))];
    fake_llm.n_keys = 0;
    return fake_tools_call(t, call, ret, err);
}

void model_durable(const json_t *snapshot) {
    json_t *journal, *ev;
    const char *workflow;
    size_t i;

    json_object_foreach(json_object_get(snapshot, "event"), workflow, journal) {
        json_array_foreach(journal, i, ev) {
            struct sh_str type = sh_json_get_str(ev, "type");
            sh_auto(sh_json_done) json_t *body = NULL;

            if (!sh_str_eqz(type, "ActivityCompleted") && !sh_str_eqz(type, "ActivityFailed")) {
                continue;
            }
            if (sh_json_parse(sh_json_get_str(ev, "body"), SH_MIB, &body, NULL) == 0) {
                sh_auto(sh_free_p) char *key = sh_asprintf(
                    "%s:%lld", workflow, (long long)sh_json_get_int(body, "ordinal", -1));
                json_object_set_new(done, key, json_true());
            }
        }
    }
}
