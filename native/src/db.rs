//! Opening and closing, and what every statement runs with.

use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;

use surrealdb_cnf::ConfigMap;
use surrealdb_core::dbs::Session;
use surrealdb_core::kvs::{Builder, Datastore};
use surrealdb_datastore::TransactionType;
use surrealdb_datastore::catalog::providers::DatabaseProvider;
use surrealdb_datastore::catalog::{DatabaseId, NamespaceId};
use surrealdb_types::{Error, Value, Variables};

use crate::codec::text;
use crate::entry::{Code, Failure, Handle, Outcome};
use crate::write::{Owner, Unsynced};

/// Threads of the runtime that all handles share.
pub const WORKERS: usize = 2;

const NAME: &str = "shannon";

/// The database that everything lives in, as its owner.
pub fn session() -> Session {
    Session::owner().with_ns(NAME).with_db(NAME)
}

/// Settings that keep the speed of the defaults for batched inserts in a fraction of their memory:
/// the default block cache is half of the machine, the default write buffers up to 4 GiB.
/// `bench/bench_store.c` measures both.
fn settings(sync: &str) -> ConfigMap {
    ConfigMap::empty()
        .with_key_value("datastore_sync", sync)
        .with_key_value("rocksdb_block_cache_size", (16 << 20).to_string())
        .with_key_value("rocksdb_write_buffer_size", (16 << 20).to_string())
        .with_key_value("rocksdb_max_write_buffer_number", "3")
        .with_key_value("rocksdb_min_write_buffer_number_to_merge", "1")
        .with_key_value("rocksdb_memtable_prefix_bloom_ratio", "0.02")
        .with_key_value("rocksdb_thread_count", "1")
        .with_key_value("rocksdb_jobs_count", "2")
        .with_key_value("rocksdb_max_concurrent_subcompactions", "1")
        .with_key_value("rocksdb_max_open_files", "256")
        .with_key_value("rocksdb_keep_log_file_num", "2")
        // None of the log is kept once it is in the tables: RocksDB would keep it for replicas, up
        // to this many MiB, and that was most of what a step took on the disk.
        .with_key_value("rocksdb_wal_size_limit", "0")
        .with_key_value("runtime_worker_threads", WORKERS.to_string())
        // One worker may wait for the disk, the other goes on with what is not a disk's business.
        .with_key_value("rocksdb_runtime_reserve", "1")
}

/// What SurrealDB and RocksDB say only in words.
pub fn code_of_text(message: &str) -> Code {
    if message.contains("No space left on device") {
        Code::NoSpace
    } else if message.contains("LOCK") && message.contains("lock") {
        Code::Busy
    } else {
        Code::Io
    }
}

fn open_failure(path: &str, message: String) -> Failure {
    match code_of_text(&message) {
        Code::Busy => Failure::new(
            Code::Busy,
            format!("another process has the database in {path} open; stop it or use another one"),
        ),
        code => Failure::new(code, format!("the database {path} cannot be opened: {message}")),
    }
}

fn parse_options(options: &[u8]) -> Result<(String, Vec<String>, i64), Failure> {
    let bad = || Failure::new(Code::Inval, "the options of the store are not valid");
    let json: serde_json::Value = serde_json::from_slice(options).map_err(|_| bad())?;
    let sync = json["sync"].as_str().unwrap_or("every").to_string();
    if sync != "every" && sync != "never" {
        return Err(Failure::new(
            Code::Inval,
            format!("store sync is \"{sync}\"; expected \"every\" or \"never\""),
        ));
    }
    let mut tables = Vec::new();
    for table in json["tables"].as_array().ok_or_else(bad)? {
        let name = table.as_str().ok_or_else(bad)?;
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') {
            return Err(bad());
        }
        tables.push(name.to_string());
    }
    Ok((sync, tables, json["schema"].as_i64().ok_or_else(bad)?))
}

fn datastore_path(endpoint: &str) -> Result<String, Failure> {
    if endpoint == "memory" {
        return Ok("memory".to_string());
    }
    let Some(path) = endpoint.strip_prefix("rocksdb:") else {
        return Err(Failure::new(
            Code::Unsupported,
            format!(
                "the store endpoint {endpoint} is not supported; expected rocksdb:PATH or memory"
            ),
        ));
    };
    // SurrealDB takes what follows a question mark for settings.
    if path.is_empty() || path.contains('?') {
        return Err(Failure::new(
            Code::Inval,
            format!("\"{path}\" cannot be a database folder; expected a path without \"?\""),
        ));
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| {
        let code = if e.raw_os_error() == Some(28) { Code::NoSpace } else { Code::Io };
        Failure::new(code, format!("the database folder {path} cannot be made: {e}"))
    })?;
    Ok(format!("rocksdb://{path}"))
}

