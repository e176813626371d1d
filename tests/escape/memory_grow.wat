;; A memory bomb: grow by everything, by one page for ever, and touch what was given.
(module
  (memory (export "memory") 1)
  (func (export "_start") (local $last i32)
    (drop (memory.grow (i32.const -1)))
    (drop (memory.grow (i32.const 65535)))
    (loop $more
      (local.set $last (memory.grow (i32.const 16)))
      (br_if $more (i32.ne (local.get $last) (i32.const -1))))
    (memory.fill (i32.const 0) (i32.const 255) (i32.mul (memory.size) (i32.const 65536)))
    (unreachable)))
