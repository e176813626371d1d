/* SurrealDB is a store like any other, in memory and on RocksDB; and what it alone can do. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "native.h"
#include "store_cases.h"

static const char *const kinds[] = {"memory", "rocksdb", NULL};

START_TEST(surrealql_reads_what_was_written) {
    struct fx f;
    fx_start(&f, kinds[_i]);
    struct sh_event_record e[2] = {fx_event("wf-a", 1, "{\"n\":1}"), fx_event("wf-a", 2, "{}")};
    sh_assert_ok(fx_append(&f, e, 2, NULL, 0), &f.err);
    sh_assert_ok(fx_put(&f, SH_TABLE_WORKFLOW, "wf-a", "{\"status\":\"running\"}"), &f.err);
    sh_assert_ok(fx_query(&f, "SELECT VALUE status FROM workflow; RETURN 1 + 1; "
                              "SELECT VALUE type FROM event:['wf-a', 1]..=['wf-a', 9]; "
                              "SELECT count() AS n FROM event GROUP ALL;"),
                 &f.err);
    char *text = sh_json_text(f.records);
    ck_assert_str_eq(text, "[[\"running\"],2,[\"Emitted\",\"Emitted\"],[{\"n\":2}]]");
    sh_free(text);
    sh_assert_ok(fx_query(&f, "INFO FOR DB"), &f.err);
    fx_stop(&f);
}
END_TEST

START_TEST(surrealql_that_writes_is_refused) {
    static const char *const writes[] = {
        "CREATE kv:x SET a = 1",
        "DELETE event",
        "UPSERT kv:x SET a = 1",
        "UPDATE workflow SET status = 'x'",
        "INSERT INTO kv {id: 'x'}",
        "RELATE kv:a->kv->kv:b",
        "REMOVE TABLE event",
        "DEFINE TABLE t",
        "SELECT * FROM (CREATE kv:x)",
        "SELECT (DELETE kv) FROM kv:seed",
        "RETURN {CREATE kv:x}",
        "LET $x = (DELETE event); RETURN $x",
        "IF true { DELETE event }",
        "FOR $i IN [1] { CREATE kv }",
        "BEGIN; DELETE event; COMMIT",
        "BEGIN; SELECT * FROM kv; COMMIT",
        "USE NS other",
        "LIVE SELECT * FROM kv",
        "SELECT * FROM kv; DELETE kv",
        "RETURN (|| { DELETE kv })()",
    };
    struct fx f;
    fx_start(&f, kinds[_i]);
    sh_assert_ok(fx_put(&f, SH_TABLE_KV, "seed", "{\"a\":1}"), &f.err);
    sh_assert_ok(fx_append_one(&f, "wf-a", 1), &f.err);
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        int r = fx_query(&f, writes[i]);
        ck_assert_msg(r < 0, "%s was not refused", writes[i]);
    }
    sh_assert_fails(fx_query(&f, "DELETE event"), SH_E_DENIED, &f.err);
    sh_assert_fails(fx_query(&f, "SELEKT *"), SH_E_INVAL, &f.err);
    sh_assert_fails(fx_query(&f, ""), SH_E_INVAL, &f.err);
    sh_assert_ok(fx_query(&f, "SELECT VALUE a FROM kv; SELECT VALUE type FROM event"), &f.err);
    char *text = sh_json_text(f.records);
    ck_assert_str_eq(text, "[[1],[\"Emitted\"]]");
    sh_free(text);
    fx_stop(&f);
}
END_TEST

START_TEST(a_database_in_use_by_another_process_is_busy) {
    struct fx f = {0};
    int ready[2], quit[2];
    char byte = 0;
    ck_assert_int_eq(pipe(ready) | pipe(quit), 0);
    char dir[] = "/tmp/shannon-store-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    f.endpoint = sh_asprintf("rocksdb:%s/db", dir);
    pid_t child = fork(); /* before any thread of the database exists */
    ck_assert_int_ge(child, 0);
    sh_assert_ok(sh_loop_new(&f.loop, &f.err), &f.err);
    if (child == 0) {
        int r = fx_open(&f);
        if (write(ready[1], r == 0 ? "y" : "n", 1) == 1 && read(quit[0], &byte, 1) >= 0) {
            _exit(0);
        }
        _exit(1);
    }
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'y');
    sh_assert_fails(fx_open(&f), SH_E_BUSY, &f.err);
    fx_close(&f);
    ck_assert_int_eq(write(quit[1], "q", 1), 1);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
    sh_assert_ok(fx_open(&f), &f.err); /* and free again */
    f.dir = sh_strdup(dir);
    sh_buf_init(&f.text, 64);
    fx_stop(&f);
}
END_TEST

