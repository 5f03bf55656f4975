//! What the machine carries without any protocol.

use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Instant,
};

use anyhow::Result;

use super::{BYTES, Content, MIB, Taken};
use crate::shell::cpu_s;

/// A file is read, sent over one connection and written: what storing costs without
/// looking at a byte.
pub(super) fn files(content: &Content) -> Result<Taken> {
    let to = content.folder.join("plain");
    let (from, mut into) = (File::open(&content.file)?, File::create_new(&to)?);
    let bytes = from.metadata()?.len();
    let mut taken = send(from, &mut into, bytes)?;
    let start = Instant::now();
    into.sync_all()?;
    taken.durable_s = taken.seconds + start.elapsed().as_secs_f64();
    std::fs::remove_file(to)?;
    Ok(taken)
}

/// One connection, and nothing else.
pub(super) fn memory() -> Result<Taken> {
    send(std::io::repeat(7), &mut std::io::sink(), BYTES as u64)
}

fn send(from: impl Read + Send, into: &mut impl Write, bytes: u64) -> Result<Taken> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let own = std::process::id();
    let cpu_before = cpu_s(own)?;
    let start = Instant::now();
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || -> Result<()> {
            let (mut stream, _) = listener.accept()?;
            let mut from = from.take(bytes);
            let mut block = vec![0_u8; MIB];
            loop {
                let read = from.read(&mut block)?;
                if read == 0 {
                    return Ok(());
                }
                stream.write_all(&block[..read])?;
            }
        });
        let mut stream = TcpStream::connect(address)?;
        let (mut block, mut got) = (vec![0_u8; MIB], 0);
        while got < bytes {
            let read = stream.read(&mut block)?;
            anyhow::ensure!(read > 0, "the sender stopped early");
            into.write_all(&block[..read])?;
            got += read as u64;
        }
        let seconds = start.elapsed().as_secs_f64();
        let joined = sender.join();
        joined.map_err(|_| anyhow::anyhow!("the sender panicked"))??;
        Ok(Taken {
            bytes: bytes as f64,
            seconds,
            durable_s: f64::NAN,
            cpu_s: cpu_s(own)? - cpu_before,
        })
    })
}

/// One thread.
pub(super) fn blake3_bytes_per_sec() -> f64 {
    let block = vec![7_u8; MIB];
    let start = Instant::now();
    for _ in 0..BYTES / MIB {
        std::hint::black_box(blake3::hash(&block));
    }
    BYTES as f64 / start.elapsed().as_secs_f64()
}
