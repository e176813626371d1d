/* The sandbox's second implementation, for tests of the engine: no WebAssembly, but a guest of a
 * few words that stands on the same struct sh_guest, so that tape, effects and waits are the real
 * ones.
 *
 * A program is text, one instruction a line, after a first line that begins with "(module":
 *   start OP JSON     print TEXT       wait N..|all|any   result N     emit TYPE JSON
 *   sleep MS          spin SLICES      checkpoint TEXT    output JSON  read      clock
 *   exit N            trap NAME        random             differ       loop      input
 *   hostfail          the host fails the agent, once in this process
 * `wait any` waits for the open handles and prints which came; `wait all` takes each in turn. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "microsandbox/guest.h"

#define SLICE 1000

struct sh_sandbox {
    int unused;
};
struct sh_module {
    atomic_int refs;
    struct sh_hash hash;
    char *text;
};
struct sh_agent {
    struct sh_agent_config config;
    struct sh_guest guest;
    struct sh_module *module;
    char *input, *state;
    uint64_t fuel, fuel_max;
    size_t pc; /* offset of the instruction */
    uint64_t spins;
    int32_t open[256];
    size_t n_open;
    bool checkpointed, started;
};

int sh_sandbox_new(const struct sh_sandbox_config *config, struct sh_sandbox **ret,
                   struct sh_err *err) {
    (void)config;
    (void)err;
    *ret = sh_new(struct sh_sandbox);
    return 0;
}

struct sh_sandbox *sh_sandbox_free(struct sh_sandbox *s) {
    return sh_free(s);
}

const char *sh_sandbox_runtime(const struct sh_sandbox *s) {
    (void)s;
    return "fake";
}

int sh_module_load(struct sh_sandbox *s, struct sh_str wasm, struct sh_module **ret,
                   struct sh_err *err) {
    struct sh_module *m;

    (void)s;
    if (!sh_str_starts(wasm, SH_STR("(module"))) {
        return sh_fail(err, SH_E_MODULE, "not a fake module");
    }
    m = sh_new(struct sh_module);
    atomic_store(&m->refs, 1);
    m->text = sh_strndup0(wasm.p, wasm.len);
    sh_sha256(wasm.p, wasm.len, &m->hash);
    *ret = m;
    return 0;
}

int sh_module_load_file(struct sh_sandbox *s, const char *path, struct sh_module **ret,
                        struct sh_err *err) {
    sh_auto(sh_close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
    static const size_t max = 65536;
    sh_auto(sh_free_p) char *text = sh_alloc(max);
    ssize_t n = fd >= 0 ? read(fd, text, max) : -1;

    return n < 0 ? sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                                 "cannot open %s", path)
                 : sh_module_load(s, sh_strn(text, (size_t)n), ret, err);
}

struct sh_module *sh_module_ref(struct sh_module *m) {
    atomic_fetch_add(&m->refs, 1);
    return m;
}

struct sh_module *sh_module_unref(struct sh_module *m) {
    if (m && atomic_fetch_sub(&m->refs, 1) == 1) {
        sh_free(m->text);
        sh_free(m);
    }
    return NULL;
}

const struct sh_hash *sh_module_hash(const struct sh_module *m) {
    return &m->hash;
}

int sh_module_from_text(struct sh_str text, struct sh_buf *ret, struct sh_err *err) {
    sh_buf_add(ret, text.p, text.len);
    return ret->failed ? sh_fail(err, SH_E_LIMIT, "module too large") : 0;
}

int sh_agent_new(struct sh_sandbox *s, const struct sh_agent_config *config, struct sh_agent **ret,
                 struct sh_err *err) {
    struct sh_agent *a = sh_new(struct sh_agent);

    (void)s;
    (void)err;
    a->config = *config;
    a->module = sh_module_ref(config->module);
    a->input = sh_strndup0(config->input.p, config->input.len);
    a->state = sh_strndup0(config->state.p, config->state.len);
    a->config.input = sh_str(a->input);
    a->config.state = sh_str(a->state);
    a->fuel = config->fuel_used;
    a->fuel_max = config->caps->limits.fuel;
    a->pc = strcspn(a->module->text, "\n") + 1;
    sh_guest_init(&a->guest, &a->config);
    *ret = a;
    return 0;
}

struct sh_agent *sh_agent_free(struct sh_agent *a) {
    if (a) {
        sh_guest_done(&a->guest);
        sh_module_unref(a->module);
        sh_free(a->input);
        sh_free(a->state);
        sh_free(a);
    }
    return NULL;
}

void sh_agent_push(struct sh_agent *a, const struct sh_tape_item *item) {
    sh_guest_push(&a->guest, item);
}

const struct sh_agent_wait *sh_agent_wait(const struct sh_agent *a) {
    return &a->guest.wait;
}

void sh_agent_wake(struct sh_agent *a) {
    sh_guest_clock_advance(&a->guest, a->guest.wait.delay_ns);
    a->guest.woken = true;
}

