/* See sign.h. Who holds the key can sign anything: this shows accidents and what others edited
 * later, not what the machine's owner forges. */
#include "engine/sign.h"

static void statement(struct sh_buf *to, const char *id, uint64_t seq, const struct sh_hash *head) {
    sh_buf_init_sure(to, SH_KIB);
    sh_buf_adds(to, "shannon head 1");
    sh_buf_u64(to, strlen(id));
    sh_buf_adds(to, id);
    sh_buf_u64(to, seq);
    sh_buf_add(to, head->b, sizeof(head->b));
    SH_ASSERT(!to->failed);
}

static json_t *hex(const void *p, size_t n) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};

    sh_buf_init_sure(&text, SH_KIB);
    sh_hex_encode(&text, p, n);
    return sh_json_string(sh_buf_str(&text));
}

json_t *sh_head_sign(const struct sh_sign_key *key, const char *id, uint64_t seq,
                     const struct sh_hash *head) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    uint8_t signature[SH_SIGN_BYTES];

    statement(&text, id, seq, head);
    sh_sign(key, sh_buf_str(&text), signature);
    return json_pack("{s:I, s:o, s:o, s:o}", "seq", (json_int_t)seq, "hash",
                     hex(head->b, sizeof(head->b)), "key", hex(key->public, sizeof(key->public)),
                     "signature", hex(signature, sizeof(signature)));
}

int sh_head_check(const json_t *said, const char *id, struct sh_head *ret, struct sh_err *err) {
    sh_auto(sh_buf_done) struct sh_buf text = {0};
    uint8_t signature[SH_SIGN_BYTES];
    struct sh_head head = {.seq = (uint64_t)sh_json_get_int(said, "seq", 0)};

    if (head.seq == 0 || sh_hash_parse(sh_json_get_str(said, "hash"), &head.hash) < 0 ||
        sh_hex_decode(sh_json_get_str(said, "key"), head.key, sizeof(head.key)) < 0 ||
        sh_hex_decode(sh_json_get_str(said, "signature"), signature, sizeof(signature)) < 0) {
        return sh_fail(err, SH_E_CORRUPT,
                       "the signature of the journal's head is not readable; expected {seq, hash, "
                       "key, signature}");
    }
    statement(&text, id, head.seq, &head.hash);
    if (!sh_sign_check(head.key, sh_buf_str(&text), signature)) {
        return sh_fail(err, SH_E_CORRUPT,
                       "the signature of event %llu is not what its key made for this task",
                       (unsigned long long)head.seq);
    }
    *ret = head;
    return 0;
}
