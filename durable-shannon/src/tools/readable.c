/* HTML to text. The parser is gumbo, which reads any bytes as HTML5 says. The walk has no
 * recursion, because a tree may be as deep as its document is long. What a reader would not see
 * (scripts, hidden elements) and what is not the page's own matter (navigation, footers) is left
 * out; the article is taken where the page marks one. */
#include "tools/readable.h"

#include <curl/curl.h>
#include <gumbo.h>
#include <iconv.h>
#include <strings.h>

enum { LINKS_MOST = 500, LINK_TEXT_MOST = 200, TITLE_MOST = 500, ARTICLE_LEAST = 200 };

/* Charsets. */

const char *sh_charset_find(struct sh_str bytes, struct sh_str label, bool html) {
    static const char *const names[][2] = {{"utf-8", "UTF-8"},
                                           {"utf8", "UTF-8"},
                                           {"us-ascii", "WINDOWS-1252"},
                                           {"ascii", "WINDOWS-1252"},
                                           {"latin1", "WINDOWS-1252"},
                                           {"iso-8859-1", "WINDOWS-1252"},
                                           {"iso-8859-2", "ISO-8859-2"},
                                           {"iso-8859-5", "ISO-8859-5"},
                                           {"iso-8859-7", "ISO-8859-7"},
                                           {"iso-8859-9", "WINDOWS-1254"},
                                           {"iso-8859-15", "ISO-8859-15"},
                                           {"windows-1250", "WINDOWS-1250"},
                                           {"windows-1251", "WINDOWS-1251"},
                                           {"windows-1252", "WINDOWS-1252"},
                                           {"windows-1253", "WINDOWS-1253"},
                                           {"windows-1254", "WINDOWS-1254"},
                                           {"windows-1255", "WINDOWS-1255"},
                                           {"windows-1256", "WINDOWS-1256"},
                                           {"windows-1257", "WINDOWS-1257"},
                                           {"koi8-r", "KOI8-R"},
                                           {"koi8-u", "KOI8-U"},
                                           {"gb2312", "GB18030"},
                                           {"gbk", "GB18030"},
                                           {"gb18030", "GB18030"},
                                           {"big5", "BIG5-HKSCS"},
                                           {"euc-jp", "EUC-JP"},
                                           {"iso-2022-jp", "ISO-2022-JP"},
                                           {"shift_jis", "CP932"},
                                           {"shift-jis", "CP932"},
                                           {"sjis", "CP932"},
                                           {"euc-kr", "CP949"},
                                           {"utf-16", "UTF-16LE"},
                                           {"utf-16le", "UTF-16LE"},
                                           {"utf-16be", "UTF-16BE"}};
    if (sh_str_starts(bytes, SH_STR("\xef\xbb\xbf"))) {
        return "UTF-8";
    }
    if (sh_str_starts(bytes, SH_STR("\xff\xfe")) || sh_str_starts(bytes, SH_STR("\xfe\xff"))) {
        return (unsigned char)bytes.p[0] == 0xff ? "UTF-16LE" : "UTF-16BE";
    }
    bool from_page = false;
    if (label.len == 0 && html) { /* <meta charset="..."> or ...content="text/html; charset=..." */
        static const char word[] = "charset=";
        size_t n = bytes.len < 2048 ? bytes.len : 2048;
        for (size_t i = 0; i + sizeof(word) < n; i++) {
            if (strncasecmp(bytes.p + i, word, sizeof(word) - 1) == 0) {
                size_t from = i + sizeof(word) - 1;
                from += bytes.p[from] == '"' || bytes.p[from] == '\'';
                label = sh_strn(bytes.p + from, n - from);
                from_page = true;
                break;
            }
        }
    }
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_";
    size_t len = 0;
    while (len < label.len && len < 40 && label.p[len] && strchr(letters, label.p[len])) {
        len++;
    }
    for (size_t i = 0; len && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i][0]) == len && strncasecmp(names[i][0], label.p, len) == 0) {
            /* a page that could be read so far is not in 16 bits */
            return from_page && strncmp(names[i][1], "UTF-16", 6) == 0 ? "UTF-8" : names[i][1];
        }
    }
    return sh_utf8_valid(bytes) ? "UTF-8" : "WINDOWS-1252";
}

