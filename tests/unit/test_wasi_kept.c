/* Large answers of mapped directories are kept beside the journal, by hash: the tape stays small,
 * and a replay gets the very bytes or ends. */
#include "../lib/wasi_fixture.h"

enum { LARGE = 200000, HEAD = 8 }; /* HEAD: errno and length of a read's answer */

static char blobs[96];
static struct sh_tape_item item;

static void set_up(struct fx *f) {
    char *text = sh_alloc(LARGE + 1);

    fx_dirs(f);
    fx_map(f, 3, 3, true);
    for (int i = 0; i < LARGE; i++) {
        text[i] = (char)('a' + i % 23);
    }
    text[LARGE] = '\0';
    fx_host_file(f, "mapped/large", text);
    sh_free(text);
    (void)snprintf(blobs, sizeof(blobs), "%s/blobs", f->dir);
    f->config.blobs = blobs;
    fx_start(f);
}

/* Open and read so many bytes; how many came, or what else. */
static int read_large(struct fx *f, uint32_t n) {
    int fd = fx_open(f, 3, "large", 0, R_FD_READ);

    return fd < 0 ? fd : fx_read(f, fd, n);
}

static bool data_is_right(struct fx *f, int n) {
    for (int i = 0; i < n; i++) {
        if (f->m[FX_DATA + i] != 'a' + i % 23) {
            return false;
        }
    }
    return true;
}

static void copy_item(const struct sh_effect *e, uint64_t seq) {
    item = (struct sh_tape_item){.kind = SH_TAPE_OBSERVED,
                                 .seq = seq,
                                 .number = e->number,
                                 .what = sh_strn(sh_memdup(e->a.p, e->a.len), e->a.len),
                                 .bytes = sh_strn(sh_memdup(e->b.p, e->b.len), e->b.len)};
}

static void item_free(void) {
    sh_free((void *)(uintptr_t)item.what.p);
    sh_free((void *)(uintptr_t)item.bytes.p);
}

/* A run that read it, and then its replay with a tape of both observations, begun. */
static void record_and_replay(struct fx *f, struct sh_tape_item tape[2], uint32_t n) {
    ck_assert_int_eq(read_large(f, n), (int)n);
    ck_assert_uint_eq(f->g.n_effects, 2); /* open, read */
    for (int i = 0; i < 2; i++) {
        copy_item(&f->g.effects[i], (uint64_t)i + 1);
        tape[i] = item;
    }
    fx_stop(f);
    memset(f->m, 0, FX_MEM);
    f->config.verify = true;
    fx_start(f);
    for (int i = 0; i < 2; i++) {
        sh_guest_push(&f->g, &tape[i]);
    }
}

static void tape_free(struct sh_tape_item tape[2]) {
    for (int i = 0; i < 2; i++) {
        item = tape[i];
        item_free();
    }
}

START_TEST(a_large_read_leaves_a_small_effect_and_replays_without_the_file) {
    struct sh_tape_item tape[2];
    struct fx f;

    set_up(&f);
    record_and_replay(&f, tape, LARGE);
    sh_assert_str(tape[1].what, "read.kept");
    ck_assert_uint_lt(tape[1].bytes.len, 100);
    ck_assert_int_eq(read_large(&f, LARGE), LARGE);
    ck_assert(data_is_right(&f, LARGE));
    ck_assert_uint_eq(f.g.n_effects, 0);
    tape_free(tape);
    fx_done(&f);
}
END_TEST

START_TEST(what_is_smaller_by_a_byte_stays_in_the_journal) {
    struct fx f;

    set_up(&f);
    ck_assert_int_eq(read_large(&f, SH_KEPT_MIN - HEAD - 1), SH_KEPT_MIN - HEAD - 1);
    sh_assert_str(f.g.effects[1].a, "read");
    sh_guest_effects_taken(&f.g);
    ck_assert_int_eq(read_large(&f, SH_KEPT_MIN - HEAD), SH_KEPT_MIN - HEAD);
    sh_assert_str(f.g.effects[1].a, "read.kept");
    fx_done(&f);
}
END_TEST

