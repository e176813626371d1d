/* Module files that are loaded without being read: only while nothing about them has changed, and
 * only by records that are ours. */
#include "integration/sandbox_rig.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <time.h>

static char folder[64], file[128];

static void remove_all(void) {
    DIR *d = opendir(folder);

    for (struct dirent *e; (e = readdir(d));) {
        char path[400];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
        (void)unlink(path);
    }
    (void)closedir(d);
    ck_assert_int_eq(rmdir(folder), 0);
    (void)unlink(file);
}

/* Path of the only file of that ending among the artifacts; NULL: there is none. */
static const char *found(const char *suffix) {
    static char path[400];
    DIR *d = opendir(folder);
    bool any = false;

    for (struct dirent *e; (e = readdir(d));) {
        size_t length = strlen(e->d_name);

        if (length > strlen(suffix) && strcmp(e->d_name + length - strlen(suffix), suffix) == 0) {
            ck_assert_msg(!any, "more than one %s", suffix);
            (void)snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
            any = true;
        }
    }
    (void)closedir(d);
    return any ? path : NULL;
}

static void write_file(const char *path, const void *bytes, size_t n) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(write(fd, bytes, n), (ssize_t)n);
    (void)close(fd);
}

/* Old enough to be noted. The change time cannot be set, so the wait is real. */
static void settle(void) {
    struct stat st;
    struct timespec now;

    do {
        ck_assert_int_eq(stat(file, &st), 0);
        (void)usleep(50000);
        (void)clock_gettime(CLOCK_REALTIME, &now);
    } while ((now.tv_sec - st.st_ctim.tv_sec) * 1000 +
                 (now.tv_nsec - st.st_ctim.tv_nsec) / 1000000 <
             2200);
}

/* (module (memory (export "memory") 1) (func (export "_start") i32.const N drop)) */
static void module_put(char number) {
    char text[128];
    struct sh_buf binary;
    struct sh_err err = {0};

    (void)snprintf(text, sizeof(text),
                   "(module (memory (export \"memory\") 1)"
                   " (func (export \"_start\") (drop (i32.const %d))))",
                   number);
    sh_buf_init(&binary, SH_MIB);
    sh_assert_ok(sh_module_from_text(sh_str(text), &binary, &err), &err);
    write_file(file, binary.p, binary.len);
    sh_buf_done(&binary);
}

/* Load in a sandbox of its own, run, and give the hash. */
static struct sh_hash load(void) {
    struct rig r = {0};
    struct sh_err err = {0};
    struct sh_hash hash;

    rig_sandbox(&r, 0, 4, folder);
    sh_assert_ok(sh_module_load_file(r.sandbox, file, &r.module, &err), &err);
    hash = *sh_module_hash(r.module);
    rig_agent(&r);
    ck_assert_int_eq(rig_run(&r), SH_AGENT_FINISHED);
    ck_assert_int_eq(sh_agent_end(r.agent)->code, SH_OK);
    rig_done(&r);
    return hash;
}

static struct sh_hash hash_of_file(void) {
    char bytes[4096];
    int fd = open(file, O_RDONLY);
    ssize_t n = read(fd, bytes, sizeof(bytes));
    struct sh_hash hash;

    (void)close(fd);
    sh_sha256(bytes, n > 0 ? (size_t)n : 0, &hash);
    return hash;
}

static void check_load(void) {
    struct sh_hash expected = hash_of_file(), actual = load();

    ck_assert(sh_hash_eq(&expected, &actual));
}

