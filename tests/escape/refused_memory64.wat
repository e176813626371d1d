;; CVE-2026-44216 (Wasmtime: growing a 64-bit table aborted the process), memory64: refused.
(module (memory (export "memory") i64 1)
  (func (export "_start") (drop (memory.grow (i64.const 0x7fffffffffffffff)))))