START_TEST(folders_that_cannot_be_are_refused_with_their_name) {
    struct fx f = {0};
    static const char *const bad[] = {"rocksdb:", "rocksdb:/dev/null/db", "rocksdb:/tmp/a?b"};
    sh_assert_ok(sh_loop_new(&f.loop, &f.err), &f.err);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        f.endpoint = sh_strdup(bad[i]);
        int r = fx_open(&f);
        ck_assert_msg(r < 0 && strstr(f.err.message, bad[i] + 8), "%s: %s", bad[i], f.err.message);
        fx_close(&f);
        f.endpoint = sh_free(f.endpoint);
    }
    fx_stop(&f);
}
END_TEST

/* ---- native's own border ---- */

/* The database's: a disk that is slow, or broken. */
static atomic_uint sync_ms, synced;
static atomic_int sync_error;

int fdatasync(int fd) {
    usleep(1000 * atomic_load(&sync_ms));
    errno = atomic_load(&sync_error);
    int r = errno ? -1 : (int)syscall(SYS_fdatasync, fd);
    atomic_fetch_add(&synced, r == 0);
    return r;
}

struct answer {
    struct sh_msg msg;
    struct sh_loop *loop;
    struct sh_native_reply *reply;
    bool there;
    unsigned synced; /* syncs of the disk when it came */
};
static void answered(struct sh_msg *msg) {
    struct answer *a = sh_container_of(msg, struct answer, msg);
    a->there = true;
    sh_loop_stop(a->loop);
}
static void on_reply(void *arg, struct sh_native_reply *reply) {
    struct answer *a = arg;
    a->reply = reply;
    a->synced = atomic_load(&synced);
    a->msg.run = answered;
    sh_loop_post(a->loop, &a->msg);
}
static int wait_code(struct answer *a) {
    while (!a->there) {
        sh_loop_run(a->loop);
    }
    a->there = false;
    int code = a->reply->code;
    sh_native_reply_free(a->reply);
    return code;
}

#define BYTES(s) ((const uint8_t *)(s).p), (s).len

static int commit(struct sh_native_db *db, struct answer *a, struct sh_str batch) {
    sh_native_commit(db, BYTES(batch), on_reply, a);
    return wait_code(a);
}

static void valid_batch(struct sh_buf *b) {
    sh_buf_clear(b);
    sh_buf_u32(b, 0x32424853);
    sh_buf_u32(b, 1);
    sh_buf_u32(b, 1);
    sh_buf_u8(b, 0);
    sh_buf_u64(b, 0);
    sh_buf_bytes32(b, SH_STR("wf-a"));
    sh_buf_u64(b, 1);
    sh_buf_u64(b, 2);
    sh_buf_bytes32(b, SH_STR("Emitted"));
    sh_buf_bytes32(b, SH_STR("{}"));
    sh_buf_add(b, "0123456789abcdef0123456789abcdef", 32);
    sh_buf_bytes32(b, SH_STR("kv"));
    sh_buf_bytes32(b, SH_STR("k"));
    sh_buf_u8(b, 1);
    sh_buf_u8(b, 7);
    sh_buf_u32(b, 1);
    sh_buf_bytes32(b, SH_STR("n"));
    sh_buf_u8(b, 2);
}

