//! What Wasmtime's C API leaves out: a limiter of a store that says what it refused.

use std::ffi::c_char;

use wasmtime_c_api::wasmtime::{Config, Error, ResourceLimiter, Result, WasmBacktraceDetails};
use wasmtime_c_api::{WasmtimeStore, wasm_config_t, wasmtime_store_t};

/// `struct sh_native_limits` in native_sandbox.h: C owns it, and it outlives its store.
#[repr(C)]
pub struct Limits {
    memory_bytes: u64,
    table_elements: u64,
    tables: u64,
    memory_refusals: u64,
    memory_asked_bytes: u64,
    table_refusals: u64,
    table_asked: u64,
    host_failures: u64,
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        if desired as u64 > self.memory_bytes {
            self.memory_refusals += 1;
            self.memory_asked_bytes = desired as u64;
            return Ok(false);
        }
        // Beyond what the module itself declares is the module's own affair.
        Ok(maximum.is_none_or(|m| desired <= m))
    }

    /// What was granted and still failed is this machine's doing. A guest that saw it would not
    /// replay, so it ends instead.
    fn memory_grow_failed(&mut self, error: Error) -> Result<()> {
        self.host_failures += 1;
        Err(Error::msg(format!("this machine refused memory within the limit: {error}")))
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> Result<bool> {
        // The pool's own limit is `maximum` as well, where it is the lower one.
        if desired as u64 > self.table_elements {
            self.table_refusals += 1;
            self.table_asked = desired as u64;
            return Ok(false);
        }
        Ok(maximum.is_none_or(|m| desired <= m))
    }

    fn instances(&self) -> usize {
        1
    }

    fn tables(&self) -> usize {
        self.tables as usize
    }

    fn memories(&self) -> usize {
        1
    }
}

struct Lent(*mut Limits);

// SAFETY: a store is used by one thread at a time, and only while it is the limits are reached.
unsafe impl Send for Lent {}
unsafe impl Sync for Lent {}

impl Lent {
    fn get(&self) -> *mut Limits {
        self.0
    }
}

/// # Safety
/// `limits` outlives the store and is not touched while guest code of the store runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_store_limit(store: *mut wasmtime_store_t, limits: *mut Limits) {
    // SAFETY: the C API's store is `repr(C)` with Wasmtime's own as its only field.
    let store = unsafe { &mut *store.cast::<WasmtimeStore>() };
    let lent = Lent(limits);
    // SAFETY: see above.
    store.limiter(move |_| unsafe { &mut *lent.get() });
}

/// Traps are described without debugging information, whatever WASMTIME_BACKTRACE_DETAILS says: it
/// would be read where the guest ran, and code moves when bulk instructions are metered.
///
/// # Safety
/// `config` came from `wasm_config_new`, which reads the variable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_config_no_details(config: *mut wasm_config_t) {
    // SAFETY: the C API's configuration is `repr(C)` with Wasmtime's own as its only field.
    let config = unsafe { &mut *config.cast::<Config>() };
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
}

/// Which Wasmtime this is; its headers say the same.
pub const VERSIONS: &std::ffi::CStr = if cfg!(feature = "wasmtime-48") {
    c"wasmtime 48.0.8; surrealdb 3.3.5"
} else {
    c"wasmtime 40.0.4; surrealdb 3.3.5"
};

#[unsafe(no_mangle)]
pub extern "C" fn sh_native_version() -> *const c_char {
    VERSIONS.as_ptr()
}

/// A panic that nothing catches, at the border to C: what a fault in Wasmtime would be.
#[unsafe(no_mangle)]
pub extern "C" fn sh_native_debug_panic() -> ! {
    panic!("a panic that SHANNON_DEBUG_ABORT asked for")
}
