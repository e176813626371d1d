// The agent that every SDK has an example of: a few steps, two of them side by side.
package main

import (
	"strings"
	"time"

	shannon "shannon.local/sdk/go"
)

func steps() error {
	query := shannon.Query()
	if err := shannon.Progress("begin"); err != nil {
		return err
	}
	var sum struct {
		Value float64 `json:"value"`
	}
	if err := shannon.Call("calculator", shannon.Any{"expression": "6*7"}, &sum); err != nil {
		return err
	}
	var asked []*shannon.Activity
	for _, who := range []string{"one", "two"} {
		a, err := shannon.Start("llm", shannon.Any{
			"messages": []shannon.Message{{Role: "user", Content: who + ": " + query}}})
		if err != nil {
			return err
		}
		asked = append(asked, a)
	}
	if err := shannon.WaitAll(asked...); err != nil {
		return err
	}
	var texts []string
	for _, a := range asked {
		var answer shannon.Completion
		if err := a.Take(&answer); err != nil {
			return err
		}
		texts = append(texts, answer.Content)
	}
	if err := shannon.KVPut("last", texts); err != nil {
		return err
	}
	if err := shannon.Sleep(20 * time.Millisecond); err != nil {
		return err
	}
	return shannon.Output(shannon.Any{"answer": strings.Join(texts, " / "), "value": sum.Value})
}

func main() {
	if err := steps(); err != nil {
		shannon.Fail(err)
	}
}
