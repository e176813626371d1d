;; Grows its memory a megabyte at a time until it is refused, then gives up.
(module
  (memory (export "memory") 1)
  (func $allocate
    (loop $again
      (br_if $again (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
    unreachable)
  (func (export "_start") (call $allocate)))
