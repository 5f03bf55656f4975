//! What one plain TCP flow carries over a line of the lab: times stand beside it, since no
//! protocol gets more out of the same line.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use crate::{lab::Lab, namespace::Namespace};

/// The flow finds its pace within this, which does not count...
const WARM_UP: Duration = Duration::from_secs(2);
/// ...and is measured for this long.
const MEASURED: Duration = Duration::from_secs(6);
/// Longest wait for a byte.
const PATIENCE: Duration = Duration::from_secs(5);
const PORT: u16 = 4999;

/// Bytes a second from one node to another.
pub(crate) fn goodput(lab: &Lab, from: usize, to: usize, address: &str) -> Result<f64> {
    let address: SocketAddr = format!("{address}:{PORT}").parse()?;
    let listener = lab.node(to).inside(|| TcpListener::bind(address))??;
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| send(lab.node(from), address));
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut buffer = vec![0_u8; 1 << 16];
        let until = Instant::now() + WARM_UP;
        while Instant::now() < until {
            stream.read_exact(&mut buffer[..1448])?;
        }
        let (start, mut bytes) = (Instant::now(), 0);
        while start.elapsed() < MEASURED {
            bytes += stream.read(&mut buffer)?;
        }
        let rate = bytes as f64 / start.elapsed().as_secs_f64();
        // the sender's next write fails
        drop(stream);
        sender.join().ok().context("the sender panicked")??;
        Ok(rate)
    })
}

fn send(from: &Namespace, to: SocketAddr) -> Result<()> {
    from.inside(|| -> Result<()> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let block = vec![7_u8; 1 << 16];
        let end = Instant::now() + WARM_UP + MEASURED + PATIENCE;
        while Instant::now() < end && stream.write_all(&block).is_ok() {}
        Ok(())
    })?
}
