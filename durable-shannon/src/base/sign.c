/* Ed25519: a thin door to libsodium, and the file that a key lives in. The file holds the seed; it
 * is written whole under another name first, so that no crash leaves half a key. */
#include "base/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/hash.h"
#include "base/mem.h"

enum { SEED_HEX = 2 * crypto_sign_SEEDBYTES };

_Static_assert(SH_SIGN_KEY_BYTES == crypto_sign_PUBLICKEYBYTES, "Ed25519");
_Static_assert(SH_SIGN_BYTES == crypto_sign_BYTES, "Ed25519");
_Static_assert(sizeof(((struct sh_sign_key *)NULL)->secret) == crypto_sign_SECRETKEYBYTES,
               "Ed25519");

void sh_sign_key_new(struct sh_sign_key *ret) {
    crypto_sign_keypair(ret->public, ret->secret);
}

void sh_sign_key_done(struct sh_sign_key *key) {
    sodium_memzero(key, sizeof(*key));
}

void sh_sign_key_hex(const uint8_t public[SH_SIGN_KEY_BYTES], char ret[SH_SIGN_KEY_HEX_BYTES]) {
    sodium_bin2hex(ret, SH_SIGN_KEY_HEX_BYTES, public, SH_SIGN_KEY_BYTES);
}

void sh_sign(const struct sh_sign_key *key, struct sh_str message, uint8_t ret[SH_SIGN_BYTES]) {
    crypto_sign_detached(ret, NULL, (const unsigned char *)message.p, message.len, key->secret);
}

bool sh_sign_check(const uint8_t public[SH_SIGN_KEY_BYTES], struct sh_str message,
                   const uint8_t signature[SH_SIGN_BYTES]) {
    return crypto_sign_verify_detached(signature, (const unsigned char *)message.p, message.len,
                                       public) == 0;
}

static int make(const char *path, struct sh_err *err) {
    sh_auto(sh_free_p) char *temporary = sh_asprintf("%s.new", path);
    struct sh_sign_key key;
    char text[SEED_HEX + 2];
    uint8_t seed[crypto_sign_SEEDBYTES];

    sh_sign_key_new(&key);
    crypto_sign_ed25519_sk_to_seed(seed, key.secret);
    sodium_bin2hex(text, sizeof(text), seed, sizeof(seed));
    text[SEED_HEX] = '\n';
    unlink(temporary);
    sh_auto(sh_close_p) int fd =
        open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text, SEED_HEX + 1) == SEED_HEX + 1 && fsync(fd) == 0 &&
              rename(temporary, path) == 0;
    int error = errno;
    sodium_memzero(text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    sh_sign_key_done(&key);
    return ok ? 0 : sh_fail_errno(err, SH_E_IO, error, "cannot write the signing key %s", path);
}

static int check_file(int fd, const char *path, struct sh_err *err) {
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return sh_fail(err, SH_E_CORRUPT, "%s is not a file with a signing key", path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 077) != 0) {
        return sh_fail(err, SH_E_DENIED,
                       "others may read the signing key %s (mode %04o, owner %u); run: chmod 600 "
                       "%s",
                       path, (unsigned)st.st_mode & 07777, (unsigned)st.st_uid, path);
    }
    return 0;
}

static int read_key(int fd, const char *path, struct sh_sign_key *ret, struct sh_err *err) {
    char text[SEED_HEX + 2];
    uint8_t seed[crypto_sign_SEEDBYTES];
    ssize_t n = read(fd, text, sizeof(text));
    int r = 0;

    if (n != SEED_HEX + 1 || text[SEED_HEX] != '\n' ||
        sh_hex_decode(sh_strn(text, SEED_HEX), seed, sizeof(seed)) < 0) {
        r = sh_fail(err, SH_E_CORRUPT,
                    "%s does not hold a signing key (64 hex digits and a newline); put the "
                    "original back, or move the file away to begin with a new key",
                    path);
    } else {
        crypto_sign_seed_keypair(ret->public, ret->secret, seed);
    }
    sodium_memzero(text, sizeof(text));
    sodium_memzero(seed, sizeof(seed));
    return r;
}

int sh_sign_key_load(const char *path, bool create, struct sh_sign_key *ret, struct sh_err *err) {
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    sh_auto(sh_close_p) int fd = SH_FAULT_IO(sign_key) ? -1 : open(path, flags);

    if (fd < 0 && errno == ENOENT && create) {
        if (make(path, err) < 0) {
            return -err->code;
        }
        fd = open(path, flags);
    }
    if (fd < 0) {
        return errno == ENOENT
                   ? sh_fail(err, SH_E_NOT_FOUND,
                             "there is no signing key %s yet; the first start makes one", path)
                   : sh_fail_errno(err, SH_E_IO, errno, "cannot read the signing key %s", path);
    }
    int r = check_file(fd, path, err);
    return r < 0 ? r : read_key(fd, path, ret, err);
}
