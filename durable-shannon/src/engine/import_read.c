/* Reading an archive that another machine wrote. Nothing in it is believed before it was checked:
 * sizes and names by archive.c, files against the manifest, events against their chain, and the
 * last event against the signature. What the row says is made from the events alone (import.c). */
#include "engine/archive.h"
#include "engine/export.h"
#include "engine/private.h"

void sh_import_done(struct sh_import *im) {
    for (size_t i = 0; im->texts && i < 2 * im->n_events; i++) {
        sh_free(im->texts[i]);
    }
    sh_free(im->texts);
    sh_free(im->events);
    sh_free(im->blobs);
    json_decref(im->manifest);
    *im = (struct sh_import){0};
}

static const json_t *manifest_file(const struct sh_import *im, const char *name) {
    const json_t *files = json_object_get(im->manifest, "files");

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *file = json_array_get(files, i);
        if (sh_str_eqz(sh_json_get_str(file, "name"), name)) {
            return file;
        }
    }
    return NULL;
}

/* The manifest is the first file, and says what the others are. */
static int read_manifest(struct sh_import *im, const char *name, struct sh_str bytes,
                         struct sh_err *err) {
    int r;

    if (strcmp(name, "manifest.json") != 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "the archive begins with %s; expected manifest.json, as `shannon export` "
                       "writes it",
                       name);
    }
    if ((r = sh_json_parse(bytes, SH_MIB, &im->manifest, err)) < 0) {
        return r;
    }
    int64_t version = sh_json_get_int(im->manifest, "version", 0);
    if (!sh_str_eqz(sh_json_get_str(im->manifest, "format"), "shannon export") || version < 1) {
        return sh_fail(err, SH_E_CORRUPT, "manifest.json is not that of an export");
    }
    if (version > SH_EXPORT_VERSION) {
        return sh_fail(err, SH_E_VERSION,
                       "the export was written by a newer version (format %lld, this one reads up "
                       "to %d)",
                       (long long)version, SH_EXPORT_VERSION);
    }
    if (sh_id_parse(sh_json_get_str(im->manifest, "id"), &im->id) < 0) {
        return sh_fail(err, SH_E_CORRUPT, "manifest.json names no task");
    }
    return 0;
}

static bool has_blob(const struct sh_import *im, const struct sh_hash *hash) {
    for (size_t i = 0; i < im->n_blobs; i++) {
        if (sh_hash_eq(&im->blobs[i].hash, hash)) {
            return true;
        }
    }
    return false;
}

static int read_file(struct sh_import *im, const char *name, struct sh_str bytes,
                     struct sh_err *err) {
    const json_t *file = manifest_file(im, name);
    struct sh_hash hash, want;

    sh_sha256(bytes.p, bytes.len, &hash);
    if (!file || sh_hash_parse(sh_json_get_str(file, "sha256"), &want) < 0 ||
        !sh_hash_eq(&hash, &want) || sh_json_get_int(file, "bytes", -1) != (int64_t)bytes.len) {
        return sh_fail(err, SH_E_CORRUPT, "%s is not the file that the manifest describes", name);
    }
    if (strcmp(name, "journal.jsonl") == 0 && !im->journal.p) {
        im->journal = bytes;
        return 0;
    }
    if (strncmp(name, "modules/", 8) == 0 && im->n_modules < SH_EXPORT_MODULES_MAX &&
        sh_hash_parse(sh_str(name + 8), &want) == 0 && sh_hash_eq(&hash, &want) &&
        bytes.len <= SH_MODULE_BYTES_MAX) {
        im->modules[im->n_modules].hash = hash;
        im->modules[im->n_modules++].bytes = bytes;
        return 0;
    }
    if (strncmp(name, "blobs/", 6) == 0 && sh_hash_parse(sh_str(name + 6), &want) == 0 &&
        sh_hash_eq(&hash, &want) && !has_blob(im, &hash)) {
        if (im->n_blobs % 64 == 0) {
            im->blobs = sh_grow(im->blobs, (im->n_blobs + 64) * sizeof(*im->blobs));
        }
        im->blobs[im->n_blobs].hash = hash;
        im->blobs[im->n_blobs++].bytes = bytes;
        return 0;
    }
    return sh_fail(err, SH_E_CORRUPT, "%s is not a file of an export, or is in it twice", name);
}

