;; Divides by zero three calls deep, in functions that have names.
(module
  (memory (export "memory") 1)
  (func $innermost (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func $middle (param i32) (result i32) (i32.add (call $innermost (local.get 0)) (i32.const 1)))
  (func (export "_start") (drop (call $middle (i32.const 0)))))
