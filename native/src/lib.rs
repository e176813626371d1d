//! A bridge, not a brain: Wasmtime's C API re-exported and SurrealDB behind about a dozen C
//! functions, in one static library (two Rust static libraries in one program clash).
//!
//! `include/native.h` and `native_sandbox.h` are the contract. Arguments are copied before a function
//! returns; answers come by callback from any thread; a panic never crosses into C.

// SurrealDB's nested futures are deeper than the default.
#![recursion_limit = "256"]

#[expect(unused_imports, reason = "it links the C symbols")]
pub use wasmtime_c_api as _;

mod codec;
mod db;
mod entry;
mod lines;
mod read;
mod sandbox;
mod write;

use std::ffi::c_void;
use std::sync::Arc;

use entry::{Callback, Handle, Reply, copy, start, start_on};

/// # Safety
/// As native.h says: views are valid for the call, `cb` may be called from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_open(
    endpoint: *const u8,
    endpoint_len: usize,
    options: *const u8,
    options_len: usize,
    cb: Callback,
    arg: *mut c_void,
) -> *mut Handle {
    let handle = Handle::new();
    let (endpoint, options) = unsafe { (copy(endpoint, endpoint_len), copy(options, options_len)) };
    start(&handle, cb, arg, move |h| async move { db::open(h, endpoint, options).await });
    Handle::into_raw(handle)
}

/// Some ten events, whose encoding takes a few dozen microseconds.
const SMALL_COMMIT_BYTES: usize = 4096;

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_commit(
    db: *const Handle,
    batch: *const u8,
    len: usize,
    cb: Callback,
    arg: *mut c_void,
) {
    let batch = unsafe { copy(batch, len) };
    let work = move |h: Arc<Handle>| async move { write::commit(&h, &batch).await };
    unsafe { entry::start_commit(db, cb, arg, len <= SMALL_COMMIT_BYTES, work) }
}

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_reclaim(db: *const Handle, cb: Callback, arg: *mut c_void) {
    unsafe { start_on(db, cb, arg, |h| async move { write::reclaim(&h).await }) }
}

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_read_events(
    db: *const Handle,
    workflow: *const u8,
    len: usize,
    after: u64,
    limit: usize,
    cb: Callback,
    arg: *mut c_void,
) {
    let workflow = unsafe { copy(workflow, len) };
    let work = move |h: Arc<Handle>| async move {
        write::durable(&h, read::events(&h, workflow, after, limit)).await
    };
    unsafe { start_on(db, cb, arg, work) }
}

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_get(
    db: *const Handle,
    table: *const u8,
    table_len: usize,
    key: *const u8,
    key_len: usize,
    cb: Callback,
    arg: *mut c_void,
) {
    let (table, key) = unsafe { (copy(table, table_len), copy(key, key_len)) };
    let work =
        move |h: Arc<Handle>| async move { write::durable(&h, read::get(&h, table, key)).await };
    unsafe { start_on(db, cb, arg, work) }
}

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_list(
    db: *const Handle,
    filter: *const u8,
    len: usize,
    cb: Callback,
    arg: *mut c_void,
) {
    let filter = unsafe { copy(filter, len) };
    let work =
        move |h: Arc<Handle>| async move { write::durable(&h, read::list(&h, &filter)).await };
    unsafe { start_on(db, cb, arg, work) }
}

/// # Safety
/// As native.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_query(
    db: *const Handle,
    surql: *const u8,
    surql_len: usize,
    vars: *const u8,
    vars_len: usize,
    cb: Callback,
    arg: *mut c_void,
) {
    let (surql, vars) = unsafe { (copy(surql, surql_len), copy(vars, vars_len)) };
    let work = move |h: Arc<Handle>| async move {
        write::durable(&h, read::query(&h, surql, &vars)).await
    };
    unsafe { start_on(db, cb, arg, work) }
}

/// # Safety
/// `db` came from `sh_native_open` and is not used again; its operations have answered.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_close(db: *mut Handle, cb: Callback, arg: *mut c_void) {
    if let Some(handle) = unsafe { Handle::from_raw(db) } {
        start(&handle, cb, arg, move |h| async move { db::close(&h).await });
    }
}

/// # Safety
/// `text` is valid for the call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_toml_to_json(text: *const u8, len: usize) -> *mut Reply {
    let text = unsafe { copy(text, len) };
    entry::caught_now(move || codec::toml_to_json(text))
}

/// # Safety
/// `reply` came from this library and is not used again. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_reply_free(reply: *mut Reply) {
    if !reply.is_null() {
        drop(unsafe { Box::from_raw(reply) });
    }
}
