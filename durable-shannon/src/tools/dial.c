/* A connection of an agent's own. The target is judged by its name and by every address that the
 * name has, with the same check as requests; the socket is then opened to the address that was
 * judged. Nothing is put into what the agent sends. */
#include <errno.h>
#include <string.h>

#include "tools/tools_private.h"

struct sh_dial {
    struct sh_tools *tools;
    struct sh_tcp *tcp;
    struct sh_egress_target target;
    struct sh_egress_gate gate;
    void (*changed)(void *arg);
    void *arg;
};

static bool allow(void *arg, const struct sockaddr *addr) {
    const struct sh_dial *d = arg;

    return sh_egress_allows(&d->gate, &d->tools->own, &d->target, NULL, addr);
}

static void changed(void *arg) {
    const struct sh_dial *d = arg;

    d->changed(d->arg);
}

int sh_tools_dial(struct sh_tools *t, const struct sh_dial_request *req, struct sh_dial **ret,
                  struct sh_err *err) {
    struct sh_dial *d = sh_new(struct sh_dial);
    int r;

    SH_ON_LOOP(t->loop);
    d->tools = t;
    d->gate = (struct sh_egress_gate){req->may_reach, req->arg};
    d->changed = req->changed;
    d->arg = req->arg;
    r = sh_egress_target_tcp(req->host, req->port, &d->target, err);
    r = r ? r : sh_egress_check(&d->gate, &d->target, NULL, err);
    if (r == 0) {
        const struct sh_tcp_options o = {.host = d->target.host,
                                         .port = d->target.port,
                                         .timeout_ms = SH_NET_CONNECT_MS,
                                         .allow = allow,
                                         .changed = changed,
                                         .arg = d};
        r = sh_tcp_open(t->loop, &o, &d->tcp, err);
    }
    if (r) {
        sh_dial_close(d, true);
        return r;
    }
    t->running++;
    *ret = d;
    return 0;
}

struct sh_tcp *sh_dial_tcp(const struct sh_dial *d) {
    return d->tcp;
}

void sh_dial_failure(const struct sh_dial *d, struct sh_err *err) {
    const struct sh_egress_target *t = &d->target;
    int error = sh_tcp_status(d->tcp).error;

    if (error == EACCES) {
        sh_fail(err, SH_E_DENIED,
                "%s: each of its addresses is refused: one that is not public needs a rule that "
                "writes the address out, such as `--allow-net tcp://ADDRESS:%u`, and some are "
                "never reached (link-local, multicast, this server itself)",
                t->url, t->port);
    } else if (error == ETIMEDOUT) {
        sh_fail(err, SH_E_TIMEOUT, "%s: no connection within %llu s", t->url,
                SH_NET_CONNECT_MS / 1000);
    } else if (error == ENOENT) {
        sh_fail(err, SH_E_NOT_FOUND, "%s: there is no such name", t->url);
    } else {
        sh_fail(err, SH_E_UNAVAILABLE, "%s: %s", t->url, strerrordesc_np(error));
    }
}

void sh_dial_close(struct sh_dial *d, bool now) {
    if (!d) {
        return;
    }
    if (d->tcp) {
        sh_tcp_close(d->tcp, now);
        d->tools->running--;
    }
    sh_egress_target_done(&d->target);
    sh_free(d);
}
