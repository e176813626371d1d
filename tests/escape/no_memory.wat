;; Host calls with pointers from a module that exports no memory, and has none.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $r (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func (export "_start")
    (if (i32.eqz (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 0)))
      (then (call $exit (i32.const 1))))
    (if (i32.eqz (call $r (i32.const 0) (i32.const 1))) (then (call $exit (i32.const 2))))))
