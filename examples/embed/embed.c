/* A program that runs an agent durably, on the library alone:
 *
 *     cc embed.c $(pkg-config --cflags --libs durable_shannon) -o embed
 *     ./embed DATA_DIR AGENT.wasm QUERY
 *
 * Kill it whenever you like and start it again with the id that it printed in place of the query:
 * the task goes on. */
#include <durable_shannon.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const struct durable_error *e) {
    fprintf(stderr, "embed: %s: %s\n", e->code, e->message);
    return 1;
}

static char *read_file(const char *path, size_t *ret_n) {
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(64 << 20);

    *ret_n = f && bytes ? fread(bytes, 1, 64 << 20, f) : 0;
    if (f) {
        fclose(f);
    }
    return bytes;
}

static void on_event(void *arg, const char *event) {
    (void)arg;
    fprintf(stderr, "%s\n", event);
}

static int start(struct durable *d, const char *agent, const char *query, char **id,
                 struct durable_error *e) {
    char task[4096];
    size_t n;
    char *bytes = read_file(agent, &n);
    int r = durable_module(d, "embedded", bytes, n, NULL, NULL, e);

    free(bytes);
    /* a query with quotes would need a JSON writer; this example takes none */
    snprintf(task, sizeof(task), "{\"agent\":\"embedded\",\"query\":\"%s\",\"session\":\"embed\"}",
             query);
    return r < 0 ? r : durable_submit(d, task, id, e);
}

int main(int argc, char **argv) {
    struct durable *d = NULL;
    struct durable_follow *follow = NULL;
    struct durable_error e;
    char *id = NULL, *task = NULL;

    if (argc != 4) {
        fprintf(stderr, "usage: embed DATA_DIR AGENT.wasm QUERY|ID\n");
        return 2;
    }
    if (durable_open(&(struct durable_options){.data_dir = argv[1]}, &d, &e) < 0) {
        return fail(&e);
    }
    if (strncmp(argv[3], "wf-", 3) != 0 && start(d, argv[2], argv[3], &id, &e) < 0) {
        durable_close(d);
        return fail(&e);
    }
    printf("%s\n", id ? id : argv[3]);
    fflush(stdout);
    if (durable_follow(d, id ? id : argv[3], 0, on_event, NULL, &follow, &e) < 0 ||
        durable_wait(d, id ? id : argv[3], 0, &task, &e) < 0) {
        durable_close(d);
        return fail(&e);
    }
    durable_unfollow(d, follow);
    printf("%s\n", task);
    durable_free(task);
    durable_free(id);
    durable_close(d);
    return 0;
}
