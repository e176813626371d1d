;; Bulk operations cost a dozen units of fuel whatever their size, and cannot be interrupted.
(module
  (memory (export "memory") 1024)
  (func (export "_start")
    (loop $l
      (memory.fill (i32.const 0) (i32.const 1) (i32.const 67108864))
      (memory.copy (i32.const 1) (i32.const 0) (i32.const 67108000))
      (br $l))))
