"""Modules that no assembler would write: too large, too deep, or damaged in one place. Each function
gives the bytes of one, and its first line says what it does; `BOMBS` lists them by name."""


def leb(n):
    out = bytearray()
    while True:
        out.append(n & 0x7F | (0x80 if n > 0x7F else 0))
        n >>= 7
        if not n:
            return bytes(out)


def vec(items):
    items = list(items)
    return leb(len(items)) + b"".join(items)


def text(s):
    data = s if isinstance(s, bytes) else s.encode()
    return leb(len(data)) + data


def section(number, data):
    return bytes([number]) + leb(len(data)) + data


HEAD = b"\0asm\1\0\0\0"
VOID = b"\x60\0\0"
I32 = b"\x7f"
MEMORY = section(5, b"\1\0\1")


def body(code, locals_=b"\0"):
    whole = locals_ + code + b"\x0b"
    return leb(len(whole)) + whole


def module(code=b"", before=b"", after=b"", locals_=b"\0", types=VOID, memory=MEMORY, data=b""):
    """A command whose _start is function 0 of type 0, with `memory`."""
    exports = section(7, vec([text("memory") + b"\2\0", text("_start") + b"\0\0"]))
    return (HEAD + section(1, b"\1" + types) + section(3, b"\1\0") + before + memory + exports +
            section(10, b"\1" + body(code, locals_)) + data + after)


def custom(name, data):
    return section(0, text(name) + data)


def br_table(n):
    """A br_table of so many targets: Cranelift packs entity numbers into 24 bits."""
    table = b"\x41\0\x0e" + leb(n) + b"\0" * (n + 1)
    return module(b"\x02\x40" + table + b"\x0b")


def many_instructions(n):
    """One function of millions of instructions, none of which can be left out."""
    return module(b"\x20\0\x41\1\x6a\x21\0" * n, locals_=b"\1\1\x7f")


def many_blocks(n):
    """A function of so many blocks in a row, each with a branch."""
    return module(b"\x02\x40\x20\0\x0d\0\x0b" * n, locals_=b"\1\1\x7f")


def nested(n):
    """Blocks so deep that a reader which recurses runs out of stack."""
    return module(b"\x02\x40" * n + b"\x0b" * n)


def many_locals(n):
    """So many locals in one group of three bytes, four times."""
    return module(locals_=b"\4" + (leb(n) + b"\x7e") * 4)


def locals_overflow():
    """Groups of locals whose sum passes 2^32."""
    return module(locals_=b"\3" + (leb(0xFFFFFFFF) + b"\x7f") * 3)


def many_functions(n):
    """So many functions, each of two bytes."""
    exports = section(7, vec([text("memory") + b"\2\0", text("_start") + b"\0\0"]))
    return (HEAD + section(1, b"\1" + VOID) + section(3, leb(n) + b"\0" * n) + MEMORY + exports +
            section(10, leb(n) + b"\2\0\x0b" * n))


def count_that_lies():
    """A vector of 2^32 - 1 types in a section of six bytes: memory at the module's word."""
    return HEAD + section(1, leb(0xFFFFFFFF) + b"\x60")


def function_count_that_lies():
    """Four thousand million functions declared, none there."""
    return HEAD + section(1, b"\1" + VOID) + section(3, leb(0xFFFFFFFF))


def section_past_the_end():
    """A section that says it is longer than the file."""
    return HEAD + b"\1" + leb(1 << 30) + b"\1" + VOID


def long_leb():
    """A length in eleven bytes."""
    return HEAD + b"\1" + b"\x80" * 10 + b"\1"


def huge_data():
    """A data segment that starts at the last byte of 4 GiB."""
    return module(data=section(11, b"\1\0\x41\x7f\x0b" + text(b"x" * 100)))


def many_data(n):
    """So many data segments over the same byte."""
    return module(data=section(11, leb(n) + b"\0\x41\0\x0b\1x" * n))


