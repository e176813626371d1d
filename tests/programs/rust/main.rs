// What a Rust program does in a day: files, collections with random hashing, input, clocks, a panic.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

fn files(top: &Path) -> io::Result<()> {
    fs::create_dir_all(top.join("deep/er"))?;
    for i in 0..10 {
        fs::write(top.join(format!("deep/{i}.txt")), "x".repeat(i * 100))?;
    }
    let mut f = fs::OpenOptions::new().read(true).write(true).create_new(true)
        .open(top.join("deep/er/new"))?;
    f.write_all(b"0123456789")?;
    f.seek(SeekFrom::Start(4))?;
    f.write_all(b"....")?;
    f.set_len(9)?;
    f.rewind()?;
    let mut text = String::new();
    f.read_to_string(&mut text)?;
    println!("{text} {}", f.metadata()?.len());
    fs::copy(top.join("deep/3.txt"), top.join("deep/copy"))?;
    fs::rename(top.join("deep/4.txt"), top.join("deep/er/4.txt"))?;
    fs::remove_file(top.join("deep/5.txt"))?;
    fs::hard_link(top.join("deep/6.txt"), top.join("deep/six"))?;
    let exists = fs::OpenOptions::new().write(true).create_new(true).open(top.join("deep/six"));
    println!("exclusive: {:?}", exists.err().map(|e| e.kind()));
    println!("missing: {:?}", fs::read(top.join("none")).err().map(|e| e.kind()));
    println!("outside: {}", fs::read("/etc/passwd").is_err());
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(top.join("deep"))? {
        let entry = entry?;
        let kind = if entry.file_type()?.is_dir() { 0 } else { entry.metadata()?.len() };
        seen.insert(entry.file_name().into_string().unwrap(), kind);
    }
    println!("{seen:?}");
    println!("full: {:?}", fs::remove_dir(top.join("deep")).err().map(|e| e.kind()));
    fs::remove_dir_all(top.join("deep/er"))?;
    Ok(())
}

fn main() -> io::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    println!("{args:?} {:?} {}", std::env::var("A"), std::env::vars().count());
    files(Path::new("/rs"))?;
    let lines: Vec<String> = io::stdin().lock().lines().collect::<Result<_, _>>()?;
    println!("{lines:?}");
    let start = Instant::now();
    std::thread::sleep(Duration::from_millis(5));
    println!("slept {}", start.elapsed() >= Duration::from_millis(5));
    println!("threads {}", std::thread::Builder::new().spawn(|| ()).is_err());
    if args.first().is_some_and(|a| a == "chance") {
        let words: HashMap<u32, u32> = (0..20).map(|i| (i, i * i)).collect();
        println!("{:?}", words.keys().collect::<Vec<_>>());
    }
    if args.first().is_some_and(|a| a == "panic") {
        let none: Option<u32> = args.iter().find(|a| *a == "?").map(|_| 1);
        println!("{}", none.expect("there is nothing"));
    }
    std::process::exit(4);
}
