//! The agent that every SDK has an example of: a few steps, two of them side by side.

use serde::Deserialize;
use serde_json::json;
use std::time::Duration;

#[derive(Deserialize)]
struct Sum {
    value: f64,
}

fn main() -> shannon::Result<()> {
    let query = shannon::query();
    shannon::progress("begin")?;
    let sum: Sum = shannon::call("calculator", &json!({ "expression": "6*7" }))?;
    let ask = |who: &str| {
        let message = json!({ "role": "user", "content": format!("{who}: {query}") });
        shannon::start("llm", &json!({ "messages": [message] }))
    };
    let mut texts = Vec::new();
    for answer in shannon::wait_all::<shannon::Completion>(vec![ask("one")?, ask("two")?])? {
        texts.push(answer?.content.unwrap_or_default());
    }
    shannon::kv::put("last", &texts)?;
    shannon::sleep(Duration::from_millis(20))?;
    shannon::output(&json!({ "answer": texts.join(" / "), "value": sum.value }))
}
