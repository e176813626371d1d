//! Where in its source an address of a module is: what its debugging information says. The bytes are
//! the module's own, so this runs in a confined child with little memory and time.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian, SectionId};
use wasmtime_environ::demangle_function_name;

/// Functions inlined into one another at one address, the innermost first.
const DEPTH_MAX: usize = 16;
const NAME_MAX: usize = 512;

/// `struct sh_native_section` in native_sandbox.h.
#[repr(C)]
pub struct Section {
    name: *const u8,
    name_len: usize,
    bytes: *const u8,
    len: usize,
}

/// `struct sh_native_place` in native_sandbox.h: views for the time of the call.
#[repr(C)]
pub struct Place {
    function: *const u8,
    function_len: usize,
    file: *const u8,
    file_len: usize,
    line: u32,
}

pub type PlaceFn = unsafe extern "C" fn(arg: *mut c_void, index: usize, place: *const Place);

type Reader<'a> = EndianSlice<'a, LittleEndian>;

/// # Safety
/// `p` is NULL, or valid for `len` bytes.
unsafe fn view<'a>(p: *const u8, len: usize) -> &'a [u8] {
    if p.is_null() || len == 0 { &[] } else { unsafe { std::slice::from_raw_parts(p, len) } }
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(NAME_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn readable(raw: &str) -> String {
    let mut name = String::new();
    // A name of a few bytes may stand for a text of gigabytes.
    let mut bounded = Bounded { text: &mut name, left: 4 * NAME_MAX };
    let done = demangle_function_name(&mut bounded, cut(raw));
    if done.is_err() || name.is_empty() { raw.to_owned() } else { name }
}

struct Bounded<'a> {
    text: &'a mut String,
    left: usize,
}

impl std::fmt::Write for Bounded<'_> {
    fn write_str(&mut self, s: &str) -> std::fmt::Result {
        self.left = self.left.checked_sub(s.len()).ok_or(std::fmt::Error)?;
        self.text.push_str(s);
        Ok(())
    }
}

fn one(context: &Context<Reader<'_>>, address: u64, mut place: impl FnMut(&Place)) -> Option<()> {
    let mut frames = context.find_frames(address).skip_all_loads().ok()?;
    for _ in 0..DEPTH_MAX {
        let frame = frames.next().ok()??;
        let function = frame.function.and_then(|f| f.raw_name().ok().map(|raw| readable(&raw)));
        let function = function.as_deref().map_or("", cut);
        let (file, line) =
            frame.location.map_or(("", 0), |l| (l.file.unwrap_or(""), l.line.unwrap_or(0)));
        let file = cut(file);
        place(&Place {
            function: function.as_ptr(),
            function_len: function.len(),
            file: file.as_ptr(),
            file_len: file.len(),
            line,
        });
    }
    None
}

/// # Safety
/// As native_sandbox.h says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sh_native_lines(
    sections: *const Section,
    n_sections: usize,
    addresses: *const u64,
    n: usize,
    place: PlaceFn,
    arg: *mut c_void,
) -> i32 {
    let sections = if n_sections == 0 {
        &[]
    } else {
        unsafe { std::slice::from_raw_parts(sections, n_sections) }
    };
    let load = |id: SectionId| -> Result<Reader<'_>, ()> {
        let found =
            sections.iter().find(|s| unsafe { view(s.name, s.name_len) } == id.name().as_bytes());
        let bytes = found.map_or(&[][..], |s| unsafe { view(s.bytes, s.len) });
        Ok(EndianSlice::new(bytes, LittleEndian))
    };
    let work = || {
        let context = Context::from_dwarf(Dwarf::load(load).ok()?).ok()?;
        for index in 0..n {
            let address = unsafe { *addresses.add(index) };
            let _ = one(&context, address, |p| unsafe { place(arg, index, p) });
        }
        Some(())
    };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Some(())) => 0,
        _ => -1,
    }
}
