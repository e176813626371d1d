/* Reading an archive that another machine wrote. Nothing in it is believed before it was checked:
 * sizes and names by archive.c, files against the manifest, events against their chain, and the
 * last event against the signature. What the row says is made from the events alone (import.c). */
#include <errno.h>
#include <sys/stat.h>

#include "engine/archive.h"
#include "engine/export.h"
#include "engine/private.h"

#define LINE_MAX_BYTES                                                                             \
    (2 * SH_EVENT_BODY_MAX + SH_KIB) /* every byte of a body escaped, and the rest */
#define PIECE (256 * SH_KIB)

void sh_import_done(struct sh_import *im) {
    sh_free(im->blobs);
    json_decref(im->manifest);
    json_decref(im->expected);
    *im = (struct sh_import){0};
}

/* What the manifest says of its files, by their names. */
static int index_files(struct sh_import *im, struct sh_err *err) {
    const json_t *files = json_object_get(im->manifest, "files");

    im->expected = json_object();
    for (size_t i = 0; i < json_array_size(files); i++) {
        json_t *file = json_array_get(files, i);
        const char *name = json_string_value(json_object_get(file, "name"));
        if (!name || json_object_get(im->expected, name)) {
            return sh_fail(err, SH_E_CORRUPT, "file %zu of manifest.json has no name of its own",
                           i);
        }
        json_object_set(im->expected, name, file);
    }
    return 0;
}

/* The manifest is the first file, and says what the others are. */
static int read_manifest(struct sh_import *im, const char *name, uint64_t at, uint64_t bytes,
                         struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    char *room;
    int r;

    if (strcmp(name, "manifest.json") != 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "the archive begins with %s; expected manifest.json, as `shannon export` "
                       "writes it",
                       name);
    }
    if (bytes > SH_EXPORT_MANIFEST_MAX) {
        return sh_fail(err, SH_E_LIMIT, "manifest.json has %llu bytes, at most %llu are read",
                       (unsigned long long)bytes, SH_EXPORT_MANIFEST_MAX);
    }
    sh_buf_init(&text, SH_EXPORT_MANIFEST_MAX + 1);
    room = sh_buf_room(&text, (size_t)bytes + 1);
    if (!room) {
        return sh_fail(err, SH_E_NOMEM, "no memory for the %llu bytes of manifest.json",
                       (unsigned long long)bytes);
    }
    if ((r = sh_spool_read(im->fd, at, room, (size_t)bytes, err)) < 0 ||
        (r = sh_json_parse(sh_strn(room, (size_t)bytes), SH_EXPORT_MANIFEST_MAX, &im->manifest,
                           err)) < 0) {
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
    return index_files(im, err);
}

static bool named_by(const char *name, const char *folder, const struct sh_hash *hash) {
    struct sh_hash said;
    size_t n = strlen(folder);

    return strncmp(name, folder, n) == 0 && sh_hash_parse(sh_str(name + n), &said) == 0 &&
           sh_hash_eq(&said, hash);
}

/* Its place among the parts of an export. False: it is none. */
static bool place(struct sh_import *im, const char *name, const struct sh_import_part *part) {
    if (strcmp(name, "journal.jsonl") == 0) {
        im->journal = *part;
        return true;
    }
    if (named_by(name, "modules/", &part->hash) && im->n_modules < SH_EXPORT_MODULES_MAX &&
        part->bytes <= SH_MODULE_BYTES_MAX) {
        im->modules[im->n_modules++] = *part;
        return true;
    }
    if (named_by(name, "blobs/", &part->hash)) {
        if (im->n_blobs % 64 == 0) {
            im->blobs = sh_grow(im->blobs, (im->n_blobs + 64) * sizeof(*im->blobs));
        }
        im->blobs[im->n_blobs++] = *part;
        return true;
    }
    return false;
}

static int read_file(struct sh_import *im, const char *name, uint64_t at, uint64_t bytes,
                     struct sh_err *err) {
    const json_t *file = json_object_get(im->expected, name);
    struct sh_import_part part = {.at = at, .bytes = bytes};
    struct sh_hash want;
    int r = sh_spool_copy(im->fd, at, bytes, -1, &part.hash, err);

    if (r < 0) {
        return r;
    }
    if (!file || sh_hash_parse(sh_json_get_str(file, "sha256"), &want) < 0 ||
        !sh_hash_eq(&part.hash, &want) || sh_json_get_int(file, "bytes", -1) != (int64_t)bytes) {
        return sh_fail(err, SH_E_CORRUPT,
                       "%s is not the file that the manifest describes, or is in it twice", name);
    }
    json_object_del(im->expected, name);
    return place(im, name, &part)
               ? 0
               : sh_fail(err, SH_E_CORRUPT, "%s is not a file of an export", name);
}

/* ---- the journal ---- */

void sh_import_lines_init(struct sh_import_lines *l, const struct sh_import *im) {
    *l = (struct sh_import_lines){.im = im};
    sh_buf_init(&l->text, LINE_MAX_BYTES + PIECE);
}

void sh_import_lines_done(struct sh_import_lines *l) {
    sh_buf_done(&l->text);
    *l = (struct sh_import_lines){0};
}

