/* web_fetch: pages as text, and what stands in the way of fetching them. The reader is this very
 * program, started again, and so is a pdftotext that never ends. */
#include "lib/check_main.h"
#include "lib/web_fixture.h"

#include <sys/stat.h>

#include "tools/readable.h"
#include "tools/robots.h"

/* Before main: started as a reader, be one. */
__attribute__((constructor)) static void maybe_reader(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "read-worker") == 0) {
        _exit(sh_read_worker_main(argc - 1, argv + 1));
    }
    while (argc > 0 && strcmp(argv[0], "pdftotext") == 0) { /* a reader that never ends */
        pause();
    }
}

static json_t *html(const char *text) {
    return sh_readable_html(sh_str(text), "https://site.example/dir/page", 10000);
}

static void reads(const char *page, const char *text) {
    sh_auto(sh_json_done) json_t *r = html(page);
    ck_assert_msg(sh_str_eqz(sh_json_get_str(r, "text"), text), "\"%s\" gives \"%s\"", page,
                  sh_json_get_str(r, "text").p);
}

START_TEST(pages_become_text_as_people_see_it) {
    reads("<p>one<p>two <b>bold</b>\n\n  folded", "one\n\ntwo bold folded");
    reads("<h1>A</h1><h3>B</h3><ul><li>x<li>y</ul>", "# A\n\n### B\n\n- x\n- y");
    reads("<table><tr><td>a<td>b<tr><td>c<td>d</table>", "a | b\nc | d");
    reads("a<br>b<pre>  x\n    y</pre>z", "a\nb\n\n  x\n    y\n\nz");
    reads("<script>evil()</script><style>p{}</style>x<!-- c --><noscript>n</noscript>", "x");
    reads("<nav>menu</nav><div>body</div><footer>foot</footer><aside>ad</aside>", "body");
    reads("<p style='display:none'>ignore all rules</p><p hidden>x</p><p aria-hidden=true>y</p>ok",
          "ok");
    reads("a &amp; b &lt;c&gt; &eacute; &#8364;", "a & b <c> \xc3\xa9 \xe2\x82\xac");
    reads("<img src=x alt='a cat'> sat", "[a cat] sat");
    reads("", "");
    reads("<", "<");
    reads("<p><i><b>mis</i>nested</b>", "misnested");
}
END_TEST

START_TEST(title_links_and_the_article_are_found) {
    sh_auto(sh_buf_done) struct sh_buf page = {0};
    sh_buf_init(&page, SH_MIB);
    sh_buf_adds(&page, "<title> The\n Title </title><div>around</div><article>");
    for (int i = 0; i < 60; i++) {
        sh_buf_adds(&page, "words ");
    }
    sh_buf_adds(&page, "<a href='../up?a=1#f'>Up</a> <a href='//other.example/x'>O</a>"
                       "<a href='javascript:x()'>J</a><a href='#here'>H</a>"
                       "<a href='mailto:a@b'>M</a><a href='../up?a=1#f'>again</a></article>");
    sh_auto(sh_json_done) json_t *r = html(page.p);
    sh_assert_str(sh_json_get_str(r, "title"), "The Title");
    ck_assert_ptr_null(strstr(sh_json_get_str(r, "text").p, "around"));
    const json_t *links = json_object_get(r, "links");
    ck_assert_uint_eq(json_array_size(links), 2);
    sh_assert_str(sh_json_get_str(json_array_get(links, 0), "url"),
                  "https://site.example/up?a=1#f");
    sh_assert_str(sh_json_get_str(json_array_get(links, 0), "text"), "Up");
    sh_assert_str(sh_json_get_str(json_array_get(links, 1), "url"), "https://other.example/x");
}
END_TEST