pub async fn open(handle: Arc<Handle>, endpoint: Vec<u8>, options: Vec<u8>) -> Outcome {
    let endpoint = text(endpoint, "the store endpoint")?;
    let (sync, tables, schema) = parse_options(&options)?;
    let path = datastore_path(&endpoint)?;
    // Without maintenance tasks: they serve indexes, change feeds and live queries, which nothing
    // here uses, and their heartbeat would write to an idle disk for ever.
    let store = Builder::new()
        .with_config(settings(&sync))
        .without_maintenance_tasks()
        .build_with_path(&path)
        .await
        .map_err(|e| open_failure(&endpoint, format!("{e:#}")))?;
    // What an earlier version of this program kept so.
    if let Some(folder) = path.strip_prefix("rocksdb://") {
        let _ = std::fs::remove_dir_all(std::path::Path::new(folder).join("archive"));
    }
    store.check_version().await.map_err(|e| {
        Failure::new(Code::Version, format!("the database {endpoint} cannot be read: {e:#}"))
    })?;
    handle.put(Database::of(store, &tables, schema).await?);
    Ok(Vec::new())
}

/// An open datastore, and the numbers of the database in it that everything lives in.
pub struct Database {
    pub store: Arc<Datastore>,
    pub ns: NamespaceId,
    pub db: DatabaseId,
    pub owner: Owner,
    pub unsynced: Unsynced,
}

impl Database {
    async fn of(
        store: Arc<Datastore>,
        tables: &[String],
        schema: i64,
    ) -> Result<Database, Failure> {
        define(&store, tables, schema).await?;
        let tx = store.transaction(TransactionType::Read).await?;
        let found = tx.get_db_by_name(NAME, NAME, None).await;
        tx.cancel().await?;
        let found = found?.ok_or_else(|| Failure::new(Code::Corrupt, "it has no database"))?;
        Ok(Database {
            store,
            ns: found.namespace_id,
            db: found.database_id,
            owner: Owner::default(),
            unsynced: Unsynced::default(),
        })
    }

    /// Run SurrealQL; one result a statement.
    pub async fn run(
        &self,
        sql: &str,
        vars: Option<Variables>,
    ) -> Result<Vec<Result<Value, Error>>, Failure> {
        run(&self.store, sql, vars).await
    }
}

/// Tables exist before anything reads them; a database of this schema or a newer one is not touched.
async fn define(store: &Datastore, tables: &[String], schema: i64) -> Result<(), Failure> {
    let stored = run(store, "SELECT VALUE version FROM meta:schema", None).await;
    if let Ok(rows) = stored
        && let Some(Ok(Value::Array(rows))) = rows.into_iter().next()
        && let Some(Value::Number(version)) = rows.first()
        && version.to_int().is_some_and(|v| v >= schema)
    {
        return Ok(());
    }
    let mut sql = format!(
        "DEFINE NAMESPACE IF NOT EXISTS {NAME}; USE NS {NAME}; \
         DEFINE DATABASE IF NOT EXISTS {NAME}; USE NS {NAME} DB {NAME};"
    );
    for table in tables {
        sql.push_str(&format!("DEFINE TABLE IF NOT EXISTS {table} TYPE NORMAL SCHEMALESS;"));
    }
    for row in run(store, &sql, None).await? {
        row.map_err(|e| Failure::new(code_of_text(e.message()), e.message()))?;
    }
    Ok(())
}

async fn run(
    store: &Datastore,
    sql: &str,
    vars: Option<Variables>,
) -> Result<Vec<Result<Value, Error>>, Failure> {
    let rows = store
        .execute(sql, &session(), vars)
        .await
        .map_err(|e| Failure::new(code_of_text(e.message()), e.message()))?;
    Ok(rows.into_iter().map(|row| row.result).collect())
}

pub async fn close(handle: &Handle) -> Outcome {
    let Some(base) = handle.take() else {
        return Ok(Vec::new());
    };
    let outcome = base.store.shutdown().await;
    // Everything told as durable is durable already; a failure here loses nothing.
    drop(base);
    match outcome {
        Ok(()) => Ok(Vec::new()),
        Err(e) => Err(Failure::new(Code::Io, format!("closing the database: {e:#}"))),
    }
}
