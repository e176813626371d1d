/* See export_blobs.h. Two kinds of events name blobs: an observation that is kept beside the
 * journal ("KIND.kept": the last 40 bytes are SHA-256 and length), and a checkpoint with files. */
#include "engine/export_blobs.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/archive.h"
#include "engine/export.h"
#include "engine/modules.h"

enum { KEPT_REF = SH_HASH_BYTES + 8 };

static void note(json_t *set, const char *hex, bool manifest) {
    if (!json_object_get(set, hex)) {
        json_object_set_new(set, hex, json_boolean(manifest));
    }
}

static bool ends_with(struct sh_str s, struct sh_str end) {
    return s.len >= end.len && memcmp(s.p + s.len - end.len, end.p, end.len) == 0;
}

void sh_blobs_of_observation(struct sh_str kind, struct sh_str bytes, json_t *set) {
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    if (ends_with(kind, SH_STR(".kept")) && bytes.len >= KEPT_REF) {
        memcpy(hash.b, bytes.p + bytes.len - KEPT_REF, sizeof(hash.b));
        sh_hash_hex(&hash, hex);
        note(set, hex, false);
    }
}

void sh_blobs_of_event(struct sh_str type, const json_t *body, json_t *set) {
    sh_auto(sh_buf_done) struct sh_buf data;
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_buf_init_sure(&data, SH_EVENT_BODY_MAX);
    if (sh_str_eqz(type, "Checkpoint")) {
        struct sh_str s = sh_json_get_str(json_object_get(body, "workspace"), "manifest");

        if (sh_hash_parse(s, &hash) == 0) {
            sh_hash_hex(&hash, hex);
            note(set, hex, true);
        }
    } else if (sh_str_eqz(type, "Observed") &&
               ends_with(sh_json_get_str(body, "kind"), SH_STR(".kept"))) {
        if (sh_base64_decode(&data, sh_json_get_str(body, "data")) == 0) {
            sh_blobs_of_observation(sh_json_get_str(body, "kind"), sh_buf_str(&data), set);
        }
    }
}

static void add_file(json_t *files, struct sh_buf *archive, const char *hex, struct sh_str bytes) {
    sh_auto(sh_free_p) char *name = sh_asprintf("blobs/%s", hex);

    json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                           (json_int_t)bytes.len, "sha256", hex));
    sh_archive_add(archive, name, bytes);
}

static int add_one(const char *hex, const char *folder, json_t *files, struct sh_buf *archive,
                   json_t *more, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    sh_auto(sh_buf_done) struct sh_buf bytes;
    sh_auto(sh_json_done) json_t *list = NULL;
    char actual[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_buf_init(&bytes, SH_EXPORT_MAX);
    if (sh_file_read(path, SH_EXPORT_MAX - 1, &bytes, err) < 0) {
        return -err->code;
    }
    sh_sha256(bytes.p, bytes.len, &hash);
    sh_hash_hex(&hash, actual);
    if (strcmp(actual, hex) != 0) {
        return sh_fail(err, SH_E_CORRUPT, "%s does not have the hash that is its name", path);
    }
    add_file(files, archive, hex, sh_buf_str(&bytes));
    if (more && sh_json_parse(sh_buf_str(&bytes), SH_JSON_TEXT_MAX, &list, NULL) == 0) {
        for (size_t i = 0; i < json_array_size(list); i++) {
            struct sh_str kept = {NULL, 0};
            const json_t *entry = json_array_get(list, i);
            const char *kind = json_string_value(json_array_get(entry, 0));
            const char *s = json_string_value(json_array_get(entry, 2));

            kept = s ? sh_str(s) : kept;
            if (kind && strcmp(kind, "f") == 0 && sh_hash_parse(kept, &hash) == 0) {
                sh_hash_hex(&hash, actual);
                note(more, actual, false);
            }
        }
    }
    return 0;
}

/* Those that were named in `set`, but for `done`. */
static int add_all(const json_t *set, const json_t *done, const char *folder, json_t *files,
                   struct sh_buf *archive, json_t *more, struct sh_err *err) {
    const char *hex;
    json_t *manifest;
    int r = 0;

    json_object_foreach((json_t *)(uintptr_t)set, hex, manifest) {
        if (r == 0 && !json_object_get(done, hex)) {
            r = add_one(hex, folder, files, archive, json_is_true(manifest) ? more : NULL, err);
        }
    }
    return r;
}

int sh_blobs_export(json_t *set, const char *folder, json_t *files, struct sh_buf *archive,
                    struct sh_err *err) {
    sh_auto(sh_json_done) json_t *more = json_object();
    int r = add_all(set, NULL, folder, files, archive, more, err);

    return r ? r : add_all(more, set, folder, files, archive, NULL, err);
}

int sh_blob_import(const struct sh_hash *hash, struct sh_str bytes, const char *folder,
                   struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];
    sh_auto(sh_free_p) char *path = NULL;

    if (mkdir(folder, 0700) != 0 && errno != EEXIST) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", folder);
    }
    sh_hash_hex(hash, hex);
    path = sh_asprintf("%s/%s", folder, hex);
    return sh_file_write_durable(path, bytes, 0400, err);
}