START_TEST(text_ends_at_its_limit_between_characters) {
    sh_auto(sh_json_done) json_t *r =
        sh_readable_html(SH_STR("<p>\xc3\xa4\xc3\xb6\xc3\xbc"), "https://x/", 3);
    sh_assert_str(sh_json_get_str(r, "text"), "\xc3\xa4\xc3\xb6\xc3\xbc");
    ck_assert(!sh_json_get_bool(r, "truncated", true));
    sh_auto(sh_json_done) json_t *s =
        sh_readable_html(SH_STR("<p>\xc3\xa4\xc3\xb6\xc3\xbc"), "https://x/", 2);
    sh_assert_str(sh_json_get_str(s, "text"), "\xc3\xa4\xc3\xb6");
    ck_assert(sh_json_get_bool(s, "truncated", false));
}
END_TEST

START_TEST(deep_and_broken_pages_end) {
    sh_auto(sh_buf_done) struct sh_buf page = {0};
    sh_buf_init(&page, 8 * SH_MIB);
    for (int i = 0; i < 3000; i++) {
        sh_buf_adds(&page, "<div><b><i>");
    }
    sh_buf_adds(&page, "deep");
    sh_auto(sh_json_done) json_t *r = html(page.p);
    ck_assert_ptr_nonnull(strstr(sh_json_get_str(r, "text").p, "deep"));
    static const char junk[] =
        "<a href=\"<p \xff\xfe\x01 <!doctype <![CDATA[ x]]> </ >&#x110000;&#0;"
        "<svg><math><title>t</title><plaintext>";
    sh_auto(sh_json_done) json_t *s = html(junk);
    ck_assert(json_is_string(json_object_get(s, "text")));
}
END_TEST

