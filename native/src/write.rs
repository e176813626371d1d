//! One batch, one transaction, written below SurrealQL: as the records that SurrealQL would write,
//! by the datastore's own keys and encoding, so that every query reads them. Statements would cost
//! ten times as much for each record, and a deletion some 16 scans for what may refer to it.

use std::borrow::Cow;
use std::future::Future;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use surrealdb_datastore::catalog::Record;
use surrealdb_datastore::key::schema::RecordKey;
use surrealdb_datastore::val::{
    Array, Number, Object, RecordId, RecordIdKey, Strand, TableName, Value,
};
use surrealdb_datastore::{
    Error, Transaction, TransactionType, is_retryable_transaction_conflict as is_conflict,
    storage_error,
};
use surrealdb_kvs::key::{KVKey, RawRange};
use surrealdb_kvs::value::KVValue;
use tokio::sync::RwLock;

use crate::codec::{Reader, hex, malformed};
use crate::db::{Database, code_of_text};
use crate::entry::{Code, Failure, Handle, Outcome};

/// "SHB2", the batch format of store_codec.h.
const MAGIC: u32 = 0x3242_4853;
const CONFLICT_TRIES: u32 = 5;
const EVENT: Strand = Strand::new_static("event");
const META: Strand = Strand::new_static("meta");
const OWNER: Strand = Strand::new_static("owner");

/// What is put where; the record carries its id, as SurrealQL's do.
struct Put {
    id: RecordId,
    record: Record,
}

/// The events of a workflow up to and with a sequence number are to go.
struct Cut {
    workflow: Strand,
    last: i64,
}

#[derive(Default)]
struct Batch {
    events: Vec<Put>,
    puts: Vec<Put>,
    gone: Vec<RecordId>,
    cuts: Vec<Cut>,
    /// The epoch that the record of the owner must have; 0: there must be none.
    epoch: Option<i64>,
}

fn int(i: i64) -> Value {
    Value::Number(Number::Int(i))
}

fn string(s: String) -> Value {
    Value::String(s.into())
}

impl Put {
    fn new(id: RecordId, mut members: Object) -> Put {
        members.insert("id", Value::RecordId(id.clone()));
        Put { id, record: Record::new(Value::Object(members)) }
    }
}

fn event_id(workflow: Strand, seq: i64) -> RecordId {
    let key = Array(vec![Value::String(workflow), int(seq)]);
    RecordId { table: TableName::new(EVENT), key: RecordIdKey::Array(key) }
}

fn event(r: &mut Reader) -> Result<Put, Failure> {
    let workflow = r.string()?;
    let seq = i64::try_from(r.u64()?).map_err(|_| malformed("a sequence number is too large"))?;
    let mut row = Object::default();
    row.insert("time_us", int(r.i64()?));
    row.insert("type", string(r.string()?));
    row.insert("body", string(r.string()?));
    row.insert("hash", string(hex(r.take(32)?)));
    Ok(Put::new(event_id(workflow.into(), seq), row))
}

fn cut(r: &mut Reader, workflow: String) -> Result<Cut, Failure> {
    if r.u8()? != 2 {
        return Err(malformed("an event is neither inserted nor cut off"));
    }
    let last = i64::try_from(r.u64()?).map_err(|_| malformed("a cut is too far"))?;
    Ok(Cut { workflow: workflow.into(), last })
}

fn put(r: &mut Reader, batch: &mut Batch) -> Result<(), Failure> {
    let table = r.string()?;
    let key = r.string()?;
    if table == EVENT.as_str() {
        batch.cuts.push(cut(r, key)?);
        return Ok(());
    }
    if table.is_empty() || !table.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
        return Err(malformed("a table name has other characters than a-z and _"));
    }
    let id = RecordId { table: table.into(), key: RecordIdKey::String(key.into()) };
    match r.u8()? {
        0 => batch.gone.push(id),
        1 => {
            let Value::Object(members) = r.value()? else {
                return Err(malformed("a record is not an object"));
            };
            batch.puts.push(Put::new(id, members));
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

/// Why a transaction came to nothing.
enum Refusal {
    /// Another one wrote what this one relies on: it may be tried again.
    Conflict(String),
    Final(Failure),
}

impl From<anyhow::Error> for Refusal {
    fn from(e: anyhow::Error) -> Self {
        if is_conflict(&e) {
            return Refusal::Conflict(format!("{e:#}"));
        }
        Refusal::Final(e.into())
    }
}

/// The key of a record, of which the stored bytes are wanted.
#[derive(Debug)]
struct Undecoded<'a>(&'a RecordKey<'a>);

impl KVKey for Undecoded<'_> {
    type Value = Vec<u8>;

    fn encode_buffer(&self, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
        self.0.encode_buffer(buffer)
    }

    fn value_context(&self) {}
}

/// The owner's record as it was last read, with its epoch. Every commit reads that record and it
/// hardly ever changes: comparing bytes costs a tenth of decoding them.
#[derive(Default)]
pub struct Owner(Mutex<(Vec<u8>, i64)>);

impl Owner {
    /// 0: there is no owner; -1: the record has no epoch.
    fn epoch_of(&self, stored: Option<Vec<u8>>, key: &RecordKey) -> anyhow::Result<i64> {
        let Some(bytes) = stored else {
            return Ok(0);
        };
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != bytes {
            let epoch = match Record::kv_decode_value(&bytes, key.value_context())?.data {
                Value::Object(row) => match row.get("epoch") {
                    Some(Value::Number(Number::Int(epoch))) => *epoch,
                    _ => -1,
                },
                _ => -1,
            };
            *last = (bytes, epoch);
        }
        Ok(last.1)
    }
}

/// What is committed is seen by readers before it is on the disk, and may never get there. So a read
/// is told when all that it may have seen is durable, and not at all when that is not to be known.
#[derive(Default)]
pub struct Unsynced {
    /// Held by commits together, and by a reader for a moment, alone.
    under_way: RwLock<()>,
    lost: OnceLock<Failure>,
}

impl Unsynced {
    async fn commit(&self, tx: &Transaction) -> Result<(), Refusal> {
        let _seen = self.under_way.read().await;
        // Bare: it registered nothing that SurrealDB would do at its end.
        tx.commit_bare().await.map_err(|e| {
            let refusal = Refusal::from(e);
            if let Refusal::Final(failure) = &refusal {
                let _ = self.lost.set(failure.clone()); // the first one is the reason
            }
            refusal
        })
    }

    async fn settled(&self) -> Result<(), Failure> {
        drop(self.under_way.write().await);
        self.lost.get().map_or(Ok(()), |failure| Err(failure.clone()))
    }
}

/// The answer of a read, once it may be told.
pub async fn durable(handle: &Handle, read: impl Future<Output = Outcome>) -> Outcome {
    let outcome = read.await;
    handle.database()?.unsynced.settled().await?;
    outcome
}

struct Writer<'a> {
    tx: &'a Transaction,
    base: &'a Database,
}

