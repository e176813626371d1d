#!/usr/bin/env python3
"""docs/tools.md has a section for each tool that `shannon tools` lists, with the JSON schemas that it
prints, its limits, whether it is repeated, its errors and an example.

    test_tools_page.py --write    puts the schemas of SHANNON_BIN into the page"""

import json
import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "crash"))
import harness  # noqa: E402
from harness import shannon  # noqa: E402

PAGE = harness.SOURCE / "docs/tools.md"
SCHEMA = re.compile(r"\n<details><summary>Schemas of `([^`]+)`</summary>\n\n```json\n(.*?)\n```\n\n"
                    r"</details>\n", re.DOTALL)


def tools(folder, config=""):
    data = pathlib.Path(folder) / "data"
    data.mkdir(mode=0o700)
    (data / "shannon.toml").write_text(config)
    done = shannon("tools", "--data-dir", data, "--json", check=0)
    return {tool["name"]: tool for tool in json.loads(done.stdout)}


def sections(text):
    """{heading: text}; a heading of the third level is a part of the second one above it, too."""
    found, above = {}, None
    for part in re.split(r"^(?=###? )", text, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        level, name = heading.split(" ", 1)
        above = name if level == "##" else above
        found[name] = body
        if level == "###":
            found[above] += body
            found[name] += found[above].partition("\n### ")[0]
    return found


def schemas(tool):
    return {"arguments": tool["parameters"], "result": tool["result"]}


def write(listed):
    text = SCHEMA.sub("", PAGE.read_text())
    for name, tool in listed.items():
        lines = ",\n".join(f" {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}"
                           for k, v in schemas(tool).items())
        block = (f"\n<details><summary>Schemas of `{name}`</summary>\n\n```json\n{{\n{lines}\n}}\n"
                 "```\n\n</details>\n")
        start = re.search(rf"^###? {re.escape(name)}\n", text, re.MULTILINE).end()
        following = re.search(r"^###? ", text[start:], re.MULTILINE)
        at = start + following.start() if following else len(text)
        text = text[:at].rstrip("\n") + "\n" + block + ("\n" + text[at:] if following else "")
    PAGE.write_text(text)


class Page(unittest.TestCase):
    def setUp(self):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def test_every_tool_has_its_section(self):
        found = sections(PAGE.read_text())
        for name in tools(self.folder):
            self.assertTrue(name in found, f"docs/tools.md has no section for {name}")
            for word in ("**Limits.**", "**Repeated", "**Errors:**", "```"):
                self.assertTrue(word in found[name], f"the section of {name} lacks {word}")

    def test_the_schemas_are_those_that_are_checked(self):
        written = {name: json.loads(text) for name, text in SCHEMA.findall(PAGE.read_text())}
        listed = {name: schemas(tool) for name, tool in tools(self.folder).items()}
        self.assertEqual(written, listed, "run this test with --write")

    def test_tools_of_servers_are_in_one_section(self):
        command = [sys.executable, str(harness.SOURCE / "tests/lib/scripted_mcp.py")]
        listed = tools(self.folder, f"[mcp.s]\ncommand = {json.dumps(command)}\n")
        self.assertIn("mcp:s/echo", listed)
        found = sections(PAGE.read_text())
        for name in listed:
            self.assertTrue(name.partition(":")[0] in found, name)

    def test_a_tool_without_a_section_is_noticed(self):
        text = PAGE.read_text().replace("## sleep\n", "## naps\n")
        self.assertFalse("sleep" in sections(text))


if __name__ == "__main__":
    if "--write" in sys.argv:
        with harness.temporary_folder() as place:
            write(tools(place))
    else:
        unittest.main()
