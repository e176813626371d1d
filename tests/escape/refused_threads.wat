;; Shared memory and atomics (CVE-2025-64345): refused, a second thread would be a clock.
(module (memory (export "memory") 1 1 shared)
  (func (export "_start") (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))))
