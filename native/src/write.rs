//! One batch, one transaction. Values are built here and bound; SurrealQL text is constant.

use std::ops::Bound;
use std::time::Duration;

use surrealdb_types::{
    AlreadyExistsError, Array, Error, ErrorDetails, Number, Object, QueryError, RecordId,
    RecordIdKey, Value, Variables,
};

use crate::codec::{Reader, hex, malformed};
use crate::db::{code_of_text, run};
use crate::entry::{Code, Failure, Handle, Outcome};
use crate::read::{event_key, range};

/// "SHB2", the batch format of store_codec.h.
const MAGIC: u32 = 0x3242_4853;
const CONFLICT_TRIES: u32 = 5;
/// What the database says of the owner's record, and what is said when it has another epoch.
const OWNER: &str = "meta:owner";
const ANOTHER: &str = "the owner is another one";

struct Put {
    id: Value,
    value: Value,
}

#[derive(Default)]
struct Batch {
    events: Vec<Value>,
    puts: Vec<Put>,
    gone: Vec<Value>,
    /// Ranges of events: the beginnings of journals.
    cuts: Vec<Value>,
    /// The epoch that the record of the owner must have; 0: there must be none.
    epoch: Option<i64>,
}

fn event(r: &mut Reader) -> Result<Value, Failure> {
    let workflow = r.string()?;
    let seq = i64::try_from(r.u64()?).map_err(|_| malformed("a sequence number is too large"))?;
    let id = Array::from(vec![Value::String(workflow), Value::Number(Number::Int(seq))]);
    let mut row = Object::new();
    row.insert("id", Value::Array(id));
    row.insert("time_us", Value::Number(Number::Int(r.i64()?)));
    row.insert("type", Value::String(r.string()?));
    row.insert("body", Value::String(r.string()?));
    row.insert("hash", Value::String(hex(r.take(32)?)));
    Ok(Value::Object(row))
}

/// The events of a workflow up to and with a sequence number are to go.
fn cut(r: &mut Reader, workflow: String, batch: &mut Batch) -> Result<(), Failure> {
    if r.u8()? != 2 {
        return Err(malformed("an event is neither inserted nor cut off"));
    }
    let last = i64::try_from(r.u64()?).map_err(|_| malformed("a cut is too far"))?;
    let bound = |seq| Bound::Included(event_key(&workflow, seq));
    batch.cuts.push(range("event", bound(0), bound(last)));
    Ok(())
}

fn put(r: &mut Reader, batch: &mut Batch) -> Result<(), Failure> {
    let table = r.string()?;
    let key = r.string()?;
    if table == "event" {
        return cut(r, key, batch);
    }
    if table.is_empty() || !table.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(malformed("a table name has other characters than a-z and _"));
    }
    let id = Value::RecordId(RecordId::new(table, RecordIdKey::String(key)));
    match r.u8()? {
        0 => batch.gone.push(id),
        1 => {
            let Value::Object(mut value) = r.value()? else {
                return Err(malformed("a record is not an object"));
            };
            value.remove("id");
            batch.puts.push(Put { id, value: Value::Object(value) });
        }
        _ => return Err(malformed("a record is neither written nor deleted")),
    }
    Ok(())
}

fn decode(bytes: &[u8]) -> Result<Batch, Failure> {
    let mut r = Reader::new(bytes);
    if r.u32()? != MAGIC {
        return Err(malformed("it does not begin with SHB2"));
    }
    let n_events = r.count(60)?;
    let n_puts = r.count(9)?;
    let fenced = r.u8()? != 0;
    let epoch = i64::try_from(r.u64()?).map_err(|_| malformed("an epoch is too large"))?;
    let mut batch = Batch {
        events: Vec::with_capacity(n_events),
        epoch: fenced.then_some(epoch),
        ..Batch::default()
    };
    for _ in 0..n_events {
        batch.events.push(event(&mut r)?);
    }
    for _ in 0..n_puts {
        put(&mut r, &mut batch)?;
    }
    r.done()?;
    Ok(batch)
}

/// What became of a transaction. Only COMMIT's own row may leave the outcome open: a statement that
/// failed before it has rolled everything back.
enum Verdict {
    Done,
    Conflict(String),
    Failed(Failure),
}

fn is_conflict(e: &Error) -> bool {
    matches!(e.details(), ErrorDetails::Query(Some(QueryError::TransactionConflict)))
}

fn is_consequence(e: &Error) -> bool {
    matches!(
        e.details(),
        ErrorDetails::Query(Some(QueryError::NotExecuted | QueryError::Cancelled))
    )
}

fn refused(e: &Error) -> Failure {
    if e.message().contains(ANOTHER) || e.message().contains(OWNER) {
        return Failure::new(Code::Fenced, ANOTHER);
    }
    let code = match e.details() {
        ErrorDetails::AlreadyExists(Some(AlreadyExistsError::Record { .. })) => Code::Exists,
        ErrorDetails::Internal | ErrorDetails::Connection(_) => code_of_text(e.message()),
        _ => Code::Inval,
    };
    Failure::new(code, e.message())
}

