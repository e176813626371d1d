//! Range scans, lists, and SurrealQL that may only read.

use std::ops::Bound;
use std::time::Duration;

use surrealdb_types::{
    Array, Error, Number, Object, RecordId, RecordIdKey, RecordIdKeyRange, Value, Variables,
};

use crate::codec::{put_bytes, put_u32, put_u64, text, unhex};
use crate::db::{Database, code_of_text};
use crate::entry::{Code, Failure, Handle, Outcome};

/// An operator's query may scan, not run for ever.
const QUERY_TIME: Duration = Duration::from_secs(60);
/// SH_JSON_TEXT_MAX of base/limits.h.
const QUERY_BYTES_MAX: usize = 64 << 20;

fn read_failure(e: &Error) -> Failure {
    Failure::new(code_of_text(e.message()), e.message())
}

fn rows_of(result: Option<Result<Value, Error>>) -> Result<Vec<Value>, Failure> {
    match result {
        Some(Ok(Value::Array(rows))) => Ok(rows.into_vec()),
        Some(Ok(_)) | None => Err(Failure::new(Code::Corrupt, "the database gave no rows")),
        Some(Err(e)) => Err(read_failure(&e)),
    }
}

fn range(table: &str, start: Bound<RecordIdKey>, end: Bound<RecordIdKey>) -> Value {
    let range = RecordIdKeyRange { start, end };
    Value::RecordId(RecordId::new(table.to_string(), RecordIdKey::Range(Box::new(range))))
}

fn event_key(workflow: &str, seq: i64) -> RecordIdKey {
    RecordIdKey::Array(Array::from(vec![
        Value::String(workflow.to_string()),
        Value::Number(Number::Int(seq)),
    ]))
}

fn int(row: &Object, name: &str) -> Option<i64> {
    match row.get(name) {
        Some(Value::Number(Number::Int(i))) => Some(*i),
        _ => None,
    }
}

fn str_of<'a>(row: &'a Object, name: &str) -> Option<&'a str> {
    match row.get(name) {
        Some(Value::String(s)) => Some(s),
        _ => None,
    }
}

fn put_event(out: &mut Vec<u8>, row: &Value) -> Option<Result<(), Failure>> {
    put_u64(out, u64::try_from(seq_of(row)?).ok()?);
    let Value::Object(row) = row else { return None };
    put_u64(out, int(row, "time_us")? as u64);
    let (kind, body) = (str_of(row, "type")?, str_of(row, "body")?);
    let hash = unhex(str_of(row, "hash")?)?;
    if let Err(e) = put_bytes(out, kind.as_bytes()).and_then(|()| put_bytes(out, body.as_bytes())) {
        return Some(Err(e));
    }
    out.extend_from_slice(&hash);
    Some(Ok(()))
}

/// At most `limit` events with `first` <= seq <= `last`.
async fn window(
    base: &Database,
    workflow: &str,
    first: i64,
    last: i64,
    limit: usize,
) -> Result<Vec<Value>, Failure> {
    let mut vars = Variables::new();
    let end = Bound::Included(event_key(workflow, last));
    vars.insert("r", range("event", Bound::Included(event_key(workflow, first)), end));
    vars.insert("n", Value::Number(Number::Int(i64::try_from(limit).unwrap_or(i64::MAX))));
    let rows = base.run("SELECT * FROM $r LIMIT $n", Some(vars)).await?;
    rows_of(rows.into_iter().next())
}

fn seq_of(row: &Value) -> Option<i64> {
    let Value::Object(row) = row else { return None };
    let Some(Value::RecordId(RecordId { key: RecordIdKey::Array(key), .. })) = row.get("id") else {
        return None;
    };
    match key.get(1) {
        Some(Value::Number(Number::Int(seq))) => Some(*seq),
        _ => None,
    }
}

/// SurrealDB reads the whole of a range before it takes the first n: so the range must end where the
/// page does. A journal has no gaps but one at its beginning, where a compaction took events away:
/// a window that is empty, or full of the beginning only, is followed by another.
async fn page(
    base: &Database,
    workflow: &str,
    after: i64,
    limit: usize,
) -> Result<Vec<Value>, Failure> {
    let mut rows = Vec::new();
    let mut first = after.saturating_add(1);
    while rows.len() < limit && first > after {
        let wanted = limit - rows.len();
        let last = first.saturating_add(i64::try_from(wanted).unwrap_or(i64::MAX) - 1);
        let mut more = window(base, workflow, first, last, wanted).await?;
        if more.is_empty() {
            let far = last.saturating_add(1);
            rows.append(&mut window(base, workflow, far, i64::MAX, wanted).await?);
            break;
        }
        let ended = more.last().and_then(seq_of) != Some(last);
        rows.append(&mut more);
        if ended || last == i64::MAX {
            break;
        }
        first = last + 1;
    }
    Ok(rows)
}

