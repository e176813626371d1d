/* shannon new: a project from the templates under share/shannon, with the SDK of its language
 * beside it, so that it builds without the network. Nothing that is there already is touched: the
 * folder must not exist. In a template's names NAME, and in its texts {{name}}, stand for the
 * project. */
#include "cli/cli.h"

#include "files.h"
#include "workflow/engine.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DEPTH_MAX = 8,      /* folders in a template */
    NAME_CHARS_MAX = 64 /* of a project: what a manifest and each language take */
};
#define FILE_BYTES_MAX (1 * SH_MIB)

struct project {
    const char *language, *folder, *name;
    size_t files;
    struct sh_err err;
};

/* Where each language finds its SDK, in the order in which it is copied. */
static const struct language {
    const char *name, *sdk[2]; /* folders of share/shannon, into shannon/ of the project */
} languages[] = {
    {"c", {"sdk/c"}}, {"cpp", {"sdk/c", "sdk/cpp"}}, {"rust", {"sdk/rust"}}, {"go", {"sdk/go"}},
    {"python", {0}}, /* the interpreter brings it */
};

static const struct language *find_language(const char *name, struct sh_err *err) {
    for (size_t i = 0; i < SH_N(languages); i++) {
        if (name && strcmp(languages[i].name, name) == 0) {
            return &languages[i];
        }
    }
    sh_fail(err, SH_E_INVAL, "--lang: expected c, cpp, rust, go or python, got %.40s",
            name ? name : "nothing");
    return NULL;
}

/* The name of a module, of a crate and of a file. */
static int check_name(const char *name, struct sh_err *err) {
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");

    if (n > 0 && n <= NAME_CHARS_MAX && name[n] == 0 && name[0] >= 'a' && name[0] <= 'z' &&
        strcmp(name, "shannon") != 0) {
        return 0;
    }
    return sh_fail(err, SH_E_INVAL,
                   "NAME: expected 1 to %d of a-z 0-9 _ -, beginning with a letter, and not "
                   "\"shannon\", got \"%.80s\"",
                   NAME_CHARS_MAX, name);
}

/* `text` with every `what` replaced by the name; yours to free. */
static char *named(const char *text, const char *what, const char *name) {
    sh_auto(sh_buf_done) struct sh_buf out = {0};
    const char *hit;

    sh_buf_init(&out, 2 * FILE_BYTES_MAX);
    while ((hit = strstr(text, what))) {
        sh_buf_add(&out, text, (size_t)(hit - text));
        sh_buf_adds(&out, name);
        text = hit + strlen(what);
    }
    sh_buf_adds(&out, text);
    return out.failed ? NULL : sh_strndup0(out.p ? out.p : "", out.len);
}

static int write_new(const char *path, const char *text, struct sh_err *err) {
    sh_auto(sh_close_p) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    size_t n = strlen(text), done = 0;

    while (fd >= 0 && done < n) {
        ssize_t w = write(fd, text + done, n - done);
        if (w <= 0) {
            return sh_fail_errno(err, SH_E_IO, errno, "cannot write %s", path);
        }
        done += (size_t)w;
    }
    return fd < 0 ? sh_fail_errno(err, SH_E_IO, errno, "cannot make %s", path) : 0;
}

static int copy_file(struct project *p, const char *from, const char *to, bool fill) {
    sh_auto(sh_buf_done) struct sh_buf bytes = {0};
    int rc;

    sh_buf_init(&bytes, FILE_BYTES_MAX + 1);
    if ((rc = sh_input_read(from, FILE_BYTES_MAX, &bytes, &p->err)) < 0) {
        return rc;
    }
    sh_auto(sh_free_p) char *text = sh_strndup0(bytes.p ? bytes.p : "", bytes.len);
    sh_auto(sh_free_p) char *filled = fill ? named(text, "{{name}}", p->name) : NULL;
    if (fill && !filled) {
        return sh_fail(&p->err, SH_E_LIMIT, "%s is too large", from);
    }
    p->files++;
    return write_new(to, fill ? filled : text, &p->err);
}

/* Names that would mean something where the templates are kept have others there. */
static const char *real_name(const char *name) {
    return strcmp(name, "gitignore") == 0 ? ".gitignore"
           : strcmp(name, "gomod") == 0   ? "go.mod"
                                          : name;
}