static void add_utf8(struct sh_str bytes, struct sh_buf *out) {
    for (size_t i = 0; i < bytes.len && !out->failed;) {
        size_t n = 1;
        while (n < 4 && i + n < bytes.len && ((unsigned char)bytes.p[i + n] & 0xc0) == 0x80) {
            n++;
        }
        bool good = bytes.p[i] && sh_utf8_valid(sh_strn(bytes.p + i, n));
        if (!good && n > 1 && (unsigned char)bytes.p[i] < 0x80) {
            n = 1;
            good = bytes.p[i] != 0;
        }
        sh_buf_add(out, good ? bytes.p + i : "\xef\xbf\xbd", good ? n : 3);
        i += n;
    }
}

void sh_charset_convert(void *converter, struct sh_str bytes, struct sh_buf *out) {
    if (!converter) {
        add_utf8(bytes, out);
        return;
    }
    char *in = (char *)(uintptr_t)bytes.p;
    size_t left = bytes.len;
    while (left && !out->failed) {
        char part[8192];
        char *to = part;
        size_t room = sizeof(part);
        size_t before = left;
        bool stuck = iconv((iconv_t)converter, &in, &left, &to, &room) == (size_t)-1 &&
                     room > sizeof(part) / 2; /* not merely full */
        for (size_t i = 0; i < sizeof(part) - room; i++) {
            sh_buf_add(out, part[i] ? &part[i] : "\xef\xbf\xbd", part[i] ? 1 : 3);
        }
        if (stuck || (left == before && room == sizeof(part))) {
            sh_buf_adds(out, "\xef\xbf\xbd");
            in++;
            left--;
        }
    }
}

/* Elements. */

static const char *attribute(const GumboNode *n, const char *name) {
    const GumboAttribute *a = gumbo_get_attribute(&n->v.element.attributes, name);
    return a ? a->value : NULL;
}

static bool is_one_of(GumboTag tag, const GumboTag *list) {
    for (; *list != GUMBO_TAG_LAST; list++) {
        if (*list == tag) {
            return true;
        }
    }
    return false;
}

static bool is_element(const GumboNode *n) {
    return n->type == GUMBO_NODE_ELEMENT || n->type == GUMBO_NODE_TEMPLATE;
}

/* Is it nothing that a reader sees? Text that is hidden from people is how pages talk to models
 * behind their backs. */
static bool is_unseen(const GumboNode *n) {
    static const GumboTag tags[] = {GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE,    GUMBO_TAG_NOSCRIPT,
                                    GUMBO_TAG_HEAD,   GUMBO_TAG_TEMPLATE, GUMBO_TAG_SVG,
                                    GUMBO_TAG_IFRAME, GUMBO_TAG_OBJECT,   GUMBO_TAG_SELECT,
                                    GUMBO_TAG_BUTTON, GUMBO_TAG_CANVAS,   GUMBO_TAG_AUDIO,
                                    GUMBO_TAG_VIDEO,  GUMBO_TAG_DATALIST, GUMBO_TAG_LAST};
    if (is_one_of(n->v.element.tag, tags) || attribute(n, "hidden")) {
        return true;
    }
    const char *aria = attribute(n, "aria-hidden");
    const char *style = attribute(n, "style");
    bool away = aria && strcasecmp(aria, "true") == 0;
    for (const char *p = style; p && *p && !away; p++) {
        away = strncasecmp(p, "display:none", 12) == 0 ||
               strncasecmp(p, "display: none", 13) == 0 ||
               strncasecmp(p, "visibility:hidden", 17) == 0 ||
               strncasecmp(p, "visibility: hidden", 18) == 0 ||
               strncasecmp(p, "font-size:0", 11) == 0 || strncasecmp(p, "font-size: 0", 12) == 0;
    }
    return away;
}

static bool is_aside(const GumboNode *n) {
    static const GumboTag tags[] = {GUMBO_TAG_NAV, GUMBO_TAG_FOOTER, GUMBO_TAG_ASIDE,
                                    GUMBO_TAG_LAST};
    return is_one_of(n->v.element.tag, tags);
}