def element_past_the_end():
    """An element segment beyond its table."""
    exports = section(7, vec([text("memory") + b"\2\0", text("_start") + b"\0\0"]))
    return (HEAD + section(1, b"\1" + VOID) + section(3, b"\1\0") + section(4, b"\1\x70\0\1") +
            MEMORY + exports + section(9, b"\1\0\x41\xff\xff\3\x0b\1\0") +
            section(10, b"\1" + body(b"")))


def memory_of_everything():
    """A memory of 65,536 pages from the start: 4 GiB, if the limit did not come first."""
    return module(memory=section(5, b"\1\0" + leb(65536)))


def memory_past_everything():
    """More pages than 32 bits can name."""
    return module(memory=section(5, b"\1\0" + leb(65537)))


def table_of_everything():
    """A table of 2^32 - 1 elements (RUSTSEC-2026-0114: a panic of the host)."""
    return module(before=section(4, b"\1\x70\0" + leb(0xFFFFFFFF)))


def table64():
    """A table with 64-bit indexes, and 2^62 of them."""
    return module(before=section(4, b"\1\x70\4" + leb(1 << 62)))


def gc_types():
    """Structures and arrays of the garbage collection proposal."""
    return module(types=b"\x5f\1\x7f\1")


def recursive_types():
    """A recursion group of types that name one another."""
    return HEAD + section(1, b"\1\x4e\2\x60\1\x64\1\0\x60\1\x64\0\0")


def function_references():
    """A parameter that is a typed reference to a function."""
    return HEAD + section(1, b"\2" + VOID + b"\x60\1\x64\0\0")


def component():
    """A component (WASI preview 2) in place of a module."""
    return b"\0asm\x0d\0\1\0"


def custom_flood(n):
    """So many custom sections, empty and nameless."""
    return module(after=section(0, text("")) * n)


def custom_large():
    """A custom section that is most of the largest module there may be."""
    return module(after=custom("x", b"\0" * (60 << 20)))


def name_nonsense():
    """Name sections that are no name sections: lengths that lie, orders that are wrong, not UTF-8."""
    lies = custom("name", b"\1" + leb(1 << 28) + leb(0xFFFFFFFF))
    wrong = custom("name", b"\7\1\1\1\2\0\0" + b"\xff" * 100)
    return module(code=b"\0", after=lies + wrong)


def name_twice():
    """A function named a hundred thousand times."""
    names = section(1, leb(100000) + b"\0\1a" * 100000)
    return module(code=b"\0", after=custom("name", names))


def name_terminal():
    """A function whose name gives commands to a terminal, and forges a line; it traps."""
    name = "\x1b[2J\x1b]0;owned\x07\r\nshannon: the agent ended well\x1b[31m\u202e"
    return module(code=b"\0", after=custom("name", section(1, b"\1\0" + text(name))))


def dwarf_nonsense():
    """Debugging information that is none; the function traps, so that it is read."""
    return module(code=b"\0", after=b"".join(
        custom(n, b"\xff\xff\xff\xff\xff\xff\xff\x7f" * 1000)
        for n in (".debug_info", ".debug_line", ".debug_abbrev", ".debug_str", ".debug_ranges")))


def many_imports(n):
    """So many imports of one host function."""
    one = text("wasi_snapshot_preview1") + text("sched_yield") + b"\0\1"
    exports = section(7, vec([text("memory") + b"\2\0", text("_start") + b"\0" + leb(n)]))
    return (HEAD + section(1, b"\2" + VOID + b"\x60\0\1\x7f") + section(2, leb(n) + one * n) +
            section(3, b"\1\0") + MEMORY + exports + section(10, b"\1" + body(b"")))


def import_long_name():
    """An import with a name of a megabyte."""
    return HEAD + section(1, b"\1" + VOID) + section(
        2, b"\1" + text("env") + text("x" * (1 << 20)) + b"\0\0")


def many_results(n):
    """A function type of so many results."""
    return HEAD + section(1, b"\1\x60\0" + leb(n) + I32 * n)


def branch_to_nowhere():
    """A branch to a block that is not there."""
    return module(b"\x0c" + leb(0xFFFFFFFF))


