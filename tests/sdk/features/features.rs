//! Every part of the SDK once; what came of it is the output. See features.c.
use serde_json::{json, Value};
use shannon::{kv, Error, Result};
use std::time::Duration;

fn memory(found: &mut Value) -> Result<()> {
    kv::put("f.k", &json!({ "a": 1 }))?;
    found["got"] = kv::get("f.k")?.unwrap_or(Value::Null);
    found["missing"] = kv::get::<Value>("f.none")?.is_none().into();
    found["sum"] = kv::increment("f.n", 2)?.into();
    found["first"] = kv::cas("f.c", None, &1)?.into();
    found["second"] = kv::cas("f.c", Some(&5), &2)?.into();
    let items = kv::list("f.")?;
    found["items"] = items
        .into_iter()
        .map(|(key, value)| json!({ "key": key, "value": value }))
        .collect();
    kv::delete("f.c").map(drop)
}

fn waiting(found: &mut Value) -> Result<()> {
    let never = shannon::start("signal", &json!({ "name": "never" }))?;
    let first = shannon::wait_any_for(&[&never], Duration::from_millis(30))?;
    drop(never);
    found["late"] = first.is_none().into();
    shannon::compensate("kv.put", &json!({ "key": "f.undone", "value": true }))?;
    let asked = shannon::message::<Value>("ask")?;
    let n = asked.payload["n"].as_i64().unwrap_or(0);
    let update = asked
        .update
        .ok_or_else(|| Error::new("failed", "no update"))?;
    shannon::reply(&update, &json!({ "n": n + 1 }))?;
    found["approved"] = shannon::approval("go on?", None)?.approved.into();
    Ok(())
}

fn all() -> Result<()> {
    if let Some(found) = shannon::state::<Value>()? {
        return shannon::output(&found);
    }
    let mut found = json!({});
    if let Err(e) = shannon::http("https://example.org/") {
        found["denied"] = e.code.into();
    }
    memory(&mut found)?;
    waiting(&mut found)?;
    let child = shannon::workflow("child", &json!({ "query": "c" }))?;
    shannon::publish("seen", &json!({ "n": 1 }))?;
    found["child"] = child.status.into();
    print!("before ");
    shannon::checkpoint(&found).map(drop)
}

fn main() -> Result<()> {
    let input: Value = shannon::input()?;
    match input["mode"].as_str().unwrap_or_default() {
        "all" => all(),
        "fail" => {
            shannon::compensate("kv.put", &json!({ "key": "f.undone", "value": true }))?;
            shannon::web_fetch("https://example.org/").map(drop)
        }
        "cancel" => match shannon::signal::<Value>("never") {
            Err(e) if e.is_canceled() => kv::put("f.cleaned", &true),
            other => other.map(drop),
        },
        "python" => {
            let done = shannon::python("print(6*7)", &json!({}))?;
            shannon::output(&json!({ "stdout": done.stdout, "exit_status": done.exit_status }))
        }
        "nul" => {
            let code = kv::put("f.nul", "a\0b").err().map_or(String::new(), |e| e.code);
            shannon::output(&json!({ "code": code, "text": "a\0b" }))
        }
        "again" => shannon::continue_as_new(&json!({ "mode": "next" })).map(drop),
        _ => shannon::output(&input),
    }
}
