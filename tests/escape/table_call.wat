;; Indirect calls: through an element past the end, through null, with another type, with an index
;; that wraps. The first traps; that is the point.
(module
  (type $v (func))
  (table 4 funcref)
  (elem (i32.const 0) $a)
  (memory (export "memory") 1)
  (func $a (param i64) (result i64) (local.get 0))
  (func (export "_start") (call_indirect (type $v) (i32.const 0x80000000))))
