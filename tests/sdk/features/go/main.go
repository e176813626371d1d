// Every part of the SDK once; what came of it is the output. See features.c.
package main

import (
	"errors"
	"fmt"
	"time"

	shannon "shannon.local/sdk/go"
)

func memory(found shannon.Any) error {
	if err := shannon.KVPut("f.k", shannon.Any{"a": 1}); err != nil {
		return err
	}
	var got, none any
	if _, err := shannon.KVGet("f.k", &got); err != nil {
		return err
	}
	there, err := shannon.KVGet("f.none", &none)
	if err != nil {
		return err
	}
	sum, err := shannon.KVIncrement("f.n", 2)
	if err != nil {
		return err
	}
	first, err := shannon.KVCas("f.c", nil, 1)
	if err != nil {
		return err
	}
	second, err := shannon.KVCas("f.c", 5, 2)
	if err != nil {
		return err
	}
	items, err := shannon.KVList("f.")
	if err != nil {
		return err
	}
	found["got"], found["missing"], found["sum"] = got, !there, sum
	found["first"], found["second"], found["items"] = first, second, items
	_, err = shannon.KVDelete("f.c")
	return err
}

func waiting(found shannon.Any) error {
	never, err := shannon.Start("signal", shannon.Any{"name": "never"})
	if err != nil {
		return err
	}
	first, err := shannon.WaitAnyFor(30*time.Millisecond, never)
	if err != nil {
		return err
	}
	never.Drop()
	found["late"] = first < 0
	undo := shannon.Any{"key": "f.undone", "value": true}
	if err := shannon.Compensate("kv.put", undo); err != nil {
		return err
	}
	var payload struct {
		N int `json:"n"`
	}
	update, err := shannon.Receive("ask", &payload)
	if err != nil {
		return err
	}
	if err := shannon.Reply(update, shannon.Any{"n": payload.N + 1}); err != nil {
		return err
	}
	answer, err := shannon.Approval("go on?", 0)
	found["approved"] = answer.Approved
	return err
}

func all() error {
	found := shannon.Any{}
	if there, err := shannon.State(&found); err != nil {
		return err
	} else if there {
		return shannon.Output(found)
	}
	var denied *shannon.Error
	if _, err := shannon.HTTP("https://example.org/"); errors.As(err, &denied) {
		found["denied"] = denied.Code
	}
	if err := memory(found); err != nil {
		return err
	}
	if err := waiting(found); err != nil {
		return err
	}
	child, err := shannon.Workflow("child", shannon.Any{"query": "c"})
	if err != nil {
		return err
	}
	if err := shannon.Publish("seen", shannon.Any{"n": 1}); err != nil {
		return err
	}
	found["child"] = child.Status
	fmt.Print("before ")
	return shannon.Checkpoint(found)
}

func run() error {
	var input struct {
		Mode string `json:"mode"`
	}
	if err := shannon.Input(&input); err != nil {
		return err
	}
	switch input.Mode {
	case "all":
		return all()
	case "fail":
		undo := shannon.Any{"key": "f.undone", "value": true}
		if err := shannon.Compensate("kv.put", undo); err != nil {
			return err
		}
		_, err := shannon.WebFetch("https://example.org/")
		return err
	case "cancel":
		if err := shannon.Signal("never", nil); !shannon.Canceled(err) {
			return errors.New("it was not canceled")
		}
		return shannon.KVPut("f.cleaned", true)
	case "python":
		done, err := shannon.Python("print(6*7)", shannon.Any{})
		if err != nil {
			return err
		}
		return shannon.Output(shannon.Any{"stdout": done.Stdout, "exit_status": done.ExitStatus})
	case "nul":
		var refused *shannon.Error
		if !errors.As(shannon.KVPut("f.nul", "a\x00b"), &refused) {
			refused = &shannon.Error{}
		}
		return shannon.Output(shannon.Any{"code": refused.Code, "text": "a\x00b"})
	case "again":
		return shannon.ContinueAsNew(shannon.Any{"mode": "next"})
	}
	return shannon.Output(shannon.Any{"mode": input.Mode})
}

func main() {
	if err := run(); err != nil {
		shannon.Fail(err)
	}
}
