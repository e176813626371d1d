;; Counts to ten million, then ends: a fixed amount of fuel over several slices.
(module
  (memory (export "memory") 1)
  (func (export "_start")
    (local $i i32)
    (loop $again
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (i32.store (i32.const 0) (local.get $i))
      (br_if $again (i32.lt_u (local.get $i) (i32.const 10000000))))))
