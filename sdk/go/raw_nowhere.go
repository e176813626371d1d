//go:build !wasip1 && !wasi

package shannon

// Outside of a guest there is no host to ask: everything answers -ENOSYS, so that an agent's own logic
// can be tested natively.
const noHost = -52

func rawStart(string, []byte) int32   { return noHost }
func rawWait([]int32) int32           { return noHost }
func rawSize(int32) int32             { return noHost }
func rawRead(int32, []byte) int32     { return noHost }
func rawDrop(int32) int32             { return noHost }
func rawInputSize() int32             { return noHost }
func rawInputRead([]byte) int32       { return noHost }
func rawOutput([]byte) int32          { return noHost }
func rawEmit(string, []byte) int32    { return noHost }
func rawPublish(string, []byte) int32 { return noHost }
func rawCheckpoint([]byte) int32      { return noHost }
func rawContinueAsNew([]byte) int32   { return noHost }
func rawCheckpointSize() int32        { return noHost }
func rawCheckpointRead([]byte) int32  { return noHost }
