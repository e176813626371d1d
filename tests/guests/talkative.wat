;; Emits two thousand events: more than fit one slice.
(module
  (import "shannon" "emit" (func $emit (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "tick{}")
  (func (export "_start")
    (local $i i32)
    (loop $again
      (if (call $emit (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 2)) (then unreachable))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 2000))))))