/* More of the journal into the buffer. gives  0 at its end, 1 */
static int more(struct sh_import_lines *l, struct sh_err *err) {
    uint64_t left = l->im->journal.bytes - l->at;
    size_t n = left < PIECE ? (size_t)left : PIECE;
    char *room;
    int r;

    if (n == 0) {
        return 0;
    }
    sh_buf_drop(&l->text, l->used);
    l->used = 0;
    if (l->text.len > LINE_MAX_BYTES) {
        return sh_fail(err, SH_E_LIMIT, "line %llu of journal.jsonl has more than %llu bytes",
                       (unsigned long long)l->line + 1, LINE_MAX_BYTES);
    }
    room = sh_buf_room(&l->text, n);
    if (!room) {
        return sh_fail(err, SH_E_NOMEM, "no memory for line %llu of journal.jsonl",
                       (unsigned long long)l->line + 1);
    }
    if ((r = sh_spool_read(l->im->fd, l->im->journal.at + l->at, room, n, err)) < 0) {
        return r;
    }
    l->text.len += n;
    l->at += n;
    return 1;
}

/* gives  1 and the next line without its end, which stays until the next call; 0 after the last */
static int next_line(struct sh_import_lines *l, struct sh_str *ret, struct sh_err *err) {
    size_t seen = l->used; /* no end of a line before here */

    for (;;) {
        const char *end =
            l->text.len > seen ? memchr(l->text.p + seen, '\n', l->text.len - seen) : NULL;
        if (end) {
            *ret = sh_strn(l->text.p + l->used, (size_t)(end - l->text.p) - l->used);
            l->used = (size_t)(end - l->text.p) + 1;
            l->line++;
            return 1;
        }
        seen = l->text.len - l->used;
        int r = more(l, err);
        if (r == 0 && seen > 0) {
            return sh_fail(err, SH_E_CORRUPT, "journal.jsonl ends in the middle of a line");
        }
        if (r <= 0) {
            return r;
        }
    }
}

int sh_import_next(struct sh_import_lines *l, json_t **ret_line, struct sh_event_record *ret,
                   struct sh_err *err) {
    sh_auto(sh_json_done) json_t *object = NULL;
    struct sh_str line;
    int r = next_line(l, &line, err);

    if (r <= 0) {
        return r;
    }
    if (sh_json_parse(line, LINE_MAX_BYTES, &object, err) < 0) {
        return -err->code;
    }
    *ret = (struct sh_event_record){.workflow = sh_str(l->im->id.s),
                                    .seq = (uint64_t)sh_json_get_int(object, "seq", 0),
                                    .time_us = sh_json_get_int(object, "time_us", 0),
                                    .type = sh_json_get_str(object, "type"),
                                    .body = sh_json_get_str(object, "body")};
    if (sh_hash_parse(sh_json_get_str(object, "hash"), &ret->hash) < 0 || ret->body.len == 0 ||
        ret->body.len > SH_EVENT_BODY_MAX) {
        return sh_fail(err, SH_E_CORRUPT, "line %llu of journal.jsonl is no event",
                       (unsigned long long)l->line);
    }
    if (!sh_event_type(ret->type)) {
        return sh_fail(err, SH_E_VERSION,
                       "event %llu has the unknown type \"%.*s\": it was written by a newer "
                       "version",
                       (unsigned long long)ret->seq, ret->type.len < 40 ? (int)ret->type.len : 40,
                       ret->type.p ? ret->type.p : "");
    }
    *ret_line = sh_take(&object);
    return 1;
}

static int read_journal(struct sh_import *im, struct sh_journal *j, sh_import_event_fn each,
                        void *arg, struct sh_err *err) {
    struct sh_import_lines lines;
    struct sh_event_record ev;
    int r = 1;

    sh_import_lines_init(&lines, im);
    while (r > 0) {
        sh_auto(sh_json_done) json_t *line = NULL;
        r = sh_import_next(&lines, &line, &ev, err);
        if (r <= 0) {
            break;
        }
        if (sh_journal_follow(j, &ev, err) < 0 || (each && each(arg, &ev, err) < 0)) {
            r = -err->code;
        }
        im->n_events++;
        im->last = ev.seq;
    }
    sh_import_lines_done(&lines);
    if (r == 0 && im->n_events == 0) {
        return sh_fail(err, SH_E_CORRUPT, "the archive holds no journal");
    }
    return r;
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

static int read_files(struct sh_import *im, struct sh_err *err) {
    char name[SH_ARCHIVE_NAME_MAX + 1];
    struct sh_archive archive = {.fd = im->fd};
    struct stat st;
    uint64_t at, bytes;
    int r;

    if (fstat(im->fd, &st) < 0) {
        return sh_fail_errno(err, SH_E_IO, errno, "cannot look at the archive");
    }
    archive.bytes = (uint64_t)st.st_size;
    if (archive.bytes > SH_EXPORT_MAX) {
        return sh_fail(err, SH_E_LIMIT, "the archive has %llu bytes, at most %llu are taken",
                       (unsigned long long)archive.bytes, SH_EXPORT_MAX);
    }
    while ((r = sh_archive_next(&archive, name, &at, &bytes, err)) > 0) {
        r = im->manifest ? read_file(im, name, at, bytes, err)
                         : read_manifest(im, name, at, bytes, err);
        if (r < 0) {
            return r;
        }
    }
    if (r == 0 && !im->manifest) {
        return sh_fail(err, SH_E_CORRUPT, "the archive is empty");
    }
    return r;
}

int sh_import_read(int fd, sh_import_event_fn each, void *arg, struct sh_import *ret,
                   struct sh_err *err) {
    struct sh_journal j = {0};
    int r;

    *ret = (struct sh_import){.fd = fd};
    r = read_files(ret, err);
    if (r == 0) {
        sh_journal_init(&j, &ret->id);
        r = read_journal(ret, &j, each, arg, err);
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