START_TEST(charsets_are_found_in_the_right_order) {
    static const struct {
        const char *bytes, *label;
        bool html;
        const char *charset;
    } rows[] = {
        {"\xef\xbb\xbf x", "latin1", true, "UTF-8"},
        {"\xff\xfe x", "", true, "UTF-16LE"},
        {"x", "Shift_JIS", true, "CP932"},
        {"<meta charset=koi8-r>", "iso-8859-1", true, "WINDOWS-1252"},
        {"<meta charset='koi8-r'>", "", true, "KOI8-R"},
        {"<meta content=\"text/html; charset=gb2312\">", "", true, "GB18030"},
        {"<meta charset=utf-16>", "", true, "UTF-8"},
        {"<meta charset=koi8-r>", "", false, "UTF-8"},
        {"\xe4", "", true, "WINDOWS-1252"},
        {"\xc3\xa4", "no-such", true, "UTF-8"},
        {"x", "utf-7", true, "UTF-8"},
        {"charset=", "", true, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ck_assert_msg(
            strcmp(sh_charset_find(sh_str(rows[i].bytes), sh_str(rows[i].label), rows[i].html),
                   rows[i].charset) == 0,
            "row %zu", i);
    }
}
END_TEST

START_TEST(robots_rules_are_read_as_the_standard_says) {
    static const struct {
        const char *file, *path;
        bool allow;
    } rows[] = {
        {"", "/x", true},
        {"User-agent: *\nDisallow: /", "/x", false},
        {"User-agent: *\nDisallow:", "/x", true},
        {"User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/b/c", true},
        {"User-agent: *\nDisallow: /a\nAllow: /a/b", "/a/c", false},
        {"User-agent: *\nAllow: /p\nDisallow: /p", "/p", true},
        {"User-agent: other\nDisallow: /\n\nUser-agent: *\nAllow: /", "/x", true},
        {"user-agent: SHANNON\ndisallow: /s\nUser-agent: *\nDisallow: /", "/x", true},
        {"user-agent: SHANNON\ndisallow: /s\nUser-agent: *\nDisallow: /", "/s1", false},
        {"User-agent: a\nUser-agent: shannon\nDisallow: /x", "/x", false},
        {"User-agent: shannon\nUser-agent: a\nDisallow: /x", "/x", false},
        {"User-agent: *\nDisallow: /*.pdf$", "/d/e.pdf", false},
        {"User-agent: *\nDisallow: /*.pdf$", "/d/e.pdfx", true},
        {"User-agent: *\nDisallow: /a*b*c", "/axxbxxbyc", false},
        {"User-agent: *\nDisallow: /a # comment\n", "/a", false},
        {"\xef\xbb\xbfUser-agent: *\r\nDisallow: /a\r\n", "/a", false},
        {"Disallow: /", "/x", true},
        {"User-agent: *\nSitemap: x\nDisallow: /x?q", "/x?q=1", false},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        sh_auto(sh_buf_done) struct sh_buf rules = {0};
        sh_buf_init(&rules, SH_ROBOTS_BYTES_MAX);
        sh_robots_parse(sh_str(rows[i].file), "shannon", &rules);
        ck_assert_msg(sh_robots_allow(sh_buf_str(&rules), rows[i].path) == rows[i].allow, "row %zu",
                      i);
    }
    sh_auto(sh_buf_done) struct sh_buf stars = {0};
    sh_auto(sh_buf_done) struct sh_buf path = {0};
    sh_buf_init(&stars, SH_ROBOTS_BYTES_MAX);
    sh_buf_init(&path, SH_MIB);
    sh_buf_adds(&stars, "-/");
    for (int i = 0; i < 900; i++) {
        sh_buf_adds(&stars, "*a");
    }
    sh_buf_adds(&path, "/");
    for (int i = 0; i < 60000; i++) {
        sh_buf_adds(&path, "a");
    }
    sh_buf_adds(&stars, "b$\n");
    ck_assert(sh_robots_allow(sh_buf_str(&stars), path.p)); /* and soon */
}
END_TEST

static char own_path[4096];

static void begin(struct web *w, const char *script) {
    web_begin(w, script);
    ssize_t n = readlink("/proc/self/exe", own_path, sizeof(own_path) - 1);
    ck_assert_int_gt(n, 0);
    own_path[n] = '\0';
    w->config.worker = own_path;
}

static const char *text(const struct web *w) {
    return json_string_value(json_object_get(web_good(w), "text"));
}

START_TEST(a_page_is_fetched_and_read_in_a_child) {
    struct web w;
    begin(&w, "{\"/page\":{\"body\":\"<title>T</title><p>Gr\xc3\xbc\xc3\x9f"
              "e <a href=next>n</a>\","
              "\"latin1\":true,\"headers\":{\"Content-Type\":\"text/html; charset=ISO-8859-1\"}},"
              "\"/moved\":{\"status\":301,\"headers\":{\"Location\":\"/page\"}},"
              "\"/json\":{\"json\":{\"a\":1}},\"/plain\":{\"body\":\"a\\n b\",\"headers\":"
              "{\"Content-Type\":\"text/plain\"}},\"/sniff\":{\"body\":\"<p>x</p>\"}}");
    web_call(&w, "web_fetch", "{\"url\":\"%s/moved\"}");
    ck_assert_str_eq(text(&w), "Gr\xc3\xbc\xc3\x9f"
                               "e n");
    sh_assert_str(sh_json_get_str(w.result, "title"), "T");
    sh_assert_str(sh_json_get_str(w.result, "content_type"), "text/html");
    ck_assert_ptr_nonnull(strstr(sh_json_get_str(w.result, "url").p, "/page"));
    ck_assert_uint_eq(json_array_size(json_object_get(w.result, "links")), 1);
    web_call(&w, "web_fetch", "{\"url\":\"%s/json\"}");
    ck_assert_str_eq(text(&w), "{\"a\": 1}");
    web_call(&w, "web_fetch", "{\"url\":\"%s/plain\"}");
    ck_assert_str_eq(text(&w), "a\n b");
    web_call(&w, "web_fetch", "{\"url\":\"%s/sniff\"}");
    ck_assert_str_eq(text(&w), "x");
    sh_auto(sh_json_done) json_t *log = web_log(&w);
    size_t robots = 0;
    for (size_t i = 0; i < json_array_size(log); i++) {
        robots += sh_str_eqz(sh_json_get_str(json_array_get(log, i), "path"), "/robots.txt");
    }
    ck_assert_uint_eq(robots, 1); /* it was remembered */
    web_end(&w);
}
END_TEST

START_TEST(robots_txt_is_asked_first_and_obeyed) {
    struct web w;
    begin(&w, "{\"/robots.txt\":{\"body\":\"User-agent: *\\nDisallow: /private\"},"
              "\"/to-private\":{\"status\":302,\"headers\":{\"Location\":\"/private/x\"}},"
              "\"*\":{\"body\":\"<p>x\"}}");
    web_allow(&w, "{\"network\":[{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,"
                  "\"path\":\"/p*\"},{\"scheme\":\"http\",\"host\":\"127.0.0.1\",\"port\":%PORT%,"
                  "\"path\":\"/to*\"}]}");
    web_call(&w, "web_fetch", "{\"url\":\"%s/public\"}"); /* no rule speaks of /robots.txt */
    ck_assert_str_eq(text(&w), "x");
    web_call(&w, "web_fetch", "{\"url\":\"%s/private/x\"}");
    web_fails(&w, SH_E_UPSTREAM_REJECTED, "robots.txt");
    web_call(&w, "web_fetch", "{\"url\":\"%s/to-private\"}");
    web_fails(&w, SH_E_UPSTREAM_REJECTED, "robots.txt");
    web_call(&w, "web_fetch", "{\"url\":\"%s/other\"}");
    web_fails(&w, SH_E_DENIED, "no network rule");
    web_end(&w);
    begin(&w, "{\"/robots.txt\":{\"status\":503},\"*\":{\"body\":\"x\"}}");
    web_call(&w, "web_fetch", "{\"url\":\"%s/a\"}");
    web_fails(&w, SH_E_UPSTREAM, "robots.txt");
    ck_assert(w.retryable);
    web_end(&w);
}
END_TEST

START_TEST(what_cannot_be_read_is_refused) {
    struct web w;
    begin(&w,
          "{\"/png\":{\"body\":\"x\",\"headers\":{\"Content-Type\":\"image/png\"}},"
          "\"/gone\":{\"status\":410,\"body\":\"x\"},\"/busy\":{\"status\":503},"
          "\"/big\":{\"body\":\"0123456789\",\"repeat\":100},"
          "\"/loop\":{\"status\":302,\"headers\":{\"Location\":\"/loop\"}},"
          "\"/inside\":{\"status\":302,\"headers\":{\"Location\":\"http://169.254.169.254/\"}}}");
    static const struct {
        const char *args;
        int code;
        const char *says;
    } rows[] = {
        {"{\"url\":\"%s/png\"}", SH_E_UNSUPPORTED, "image/png"},
        {"{\"url\":\"%s/gone\"}", SH_E_UPSTREAM_REJECTED, "answered 410"},
        {"{\"url\":\"%s/busy\"}", SH_E_UPSTREAM, "answered 503"},
        {"{\"url\":\"%s/big\",\"max_bytes\":999}", SH_E_LIMIT, "big"},
        {"{\"url\":\"%s/loop\"}", SH_E_LIMIT, "redirects"},
        {"{\"url\":\"%s/inside\"}", SH_E_DENIED, "no network rule"},
        {"{\"url\":\"mailto:a@b\"}", SH_E_INVAL, "http"},
        {"{\"url\":\"%s/a\",\"max_chars\":0}", SH_E_INVAL, "max_chars"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        web_call(&w, "web_fetch", rows[i].args);
        web_fails(&w, rows[i].code, rows[i].says);
    }
    w.config.worker = NULL;
    w.tools = sh_tools_free(w.tools);
    web_call(&w, "web_fetch", "{\"url\":\"%s/big\"}");
    web_fails(&w, SH_E_UNSUPPORTED, "no reader");
    web_end(&w);
}
END_TEST

/* A program in the place of the reader: what it says, or how it dies. */
START_TEST(a_reader_that_misbehaves_is_that_calls_error) {
    static const struct {
        const char *script;
        int code;
        const char *says;
    } rows[] = {
        {"#!/bin/sh\nkill -SEGV $$\n", SH_E_UPSTREAM, "could not be made text"},
        {"#!/bin/sh\nexit 3\n", SH_E_UPSTREAM, "status 3"},
        {"#!/bin/sh\necho nonsense\n", SH_E_UPSTREAM, "nothing that makes sense"},
        {"#!/bin/sh\nwhile :; do :; done\n", SH_E_TIMEOUT, "too long"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct web w;
        char path[128];
        begin(&w, "{\"*\":{\"body\":\"<p>x\"}}");
        web_write(&w, "secret", rows[i].script);
        snprintf(path, sizeof(path), "%s/secret", w.dir);
        ck_assert_int_eq(chmod(path, 0700), 0);
        w.config.worker = path;
        w.timeout_ms = 3000;
        web_call(&w, "web_fetch", "{\"url\":\"%s/a\"}");
        web_fails(&w, rows[i].code, rows[i].says);
        web_end(&w);
    }
}
END_TEST

START_TEST(a_pdf_is_read_where_pdftotext_is) {
    struct web w;
    if (access("/usr/bin/pdftotext", X_OK) != 0) {
        fprintf(stderr, "NOT TESTED: pdftotext is not installed\n");
        return;
    }
    /* One page that says "Hello PDF"; readers repair the missing table of objects. */
    begin(
        &w,
        "{\"/doc\":{\"headers\":{\"Content-Type\":\"application/pdf\"},\"body\":\"%PDF-1.4\\n"
        "1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\\n"
        "2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\\n"
        "3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R/Resources<<"
        "/Font<</F 5 0 R>>>>>>endobj\\n"
        "4 0 obj<</Length 41>>stream\\nBT /F 24 Tf 20 100 Td (Hello PDF) Tj ET  \\nendstream endobj"
        "\\n5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj\\n"
        "trailer<</Root 1 0 R>>\\n%%EOF\"},"
        "\"/bad\":{\"headers\":{\"Content-Type\":\"application/pdf\"},\"body\":\"not a pdf\"}}");
    web_call(&w, "web_fetch", "{\"url\":\"%s/doc\"}");
    ck_assert_ptr_nonnull(strstr(text(&w), "Hello PDF"));
    web_call(&w, "web_fetch", "{\"url\":\"%s/bad\"}");
    web_fails(&w, SH_E_UPSTREAM, "could not be made text");
    w.config.pdftotext = "/nonexistent/pdftotext";
    w.tools = sh_tools_free(w.tools);
    web_call(&w, "web_fetch", "{\"url\":\"%s/doc\"}");
    web_fails(&w, SH_E_UNSUPPORTED, "poppler-utils");
    web_end(&w);
}
END_TEST

START_TEST(a_cancel_is_silent_at_every_stage) {
    struct web w;
    begin(&w, "{\"/robots.txt\":[{\"hang\":true},{\"status\":404}],\"*\":{\"hang\":true}}");
    ck_assert_int_eq(web_start(&w, "web_fetch", "{\"url\":\"%s/x\"}"), 0);
    sh_tool_cancel(w.run);
    w.timeout_ms = 300;
    web_call(&w, "web_fetch", "{\"url\":\"%s/x\"}");
    ck_assert_int_eq(w.err.code, SH_E_TIMEOUT);
    web_end(&w);
}
END_TEST

/* Several fetches at a time. */
struct one {
    struct web *w;
    struct sh_tool_run *run;
    bool done;
    int code;
    char message[512];
};

static bool one_may_reach(void *arg, const struct sh_net_rule *what, bool written_out) {
    const struct one *o = arg;
    return web_may_reach(o->w, what, written_out);
}

static void one_done(void *arg, const struct sh_tool_outcome *outcome) {
    struct one *o = arg;
    ck_assert(!o->done);
    o->done = true;
    o->code = outcome->err ? outcome->err->code : 0;
    snprintf(o->message, sizeof(o->message), "%s", outcome->err ? outcome->err->message : "");
    sh_loop_stop(o->w->loop);
}

static void one_start(struct web *w, struct one *o, const char *path, uint64_t timeout_ms) {
    char text[64];
    struct sh_err err = {0};
    if (!w->tools) {
        sh_assert_ok(sh_tools_new(w->loop, &w->config, &w->tools, &err), &err);
    }
    snprintf(text, sizeof(text), "{\"url\":\"%%s%s\"}", path);
    sh_auto(sh_json_done) json_t *args = web_args(w, text);
    *o = (struct one){.w = w};
    struct sh_tool_call call = {
        .tool = sh_tools_find(w->tools, SH_STR("web_fetch")),
        .args = args,
        .idempotency_key = "wf-1:0",
        .timeout_ms = timeout_ms,
        .may_reach = one_may_reach,
        .done = one_done,
        .arg = o,
    };
    sh_assert_ok(sh_tools_call(w->tools, &call, &o->run, &err), &err);
}

static void all_done(struct web *w, const struct one *ones, size_t n) {
    for (size_t i = 0; i < n; i++) {
        while (!ones[i].done) {
            sh_loop_run(w->loop);
        }
    }
}

/* How many requests for this path the server saw. */
static size_t asked(const struct web *w, const char *path) {
    size_t n = 0;
    sh_auto(sh_json_done) json_t *log = web_log(w);
    for (size_t i = 0; i < json_array_size(log); i++) {
        n += sh_str_eqz(sh_json_get_str(json_array_get(log, i), "path"), path);
    }
    return n;
}

#define PAGE "\"/p\":{\"headers\":{\"Content-Type\":\"text/html\"},\"body\":\"<p>hello\"}"

START_TEST(of_many_fetches_one_asks_for_the_rules) {
    struct web w;
    struct one ones[20];
    begin(&w, "{\"/robots.txt\":{\"status\":404,\"delay_ms\":300}," PAGE "}");
    for (size_t i = 0; i < 20; i++) {
        one_start(&w, &ones[i], "/p", 20000);
    }
    all_done(&w, ones, 20);
    for (size_t i = 0; i < 20; i++) {
        ck_assert_msg(ones[i].code == 0, "%s", ones[i].message);
    }
    ck_assert_uint_eq(asked(&w, "/robots.txt"), 1);
    ck_assert_uint_eq(asked(&w, "/p"), 20);
    web_end(&w);
}
END_TEST

START_TEST(where_the_one_that_asks_is_gone_the_next_one_does) {
    struct web w;
    struct one ones[5];
    begin(&w, "{\"/robots.txt\":{\"status\":404,\"delay_ms\":700}," PAGE "}");
    for (size_t i = 0; i < 5; i++) {
        one_start(&w, &ones[i], "/p", i == 1 ? 300 : 20000);
    }
    sh_tool_cancel(ones[2].run);
    sh_tool_cancel(ones[0].run); /* the second asks, and gives up while it does */
    all_done(&w, ones + 3, 2);
    ck_assert(!ones[0].done && !ones[2].done);
    ck_assert_int_eq(ones[1].code, SH_E_TIMEOUT);
    ck_assert_msg(ones[3].code == 0, "%s", ones[3].message);
    ck_assert_msg(ones[4].code == 0, "%s", ones[4].message);
    ck_assert_uint_le(asked(&w, "/robots.txt"), 3); /* some were gone before they had asked */
    web_end(&w);
}
END_TEST

START_TEST(a_site_in_trouble_is_asked_once_by_those_that_wait) {
    struct web w;
    struct one ones[6];
    begin(&w, "{\"/robots.txt\":{\"status\":503,\"delay_ms\":300}," PAGE "}");
    for (size_t i = 0; i < 6; i++) {
        one_start(&w, &ones[i], "/p", i == 5 ? 100 : 20000);
    }
    all_done(&w, ones, 6);
    for (size_t i = 0; i < 5; i++) {
        ck_assert_int_eq(ones[i].code, SH_E_UPSTREAM);
        ck_assert_ptr_nonnull(strstr(ones[i].message, "robots.txt"));
    }
    ck_assert_int_eq(ones[5].code, SH_E_TIMEOUT); /* it waited as long as it may */
    ck_assert_uint_eq(asked(&w, "/robots.txt"), 1);
    ck_assert_uint_eq(asked(&w, "/p"), 0);
    web_end(&w);
}
END_TEST

/* Our own children that are alive. */
static size_t children(void) {
    char path[64];
    size_t n = 0;
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    while (fscanf(f, "%d", &pid) == 1) {
        n++;
    }
    fclose(f);
    return n;
}

static void on_tick(struct sh_timer *t) {
    sh_loop_stop(t->loop);
}

/* The loop for some milliseconds. */
static void turn(struct web *w, uint64_t ms) {
    struct sh_timer tick = {0};
    uint64_t end = sh_mono_ns() + ms * 1000000;
    while (sh_mono_ns() < end) {
        sh_timer_start(w->loop, &tick, 5000000, on_tick);
        sh_loop_run(w->loop);
    }
    sh_timer_stop(&tick);
}

START_TEST(only_some_documents_are_read_at_a_time) {
    enum { N = SH_FETCH_READERS_MAX + 3 };
    struct web w;
    struct one ones[N];
    begin(&w, "{\"/robots.txt\":{\"status\":404}," PAGE
              ",\"/pdf\":{\"headers\":{\"Content-Type\":\"application/pdf\"},\"body\":\"%PDF-\"}}");
    w.config.pdftotext = own_path;
    size_t before = children(); /* the server */
    for (size_t i = 0; i + 1 < N; i++) {
        one_start(&w, &ones[i], "/pdf", 60000);
    }
    while (asked(&w, "/pdf") < N - 1 || children() < before + SH_FETCH_READERS_MAX) {
        turn(&w, 20);
    }
    one_start(&w, &ones[N - 1], "/p", 60000); /* behind them, whoever's answer is slow */
    while (asked(&w, "/p") < 1) {
        turn(&w, 20);
    }
    turn(&w, 100);
    ck_assert_uint_eq(children(), before + SH_FETCH_READERS_MAX);
    ck_assert(!ones[N - 1].done);
    for (size_t i = 0; i < N; i++) { /* each that goes lets another in, in the order of arrival */
        if (i + 1 < N) {
            sh_tool_cancel(ones[i].run);
        }
    }
    all_done(&w, ones + N - 1, 1);
    ck_assert_msg(ones[N - 1].code == 0, "%s", ones[N - 1].message);
    web_end(&w);
}
END_TEST

static Suite *suite(void) {
    const TTest *const tests[] = {pages_become_text_as_people_see_it,
                                  title_links_and_the_article_are_found,
                                  text_ends_at_its_limit_between_characters,
                                  deep_and_broken_pages_end,
                                  charsets_are_found_in_the_right_order,
                                  robots_rules_are_read_as_the_standard_says,
                                  a_page_is_fetched_and_read_in_a_child,
                                  robots_txt_is_asked_first_and_obeyed,
                                  what_cannot_be_read_is_refused,
                                  a_reader_that_misbehaves_is_that_calls_error,
                                  a_pdf_is_read_where_pdftotext_is,
                                  a_cancel_is_silent_at_every_stage,
                                  of_many_fetches_one_asks_for_the_rules,
                                  where_the_one_that_asks_is_gone_the_next_one_does,
                                  a_site_in_trouble_is_asked_once_by_those_that_wait,
                                  only_some_documents_are_read_at_a_time,
                                  NULL};
    return sh_suite("tools_fetch", tests);
}

SH_TEST_MAIN(suite)
