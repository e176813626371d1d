// Answers a question in one sentence.
package main

import shannon "shannon.local/sdk/go"

func run() error {
	if err := shannon.Progress("asking the model"); err != nil {
		return err
	}
	answer, err := shannon.LLM("Answer in one sentence: " + shannon.Query())
	if err != nil {
		return err
	}
	return shannon.Output(shannon.Any{"answer": answer})
}

func main() {
	if err := run(); err != nil {
		shannon.Fail(err)
	}
}
