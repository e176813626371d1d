//! Why something did not work.

use std::fmt;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// An activity that failed, or a request that the host refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct Error {
    /// One of the codes of docs/errors.md, such as `permission_denied`, or of this crate:
    /// `invalid_argument`, `canceled`, `bad_answer`.
    pub code: String,
    /// For people.
    pub message: String,
    /// The host has tried as often as the retry policy allows; could it work later?
    #[serde(default)]
    pub retryable: bool,
}

impl Error {
    /// An error of the agent's own.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Error {
            code: code.into(),
            message: message.into(),
            retryable: false,
        }
    }

    /// Was the task canceled? It is told once, then the agent has its grace time to clean up.
    pub fn is_canceled(&self) -> bool {
        self.code == "canceled"
    }

    pub(crate) fn refused(what: &str, errno: i32) -> Self {
        let (code, why) = match -errno {
            6 => ("invalid_argument", "nothing has arrived for it (EAGAIN)"),
            8 => ("invalid_argument", "there is no such handle (EBADF)"),
            10 => ("invalid_argument", "handles are open (EBUSY)"),
            11 => ("canceled", "the task was canceled (ECANCELED)"),
            20 => ("invalid_argument", "it was given before (EEXIST)"),
            28 => ("invalid_argument", "the arguments are not valid (EINVAL)"),
            33 => ("limit_exceeded", "too many handles are open (EMFILE)"),
            1 => ("limit_exceeded", "it is too big (E2BIG)"),
            52 => ("unsupported", "there is no host here (ENOSYS)"),
            _ => ("invalid_argument", "the host refused"),
        };
        Error::new(code, format!("{what}: {why}, errno {}", -errno))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Error {}

impl From<serde_json::Error> for Error {
    fn from(e: serde_json::Error) -> Self {
        Error::new("bad_answer", e.to_string())
    }
}