START_TEST(malformed_batches_are_refused_and_write_nothing) {
    struct answer a = {0};
    struct sh_err err;
    struct sh_buf b;
    struct sh_str endpoint = SH_STR("memory");
    struct sh_str options =
        SH_STR("{\"sync\":\"never\",\"schema\":1,\"tables\":[\"meta\",\"event\","
               "\"kv\"]}");
    sh_buf_init(&b, 4096);
    sh_assert_ok(sh_loop_new(&a.loop, &err), &err);
    struct sh_native_db *db = sh_native_open(BYTES(endpoint), BYTES(options), on_reply, &a);
    ck_assert_int_eq(wait_code(&a), SH_NATIVE_OK);
    valid_batch(&b);
    for (size_t len = 0; len < b.len; len++) {
        ck_assert_int_eq(commit(db, &a, sh_strn(b.p, len)), SH_NATIVE_INVAL);
    }
    sh_buf_u8(&b, 0);
    ck_assert_int_eq(commit(db, &a, sh_buf_str(&b)), SH_NATIVE_INVAL);
    for (size_t at = 0; at < 12; at++) { /* magic and counts */
        valid_batch(&b);
        b.p[at] = (char)(b.p[at] ^ 0x55);
        ck_assert_int_eq(commit(db, &a, sh_buf_str(&b)), SH_NATIVE_INVAL);
    }
    valid_batch(&b);
    ck_assert_int_eq(commit(db, &a, sh_buf_str(&b)), SH_NATIVE_OK); /* nothing of it was there */
    ck_assert_int_eq(commit(db, &a, sh_buf_str(&b)), SH_NATIVE_EXISTS);
    sh_native_close(db, on_reply, &a);
    ck_assert_int_eq(wait_code(&a), SH_NATIVE_OK);
    sh_buf_done(&b);
    sh_loop_free(a.loop);
}
END_TEST

/* A commit of valid_batch under way, and every kind of read beside it. */
struct beside {
    struct sh_loop *loop;
    struct sh_native_db *db;
    struct answer commit, reads[4];
    char dir[32];
};

static void beside_open(struct beside *s) {
    struct sh_err err;
    struct sh_str options =
        SH_STR("{\"sync\":\"every\",\"schema\":1,\"tables\":[\"meta\",\"event\",\"kv\"]}");
    *s = (struct beside){.dir = "/tmp/shannon-store-XXXXXX"};
    ck_assert_ptr_nonnull(mkdtemp(s->dir));
    sh_assert_ok(sh_loop_new(&s->loop, &err), &err);
    s->commit.loop = s->loop;
    for (size_t i = 0; i < 4; i++) {
        s->reads[i].loop = s->loop;
    }
    sh_auto(sh_free_p) char *path = sh_asprintf("rocksdb:%s/db", s->dir);
    struct sh_str endpoint = sh_str(path);
    s->db = sh_native_open(BYTES(endpoint), BYTES(options), on_reply, &s->commit);
    ck_assert_int_eq(wait_code(&s->commit), SH_NATIVE_OK);
}

static void beside_begin(struct beside *s) {
    struct sh_buf b;
    struct sh_str kv = SH_STR("kv"), k = SH_STR("k"), query = SH_STR("SELECT n FROM kv");
    struct sh_str list = SH_STR("{\"table\":\"kv\",\"where\":[],\"offset\":0,\"limit\":9}");
    sh_buf_init(&b, 4096);
    valid_batch(&b);
    sh_native_commit(s->db, BYTES(sh_buf_str(&b)), on_reply, &s->commit);
    sh_buf_done(&b);
    struct sh_str workflow = SH_STR("wf-a");
    sh_native_read_events(s->db, BYTES(workflow), 0, 9, on_reply, &s->reads[0]);
    sh_native_get(s->db, BYTES(kv), BYTES(k), on_reply, &s->reads[1]);
    sh_native_list(s->db, BYTES(list), on_reply, &s->reads[2]);
    sh_native_query(s->db, BYTES(query), NULL, 0, on_reply, &s->reads[3]);
}

static void beside_close(struct beside *s) {
    sh_native_close(s->db, on_reply, &s->commit);
    wait_code(&s->commit);
    sh_auto(sh_free_p) char *all = sh_asprintf("rm -rf %s", s->dir);
    ck_assert_int_eq(system(all), 0);
    sh_loop_free(s->loop);
}

