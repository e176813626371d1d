"""The table of limits in docs/testing.md names tests that exist, and are run."""

import pathlib
import re
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]


def rows():
    text = (SOURCE / "docs/testing.md").read_text()
    table = text.split("## Limits of the sandbox", 1)[1].split("\n## ", 1)[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 2 and cells[0] not in ("limit", "---"):
            yield cells


class Limits(unittest.TestCase):
    def test_each_limit_has_tests_that_exist(self):
        seen = 0
        for limit, tests in rows():
            named = re.findall(r"`([\w/.]+)`: (\w+)", tests)
            self.assertEqual(len(named), len(tests.split("; ")), (limit, tests))
            for file, name in named:
                with self.subTest(limit=limit, file=file, name=name):
                    text = (SOURCE / "tests" / file).read_text()
                    if file.endswith(".py"):
                        self.assertTrue(f"def {name}(self" in text, "no such test")
                    else:
                        self.assertTrue(f"START_TEST({name})" in text, "no such test")
                        self.assertGreaterEqual(len(re.findall(rf"\b{name}\b", text)), 2,
                                                "it is in no suite")
                seen += 1
        self.assertGreater(seen, 40)


if __name__ == "__main__":
    unittest.main()
