/* What a journal keeps beside itself, in an export: the blobs that its events name. */
#ifndef SH_ENGINE_EXPORT_BLOBS_H
#define SH_ENGINE_EXPORT_BLOBS_H

#include "base/base.h"

/* Note the blobs that one event names, in `set` ({hash: true when it is a manifest of files}). */
void sh_blobs_of_event(struct sh_str type, const json_t *body, json_t *set);
/* The same of an observation as it is made. */
void sh_blobs_of_observation(struct sh_str kind, struct sh_str bytes, json_t *set);
/* The list of an archive's files gets all of them, those that manifests name too: {name:
 * "blobs/HASH", bytes, sha256}. Blocks.
 * fails  SH_E_NOT_FOUND, SH_E_JSON, SH_E_IO */
int sh_blobs_list(const json_t *set, const char *folder, json_t *files, struct sh_err *err);
/* One of an archive, whose hash was checked, into the folder; durable. Blocks. */
struct sh_import;
struct sh_import_part;
int sh_blob_import(const struct sh_import *im, const struct sh_import_part *blob,
                   const char *folder, struct sh_err *err);

#endif
