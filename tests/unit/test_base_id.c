/* Ids: form, order within a millisecond and across threads, and what clients may use. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/check_main.h"

START_TEST(ids_have_a_prefix_and_26_crockford_digits) {
    struct sh_id id;
    sh_id_new(&id, "wf-");
    ck_assert_uint_eq(strlen(id.s), 29);
    ck_assert_uint_eq(strspn(id.s + 3, "0123456789abcdefghjkmnpqrstvwxyz"), 26);
    ck_assert_int_le(id.s[3], '7'); /* 130 digits' worth of bits for 128 */
    struct sh_id back;
    ck_assert_int_eq(sh_id_parse(sh_str(id.s), &back), 0);
    ck_assert_mem_eq(&id, &back, sizeof(id));
}
END_TEST

START_TEST(later_ids_sort_after_earlier_ones) {
    struct sh_id last;
    sh_id_new(&last, "wf-");
    for (int i = 0; i < 100000; i++) {
        struct sh_id next;
        sh_id_new(&next, "wf-");
        ck_assert_int_lt(strcmp(last.s, next.s), 0);
        last = next;
    }
}
END_TEST

enum { THREADS = 4, PER_THREAD = 5000 };
static struct sh_id made[THREADS][PER_THREAD];

static void *make(void *arg) {
    struct sh_id *ids = arg;
    for (int i = 0; i < PER_THREAD; i++) {
        sh_id_new(&ids[i], "");
    }
    return NULL;
}

static int compare(const void *a, const void *b) {
    return strcmp(a, b);
}

START_TEST(threads_never_make_the_same_id) {
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, make, made[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        for (int k = 1; k < PER_THREAD; k++) {
            ck_assert_int_lt(strcmp(made[i][k - 1].s, made[i][k].s), 0);
        }
    }
    struct sh_id *all = &made[0][0];
    qsort(all, (size_t)THREADS * PER_THREAD, sizeof(*all), compare);
    for (size_t i = 1; i < (size_t)THREADS * PER_THREAD; i++) {
        ck_assert_str_ne(all[i - 1].s, all[i].s);
    }
}
END_TEST

START_TEST(a_forked_child_makes_other_ids) {
    struct sh_id before;
    sh_id_new(&before, "");
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        struct sh_id id;
        sh_id_new(&id, "");
        _exit(write(ends[1], &id, sizeof(id)) == sizeof(id) ? 0 : 1);
    }
    struct sh_id mine;
    struct sh_id other;
    sh_id_new(&mine, "");
    ck_assert_int_eq(read(ends[0], &other, sizeof(other)), sizeof(other));
    waitpid(child, NULL, 0);
    ck_assert_str_ne(mine.s, other.s);
    ck_assert_int_lt(strcmp(before.s, other.s), 0);
}
END_TEST

START_TEST(client_ids_are_checked_at_their_edges) {
    struct sh_id id;
    char text[SH_ID_MAX + 2];
    memset(text, 'a', sizeof(text));
    ck_assert_int_eq(sh_id_parse(sh_strn(text, SH_ID_MAX), &id), 0);
    ck_assert_uint_eq(strlen(id.s), SH_ID_MAX);
    ck_assert_int_eq(sh_id_parse(sh_strn(text, SH_ID_MAX + 1), &id), -SH_E_INVAL);
    ck_assert_int_eq(sh_id_parse((struct sh_str){0}, &id), -SH_E_INVAL);
    ck_assert_int_eq(sh_id_parse(SH_STR("A.z_0-9:"), &id), 0);
    static const char *const bad[] = {"a/b", "a b", "a\n", "\xc3\xa9", "a*", "a'", "a;"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ck_assert_int_eq(sh_id_parse(sh_str(bad[i]), &id), -SH_E_INVAL);
    }
    ck_assert_int_eq(sh_id_parse(SH_STR("a\0b"), &id), -SH_E_INVAL);
    ck_assert_str_eq(id.s, "A.z_0-9:"); /* untouched by failures */
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        ids_have_a_prefix_and_26_crockford_digits,
        later_ids_sort_after_earlier_ones,
        threads_never_make_the_same_id,
        a_forked_child_makes_other_ids,
        client_ids_are_checked_at_their_edges,
        NULL,
    };
    return sh_suite("base_id", tests);
}

SH_TEST_MAIN(suite)
