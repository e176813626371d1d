/* What the guest sees of its workspace that the host must not decide: inode numbers, times, and
 * how much of the quota is used. A node is found by the host's inode number; when the last name of
 * a file goes, its node leaves the table at once, because the host may give the number to the next
 * file, and whether it does must not show. */
#include "microsandbox/vfs.h"

#include "base/base.h"

enum { BUCKETS_MIN = 64 };

static size_t bucket(const struct sh_vfs_space *s, ino_t host) {
    uint64_t h = (uint64_t)host * 0x9E3779B97F4A7C15ULL; /* Knuth's multiplicative hash */

    return (size_t)(h >> 20) & (s->n_buckets - 1);
}

void sh_vfs_space_init(struct sh_vfs_space *s, uint64_t bytes_max, uint64_t born_ns) {
    *s = (struct sh_vfs_space){
        .bytes_max = bytes_max,
        .files_max = SH_WORKSPACE_FILES_MAX,
        .next_ino = 1,
        .born_ns = born_ns,
        .nameless = {.ino = INT64_MAX, .atim = born_ns, .mtim = born_ns, .ctim = born_ns}};
}

void sh_vfs_space_forget(struct sh_vfs_space *s) {
    for (size_t i = 0; i < s->n_buckets; i++) {
        for (struct sh_vfs_node *n = s->buckets[i], *next; n; n = next) {
            next = n->next;
            sh_free(n);
        }
    }
    s->buckets = sh_free(s->buckets);
    s->n_buckets = s->n_nodes = 0;
    s->next_ino = 1;
}

void sh_vfs_space_done(struct sh_vfs_space *s) {
    sh_vfs_space_forget(s);
    memset(s, 0, sizeof(*s));
}

static void grow(struct sh_vfs_space *s) {
    struct sh_vfs_node **old = s->buckets;
    size_t n_old = s->n_buckets;

    s->n_buckets = n_old ? n_old * 2 : BUCKETS_MIN;
    s->buckets = sh_new_array(struct sh_vfs_node *, s->n_buckets);
    for (size_t i = 0; i < n_old; i++) {
        for (struct sh_vfs_node *n = old[i], *next; n; n = next) {
            size_t to = bucket(s, n->host);

            next = n->next;
            n->next = s->buckets[to];
            s->buckets[to] = n;
        }
    }
    sh_free(old);
}

struct sh_vfs_node *sh_vfs_node_find(struct sh_vfs_space *s, ino_t host) {
    if (!s->n_buckets) {
        return NULL;
    }
    for (struct sh_vfs_node *n = s->buckets[bucket(s, host)]; n; n = n->next) {
        if (n->host == host) {
            return n;
        }
    }
    return NULL;
}

static struct sh_vfs_node *node_add(struct sh_vfs_space *s, const struct stat *st, uint64_t ns) {
    struct sh_vfs_node *n = sh_new(struct sh_vfs_node);
    size_t to;

    if (s->n_nodes >= s->n_buckets) {
        grow(s);
    }
    to = bucket(s, st->st_ino);
    n->host = st->st_ino;
    n->ino = s->next_ino++;
    n->size = S_ISDIR(st->st_mode) ? 0 : (uint64_t)st->st_size;
    n->atim = n->mtim = n->ctim = ns;
    n->next = s->buckets[to];
    s->buckets[to] = n;
    s->n_nodes++;
    return n;
}

struct sh_vfs_node *sh_vfs_node(struct sh_vfs_space *s, const struct stat *st) {
    struct sh_vfs_node *n = sh_vfs_node_find(s, st->st_ino);

    if (!n && st->st_nlink == 0) { /* reached as `.`: nothing would ever take its node away */
        return &s->nameless;
    }
    return n ? n : node_add(s, st, s->born_ns);
}

static void unlink_node(struct sh_vfs_space *s, struct sh_vfs_node *n) {
    struct sh_vfs_node **at = &s->buckets[bucket(s, n->host)];

    while (*at != n) {
        at = &(*at)->next;
    }
    *at = n->next;
    s->n_nodes--;
}

