/* `shannon read-worker KIND CHARSET BASE CHARS`: a document on standard input, {title, text, links,
 * truncated} on standard output. What it needs of the system (the charset's tables) it takes before
 * it reads the document closely; then it keeps memory and its descriptors. It never frees a tree:
 * the process ends instead, and no depth can use up its stack. */
#include <errno.h>
#include <iconv.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/confine.h"
#include "tools/readable.h"
#include "tools/tools.h"

static int read_all(struct sh_buf *b) {
    for (;;) {
        char *p = sh_buf_room(b, 65536);
        ssize_t n = p ? read(0, p, 65536) : -1;
        if (n == 0) {
            return 0;
        }
        if (n < 0 && (!p || errno != EINTR)) {
            return -1;
        }
        b->len += n > 0 ? (size_t)n : 0;
    }
}

static int write_all(struct sh_str s) {
    while (s.len) {
        ssize_t n = write(1, s.p, s.len);
        if (n < 0 && errno != EINTR) {
            return -1;
        }
        s = sh_strn(s.p + (n > 0 ? n : 0), s.len - (size_t)(n > 0 ? n : 0));
    }
    return 0;
}

int sh_read_worker_main(int argc, char **argv) {
    struct sh_buf bytes;
    struct sh_buf text;
    struct sh_buf out;
    sh_buf_init(&bytes, SH_FETCH_BYTES_MAX + SH_MIB);
    sh_buf_init(&text, (SH_FETCH_BYTES_MAX + SH_MIB) * 4);
    sh_buf_init(&out, SH_ACTIVITY_RESULT_MAX * 2);
    if (argc != 5 || read_all(&bytes) != 0) {
        return 2;
    }
    bool html = strcmp(argv[1], "html") == 0;
    const char *charset = sh_charset_find(sh_buf_str(&bytes), sh_str(argv[2]), html);
    iconv_t converter = strcmp(charset, "UTF-8") == 0 ? NULL : iconv_open("UTF-8", charset);
    if (converter == (iconv_t)-1) {
        converter = NULL;
    }
#if !defined(__SANITIZE_ADDRESS__) &&                                                              \
    !defined(__SANITIZE_THREAD__) /* which asks the kernel for more than the list has */
    if (sh_confine() != 0) {
        return 3;
    }
#endif
    struct sh_str all = sh_buf_str(&bytes);
    if (sh_str_starts(all, SH_STR("\xef\xbb\xbf"))) {
        all = sh_strn(all.p + 3, all.len - 3);
    } else if (strncmp(charset, "UTF-16", 6) == 0 && all.len >= 2 &&
               ((unsigned char)all.p[0] | (unsigned char)all.p[1]) == 0xff) {
        all = sh_strn(all.p + 2, all.len - 2);
    }
    sh_charset_convert(converter, all, &text);
    size_t most = strtoul(argv[4], NULL, 10);
    json_t *result = html ? sh_readable_html(sh_buf_str(&text), argv[3], most)
                          : sh_readable_text(sh_buf_str(&text), most);
    sh_json_dump(result, &out);
    if (text.failed || out.failed || write_all(sh_buf_str(&out)) != 0) {
        return 4;
    }
    _exit(0);
}
