/* See export_blobs.h. Two kinds of events name blobs: an observation that is kept beside the
 * journal ("KIND.kept": the last 40 bytes are SHA-256 and length), and a checkpoint with files. */
#include "engine/export_blobs.h"

#include <errno.h>
#include <sys/stat.h>

#include "engine/blobs.h"
#include "engine/export.h"
#include "engine/modules.h"
#include "engine/payload.h"

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
    sh_auto(sh_buf_done) struct sh_buf data = {0};
    char hex[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_buf_init_sure(&data, SH_EVENT_BODY_MAX);
    sh_payload_names(body, set);
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

static int list_one(const char *hex, const char *folder, json_t *files, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    sh_auto(sh_free_p) char *name = sh_asprintf("blobs/%s", hex);
    struct stat st;

    if (stat(path, &st) < 0) {
        return sh_fail_errno(err, errno == ENOENT ? SH_E_NOT_FOUND : SH_E_IO, errno,
                             "cannot look at %s, which the journal names", path);
    }
    json_array_append_new(files, json_pack("{s:s, s:I, s:s}", "name", name, "bytes",
                                           (json_int_t)st.st_size, "sha256", hex));
    return 0;
}

int sh_blobs_list(const json_t *set, const char *folder, json_t *files, struct sh_err *err) {
    sh_auto(sh_json_done) json_t *all = json_object();
    const char *hex;
    json_t *manifest;
    int r = 0;

    json_object_foreach((json_t *)(uintptr_t)set, hex, manifest) {
        json_object_set_new(all, hex, json_true());
        if (r == 0 && json_is_true(manifest)) {
            r = sh_blobs_of_manifest(folder, hex, all, err);
        }
    }
    json_object_foreach(all, hex, manifest) {
        r = r == 0 ? list_one(hex, folder, files, err) : r;
    }
    return r;
}

int sh_blob_import(const struct sh_import *im, const struct sh_import_part *blob,
                   const char *folder, struct sh_err *err) {
    char hex[SH_HASH_HEX_BYTES];
    sh_auto(sh_free_p) char *path = NULL;

    if (SH_FAULT_IO(blob_folder) || (mkdir(folder, 0700) != 0 && errno != EEXIST)) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", folder);
    }
    sh_hash_hex(&blob->hash, hex);
    path = sh_asprintf("%s/%s", folder, hex);
    return sh_file_copy_durable(path, im->fd, blob->at, blob->bytes, 0400, err);
}
