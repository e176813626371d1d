/* Whose turn it is to compile, and what is not compiled again. A compiler may take gigabytes and
 * minutes, so few run at once; a module that uses up what one may take holds one place, not all of
 * them. Two who want the same module compile it once: the second waits and finds it made.
 *
 * A module that the compiler died of is remembered under the name of its artifact, with the reason,
 * for a day: then, or when someone removes the file, it is tried again. Without a folder it is
 * remembered as long as the sandbox lives. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "microsandbox/runtime.h"

#define AT_ONCE_MIN 2
#define AT_ONCE_MAX 4   /* of up to 4 GiB each */
#define REFUSED_MAX 256 /* remembered in memory */
#define REFUSED_SECONDS 86400

struct refused {
    struct sh_list node;
    char name[SH_ARTIFACT_NAME_BYTES], reason[sizeof(((struct sh_err *)NULL)->message)];
};

void sh_compile_queue_init(struct sh_compile_queue *q) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    (void)pthread_mutex_init(&q->lock, NULL);
    (void)pthread_cond_init(&q->changed, NULL);
    sh_list_init(&q->under_way);
    sh_list_init(&q->refused);
    q->at_once = cores < AT_ONCE_MIN   ? AT_ONCE_MIN
                 : cores > AT_ONCE_MAX ? AT_ONCE_MAX
                                       : (unsigned)cores;
}

void sh_compile_queue_done(struct sh_compile_queue *q) {
    struct sh_list *node;

    while ((node = sh_list_pop(&q->refused)) != NULL) {
        sh_free(sh_container_of(node, struct refused, node));
    }
    (void)pthread_cond_destroy(&q->changed);
    (void)pthread_mutex_destroy(&q->lock);
}

static bool must_wait(const struct sh_compile_queue *q, const char *name) {
    sh_list_each (node, &q->under_way) {
        if (strcmp(sh_container_of(node, struct sh_compile_turn, node)->name, name) == 0) {
            return true;
        }
    }
    return q->n_under_way >= q->at_once;
}

void sh_compile_enter(struct sh_compile_queue *q, const char *name, struct sh_compile_turn *turn) {
    *turn = (struct sh_compile_turn){.name = name};
    (void)pthread_mutex_lock(&q->lock);
    while (must_wait(q, name)) {
        (void)pthread_cond_wait(&q->changed, &q->lock);
    }
    sh_list_push(&q->under_way, &turn->node);
    q->n_under_way++;
    (void)pthread_mutex_unlock(&q->lock);
}

void sh_compile_leave(struct sh_compile_queue *q, struct sh_compile_turn *turn) {
    (void)pthread_mutex_lock(&q->lock);
    sh_list_unlink(&turn->node);
    q->n_under_way--;
    (void)pthread_cond_broadcast(&q->changed);
    (void)pthread_mutex_unlock(&q->lock);
}

/* --- what is not compiled again -------------------------------------------------------------- */

static int refuse(struct sh_err *err, const char *reason, const char *folder, const char *name) {
    char how[300] = "start again";

    if (folder) {
        (void)snprintf(how, sizeof(how), "remove %.200s/%s", folder, name);
    }
    return sh_fail(err, SH_E_COMPILE, "not compiled, because earlier %.250s; to try again: %s",
                   reason, how);
}

static int check_memory(struct sh_compile_queue *q, const char *name, struct sh_err *err) {
    int r = 0;

    (void)pthread_mutex_lock(&q->lock);
    sh_list_each (node, &q->refused) {
        const struct refused *old = sh_container_of(node, struct refused, node);

        if (strcmp(old->name, name) == 0) {
            r = refuse(err, old->reason, NULL, name);
            break;
        }
    }
    (void)pthread_mutex_unlock(&q->lock);
    return r;
}

int sh_refused_check(struct sh_sandbox *s, const char *name, struct sh_err *err) {
    char reason[sizeof(err->message)] = "";
    sh_auto(sh_close_p) int fd = -1;
    struct stat st;
    ssize_t n;

    if (s->aot_fd < 0) {
        return check_memory(&s->compiling, name, err);
    }
    fd = sh_artifact_open(s->aot_fd, name);
    if (fd < 0 || fstat(fd, &st) != 0 ||
        sh_wall_us() / 1000000 - (int64_t)st.st_mtim.tv_sec > REFUSED_SECONDS) {
        return 0;
    }
    n = read(fd, reason, sizeof(reason) - 1);
    if (n <= 0 || !sh_utf8_valid(sh_strn(reason, (size_t)n))) {
        return 0;
    }
    return refuse(err, reason, s->aot_dir, name);
}

static void note_memory(struct sh_compile_queue *q, const char *name, const char *reason) {
    struct refused *fresh = sh_new(struct refused), *oldest = NULL;

    (void)snprintf(fresh->name, sizeof(fresh->name), "%s", name);
    (void)snprintf(fresh->reason, sizeof(fresh->reason), "%s", reason);
    (void)pthread_mutex_lock(&q->lock);
    if (q->n_refused == REFUSED_MAX) {
        oldest = sh_container_of(sh_list_pop(&q->refused), struct refused, node);
        q->n_refused--;
    }
    sh_list_push(&q->refused, &fresh->node);
    q->n_refused++;
    (void)pthread_mutex_unlock(&q->lock);
    sh_free(oldest);
}

/* Not noted is only slower: the compiler dies of it once more. */
void sh_refused_note(struct sh_sandbox *s, const char *name, const struct sh_err *why) {
    char temporary[SH_ARTIFACT_NAME_BYTES];
    sh_auto(sh_close_p) int fd = -1;
    size_t n = strlen(why->message);

    if (s->aot_fd < 0) {
        note_memory(&s->compiling, name, why->message);
        return;
    }
    sh_artifact_temporary(temporary);
    fd = openat(s->aot_fd, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && (write(fd, why->message, n) != (ssize_t)n ||
                    sh_artifact_publish(s->aot_fd, fd, temporary, name) != 0)) {
        (void)unlinkat(s->aot_fd, temporary, 0);
    }
}
