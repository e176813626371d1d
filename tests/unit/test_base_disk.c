/* base/disk: the ballast at the edges of the room that it needs, and what is left of one that was
 * not made whole. */
#include "base/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/check_main.h"

#ifdef SH_FAULTS

static char dir[64];

static void begin(void) {
    snprintf(dir, sizeof(dir), "/tmp/shannon-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
}

static void end(void) {
    sh_disk_pretend(UINT64_MAX);
    sh_ballast_release(dir);
    ck_assert_int_eq(rmdir(dir), 0); /* nothing else was left */
}

static uint64_t room(void) {
    struct sh_err err = {0};
    uint64_t bytes = 0;

    sh_assert_ok(sh_disk_free(dir, &bytes, &err), &err);
    return bytes;
}

START_TEST(ballast_is_made_only_where_room_is_left_after_it) {
    struct sh_err err = {0};

    begin();
    sh_disk_pretend(SH_BALLAST + SH_DISK_BALLAST_ROOM - 1);
    ck_assert_int_eq(sh_ballast_make(dir, &err), 0);
    ck_assert(!sh_ballast_is_there(dir));
    sh_disk_pretend(SH_BALLAST + SH_DISK_BALLAST_ROOM);
    ck_assert_int_eq(sh_ballast_make(dir, &err), 1);
    ck_assert(sh_ballast_is_there(dir));
    ck_assert_uint_eq(room(), SH_DISK_BALLAST_ROOM);
    ck_assert_int_eq(sh_ballast_make(dir, &err), 0); /* it is there */
    end();
}
END_TEST

START_TEST(ballast_has_blocks_of_its_own_and_nobody_else_reads_it) {
    struct sh_err err = {0};
    struct stat st;
    char path[100];

    begin();
    ck_assert_int_eq(sh_ballast_make(dir, &err), 1);
    snprintf(path, sizeof(path), "%s/" SH_BALLAST_NAME, dir);
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_uint_ge((uint64_t)st.st_blocks * 512, SH_BALLAST);
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    end();
}
END_TEST

START_TEST(ballast_makes_way_below_the_mark_and_not_at_it) {
    struct sh_err err = {0};

    begin();
    ck_assert_int_eq(sh_ballast_make(dir, &err), 1);
    sh_disk_pretend(SH_DISK_FULL);
    sh_ballast_make_way(dir);
    ck_assert(sh_ballast_is_there(dir));
    sh_disk_pretend(SH_DISK_FULL - 1);
    sh_ballast_make_way(dir);
    ck_assert(!sh_ballast_is_there(dir));
    ck_assert_uint_eq(room(), SH_DISK_FULL - 1 + SH_BALLAST);
    ck_assert(!sh_ballast_release(dir)); /* there is none */
    end();
}
END_TEST

START_TEST(a_half_made_ballast_is_none_and_is_made_anew) {
    struct sh_err err = {0};
    char path[100];
    int fd;

    begin();
    snprintf(path, sizeof(path), "%s/" SH_BALLAST_NAME, dir);
    fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    ck_assert_int_eq(write(fd, "x", 1), 1);
    close(fd);
    ck_assert(!sh_ballast_is_there(dir));
    ck_assert_int_eq(sh_ballast_make(dir, &err), 1);
    ck_assert(sh_ballast_is_there(dir));
    end();
}
END_TEST

START_TEST(a_failure_leaves_no_file_and_is_told) {
    struct sh_err err = {0};

    begin();
    for (uint64_t k = 1; k <= 2; k++) { /* looking, making */
        sh_fault_plan(k, false);
        sh_assert_fails(sh_ballast_make(dir, &err), SH_E_IO, &err);
        sh_fault_plan(0, false);
        ck_assert(!sh_ballast_is_there(dir));
    }
    ck_assert_int_eq(rmdir(dir), 0);
    begin();
    end();
}
END_TEST

START_TEST(a_folder_that_is_gone_has_no_known_room) {
    struct sh_err err = {0};
    uint64_t bytes = 0;

    sh_assert_fails(sh_disk_free("/nonexistent/folder", &bytes, &err), SH_E_IO, &err);
    ck_assert_uint_eq(sh_disk_free_at(-1), UINT64_MAX);
}
END_TEST

#endif

static Suite *suite(void) {
    const TTest *const tests[] = {
#ifdef SH_FAULTS
        ballast_is_made_only_where_room_is_left_after_it,
        ballast_has_blocks_of_its_own_and_nobody_else_reads_it,
        ballast_makes_way_below_the_mark_and_not_at_it,
        a_half_made_ballast_is_none_and_is_made_anew,
        a_failure_leaves_no_file_and_is_told,
        a_folder_that_is_gone_has_no_known_room,
#endif
        NULL};
    return sh_suite("base_disk", tests);
}

SH_TEST_MAIN(suite)
