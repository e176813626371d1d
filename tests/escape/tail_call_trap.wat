;; CVE-2024-47763, GHSA-q8hx-mm92-4wvg (Wasmtime): a tail call and then a stack trace brought the
;; process down. Tail calls are either refused or trap like any other function.
(module
  (memory (export "memory") 1)
  (func $dies (param i64 i64 i64 i64 i64 i64 i64 i64) (unreachable))
  (func $b (param i32) (return_call $dies (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
                                          (i64.const 5) (i64.const 6) (i64.const 7) (i64.const 8)))
  (func (export "_start") (return_call $b (i32.const 1))))
