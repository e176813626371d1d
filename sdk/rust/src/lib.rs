//! What a Shannon agent in Rust is written against.
//!
//! ```no_run
//! fn main() -> shannon::Result<()> {
//!     let answer = shannon::llm(&format!("Answer in one sentence: {}", shannon::query()))?;
//!     shannon::output(&serde_json::json!({ "answer": answer }))
//! }
//! ```
//!
//! Everything asked of the world is an *activity*: it is written down before it happens, and after a
//! crash the agent is run again and given the answers it had. So an agent must reach the world
//! through this crate alone; clocks, randomness and files of the standard library are safe, the host
//! makes them the same in every run.

mod activity;
mod error;
/// The host functions themselves.
pub mod raw;

pub use activity::{start, wait_all, wait_any, wait_any_for, Activity};
pub use error::{Error, Result};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{json, Value};
use std::convert::Infallible;
use std::io::Write;
use std::time::Duration;

fn check(what: &str, result: i32) -> Result<usize> {
    usize::try_from(result).map_err(|_| Error::refused(what, result))
}

fn read_all(what: &str, size: i32, read: impl Fn(*mut u8, usize) -> i32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; check(what, size)?];
    let n = check(what, read(bytes.as_mut_ptr(), bytes.len()))?;
    bytes.truncate(n);
    Ok(bytes)
}

fn millis(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

/* ---- the task ---- */

/// The task's input.
pub fn input<T: DeserializeOwned>() -> Result<T> {
    // SAFETY: the buffer is as long as we say.
    let bytes = read_all("input", unsafe { raw::input_size() }, |p, n| unsafe {
        raw::input_read(p, n)
    })?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// The member `query` of the input, or "".
pub fn query() -> String {
    match input::<Value>() {
        Ok(v) => v["query"].as_str().unwrap_or_default().to_owned(),
        Err(_) => String::new(),
    }
}

/// The task's result, at most once. An agent that never calls it answers with its standard output.
pub fn output<T: Serialize + ?Sized>(value: &T) -> Result<()> {
    let json = serde_json::to_vec(value)?;
    // SAFETY: pointer and length are of one live buffer, here and below.
    check("output", unsafe { raw::output(json.as_ptr(), json.len()) }).map(drop)
}

/// An event that people watch.
pub fn emit<T: Serialize + ?Sized>(kind: &str, data: &T) -> Result<()> {
    let json = serde_json::to_vec(data)?;
    check("emit", unsafe {
        raw::emit(kind.as_ptr(), kind.len(), json.as_ptr(), json.len())
    })
    .map(drop)
}

/// `emit("progress", {"message": text})`
pub fn progress(message: &str) -> Result<()> {
    emit("progress", &json!({ "message": message }))
}

/// `emit("log", {"message": text})`
pub fn log(message: &str) -> Result<()> {
    emit("log", &json!({ "message": message }))
}

/// What queries from outside read under that name, now and after the agent has ended.
pub fn publish<T: Serialize + ?Sized>(name: &str, data: &T) -> Result<()> {
    let json = serde_json::to_vec(data)?;
    check("publish", unsafe {
        raw::publish(name.as_ptr(), name.len(), json.as_ptr(), json.len())
    })
    .map(drop)
}

/// Start anew from this state, now and after a crash alike: comes back only when it fails. Drop all
/// activities first.
pub fn checkpoint<T: Serialize + ?Sized>(state: &T) -> Result<Infallible> {
    let bytes = serde_json::to_vec(state)?;
    let _ = std::io::stdout().flush(); // what is in its buffer would go with this start
    let r = unsafe { raw::checkpoint(bytes.as_ptr(), bytes.len()) };
    Err(Error::refused("checkpoint", r))
}

/// The same without a state, and with another input: what is to be done next.
pub fn continue_as_new<T: Serialize + ?Sized>(input: &T) -> Result<Infallible> {
    let json = serde_json::to_vec(input)?;
    let _ = std::io::stdout().flush();
    let r = unsafe { raw::continue_as_new(json.as_ptr(), json.len()) };
    Err(Error::refused("continue_as_new", r))
}

/// The state of the last checkpoint; `None` at the very first start.
pub fn state<T: DeserializeOwned>() -> Result<Option<T>> {
    // SAFETY: the buffer is as long as we say.
    let bytes = read_all("state", unsafe { raw::checkpoint_size() }, |p, n| unsafe {
        raw::checkpoint_read(p, n)
    })?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&bytes)?))
}

