/* Ed25519 against RFC 8032, and the file that a key lives in. */
#include "base/base.h"
#include "base/sign.h"
#include "lib/check_main.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/shannon-test-XXXXXX";
static char path[64];

static void write_key(const char *text, mode_t mode) {
    struct sh_err err = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    ck_assert_int_eq(fchmod(fd, mode), 0);
    close(fd);
    (void)err;
}

static void begin(void) {
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/signing-key", dir);
}

static void end(void) {
    sh_tree_remove(dir);
}

START_TEST(the_first_test_vector_of_rfc_8032) {
    struct sh_sign_key key;
    struct sh_err err = {0};
    uint8_t signature[SH_SIGN_BYTES], want[SH_SIGN_BYTES];
    char hex[SH_SIGN_KEY_HEX_BYTES];

    begin();
    write_key("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n", 0600);
    sh_assert_ok(sh_sign_key_load(path, false, &key, &err), &err);
    sh_sign_key_hex(key.public, hex);
    ck_assert_str_eq(hex, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    sh_sign(&key, SH_STR(""), signature);
    ck_assert_int_eq(
        sh_hex_decode(SH_STR("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e0652249"
                             "01555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465514143"
                             "8e7a100b"),
                      want, sizeof(want)),
        0);
    ck_assert_mem_eq(signature, want, sizeof(want));
    ck_assert(sh_sign_check(key.public, SH_STR(""), signature));
    ck_assert(!sh_sign_check(key.public, SH_STR("x"), signature));
    signature[5] ^= 1;
    ck_assert(!sh_sign_check(key.public, SH_STR(""), signature));
    end();
}
END_TEST

START_TEST(a_key_is_made_once_for_its_owner_alone) {
    struct sh_sign_key first, second;
    struct sh_err err = {0};
    struct stat st;

    begin();
    sh_assert_fails(sh_sign_key_load(path, false, &first, &err), SH_E_NOT_FOUND, &err);
    sh_assert_ok(sh_sign_key_load(path, true, &first, &err), &err);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    sh_assert_ok(sh_sign_key_load(path, true, &second, &err), &err);
    ck_assert_mem_eq(&first, &second, sizeof(first));
    end();
}
END_TEST

START_TEST(a_key_that_others_may_read_or_that_is_none_is_refused) {
    static const char *const bad[] = {
        "",
        "9d61\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f6\n",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n\n",
        "xx61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n"};
    struct sh_sign_key key;
    struct sh_err err = {0};

    begin();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_key(bad[i], 0600);
        sh_assert_fails(sh_sign_key_load(path, true, &key, &err), SH_E_CORRUPT, &err);
    }
    write_key("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n", 0640);
    sh_assert_fails(sh_sign_key_load(path, true, &key, &err), SH_E_DENIED, &err);
    ck_assert_ptr_nonnull(strstr(err.message, "chmod 600"));
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(symlink("/etc/passwd", path), 0);
    sh_assert_fails(sh_sign_key_load(path, true, &key, &err), SH_E_IO, &err);
    ck_assert_int_eq(unlink(path), 0);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    sh_assert_fails(sh_sign_key_load(path, true, &key, &err), SH_E_CORRUPT, &err);
    end();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {the_first_test_vector_of_rfc_8032,
                                  a_key_is_made_once_for_its_owner_alone,
                                  a_key_that_others_may_read_or_that_is_none_is_refused, NULL};
    return sh_suite("base_sign", tests);
}
SH_TEST_MAIN(suite)
