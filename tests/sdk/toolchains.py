"""Builds an agent in each language that has a compiler here, and drives the program with it."""

import os
import pathlib
import shutil
import subprocess
import sys

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "crash"), str(TESTS / "lib")]
import harness  # noqa: E402
from harness import BUILD, SOURCE  # noqa: E402
from skips import WASI as RUST_TARGET, missing, python_wasm, rustc_for_wasi, tool  # noqa: E402

SDK = SOURCE / "sdk"
KEPT = BUILD / "sdk-tests"  # modules, between runs
LANGUAGES = ("c", "cpp", "rust", "go", "python")  # and TinyGo: test_tinygo.py
WASI = "--target=wasm32-wasi"
NEEDED = ("c", "cpp")  # Debian packages, which the build itself needs


def compiler(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=900,
                          check=False, **more)
    if done.returncode != 0:
        raise AssertionError(f"{command}\n{done.stdout}{done.stderr}")


def c(source, output):
    compiler(tool("clang-19"), WASI, "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror",
             f"-I{SDK}/c", source, *sorted((SDK / "c").glob("*.c")), "-o", output)


def cpp(source, output):
    objects = []
    for part in sorted((SDK / "c").glob("*.c")):
        objects.append(output.with_name(f"{part.stem}.o"))
        compiler(tool("clang-19"), WASI, "-O2", f"-I{SDK}/c", "-c", part, "-o", objects[-1])
    clang = tool("clang++-19")
    if not list(pathlib.Path("/").glob("usr/include/wasm32-wasi/c++/v1/optional")):
        missing("there is no C++ library for WASI here (Debian: apt-get install "
                "libc++-19-dev-wasm32 libc++abi-19-dev-wasm32)")
    compiler(clang, WASI, "-std=c++17", "-fno-exceptions", "-O2", "-Wall", "-Wextra", "-Werror",
             f"-I{SDK}/c", f"-I{SDK}/cpp", source, *objects, "-o", output)


def rust(source, output):
    cargo = tool("cargo")
    rustc_for_wasi()
    crate = output.with_suffix(".crate")
    (crate / "src").mkdir(parents=True, exist_ok=True)
    shutil.copy(source, crate / "src/main.rs")
    shutil.copy(SDK / "rust/Cargo.lock", crate / "Cargo.lock")
    (crate / "Cargo.toml").write_text(f"""[package]
name = "agent"
version = "0.1.0"
edition = "2021"
[dependencies]
shannon-sdk = {{ path = "{SDK}/rust" }}
serde = {{ version = "1", features = ["derive"] }}
serde_json = "1"
[workspace]
""")
    env = {**os.environ, "CARGO_TARGET_DIR": str(KEPT / "rust-target")}
    build = (cargo, "build", "--quiet", "--release", "--target", RUST_TARGET)
    try:
        compiler(*build, "--offline", cwd=crate, env=env)
    except AssertionError:  # serde is not in the cache yet
        compiler(*build, cwd=crate, env=env)
    shutil.copy(KEPT / f"rust-target/{RUST_TARGET}/release/agent.wasm", output)


def go_module(source, output):
    module = output.with_suffix(".module")
    module.mkdir(exist_ok=True)
    shutil.copy(source, module / "main.go")
    (module / "go.mod").write_text(f"""module agent

go 1.22

require shannon.local/sdk/go v0.0.0

replace shannon.local/sdk/go => {SDK}/go
""")
    return module


def go(source, output):
    env = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOTOOLCHAIN": "local",
           "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    compiler(tool("go"), "build", "-ldflags=-s -w", "-o", output, ".",
             cwd=go_module(source, output), env=env)


def tinygo_program():
    found = subprocess.run([SOURCE / "scripts/tinygo", "--check"], capture_output=True, text=True,
                           check=False)
    return found.stdout.strip() if found.returncode == 0 else missing(found.stderr.strip())


def tinygo(source, output):
    program = tinygo_program()
    env = {**os.environ, "GOPROXY": "off", "GOFLAGS": "-mod=mod"}
    compiler(program, "build", "-no-debug", "-target=wasip1", "-o", output, ".",
             cwd=go_module(source, output), env=env)


def python(source, output):
    python_wasm(BUILD)
    shutil.copy(source, output)


SUFFIX = {"c": ".c", "cpp": ".cpp", "rust": ".rs", "go": ".go", "tinygo": ".go", "python": ".py"}
STEPS = {"c": "c/examples/steps.c", "cpp": "cpp/examples/steps.cpp",
         "rust": "rust/examples/steps.rs", "go": "go/examples/steps/main.go",
         "tinygo": "go/examples/steps/main.go", "python": "python/examples/steps.py"}


def steps(language):
    return SDK / STEPS[language]


def features(language):
    folder = SOURCE / "tests/sdk/features"
    return folder / ("go/main.go" if language.endswith("go") else f"features{SUFFIX[language]}")


def build(language, source, name):
    """The agent of that source; it is skipped, loudly, where there is no compiler for it."""
    KEPT.mkdir(parents=True, exist_ok=True)
    folder = KEPT / language
    folder.mkdir(exist_ok=True)
    output = folder / f"{name}{'.py' if language == 'python' else '.wasm'}"
    globals()[language](source, output)
    return output


# A script reaches these through the device as operations; for modules they are host functions.
BY_DEVICE = ("input", "output", "emit", "publish", "state")


def calls(events):
    """What an agent asked for and was told, in its own order: [op, args, outcome]."""
    asked, told = {}, {}
    for event in events:
        body = event["body"]
        if "args" in body and "op" in body and "ordinal" in body:
            asked[body["ordinal"]] = [body["op"], body["args"]]
        if "ordinal" in body and event["type"] != "ActivityScheduled":
            told[body["ordinal"]] = body.get("result", body.get("code"))
    return [[*asked[n], told.get(n)] for n in sorted(asked)
            if asked[n][0] not in BY_DEVICE]
