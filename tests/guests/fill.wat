;; 64 MiB of memory.fill, for ever: nothing interrupts one.
(module
  (memory (export "memory") 1100)
  (func (export "_start")
    (loop $again
      (memory.fill (i32.const 1048576) (i32.const 7) (i32.const 67108864))
      (br $again))))
