//! Answers a question in one sentence.
use serde_json::json;

fn run() -> shannon::Result<()> {
    shannon::progress("asking the model")?;
    let answer = shannon::llm(&format!("Answer in one sentence: {}", shannon::query()))?;
    shannon::output(&json!({ "answer": answer }))
}

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}