pub async fn events(handle: &Handle, workflow: Vec<u8>, after: u64, limit: usize) -> Outcome {
    let base = handle.database()?;
    let workflow = text(workflow, "the workflow id")?;
    let mut out = Vec::new();
    let rows = match i64::try_from(after) {
        Ok(after) => page(&base, &workflow, after, limit).await?,
        Err(_) => Vec::new(),
    };
    put_u32(&mut out, rows.len())?;
    for row in &rows {
        put_event(&mut out, row).unwrap_or_else(|| {
            let message = format!("an event of {workflow} is not what this program wrote");
            Err(Failure::new(Code::Corrupt, message))
        })?;
    }
    Ok(out)
}

/// u64 total, u32 n, then for each record its key and its value as JSON text.
fn put_records(rows: Vec<Value>, total: u64) -> Outcome {
    let damaged = || Failure::new(Code::Corrupt, "a record is not what this program wrote");
    let mut out = Vec::new();
    put_u64(&mut out, total);
    put_u32(&mut out, rows.len())?;
    for row in rows {
        let Value::Object(mut row) = row else { return Err(damaged()) };
        let Some(Value::RecordId(RecordId { key: RecordIdKey::String(key), .. })) =
            row.remove("id")
        else {
            return Err(damaged());
        };
        put_bytes(&mut out, key.as_bytes())?;
        let json = Value::Object(row).into_json_value();
        let json = serde_json::to_vec(&json).map_err(|_| damaged())?;
        put_bytes(&mut out, &json)?;
    }
    Ok(out)
}

pub async fn get(handle: &Handle, table: Vec<u8>, key: Vec<u8>) -> Outcome {
    let base = handle.database()?;
    let (table, key) = (text(table, "the table")?, text(key, "the key")?);
    let mut vars = Variables::new();
    vars.insert("id", Value::RecordId(RecordId::new(table, RecordIdKey::String(key))));
    let rows = base.run("SELECT * FROM $id", Some(vars)).await?;
    let rows = rows_of(rows.into_iter().next())?;
    let n = rows.len() as u64;
    put_records(rows, n)
}

/// The first key after all that begin with `prefix`.
fn after_prefix(prefix: &str) -> Bound<RecordIdKey> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match last {
            '\u{D7FF}' => Some('\u{E000}'),
            c => char::from_u32(c as u32 + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Bound::Excluded(RecordIdKey::String(chars.into_iter().collect()));
        }
    }
    Bound::Unbounded
}

/// A whole table is named, because only then are order and limit part of the scan.
struct List {
    from: String,
    condition: String,
    vars: Variables,
    newest_first: bool,
    offset: u64,
    limit: u64,
}

fn identifier(name: &str) -> Result<&str, Failure> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Ok(name);
    }
    Err(Failure::new(Code::Inval, format!("\"{name}\" is not a name that lists can use")))
}

fn parse_list(filter: &[u8]) -> Result<List, Failure> {
    let bad = || Failure::new(Code::Inval, "the filter of a list is not valid");
    let json: serde_json::Value = serde_json::from_slice(filter).map_err(|_| bad())?;
    let table = identifier(json["table"].as_str().ok_or_else(bad)?)?;
    let mut condition = String::new();
    let mut vars = Variables::new();
    let from = match json["prefix"].as_str() {
        None | Some("") => table.to_string(),
        Some(prefix) => {
            let start = Bound::Included(RecordIdKey::String(prefix.to_string()));
            vars.insert("r", range(table, start, after_prefix(prefix)));
            "$r".to_string()
        }
    };
    for (i, pair) in json["where"].as_array().ok_or_else(bad)?.iter().enumerate() {
        let member = identifier(pair[0].as_str().ok_or_else(bad)?)?;
        let value = pair[1].as_str().ok_or_else(bad)?;
        condition.push_str(if i == 0 { " WHERE " } else { " AND " });
        condition.push_str(&format!("{member} = $v{i}"));
        vars.insert(format!("v{i}"), Value::String(value.to_string()));
    }
    Ok(List {
        from,
        condition,
        vars,
        newest_first: json["newest_first"].as_bool().unwrap_or(false),
        offset: json["offset"].as_u64().ok_or_else(bad)?,
        limit: json["limit"].as_u64().ok_or_else(bad)?,
    })
}

