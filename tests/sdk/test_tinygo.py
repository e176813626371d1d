"""What the tests of the SDKs do with Go, with TinyGo: skipped as a whole where scripts/tinygo finds none,
because building it takes longer than all of them."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import toolchains  # noqa: E402

toolchains.LANGUAGES = ("tinygo",)  # before the others ask for it
import test_features  # noqa: E402
import test_kill  # noqa: E402
import test_kill_points  # noqa: E402
import test_new  # noqa: E402
import test_steps  # noqa: E402

MODULES = (test_steps, test_features, test_kill, test_kill_points, test_new)


def suite():
    loader = unittest.TestLoader()
    loader.testNamePatterns = ["*tinygo*"]
    return unittest.TestSuite(loader.loadTestsFromModule(module) for module in MODULES)


if __name__ == "__main__":
    try:
        toolchains.tinygo_program()
    except unittest.SkipTest:  # it has said why
        sys.exit(77)
    tests = suite()
    assert tests.countTestCases() >= 10, tests
    sys.exit(not unittest.TextTestRunner(verbosity=2).run(tests).wasSuccessful())
