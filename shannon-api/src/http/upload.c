/* A body that is a file: pieces of it are collected in memory and written by the pool, while the
 * connection is suspended, so that its disk holds up nobody else and what comes faster than it
 * writes stays with the sender. */
#include "http/door.h"

#define PIECE (1 * SH_MIB)

static void write_piece(struct sh_job *job) {
    struct sh_exchange *x = sh_container_of(job, struct sh_exchange, upload.job);
    sh_spool_write(x->r->body_file, x->r->body.p, x->r->body.len, &x->upload.err);
}

static void piece_written(struct sh_job *job) {
    struct sh_exchange *x = sh_container_of(job, struct sh_exchange, upload.job);
    sh_buf_clear(&x->r->body);
    x->upload.writing = false;
    x->door->server->uploads--;
    x->suspended = false;
    MHD_resume_connection(x->connection);
    sh_door_kick(x->door);
}

static void start_piece(struct sh_exchange *x) {
    x->upload.writing = true;
    x->upload.job.work = write_piece;
    x->upload.job.done = piece_written;
    x->door->server->uploads++;
    x->suspended = true;
    MHD_suspend_connection(x->connection);
    sh_loop_submit(x->door->server->api->app->loop, SH_POOL_FILES, &x->upload.job);
}

void sh_upload_add(struct sh_exchange *x, const char *data, size_t n) {
    sh_buf_add(&x->r->body, data, n);
    if (x->r->body.failed) {
        sh_fail(&x->upload.err, SH_E_NOMEM, "no memory for a piece of the body");
    } else if (x->r->body.len >= PIECE) {
        start_piece(x);
    }
}

bool sh_upload_wait(struct sh_exchange *x) {
    if (x->r->body_file >= 0 && x->r->body.len > 0 && !x->too_large && !x->upload.err.code) {
        start_piece(x);
        return true;
    }
    return false;
}
