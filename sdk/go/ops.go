package shannon

import (
	"encoding/json"
	"time"
)

// Usage is what a model used.
type Usage struct {
	InputTokens  int64   `json:"input_tokens"`
	OutputTokens int64   `json:"output_tokens"`
	TotalTokens  int64   `json:"total_tokens"`
	CostUSD      float64 `json:"cost_usd"`
}

// Completion is the answer of a language model.
type Completion struct {
	Content      string `json:"content"`
	ToolCalls    []Any  `json:"tool_calls"`
	FinishReason string `json:"finish_reason"`
	Model        string `json:"model"`
	Provider     string `json:"provider"`
	Usage        Usage  `json:"usage"`
}

// Message is one of a conversation.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// LLM asks the language model one question.
func LLM(prompt string) (string, error) {
	done, err := Chat(Any{"messages": []Message{{"user", prompt}}})
	return done.Content, err
}

// Chat does the same with a whole OpenAI chat completion request.
func Chat(request any) (Completion, error) {
	var done Completion
	err := Call("llm", request, &done)
	return done, err
}

// Sleep waits durably: a restart goes on where it was.
func Sleep(d time.Duration) error { return Call("sleep", Any{"ms": d.Milliseconds()}, nil) }

// Signal waits for a message from outside, as long as it takes, and reads its payload into v.
func Signal(name string, v any) error {
	return Call("signal", Any{"name": name}, &struct {
		Payload any `json:"payload"`
	}{v})
}

// Receive waits for a message as Signal does, and gives the id by which an update is answered ("" when no
// answer is expected).
func Receive(name string, v any) (update string, err error) {
	message := struct {
		Payload any    `json:"payload"`
		Update  string `json:"update"`
	}{Payload: v}
	err = Call("signal", Any{"name": name}, &message)
	return message.Update, err
}

// Reply answers an update, once.
func Reply(update string, result any) error {
	return Call("signal.reply", Any{"id": update, "result": result}, nil)
}

// ReplyError answers an update with an error, once.
func ReplyError(update, message string) error {
	return Call("signal.reply", Any{"id": update, "error": Any{"message": message}}, nil)
}

// Answer is what a person said.
type Answer struct {
	Approved bool   `json:"approved"` // false also when nobody answered in time
	By       string `json:"by"`
	Reason   string `json:"reason"`
}

// Approval asks a person. With limit 0 the host's default holds.
func Approval(message string, limit time.Duration) (Answer, error) {
	args := Any{"message": message}
	if limit > 0 {
		args["timeout_ms"] = limit.Milliseconds()
	}
	var answer Answer
	err := Call("approval", args, &answer)
	return answer, err
}

// Child is how a child task ended.
type Child struct {
	Status     string          `json:"status"`
	Result     string          `json:"result"`
	Output     json.RawMessage `json:"output"`
	ExitStatus int             `json:"exit_status"`
}

// Workflow runs another agent as a child of this task and waits for its end. Its other options
// (capabilities, session, detached): Call("workflow", ...).
func Workflow(agent string, input any) (Child, error) {
	var child Child
	err := Call("workflow", Any{"agent": agent, "input": input}, &child)
	return child, err
}

// Script is what a Python script gave. Another exit status than 0 is an answer too.
type Script struct {
	Stdout     string          `json:"stdout"`
	Stderr     string          `json:"stderr"`
	ExitStatus int             `json:"exit_status"`
	Result     json.RawMessage `json:"result"`
}

// Python runs a script in a sandbox of its own, without any capability.
func Python(code string, input any) (Script, error) {
	var script Script
	err := Call("python", Any{"code": code, "input": input}, &script)
	return script, err
}

// Response is an answer over HTTP; every status is one.
type Response struct {
	Status     int               `json:"status"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 string            `json:"body_base64"` // when it is not text
}

// HTTP sends a GET. Methods, headers, bodies, credentials: Call("http", ...).
func HTTP(url string) (Response, error) {
	var response Response
	err := Call("http", Any{"url": url}, &response)
	return response, err
}

// Found is one result of a search.
type Found struct {
	Title   string `json:"title"`
	URL     string `json:"url"`
	Snippet string `json:"snippet"`
}

// WebSearch searches the web; at most count (1 to 20).
func WebSearch(query string, count int) ([]Found, error) {
	var answer struct {
		Results []Found `json:"results"`
	}
	err := Call("web_search", Any{"query": query, "count": count}, &answer)
	return answer.Results, err
}

// Page is a page as text.
type Page struct {
	URL       string `json:"url"`
	Title     string `json:"title"`
	Text      string `json:"text"`
	Truncated bool   `json:"truncated"`
}

// WebFetch reads a page as text.
func WebFetch(url string) (Page, error) {
	var page Page
	err := Call("web_fetch", Any{"url": url}, &page)
	return page, err
}

// Compensate registers what undoes a step: the host does it, last first, when the task fails or is
// canceled.
func Compensate(op string, args any) error {
	return Call("compensate", Any{"op": op, "args": args}, nil)
}

// KVPut keeps a value in the memory of the session; durable before it returns.
func KVPut(key string, value any) error {
	return Call("kv.put", Any{"key": key, "value": value}, nil)
}

// KVGet reads a value; false when there is nothing under this key.
func KVGet(key string, v any) (bool, error) {
	found := struct {
		Value any  `json:"value"`
		Found bool `json:"found"`
	}{Value: v}
	err := Call("kv.get", Any{"key": key}, &found)
	return found.Found, err
}

// KVDelete tells whether there was something.
func KVDelete(key string) (bool, error) {
	var done struct {
		Deleted bool `json:"deleted"`
	}
	err := Call("kv.delete", Any{"key": key}, &done)
	return done.Deleted, err
}

// KVIncrement gives the sum; a key that is not there is 0.
func KVIncrement(key string, by int64) (int64, error) {
	var done struct {
		Value int64 `json:"value"`
	}
	err := Call("kv.increment", Any{"key": key, "by": by}, &done)
	return done.Value, err
}

// KVItem is a key with its value.
type KVItem struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// KVList gives the keys with that beginning in order, at most 100.
func KVList(prefix string) ([]KVItem, error) {
	var found struct {
		Items []KVItem `json:"items"`
	}
	err := Call("kv.list", Any{"prefix": prefix}, &found)
	return found.Items, err
}

// KVCas puts a value if the key has the expected one, or (nil) if it is not there, and tells whether
// it did.
func KVCas(key string, expect, value any) (bool, error) {
	args := Any{"key": key, "value": value}
	if expect != nil {
		args["expect"] = expect
	}
	var done struct {
		Swapped bool `json:"swapped"`
	}
	err := Call("kv.cas", args, &done)
	return done.Swapped, err
}
