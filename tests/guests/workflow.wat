;; The other entry point: gives its input back as its result.
(module
  (memory (export "memory") 1)
  (global $next (mut i32) (i32.const 1024))
  (func (export "_initialize") (i32.store (i32.const 0) (i32.const 7)))
  (func (export "alloc") (param $n i32) (result i32)
    (global.get $next)
    (global.set $next (i32.add (global.get $next) (local.get $n))))
  (func (export "run_workflow") (param $p i32) (param $n i32) (result i64)
    (if (i32.ne (i32.load (i32.const 0)) (i32.const 7)) (then unreachable))
    (i64.or (i64.shl (i64.extend_i32_u (local.get $p)) (i64.const 32))
            (i64.extend_i32_u (local.get $n)))))
