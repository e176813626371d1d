;; Exceptions: fuel is not counted on that way out; refused.
(module (memory (export "memory") 1) (tag $t)
  (func (export "_start") (loop $l (try (do (throw $t)) (catch $t)) (br $l))))
