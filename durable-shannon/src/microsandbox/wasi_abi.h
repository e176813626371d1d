/* Numbers of wasi_snapshot_preview1 and little-endian guest memory. */
#ifndef SH_WASI_ABI_H
#define SH_WASI_ABI_H

#include <endian.h>

#include "microsandbox/wasi.h"

/* wasi_snapshot_preview1.errno */
enum {
    E_OK = 0,
    E_2BIG = 1,
    E_ACCES = 2,
    E_ADDRNOTAVAIL = 4,
    E_AGAIN = 6,
    E_BADF = 8,
    E_BUSY = 10,
    E_CANCELED = 11,
    E_CONNABORTED = 13,
    E_CONNREFUSED = 14,
    E_CONNRESET = 15,
    E_DQUOT = 19,
    E_EXIST = 20,
    E_FAULT = 21,
    E_FBIG = 22,
    E_HOSTUNREACH = 23,
    E_ILSEQ = 25,
    E_INTR = 27,
    E_INVAL = 28,
    E_IO = 29,
    E_ISDIR = 31,
    E_LOOP = 32,
    E_MFILE = 33,
    E_MLINK = 34,
    E_MSGSIZE = 35,
    E_NAMETOOLONG = 37,
    E_NETDOWN = 38,
    E_NETUNREACH = 40,
    E_NODEV = 43,
    E_NOENT = 44,
    E_NOMEM = 48,
    E_NOSPC = 51,
    E_NOTCONN = 53,
    E_NOTDIR = 54,
    E_NOTEMPTY = 55,
    E_NOTSOCK = 57,
    E_NOTSUP = 58,
    E_NXIO = 60,
    E_OVERFLOW = 61,
    E_PERM = 63,
    E_PIPE = 64,
    E_ROFS = 69,
    E_SPIPE = 70,
    E_STALE = 72,
    E_TIMEDOUT = 73,
    E_TXTBSY = 74,
    E_XDEV = 75,
    E_WASI_LAST = 76,
};

/* rights */
#define R_FD_DATASYNC (1ULL << 0)
#define R_FD_READ (1ULL << 1)
#define R_FD_SEEK (1ULL << 2)
#define R_FD_FDSTAT_SET_FLAGS (1ULL << 3)
#define R_FD_SYNC (1ULL << 4)
#define R_FD_TELL (1ULL << 5)
#define R_FD_WRITE (1ULL << 6)
#define R_FD_ADVISE (1ULL << 7)
#define R_FD_ALLOCATE (1ULL << 8)
#define R_PATH_CREATE_DIRECTORY (1ULL << 9)
#define R_PATH_CREATE_FILE (1ULL << 10)
#define R_PATH_LINK_SOURCE (1ULL << 11)
#define R_PATH_LINK_TARGET (1ULL << 12)
#define R_PATH_OPEN (1ULL << 13)
#define R_FD_READDIR (1ULL << 14)
#define R_PATH_READLINK (1ULL << 15)
#define R_PATH_RENAME_SOURCE (1ULL << 16)
#define R_PATH_RENAME_TARGET (1ULL << 17)
#define R_PATH_FILESTAT_GET (1ULL << 18)
#define R_PATH_FILESTAT_SET_SIZE (1ULL << 19)
#define R_PATH_FILESTAT_SET_TIMES (1ULL << 20)
#define R_FD_FILESTAT_GET (1ULL << 21)
#define R_FD_FILESTAT_SET_SIZE (1ULL << 22)
#define R_FD_FILESTAT_SET_TIMES (1ULL << 23)
#define R_PATH_SYMLINK (1ULL << 24)
#define R_PATH_REMOVE_DIRECTORY (1ULL << 25)
#define R_PATH_UNLINK_FILE (1ULL << 26)
#define R_POLL_FD_READWRITE (1ULL << 27)
#define R_SOCK_SHUTDOWN (1ULL << 28)

enum { FD_APPEND = 1, FD_DSYNC = 2, FD_NONBLOCK = 4, FD_RSYNC = 8, FD_SYNC = 16, FD_ALL = 31 };
enum { O_WASI_CREAT = 1, O_WASI_DIRECTORY = 2, O_WASI_EXCL = 4, O_WASI_TRUNC = 8 };
enum { LOOKUP_FOLLOW = 1 };

/* Guest memory. put/get need a checked pointer. */
static inline uint32_t arg32(uint64_t v) {
    return (uint32_t)v;
}
static inline uint32_t get32(const void *p) {
    uint32_t v;
    memcpy(&v, p, 4);
    return le32toh(v);
}
static inline uint64_t get64(const void *p) {
    uint64_t v;
    memcpy(&v, p, 8);
    return le64toh(v);
}
static inline void put32(void *p, uint32_t v) {
    v = htole32(v);
    memcpy(p, &v, 4);
}
static inline void put64(void *p, uint64_t v) {
    v = htole64(v);
    memcpy(p, &v, 8);
}
static inline void *mem_at(const struct sh_mem *m, uint64_t ptr, uint64_t n) {
    return sh_mem_at(m, arg32(ptr), n);
}

#endif
