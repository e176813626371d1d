;; Tables: grown to 2^32 elements, grown one by one, filled past the end, copied over themselves.
(module
  (table $t 1 funcref)
  (table $u 1 externref)
  (memory (export "memory") 1)
  (func $f)
  (elem declare func $f)
  (func (export "_start")
    (if (i32.ne (table.grow $t (ref.null func) (i32.const -1)) (i32.const -1)) (then (unreachable)))
    (if (i32.ne (table.grow $t (ref.func $f) (i32.const 0x7fffffff)) (i32.const -1))
      (then (unreachable)))
    (loop $more
      (br_if $more (i32.ne (table.grow $t (ref.func $f) (i32.const 1000)) (i32.const -1))))
    (loop $more
      (br_if $more (i32.ne (table.grow $u (ref.null extern) (i32.const 1000)) (i32.const -1))))
    (table.fill $t (i32.const 0) (ref.func $f) (table.size $t))
    (table.fill $t (i32.const 1) (ref.func $f) (i32.const -1))))
