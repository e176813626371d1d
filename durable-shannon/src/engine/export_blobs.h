/* What a journal keeps beside itself, in an export: the blobs that its events name. */
#ifndef SH_ENGINE_EXPORT_BLOBS_H
#define SH_ENGINE_EXPORT_BLOBS_H

#include "base/base.h"

/* Note the blobs that one event names, in `set` ({hash: true when it is a manifest of files}). */
/* The same of an observation as it is made. */
void sh_blobs_of_observation(struct sh_str kind, struct sh_str bytes, json_t *set);
void sh_blobs_of_event(struct sh_str type, const json_t *body, json_t *set);
/* Into the archive and the list of its files, those that manifests name too. Blocks.
 * fails  SH_E_NOT_FOUND, SH_E_CORRUPT, SH_E_IO, SH_E_LIMIT */
int sh_blobs_export(json_t *set, const char *folder, json_t *files, struct sh_buf *archive,
                    struct sh_err *err);
/* One of an archive, whose hash was checked, into the folder; durable. Blocks. */
int sh_blob_import(const struct sh_hash *hash, struct sh_str bytes, const char *folder,
                   struct sh_err *err);

#endif
