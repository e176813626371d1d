;; 200,000 host calls: half of them such as answer at once, half such as may wait.
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $now (result i32)))
  (import "shannon" "activity_wait" (func $wait (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (local $i i32)
    (loop $again
      (drop (call $now))
      (drop (call $wait (i32.const 0) (i32.const 0)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 100000))))))
