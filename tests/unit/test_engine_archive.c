/* The archive's reader takes what the writer makes and nothing that leads out of it. */
#include "engine/archive.h"
#include "lib/check_main.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

/* The first n bytes as a file. */
static struct sh_archive in_file(const struct sh_buf *b, size_t n) {
    struct sh_archive a = {.fd = memfd_create("archive", MFD_CLOEXEC), .bytes = n};

    ck_assert_int_ge(a.fd, 0);
    ck_assert_int_eq(write(a.fd, b->p, n), (ssize_t)n);
    return a;
}

static struct sh_buf one_file(const char *name) {
    struct sh_buf b;

    sh_buf_init(&b, SH_MIB);
    sh_archive_add(&b, "a", SH_STR("content"));
    memset(b.p, 0, 100);
    memcpy(b.p, name, strlen(name));
    sh_archive_end(&b);
    return b;
}

/* Make the header's sum right again, as whoever forges one would. */
static void seal(struct sh_buf *b) {
    unsigned sum = 0;

    memset(b->p + 148, ' ', 8);
    for (size_t i = 0; i < 512; i++) {
        sum += (unsigned char)b->p[i];
    }
    snprintf(b->p + 148, 8, "%06o", sum);
    b->p[155] = ' ';
}

static int first(const struct sh_buf *b, struct sh_err *err) {
    char name[SH_ARCHIVE_NAME_MAX + 1];
    struct sh_archive a = in_file(b, b->len);
    uint64_t at, bytes;
    int r = sh_archive_next(&a, name, &at, &bytes, err);

    close(a.fd);
    return r;
}

START_TEST(files_come_back_in_order_with_every_byte) {
    static const char *const names[] = {"manifest.json", "modules/0a", "x"};
    sh_auto(sh_buf_done) struct sh_buf b = {0};
    char name[SH_ARCHIVE_NAME_MAX + 1], content[1100], back[1100];
    uint64_t at, bytes;
    struct sh_err err = {0};

    memset(content, 'z', sizeof(content));
    sh_buf_init(&b, SH_MIB);
    static const size_t sizes[] = {0, 512, 1025};
    for (size_t i = 0; i < 3; i++) {
        sh_archive_add(&b, names[i], sh_strn(content, sizes[i]));
    }
    sh_archive_end(&b);
    ck_assert_uint_eq(b.len % 512, 0);
    struct sh_archive a = in_file(&b, b.len);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(sh_archive_next(&a, name, &at, &bytes, &err), 1);
        ck_assert_str_eq(name, names[i]);
        ck_assert_uint_eq(bytes, sizes[i]);
        sh_assert_ok(sh_spool_read(a.fd, at, back, bytes, &err), &err);
        ck_assert(memcmp(back, content, bytes) == 0);
    }
    ck_assert_int_eq(sh_archive_next(&a, name, &at, &bytes, &err), 0);
    for (size_t cut = 0; cut < b.len - 1024; cut += 100) { /* torn off anywhere */
        int r = 1;
        a.at = 0;
        a.bytes = cut;
        while (r > 0) {
            r = sh_archive_next(&a, name, &at, &bytes, &err);
        }
        ck_assert_int_eq(r, -SH_E_CORRUPT);
    }
    close(a.fd);
}
END_TEST

START_TEST(the_largest_file_that_a_header_can_tell_of) {
    char name[SH_ARCHIVE_NAME_MAX + 1];
    sh_auto(sh_buf_done) struct sh_buf head = {0}, end = {0};
    uint64_t at, bytes;
    struct sh_err err = {0};

    sh_buf_init(&head, SH_MIB);
    sh_buf_init(&end, SH_MIB);
    sh_archive_begin(&head, "large", SH_ARCHIVE_FILE_MAX);
    sh_archive_pad(&end, SH_ARCHIVE_FILE_MAX);
    sh_archive_end(&end);
    struct sh_archive a = in_file(&head, head.len); /* with a hole where the file is */
    ck_assert_int_eq(ftruncate(a.fd, (off_t)(head.len + SH_ARCHIVE_FILE_MAX)), 0);
    ck_assert_int_eq(pwrite(a.fd, end.p, end.len, (off_t)(head.len + SH_ARCHIVE_FILE_MAX)),
                     (ssize_t)end.len);
    a.bytes = head.len + SH_ARCHIVE_FILE_MAX + end.len;
    ck_assert_int_eq(sh_archive_next(&a, name, &at, &bytes, &err), 1);
    ck_assert_uint_eq(at, 512);
    ck_assert_uint_eq(bytes, SH_ARCHIVE_FILE_MAX);
    ck_assert_int_eq(sh_archive_next(&a, name, &at, &bytes, &err), 0);
    close(a.fd);
}
END_TEST

START_TEST(a_name_that_leads_elsewhere_is_refused) {
    static const char *const bad[] = {"/etc/passwd", "../x", "a/../b", "a//b", "./a",     "a/.",
                                      "a/",          "a b",  "a\\b",   "a\nb", "\xc3\xa9"};
    struct sh_err err = {0};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        sh_auto(sh_buf_done) struct sh_buf b = one_file(bad[i]);
        seal(&b);
        ck_assert_msg(first(&b, &err) == -SH_E_CORRUPT, "%s", bad[i]);
    }
    sh_auto(sh_buf_done) struct sh_buf longest = one_file("a");
    memset(longest.p, 'a', 100); /* a header has room for 100 */
    seal(&longest);
    ck_assert_int_eq(first(&longest, &err), 1);
}
END_TEST

START_TEST(links_folders_devices_and_wrong_sizes_are_refused) {
    struct sh_err err = {0};

    for (const char *type = "123456789xgLK"; *type; type++) {
        sh_auto(sh_buf_done) struct sh_buf b = one_file("a");
        b.p[156] = *type;
        seal(&b);
        ck_assert_int_eq(first(&b, &err), -SH_E_CORRUPT);
    }
    static const char *const sizes[] = {"77777777777", "00000010000", "-0000000001",
                                        "0000000000x", "           ", "\x80\0\0\0\0\0\0\0\0\0\1"};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        sh_auto(sh_buf_done) struct sh_buf b = one_file("a");
        memcpy(b.p + 124, sizes[i], 11);
        seal(&b);
        ck_assert_int_eq(first(&b, &err), -SH_E_CORRUPT);
    }
    sh_auto(sh_buf_done) struct sh_buf unsealed = one_file("b");
    ck_assert_int_eq(first(&unsealed, &err), -SH_E_CORRUPT);
    sh_auto(sh_buf_done) struct sh_buf prefixed = one_file("a");
    memcpy(prefixed.p + 345, "..", 2);
    seal(&prefixed);
    ck_assert_int_eq(first(&prefixed, &err), -SH_E_CORRUPT);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {files_come_back_in_order_with_every_byte,
                                  the_largest_file_that_a_header_can_tell_of,
                                  a_name_that_leads_elsewhere_is_refused,
                                  links_folders_devices_and_wrong_sizes_are_refused, NULL};
    return sh_suite("engine_archive", tests);
}
SH_TEST_MAIN(suite)