/* ---- operations ---- */

/// Do one thing and wait for it: `call::<Value>("calculator", &json!({"expression": "1+1"}))`.
pub fn call<T: DeserializeOwned>(op: &str, args: &(impl Serialize + ?Sized)) -> Result<T> {
    start(op, args)?.wait()
}

/// What a model used. Added up by whoever wants the sum.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default)]
pub struct Usage {
    /// Tokens of the request.
    pub input_tokens: u64,
    /// Tokens of the answer.
    pub output_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// By the operator's price table.
    pub cost_usd: f64,
}

/// The answer of a language model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Completion {
    /// Its text.
    pub content: Option<String>,
    /// What it wants to have called.
    pub tool_calls: Vec<Value>,
    /// `stop`, `length`, `tool_calls` ...
    pub finish_reason: String,
    /// Who answered.
    pub model: String,
    /// Whose server it was.
    pub provider: String,
    /// What it cost.
    pub usage: Usage,
}

/// Ask the language model one question: its text.
pub fn llm(prompt: &str) -> Result<String> {
    let done = chat(&json!({ "messages": [{ "role": "user", "content": prompt }] }))?;
    done.content
        .ok_or_else(|| Error::new("bad_answer", "the model gave no text"))
}

/// The same with a whole OpenAI chat completion request: `messages`, `model`, `temperature` ...
pub fn chat(request: &(impl Serialize + ?Sized)) -> Result<Completion> {
    call("llm", request)
}

/// Wait durably: a restart goes on where it was.
pub fn sleep(time: Duration) -> Result<()> {
    call::<Value>("sleep", &json!({ "ms": millis(time) })).map(drop)
}

/// A message from outside.
#[derive(Clone, Debug, Deserialize)]
pub struct Message<T> {
    /// What was sent.
    pub payload: T,
    /// The id to answer by, when an answer is expected.
    #[serde(default)]
    pub update: Option<String>,
}

/// Wait for a message from outside; as long as it takes.
pub fn signal<T: DeserializeOwned>(name: &str) -> Result<T> {
    Ok(message(name)?.payload)
}

/// The same, with the id by which an update is answered.
pub fn message<T: DeserializeOwned>(name: &str) -> Result<Message<T>> {
    call("signal", &json!({ "name": name }))
}

/// Answer an update, once.
pub fn reply(update: &str, result: &(impl Serialize + ?Sized)) -> Result<()> {
    let args = json!({ "id": update, "result": serde_json::to_value(result)? });
    call::<Value>("signal.reply", &args).map(drop)
}

/// Answer an update with an error, once.
pub fn reply_error(update: &str, message: &str) -> Result<()> {
    let args = json!({ "id": update, "error": { "message": message } });
    call::<Value>("signal.reply", &args).map(drop)
}

/// What a person answered.
#[derive(Clone, Debug, Deserialize)]
pub struct Answer {
    /// Yes or no; no when nobody answered in time, or nobody can be asked.
    pub approved: bool,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// Ask a person. Without a time limit the host's default holds.
pub fn approval(message: &str, timeout: Option<Duration>) -> Result<Answer> {
    let mut args = json!({ "message": message });
    if let Some(t) = timeout {
        args["timeout_ms"] = millis(t).into();
    }
    call("approval", &args)
}

/// What a child task gave.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Child {
    /// How it ended.
    pub status: String,
    /// Its text.
    pub result: Option<String>,
    /// Its JSON, when it gave one.
    pub output: Value,
    /// The status that it exited with.
    pub exit_status: i64,
}

/// Run another agent as a child of this task and wait for its end. Its other options
/// (`capabilities`, `session`, `detached`): `call("workflow", ...)`.
pub fn workflow(agent: &str, input: &(impl Serialize + ?Sized)) -> Result<Child> {
    call(
        "workflow",
        &json!({ "agent": agent, "input": serde_json::to_value(input)? }),
    )
}

/// What a script gave.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Script {
    /// What it printed.
    pub stdout: String,
    /// What it said on standard error.
    pub stderr: String,
    /// Another status than 0 is an answer too.
    pub exit_status: i64,
    /// What it gave as its output.
    pub result: Value,
}

