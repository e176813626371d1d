#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

int sh_cli_parse(struct sh_common *common, const char *usage, const struct sh_flag *flags,
                 size_t n_flags, size_t least, size_t most, int argc, char *const argv[]) {
    const struct sh_flag shared[] = {
        {"data-dir", SH_FLAG_TEXT, &common->data_dir, "DIR",
         "data directory (else $SHANNON_DATA_DIR, $XDG_DATA_HOME/shannon)"},
        {"config", SH_FLAG_TEXT, &common->config, "FILE",
         "configuration (else shannon.toml in the data directory)"},
        {"json", SH_FLAG_BOOL, &common->json, NULL, "answer in JSON"},
    };
    struct sh_flag *all = sh_new_array(struct sh_flag, n_flags + SH_N(shared));
    if (n_flags) {
        memcpy(all, flags, n_flags * sizeof(*flags));
    }
    memcpy(all + n_flags, shared, sizeof(shared));
    struct sh_err err = {0};
    int rc = sh_flags_parse(all, n_flags + SH_N(shared), argc, argv, &common->operands,
                            &common->help, &err);
    if (rc == 0 && common->help) {
        sh_auto(sh_buf_done) struct sh_buf text = {0};
        sh_buf_init(&text, 64 * SH_KIB);
        sh_flags_help(all, n_flags + SH_N(shared), &text);
        printf("usage: shannon %s\n\n%s", usage, text.p ? text.p : "");
        rc = 1;
    } else if (rc == 0 && (common->operands.n < least || common->operands.n > most)) {
        rc = sh_fail(&err, SH_E_INVAL, "%s; usage: shannon %s",
                     common->operands.n < least ? "an argument is missing" : "too many arguments",
                     usage);
    }
    sh_free(all);
    if (rc < 0) {
        sh_cli_fail(&err);
    }
    if (rc != 0) {
        sh_values_done(&common->operands);
    }
    return rc;
}

int sh_cli_fail(const struct sh_err *err) {
    const struct sh_code_info *info = sh_code_info(err->code);
    fputs("shannon: ", stderr);
    sh_cli_print_text(stderr, sh_str(err->message[0] ? err->message : info->text), 0);
    fputc('\n', stderr);
    return info->exit_status ? info->exit_status : SH_EXIT_OWN;
}

void sh_cli_print_json(const json_t *value) {
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

void sh_cli_print_text(FILE *out, struct sh_str text, size_t width) {
    size_t n = width && text.len > width ? width : text.len;
    while (n < text.len && n > 0 && ((unsigned char)text.p[n] & 0xc0) == 0x80) {
        n--; /* never half a character */
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        /* C0, DEL, and C1 in UTF-8 (c2 80..9f): escape sequences are commands to a terminal. */
        bool c1 = c == 0xc2 && i + 1 < n && (unsigned char)text.p[i + 1] < 0xa0;
        if (c < 0x20 || c == 0x7f || c1) {
            fputc(c == '\n' || c == '\t' ? ' ' : '?', out);
            i += c1;
        } else {
            fputc(c, out);
        }
    }
    if (n < text.len) {
        fputs("...", out);
    }
}

int sh_cli_end(int status) {
    if (fflush(stdout) != 0 && errno != EPIPE) {
        fprintf(stderr, "shannon: cannot write the output: %s\n", strerror(errno));
        return SH_EXIT_OWN;
    }
    return status;
}
