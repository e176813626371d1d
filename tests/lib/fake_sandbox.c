/* The sandbox's second implementation, for tests of the engine: no WebAssembly, but a guest of a
 * few words that stands on the same struct sh_guest, so that tape, effects and waits are the real
 * ones.
 *
 * A program is text, one instruction a line, after a first line that begins with "(module":
 *   start OP JSON     print TEXT       wait N..|all|any   result N     emit TYPE JSON
 *   publish NAME JSON
 *   sleep MS          spin SLICES      checkpoint TEXT    output JSON  read      clock
 *   exit N            trap NAME (`overflow`: with other fuel in each run)       random differ loop
 * input input hash        prints its SHA-256 and length large BYTES [C]   a result of that size
 *   abort         the process dies of SIGABRT
 *   continue JSON (as new, with that input)
 *   hostfail          the host fails the agent, once in this process
 *   file              a call of the pool for files: looks at /
 *   write NAME TEXT   into the private directory; TEXT `input` is the agent's input
 *   hold              one step that lasts until fake_hold_release
 *   connect HOST PORT, send TEXT, much BYTES, recv, await MS, shut, hang: one connection at a time
 *   select MS: a poll of standard input, what is open, the connection and so much time
 *   slow MS           it is slowed for making too many host calls
 * `wait any` waits for the open handles and prints which came; `wait all` takes each in turn. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "engine_fixture.h"
#include "microsandbox/files.h"
#include "microsandbox/guest.h"

static atomic_uint held; /* steps of the program hold */
static atomic_bool released;

unsigned fake_held(void) {
    return atomic_load(&held);
}

void fake_hold_release(void) {
    atomic_store(&released, true);
}

void fake_hold_again(void) {
    atomic_store(&released, false);
}

#define SLICE 1000

struct sh_sandbox {
    struct sh_files *files;
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
    char *input, *state, *workspace;
    uint64_t fuel, fuel_max;
    size_t pc; /* offset of the instruction */
    uint64_t spins;
    int32_t open[256];
    size_t n_open;
    bool checkpointed, started;
    bool connected;
    uint64_t connection, polls;
    struct sh_buf asked, question;
    struct sh_files *files;
    struct sh_file *flight;
};

int sh_sandbox_new(const struct sh_sandbox_config *config, struct sh_sandbox **ret,
                   struct sh_err *err) {
    (void)err;
    *ret = sh_new(struct sh_sandbox);
    (*ret)->files = sh_files_new(config ? config->file_stuck_ms : 0);
    return 0;
}

struct sh_sandbox *sh_sandbox_free(struct sh_sandbox *s) {
    if (s) {
        sh_files_free(s->files);
    }
    return sh_free(s);
}

const char *fixture_runtime = "fake 1";

const char *sh_sandbox_runtime(const struct sh_sandbox *s) {
    (void)s;
    return fixture_runtime;
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
    static const size_t max = 2 * SH_MIB;
    sh_auto(sh_free_p) char *text = sh_alloc(max);
    ssize_t n = fd >= 0 ? read(fd, text, max) : -1;

    return n < 0 ? sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                                 "cannot open %s", path)
                 : sh_module_load(s, sh_strn(text, (size_t)n), ret, err);
}

/* Like a module that was never compiled. */
struct sh_module *sh_module_find_file(struct sh_sandbox *s, const char *path) {
    (void)s;
    (void)path;
    return NULL;
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

    (void)err;
    a->config = *config;
    a->files = s->files;
    a->module = sh_module_ref(config->module);
    if (config->input_text) {
        a->input = sh_buf_take(config->input_text);
    } else {
        a->input = sh_strndup0(config->input.p, config->input.len);
    }
    a->workspace = sh_strdup(config->workspace ? config->workspace : "");
    a->state = sh_strndup0(config->state.p, config->state.len);
    a->config.input = sh_str(a->input);
    a->config.state = sh_str(a->state);
    a->fuel = config->fuel_used;
    a->fuel_max = config->caps->limits.fuel;
    a->pc = strcspn(a->module->text, "\n") + 1;
    sh_buf_init_sure(&a->asked, SH_MIB);
    sh_buf_init_sure(&a->question, SH_MIB);
    sh_guest_init(&a->guest, &a->config);
    *ret = a;
    return 0;
}

struct sh_agent *sh_agent_free(struct sh_agent *a) {
    if (a) {
        a->flight = sh_file_drop(a->flight);
        sh_buf_done(&a->asked);
        sh_buf_done(&a->question);
        sh_guest_done(&a->guest);
        sh_module_unref(a->module);
        sh_free(a->input);
        sh_free(a->state);
        sh_free(a->workspace);
        sh_free(a);
    }
    return NULL;
}