pub async fn list(handle: &Handle, filter: &[u8]) -> Outcome {
    let base = handle.database()?;
    let mut list = parse_list(filter)?;
    let as_int = |n: u64| Value::Number(Number::Int(i64::try_from(n).unwrap_or(i64::MAX)));
    list.vars.insert("limit", as_int(list.limit));
    list.vars.insert("offset", as_int(list.offset));
    let order = if list.newest_first { " ORDER BY id DESC" } else { "" };
    let (from, condition) = (&list.from, &list.condition);
    let page = format!("SELECT * FROM {from}{condition}{order} LIMIT $limit START $offset");
    let rows = base.run(&page, Some(list.vars.clone())).await?;
    let rows = rows_of(rows.into_iter().next())?;
    let shown = rows.len() as u64;
    // A page that is not full ends the list: it need not be counted.
    if shown < list.limit && (shown > 0 || list.offset == 0) {
        return put_records(rows, list.offset + shown);
    }
    let count = format!("SELECT count() AS n FROM {from}{condition} GROUP ALL");
    let counted = base.run(&count, Some(list.vars)).await?;
    let counted = rows_of(counted.into_iter().next())?;
    let total = match counted.first() {
        Some(Value::Object(row)) => int(row, "n").unwrap_or(0),
        _ => 0,
    };
    put_records(rows, u64::try_from(total).unwrap_or(0))
}

/// Every statement must be one that SurrealDB's own parser says can only read; such a statement then
/// runs in a read-only transaction. Transactions of the query's own would be read-write.
fn check_read_only(surql: &str) -> Result<(), Failure> {
    let ast = surrealdb_core::syn::parse(surql)
        .map_err(|e| Failure::new(Code::Inval, format!("{e:#}")))?;
    if ast.expressions.is_empty() {
        return Err(Failure::new(Code::Inval, "the query is empty; expected a SELECT statement"));
    }
    for statement in &ast.expressions {
        let canonical = statement.to_string();
        let own_transaction =
            ["BEGIN", "CANCEL", "COMMIT"].iter().any(|word| canonical.starts_with(word));
        if own_transaction || !statement.read_only() {
            let shown: String = canonical.chars().take(80).collect();
            return Err(Failure::new(
                Code::Denied,
                format!("the store can only be read this way: {shown}: use SELECT, INFO or RETURN"),
            ));
        }
    }
    Ok(())
}

fn query_vars(vars: &[u8]) -> Result<Option<Variables>, Failure> {
    use surrealdb_types::SurrealValue;
    if vars.is_empty() {
        return Ok(None);
    }
    let bad = || Failure::new(Code::Inval, "the variables of the query are not a JSON object");
    let json: serde_json::Value = serde_json::from_slice(vars).map_err(|_| bad())?;
    match json.into_value() {
        Value::Object(members) => Ok(Some(Variables::from(members))),
        _ => Err(bad()),
    }
}

pub async fn query(handle: &Handle, surql: Vec<u8>, vars: &[u8]) -> Outcome {
    let base = handle.database()?;
    let surql = text(surql, "the query")?;
    check_read_only(&surql)?;
    let vars = query_vars(vars)?;
    let results =
        tokio::time::timeout(QUERY_TIME, base.run(&surql, vars)).await.map_err(|_| {
            let message = format!("the query took longer than {} s", QUERY_TIME.as_secs());
            Failure::new(Code::Timeout, message)
        })??;
    let mut answers = Vec::with_capacity(results.len());
    for (i, result) in results.into_iter().enumerate() {
        match result {
            Ok(value) => answers.push(value.into_json_value()),
            Err(e) => {
                let message = format!("statement {}: {}", i + 1, e.message());
                return Err(Failure::new(Code::Inval, message));
            }
        }
    }
    let json = serde_json::to_vec(&answers)
        .map_err(|e| Failure::new(Code::Io, format!("the answer is not JSON: {e}")))?;
    if json.len() > QUERY_BYTES_MAX {
        return Err(Failure::new(
            Code::Limit,
            format!(
                "the answer has {} bytes, at most {QUERY_BYTES_MAX} are allowed: add LIMIT",
                json.len()
            ),
        ));
    }
    Ok(json)
}