const struct sh_effect *sh_agent_effects(struct sh_agent *a, size_t *ret_n) {
    *ret_n = a->guest.n_effects;
    return a->guest.effects;
}

void sh_agent_effects_taken(struct sh_agent *a) {
    sh_guest_effects_taken(&a->guest);
}

const struct sh_agent_end *sh_agent_end(const struct sh_agent *a) {
    return &a->guest.end;
}

struct sh_agent_counters sh_agent_counters(const struct sh_agent *a) {
    const struct sh_guest *g = &a->guest;

    return (struct sh_agent_counters){.fuel_used = a->fuel,
                                      .random_pos = g->random_pos,
                                      .ordinal = g->ordinal,
                                      .call_number = g->call_number,
                                      .output_offset = {g->output_offset[0], g->output_offset[1]},
                                      .emitted = g->emitted,
                                      .published = g->published,
                                      .clock_us = g->clock_ns / 1000};
}

/* ---- the interpreter ---- */

static int print(struct sh_agent *a, const char *text) {
    return sh_guest_output(&a->guest, 1, sh_str(text));
}

static int printed_result(struct sh_agent *a, int32_t handle) {
    char line[SH_KIB];
    struct sh_str result;

    if (sh_guest_result(&a->guest, handle, &result) < 0) {
        return print(a, "no result\n");
    }
    snprintf(line, sizeof(line), "%d %.*s\n", handle, (int)(result.len > 900 ? 900 : result.len),
             result.p);
    return print(a, line);
}

static void close_handle(struct sh_agent *a, int32_t handle) {
    for (size_t i = 0; i < a->n_open; i++) {
        if (a->open[i] == handle) {
            a->open[i] = a->open[--a->n_open];
            sh_guest_drop(&a->guest, handle);
            return;
        }
    }
}

static int wait_for(struct sh_agent *a, const char *args) {
    int32_t handles[256];
    size_t n = 0;
    bool all = strcmp(args, "all") == 0;
    int r;

    if (all || strcmp(args, "any") == 0) {
        memcpy(handles, a->open, a->n_open * sizeof(*handles));
        n = a->n_open;
    } else {
        char *end;
        for (long h = strtol(args, &end, 10); end != args && n < 256; h = strtol(args, &end, 10)) {
            handles[n++] = (int32_t)h;
            args = end;
        }
    }
    while (n > 0) {
        r = sh_guest_wait(&a->guest, handles, n);
        if (r == SH_CALL_PENDING) {
            return r;
        }
        if (r < 0) {
            print(a, r == -SH_ERRNO_CANCELED ? "canceled\n" : "wait failed\n");
            return 0;
        }
        printed_result(a, r);
        close_handle(a, r);
        if (!all) {
            return 0;
        }
        memcpy(handles, a->open, a->n_open * sizeof(*handles));
        n = a->n_open;
    }
    return 0;
}

static int start(struct sh_agent *a, const char *args) {
    size_t op = strcspn(args, " ");
    const char *json = args[op] ? args + op + 1 : "{}";
    int r;

    r = strncmp(args, "line", op) == 0 ? sh_guest_start(&a->guest, (struct sh_str){0}, sh_str(json))
                                       : sh_guest_start(&a->guest, sh_strn(args, op), sh_str(json));
    if (r > 0 && a->n_open < 256) {
        a->open[a->n_open++] = r;
    }
    return r;
}

static int emit(struct sh_agent *a, const char *args) {
    size_t type = strcspn(args, " ");
    const char *json = args[type] ? args + type + 1 : "";

    if (!sh_guest_room(&a->guest, strlen(args))) {
        return SH_CALL_PENDING;
    }
    sh_guest_effect(&a->guest, SH_EFFECT_EMIT, 0, a->guest.emitted++, sh_strn(args, type),
                    sh_str(json));
    return 0;
}

static int read_stdin(struct sh_agent *a) {
    struct sh_guest *g = &a->guest;
    struct sh_str bytes;
    char line[200];
    int r = sh_guest_recall(g, "stdin", &bytes);

    if (r == 0) {
        g->wait = (struct sh_agent_wait){
            .kind = SH_WAIT_STDIN, .call_number = g->call_number, .max_bytes = 100};
        /* the call is counted when its answer is recalled */
        return SH_CALL_PENDING;
    }
    snprintf(line, sizeof(line), "read \"%.*s\"\n", (int)bytes.len, bytes.p);
    return r < 0 ? SH_CALL_END : print(a, line);
}

static int sleep_for(struct sh_agent *a, const char *args) {
    struct sh_guest *g = &a->guest;

    if (g->woken) {
        g->woken = false;
        return 0;
    }
    if (g->call.stage == 0) {
        g->call.stage = 1;
        g->call.a = g->call_number++;
    }
    g->wait = (struct sh_agent_wait){.kind = SH_WAIT_SLEEP,
                                     .delay_ns = strtoull(args, NULL, 10) * 1000000,
                                     .call_number = g->call.a,
                                     .clock_us = g->clock_ns / 1000};
    return SH_CALL_PENDING;
}

