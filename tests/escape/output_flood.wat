;; Standard error without an end, a kilobyte at a time, escape sequences in it.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "\1b[2J\1b]0;owned\07")
  (func (export "_start")
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 1024))
    (loop $l
      (drop (call $w (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 16))) (br $l))))
