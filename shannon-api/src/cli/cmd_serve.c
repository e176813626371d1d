/* shannon serve: own the data directory, take up what was unfinished, answer until told to stop.
 * Stopping: no new connection, streams end, workflows stop where they stand, the store closes. A
 * timer makes an end of it after 4.5 s, which loses nothing that anyone was told. */
#include "cli/cli.h"

#include "http/server.h"
#include "mcp/mcp.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>
#include <uv.h>

#define STOP_WITHIN_US 4500000
#define DRAIN_NS 1500000000ULL

struct serving {
    struct sh_app app;
    struct sh_api api;
    struct sh_server *server;
    struct sh_mcp_server *mcp;
    uv_signal_t signals[2];
    bool signals_open, stopping;
    int closing;
};

static void on_alarm(int signal_number) {
    (void)signal_number;
    _exit(0);
}

static void on_signal(uv_signal_t *handle, int signal_number) {
    struct serving *s = handle->data;
    if (s->stopping) {
        return;
    }
    s->stopping = true;
    sh_log(SH_LOG_INFO, "stopping", "signal=%d", signal_number);
    struct itimerval soon = {
        .it_value = {.tv_sec = STOP_WITHIN_US / 1000000, .tv_usec = STOP_WITHIN_US % 1000000}};
    signal(SIGALRM, on_alarm);
    setitimer(ITIMER_REAL, &soon, NULL);
    sh_loop_stop(s->app.loop);
}

static void open_signals(struct serving *s) {
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        SH_ASSERT(uv_signal_init(sh_loop_uv(s->app.loop), &s->signals[i]) == 0);
        s->signals[i].data = s;
        SH_ASSERT(uv_signal_start(&s->signals[i], on_signal, numbers[i]) == 0);
    }
    s->signals_open = true;
}

static void signal_closed(uv_handle_t *handle) {
    struct serving *s = handle->data;
    if (--s->closing == 0) {
        sh_loop_stop(s->app.loop);
    }
}

static void close_signals(struct serving *s) {
    if (!s->signals_open) {
        return;
    }
    s->closing = 2;
    uv_close((uv_handle_t *)&s->signals[0], signal_closed);
    uv_close((uv_handle_t *)&s->signals[1], signal_closed);
    while (s->closing) {
        sh_loop_run(s->app.loop);
    }
}

static void drain_over(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

/* Requests and streams get a moment to end by themselves. */
static void drain(struct serving *s) {
    sh_mcp_server_drain(s->mcp);
    sh_server_drain(s->server);
    uint64_t end = sh_mono_ns() + DRAIN_NS;
    while (!sh_server_idle(s->server) && sh_mono_ns() < end && !s->app.failed) {
        struct sh_timer tick = {0};
        sh_timer_start(s->app.loop, &tick, 10000000, drain_over);
        sh_loop_run(s->app.loop);
        sh_timer_stop(&tick);
    }
}

static void announce(const struct serving *s, bool as_json) {
    const char *url = sh_server_url(s->server);
    if (as_json) {
        json_t *line = json_pack("{s:s, s:s, s:I, s:o}", "url", url, "data_dir", s->app.dir.path,
                                 "pid", (json_int_t)getpid(), "api_key_file",
                                 json_sprintf("%s/api-key", s->app.dir.path));
        json_dumpf(line, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(line);
    } else {
        printf("listening on %s\nAPI key in %s/api-key\n", url, s->app.dir.path);
    }
    fflush(stdout);
    sh_log(SH_LOG_INFO, "listening", "url=%s data_dir=%s", url, s->app.dir.path);
}

struct serve_flags {
    struct sh_common common;
    const char *listen;
};

static int start(struct serving *s, const struct serve_flags *flags, struct sh_err *err) {
    char key[65], mcp_key[65];
    sh_auto(sh_free_p) char *path = sh_datadir_default(flags->common.data_dir, err);
    int rc = path ? sh_datadir_open(path, true, &s->app.dir, err) : -SH_E_INVAL;
    if (rc < 0 || (rc = sh_datadir_lock(&s->app.dir, err)) < 0 ||
        (rc = sh_datadir_api_key(&s->app.dir, true, key, err)) < 0 ||
        (rc = sh_datadir_mcp_key(&s->app.dir, true, mcp_key, err)) < 0 ||
        (rc = sh_app_config(&s->app.config, flags->common.config, s->app.dir.path, err)) < 0 ||
        (rc = sh_app_open(&s->app, &(struct sh_app_options){.attended = true}, err)) < 0) {
        return rc;
    }
    open_signals(s);
    rc = sh_app_register_agents(&s->app, err);
    sh_api_init(&s->api, &s->app);
    s->mcp = sh_mcp_server_new(&s->api);
    struct sh_server_config config = {
        .api = &s->api,
        .listen = flags->listen ? flags->listen : s->app.config.server_listen,
        .key = key,
        .mcp_key = mcp_key,
        .sock = true,
    };
    rc = rc < 0 ? rc : sh_server_start(&config, &s->server, err);
    explicit_bzero(key, sizeof(key));
    explicit_bzero(mcp_key, sizeof(mcp_key));
    return rc;
}

static int serve(const struct serve_flags *flags) {
    struct serving *s = sh_new(struct serving);
    struct sh_err err = {0};
    s->app.dir = SH_DATADIR_CLOSED;
    int rc = start(s, flags, &err);
    if (rc == 0) {
        announce(s, flags->common.json);
        while (!s->stopping && !s->app.failed) {
            sh_loop_run(s->app.loop);
        }
        if (s->app.failed) {
            err = s->app.fatal;
            sh_log(SH_LOG_ERROR, "store_failed", "error=\"%s\"", err.message);
        }
        drain(s);
    }
    sh_app_stop(&s->app);
    sh_mcp_server_free(s->mcp);
    s->server = sh_server_free(s->server);
    close_signals(s);
    sh_app_close(&s->app);
    sh_free(s);
    return err.code ? (sh_cli_fail(&err), SH_EXIT_OWN) : 0;
}

int sh_cmd_serve(int argc, char *const argv[]) {
    struct serve_flags f = {0};
    const struct sh_flag flags[] = {
        {"listen", SH_FLAG_TEXT, &f.listen, "HOST:PORT",
         "address (127.0.0.1:8765; port 0 takes a free one)"},
    };
    int rc = sh_cli_parse(&f.common, "serve [FLAGS]", flags, SH_N(flags), 0, 0, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    sh_values_done(&f.common.operands);
    return serve(&f);
}