static const GumboVector *children(const GumboNode *n) {
    return n->type == GUMBO_NODE_DOCUMENT ? &n->v.document.children : &n->v.element.children;
}

static bool has_children(const GumboNode *n) {
    return (is_element(n) || n->type == GUMBO_NODE_DOCUMENT) && children(n)->length > 0;
}

/* The walk: enter() says whether to go below; leave() comes after what is below. */
struct visitor {
    bool (*enter)(struct visitor *v, const GumboNode *n);
    void (*leave)(struct visitor *v, const GumboNode *n);
};

static void walk(struct visitor *v, const GumboNode *root) {
    const GumboNode *n = root;
    for (;;) {
        if (v->enter(v, n) && has_children(n)) {
            n = children(n)->data[0];
            continue;
        }
        for (;;) {
            if (v->leave) {
                v->leave(v, n);
            }
            if (n == root) {
                return;
            }
            const GumboVector *siblings = children(n->parent);
            if (n->index_within_parent + 1 < siblings->length) {
                n = siblings->data[n->index_within_parent + 1];
                break;
            }
            n = n->parent;
        }
    }
}

/* Which part of the page. */

struct finding {
    struct visitor v;
    const GumboNode *title, *base, *best, *open; /* open: the candidate that is being measured */
    size_t best_len, len;
};

static bool find_enter(struct visitor *v, const GumboNode *n) {
    struct finding *f = (struct finding *)(void *)v;
    if (n->type == GUMBO_NODE_TEXT) {
        f->len += strlen(n->v.text.text);
        return false;
    }
    if (!is_element(n)) {
        return n->type == GUMBO_NODE_DOCUMENT;
    }
    GumboTag tag = n->v.element.tag;
    const char *role = attribute(n, "role");
    if (tag == GUMBO_TAG_TITLE && !f->title) {
        f->title = n;
    }
    if (tag == GUMBO_TAG_BASE && !f->base) {
        f->base = n;
    }
    if (tag != GUMBO_TAG_HEAD && (is_unseen(n) || is_aside(n))) {
        return false;
    }
    bool candidate = tag == GUMBO_TAG_MAIN || tag == GUMBO_TAG_ARTICLE ||
                     (role && strcasecmp(role, "main") == 0);
    if (candidate && !f->open) {
        f->open = n;
        f->len = 0;
    }
    return tag != GUMBO_TAG_TITLE;
}

static void find_leave(struct visitor *v, const GumboNode *n) {
    struct finding *f = (struct finding *)(void *)v;
    if (f->open == n) {
        if (f->len > f->best_len) {
            f->best = n;
            f->best_len = f->len;
        }
        f->open = NULL;
    }
}

/* Text. */

struct writing {
    struct visitor v;
    struct sh_buf out;
    size_t chars, most;
    bool blank, full; /* a blank is due before the next word */
    unsigned breaks;  /* line breaks are due */
    unsigned pre;
    const char *base;
    json_t *links, *seen;
    size_t link_from; /* where the text of the open link begins */
    const GumboNode *link;
};

static void put(struct writing *w, const char *p, size_t n) {
    for (size_t i = 0; i < n && !w->full; i++) {
        bool starts = ((unsigned char)p[i] & 0xc0) != 0x80;
        if (starts && w->chars == w->most) {
            w->full = true;
            return;
        }
        w->chars += starts;
        sh_buf_addc(&w->out, p[i]);
    }
    w->full = w->full || w->out.failed;
}

static void due(struct writing *w) {
    if (w->breaks && w->out.len) {
        put(w, "\n\n", w->breaks > 2 ? 2 : w->breaks);
    } else if (w->blank && w->out.len && w->out.p[w->out.len - 1] != '\n') {
        put(w, " ", 1);
    }
    w->breaks = 0;
    w->blank = false;
}

static void words(struct writing *w, const char *s) {
    for (; *s && !w->full; s++) {
        bool white = *s == ' ' || *s == '\t' || *s == '\n' || *s == '\r' || *s == '\f';
        if (white && !w->pre) {
            w->blank = true;
        } else if (*s == '\n' && w->pre) {
            due(w);
            put(w, "\n", 1);
        } else if ((unsigned char)*s >= 0x20 || *s == '\t') {
            due(w);
            put(w, s, 1);
        }
    }
}

