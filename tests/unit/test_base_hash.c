/* SHA-256 (FIPS 180-4), ChaCha20 (RFC 8439, A.1) and constant-time comparison. */
#include "lib/check_main.h"

static void assert_hash(const char *text, size_t n, const char *want) {
    struct sh_hash h;
    char hex[SH_HASH_HEX_BYTES];
    sh_sha256(text, n, &h);
    sh_hash_hex(&h, hex);
    ck_assert_str_eq(hex, want);
}

START_TEST(sha256_gives_the_known_vectors) {
    assert_hash("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_hash("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_hash("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}
END_TEST

START_TEST(hasher_is_the_same_in_pieces_and_frames_its_fields) {
    struct sh_hasher h;
    struct sh_hash pieces;
    struct sh_hash whole;
    sh_hasher_init(&h);
    sh_hasher_add(&h, "ab", 2);
    sh_hasher_add(&h, NULL, 0);
    sh_hasher_add(&h, "c", 1);
    sh_hasher_done(&h, &pieces);
    sh_sha256("abc", 3, &whole);
    ck_assert(sh_hash_eq(&pieces, &whole));
    sh_hasher_init(&h);
    sh_hasher_str(&h, SH_STR("ab"));
    sh_hasher_u64(&h, 0x0102);
    sh_hasher_done(&h, &pieces);
    sh_sha256("\2\0\0\0\0\0\0\0ab\2\1\0\0\0\0\0\0", 18, &whole);
    ck_assert(sh_hash_eq(&pieces, &whole));
}
END_TEST

START_TEST(hash_text_is_64_hex_digits) {
    struct sh_hash h;
    struct sh_hash back;
    char hex[SH_HASH_HEX_BYTES + 1];
    sh_sha256("x", 1, &h);
    sh_hash_hex(&h, hex);
    ck_assert_int_eq(sh_hash_parse(sh_str(hex), &back), 0);
    ck_assert(sh_hash_eq(&h, &back));
    ck_assert_int_eq(sh_hash_parse(sh_strn(hex, 63), &back), -SH_E_INVAL);
    memcpy(hex + 64, "0", 2);
    ck_assert_int_eq(sh_hash_parse(sh_str(hex), &back), -SH_E_INVAL);
    hex[0] = 'g';
    ck_assert_int_eq(sh_hash_parse(sh_strn(hex, 64), &back), -SH_E_INVAL);
}
END_TEST

START_TEST(random_stream_gives_the_vectors_of_rfc_8439) {
    static const char want[] = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
                               "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
                               "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
                               "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
    uint8_t seed[32] = {0};
    uint8_t out[128];
    uint8_t expected[128];
    sh_random_stream(seed, 0, out, sizeof(out));
    ck_assert_int_eq(sh_hex_decode(sh_str(want), expected, sizeof(expected)), 0);
    ck_assert_mem_eq(out, expected, sizeof(out));
}
END_TEST

START_TEST(random_stream_does_not_depend_on_read_sizes) {
    uint8_t seed[32] = {1, 2, 3};
    uint8_t whole[400];
    uint8_t part[400];
    sh_random_stream(seed, 0, whole, sizeof(whole));
    for (size_t pos = 0; pos < 200; pos++) {
        for (size_t n = 0; n < 200; n += 7) {
            memset(part, 0xaa, sizeof(part));
            sh_random_stream(seed, pos, part, n);
            ck_assert_mem_eq(part, whole + pos, n);
            ck_assert_int_eq(part[n], 0xaa);
        }
    }
    sh_random_stream(seed, UINT64_MAX - 10, part, 10); /* the end of the positions */
}
END_TEST

START_TEST(secrets_compare_whole) {
    ck_assert(sh_secret_eq(SH_STR("key"), SH_STR("key")));
    ck_assert(!sh_secret_eq(SH_STR("key"), SH_STR("kex")));
    ck_assert(!sh_secret_eq(SH_STR("key"), SH_STR("keys")));
    ck_assert(sh_secret_eq((struct sh_str){0}, SH_STR("")));
    uint8_t a[16] = {0};
    uint8_t b[16] = {0};
    sh_random_bytes(a, sizeof(a));
    sh_random_bytes(b, sizeof(b));
    ck_assert_mem_ne(a, b, sizeof(a));
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        sha256_gives_the_known_vectors,
        hasher_is_the_same_in_pieces_and_frames_its_fields,
        hash_text_is_64_hex_digits,
        random_stream_gives_the_vectors_of_rfc_8439,
        random_stream_does_not_depend_on_read_sizes,
        secrets_compare_whole,
        NULL,
    };
    return sh_suite("base_hash", tests);
}

SH_TEST_MAIN(suite)
