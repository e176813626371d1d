/* shannon mcp: one MCP client over stdin and stdout. The data directory is ours when nobody has it,
 * and then everybody else joins us; else its owner does the work. When the owner goes, we take its
 * place, with the session and its calls.
 *
 *   open: own | join --(owner gone)--> open ... --(client gone, calls answered | signal)--> closed
 *
 * stdout belongs to the protocol, so this command logs to stderr only. */
#include "cli/cli.h"

#include "cli/mcp_stdio.h"
#include "http/server.h"
#include "mcp/mcp.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#define REJOIN_MS 100 /* between two looks for an owner who answers */
#define REJOIN_MAX 600

struct mcp {
    struct sh_common common;
    struct sh_app app;
    struct sh_api api;
    struct sh_server *server; /* when the data directory is ours */
    struct sh_mcp_backend *backend;
    struct sh_mcp_session *session;
    struct sh_mcp_stdio io;
    uv_signal_t signals[2];
    int open_signals;
    uint64_t joined_ns;
    unsigned rejoins;
    bool remote, lost, stopping, ended; /* ended: the client says nothing more */
    struct sh_err err;
};

/* --- events ----------------------------------------------------------------------------------- */

static void on_signal(uv_signal_t *handle, int number) {
    struct mcp *m = handle->data;
    if (m->stopping) {
        _exit(128 + number); /* asked twice: stopping is always safe */
    }
    m->stopping = true;
    sh_loop_stop(m->app.loop);
}

static void on_lost(void *arg) {
    struct mcp *m = arg;
    m->lost = true;
    sh_loop_stop(m->app.loop);
}

static void send_message(void *arg, void *channel, const json_t *message, bool last) {
    struct mcp *m = arg;
    (void)channel;
    if (message) {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, 2 * SH_MCP_MESSAGE_MAX);
        sh_json_dump(message, &text);
        if (!text.failed) {
            sh_mcp_stdio_write(&m->io, sh_buf_str(&text));
        }
    }
    if (last && m->ended) {
        sh_loop_stop(m->app.loop); /* to look whether that was the last call */
    }
}

static void on_line(void *arg, struct sh_str line, bool too_long) {
    struct mcp *m = arg;
    struct sh_rpc_message message = {.kind = SH_RPC_BROKEN, .code = SH_RPC_INVALID};
    if (too_long) {
        sh_fail(&message.err, SH_E_LIMIT, "a message has at most %llu bytes",
                (unsigned long long)SH_MCP_MESSAGE_MAX);
    } else {
        sh_rpc_read(line, &message);
    }
    sh_mcp_receive(m->session, &message, NULL);
    sh_rpc_message_done(&message);
}

static void on_end(void *arg) {
    struct mcp *m = arg;
    m->ended = true;
    sh_loop_stop(m->app.loop);
}

/* --- opening ---------------------------------------------------------------------------------- */

static void open_signals(struct mcp *m) {
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        SH_ASSERT(uv_signal_init(sh_loop_uv(m->app.loop), &m->signals[i]) == 0);
        m->signals[i].data = m;
        SH_ASSERT(uv_signal_start(&m->signals[i], on_signal, numbers[i]) == 0);
        m->open_signals++;
    }
}

static void signal_closed(uv_handle_t *handle) {
    struct mcp *m = handle->data;
    m->open_signals--;
    sh_loop_stop(m->app.loop);
}

static void close_signals(struct mcp *m) {
    for (int i = 0, n = m->open_signals; i < n; i++) {
        uv_close((uv_handle_t *)&m->signals[i], signal_closed);
    }
    while (m->open_signals) {
        sh_loop_run(m->app.loop);
    }
}

static int own(struct mcp *m) {
    int rc = sh_app_config(&m->app.config, m->common.config, m->app.dir.path, &m->err);
    if (rc == 0) { /* a client shows its person our stderr: only what went wrong is worth that */
        sh_free(m->app.config.server_log);
        m->app.config.server_log = sh_strdup("warn");
        rc = sh_app_open(&m->app, &(struct sh_app_options){.attended = true}, &m->err);
    }
    rc = rc < 0 ? rc : sh_app_register_agents(&m->app, &m->err);
    if (rc < 0) {
        return rc;
    }
    sh_api_init(&m->api, &m->app);
    m->backend = sh_mcp_local_new(&m->api);
    return sh_server_start(&(struct sh_server_config){.api = &m->api, .sock = true}, &m->server,
                           &m->err);
}

