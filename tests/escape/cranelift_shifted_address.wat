;; CVE-2023-26489 (Cranelift, x86-64): an address shifted by a constant was computed in 64 bits, so a
;; load reached 34 GB beyond the memory. Each must be taken modulo 2^32, then trap or read a zero.
(module
  (memory (export "memory") 1)
  (func $shifted (param i32) (result i32)
    (i32.or (i32.load (i32.shl (local.get 0) (i32.const 3)))
            (i32.or (i32.load offset=8 (i32.shl (local.get 0) (i32.const 2)))
                    (i32.load8_u (i32.shl (local.get 0) (i32.const 1))))))
  (func (export "_start")
    ;; 0x20000000 << 3 is 0 in 32 bits and 2^32 in 64
    (if (call $shifted (i32.const 0x20000000)) (then (unreachable)))
    (if (call $shifted (i32.const 0x40000000)) (then (unreachable)))
    (if (call $shifted (i32.const 0xe0000000)) (then (unreachable)))
    (drop (i32.load offset=0xffffffff (i32.const 0xffffffff)))))
