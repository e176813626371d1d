;; Imports of modules that are not there, their names made for a terminal.
(module
  (import "env" "system" (func (param i32) (result i32)))
  (import "wasi_unstable" "path_open" (func))
  (import "wasi:filesystem/types@0.2.0" "[method]descriptor.open-at" (func))
  (import "\1b[2J\1b]0;owned\07" "\0aforged: line\0d" (func))
  (memory (export "memory") 1)
  (func (export "_start")))
