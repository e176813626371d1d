;; Memory, table and globals of the host's, imported.
(module
  (import "env" "memory" (memory 1))
  (import "env" "table" (table 1 funcref))
  (import "wasi_snapshot_preview1" "fd_write" (global i32))
  (func (export "_start")))
