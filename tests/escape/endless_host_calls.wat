;; A loop without an end in which every turn is a host call: fuel hardly sees it.
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1024)
  (func (export "_start")
    (loop $l (drop (call $random (i32.const 0) (i32.const 67108864))) (br $l))))