void sh_vfs_node_new(struct sh_vfs_space *s, const struct stat *st, uint64_t now_ns) {
    struct sh_vfs_node *n = sh_vfs_node_find(s, st->st_ino);

    if (n) { /* a file without a name was looked at; its number has come again */
        SH_ASSERT(n->refs == 0);
        unlink_node(s, n);
        sh_free(n);
    }
    n = node_add(s, st, now_ns);
    s->files++;
    s->bytes += n->size; /* a link's target; checked by the caller */
}

int sh_vfs_node_resize(struct sh_vfs_space *s, struct sh_vfs_node *n, uint64_t size) {
    if (size > n->size &&
        size - n->size > s->bytes_max - (s->bytes < s->bytes_max ? s->bytes : s->bytes_max)) {
        return SH_VFS_E_BYTES;
    }
    s->bytes = s->bytes + size - n->size;
    n->size = size;
    return 0;
}

static void node_free(struct sh_vfs_space *s, struct sh_vfs_node *n) {
    s->bytes -= n->size;
    s->files--;
    sh_free(n);
}

void sh_vfs_node_gone(struct sh_vfs_space *s, const struct stat *st) {
    struct sh_vfs_node *n = sh_vfs_node(s, st);

    unlink_node(s, n);
    n->dead = true;
    if (n->refs == 0) {
        node_free(s, n);
    }
}

void sh_vfs_touch(struct sh_vfs_grant *g, int dir, uint64_t now_ns) {
    struct stat st;

    if (g->space && fstat(dir, &st) == 0) {
        struct sh_vfs_node *n = sh_vfs_node(g->space, &st);

        n->mtim = n->ctim = now_ns;
    }
}

void sh_vfs_node_unref(struct sh_vfs_space *s, struct sh_vfs_node *n) {
    if (n && --n->refs == 0 && n->dead) {
        node_free(s, n);
    }
}

uint64_t sh_vfs_ino(const struct sh_vfs_grant *g, ino_t host) {
    struct sh_hasher h;
    struct sh_hash hash;
    uint64_t v = 0;

    sh_hasher_init(&h);
    sh_hasher_str(&h, SH_STR("shannon inode"));
    sh_hasher_u64(&h, g->number);
    sh_hasher_u64(&h, (uint64_t)host);
    sh_hasher_done(&h, &hash);
    for (int i = 0; i < 8; i++) {
        v |= (uint64_t)hash.b[i] << (8 * i);
    }
    return v >> 1; /* some guests keep it in a signed number */
}

static uint8_t type_of(mode_t mode) {
    switch (mode & S_IFMT) {
    case S_IFREG:
        return SH_VFS_FILE;
    case S_IFDIR:
        return SH_VFS_DIR;
    case S_IFLNK:
        return SH_VFS_LINK;
    case S_IFCHR:
        return SH_VFS_CHAR;
    case S_IFBLK:
        return SH_VFS_BLOCK;
    case S_IFSOCK:
        return SH_VFS_SOCKET;
    default:
        return SH_VFS_UNKNOWN;
    }
}

/* WASI counts nanoseconds from 1970 without a sign: what lies outside is cut to the nearest. */
static uint64_t ns_of(const struct timespec *t) {
    uint64_t ns;

    if (t->tv_sec < 0) {
        return 0;
    }
    if (__builtin_mul_overflow((uint64_t)t->tv_sec, 1000000000ULL, &ns) ||
        __builtin_add_overflow(ns, (uint64_t)t->tv_nsec, &ns)) {
        return UINT64_MAX;
    }
    return ns;
}

void sh_vfs_fill(const struct sh_vfs_grant *g, const struct stat *st, const struct sh_vfs_node *n,
                 struct sh_vfs_stat *ret) {
    *ret = (struct sh_vfs_stat){.type = type_of(st->st_mode),
                                .nlink = (uint64_t)st->st_nlink,
                                .size = (uint64_t)st->st_size};
    if (!g->space) {
        ret->ino = sh_vfs_ino(g, st->st_ino);
        ret->atim = ns_of(&st->st_atim);
        ret->mtim = ns_of(&st->st_mtim);
        ret->ctim = ns_of(&st->st_ctim);
        return;
    }
    n = n ? n : sh_vfs_node(g->space, st);
    ret->ino = n->ino;
    ret->atim = n->atim;
    ret->mtim = n->mtim;
    ret->ctim = n->ctim;
    if (ret->type == SH_VFS_DIR) { /* what these say differs between file systems */
        ret->nlink = 1;
        ret->size = 4096;
    }
}
