//! The host functions as they are (module `shannon`, version 1): docs/guest-abi.md describes them.
//! Negative results are WASI errno numbers, negated.
#![allow(missing_docs)]

#[cfg(target_arch = "wasm32")]
#[link(wasm_import_module = "shannon")]
extern "C" {
    pub fn activity_start(op: *const u8, op_len: usize, json: *const u8, json_len: usize) -> i32;
    pub fn activity_wait(handles: *const i32, n: usize) -> i32;
    pub fn activity_size(handle: i32) -> i32;
    pub fn activity_read(handle: i32, buf: *mut u8, cap: usize) -> i32;
    pub fn activity_drop(handle: i32) -> i32;
    pub fn input_size() -> i32;
    pub fn input_read(buf: *mut u8, cap: usize) -> i32;
    pub fn output(json: *const u8, len: usize) -> i32;
    pub fn emit(kind: *const u8, kind_len: usize, json: *const u8, json_len: usize) -> i32;
    pub fn publish(name: *const u8, name_len: usize, json: *const u8, json_len: usize) -> i32;
    pub fn checkpoint(buf: *const u8, len: usize) -> i32;
    pub fn continue_as_new(json: *const u8, len: usize) -> i32;
    pub fn checkpoint_size() -> i32;
    pub fn checkpoint_read(buf: *mut u8, cap: usize) -> i32;
}

/// Outside of a guest there is no host to ask: everything answers -ENOSYS, so that an agent's own
/// logic can be tested natively.
#[cfg(not(target_arch = "wasm32"))]
#[allow(clippy::missing_safety_doc)]
mod nowhere {
    const ENOSYS: i32 = -52;

    macro_rules! nowhere {
        ($($name:ident($($arg:ident: $type:ty),*);)*) => {
            $(pub unsafe fn $name($($arg: $type),*) -> i32 {
                $(let _ = $arg;)*
                ENOSYS
            })*
        };
    }
    nowhere! {
        activity_start(op: *const u8, op_len: usize, json: *const u8, json_len: usize);
        activity_wait(handles: *const i32, n: usize);
        activity_size(handle: i32);
        activity_read(handle: i32, buf: *mut u8, cap: usize);
        activity_drop(handle: i32);
        input_size();
        input_read(buf: *mut u8, cap: usize);
        output(json: *const u8, len: usize);
        emit(kind: *const u8, kind_len: usize, json: *const u8, json_len: usize);
        publish(name: *const u8, name_len: usize, json: *const u8, json_len: usize);
        checkpoint(buf: *const u8, len: usize);
        continue_as_new(json: *const u8, len: usize);
        checkpoint_size();
        checkpoint_read(buf: *mut u8, cap: usize);
    }
}
#[cfg(not(target_arch = "wasm32"))]
pub use nowhere::*;
