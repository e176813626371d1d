/* See archive.h. Format: POSIX.1-2017, pax, "ustar Interchange Format". Times, owners and modes are
 * constant, so that the same content is the same bytes. */
#include "engine/archive.h"

#include <stdio.h>

enum { BLOCK = 512 };

struct header { /* BLOCK bytes on disk */
    char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100],
        magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct header) == BLOCK, "ustar");

static unsigned sum_of(const struct header *h) {
    const unsigned char *p = (const unsigned char *)h;
    unsigned sum = 0;

    for (size_t i = 0; i < BLOCK; i++) {
        bool in_checksum = i >= offsetof(struct header, checksum) &&
                           i < offsetof(struct header, checksum) + sizeof(h->checksum);
        sum += in_checksum ? ' ' : p[i];
    }
    return sum;
}

static bool good_name(struct sh_str name) {
    size_t start = 0;

    for (size_t i = 0; i <= name.len; i++) {
        char c = i < name.len ? name.p[i] : '/';
        if (c == '/') {
            struct sh_str part = sh_strn(name.p + start, i - start);
            if (part.len == 0 || sh_str_eqz(part, ".") || sh_str_eqz(part, "..")) {
                return false;
            }
            start = i + 1;
        } else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '.' || c == '_' || c == '-')) {
            return false;
        }
    }
    return name.len <= SH_ARCHIVE_NAME_MAX;
}

void sh_archive_begin(struct sh_buf *to, const char *name, uint64_t bytes) {
    struct header h = {.type = '0', .magic = "ustar", .version = {'0', '0'}};
    char size[sizeof(h.size) + 1], sum[sizeof(h.checksum) + 1];

    SH_ASSERT(good_name(sh_str(name)) && bytes <= SH_ARCHIVE_FILE_MAX);
    memcpy(h.name, name, strlen(name));
    memcpy(h.mode, "0000644", 8);
    memcpy(h.uid, "0000000", 8);
    memcpy(h.gid, "0000000", 8);
    memcpy(h.mtime, "00000000000", 12);
    snprintf(size, sizeof(size), "%011llo", (unsigned long long)bytes);
    memcpy(h.size, size, sizeof(h.size));
    snprintf(sum, sizeof(sum), "%06o", sum_of(&h));
    memcpy(h.checksum, sum, 7); /* six digits, NUL, space */
    h.checksum[7] = ' ';
    sh_buf_add(to, &h, sizeof(h));
}

void sh_archive_pad(struct sh_buf *to, uint64_t bytes) {
    static const char zeros[BLOCK] = {0};

    sh_buf_add(to, zeros, (BLOCK - bytes % BLOCK) % BLOCK);
}

void sh_archive_add(struct sh_buf *to, const char *name, struct sh_str bytes) {
    sh_archive_begin(to, name, bytes.len);
    sh_buf_add(to, bytes.p, bytes.len);
    sh_archive_pad(to, bytes.len);
}

void sh_archive_end(struct sh_buf *to) {
    static const char zeros[2 * BLOCK] = {0};

    sh_buf_add(to, zeros, sizeof(zeros));
}

/* Octal digits, then NULs and spaces. */
static bool octal(const char *p, size_t n, uint64_t *ret) {
    uint64_t v = 0;
    size_t i = 0;

    for (; i < n && p[i] >= '0' && p[i] <= '7'; i++) {
        v = v << 3 | (uint64_t)(p[i] - '0');
    }
    if (i == 0) {
        return false;
    }
    for (; i < n; i++) {
        if (p[i] != '\0' && p[i] != ' ') {
            return false;
        }
    }
    *ret = v;
    return true;
}

static bool all_zero(const char *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static int broken(struct sh_err *err, uint64_t at, const char *why) {
    return sh_fail(err, SH_E_CORRUPT,
                   "not a file that `shannon export` wrote: %s at byte %llu of the archive", why,
                   (unsigned long long)at);
}

/* After a block of zeros there is nothing else. */
static int check_end(const struct sh_archive *a, struct sh_err *err) {
    char piece[8 * BLOCK];

    for (uint64_t at = a->at; at < a->bytes; at += sizeof(piece)) {
        size_t n = a->bytes - at < sizeof(piece) ? (size_t)(a->bytes - at) : sizeof(piece);
        int r = sh_spool_read(a->fd, at, piece, n, err);
        if (r < 0) {
            return r;
        }
        if (!all_zero(piece, n)) {
            return broken(err, a->at, "more after its end");
        }
    }
    return 0;
}

static int check_header(const struct header *h, uint64_t at, uint64_t left, uint64_t *ret_bytes,
                        struct sh_err *err) {
    uint64_t size = 0, sum = 0;

    if (memcmp(h->magic, "ustar", 6) != 0 || !octal(h->checksum, sizeof(h->checksum), &sum) ||
        sum != sum_of(h)) {
        return broken(err, at, "no header");
    }
    if ((h->type != '0' && h->type != '\0') || h->prefix[0] ||
        !good_name(sh_strn(h->name, strnlen(h->name, sizeof(h->name))))) {
        return broken(err, at, "something else than a file with a plain name");
    }
    if (!octal(h->size, sizeof(h->size), &size) || size > left) {
        return broken(err, at, "a size that is not there");
    }
    if ((size + BLOCK - 1) / BLOCK * BLOCK > left) {
        return broken(err, at, "it ends too early");
    }
    *ret_bytes = size;
    return 0;
}

int sh_archive_next(struct sh_archive *a, char name[SH_ARCHIVE_NAME_MAX + 1], uint64_t *ret_at,
                    uint64_t *ret_bytes, struct sh_err *err) {
    struct header h;
    uint64_t left = a->at <= a->bytes ? a->bytes - a->at : 0;
    int r;

    if (left < BLOCK) {
        return broken(err, a->at, "it ends too early");
    }
    if ((r = sh_spool_read(a->fd, a->at, &h, sizeof(h), err)) < 0) {
        return r;
    }
    if (all_zero((const char *)&h, sizeof(h))) {
        return check_end(a, err);
    }
    if ((r = check_header(&h, a->at, left - BLOCK, ret_bytes, err)) < 0) {
        return r;
    }
    memcpy(name, h.name, sizeof(h.name));
    name[sizeof(h.name)] = '\0';
    *ret_at = a->at + BLOCK;
    a->at += BLOCK + (*ret_bytes + BLOCK - 1) / BLOCK * BLOCK;
    return 1;
}
