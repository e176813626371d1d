;; CVE-2022-39392 (Wasmtime: no guard behind a small memory): one byte past the end, at every width,
;; by every way to get there. The runner asks for one of them in argv.
(module
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1 1)
  (func (export "_start") (local $n i32)
    (drop (call $args (i32.const 0) (i32.const 64)))
    ;; argv[1] is a digit
    (local.set $n (i32.sub (i32.load8_u (i32.load (i32.const 4))) (i32.const 48)))
    (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 (local.get $n)))
      (drop (i32.load8_u (i32.const 65536))) (return))
      (i64.store (i32.const 65529) (i64.const -1)) (return))
      (memory.copy (i32.const 0) (i32.const 65535) (i32.const 2)) (return))
      (drop (i32.load offset=0xffffffff (i32.const 1))) (return))
    (memory.fill (i32.const 1) (i32.const 0) (i32.const 0xffffffff))))
