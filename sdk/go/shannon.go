// Package shannon is what a Shannon agent in Go is written against. It works with Go's own wasip1
// port and with TinyGo.
//
//	func main() {
//		answer, err := shannon.LLM("Answer in one sentence: " + shannon.Query())
//		if err != nil {
//			shannon.Fail(err)
//		}
//		fmt.Println(answer)
//	}
//
// Everything asked of the world is an activity: it is written down before it happens, and after a
// crash the agent is run again and given the answers it had. So an agent must reach the world through
// this package alone; the clock, randomness and files of the standard library are safe, the host
// makes them the same in every run.
package shannon

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
)

// Error is why an activity failed, or why the host refused a request.
type Error struct {
	Code      string `json:"code"` // one of docs/errors.md, such as permission_denied
	Message   string `json:"message"`
	Retryable bool   `json:"retryable"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Canceled tells whether the task was canceled: that is said once, then the agent has its grace time
// to clean up.
func Canceled(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Code == "canceled"
}

// Fail prints an error on standard error and ends the agent with status 1.
func Fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

var errnos = map[int32]Error{
	1:  {"limit_exceeded", "it is too big (E2BIG)", false},
	6:  {"invalid_argument", "nothing has arrived for it (EAGAIN)", false},
	8:  {"invalid_argument", "there is no such handle (EBADF)", false},
	10: {"invalid_argument", "handles are open (EBUSY)", false},
	11: {"canceled", "the task was canceled (ECANCELED)", false},
	20: {"invalid_argument", "it was given before (EEXIST)", false},
	28: {"invalid_argument", "the arguments are not valid (EINVAL)", false},
	33: {"limit_exceeded", "too many handles are open (EMFILE)", false},
}

func check(what string, result int32) error {
	if result >= 0 {
		return nil
	}
	e, known := errnos[-result]
	if !known {
		e = Error{"invalid_argument", "the host refused", false}
	}
	e.Message = fmt.Sprintf("%s: %s, errno %d", what, e.Message, -result)
	return &e
}

// Any is a JSON object.
type Any = map[string]any

// Input reads the task's input into v.
func Input(v any) error {
	size := rawInputSize()
	if err := check("input", size); err != nil {
		return err
	}
	buf := make([]byte, size)
	if err := check("input", rawInputRead(buf)); err != nil {
		return err
	}
	return json.Unmarshal(buf, v)
}

// Query gives the member "query" of the input, or "".
func Query() string {
	var in struct {
		Query string `json:"query"`
	}
	_ = Input(&in)
	return in.Query
}

// Output sets the task's result, at most once. An agent that never calls it answers with its
// standard output.
func Output(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return check("output", rawOutput(text))
}

// Emit sends an event that people watch.
func Emit(kind string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return check("emit", rawEmit(kind, text))
}

// Progress is Emit("progress", {"message": text}).
func Progress(format string, args ...any) error {
	return Emit("progress", Any{"message": fmt.Sprintf(format, args...)})
}

// Log is Emit("log", {"message": text}).
func Log(format string, args ...any) error {
	return Emit("log", Any{"message": fmt.Sprintf(format, args...)})
}

// Publish sets what queries from outside read under that name.
func Publish(name string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return check("publish", rawPublish(name, text))
}

// Checkpoint starts the agent anew from this state, now and after a crash alike: it comes back only
// when it fails. No activity may be open.
func Checkpoint(state any) error {
	text, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return check("checkpoint", rawCheckpoint(text))
}

// ContinueAsNew does the same without a state, and with another input: what is to be done next.
func ContinueAsNew(input any) error {
	text, err := json.Marshal(input)
	if err != nil {
		return err
	}
	return check("continue_as_new", rawContinueAsNew(text))
}

// State reads the state of the last checkpoint; false at the very first start.
func State(v any) (bool, error) {
	size := rawCheckpointSize()
	if err := check("state", size); err != nil || size == 0 {
		return false, err
	}
	buf := make([]byte, size)
	if err := check("state", rawCheckpointRead(buf)); err != nil {
		return false, err
	}
	return true, json.Unmarshal(buf, v)
}

// Activity is something under way.
type Activity struct{ handle int32 }

// Start asks for something without waiting for it.
func Start(op string, args any) (*Activity, error) {
	text, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	handle := rawStart(op, text)
	if err := check("start", handle); err != nil {
		return nil, err
	}
	return &Activity{handle}, nil
}

// Take reads into v (which may be nil) the answer of one that a wait gave, and forgets it.
func (a *Activity) Take(v any) error {
	defer a.Drop()
	size := rawSize(a.handle)
	if err := check("take", size); err != nil {
		return err
	}
	buf := make([]byte, size)
	if err := check("take", rawRead(a.handle, buf)); err != nil {
		return err
	}
	var outcome struct {
		OK    json.RawMessage `json:"ok"`
		Error *Error          `json:"error"`
	}
	if err := json.Unmarshal(buf, &outcome); err != nil {
		return err
	}
	if outcome.Error != nil {
		return outcome.Error
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(outcome.OK, v)
}

// Wait waits for it and takes its answer.
func (a *Activity) Wait(v any) error {
	if _, err := WaitAny(a); err != nil {
		return err
	}
	return a.Take(v)
}

// Drop forgets the answer; what was asked for may happen all the same.
func (a *Activity) Drop() { _ = rawDrop(a.handle) }

// WaitAny gives the index of the one whose answer came first. At most 256.
func WaitAny(activities ...*Activity) (int, error) {
	handles := make([]int32, len(activities))
	for i, a := range activities {
		handles[i] = a.handle
	}
	first := rawWait(handles)
	if err := check("wait", first); err != nil {
		return -1, err
	}
	for i, h := range handles {
		if h == first {
			return i, nil
		}
	}
	return -1, &Error{"bad_answer", "the host gave a handle that was not asked for", false}
}

// WaitAnyFor does the same, but for so long only: -1 when the time came first. The time is durable.
func WaitAnyFor(limit time.Duration, activities ...*Activity) (int, error) {
	timer, err := Start("sleep", Any{"ms": limit.Milliseconds()})
	if err != nil {
		return -1, err
	}
	defer timer.Drop()
	first, err := WaitAny(append(append([]*Activity{}, activities...), timer)...)
	if first == len(activities) {
		first = -1
	}
	return first, err
}

// WaitAll waits until each has its answer, to be taken then.
func WaitAll(activities ...*Activity) error {
	open := append([]*Activity{}, activities...)
	for len(open) > 0 {
		first, err := WaitAny(open...)
		if err != nil {
			return err
		}
		open = append(open[:first], open[first+1:]...)
	}
	return nil
}

// Call does one thing and waits for it: Call("calculator", shannon.Any{"expression": "1+1"}, &sum).
func Call(op string, args, v any) error {
	a, err := Start(op, args)
	if err != nil {
		return err
	}
	return a.Wait(v)
}
