/* What a store may grow to, and an end that came of it. A guest that is refused memory sees -1 and
 * gives up in its own way, by a trap or a status; that it was refused is counted, not guessed. */
#include "microsandbox/agent.h"

#include <stdio.h>

void sh_agent_limits_set(struct sh_agent *a) {
    a->growth = (struct sh_native_limits){.memory_bytes = a->guest.limits.memory_bytes,
                                          .table_elements = SH_SCAN_TABLE_ELEMENTS_MAX,
                                          .tables = SH_SCAN_TABLES_MAX};
    sh_native_store_limit(a->store, &a->growth);
}

void sh_agent_limits_end(struct sh_agent *a) {
    const struct sh_native_limits *l = &a->growth;
    struct sh_agent_end *end = &a->guest.end;
    char before[160];

    if (end->code != SH_E_TRAP && end->code != SH_E_EXIT) {
        return;
    }
    (void)snprintf(before, sizeof(before), "%.150s", end->message);
    if (l->host_failures) {
        end->code = SH_E_NOMEM;
        (void)snprintf(
            end->message, sizeof(end->message),
            "this machine had no more memory for the agent, which has %llu bytes and may "
            "have %llu",
            (unsigned long long)a->memory_bytes, (unsigned long long)l->memory_bytes);
    } else if (l->memory_refusals) {
        end->code = SH_E_MEMORY;
        (void)snprintf(end->message, sizeof(end->message),
                       "the agent had %llu bytes of memory, asked for %llu, more than its limit of "
                       "%llu, and gave up (%s); raise limits.memory to allow more",
                       (unsigned long long)a->memory_bytes,
                       (unsigned long long)l->memory_asked_bytes,
                       (unsigned long long)l->memory_bytes, before);
    } else if (l->table_refusals) {
        end->code = SH_E_MEMORY;
        (void)snprintf(end->message, sizeof(end->message),
                       "the agent asked for a table of %llu elements, more than the %llu that a "
                       "table may have, and gave up (%s)",
                       (unsigned long long)l->table_asked, (unsigned long long)l->table_elements,
                       before);
    }
}