static void line(struct writing *w, unsigned n) {
    if (n == 0) {
        return;
    }
    w->breaks = w->breaks > n ? w->breaks : n;
    w->blank = false;
}

static void mark(struct writing *w, const char *s) {
    due(w);
    put(w, s, strlen(s));
}

/* 2: a paragraph, 1: a line, 0: within one */
static unsigned breaks_of(GumboTag tag) {
    static const GumboTag paragraphs[] = {
        GUMBO_TAG_P,   GUMBO_TAG_H1,    GUMBO_TAG_H2, GUMBO_TAG_H3,         GUMBO_TAG_H4,
        GUMBO_TAG_H5,  GUMBO_TAG_H6,    GUMBO_TAG_UL, GUMBO_TAG_OL,         GUMBO_TAG_DL,
        GUMBO_TAG_PRE, GUMBO_TAG_TABLE, GUMBO_TAG_HR, GUMBO_TAG_BLOCKQUOTE, GUMBO_TAG_LAST};
    static const GumboTag lines[] = {
        GUMBO_TAG_DIV,        GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE, GUMBO_TAG_MAIN,
        GUMBO_TAG_HEADER,     GUMBO_TAG_LI,      GUMBO_TAG_TR,      GUMBO_TAG_DT,
        GUMBO_TAG_DD,         GUMBO_TAG_BR,      GUMBO_TAG_FORM,    GUMBO_TAG_FIGURE,
        GUMBO_TAG_FIGCAPTION, GUMBO_TAG_ADDRESS, GUMBO_TAG_DETAILS, GUMBO_TAG_SUMMARY,
        GUMBO_TAG_FIELDSET,   GUMBO_TAG_BODY,    GUMBO_TAG_LAST};
    return is_one_of(tag, paragraphs) ? 2 : is_one_of(tag, lines) ? 1 : 0;
}

static bool write_enter(struct visitor *v, const GumboNode *n) {
    struct writing *w = (struct writing *)(void *)v;
    if (w->full) {
        return false;
    }
    if (n->type == GUMBO_NODE_TEXT || n->type == GUMBO_NODE_WHITESPACE ||
        n->type == GUMBO_NODE_CDATA) {
        words(w, n->v.text.text);
        return false;
    }
    if (!is_element(n)) {
        return n->type == GUMBO_NODE_DOCUMENT;
    }
    GumboTag tag = n->v.element.tag;
    if (is_unseen(n) || is_aside(n)) {
        return false;
    }
    line(w, breaks_of(tag));
    if (tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6) {
        mark(w, &"###### "[GUMBO_TAG_H6 - tag]);
    } else if (tag == GUMBO_TAG_LI) {
        mark(w, "- ");
    } else if (tag == GUMBO_TAG_PRE) {
        w->pre++;
    } else if ((tag == GUMBO_TAG_TD || tag == GUMBO_TAG_TH) && n->index_within_parent > 0 &&
               !w->breaks) {
        mark(w, " | ");
    } else if (tag == GUMBO_TAG_IMG) {
        const char *alt = attribute(n, "alt");
        if (alt && *alt) {
            mark(w, "[");
            words(w, alt);
            put(w, "]", 1);
        }
    } else if (tag == GUMBO_TAG_A && !w->link && attribute(n, "href")) {
        due(w);
        w->link = n;
        w->link_from = w->out.len;
    }
    return true;
}

static char *absolute(const char *base, const char *href) {
    CURLU *u = curl_url();
    char *text = NULL;
    char *copy = NULL;
    bool good = u && curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK &&
                curl_url_set(u, CURLUPART_URL, href, CURLU_URLENCODE) == CURLUE_OK &&
                curl_url_get(u, CURLUPART_URL, &text, 0) == CURLUE_OK &&
                (strncmp(text, "http://", 7) == 0 || strncmp(text, "https://", 8) == 0) &&
                strlen(text) <= 2048;
    if (good) {
        copy = sh_strdup(text);
    }
    curl_free(text);
    curl_url_cleanup(u);
    return copy;
}