def underflow():
    """An addition of what is not on the stack."""
    return module(b"\x6a\x1a")


def unknown_opcode():
    """An instruction that no proposal has."""
    return module(b"\xff\xff\xff")


def no_end():
    """A body without its end."""
    whole = module()
    return whole[:-1] + b"\1"


def truncated():
    """Half a module."""
    whole = module(b"\x41\0\x1a" * 100)
    return whole[:len(whole) // 2]


def nothing():
    """No bytes at all."""
    return b""


def elf():
    """A program of the host's own kind: compiled code is never taken from outside."""
    return b"\x7fELF\2\1\1" + b"\0" * 9 + b"\2\0\x3e\0" + b"\0" * 44


def artifact():
    """What looks like a compiled artifact of the runtime."""
    return b"\x7fELF\2\1\1\xc8" + b"\0" * 8 + b"\1\0\x3e\0" + b"\0" * 44 + b".wasmtime.engine\0"


LIMIT, BAD, IMPORT = "limit", "module", "import"
RUNS, TRAPS = "runs", "trap"
# name: (bytes, what comes of it: one word, or several of which one)
BOMBS = {
    "br_table_65520": (lambda: br_table(65520), RUNS),
    "br_table_65521": (lambda: br_table(65521), LIMIT),
    "br_table_2_24": (lambda: br_table(1 << 24), LIMIT),
    "instructions_2_million": (lambda: many_instructions(500000), RUNS),
    "instructions_3_million": (lambda: many_instructions(750000), (RUNS, LIMIT)),
    "instructions_40_million": (lambda: many_instructions(5800000), LIMIT),
    "blocks_million": (lambda: many_blocks(1000000), (RUNS, LIMIT)),
    "nested_10000": (lambda: nested(10000), (RUNS, LIMIT, BAD)),
    "nested_million": (lambda: nested(1000000), (RUNS, LIMIT, BAD)),
    "locals_400000": (lambda: many_locals(100000), LIMIT),
    "locals_overflow": (locals_overflow, (LIMIT, BAD)),
    "functions_100001": (lambda: many_functions(100001), LIMIT),
    "count_that_lies": (count_that_lies, (BAD, LIMIT)),
    "function_count_that_lies": (function_count_that_lies, (BAD, LIMIT)),
    "section_past_the_end": (section_past_the_end, BAD),
    "long_leb": (long_leb, BAD),
    "huge_data": (huge_data, (TRAPS, BAD)),
    "data_100001": (lambda: many_data(100001), LIMIT),
    "element_past_the_end": (element_past_the_end, (TRAPS, BAD)),
    "memory_of_everything": (memory_of_everything, (LIMIT, BAD)),
    "memory_past_everything": (memory_past_everything, (BAD, LIMIT)),
    "table_of_everything": (table_of_everything, (LIMIT, BAD)),
    "table64": (table64, BAD),
    "gc_types": (gc_types, BAD),
    "recursive_types": (recursive_types, BAD),
    "function_references": (function_references, BAD),
    "component": (component, BAD),
    "custom_flood": (lambda: custom_flood(1000000), (RUNS, LIMIT)),
    "custom_large": (custom_large, (RUNS, LIMIT)),
    "name_nonsense": (name_nonsense, (TRAPS, BAD)),
    "name_twice": (name_twice, (TRAPS, BAD)),
    "name_terminal": (name_terminal, (TRAPS, BAD)),
    "dwarf_nonsense": (dwarf_nonsense, TRAPS),
    "imports_10001": (lambda: many_imports(10001), LIMIT),
    "import_long_name": (import_long_name, (IMPORT, LIMIT, BAD)),
    "results_1001": (lambda: many_results(1001), (LIMIT, BAD)),
    "branch_to_nowhere": (branch_to_nowhere, BAD),
    "underflow": (underflow, BAD),
    "unknown_opcode": (unknown_opcode, BAD),
    "no_end": (no_end, BAD),
    "truncated": (truncated, BAD),
    "nothing": (nothing, BAD),
    "elf": (elf, BAD),
    "artifact": (artifact, BAD),
}