static int make_folder(const char *path, struct sh_err *err) {
    return mkdir(path, 0777) < 0 && errno != EEXIST
               ? sh_fail_errno(err, SH_E_IO, errno, "cannot make the folder %s", path)
               : 0;
}

/* A folder into another one, which is made. fill: it is a template */
static int copy_tree(struct project *p, const char *from, const char *to, bool fill, int depth) {
    DIR *dir = opendir(from);
    struct dirent *entry;
    int rc = make_folder(to, &p->err);

    if (!dir) {
        return sh_fail_errno(&p->err, SH_E_IO, errno, "cannot read %s", from);
    }
    while (rc == 0 && (entry = readdir(dir))) {
        struct stat st;
        if (entry->d_name[0] == '.') {
            continue;
        }
        sh_auto(sh_free_p) char *name =
            fill ? named(real_name(entry->d_name), "NAME", p->name) : sh_strdup(entry->d_name);
        sh_auto(sh_free_p) char *source = sh_path_join(from, entry->d_name);
        sh_auto(sh_free_p) char *target = sh_path_join(to, name);
        if (stat(source, &st) < 0) {
            rc = sh_fail_errno(&p->err, SH_E_IO, errno, "cannot read %s", source);
        } else if (S_ISDIR(st.st_mode)) {
            rc = depth < DEPTH_MAX ? copy_tree(p, source, target, fill, depth + 1)
                                   : sh_fail(&p->err, SH_E_LIMIT, "%s is too deep", source);
        } else {
            rc = copy_file(p, source, target, fill);
        }
    }
    closedir(dir);
    return rc;
}

/* One folder of share/shannon into the project. */
static int copy_shared(struct project *p, const char *shared, const char *below, bool fill) {
    sh_auto(sh_free_p) char *from = sh_share_path(shared);
    sh_auto(sh_free_p) char *to = sh_path_join(p->folder, below);

    if (!from) {
        return sh_fail(
            &p->err, SH_E_NOT_FOUND,
            "%s is not where it was installed, under share/shannon; $SHANNON_SHARE names "
            "another place",
            shared);
    }
    return copy_tree(p, from, to, fill, 0);
}

static int make_project(struct project *p, const struct language *l) {
    sh_auto(sh_free_p) char *templates = sh_asprintf("templates/%s", l->name);
    int rc = 0;

    if (mkdir(p->folder, 0777) < 0) {
        return errno == EEXIST
                   ? sh_fail(&p->err, SH_E_EXISTS,
                             "%s is there already; name another folder, or remove it first",
                             p->folder)
                   : sh_fail_errno(&p->err, SH_E_IO, errno, "cannot make the folder %s", p->folder);
    }
    rc = copy_shared(p, "templates/common", "", true);
    rc = rc < 0 ? rc : copy_shared(p, templates, "", true);
    for (size_t i = 0; rc == 0 && i < 2 && l->sdk[i]; i++) {
        rc = copy_shared(p, l->sdk[i], "shannon", false);
    }
    return rc;
}

int sh_cmd_new(int argc, char *const argv[]) {
    struct sh_common common = {0};
    struct project p = {0};
    const struct sh_flag flags[] = {
        {"lang", SH_FLAG_TEXT, &p.language, "LANGUAGE", "c, cpp, rust, go or python"},
    };
    int rc =
        sh_cli_parse(&common, "new --lang LANGUAGE NAME", flags, SH_N(flags), 1, 1, argc, argv);
    if (rc != 0) {
        return rc < 0 ? SH_EXIT_OWN : 0;
    }
    p.folder = common.operands.v[0];
    const char *slash = strrchr(p.folder, '/');
    p.name = slash ? slash + 1 : p.folder;
    const struct language *l = find_language(p.language, &p.err);
    if (l && check_name(p.name, &p.err) == 0 && make_project(&p, l) == 0) {
        if (common.json) {
            json_t *made = json_pack("{s:s, s:s, s:I}", "folder", p.folder, "language", l->name,
                                     "files", (json_int_t)p.files);
            sh_cli_print_json(made);
            json_decref(made);
        } else {
            printf("%s: %zu files. Next: cd %s && make && make test\n", p.folder, p.files,
                   p.folder);
        }
    }
    sh_values_done(&common.operands);
    return sh_cli_end(p.err.code ? sh_cli_fail(&p.err) : 0);
}
