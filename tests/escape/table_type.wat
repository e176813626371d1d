;; An indirect call under another type than the function has.
(module
  (type $v (func (param i32 i32 i32) (result i64)))
  (table 4 funcref)
  (elem (i32.const 0) $a)
  (memory (export "memory") 1)
  (func $a (param i64) (result i64) (local.get 0))
  (func (export "_start")
    (drop (call_indirect (type $v) (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 0)))))