static int checkpoint(struct sh_agent *a, const char *args) {
    if (a->config.state.len > 0) {
        return print(a, "began anew\n");
    }
    sh_free(a->state);
    a->state = sh_strdup(args);
    a->guest.wait.state = sh_str(a->state);
    a->checkpointed = true;
    return SH_CALL_PENDING;
}

static int numbers(struct sh_agent *a, const char *word) {
    char line[100];
    uint64_t random = 0;

    if (strcmp(word, "clock") == 0) {
        snprintf(line, sizeof(line), "%lld\n", (long long)sh_guest_clock_ns(&a->guest));
    } else if (strcmp(word, "differ") == 0) {
        sh_random_bytes(&random, sizeof(random)); /* a guest that is not deterministic */
        snprintf(line, sizeof(line), "%llu\n", (unsigned long long)random);
    } else {
        sh_guest_random(&a->guest, &random, sizeof(random));
        snprintf(line, sizeof(line), "%llu\n", (unsigned long long)random);
    }
    return print(a, line);
}

static int end_word(struct sh_agent *a, const char *word, const char *args) {
    if (strcmp(word, "trap") == 0) {
        a->guest.end.trap = "unreachable";
        return sh_guest_end(&a->guest, SH_E_TRAP, "trap: %s", args);
    }
    a->guest.end.exit_status = atoi(args);
    return sh_guest_end(&a->guest, atoi(args) ? SH_E_EXIT : SH_OK, "exit %s", args);
}

static int execute(struct sh_agent *a, const char *word, const char *args) {
    struct sh_guest *g = &a->guest;

    if (strcmp(word, "start") == 0) {
        return start(a, args);
    } else if (strcmp(word, "wait") == 0) {
        return wait_for(a, args);
    } else if (strcmp(word, "print") == 0) {
        sh_auto(sh_free_p) char *line = sh_asprintf("%s\n", args);
        return print(a, line);
    } else if (strcmp(word, "emit") == 0) {
        return emit(a, args);
    } else if (strcmp(word, "output") == 0) {
        sh_guest_effect(g, SH_EFFECT_RESULT, 0, 0, (struct sh_str){0}, sh_str(args));
        return 0;
    } else if (strcmp(word, "sleep") == 0) {
        return sleep_for(a, args);
    } else if (strcmp(word, "read") == 0) {
        return read_stdin(a);
    } else if (strcmp(word, "checkpoint") == 0) {
        return checkpoint(a, args);
    } else if (strcmp(word, "exit") == 0 || strcmp(word, "trap") == 0) {
        return end_word(a, word, args);
    } else if (strcmp(word, "hostfail") == 0) {
        static atomic_bool failed;
        return atomic_exchange(&failed, true) ? 0 : sh_guest_end(g, SH_E_NOSPC, "the disk is full");
    } else if (strcmp(word, "input") == 0) {
        return print(a, a->input);
    }
    return numbers(a, word);
}

static enum sh_agent_status finished(struct sh_agent *a) {
    a->guest.ended = true;
    return SH_AGENT_FINISHED;
}

enum sh_agent_status sh_agent_step(struct sh_agent *a) {
    uint64_t slice = 0;

    for (;;) {
        const char *text = a->module->text;
        size_t len = strcspn(text + a->pc, "\n");
        sh_auto(sh_free_p) char *line = sh_strndup0(text + a->pc, len);
        size_t word = strcspn(line, " ");
        const char *args = line[word] ? line + word + 1 : "";
        int r;

        line[word] = '\0';
        if (a->fuel >= a->fuel_max) {
            sh_guest_end(&a->guest, SH_E_FUEL, "out of fuel");
            return finished(a);
        }
        if (text[a->pc] == '\0') {
            sh_guest_end(&a->guest, SH_OK, "end");
            return finished(a);
        }
        if (strcmp(line, "spin") == 0 && a->spins < strtoull(args, NULL, 10)) {
            a->spins++;
            a->fuel += SLICE;
            return SH_AGENT_YIELDED;
        }
        if (strcmp(line, "loop") == 0) {
            a->fuel += SLICE;
            usleep(100);
            return SH_AGENT_YIELDED;
        }
        r = strcmp(line, "spin") == 0 || len == 0 ? 0 : execute(a, line, args);
        if (r == SH_CALL_PENDING) {
            return a->checkpointed ? SH_AGENT_CHECKPOINT : SH_AGENT_WAITING;
        }
        if (r == SH_CALL_END) {
            return finished(a);
        }
        memset(&a->guest.call, 0, sizeof(a->guest.call));
        a->spins = 0;
        a->fuel++;
        a->pc += len + (text[a->pc + len] == '\n');
        if (++slice == SLICE) {
            return SH_AGENT_YIELDED;
        }
    }
}
