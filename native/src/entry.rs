//! How calls come in and answers go out. Nothing here knows what is asked.

use std::any::Any;
use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::Poll;

use surrealdb_core::kvs::Datastore;
use tokio::runtime::{Builder, Runtime};

/// `enum sh_native_code` in native.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Code {
    Ok = 0,
    Inval = 1,
    Exists = 2,
    Busy = 3,
    Io = 4,
    NoSpace = 5,
    Corrupt = 6,
    Version = 7,
    Unsupported = 8,
    Denied = 9,
    Limit = 10,
    Timeout = 11,
    Panic = 12,
    Fenced = 13,
}

#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}

pub type Outcome = Result<Vec<u8>, Failure>;

/// `struct sh_native_reply`: the C side sees the first three fields.
#[repr(C)]
pub struct Reply {
    code: i32,
    bytes: *const u8,
    len: usize,
    _owned: Vec<u8>,
}

impl Reply {
    fn boxed(outcome: Outcome) -> Box<Reply> {
        let (code, owned) = match outcome {
            Ok(bytes) => (Code::Ok, bytes),
            Err(failure) => (failure.code, failure.message.into_bytes()),
        };
        // The vector's buffer does not move with the box.
        Box::new(Reply {
            code: code as i32,
            bytes: owned.as_ptr(),
            len: owned.len(),
            _owned: owned,
        })
    }
}

pub type Callback = unsafe extern "C" fn(arg: *mut c_void, reply: *mut Reply);

struct Answer {
    cb: Callback,
    arg: *mut c_void,
}

// SAFETY: native.h makes the caller promise that `cb` and `arg` may be used from any thread, once.
unsafe impl Send for Answer {}

impl Answer {
    fn give(self, outcome: Outcome) {
        // SAFETY: see above; the reply belongs to the callee from here on.
        unsafe { (self.cb)(self.arg, Box::into_raw(Reply::boxed(outcome))) }
    }
}

/// What C holds: a database that is being opened, open, or gone.
pub struct Handle {
    store: Mutex<Option<Arc<Datastore>>>,
    poisoned: AtomicBool,
}

impl Handle {
    pub fn new() -> Arc<Handle> {
        Arc::new(Handle { store: Mutex::new(None), poisoned: AtomicBool::new(false) })
    }

    pub fn into_raw(handle: Arc<Handle>) -> *mut Handle {
        Arc::into_raw(handle).cast_mut()
    }

    /// # Safety
    /// `raw` came from `into_raw` and is given back once.
    pub unsafe fn from_raw(raw: *mut Handle) -> Option<Arc<Handle>> {
        if raw.is_null() { None } else { Some(unsafe { Arc::from_raw(raw) }) }
    }

    pub fn put(&self, store: Arc<Datastore>) {
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store);
    }

    pub fn take(&self) -> Option<Arc<Datastore>> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The datastore, unless a panic made its state doubtful.
    pub fn store(&self) -> Result<Arc<Datastore>, Failure> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Failure::new(
                Code::Panic,
                "the database is unusable after an internal error; restart the program",
            ));
        }
        let store = self.store.lock().unwrap_or_else(PoisonError::into_inner);
        store.clone().ok_or_else(|| Failure::new(Code::Io, "the database is not open"))
    }
}

/// Bytes of the caller, copied. NULL is empty.
///
/// # Safety
/// `p` is NULL or `len` readable bytes.
pub unsafe fn copy(p: *const u8, len: usize) -> Vec<u8> {
    if p.is_null() || len == 0 {
        return Vec::new();
    }
    unsafe { std::slice::from_raw_parts(p, len) }.to_vec()
}

/// One runtime for all handles, made at the first use.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(crate::db::WORKERS)
            .thread_name("store")
            // SurrealDB's recursive evaluation needs more than the default 2 MiB in deep queries.
            .thread_stack_size(8 << 20)
            .enable_time()
            .build()
            .expect("a runtime with two threads")
    })
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    format!("internal error in the database: {text}")
}

/// Run `work` on the runtime and answer once, whatever happens.
pub fn start<W, F>(handle: &Arc<Handle>, cb: Callback, arg: *mut c_void, work: W)
where
    W: FnOnce(Arc<Handle>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    let answer = Answer { cb, arg };
    let handle = Arc::clone(handle);
    runtime().spawn(async move {
        let mut future = Box::pin(work(Arc::clone(&handle)));
        let outcome =
            poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                Ok(poll) => poll,
                Err(panic) => {
                    handle.poisoned.store(true, Ordering::Release);
                    Poll::Ready(Err(Failure::new(Code::Panic, panic_text(&*panic))))
                }
            })
            .await;
        // Whatever the work held, a database lock above all, is gone before anyone is told.
        drop(future);
        drop(handle);
        answer.give(outcome);
    });
}

/// The same for a handle that C lends.
///
/// # Safety
/// `raw` came from `sh_native_open` and was not closed.
pub unsafe fn start_on<W, F>(raw: *const Handle, cb: Callback, arg: *mut c_void, work: W)
where
    W: FnOnce(Arc<Handle>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    unsafe { Arc::increment_strong_count(raw) };
    let handle = unsafe { Arc::from_raw(raw) };
    start(&handle, cb, arg, work);
}

/// For calls that answer at once.
pub fn caught_now(work: impl FnOnce() -> Outcome) -> *mut Reply {
    let outcome = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Failure::new(Code::Panic, panic_text(&*panic))));
    Box::into_raw(Reply::boxed(outcome))
}