void sh_agent_push(struct sh_agent *a, const struct sh_tape_item *item) {
    sh_guest_push(&a->guest, item);
}

struct sh_str sh_agent_state(const struct sh_agent *a) {
    return a->config.state;
}

const struct sh_agent_wait *sh_agent_wait(const struct sh_agent *a) {
    return &a->guest.wait;
}

void sh_agent_wake(struct sh_agent *a) {
    sh_guest_clock_advance(&a->guest, a->guest.wait.delay_ns);
    a->guest.woken = true;
}

struct sh_buf *sh_agent_result(struct sh_agent *a) {
    return a->guest.result.len > 0 ? &a->guest.result : NULL;
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

static int print_hash(struct sh_agent *a, const char *text) {
    char line[SH_HASH_HEX_BYTES + 32], hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_sha256(text, strlen(text), &hash);
    sh_hash_hex(&hash, hex);
    snprintf(line, sizeof(line), "%s %zu\n", hex, strlen(text));
    return print(a, line);
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
        if (!sh_guest_room(&a->guest, SH_KIB)) { /* for the line that is printed */
            return SH_CALL_PENDING;
        }
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

static int emit(struct sh_agent *a, const char *args, enum sh_effect_kind kind) {
    size_t type = strcspn(args, " ");
    const char *json = args[type] ? args + type + 1 : "";

    if (!sh_guest_room(&a->guest, strlen(args))) {
        return SH_CALL_PENDING;
    }
    uint64_t *count = kind == SH_EFFECT_EMIT ? &a->guest.emitted : &a->guest.published;
    sh_guest_effect(&a->guest, kind, 0, (*count)++, sh_strn(args, type), sh_str(json));
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

static int file_call(struct sh_agent *a) {
    static struct sh_vfs_grant root = {.root = -1};
    struct sh_vfs_call c = {
        .op = SH_VFS_STAT, .grant = &root, .dir = -1, .to_dir = -1, .path = ".", .opened.fd = -1};

    if (!a->flight && sh_files_start(a->files, &c, &a->flight) != 0) {
        return sh_guest_end(&a->guest, SH_E_NOMEM, "no file call");
    }
    if (!sh_file_over(a->flight)) {
        a->guest.wait = (struct sh_agent_wait){.kind = SH_WAIT_FILE};
        return SH_CALL_PENDING;
    }
    sh_file_answer(a->flight, &c);
    a->flight = sh_file_drop(a->flight);
    return print(a, c.error == EIO ? "given up\n" : "looked\n");
}

bool sh_agent_file_wait(struct sh_agent *a, void (*ready)(void *arg), void *arg) {
    return !a->flight || sh_file_wait(a->flight, ready, arg);
}

void sh_agent_file_unwait(struct sh_agent *a) {
    if (a->flight) {
        sh_file_unwait(a->flight);
    }
}

static int slow(struct sh_agent *a, const char *args) {
    struct sh_guest *g = &a->guest;

    if (g->call.stage == 0) {
        g->call.stage = 1;
        g->wait = (struct sh_agent_wait){.kind = SH_WAIT_RATE,
                                         .delay_ns = strtoull(args, NULL, 10) * 1000000};
        return SH_CALL_PENDING;
    }
    return 0;
}

static int write_file(struct sh_agent *a, const char *args) {
    size_t name = strcspn(args, " ");
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%.*s", a->workspace, (int)name, args);
    const char *text = args[name] ? args + name + 1 : "";
    FILE *file = fopen(path, "we");

    if (file) {
        fputs(strcmp(text, "input") == 0 ? a->input : text, file);
        fclose(file);
    }
    return 0;
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

/* Anew with this input, unless that is the input already. */
static int continue_as_new(struct sh_agent *a, const char *args) {
    if (strcmp(a->input, args) == 0) {
        return print(a, "continued\n");
    }
    sh_free(a->state);
    a->state = sh_strdup(args);
    a->guest.wait = (struct sh_agent_wait){.kind = SH_WAIT_ROOM, .input = sh_str(a->state)};
    a->checkpointed = true;
    return SH_CALL_PENDING;
}

/* What came first: time, the connection, or so many bytes of standard input. */
static int selected(struct sh_agent *a, struct sh_reader *r, size_t n_poll) {
    char text[100] = "select late\n";
    bool late = sh_reader_u8(r);

    for (size_t i = 0; i < n_poll; i++) {
        if (sh_reader_u32(r)) {
            snprintf(text, sizeof(text), "select connection\n");
        }
    }
    if (sh_reader_u8(r)) {
        snprintf(text, sizeof(text), "select %zu bytes\n", sh_reader_bytes32(r).len);
    }
    return r->failed || (late && strcmp(text, "select late\n") != 0)
               ? sh_guest_end(&a->guest, SH_E_CORRUPT, "an answer that is none")
               : print(a, text);
}

/* What it asks is its line; the answer's errno is printed, and what came. */
static int net(struct sh_agent *a, const char *kind, const char *line, struct sh_net_ask q) {
    struct sh_guest *g = &a->guest;
    struct sh_reader r;
    struct sh_str s, bytes = {NULL, 0};
    char text[SH_KIB];
    unsigned error;
    int rc;

    if (!sh_guest_room(g, SH_KIB)) {
        return SH_CALL_PENDING;
    }
    rc = sh_guest_recall(g, kind, &s);
    if (rc == 0) {
        q.kind = kind;
        sh_buf_clear(&a->question);
        sh_buf_adds(&a->question, line);
        q.question = sh_buf_str(&a->question);
        g->wait = (struct sh_agent_wait){.kind = SH_WAIT_NET,
                                         .call_number = g->call_number,
                                         .max_bytes = q.for_stdin ? 100 : 0,
                                         .net = q};
        return SH_CALL_PENDING;
    }
    if (rc < 0 || s.len < strlen(line) || memcmp(s.p, line, strlen(line)) != 0) {
        return sh_guest_end(g, SH_E_NONDETERMINISM, "another question");
    }
    r = (struct sh_reader){.p = (const uint8_t *)s.p + strlen(line),
                           .end = (const uint8_t *)s.p + s.len};
    error = sh_reader_u32(&r);
    if (strcmp(kind, SH_NET_READ) == 0 && error == 0) {
        bytes = sh_reader_bytes32(&r);
    } else if (strcmp(kind, SH_NET_POLL) == 0) {
        bytes = sh_reader_u8(&r) ? SH_STR("late") : SH_STR("ready");
    } else if (strcmp(kind, SH_POLL) == 0) {
        return selected(a, &r, q.n_poll);
    } else if (strcmp(kind, SH_NET_OPEN) == 0) {
        a->connection = g->call_number - 1;
        a->connected = true;
    }
    snprintf(text, sizeof(text), "%s %u %.*s\n", kind + 4, error,
             (int)(bytes.len > 900 ? 900 : bytes.len), bytes.p ? bytes.p : "");
    return print(a, text);
}

static int connect_to(struct sh_agent *a, const char *args) {
    char host[64] = "";
    unsigned port = 0;

    sscanf(args, "%63s %u", host, &port);
    sh_buf_clear(&a->asked);
    sh_buf_add(&a->asked, host, strlen(host) + 1);
    return net(a, SH_NET_OPEN, args,
               (struct sh_net_ask){.host = a->asked.p, .port = (uint16_t)port});
}

/* Standard input, all open activities, the connection if there is one, and so many ms. */
static int select_any(struct sh_agent *a, const char *args, struct sh_net_ask q) {
    struct sh_guest *g = &a->guest;
    struct sh_agent_wait wait;
    int r;

    if (!sh_guest_room(g, SH_KIB)) {
        return SH_CALL_PENDING;
    }
    if (a->n_open && sh_guest_wait_is_first(g, a->open, a->n_open)) {
        r = sh_guest_wait(g, a->open, a->n_open);
        if (r < 0) {
            return print(a, "select canceled\n");
        }
        printed_result(a, r);
        close_handle(a, r);
        return 0;
    }
    q.for_stdin = true;
    q.n_poll = a->connected;
    q.timeout_ns = strtoull(args, NULL, 10) * 1000000;
    r = net(a, SH_POLL, args, q);
    if (r == SH_CALL_PENDING && g->wait.kind == SH_WAIT_NET && a->n_open) {
        wait = g->wait;
        (void)sh_guest_wait(g, a->open, a->n_open);
        wait.handles = g->wait.handles;
        wait.n_handles = g->wait.n_handles;
        g->wait = wait;
    }
    return r;
}

static int net_word(struct sh_agent *a, const char *word, const char *args) {
    struct sh_net_ask q = {.connection = a->connection, .poll = &a->connection, .n_poll = 1};

    if (a->guest.call.stage == 0) {
        a->guest.call.stage = 1;
        a->guest.call.a = ++a->polls;
    }
    q.poll_serial = a->guest.call.a;

    if (strcmp(word, "connect") == 0) {
        return connect_to(a, args);
    } else if (strcmp(word, "recv") == 0) {
        return net(a, SH_NET_READ, args, q);
    } else if (strcmp(word, "shut") == 0) {
        return net(a, SH_NET_SHUT, args, q);
    } else if (strcmp(word, "await") == 0) {
        q.timeout_ns = strtoull(args, NULL, 10) * 1000000;
        return net(a, SH_NET_POLL, args, q);
    } else if (strcmp(word, "select") == 0) {
        return select_any(a, args, q);
    } else if (strcmp(word, "hang") == 0) {
        sh_guest_effect(&a->guest, SH_EFFECT_NET_CLOSE, 0, a->connection, (struct sh_str){0},
                        (struct sh_str){0});
        return 0;
    }
    sh_buf_clear(&a->asked);
    if (strcmp(word, "much") == 0) {
        for (unsigned long i = strtoul(args, NULL, 10); i > 0; i--) {
            sh_buf_addc(&a->asked, 'x');
        }
    } else {
        sh_buf_adds(&a->asked, args);
    }
    q.bytes = sh_buf_str(&a->asked);
    return net(a, SH_NET_WRITE, args, q);
}

static bool is_net_word(const char *word) {
    static const char *const words[] = {"connect", "recv", "send",  "much",
                                        "shut",    "hang", "await", "select"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0) {
            return true;
        }
    }
    return false;
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
        uint64_t lost = 0;

        if (strcmp(args, "overflow") == 0) {
            sh_random_bytes(&lost, sizeof(lost) / 2);
        }
        a->fuel += lost;
        a->guest.end.trap = lost ? "integer overflow" : "unreachable";
        return sh_guest_end(&a->guest, SH_E_TRAP, "trap: %s", args);
    }
    a->guest.end.exit_status = atoi(args);
    return sh_guest_end(&a->guest, atoi(args) ? SH_E_EXIT : SH_OK, "exit %s", args);
}

/* output JSON, or large BYTES [C]: a JSON string of C, or no JSON where C is a quote. Before its
 * checkpoint only. */
static int give(struct sh_agent *a, const char *word, const char *args) {
    char *end = NULL;
    size_t n = strcmp(word, "large") == 0 ? (size_t)strtoull(args, &end, 10) : 0;

    if (a->config.state.len > 0) {
        return 0;
    }
    if (n == 0) {
        sh_guest_effect(&a->guest, SH_EFFECT_RESULT, 0, 0, (struct sh_str){0}, sh_str(args));
        return 0;
    }
    sh_auto(sh_free_p) char *text = sh_alloc(n);
    memset(text, end[0] && end[1] ? end[1] : 'x', n);
    text[0] = text[n - 1] = '"';
    return sh_guest_give(&a->guest, sh_strn(text, n));
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
        return emit(a, args, SH_EFFECT_EMIT);
    } else if (strcmp(word, "publish") == 0) {
        return emit(a, args, SH_EFFECT_PUBLISH);
    } else if (strcmp(word, "output") == 0 || strcmp(word, "large") == 0) {
        return give(a, word, args);
    } else if (strcmp(word, "sleep") == 0) {
        return sleep_for(a, args);
    } else if (strcmp(word, "read") == 0) {
        return read_stdin(a);
    } else if (strcmp(word, "write") == 0) {
        return write_file(a, args);
    } else if (strcmp(word, "checkpoint") == 0) {
        return checkpoint(a, args);
    } else if (strcmp(word, "continue") == 0) {
        return continue_as_new(a, args);
    } else if (strcmp(word, "hold") == 0) {
        atomic_fetch_add(&held, 1);
        while (!atomic_load(&released)) {
            usleep(1000);
        }
        return 0;
    } else if (strcmp(word, "slow") == 0) {
        return slow(a, args);
    } else if (is_net_word(word)) {
        return net_word(a, word, args);
    } else if (strcmp(word, "file") == 0) {
        return file_call(a);
    } else if (strcmp(word, "exit") == 0 || strcmp(word, "trap") == 0) {
        return end_word(a, word, args);
    } else if (strcmp(word, "abort") == 0) {
        abort();
    } else if (strcmp(word, "hostfail") == 0) {
        static atomic_bool failed;
        return atomic_exchange(&failed, true) ? 0 : sh_guest_end(g, SH_E_NOSPC, "the disk is full");
    } else if (strcmp(word, "input") == 0) {
        return strcmp(args, "hash") == 0 ? print_hash(a, a->input) : print(a, a->input);
    }
    return numbers(a, word);
}

static enum sh_agent_status finished(struct sh_agent *a) {
    a->guest.ended = true;
    return SH_AGENT_FINISHED;
}

void sh_agent_live(struct sh_agent *a) {
    a->guest.live = true;
}

enum sh_agent_status sh_agent_step(struct sh_agent *a) {
    uint64_t slice = 0;

    for (;;) {
        if (a->guest.ended) { /* by an input that could not be kept */
            return finished(a);
        }
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