fn judge(rows: Vec<Result<Value, Error>>) -> Verdict {
    let Some((commit, statements)) = rows.split_last() else {
        return Verdict::Failed(Failure::new(Code::Io, "the database gave no answer"));
    };
    if let Some(e) = statements.iter().filter_map(|r| r.as_ref().err()).find(|e| !is_consequence(e))
    {
        if is_conflict(e) {
            return Verdict::Conflict(e.message().to_string());
        }
        return Verdict::Failed(refused(e));
    }
    match commit {
        Ok(_) => Verdict::Done,
        Err(e) if is_conflict(e) => Verdict::Conflict(e.message().to_string()),
        Err(e) => Verdict::Failed(Failure::new(code_of_text(e.message()), e.message())),
    }
}

/// Up to this many records get a statement of their own: a loop in SurrealQL costs 0.2 ms to set up,
/// parsing a statement a hundredth of it.
const UNROLLED_MAX: usize = 24;

/// First of all statements, so that of two refusals it is the one that is told. It writes the record,
/// so that no other transaction that does can be committed meanwhile.
fn fence(epoch: i64, sql: &mut String, vars: &mut Variables) {
    if epoch == 0 {
        sql.push_str("CREATE meta:owner SET epoch = 0 RETURN NONE;");
    } else {
        sql.push_str(&format!(
            "UPDATE meta:owner SET batches = IF epoch = $epoch {{ batches + 1 }} \
             ELSE {{ THROW '{ANOTHER}' }} RETURN NONE;"
        ));
        vars.insert("epoch", Value::Number(Number::Int(epoch)));
    }
}

fn statements(batch: Batch) -> (String, Variables) {
    let mut sql = String::from("BEGIN;");
    let mut vars = Variables::new();
    if let Some(epoch) = batch.epoch {
        fence(epoch, &mut sql, &mut vars);
    }
    let array = |rows: Vec<Value>| Value::Array(Array::from(rows));
    // Before the insert: a compacted beginning takes the place of its last event.
    for (i, cut) in batch.cuts.into_iter().enumerate() {
        sql.push_str(&format!("DELETE $c{i} RETURN NONE;"));
        vars.insert(format!("c{i}"), cut);
    }
    if !batch.events.is_empty() {
        // INSERT, never UPSERT: an id that exists must fail. That is the fence between owners.
        sql.push_str("INSERT INTO event $events RETURN NONE;");
        vars.insert("events", array(batch.events));
    }
    if batch.puts.len() <= UNROLLED_MAX {
        for (i, Put { id, value }) in batch.puts.into_iter().enumerate() {
            sql.push_str(&format!("UPSERT $k{i} CONTENT $v{i} RETURN NONE;"));
            vars.insert(format!("k{i}"), id);
            vars.insert(format!("v{i}"), value);
        }
    } else {
        sql.push_str(
            "FOR $p IN $puts { LET $id = $p.id; UPSERT $id CONTENT $p.value RETURN NONE; };",
        );
        let row = |Put { id, value }| {
            let mut row = Object::new();
            row.insert("id", id);
            row.insert("value", value);
            Value::Object(row)
        };
        vars.insert("puts", array(batch.puts.into_iter().map(row).collect()));
    }
    if batch.gone.len() <= UNROLLED_MAX {
        for (i, id) in batch.gone.into_iter().enumerate() {
            sql.push_str(&format!("DELETE $g{i} RETURN NONE;"));
            vars.insert(format!("g{i}"), id);
        }
    } else {
        sql.push_str("FOR $id IN $gone { DELETE $id RETURN NONE; };");
        vars.insert("gone", array(batch.gone));
    }
    sql.push_str("COMMIT;");
    (sql, vars)
}

pub async fn commit(handle: &Handle, bytes: &[u8]) -> Outcome {
    let store = handle.store()?;
    let mut tried = 0;
    loop {
        let (sql, vars) = statements(decode(bytes)?);
        match judge(run(&store, &sql, Some(vars)).await?) {
            Verdict::Done => return Ok(Vec::new()),
            Verdict::Failed(failure) => return Err(failure),
            Verdict::Conflict(message) => {
                tried += 1;
                if tried == CONFLICT_TRIES {
                    return Err(Failure::new(Code::Io, message));
                }
                tokio::time::sleep(Duration::from_millis(u64::from(tried) * 5)).await;
            }
        }
    }
}

/// What was deleted leaves the disk now, and not when RocksDB happens to merge those files.
pub async fn reclaim(handle: &Handle) -> Outcome {
    let store = handle.store()?;
    for row in run(&store, "ALTER SYSTEM COMPACT", None).await? {
        match row {
            // A database in memory has no files.
            Err(e) if e.message().contains("does not support compaction") => {}
            Err(e) => return Err(Failure::new(code_of_text(e.message()), e.message())),
            Ok(_) => {}
        }
    }
    Ok(vec![0; 12])
}