static void link_ends(struct writing *w) {
    const char *href = attribute(w->link, "href");
    struct sh_str text = sh_strn(w->out.p + w->link_from, w->out.len - w->link_from);
    w->link = NULL;
    if (json_array_size(w->links) >= LINKS_MOST || href[0] == '#' || strlen(href) > 2048) {
        return;
    }
    sh_auto(sh_free_p) char *url = absolute(w->base, href);
    if (!url || json_object_get(w->seen, url)) {
        return;
    }
    while (text.len > LINK_TEXT_MOST ||
           (text.len && ((unsigned char)text.p[text.len - 1] & 0xc0) == 0x80 &&
            !sh_utf8_valid(text))) {
        text.len--;
    }
    if (!sh_utf8_valid(text) && text.len) {
        text.len--;
    }
    json_object_set_new(w->seen, url, json_true());
    json_array_append_new(w->links, json_pack("{s:o, s:o}", "text", sh_json_string(text), "url",
                                              sh_json_string(sh_str(url))));
}

static void write_leave(struct visitor *v, const GumboNode *n) {
    struct writing *w = (struct writing *)(void *)v;
    if (!is_element(n)) {
        return;
    }
    if (w->link == n) {
        link_ends(w);
    }
    if (n->v.element.tag == GUMBO_TAG_PRE && !is_unseen(n) && w->pre) {
        w->pre--;
    }
    if (!is_unseen(n) && !is_aside(n)) {
        line(w, breaks_of(n->v.element.tag));
    }
}

static void writing_init(struct writing *w, const char *base, size_t most) {
    *w = (struct writing){.v = {write_enter, write_leave}, .most = most, .base = base};
    sh_buf_init(&w->out, most * 4 + 16);
    w->links = json_array();
    w->seen = json_object();
}

static json_t *title_of(const GumboNode *title, const char *base) {
    struct writing w;
    writing_init(&w, base, TITLE_MOST);
    for (size_t i = 0; title && i < title->v.element.children.length; i++) {
        const GumboNode *n = title->v.element.children.data[i];
        if (n->type == GUMBO_NODE_TEXT) {
            words(&w, n->v.text.text);
        }
    }
    json_t *text = sh_json_string(sh_buf_str(&w.out));
    sh_buf_done(&w.out);
    json_decref(w.links);
    json_decref(w.seen);
    return text;
}

json_t *sh_readable_html(struct sh_str html, const char *base, size_t chars_most) {
    GumboOptions options = kGumboDefaultOptions;
    GumboOutput *output = gumbo_parse_with_options(&options, html.p ? html.p : "", html.len);
    struct finding f = {.v = {find_enter, find_leave}};
    walk(&f.v, output->document);
    const char *own = f.base ? attribute(f.base, "href") : NULL;
    sh_auto(sh_free_p) char *based = own ? absolute(base, own) : NULL;
    struct writing w;
    writing_init(&w, based ? based : base, chars_most);
    walk(&w.v, f.best_len >= ARTICLE_LEAST ? f.best : output->document);
    json_t *result =
        json_pack("{s:o, s:o, s:o, s:b}", "title", title_of(f.title, base), "text",
                  sh_json_string(sh_buf_str(&w.out)), "links", w.links, "truncated", (int)w.full);
    sh_buf_done(&w.out);
    json_decref(w.seen);
    gumbo_destroy_output(&options, output);
    return result;
}

json_t *sh_readable_text(struct sh_str text, size_t chars_most) {
    struct writing w;
    writing_init(&w, "", chars_most);
    for (size_t i = 0; i < text.len && !w.full; i++) {
        if ((unsigned char)text.p[i] >= 0x20 || text.p[i] == '\n' || text.p[i] == '\t') {
            put(&w, text.p + i, 1);
        }
    }
    json_t *result =
        json_pack("{s:s, s:o, s:o, s:b}", "title", "", "text", sh_json_string(sh_buf_str(&w.out)),
                  "links", w.links, "truncated", (int)w.full);
    sh_buf_done(&w.out);
    json_decref(w.seen);
    return result;
}
