"""Each advisory of Wasmtime in docs/security.md names what shows that it does not reach us: tests
that exist, and those below, which look at what is built and how it is set up."""

import pathlib
import re
import tomllib
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SANDBOX = SOURCE / "durable-shannon/src/microsandbox"
# Where the table's short names are found.
PLACES = {"scan": "tests/unit/test_microsandbox_scan*.c", "wasi": "tests/unit/test_wasi*.c",
          "agent": "tests/integration/test_sandbox_agent.c",
          "failures": "tests/integration/test_sandbox_failures.c",
          "growth": "tests/integration/test_sandbox_growth.c",
          "hostile": "tests/integration/test_sandbox_hostile.c",
          "lint": "tests/lint/test_advisories.py"}
NOT_BUILT = {"wasi", "wasi-http", "component-model", "winch", "threads", "cache", "pulley", "gc-drc",
             "all-arch"}
OFF = ("relaxed_simd", "gc", "function_references", "exceptions", "stack_switching", "memory64",
       "multi_memory", "custom_page_sizes")


def rows():
    text = (SOURCE / "docs/security.md").read_text()
    table = text.split("## Advisories of Wasmtime", 1)[1].split("\n## ", 1)[0]
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and cells[0] not in ("advisory", "---"):
            yield cells


def sources(folder, names="*.[ch]"):
    return {path: path.read_text() for path in sorted(folder.rglob(names))}


class Table(unittest.TestCase):
    def exists(self, place, name):
        if place == "escape":
            return any((SOURCE / "tests/escape").glob(f"{name}.[cw]*"))
        mark = f"def test_{name}(self" if place == "lint" else f"START_TEST({name})"
        return any(mark in path.read_text() for path in SOURCE.glob(PLACES[place]))

    def test_each_advisory_names_tests_that_exist(self):
        seen = 0
        for cells in rows():
            self.assertEqual(len(cells), 4, cells)
            with self.subTest(advisory=cells[0]):
                self.assertRegex(cells[0], r"GHSA-|CVE-")
                shown = [part.split(": ", 1) for part in re.split(r"; ?", cells[3])]
                self.assertTrue(all(len(part) == 2 for part in shown), cells[3])
                for place, names in shown:
                    for name in names.split(", "):
                        self.assertTrue(self.exists(place, name), f"{place}: {name}")
                        seen += 1
        self.assertGreater(seen, 35)


class Build(unittest.TestCase):
    def test_parts_with_advisories_are_not_built(self):
        for manifest in ("native/Cargo.toml", "native/wasmtime-48/Cargo.toml"):
            with self.subTest(manifest=manifest):
                crates = tomllib.loads((SOURCE / manifest).read_text())["dependencies"]
                for name in ("wasmtime-c-api-impl", "wasmtime-environ"):
                    self.assertFalse(crates[name]["default-features"])
                    self.assertEqual(set(crates[name]["features"]) & NOT_BUILT, set())
                self.assertEqual([name for name in crates if "wasi" in name or "winch" in name], [])

    def test_releases_are_those_with_the_fixes(self):
        versions = {}
        for line in ("native", "native/wasmtime-48"):
            lock = tomllib.loads((SOURCE / line / "Cargo.lock").read_text())
            versions[line] = [p["version"] for p in lock["package"]
                              if p["name"] == "wasmtime-c-api-impl"]
        self.assertEqual(versions["native"], ["40.0.4"])
        (other,) = versions["native/wasmtime-48"]
        self.assertGreaterEqual(tuple(map(int, other.split("."))), (48, 0, 8))
        runtime = (SANDBOX / "runtime.c").read_text()
        self.assertIn("WASMTIME_VERSION_MAJOR == 40 && WASMTIME_VERSION_PATCH < 4\n#error", runtime)

    def test_only_one_kind_of_processor_is_built_for(self):
        cmake = (SOURCE / "CMakeLists.txt").read_text()
        self.assertRegex(cmake, r'if\(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "\^\(x86_64\|AMD64\)\$"\)\s*'
                                r"message\(FATAL_ERROR")


class Settings(unittest.TestCase):
    def setUp(self):
        self.runtime = (SANDBOX / "runtime.c").read_text()

    def test_proposals_are_off(self):
        for name in OFF:
            self.assertIn(f"wasmtime_config_wasm_{name}_set(c, false);", self.runtime)
        self.assertNotIn("wasm_threads_set", self.runtime)  # not built: there is no such setting
        for name in ("epoch_interruption", "shared_memory"):
            self.assertIn(f"wasmtime_config_{name}_set(c, false);", self.runtime)

    def test_cranelift_compiles(self):
        self.assertIn("wasmtime_config_strategy_set(c, WASMTIME_STRATEGY_CRANELIFT);", self.runtime)

    def test_memories_have_guards(self):
        self.assertIn("wasmtime_config_memory_guard_size_set(c, MEMORY_GUARD_BYTES);", self.runtime)
        self.assertRegex(self.runtime, r"#define MEMORY_GUARD_BYTES \(32 \* SH_MIB\)")

    def test_a_processor_without_sse3_is_refused(self):
        refused = self.runtime.index('if (!__builtin_cpu_supports("sse3"))')
        self.assertLess(refused, self.runtime.index("c = wasm_config_new();"))

    def test_a_process_has_one_engine_and_never_clones_a_linker(self):
        made = {path.name: text.count("wasm_engine_new") + text.count("wasm_engine_clone")
                for path, text in sources(SOURCE / "durable-shannon/src").items()}
        self.assertEqual({k: v for k, v in made.items() if v}, {"runtime.c": 1})
        callers = [path.name for path, text in sources(SOURCE / "durable-shannon/src").items()
                   for _ in re.findall(r"[^_\w*]sh_runtime_engine\(", text)]
        self.assertEqual(sorted(callers), ["compile_worker.c", "sandbox.c"])
        for path, text in sources(SANDBOX).items():
            self.assertNotIn("linker_clone", text, path)


if __name__ == "__main__":
    unittest.main()
