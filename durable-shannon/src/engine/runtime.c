/* Which runtime wrote a journal. What a guest does is the same under each of them, except what fuel
 * it takes, and thus where it runs out; a replay that differs under another runtime is said to be
 * that, before anybody looks for the fault in the module. */
#include "engine/private.h"

#define NAME_SHOWN 60 /* of a name that came with a file of somebody else's */

/* Version and metering: code for another processor does the same things at the same price. */
static struct sh_str what_counts(struct sh_str name) {
    const char *features = name.len ? memchr(name.p, '+', name.len) : NULL;

    return features ? sh_strn(name.p, (size_t)(features - name.p)) : name;
}

void sh_runtime_seen(struct sh_workflow *wf, const json_t *body) {
    struct sh_str theirs = what_counts(sh_json_get_str(body, "runtime"));
    struct sh_str ours = what_counts(sh_str(sh_sandbox_runtime(wf->engine->config.sandbox)));

    while (theirs.len && theirs.p[theirs.len - 1] == ' ') {
        theirs.len--;
    }
    while (ours.len && ours.p[ours.len - 1] == ' ') {
        ours.len--;
    }
    if (theirs.len && !wf->other_runtime && !sh_str_eq(theirs, ours)) {
        size_t n = theirs.len < NAME_SHOWN ? theirs.len : NAME_SHOWN;

        wf->other_runtime =
            sh_asprintf("the journal was written with %.*s, this is %.*s: they may count fuel "
                        "differently; replay it with the version that wrote it",
                        (int)n, theirs.p, (int)ours.len, ours.p);
    }
}
