"""What the documents point to is there: links, their headings, and the files that they name; the
decisions are numbered without a gap."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)[^)]*\)")
FOREIGN = re.compile(r"[a-z][a-z0-9+.-]*:")  # a link with a scheme is another site's affair
# A file of ours in the text: `docs/api.md`. What has a wildcard or a word to fill in is no file.
NAMED = re.compile(r"`((?:agents|bench|cmake|docs|durable-shannon|examples|native|scripts|sdk|"
                   r"shannon-api|tests)/[\w./-]+)`")


def documents():
    listed = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, text=True, capture_output=True,
                            check=False).stdout.split()
    return [ROOT / name for name in listed] or [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]


def headings(text):
    """The anchors of a page, as GitHub makes them of its headings."""
    found = {}
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", FENCE.sub("", text), re.M):
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {f"{a}-{i}" if i else a for a, n in found.items() for i in range(n + 1)}


def dead_links(page, text):
    for target in LINK.findall(FENCE.sub("", text)):
        if FOREIGN.match(target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file != page and not file.exists():
            yield target
        elif anchor and file.suffix == ".md" and \
                anchor not in headings(text if file == page else file.read_text()):
            yield target


class Links(unittest.TestCase):
    def test_links_lead_somewhere(self):
        self.assertGreater(len(documents()), 10)
        dead = [f"{page.relative_to(ROOT)}: {target}" for page in documents()
                for target in dead_links(page, page.read_text())]
        self.assertEqual(dead, [])

    def test_files_that_are_named_exist(self):
        gone = [f"{page.relative_to(ROOT)}: {name}" for page in documents()
                if page.name not in ("CHANGELOG.md", "decisions.md")  # they tell of what was
                for name in NAMED.findall(page.read_text()) if not (ROOT / name).exists()]
        self.assertEqual(gone, [])

    def test_a_dead_link_is_found(self):
        page = ROOT / "docs/page.md"
        text = ("# The page\n## Two `words`, both\n## Again\n## Again\n[a](#two-words-both) [b](#again-1) "
                "[c](../README.md) [d](https://example.org/x) ![e](gone.svg) [f](#again-2) [g](errors.md#gone)\n"
                "```\n[h](in-code.md)\n# No heading\n```\n[i](#no-heading)\n")
        self.assertEqual(list(dead_links(page, text)),
                         ["gone.svg", "#again-2", "errors.md#gone", "#no-heading"])


class Decisions(unittest.TestCase):
    def test_they_are_numbered_without_a_gap(self):
        """Two branches that each append one agree on nothing but the file: a merge keeps both."""
        numbers = re.findall(r"^(\d+)\. ", (ROOT / "docs/decisions.md").read_text(), re.M)
        self.assertEqual([int(n) for n in numbers], list(range(1, len(numbers) + 1)))


if __name__ == "__main__":
    unittest.main()