impl Writer<'_> {
    fn key<'k>(&self, id: &'k RecordId) -> RecordKey<'k> {
        RecordKey::new(self.base.ns, self.base.db, Cow::Borrowed(&id.table), Cow::Borrowed(&id.key))
    }

    /// The owner's record is read for update: no other transaction that writes it can be committed
    /// between this reading and this commit.
    async fn fence(&self, epoch: i64) -> Result<(), Refusal> {
        let id = RecordId { table: TableName::new(META), key: RecordIdKey::String(OWNER) };
        let key = self.key(&id);
        let stored = self.tx.getu_key(&Undecoded(&key)).await?;
        if self.base.owner.epoch_of(stored, &key)? != epoch {
            return Err(Refusal::Final(Failure::new(Code::Fenced, "the owner is another one")));
        }
        Ok(())
    }

    /// Never over a record that exists: that is a second fence between owners.
    async fn insert(&self, put: &Put) -> Result<(), Refusal> {
        self.tx.put_key(&self.key(&put.id), &put.record).await.map_err(|e| {
            match storage_error(&e) {
                Some(Error::TransactionKeyAlreadyExists) => {
                    Refusal::Final(Failure::new(Code::Exists, "an event of the batch exists"))
                }
                _ => Refusal::from(e),
            }
        })
    }

    async fn cut(&self, cut: &Cut) -> Result<(), Refusal> {
        let bound = |seq| self.key(&event_id(cut.workflow.clone(), seq)).encode_key();
        let (first, after) = (bound(0)?, bound(cut.last.saturating_add(1))?);
        Ok(self.tx.delr(RawRange::of_bytes(&first, &after)).await?)
    }

    async fn write(&self, batch: &Batch) -> Result<(), Refusal> {
        // First of all, so that of two refusals it is the one that is told.
        if let Some(epoch) = batch.epoch {
            self.fence(epoch).await?;
        }
        // Before the insert: a compacted beginning takes the place of its last event.
        for cut in &batch.cuts {
            self.cut(cut).await?;
        }
        for event in &batch.events {
            self.insert(event).await?;
        }
        for put in &batch.puts {
            self.tx.set_key(&self.key(&put.id), &put.record).await?;
        }
        for id in &batch.gone {
            self.tx.del_key(&self.key(id)).await?;
        }
        Ok(())
    }
}

async fn transact(base: &Database, batch: &Batch) -> Result<(), Refusal> {
    let tx = base.store.transaction(TransactionType::Write).await?;
    let writer = Writer { tx: &tx, base };
    if let Err(refusal) = writer.write(batch).await {
        // What it wrote is only in memory and goes with it, whatever is said of that here.
        let _ = tx.cancel_bare().await;
        return Err(refusal);
    }
    base.unsynced.commit(&tx).await
}

pub async fn commit(handle: &Handle, bytes: &[u8]) -> Outcome {
    let base = handle.database()?;
    let batch = decode(bytes)?;
    let mut tried = 0;
    loop {
        match transact(&base, &batch).await {
            Ok(()) => return Ok(Vec::new()),
            Err(Refusal::Final(failure)) => return Err(failure),
            Err(Refusal::Conflict(message)) => {
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
    let base = handle.database()?;
    for row in base.run("ALTER SYSTEM COMPACT", None).await? {
        match row {
            // A database in memory has no files.
            Err(e) if e.message().contains("does not support compaction") => {}
            Err(e) => return Err(Failure::new(code_of_text(e.message()), e.message())),
            Ok(_) => {}
        }
    }
    Ok(vec![0; 12])
}
