/* See guest_anew.h. */
#include "microsandbox/guest.h"

/* The bytes are the guest's answer to the wait that the engine sees: state, or input. */
static int begin(struct sh_guest *g, struct sh_str bytes, size_t max, bool is_input) {
    struct sh_str kept;

    sh_buf_done(&g->checkpoint);
    sh_buf_init(&g->checkpoint, max + 1);
    if (bytes.len) {
        sh_buf_add(&g->checkpoint, bytes.p, bytes.len);
    }
    if (g->checkpoint.failed) {
        return sh_guest_end(g, SH_E_NOMEM, "no memory for %s of %zu bytes",
                            is_input ? "an input" : "a checkpoint", bytes.len);
    }
    kept = sh_buf_str(&g->checkpoint);
    g->checkpointed = true;
    g->wait = (struct sh_agent_wait){.kind = SH_WAIT_ROOM};
    if (is_input) {
        g->wait.input = kept;
    } else {
        g->wait.state = kept;
    }
    return SH_CALL_PENDING;
}

int sh_guest_checkpoint(struct sh_guest *g, struct sh_str state) {
    if (g->n_handles) {
        return -SH_ERRNO_BUSY;
    }
    if (state.len > SH_CHECKPOINT_MAX) {
        return -SH_ERRNO_2BIG;
    }
    return begin(g, state, SH_CHECKPOINT_MAX, false);
}

int sh_guest_continue(struct sh_guest *g, struct sh_str input) {
    if (g->n_handles) {
        return -SH_ERRNO_BUSY;
    }
    if (input.len > SH_INPUT_MAX) {
        return -SH_ERRNO_2BIG;
    }
    if (!input.len || !sh_utf8_valid(input)) {
        return -SH_ERRNO_INVAL;
    }
    return begin(g, input, SH_INPUT_MAX, true);
}

/* --- lines ------------------------------------------------------------------------------------ */

static bool contains(struct sh_str s, const char *word) {
    return s.len && memmem(s.p, s.len, word, strlen(word)) != NULL;
}

int sh_guest_line(struct sh_guest *g, struct sh_str line) {
    struct sh_line *l = &g->line;

    if (g->ended) {
        return SH_CALL_END;
    }
    if (g->checkpointed) {
        return SH_CALL_PENDING;
    }
    if (!l->read) {
        /* Nearly all lines end here. One whose op hides behind escapes names no operation. */
        if (!contains(line, "\"checkpoint\"") && !contains(line, "\"continue_as_new\"")) {
            return 0;
        }
        l->text = line;
        g->wait = (struct sh_agent_wait){.kind = SH_WAIT_ROOM};
        return SH_CALL_PENDING;
    }
    switch (l->asks) {
    case SH_LINE_CHECKPOINT:
        return sh_guest_checkpoint(g, sh_str(l->json));
    case SH_LINE_CONTINUE:
        return sh_guest_continue(g, sh_str(l->json));
    case SH_LINE_WRONG:
        return -SH_ERRNO_INVAL;
    case SH_LINE_ACTIVITY:
        break;
    }
    return 0;
}

void sh_guest_line_done(struct sh_guest *g) {
    sh_free(g->line.json);
    g->line = (struct sh_line){0};
}

bool sh_guest_line_read(struct sh_guest *g) {
    struct sh_line *l = &g->line;
    sh_auto(sh_json_done) json_t *object = NULL;
    json_t *given;
    struct sh_str op;

    if (!l->text.p || l->read || g->ended) {
        return false;
    }
    l->read = true;
    if (sh_json_parse(l->text, SH_DEV_LINE_MAX, &object, NULL) < 0) {
        return true; /* the engine says what is wrong with it */
    }
    op = sh_json_get_str(object, "op");
    if (sh_str_eqz(op, "checkpoint")) {
        l->asks = SH_LINE_CHECKPOINT;
    } else if (sh_str_eqz(op, "continue_as_new")) {
        l->asks = SH_LINE_CONTINUE;
    } else {
        return true;
    }
    given = json_object_get(json_object_get(object, "args"),
                            l->asks == SH_LINE_CHECKPOINT ? "state" : "input");
    if (given) {
        l->json = sh_json_text(given);
    } else {
        l->asks = SH_LINE_WRONG;
    }
    return true;
}
