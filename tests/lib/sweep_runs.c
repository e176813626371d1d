/* Scenarios: one task that is submitted and runs to its end. */
#include "sweep.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static const char child[] = "(module\nprint in\nstart calculator {\"n\":3}\nwait any\n"
                            "start sleep {\"ms\":2}\nwait any\ninput\n";

static void allow(struct fixture *f) {
    f->policy_doc = sweep_policy("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"tools\":[\"workflow\","
                                 "\"llm\",\"kv\",\"calculator\"]}}]}");
}

/* A scenario of one step, whose program is `text`. */
#define RUN_STEPS(id, text)                                                                        \
    static int submit_##id(void) {                                                                 \
        return sweep_submit(0, text, NULL);                                                        \
    }                                                                                              \
    static const struct sweep_step steps_##id[] = {{"submit", submit_##id, NULL, false}, {0}}
#define RUN(id, text, settings)                                                                    \
    RUN_STEPS(id, text);                                                                           \
    static const struct sweep_scenario id = {.name = #id, .set = (settings), .steps = steps_##id}

RUN(sequential,
    "(module\nprint begin\nstart llm {\"q\":1}\nwait any\nstart kv.put "
    "{\"key\":\"k\",\"value\":1}\nwait any\nstart calculator {\"n\":4}\nwait any\n"
    "start kv.get {\"key\":\"k\"}\nwait any\nprint end\n",
    allow);

/* with timers, and what others read */
RUN(parallel,
    "(module\nstart llm {\"delay_ms\":10}\nstart llm {\"delay_ms\":1}\nstart sleep {\"ms\":30}\n"
    "wait 2\nwait 1\nwait 3\nemit progress {\"n\":1}\npublish state {\"n\":2}\n"
    "output {\"answer\":\"parallel\"}\n",
    allow);

RUN(checkpoints,
    "(module\nstart llm {\"q\":1}\nwait any\ncheckpoint mark\nsleep 2\nprint after\n"
    "start unknown {}\nwait any\nstart llm {\"q\":3}\nwait any\nexit 3\n",
    allow);

RUN(undone,
    "(module\nstart compensate {\"op\":\"kv.put\",\"args\":{\"key\":\"k\",\"value\":0}}\nwait any\n"
    "start compensate {\"op\":\"llm\",\"args\":{\"undo\":1}}\nwait any\n"
    "start kv.put {\"key\":\"k\",\"value\":1}\nwait any\nstart llm {\"q\":1}\nwait any\nexit 2\n",
    allow);

static void sleeps_soon(struct fixture *f) {
    allow(f);
    f->passivate_after_ms = 10;
}

/* long waits, in which it leaves memory, with files that come back */
RUN(sleeping,
    "(module\nwrite one first\nwrite two second\nstart llm {\"q\":1}\nwait any\ncheckpoint mark\n"
    "start sleep {\"ms\":60}\nwait any\nprint a\nstart sleep {\"ms\":50}\nwait any\n"
    "start llm {\"q\":2}\nwait any\n",
    sleeps_soon);

static void compacts_soon(struct fixture *f) {
    allow(f);
    f->compact_after = 2;
    f->compact_slice = 2;
    f->blob_grace_ms = 1;
}

static int submit_anew(void) {
    return sweep_submit(0,
                        "(module\nwrite f input\nemit step {\"n\":1}\n"
                        "start kv.increment {\"key\":\"n\"}\nwait any\nstart llm {\"q\":1}\n"
                        "wait any\ncontinue {\"again\":1}\nprint end\nstart llm {\"q\":2}\n"
                        "wait any\n",
                        NULL);
}

/* as new, and what was before goes while it runs, or, where that was given up, when asked for */
static const struct sweep_step continues[] = {
    {"submit", submit_anew, NULL, false}, {"compact", sweep_compact, sweep_compacted, false}, {0}};
static const struct sweep_scenario anew = {
    .name = "anew", .set = compacts_soon, .steps = continues};

/* ---- children ---- */

static int add_child(void) {
    return sweep_module(child, "child");
}

static int submit_parent(void) {
    return sweep_submit(
        0,
        "(module\nstart workflow {\"agent\":\"child\",\"input\":{\"n\":1}}\nwait any\n"
        "start workflow {\"agent\":\"child\",\"query\":\"two\"}\n"
        "start workflow {\"agent\":\"child\",\"query\":\"three\"}\nwait 3\nwait 2\nprint end\n",
        NULL);
}

static void check_children(const json_t *durable) {
    json_t *row;
    const char *id;
    size_t n = 0;

    json_object_foreach(json_object_get(durable, "workflow"), id, row) {
        n++;
        sweep_assert(sh_str_eqz(sh_json_get_str(row, "status"), "completed"), "%s: not completed",
                     id);
    }
    sweep_assert(n == 4, "%zu workflows instead of 4", n);
}

static const struct sweep_step family[] = {
    {"register the child", add_child, NULL, false}, {"submit", submit_parent, NULL, false}, {0}};
static const struct sweep_scenario children = {
    .name = "children", .set = allow, .steps = family, .check = check_children};

/* ---- what is kept beside the journal ---- */

static int submit_large(void) {
    struct sh_buf input;
    int code;

    sh_buf_init_sure(&input, SH_INPUT_MAX + 4);
    memset(sh_buf_room(&input, SH_INPUT_MAX + 3), '1', SH_INPUT_MAX + 3);
    input.len = SH_INPUT_MAX + 3;
    code = sweep_submit(0,
                        "(module\ninput hash\nstart llm {\"q\":1}\nwait any\nlarge 1048577\n"
                        "print end\n",
                        &(struct sh_submit){.input_text = &input});
    sh_buf_done(&input);
    return code;
}

static int open_large(void) {
    struct sweep_answer *a = sweep_ask();
    struct sh_err err = {0};
    uint64_t bytes = 0;
    int fd = -1, code;

    sh_engine_get(sweep.f.engine, sh_str(sweep.ids[0]), sweep_on_json, a);
    code = sweep_answered(a);
    if (code) {
        return code;
    }
    if (!json_object_get(a->value, "output_kept")) {
        return SWEEP_LATER;
    }
    if (sh_engine_payload_open(sweep.f.engine, json_object_get(a->value, "output_kept"), &fd,
                               &bytes, &err) == 0) {
        sweep_assert(bytes == SH_OUTPUT_MAX + 1, "%llu bytes", (unsigned long long)bytes);
        close(fd);
    }
    return err.code;
}

static const struct sweep_step larges[] = {
    {"submit", submit_large, NULL, false}, {"open the result", open_large, NULL, true}, {0}};
static const struct sweep_scenario large = {.name = "large", .set = allow, .steps = larges};

/* A child's, which its parent gets as a value. */
static int add_large_child(void) {
    return sweep_module("(module\nlarge 1048577\nprint end\n", "child");
}

static int submit_its_parent(void) {
    return sweep_submit(0, "(module\nstart workflow {\"agent\":\"child\"}\nwait any\n", NULL);
}

static const struct sweep_step large_children[] = {
    {"register the child", add_large_child, NULL, false},
    {"submit", submit_its_parent, NULL, false},
    {0}};
static const struct sweep_scenario large_child = {
    .name = "large-child", .set = allow, .steps = large_children};

/* ---- connections ---- */

static int listener = -1;
static unsigned port;

/* A peer that never accepts: its kernel connects and takes what is sent. */
static void listen_for_it(struct fixture *f) {
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof(in);

    if (listener < 0) {
        listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(bind(listener, (struct sockaddr *)&in, sizeof(in)), 0);
        ck_assert_int_eq(listen(listener, 4096), 0);
        ck_assert_int_eq(getsockname(listener, (struct sockaddr *)&in, &n), 0);
        port = ntohs(in.sin_port);
    }
    sh_auto(sh_free_p) char *policy =
        sh_asprintf("{\"rules\":[{\"agent\":\"*\",\"allow\":{\"network\":[{\"scheme\":\"tcp\","
                    "\"host\":\"127.0.0.1\",\"port\":%u}],\"tools\":[\"llm\"]}}]}",
                    port);
    f->policy_doc = sweep_policy(policy);
}

static int submit_connected(void) {
    sh_auto(sh_free_p) char *text =
        sh_asprintf("(module\nconnect 127.0.0.1 %u\nsend hello\nstart llm {\"q\":1}\nwait any\n"
                    "shut\nhang\nprint end\n",
                    port);

    return sweep_submit(0, text, NULL);
}

static const struct sweep_step connects[] = {{"submit", submit_connected, NULL, false}, {0}};
static const struct sweep_scenario connected = {
    .name = "connected", .set = listen_for_it, .steps = connects, .differs = true};

const struct sweep_scenario *const sweep_runs[] = {
    &sequential, &parallel, &checkpoints, &children,  &undone, &sleeping,
    &anew,       &large,    &large_child, &connected, NULL};
