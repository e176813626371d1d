//go:build wasip1 || wasi

package shannon

import "unsafe"

// The host functions as they are: docs/guest-abi.md. Go lets strings and slices pass as pointers and
// lengths only through unsafe.

//go:wasmimport shannon activity_start
func hostStart(op unsafe.Pointer, opLen uint32, text unsafe.Pointer, textLen uint32) int32

//go:wasmimport shannon activity_wait
func hostWait(handles unsafe.Pointer, n uint32) int32

//go:wasmimport shannon activity_size
func rawSize(handle int32) int32

//go:wasmimport shannon activity_read
func hostRead(handle int32, buf unsafe.Pointer, n uint32) int32

//go:wasmimport shannon activity_drop
func rawDrop(handle int32) int32

//go:wasmimport shannon input_size
func rawInputSize() int32

//go:wasmimport shannon input_read
func hostInputRead(buf unsafe.Pointer, n uint32) int32

//go:wasmimport shannon output
func hostOutput(text unsafe.Pointer, n uint32) int32

//go:wasmimport shannon emit
func hostEmit(kind unsafe.Pointer, kindLen uint32, text unsafe.Pointer, textLen uint32) int32

//go:wasmimport shannon publish
func hostPublish(name unsafe.Pointer, nameLen uint32, text unsafe.Pointer, textLen uint32) int32

//go:wasmimport shannon checkpoint
func hostCheckpoint(state unsafe.Pointer, n uint32) int32

//go:wasmimport shannon continue_as_new
func hostContinueAsNew(text unsafe.Pointer, n uint32) int32

//go:wasmimport shannon checkpoint_size
func rawCheckpointSize() int32

//go:wasmimport shannon checkpoint_read
func hostCheckpointRead(buf unsafe.Pointer, n uint32) int32

func at(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

func atText(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func rawStart(op string, text []byte) int32 {
	p, n := atText(op)
	q, m := at(text)
	return hostStart(p, n, q, m)
}

func rawWait(handles []int32) int32 {
	return hostWait(unsafe.Pointer(unsafe.SliceData(handles)), uint32(len(handles)))
}

func rawRead(handle int32, buf []byte) int32 {
	p, n := at(buf)
	return hostRead(handle, p, n)
}

func rawInputRead(buf []byte) int32 { return hostInputRead(at(buf)) }

func rawOutput(text []byte) int32 { return hostOutput(at(text)) }

func rawEmit(kind string, text []byte) int32 {
	p, n := atText(kind)
	q, m := at(text)
	return hostEmit(p, n, q, m)
}

func rawPublish(name string, text []byte) int32 {
	p, n := atText(name)
	q, m := at(text)
	return hostPublish(p, n, q, m)
}

func rawCheckpoint(state []byte) int32 { return hostCheckpoint(at(state)) }

func rawContinueAsNew(text []byte) int32 { return hostContinueAsNew(at(text)) }

func rawCheckpointRead(buf []byte) int32 { return hostCheckpointRead(at(buf)) }
