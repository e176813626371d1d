/* Blobs as files. Removing one is a rename first: who keeps the same bytes meanwhile finds no file
 * and writes it anew, and what was touched just before the rename is seen to be young after it. */
#include "engine/blobs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/modules.h"

#define AWAY ".gone"
#define LEFT_MS 3600000 /* a file that was being written so long ago is nobody's any more */

int sh_blobs_of_manifest(const char *folder, const char *hex, json_t *set, struct sh_err *err) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    sh_auto(sh_json_done) json_t *list = NULL;
    char name[SH_HASH_HEX_BYTES];
    struct sh_hash hash;

    sh_buf_init_sure(&bytes, SH_JSON_TEXT_MAX);
    if (sh_file_read(path, SH_JSON_TEXT_MAX - 1, &bytes, err) < 0 ||
        sh_json_parse(sh_buf_str(&bytes), SH_JSON_TEXT_MAX, &list, err) < 0) {
        return -err->code;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *entry = json_array_get(list, i);
        const char *kind = json_string_value(json_array_get(entry, 0));
        const char *kept = json_string_value(json_array_get(entry, 2));

        /* of a link it is the target, which may look like a hash */
        if (kind && strcmp(kind, "f") == 0 && kept && sh_hash_parse(sh_str(kept), &hash) == 0) {
            sh_hash_hex(&hash, name);
            json_object_set_new(set, name, json_true());
        }
    }
    return 0;
}

int sh_blobs_touch(const char *folder, const json_t *set, struct sh_err *err) {
    const char *hex;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)set, hex, value) {
        sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);

        if (SH_FAULT_IO(blob_touch) || utimensat(AT_FDCWD, path, NULL, AT_SYMLINK_NOFOLLOW) < 0) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot touch %s, which is to be kept", path);
        }
    }
    return 0;
}

/* By the clock that files are stamped with; one from the future is young. */
static bool is_young(const struct stat *st, uint64_t ms) {
    int64_t changed_us = (int64_t)st->st_mtim.tv_sec * 1000000 + st->st_mtim.tv_nsec / 1000;

    return changed_us > sh_wall_us() - (int64_t)ms * 1000;
}

enum sh_blob_fate sh_blob_remove(const char *folder, const char *hex, uint64_t grace_ms) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, hex);
    sh_auto(sh_free_p) char *away = sh_asprintf("%s" AWAY, path);
    struct stat st;

    if (SH_FAULT_IO(blob_remove) || lstat(path, &st) < 0) {
        return errno == ENOENT ? SH_BLOB_GONE : SH_BLOB_FAILED;
    }
    if (is_young(&st, grace_ms)) {
        return SH_BLOB_YOUNG;
    }
    if (rename(path, away) < 0) {
        return errno == ENOENT ? SH_BLOB_GONE : SH_BLOB_FAILED;
    }
    if (lstat(away, &st) < 0 || is_young(&st, grace_ms)) {
        return rename(away, path) < 0 ? SH_BLOB_FAILED : SH_BLOB_YOUNG;
    }
    return unlink(away) < 0 ? SH_BLOB_FAILED : SH_BLOB_GONE;
}

static void restore_one(const char *folder, const char *name) {
    sh_auto(sh_free_p) char *path = sh_asprintf("%s/%s", folder, name);
    size_t len = strlen(name), end = strlen(AWAY);
    struct stat st;

    if (len > end && strcmp(name + len - end, AWAY) == 0) {
        sh_auto(sh_free_p) char *back = sh_strndup0(path, strlen(path) - end);
        (void)rename(path, back);
    } else if (strncmp(name, "new.", 4) == 0 && lstat(path, &st) == 0 && !is_young(&st, LEFT_MS)) {
        (void)unlink(path);
    }
}

void sh_blobs_restore(const char *folder) {
    DIR *d = SH_FAULT_IO(blob_restore) ? NULL : opendir(folder);

    for (struct dirent *e; d && (e = readdir(d));) {
        restore_one(folder, e->d_name);
    }
    if (d) {
        closedir(d);
    }
}