START_TEST(a_read_tells_only_what_is_on_the_disk) {
    struct beside s;
    beside_open(&s);
    atomic_store(&sync_ms, 300);
    unsigned before = atomic_load(&synced);
    beside_begin(&s);
    size_t saw = 0;
    for (size_t i = 0; i < 4; i++) {
        while (!s.reads[i].there) {
            sh_loop_run(s.loop);
        }
        struct sh_str text = sh_strn(s.reads[i].reply->bytes, s.reads[i].reply->len);
        if (memmem(text.p, text.len, i ? "\"n\"" : "Emitted", i ? 3 : 7)) {
            ck_assert_msg(s.reads[i].synced > before, "read %zu told what was not synced", i);
            saw++;
        }
        ck_assert_int_eq(wait_code(&s.reads[i]), SH_NATIVE_OK);
    }
    ck_assert_uint_eq(saw, 4); /* else nothing was tried */
    ck_assert_int_eq(wait_code(&s.commit), SH_NATIVE_OK);
    atomic_store(&sync_ms, 0);
    beside_close(&s);
}
END_TEST

START_TEST(what_may_be_lost_is_not_told_and_nothing_after_it) {
    struct beside s;
    beside_open(&s);
    atomic_store(&sync_ms, 300);
    atomic_store(&sync_error, EIO);
    beside_begin(&s);
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(wait_code(&s.reads[i]), SH_NATIVE_IO);
    }
    ck_assert_int_eq(wait_code(&s.commit), SH_NATIVE_IO);
    atomic_store(&sync_error, 0);
    struct sh_str workflow = SH_STR("wf-a");
    sh_native_read_events(s.db, BYTES(workflow), 0, 9, on_reply, &s.reads[0]);
    ck_assert_int_eq(wait_code(&s.reads[0]), SH_NATIVE_IO);
    beside_close(&s);
}
END_TEST

START_TEST(toml_becomes_json_or_an_error_with_its_place) {
    struct sh_str good = SH_STR("a = 1\n[t]\nx = [1.5, 'y', true]\nd = 2026-01-02\n");
    struct sh_native_reply *r = sh_native_toml_to_json(BYTES(good));
    ck_assert_int_eq(r->code, SH_NATIVE_OK);
    sh_assert_str(sh_strn(r->bytes, r->len),
                  "{\"a\":1,\"t\":{\"d\":\"2026-01-02\",\"x\":[1.5,\"y\",true]}}");
    sh_native_reply_free(r);
    struct sh_str bad = SH_STR("a = 1\nb = = 2\n");
    r = sh_native_toml_to_json(BYTES(bad));
    ck_assert_int_eq(r->code, SH_NATIVE_INVAL);
    char *message = sh_strndup0((const char *)r->bytes, r->len);
    ck_assert_ptr_nonnull(strstr(message, "line 2"));
    sh_free(message);
    sh_native_reply_free(r);
    r = sh_native_toml_to_json((const uint8_t *)"\xff", 1);
    ck_assert_int_eq(r->code, SH_NATIVE_INVAL);
    sh_native_reply_free(r);
    sh_native_reply_free(NULL);
    ck_assert_ptr_nonnull(strstr(sh_native_version(), "wasmtime " SHANNON_WASMTIME "."));
}
END_TEST

static Suite *suite(void) {
    Suite *s = suite_create("store_surreal");
    TCase *tcase = tcase_create("surreal");
    tcase_set_timeout(tcase, SH_TEST_SECONDS);
    fx_add_cases(tcase, kinds);
    fx_add_owner_cases(tcase, kinds);
    tcase_add_loop_test(tcase, surrealql_reads_what_was_written, 0, 2);
    tcase_add_loop_test(tcase, surrealql_that_writes_is_refused, 0, 2);
    tcase_add_test(tcase, a_database_in_use_by_another_process_is_busy);
    tcase_add_test(tcase, folders_that_cannot_be_are_refused_with_their_name);
    tcase_add_test(tcase, malformed_batches_are_refused_and_write_nothing);
    tcase_add_test(tcase, a_read_tells_only_what_is_on_the_disk);
    tcase_add_test(tcase, what_may_be_lost_is_not_told_and_nothing_after_it);
    tcase_add_test(tcase, toml_becomes_json_or_an_error_with_its_place);
    suite_add_tcase(s, tcase);
    return s;
}

SH_TEST_MAIN(suite)
