;; A start function runs while the instance is being made, before anything has been set up for it: it
;; calls the host, grows its memory and never comes back.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $w (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "shannon" "activity_wait" (func $wait (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "../outside/secret")
  (func $start
    (drop (call $w (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (drop (call $w (i32.const 1) (i32.const 0xfffffff8) (i32.const 1) (i32.const -1)))
    (if (i32.eqz (call $open (i32.const 3) (i32.const 1) (i32.const 16) (i32.const 17)
                             (i32.const 0) (i64.const -1) (i64.const -1) (i32.const 0)
                             (i32.const 64)))
      (then (return)))
    (drop (call $wait (i32.const 0) (i32.const 1)))
    (drop (memory.grow (i32.const 10)))
    (loop $l (br $l)))
  (start $start)
  (func (export "_start")))