static int join(struct mcp *m) {
    int rc = sh_loop_new(&m->app.loop, &m->err);
    m->remote = true;
    m->joined_ns = sh_mono_ns();
    if (rc == 0) {
        m->backend = sh_mcp_remote_new(m->app.loop, m->app.dir.sock, on_lost, m);
    }
    return rc;
}

static int open_data(struct mcp *m) {
    struct sh_err busy = {0};
    sh_auto(sh_free_p) char *path = sh_datadir_default(m->common.data_dir, &m->err);
    m->app = (struct sh_app){.dir = SH_DATADIR_CLOSED};
    m->remote = m->lost = false;
    int rc = path ? sh_datadir_open(path, true, &m->app.dir, &m->err) : -SH_E_INVAL;
    if (rc < 0) {
        return rc;
    }
    rc = sh_datadir_lock(&m->app.dir, &busy);
    if (rc == -SH_E_BUSY && m->rejoins <= REJOIN_MAX) {
        rc = join(m);
    } else if (rc < 0) {
        m->err = busy;
        return rc;
    } else {
        rc = own(m);
    }
    if (rc == 0) {
        open_signals(m);
    }
    return rc;
}

/* --- closing ---------------------------------------------------------------------------------- */

static void drain_over(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

/* Those who joined us get a moment to end by themselves. */
static void drain(struct mcp *m) {
    uint64_t end = sh_mono_ns() + 1000000000ULL;
    sh_server_drain(m->server);
    while (!sh_server_idle(m->server) && sh_mono_ns() < end && !m->app.failed) {
        struct sh_timer tick = {0};
        sh_timer_start(m->app.loop, &tick, 10000000, drain_over);
        sh_loop_run(m->app.loop);
        sh_timer_stop(&tick);
    }
}

static void close_data(struct mcp *m) {
    if (!m->app.loop) {
        sh_app_close(&m->app);
        return;
    }
    sh_mcp_stdio_stop(&m->io);
    if (m->server) {
        drain(m);
    }
    sh_app_stop(&m->app);
    sh_mcp_backend_free(m->backend);
    m->backend = NULL;
    m->server = sh_server_free(m->server);
    close_signals(m);
    sh_app_close(&m->app);
}

/* The owner has gone: another one is there, or it is us now. What was asked is asked again. */
static int rejoin(struct mcp *m) {
    struct sh_app old_app = m->app;
    struct sh_mcp_backend *old = m->backend;
    bool at_once = sh_mono_ns() - m->joined_ns < 2000000000ULL;
    m->rejoins = at_once ? m->rejoins + 1 : 0;
    if (at_once) {
        poll(NULL, 0, REJOIN_MS);
    }
    sh_mcp_stdio_stop(&m->io);
    close_signals(m);
    m->backend = NULL;
    int rc = open_data(m);
    if (rc == 0) {
        sh_mcp_session_use(m->session, m->backend);
        sh_mcp_backend_move(old, m->backend);
        sh_mcp_stdio_start(&m->io, m->app.loop);
    }
    struct sh_app new_app = m->app;
    m->app = old_app;
    sh_mcp_backend_free(old);
    sh_app_close(&m->app);
    m->app = new_app;
    return rc;
}

static int serve(struct mcp *m) {
    int rc = open_data(m);
    if (rc < 0) {
        return rc;
    }
    m->session = sh_mcp_session_new(m->backend, send_message, m);
    m->io.on_line = on_line;
    m->io.on_end = on_end;
    m->io.arg = m;
    sh_mcp_stdio_start(&m->io, m->app.loop);
    while (rc == 0 && !m->stopping && !m->app.failed && !m->io.broken &&
           !(m->ended && sh_mcp_session_calls(m->session) == 0)) {
        sh_loop_run(m->app.loop);
        if (m->lost) {
            rc = rejoin(m);
        }
    }
    if (m->app.failed) {
        m->err = m->app.fatal;
    }
    return -m->err.code;
}

int sh_cmd_mcp(int argc, char *const argv[]) {
    struct mcp *m = sh_new(struct mcp);
    m->app.dir = SH_DATADIR_CLOSED;
    sh_mcp_stdio_init(&m->io);
    int rc = sh_cli_parse(&m->common, "mcp [FLAGS]", NULL, 0, 0, 0, argc, argv);
    if (rc == 0) {
        rc = serve(m) < 0 ? sh_cli_fail(&m->err) : 0;
        sh_mcp_stdio_flush(&m->io, 2000);
        if (m->session) {
            sh_mcp_session_close(m->session);
        }
        close_data(m);
        sh_values_done(&m->common.operands);
    } else {
        rc = rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_mcp_stdio_done(&m->io);
    sh_free(m);
    return rc;
}
