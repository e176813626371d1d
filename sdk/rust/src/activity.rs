//! Several things at once: start each, wait for whichever is first.

use crate::{check, millis, raw, read_all, Error, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::time::Duration;

/// Something under way. Dropping it forgets its answer; what was asked for may happen all the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Activity(i32);

/// Ask for something without waiting for it.
pub fn start(op: &str, args: &(impl Serialize + ?Sized)) -> Result<Activity> {
    let json = serde_json::to_vec(args)?;
    // SAFETY: pointers and lengths are of live buffers.
    let r = unsafe { raw::activity_start(op.as_ptr(), op.len(), json.as_ptr(), json.len()) };
    check("start", r)?;
    Ok(Activity(r))
}

impl Activity {
    /// Wait for it, and take its answer.
    pub fn wait<T: DeserializeOwned>(self) -> Result<T> {
        wait_any(&[&self])?;
        self.take()
    }

    /// The answer of one that `wait_any` gave.
    pub fn take<T: DeserializeOwned>(self) -> Result<T> {
        #[derive(Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum Outcome<T> {
            Ok(T),
            Error(Error),
        }
        // SAFETY: the buffer is as long as we say.
        let bytes = read_all(
            "take",
            unsafe { raw::activity_size(self.0) },
            |p, n| unsafe { raw::activity_read(self.0, p, n) },
        )?;
        match serde_json::from_slice(&bytes)? {
            Outcome::Ok(value) => Ok(value),
            Outcome::Error(e) => Err(e),
        }
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        // SAFETY: takes a number. One that is gone already is refused, which is fine.
        unsafe { raw::activity_drop(self.0) };
    }
}

/// The index of the one whose answer came first. At most 256.
pub fn wait_any(activities: &[&Activity]) -> Result<usize> {
    let handles: Vec<i32> = activities.iter().map(|a| a.0).collect();
    // SAFETY: pointer and length are of one live buffer.
    let first = unsafe { raw::activity_wait(handles.as_ptr(), handles.len()) };
    check("wait", first)?;
    handles.iter().position(|&h| h == first).ok_or_else(|| {
        Error::new(
            "bad_answer",
            "the host gave a handle that was not asked for",
        )
    })
}

/// The same, but for so long only: `None` when the time came first. The time is durable.
pub fn wait_any_for(activities: &[&Activity], limit: Duration) -> Result<Option<usize>> {
    let timer = start("sleep", &json!({ "ms": millis(limit) }))?;
    let mut with_timer = activities.to_vec();
    with_timer.push(&timer);
    let first = wait_any(&with_timer)?;
    Ok((first < activities.len()).then_some(first))
}

/// The answers of all, in the order given.
pub fn wait_all<T: DeserializeOwned>(activities: Vec<Activity>) -> Result<Vec<Result<T>>> {
    let mut open: Vec<&Activity> = activities.iter().collect();
    while !open.is_empty() {
        let first = wait_any(&open)?;
        open.swap_remove(first);
    }
    Ok(activities.into_iter().map(Activity::take).collect())
}
