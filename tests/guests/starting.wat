;; Its start section is an endless loop: instantiating it is guest code already.
(module
  (memory (export "memory") 1)
  (func $loop (loop $again (br $again)))
  (start $loop)
  (func (export "_start")))
