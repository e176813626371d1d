//! The encodings that cross the border: fixed-width little-endian numbers and length-prefixed
//! bytes. `durable-shannon/src/store/store_codec.h` describes them beside the code that writes them.

use surrealdb_datastore::val::{Array, Number, Object, Value};

use crate::entry::{Code, Failure, Outcome};

/// Deeper values are refused: the decoder and SurrealDB recurse.
const DEPTH_MAX: u32 = 128;

pub fn malformed(what: &str) -> Failure {
    Failure::new(Code::Inval, format!("malformed batch: {what}"))
}

pub fn text(bytes: Vec<u8>, what: &str) -> Result<String, Failure> {
    String::from_utf8(bytes).map_err(|_| Failure::new(Code::Inval, format!("{what} is not UTF-8")))
}

/// Reads what C wrote; every overrun is an error, nothing is trusted.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Failure> {
        let (head, tail) =
            self.rest.split_at_checked(n).ok_or_else(|| malformed("it ends too early"))?;
        self.rest = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Failure> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    pub fn u8(&mut self) -> Result<u8, Failure> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Failure> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Failure> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub fn i64(&mut self) -> Result<i64, Failure> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub fn string(&mut self) -> Result<String, Failure> {
        let len = self.u32()? as usize;
        let bytes = self.take(len)?;
        match std::str::from_utf8(bytes) {
            Ok(s) => Ok(s.to_owned()),
            Err(_) => Err(malformed("a string is not UTF-8")),
        }
    }

    pub fn done(&self) -> Result<(), Failure> {
        if self.rest.is_empty() { Ok(()) } else { Err(malformed("bytes are left over")) }
    }

    /// A count of things that take at least `each` bytes, so that it cannot reserve memory for more
    /// than what was sent.
    pub fn count(&mut self, each: usize) -> Result<usize, Failure> {
        let n = self.u32()? as usize;
        if n > self.rest.len() / each { Err(malformed("a count is too large")) } else { Ok(n) }
    }

    /// A JSON value as a tagged tree. Not as text: parsing text would round its reals.
    pub fn value(&mut self) -> Result<Value, Failure> {
        self.value_at(0)
    }

    fn value_at(&mut self, depth: u32) -> Result<Value, Failure> {
        if depth > DEPTH_MAX {
            return Err(malformed("a value is nested too deeply"));
        }
        Ok(match self.u8()? {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Number(Number::Int(self.i64()?)),
            4 => Value::Number(Number::Float(f64::from_bits(self.u64()?))),
            5 => Value::String(self.string()?.into()),
            6 => {
                let n = self.count(1)?;
                let mut items = Vec::with_capacity(n);
                for _ in 0..n {
                    items.push(self.value_at(depth + 1)?);
                }
                Value::Array(Array(items))
            }
            7 => {
                let n = self.count(5)?;
                let mut members = Object::default();
                for _ in 0..n {
                    let name = self.string()?;
                    members.insert(name, self.value_at(depth + 1)?);
                }
                Value::Object(members)
            }
            _ => return Err(malformed("an unknown value tag")),
        })
    }
}

pub fn put_u32(out: &mut Vec<u8>, v: usize) -> Result<(), Failure> {
    let v = u32::try_from(v).map_err(|_| Failure::new(Code::Limit, "an answer above 4 GiB"))?;
    out.extend_from_slice(&v.to_le_bytes());
    Ok(())
}

pub fn put_u64(out: &mut Vec<u8>, v: u64) {
    out.extend_from_slice(&v.to_le_bytes());
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Failure> {
    put_u32(out, bytes.len())?;
    out.extend_from_slice(bytes);
    Ok(())
}

pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut out = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        out.push(DIGITS[usize::from(b >> 4)] as char);
        out.push(DIGITS[usize::from(b & 15)] as char);
    }
    out
}

pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0u8; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let high = (pair[0] as char).to_digit(16)?;
        let low = (pair[1] as char).to_digit(16)?;
        *byte = (high * 16 + low) as u8;
    }
    Some(out)
}

/// TOML has no Debian C library worth having. Dates become strings.
pub fn toml_to_json(bytes: Vec<u8>) -> Outcome {
    let source = text(bytes, "the TOML text")?;
    let table: toml::Table =
        source.parse().map_err(|e: toml::de::Error| Failure::new(Code::Inval, e.to_string()))?;
    let json = toml_value(toml::Value::Table(table));
    serde_json::to_vec(&json).map_err(|e| Failure::new(Code::Inval, e.to_string()))
}

fn toml_value(value: toml::Value) -> serde_json::Value {
    use serde_json::Value as Json;
    match value {
        toml::Value::String(s) => Json::String(s),
        toml::Value::Integer(i) => Json::from(i),
        toml::Value::Float(f) => Json::from(f),
        toml::Value::Boolean(b) => Json::Bool(b),
        toml::Value::Datetime(d) => Json::String(d.to_string()),
        toml::Value::Array(items) => Json::Array(items.into_iter().map(toml_value).collect()),
        toml::Value::Table(members) => {
            Json::Object(members.into_iter().map(|(k, v)| (k, toml_value(v))).collect())
        }
    }
}
