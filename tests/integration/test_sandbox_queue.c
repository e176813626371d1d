/* Who compiles when, what a compiler may take, and what is not compiled again. The worker is a
 * shell script that counts how often it is run. */
#include "integration/sandbox_rig.h"

#include <pthread.h>
#include <sys/stat.h>

static char folder[64], script[96], count_file[96], aot[96];

static void folder_make(void) {
    (void)snprintf(folder, sizeof(folder), "/tmp/sh-queue-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    (void)snprintf(script, sizeof(script), "%s/worker", folder);
    (void)snprintf(count_file, sizeof(count_file), "%s/count", folder);
    (void)snprintf(aot, sizeof(aot), "%s/aot", folder);
}

static void folder_remove(void) {
    char command[256];

    (void)snprintf(command, sizeof(command), "rm -r '%s'", folder);
    ck_assert_int_eq(system(command), 0);
}

/* The worker writes a line into `count` and then does this. Its PATH is the shell's own. */
static void sandbox_with(struct rig *r, const char *lines, const char *aot_dir) {
    struct sh_sandbox_config c = {.worker = script, .agents_max = 4, .aot_dir = aot_dir};
    struct sh_err err = {0};
    FILE *f = fopen(script, "we");

    ck_assert_ptr_nonnull(f);
    ck_assert_int_gt(fprintf(f, "#!/bin/sh\necho x >>%s\n%s\n", count_file, lines), 0);
    ck_assert_int_eq(fchmod(fileno(f), 0700), 0);
    ck_assert_int_eq(fclose(f), 0);
    memset(r, 0, sizeof(*r));
    sh_assert_ok(sh_sandbox_new(&c, &r->sandbox, &err), &err);
}

static size_t runs(void) {
    struct stat st;

    return stat(count_file, &st) == 0 ? (size_t)st.st_size / 2 : 0;
}

static void load_fails(struct rig *r, const char *guest, const char *word) {
    struct sh_buf binary;
    struct sh_err err = {0};

    sh_buf_init(&binary, SH_MIB);
    rig_binary(guest, &binary);
    sh_assert_fails(sh_module_load(r->sandbox, sh_buf_str(&binary), &r->module, &err), SH_E_COMPILE,
                    &err);
    ck_assert_msg(strstr(err.message, word) != NULL, "\"%s\" lacks \"%s\"", err.message, word);
    sh_buf_done(&binary);
}

START_TEST(compiler_is_given_its_limits) {
    struct rig r;

    folder_make();
    sandbox_with(&r,
                 "printf 'compile_failed\\nlimits %s %s %s' $(ulimit -S -t) $(ulimit -v) "
                 "$(ulimit -f) >&4; exit 1",
                 NULL);
    load_fails(&r, "trap.wat", "limits 300 4194304 2097152"); /* s, KiB, blocks of 512 bytes */
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(last_words_of_a_compiler_are_told) {
    struct rig r;

    folder_make();
    sandbox_with(
        &r, "echo 'memory allocation of 77 bytes failed' >&2; echo more >&2; kill -ABRT $$", NULL);
    load_fails(&r, "trap.wat", "Aborted: memory allocation of 77 bytes failed); it may");
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(module_that_used_up_its_allowance_is_refused_at_once_the_next_time) {
    struct rig r;

    folder_make();
    sandbox_with(&r, "kill -XCPU $$", NULL);
    load_fails(&r, "trap.wat", "300 s of CPU time");
    load_fails(&r, "trap.wat", "because earlier the compiler died by signal 24");
    load_fails(&r, "trap.wat", "to try again: start again");
    ck_assert_uint_eq(runs(), 1);
    load_fails(&r, "grow.wat", "the compiler died"); /* another module is another matter */
    ck_assert_uint_eq(runs(), 2);
    rig_done(&r);
    folder_remove();
}
END_TEST

static void path_of_refusal(char out[256]) {
    FILE *f;
    char command[256];

    (void)snprintf(command, sizeof(command), "ls %s/*.refused", aot);
    f = popen(command, "r");
    ck_assert_ptr_nonnull(f);
    ck_assert_ptr_nonnull(fgets(out, 256, f));
    out[strcspn(out, "\n")] = 0;
    (void)pclose(f);
}

START_TEST(refusal_outlives_the_process_and_ends_with_its_file_or_after_a_day) {
    struct timespec yesterday[2] = {{0}};
    char path[256];
    struct rig r;

    folder_make();
    sandbox_with(&r, "kill -XCPU $$", aot);
    load_fails(&r, "trap.wat", "the compiler died");
    rig_done(&r);
    sandbox_with(&r, "kill -XCPU $$", aot);
    load_fails(&r, "trap.wat", "because earlier");
    load_fails(&r, "trap.wat", "to try again: remove /tmp/sh-queue-");
    ck_assert_uint_eq(runs(), 1);
    path_of_refusal(path);
    ck_assert_int_eq(unlink(path), 0);
    load_fails(&r, "trap.wat", "the compiler died");
    ck_assert_uint_eq(runs(), 2);
    yesterday[0].tv_sec = yesterday[1].tv_sec = (time_t)(sh_wall_us() / 1000000 - 90000);
    ck_assert_int_eq(utimensat(AT_FDCWD, path, yesterday, 0), 0);
    load_fails(&r, "trap.wat", "the compiler died");
    ck_assert_uint_eq(runs(), 3);
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(compiler_that_was_killed_from_outside_is_run_again) {
    struct rig r;

    folder_make();
    sandbox_with(&r, "kill -KILL $$", aot);
    load_fails(&r, "trap.wat", "signal 9");
    load_fails(&r, "trap.wat", "signal 9");
    ck_assert_uint_eq(runs(), 2);
    rig_done(&r);
    folder_remove();
}
END_TEST

struct loader {
    struct rig *rig;
    const char *guest;
    struct sh_err err;
};

static void *load(void *arg) {
    struct loader *l = arg;
    struct sh_module *m = NULL;
    struct sh_buf binary;

    sh_buf_init(&binary, SH_MIB);
    rig_binary(l->guest, &binary);
    (void)sh_module_load(l->rig->sandbox, sh_buf_str(&binary), &m, &l->err);
    sh_buf_done(&binary);
    return NULL;
}

/* Each worker waits for the other to have started, as a slow module beside a quick one. */
START_TEST(slow_module_does_not_keep_another_from_compiling) {
    struct rig r;
    struct loader loaders[2] = {{.rig = &r, .guest = "trap.wat"}, {.rig = &r, .guest = "grow.wat"}};
    pthread_t threads[2];
    char lines[512];

    folder_make();
    (void)snprintf(lines, sizeof(lines),
                   "PATH=/usr/bin:/bin; i=0\n"
                   "while [ \"$(wc -l <%s)\" -lt 2 ] && [ $i -lt 400 ]; do\n"
                   "sleep 0.05; i=$((i + 1)); done\n"
                   "[ $i -lt 400 ] && exit 42; exit 43",
                   count_file);
    sandbox_with(&r, lines, NULL);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(strstr(loaders[i].err.message, "status 42") != NULL, "%s",
                      loaders[i].err.message);
    }
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(same_module_is_compiled_by_one_at_a_time) {
    struct rig r;
    struct loader loaders[3] = {{.rig = &r, .guest = "trap.wat"},
                                {.rig = &r, .guest = "trap.wat"},
                                {.rig = &r, .guest = "trap.wat"}};
    pthread_t threads[3];
    char lines[256];

    folder_make();
    (void)snprintf(
        lines, sizeof(lines),
        "PATH=/usr/bin:/bin; mkdir %s/busy || exit 43; sleep 0.1; rmdir %s/busy; exit 42", folder,
        folder);
    sandbox_with(&r, lines, NULL);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, load, &loaders[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
        ck_assert_msg(strstr(loaders[i].err.message, "status 42") != NULL, "%s",
                      loaders[i].err.message);
    }
    rig_done(&r);
    folder_remove();
}
END_TEST

START_TEST(compiled_file_is_found_without_a_compiler_and_no_other) {
    char path[128];
    struct rig r;
    struct sh_buf binary;
    struct sh_err err = {0};
    FILE *f;

    folder_make();
    (void)snprintf(path, sizeof(path), "%s/module", folder);
    sh_buf_init(&binary, SH_MIB);
    rig_binary("trap.wat", &binary);
    f = fopen(path, "we");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(binary.p, 1, binary.len, f), binary.len);
    ck_assert_int_eq(fclose(f), 0);
    sh_buf_done(&binary);
    rig_sandbox(&r, 0, 4, aot);
    ck_assert_ptr_null(sh_module_find_file(r.sandbox, path));
    for (int i = 0; i < 200; i++) { /* a file is noted once it has not changed for a while */
        struct sh_module *found;

        sh_assert_ok(sh_module_load_file(r.sandbox, path, &r.module, &err), &err);
        r.module = sh_module_unref(r.module);
        found = sh_module_find_file(r.sandbox, path);
        if (found) {
            (void)sh_module_unref(found);
            break;
        }
        (void)usleep(100000);
    }
    rig_done(&r);
    sandbox_with(&r, "exit 42", aot);
    r.module = sh_module_find_file(r.sandbox, path);
    ck_assert_ptr_nonnull(r.module);
    ck_assert_ptr_null(sh_module_find_file(r.sandbox, folder));
    ck_assert_uint_eq(runs(), 0);
    rig_done(&r);
    folder_remove();
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {
        compiler_is_given_its_limits,
        last_words_of_a_compiler_are_told,
        module_that_used_up_its_allowance_is_refused_at_once_the_next_time,
        refusal_outlives_the_process_and_ends_with_its_file_or_after_a_day,
        compiler_that_was_killed_from_outside_is_run_again,
        slow_module_does_not_keep_another_from_compiling,
        same_module_is_compiled_by_one_at_a_time,
        compiled_file_is_found_without_a_compiler_and_no_other,
        NULL,
    };

    return sh_suite("sandbox_queue", tests);
}

RIG_MAIN(suite)