START_TEST(without_a_folder_for_them_all_answers_stay_in_the_journal) {
    struct fx f;

    set_up(&f);
    fx_stop(&f);
    f.config.blobs = NULL;
    fx_start(&f);
    ck_assert_int_eq(read_large(&f, LARGE), LARGE);
    sh_assert_str(f.g.effects[1].a, "read");
    fx_done(&f);
}
END_TEST

START_TEST(past_the_amount_for_one_agent_answers_go_to_the_journal) {
    struct fx f;

    set_up(&f);
    f.w->kept.used = SH_KEPT_BYTES_MAX - LARGE - HEAD;
    ck_assert_int_eq(read_large(&f, LARGE), LARGE);
    sh_assert_str(f.g.effects[1].a, "read.kept");
    sh_guest_effects_taken(&f.g);
    ck_assert_int_eq(read_large(&f, LARGE), LARGE);
    sh_assert_str(f.g.effects[1].a, "read");
    fx_done(&f);
}
END_TEST

/* So many empty files with names of so many characters, all different. */
static void make_files(struct fx *f, int n, int length) {
    int dir = open(f->mapped, O_RDONLY | O_DIRECTORY);
    char name[256];

    ck_assert_int_ge(dir, 0);
    memset(name, 'n', sizeof(name));
    name[length] = '\0';
    for (int i = 0; i < n; i++) {
        int fd;

        for (int k = 6, v = i * 7919 % n; k >= 0; k--, v /= 10) {
            name[k] = (char)('0' + v % 10);
        }
        fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_eq(close(fd), 0);
    }
    ck_assert_int_eq(close(dir), 0);
}

/* All names, by pages of 64 KiB, from cookie to cookie: how many there are, and that they are
 * sorted; what else than success comes is given, negative. */
static int list_all(struct fx *f) {
    enum { PAGE = 65536, USED = 2 * PAGE };
    uint64_t cookie = 0;
    char last[256] = "";
    int n = 0;

    for (;;) {
        int rc = fx_call(f, "fd_readdir", 3, 0, PAGE, cookie, USED);
        uint32_t used = fx_u32(f, USED), at = 0;

        if (rc) {
            return -rc;
        }
        while (at + 24 <= used) {
            uint32_t length = fx_u32(f, at + 16);

            if (at + 24 + length > used) {
                break; /* cut: it comes again */
            }
            cookie = fx_u64(f, at);
            if (++n > 2) {
                ck_assert_uint_lt(length, sizeof(last));
                ck_assert_int_gt(memcmp(f->m + at + 24, last, length), 0);
                memcpy(last, f->m + at + 24, length);
            }
            at += 24 + length;
        }
        if (used < PAGE) {
            return n;
        }
    }
}

START_TEST(a_hundred_thousand_names_are_listed_and_replayed_without_the_directory) {
    enum { NAMES = 100000, LENGTH = 40 };
    char gone[160];
    struct fx f;

    set_up(&f);
    make_files(&f, NAMES, LENGTH);
    ck_assert_int_eq(list_all(&f), NAMES + 3); /* ".", ".." and the large file */
    ck_assert_uint_eq(f.g.n_effects, 1);
    sh_assert_str(f.g.effects[0].a, "readdir.kept");
    ck_assert_uint_lt(f.g.effects[0].b.len, 100);
    copy_item(&f.g.effects[0], 1);
    fx_stop(&f);
    (void)snprintf(gone, sizeof(gone), "%s.gone", f.mapped);
    ck_assert_int_eq(rename(f.mapped, gone), 0);
    ck_assert_int_eq(mkdir(f.mapped, 0700), 0);
    f.config.verify = true;
    fx_start(&f);
    sh_guest_push(&f.g, &item);
    ck_assert_int_eq(list_all(&f), NAMES + 3);
    ck_assert_uint_eq(f.g.n_effects, 0);
    item_free();
    fx_done(&f);
}
END_TEST

