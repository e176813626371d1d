"""What the documentation shows as an agent compiles as it stands."""

import pathlib
import re
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402
from toolchains import LANGUAGES, SOURCE, SUFFIX, harness  # noqa: E402

FENCES = {"c": "c", "cpp": "cpp", "rust": "rust", "go": "go", "python": "python"}


class Docs(unittest.TestCase):
    def compiles(self, language):
        folder = harness.temporary_folder()
        self.addCleanup(folder.cleanup)
        found = 0
        for page in (SOURCE / "README.md", SOURCE / "docs/sdk.md"):
            fence = re.compile(rf"^```{FENCES[language]}\n(.*?)^```$", re.S | re.M)
            for text in fence.findall(page.read_text(encoding="utf-8")):
                if "shannon" not in text:
                    continue  # of something else
                found += 1
                with self.subTest(page=page.name, text=text):
                    source = pathlib.Path(folder.name) / f"example{SUFFIX[language]}"
                    source.write_text(text, encoding="utf-8")
                    if language == "python":
                        compile(text, page.name, "exec")
                    else:
                        toolchains.build(language, source, "example")
        self.assertGreater(found, 0, "the page shows no agent in this language")


for each in LANGUAGES:
    setattr(Docs, f"test_the_examples_in_{each}_compile",
            lambda self, language=each: self.compiles(language))


if __name__ == "__main__":
    unittest.main(verbosity=2)