static int read_line(struct sh_import *im, struct sh_str line, struct sh_event_record *ret,
                     struct sh_err *err) {
    sh_auto(sh_json_done) json_t *object = NULL;
    size_t i = 2 * im->n_events;

    if (sh_json_parse(line, 2 * SH_EVENT_BODY_MAX, &object, err) < 0) {
        return -err->code;
    }
    struct sh_str body = sh_json_get_str(object, "body"), type = sh_json_get_str(object, "type");
    im->texts[i] = sh_strndup0(type.p ? type.p : "", type.len);
    im->texts[i + 1] = sh_strndup0(body.p ? body.p : "", body.len);
    im->n_events++;
    *ret = (struct sh_event_record){.workflow = sh_str(im->id.s),
                                    .seq = (uint64_t)sh_json_get_int(object, "seq", 0),
                                    .time_us = sh_json_get_int(object, "time_us", 0),
                                    .type = sh_strn(im->texts[i], type.len),
                                    .body = sh_strn(im->texts[i + 1], body.len)};
    if (sh_hash_parse(sh_json_get_str(object, "hash"), &ret->hash) < 0 || body.len == 0 ||
        body.len > SH_EVENT_BODY_MAX) {
        return sh_fail(err, SH_E_CORRUPT, "line %zu of journal.jsonl is no event", im->n_events);
    }
    if (!sh_event_type(ret->type)) {
        return sh_fail(err, SH_E_VERSION,
                       "event %llu has the unknown type \"%.40s\": it was written by a newer "
                       "version",
                       (unsigned long long)ret->seq, im->texts[i]);
    }
    return 0;
}

static int read_journal(struct sh_import *im, struct sh_journal *j, struct sh_err *err) {
    struct sh_str rest = im->journal;
    size_t lines = 0;

    for (size_t i = 0; i < rest.len; i++) {
        lines += rest.p[i] == '\n';
    }
    im->events = sh_new_array(struct sh_event_record, lines + 1);
    im->texts = sh_new_array(char *, 2 * lines + 2);
    while (rest.len > 0) {
        const char *end = memchr(rest.p, '\n', rest.len);
        struct sh_event_record *ev = &im->events[im->n_events];
        if (!end) {
            return sh_fail(err, SH_E_CORRUPT, "journal.jsonl ends in the middle of a line");
        }
        if (read_line(im, sh_strn(rest.p, (size_t)(end - rest.p)), ev, err) < 0 ||
            sh_journal_follow(j, ev, err) < 0) {
            return -err->code;
        }
        rest.len -= (size_t)(end - rest.p) + 1;
        rest.p = end + 1;
    }
    return im->n_events > 0 ? 0 : sh_fail(err, SH_E_CORRUPT, "the archive holds no journal");
}

static int check_head(const struct sh_import *im, const struct sh_journal *j, struct sh_err *err) {
    struct sh_head head;

    if (sh_head_check(json_object_get(im->manifest, "signed"), im->id.s, &head, err) < 0) {
        return -err->code;
    }
    if (head.seq != j->seq || !sh_hash_eq(&head.hash, &j->head)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "the signature is not one of the journal's last event (%llu)",
                       (unsigned long long)j->seq);
    }
    if (j->compacted && memcmp(j->compacted_key, head.key, sizeof(head.key)) != 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "what stands for events 1 to %llu is signed with another key than the end",
                       (unsigned long long)j->compacted);
    }
    return 0;
}

static int read_files(struct sh_str archive, struct sh_import *im, struct sh_err *err) {
    char name[SH_ARCHIVE_NAME_MAX + 1];
    struct sh_str bytes;
    size_t at = 0;
    int r;

    while ((r = sh_archive_next(archive, &at, name, &bytes, err)) > 0) {
        r = im->manifest ? read_file(im, name, bytes, err) : read_manifest(im, name, bytes, err);
        if (r < 0) {
            return r;
        }
    }
    if (r == 0 && !im->manifest) {
        return sh_fail(err, SH_E_CORRUPT, "the archive is empty");
    }
    return r;
}

int sh_import_read(struct sh_str archive, struct sh_import *ret, struct sh_err *err) {
    struct sh_journal j = {0};
    int r;

    *ret = (struct sh_import){0};
    r = read_files(archive, ret, err);
    if (r == 0) {
        sh_journal_init(&j, &ret->id);
        r = read_journal(ret, &j, err);
    }
    if (r == 0) {
        r = check_head(ret, &j, err);
    }
    sh_journal_done(&j);
    if (r < 0) {
        sh_import_done(ret);
    }
    return r;
}
