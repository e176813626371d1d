;; Events without an end, 60 KiB each: the journal is the host's disk.
(module
  (import "shannon" "emit" (func $emit (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "note\22")
  (func (export "_start")
    (memory.fill (i32.const 5) (i32.const 120) (i32.const 60000))
    (i32.store8 (i32.const 60005) (i32.const 34))
    (loop $l
      (drop (call $emit (i32.const 0) (i32.const 4) (i32.const 4) (i32.const 60002))) (br $l))))
