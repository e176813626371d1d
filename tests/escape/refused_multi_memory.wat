;; Two memories: which one would a pointer be in? Refused.
(module (memory (export "memory") 1) (memory 1) (func (export "_start")))