/* What cannot be kept beside the journal has to fit an event. */
START_TEST(a_listing_that_has_to_be_an_event_ends_at_its_limit) {
    enum { LENGTH = 255, ENTRY = 13 + LENGTH, FIT = 2 * 1024 * 1024 / ENTRY };
    struct fx f;

    set_up(&f);
    fx_stop(&f);
    f.config.blobs = NULL;
    fx_start(&f);
    make_files(&f, FIT, LENGTH); /* five bytes are left */
    ck_assert_int_eq(list_all(&f), FIT + 3);
    sh_assert_str(f.g.effects[0].a, "readdir");
    sh_guest_effects_taken(&f.g);
    fx_host_file(&f, "mapped/x", "");
    ck_assert_int_eq(list_all(&f), -E_OVERFLOW);
    fx_done(&f);
}
END_TEST

static void ends_as(const char *command, int code) {
    struct sh_tape_item tape[2];
    struct fx f;
    char line[512];

    set_up(&f);
    record_and_replay(&f, tape, LARGE);
    (void)snprintf(line, sizeof(line), "cd '%s' && %s", blobs, command);
    ck_assert_int_eq(system(line), 0);
    ck_assert_int_eq(read_large(&f, LARGE), SH_CALL_END);
    ck_assert_msg(f.g.end.code == code, "%s: %s", command, f.g.end.message);
    tape_free(tape);
    fx_done(&f);
}

START_TEST(bytes_that_changed_or_are_gone_end_the_replay) {
    ends_as("rm -f *", SH_E_NOT_FOUND);
    ends_as("chmod 600 * && printf X | dd of=$(ls) conv=notrunc status=none", SH_E_CORRUPT);
    ends_as("chmod 600 * && printf X >> $(ls)", SH_E_CORRUPT);
    ends_as("chmod 600 * && : > $(ls)", SH_E_CORRUPT);
    ends_as("n=$(ls) && rm -f $n && ln -s /dev/zero $n", SH_E_IO);
    ends_as("n=$(ls) && rm -f $n && mkfifo $n", SH_E_CORRUPT);
}
END_TEST

START_TEST(a_reference_that_was_cut_and_another_question_end_the_replay) {
    struct sh_tape_item tape[2];
    struct fx f;
    int fd;

    set_up(&f);
    record_and_replay(&f, tape, LARGE);
    fd = fx_open(&f, 3, "large", 0, R_FD_READ);
    fx_iov(&f, FX_DATA, LARGE); /* from another place than before */
    ck_assert_int_eq(fx_call(&f, "fd_pread", (uint64_t)fd, FX_IOV, 1, 5, FX_OUT), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_NONDETERMINISM);
    fx_stop(&f);
    fx_start(&f);
    tape[1].bytes.len = 39;
    sh_guest_push(&f.g, &tape[0]);
    sh_guest_push(&f.g, &tape[1]);
    ck_assert_int_eq(read_large(&f, LARGE), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_CORRUPT);
    tape_free(tape);
    fx_done(&f);
}
END_TEST

START_TEST(a_folder_that_cannot_take_it_is_the_hosts_failure) {
    struct fx f;

    set_up(&f);
    ck_assert_int_eq(mkdir(blobs, 0500), 0);
    if (geteuid() == 0) { /* root writes anywhere: a file in its place, then */
        ck_assert_int_eq(rmdir(blobs), 0);
        fx_host_file(&f, "blobs", "x");
    }
    ck_assert_int_eq(read_large(&f, LARGE), SH_CALL_END);
    ck_assert_int_eq(f.g.end.code, SH_E_IO);
    fx_done(&f);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        a_hundred_thousand_names_are_listed_and_replayed_without_the_directory,
        a_listing_that_has_to_be_an_event_ends_at_its_limit,
        a_large_read_leaves_a_small_effect_and_replays_without_the_file,
        what_is_smaller_by_a_byte_stays_in_the_journal,
        without_a_folder_for_them_all_answers_stay_in_the_journal,
        past_the_amount_for_one_agent_answers_go_to_the_journal,
        bytes_that_changed_or_are_gone_end_the_replay,
        a_reference_that_was_cut_and_another_question_end_the_replay,
        a_folder_that_cannot_take_it_is_the_hosts_failure,
        NULL};

    return sh_suite("wasi_kept", tests);
}
SH_TEST_MAIN(suite)