static void begin(void) {
    (void)snprintf(folder, sizeof(folder), "/tmp/sh-index-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(file, sizeof(file), "%s.wasm", folder);
    module_put(1);
}

/* A settled file, loaded and noted. */
static void begin_noted(void) {
    begin();
    settle();
    check_load();
    ck_assert_ptr_nonnull(found(".index"));
}

static void record_rewrite(void (*change)(char *text)) {
    const char *path = found(".index");
    char text[600] = "";
    int fd = open(path, O_RDONLY);

    ck_assert_int_gt(read(fd, text, sizeof(text) - 1), 0);
    (void)close(fd);
    change(text);
    ck_assert_int_eq(chmod(path, 0600), 0);
    write_file(path, text, strlen(text));
    ck_assert_int_eq(chmod(path, 0400), 0);
}

static struct sh_hash other_module;

static void tell_other_module(char *text) {
    char hex[SH_HASH_HEX_BYTES], *at = text;
    struct sh_hash sum;

    for (int i = 0; i < 5; i++) {
        at = strchr(at, ' ') + 1;
    }
    sh_hash_hex(&other_module, hex);
    memcpy(at, hex, SH_HASH_HEX_BYTES - 1);
    at = strrchr(text, ' ');
    sh_sha256(text, (size_t)(at - text), &sum);
    sh_hash_hex(&sum, hex);
    memcpy(at + 1, hex, SH_HASH_HEX_BYTES - 1);
}

/* What a good record tells is taken for the file, so nobody looks at the bytes: here it tells the
 * hash of another module, checksum included. */
START_TEST(unchanged_file_is_known_without_its_bytes) {
    struct sh_hash told;

    begin();
    module_put(2);
    other_module = load();
    module_put(1);
    settle();
    check_load();
    record_rewrite(tell_other_module);
    told = load();
    ck_assert(sh_hash_eq(&told, &other_module));
    remove_all();
}
END_TEST

START_TEST(known_file_without_its_artifact_is_read_and_compiled_again) {
    begin_noted();
    ck_assert_int_eq(unlink(found(".cwasm")), 0);
    check_load();
    ck_assert_ptr_nonnull(found(".cwasm"));
    check_load();
    remove_all();
}
END_TEST

START_TEST(changed_file_of_the_same_size_is_noticed) {
    struct stat before, after;
    struct timespec times[2];

    begin_noted();
    ck_assert_int_eq(stat(file, &before), 0);
    module_put(2);
    times[0] = before.st_atim;
    times[1] = before.st_mtim; /* whoever changed it put its time back */
    ck_assert_int_eq(utimensat(AT_FDCWD, file, times, 0), 0);
    ck_assert_int_eq(stat(file, &after), 0);
    ck_assert_int_eq(before.st_size, after.st_size);
    ck_assert_uint_eq(before.st_ino, after.st_ino);
    check_load();
    remove_all();
}
END_TEST

START_TEST(file_in_the_place_of_another_is_noticed) {
    char other[140];

    begin_noted();
    (void)snprintf(other, sizeof(other), "%s.old", file);
    ck_assert_int_eq(rename(file, other), 0);
    module_put(3);
    check_load();
    (void)unlink(other);
    remove_all();
}
END_TEST

START_TEST(file_that_may_change_within_its_clocks_tick_is_not_noted) {
    begin();
    check_load();
    ck_assert_ptr_null(found(".index"));
    remove_all();
}
END_TEST

static void other_hash(char *text) {
    char *hash = text;

    for (int i = 0; i < 5; i++) {
        hash = strchr(hash, ' ') + 1;
    }
    *hash = *hash == '0' ? '1' : '0';
}

static void other_scan(char *text) {
    char *field = text;

    for (int i = 0; i < 7; i++) {
        field = strchr(field, ' ') + 1;
    }
    *field = *field == '0' ? '1' : '0'; /* a command or not */
}

static void cut(char *text) {
    text[strlen(text) / 2] = 0;
}

static void longer(char *text) {
    memcpy(text + strlen(text), "more\n", sizeof("more\n"));
}

static void nothing(char *text) {
    *text = 0;
}

START_TEST(record_that_was_changed_is_not_believed) {
    void (*const changes[])(char *text) = {other_hash, other_scan, cut, longer, nothing};

    begin_noted();
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        record_rewrite(changes[i]);
        check_load();
    }
    remove_all();
}
END_TEST

START_TEST(record_that_others_could_have_made_is_not_believed) {
    struct stat before, after;
    char other[200];

    begin_noted();
    ck_assert_int_eq(chmod(found(".index"), 0644), 0);
    ck_assert_int_eq(stat(found(".index"), &before), 0);
    check_load();
    ck_assert_int_eq(stat(found(".index"), &after), 0);
    ck_assert_uint_eq(after.st_mode & 07777, 0400); /* it was written anew */
    (void)snprintf(other, sizeof(other), "%s.record", file);
    ck_assert_int_eq(link(found(".index"), other), 0); /* two names: another may hold it open */
    check_load();
    ck_assert_int_eq(stat(found(".index"), &after), 0);
    ck_assert_uint_eq(after.st_nlink, 1);
    (void)unlink(other);
    remove_all();
}
END_TEST

START_TEST(what_is_no_module_file_is_refused) {
    struct rig r = {0};
    struct sh_err err = {0};

    begin();
    rig_sandbox(&r, 0, 4, folder);
    sh_assert_fails(sh_module_load_file(r.sandbox, "/nowhere/x.wasm", &r.module, &err),
                    SH_E_NOT_FOUND, &err);
    sh_assert_fails(sh_module_load_file(r.sandbox, folder, &r.module, &err), SH_E_INVAL, &err);
    sh_assert_fails(sh_module_load_file(r.sandbox, "/dev/null", &r.module, &err), SH_E_INVAL, &err);
    ck_assert_int_eq(truncate(file, (off_t)SH_MODULE_BYTES_MAX + 1), 0);
    sh_assert_fails(sh_module_load_file(r.sandbox, file, &r.module, &err), SH_E_LIMIT, &err);
    ck_assert_int_eq(truncate(file, 0), 0);
    sh_assert_fails(sh_module_load_file(r.sandbox, file, &r.module, &err), SH_E_MODULE, &err);
    rig_done(&r);
    remove_all();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        unchanged_file_is_known_without_its_bytes,
        known_file_without_its_artifact_is_read_and_compiled_again,
        changed_file_of_the_same_size_is_noticed,
        file_in_the_place_of_another_is_noticed,
        file_that_may_change_within_its_clocks_tick_is_not_noted,
        record_that_was_changed_is_not_believed,
        record_that_others_could_have_made_is_not_believed,
        what_is_no_module_file_is_refused,
        NULL,
    };

    return sh_suite("sandbox_index", tests);
}

RIG_MAIN(suite)
