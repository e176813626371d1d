//! How calls come in and answers go out. Nothing here knows what is asked.

use std::any::Any;
use std::ffi::c_void;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::{Builder, Runtime};

use crate::db::{Database, code_of_text};

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

#[derive(Clone, Debug)]
pub struct Failure {
    pub code: Code,
    pub message: String,
}

impl Failure {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Failure { code, message: message.into() }
    }
}

/// What SurrealDB and RocksDB say only in words.
impl From<anyhow::Error> for Failure {
    fn from(e: anyhow::Error) -> Self {
        let message = format!("{e:#}");
        Failure::new(code_of_text(&message), message)
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
    database: Mutex<Option<Arc<Database>>>,
    poisoned: AtomicBool,
    /// Under way. After a panic too many, which only keeps small ones off the caller's thread.
    commits: AtomicUsize,
}

impl Handle {
    pub fn new() -> Arc<Handle> {
        Arc::new(Handle {
            database: Mutex::new(None),
            poisoned: AtomicBool::new(false),
            commits: AtomicUsize::new(0),
        })
    }

    pub fn into_raw(handle: Arc<Handle>) -> *mut Handle {
        Arc::into_raw(handle).cast_mut()
    }

    /// # Safety
    /// `raw` came from `into_raw` and is given back once.
    pub unsafe fn from_raw(raw: *mut Handle) -> Option<Arc<Handle>> {
        if raw.is_null() { None } else { Some(unsafe { Arc::from_raw(raw) }) }
    }

    pub fn put(&self, database: Database) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
    }

    pub fn take(&self) -> Option<Arc<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The database, unless a panic made its state doubtful.
    pub fn database(&self) -> Result<Arc<Database>, Failure> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(Failure::new(
                Code::Panic,
                "the database is unusable after an internal error; restart the program",
            ));
        }
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        database.clone().ok_or_else(|| Failure::new(Code::Io, "the database is not open"))
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

/// A future that is polled where it is woken: by who begins it first of all, then by whoever has
/// what it waited for.
struct Inline {
    phase: AtomicU8,
    future: Mutex<Option<Pin<Box<dyn Future<Output = ()> + Send>>>>,
}

const IDLE: u8 = 0;
const POLLING: u8 = 1;
/// Woken while it was polled: to be polled again.
const WOKEN: u8 = 2;

impl Inline {
    fn begin(future: impl Future<Output = ()> + Send + 'static) {
        let future = Mutex::new(Some(Box::pin(future) as _));
        Arc::new(Inline { phase: AtomicU8::new(POLLING), future }).drive();
    }

    /// The phase is POLLING, set by this thread.
    fn drive(self: &Arc<Self>) {
        let _entered = runtime().enter();
        let waker = Waker::from(Arc::clone(self));
        let mut context = Context::from_waker(&waker);
        let mut slot = self.future.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(future) = slot.as_mut() {
            if future.as_mut().poll(&mut context).is_ready() {
                *slot = None;
                return;
            }
            let rest =
                self.phase.compare_exchange(POLLING, IDLE, Ordering::AcqRel, Ordering::Acquire);
            if rest.is_ok() {
                return;
            }
            self.phase.store(POLLING, Ordering::Release);
        }
    }
}

impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        if self.phase.compare_exchange(IDLE, POLLING, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.drive();
        } else {
            let _ =
                self.phase.compare_exchange(POLLING, WOKEN, Ordering::AcqRel, Ordering::Acquire);
        }
    }
}

/// Do `work` and answer once, whatever happens.
fn answered<W, F>(handle: Arc<Handle>, answer: Answer, work: W) -> impl Future<Output = ()> + Send
where
    W: FnOnce(Arc<Handle>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    async move {
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
    }
}

/// Run `work` on the runtime.
pub fn start<W, F>(handle: &Arc<Handle>, cb: Callback, arg: *mut c_void, work: W)
where
    W: FnOnce(Arc<Handle>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    runtime().spawn(answered(Arc::clone(handle), Answer { cb, arg }, work));
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

/// Commits: a `small` one that is alone begins on this thread and ends on the one that asked the
/// disk for it, which saves two hand-overs. A large one would keep this thread, and one beside
/// others may meet a database that makes its writers wait: they run on the runtime.
///
/// # Safety
/// As for `start_on`.
pub unsafe fn start_commit<W, F>(
    raw: *const Handle,
    cb: Callback,
    arg: *mut c_void,
    small: bool,
    work: W,
) where
    W: FnOnce(Arc<Handle>) -> F + Send + 'static,
    F: Future<Output = Outcome> + Send + 'static,
{
    unsafe { Arc::increment_strong_count(raw) };
    let handle = unsafe { Arc::from_raw(raw) };
    let alone = handle.commits.fetch_add(1, Ordering::AcqRel) == 0;
    let counted = |handle: Arc<Handle>| async move {
        let outcome = work(Arc::clone(&handle)).await;
        handle.commits.fetch_sub(1, Ordering::AcqRel);
        outcome
    };
    let future = answered(handle, Answer { cb, arg }, counted);
    if small && alone {
        Inline::begin(future);
    } else {
        runtime().spawn(future);
    }
}

/// For calls that answer at once.
pub fn caught_now(work: impl FnOnce() -> Outcome) -> *mut Reply {
    let outcome = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Failure::new(Code::Panic, panic_text(&*panic))));
    Box::into_raw(Reply::boxed(outcome))
}
