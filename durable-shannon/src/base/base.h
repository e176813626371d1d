/* base: what every other part stands on. Needs libc, jansson and libsodium only. */
#ifndef SH_BASE_H
#define SH_BASE_H

#include "base/disk.h"
#include "base/err.h"
#include "base/fault.h"
#include "base/hash.h"
#include "base/id.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/spool.h"
#include "base/str.h"
#include "base/time.h"
#include "base/tree.h"

#endif
