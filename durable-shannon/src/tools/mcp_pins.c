/* Which description of a tool was accepted. A tool is what its server said it is when it was first
 * seen: the digest of that is kept in a file. The decision to allow it was about that one. */
#include "tools/mcp.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static json_t *pins_read(const struct sh_tools *t) {
    json_t *pins = NULL;
    char text[256 * 1024];
    sh_auto(sh_close_p) int fd =
        t->mcp_pins ? open(t->mcp_pins, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW) : -1;
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : -1;
    if (n <= 0 || sh_json_parse(sh_strn(text, (size_t)n), sizeof(text), &pins, NULL) != 0 ||
        !json_is_object(pins)) {
        json_decref(pins);
        pins = json_object();
    }
    return pins;
}

static void pins_write(const struct sh_tools *t, const json_t *pins) {
    sh_auto(sh_free_p) char *text = sh_json_text(pins);
    sh_auto(sh_free_p) char *next = t->mcp_pins ? sh_asprintf("%s.new", t->mcp_pins) : NULL;
    int fd = next ? open(next, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
    if (fd < 0) {
        return;
    }
    bool good = write(fd, text, strlen(text)) == (ssize_t)strlen(text) && fsync(fd) == 0;
    close(fd);
    if (!good || rename(next, t->mcp_pins) != 0) {
        (void)unlink(next);
    }
}

char *sh_mcp_op_name(const struct sh_mcp_server *s, const char *tool) {
    return sh_asprintf("mcp:%s/%s", s->name, tool);
}

char *sh_mcp_digest(const char *text) {
    struct sh_hash hash;
    char hex[SH_HASH_HEX_BYTES];
    sh_sha256(text, strlen(text), &hash);
    sh_hash_hex(&hash, hex);
    return sh_strdup(hex);
}

void sh_mcp_pin_new(struct sh_mcp_server *s) {
    const char *name = NULL;
    json_t *tool = NULL;
    bool more = false;
    sh_auto(sh_json_done) json_t *pins = pins_read(s->tools);
    json_object_foreach(s->listed, name, tool) {
        sh_auto(sh_free_p) char *op = sh_mcp_op_name(s, name);
        if (!json_object_get(pins, op)) {
            json_object_set(pins, op, json_object_get(tool, "digest"));
            more = true;
        }
    }
    if (more) {
        pins_write(s->tools, pins);
    }
}

bool sh_mcp_is_changed(const struct sh_mcp_server *s, const char *tool) {
    sh_auto(sh_json_done) json_t *pins = pins_read(s->tools);
    sh_auto(sh_free_p) char *op = sh_mcp_op_name(s, tool);
    const json_t *pin = json_object_get(pins, op);
    return pin && !json_equal(pin, json_object_get(json_object_get(s->listed, tool), "digest"));
}

int sh_tools_mcp_accept(const char *pins_path, const char *op, struct sh_err *err) {
    struct sh_tools t = {.mcp_pins = (char *)(uintptr_t)pins_path};
    sh_auto(sh_json_done) json_t *pins = pins_read(&t);
    if (json_object_del(pins, op) != 0) {
        return sh_fail(err, SH_E_NOT_FOUND, "no MCP tool %.80s has been seen here", op);
    }
    pins_write(&t, pins);
    return 0;
}
