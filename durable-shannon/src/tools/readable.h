/* Documents as text for a model: HTML (parsed as browsers do), and text in any usual charset. Runs
 * in a child process that has given up everything else: documents come from strangers. */
#ifndef SH_TOOLS_READABLE_H
#define SH_TOOLS_READABLE_H

#include "base/base.h"

/* The charset of a document as iconv knows it: a byte order mark, the header's, the document's own
 * word, UTF-8 where it is that, else windows-1252 (WHATWG Encoding). `label` may be empty. */
const char *sh_charset_find(struct sh_str bytes, struct sh_str label, bool html);
/* `bytes` as UTF-8, appended; what is none becomes U+FFFD. `converter`: an iconv_t as a pointer, or
 * NULL for UTF-8. */
void sh_charset_convert(void *converter, struct sh_str bytes, struct sh_buf *out);
/* {title, text, links: [{text, url}], truncated}. html: UTF-8. base: what links are relative to. */
json_t *sh_readable_html(struct sh_str html, const char *base, size_t chars_most);
json_t *sh_readable_text(struct sh_str text, size_t chars_most);

#endif