/// Run a Python script in a sandbox of its own, without any capability.
pub fn python(code: &str, input: &(impl Serialize + ?Sized)) -> Result<Script> {
    call(
        "python",
        &json!({ "code": code, "input": serde_json::to_value(input)? }),
    )
}

/// An answer over HTTP; every status is one.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Response {
    /// 200, 404 ...
    pub status: u16,
    /// Of the last hop.
    pub url: String,
    /// Names in lower case.
    pub headers: Value,
    /// The body, when it is text.
    pub body: Option<String>,
    /// The body, when it is not.
    pub body_base64: Option<String>,
}

/// GET. Methods, headers, bodies, credentials: `call("http", ...)`.
pub fn http(url: &str) -> Result<Response> {
    call("http", &json!({ "url": url }))
}

/// Something that a search found.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Found {
    /// Of the page.
    pub title: String,
    /// Where.
    pub url: String,
    /// A few words of it.
    pub snippet: String,
}

/// Search the web; at most `count` (1 to 20).
pub fn web_search(query: &str, count: u32) -> Result<Vec<Found>> {
    #[derive(Deserialize)]
    struct Results {
        results: Vec<Found>,
    }
    let args = json!({ "query": query, "count": count });
    Ok(call::<Results>("web_search", &args)?.results)
}

/// A page as text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Of the last hop.
    pub url: String,
    /// Its title.
    pub title: String,
    /// What it says.
    pub text: String,
    /// `[{text, url}]`
    pub links: Vec<Value>,
    /// Was there more?
    pub truncated: bool,
}

/// Read a page as text.
pub fn web_fetch(url: &str) -> Result<Page> {
    call("web_fetch", &json!({ "url": url }))
}

/// Register what undoes a step: the host does it, last first, when the task fails or is canceled.
pub fn compensate(op: &str, args: &(impl Serialize + ?Sized)) -> Result<()> {
    call::<Value>(
        "compensate",
        &json!({ "op": op, "args": serde_json::to_value(args)? }),
    )
    .map(drop)
}

/// The memory of the session, which all its tasks share.
pub mod kv {
    use super::*;

    /// `None` when there is nothing under this key.
    pub fn get<T: DeserializeOwned>(key: &str) -> Result<Option<T>> {
        let found: Value = call("kv.get", &json!({ "key": key }))?;
        if found["found"] != true {
            return Ok(None);
        }
        Ok(Some(serde_json::from_value(found["value"].clone())?))
    }

    /// Durable before it returns.
    pub fn put<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<()> {
        let args = json!({ "key": key, "value": serde_json::to_value(value)? });
        call::<Value>("kv.put", &args).map(drop)
    }

    /// Was there something?
    pub fn delete(key: &str) -> Result<bool> {
        Ok(call::<Value>("kv.delete", &json!({ "key": key }))?["deleted"] == true)
    }

    /// The sum; a key that is not there is 0.
    pub fn increment(key: &str, by: i64) -> Result<i64> {
        let done: Value = call("kv.increment", &json!({ "key": key, "by": by }))?;
        done["value"]
            .as_i64()
            .ok_or_else(|| Error::new("bad_answer", "the sum is no integer"))
    }
    /// Keys with that beginning, in order, at most 100.
    pub fn list(prefix: &str) -> Result<Vec<(String, Value)>> {
        #[derive(Deserialize)]
        struct Item {
            key: String,
            value: Value,
        }
        #[derive(Deserialize)]
        struct Items {
            items: Vec<Item>,
        }
        let found: Items = call("kv.list", &json!({ "prefix": prefix }))?;
        Ok(found.items.into_iter().map(|i| (i.key, i.value)).collect())
    }

    /// Put if the key has the expected value, or (`None`) if it is not there. Was it put?
    pub fn cas<T: Serialize>(key: &str, expect: Option<&T>, value: &T) -> Result<bool> {
        let mut args = json!({ "key": key, "value": serde_json::to_value(value)? });
        if let Some(e) = expect {
            args["expect"] = serde_json::to_value(e)?;
        }
        Ok(call::<Value>("kv.cas", &args)?["swapped"] == true)
    }
}
