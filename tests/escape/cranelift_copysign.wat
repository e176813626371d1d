;; CVE-2026-24116, GHSA-vc8c-j3xm-xj73 (Cranelift, x86-64): f64.copysign of a loaded value loaded 16
;; bytes where 8 were in bounds. At the very last 8 bytes it must work, one further it must trap.
(module
  (memory (export "memory") 1 1)
  (func (export "_start")
    (if (f64.gt (f64.copysign (f64.load (i32.const 65528)) (f64.load (i32.const 65528)))
                (f64.const 1)) (then (unreachable)))
    (if (f32.gt (f32.copysign (f32.load (i32.const 65532)) (f32.load (i32.const 65532)))
                (f32.const 1)) (then (unreachable)))
    (f64.store (i32.const 0) (f64.sqrt (f64.load (i32.const 65528))))
    (f64.store (i32.const 0) (f64.abs (f64.neg (f64.load (i32.const 65528)))))
    (drop (f64.copysign (f64.load (i32.const 65529)) (f64.const -1)))))
