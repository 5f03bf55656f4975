//! What the kernel knows of a TCP connection: how long its way is at the moment.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    net::IpAddr,
    os::fd::{AsFd, OwnedFd},
    pin::{Pin, pin},
    sync::{Arc, Mutex, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::{Multiaddr, core::ConnectedPoint, multiaddr::Protocol, tcp::tokio::TcpStream};
use socket2::SockRef;
use tokio::io::AsyncReadExt as _;

use crate::{background::Lane, bounds, handle::lock};

/// One TCP connection, as far as its chunks have to know it.
pub(crate) struct Socket {
    /// While the connection stands: a second handle, so that it can be asked.
    handle: Mutex<Option<OwnedFd>>,
    pub(crate) lane: Lane,
}

impl Socket {
    /// How long bytes take there and back, smoothed; queues on the way count. `None` where
    /// this system does not tell.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        lock(&self.handle).as_ref().and_then(round_trip)
    }
}

/// A TCP stream that is known to [`Sockets`]; reads in large steps, since TLS asks for a
/// quarter of a record at a time.
pub(crate) struct Known {
    stream: TcpStream,
    socket: Arc<Socket>,
    /// What was read ahead: nothing while nothing comes.
    ahead: Vec<u8>,
    /// Of that, what was handed on.
    taken: usize,
}

impl Drop for Known {
    fn drop(&mut self) {
        // else the connection would stay open behind the back of its owner
        lock(&self.socket.handle).take();
    }
}

/// The TCP connections of this node, until their links have found them.
#[derive(Default)]
pub(crate) struct Sockets(Mutex<VecDeque<Entry>>);

struct Entry {
    is_dialer: bool,
    ip: Option<IpAddr>,
    port: u16,
    socket: Weak<Socket>,
}

impl Sockets {
    /// A connection came to stand.
    pub(crate) fn adopt(&self, stream: TcpStream, point: &ConnectedPoint) -> Known {
        if let Err(error) = SockRef::from(&stream.0).set_tcp_notsent_lowat(bounds::UNSENT_BYTES) {
            tracing::debug!(%error, "what waits to be sent is not bounded");
        }
        let socket = Arc::new(Socket {
            handle: Mutex::new(stream.0.as_fd().try_clone_to_owned().ok()),
            lane: Lane::default(),
        });
        if let Some((ip, port)) = place(point.get_remote_address()) {
            let entry = Entry {
                is_dialer: point.is_dialer(),
                ip,
                port,
                socket: Arc::downgrade(&socket),
            };
            let mut entries = lock(&self.0);
            entries.retain(|entry| entry.socket.strong_count() > 0);
            if entries.len() < bounds::CONNECTIONS as usize {
                entries.push_back(entry);
            }
        }
        Known {
            stream,
            socket,
            ahead: Vec::new(),
            taken: 0,
        }
    }

    /// The socket of a connection between these ends, once. A name that was dialled stands
    /// for any address that it may have had: there the port decides.
    pub(crate) fn find(&self, point: &ConnectedPoint) -> Option<Arc<Socket>> {
        let (ip, port) = place(point.get_remote_address())?;
        let mut entries = lock(&self.0);
        let index = entries.iter().position(|entry| {
            entry.is_dialer == point.is_dialer()
                && entry.port == port
                && (ip.is_none() || entry.ip == ip)
        })?;
        entries.remove(index)?.socket.upgrade()
    }
}

/// The TCP port of an address, and the IP address if it is not a name.
fn place(address: &Multiaddr) -> Option<(Option<IpAddr>, u16)> {
    let mut ip = None;
    for part in address {
        match part {
            Protocol::Ip4(v4) => ip = Some(v4.into()),
            Protocol::Ip6(v6) => ip = Some(v6.into()),
            Protocol::Tcp(port) => return Some((ip, port)),
            Protocol::P2pCircuit => return None,
            _ => {}
        }
    }
    None
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn round_trip(handle: &OwnedFd) -> Option<Duration> {
    use std::{mem, os::fd::AsRawFd};

    // SAFETY: the structure consists of integers only, for which zero is a value.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = mem::size_of::<libc::tcp_info>() as libc::socklen_t;
    // SAFETY: the descriptor is open as long as `handle` is borrowed, and the kernel writes
    // at most `length` bytes, which is the size of what it is given to write to.
    let code = unsafe {
        libc::getsockopt(
            handle.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    let told = mem::offset_of!(libc::tcp_info, tcpi_rtt) + mem::size_of::<u32>();
    let is_told = code == 0 && length as usize >= told && info.tcpi_rtt > 0;
    is_told.then(|| Duration::from_micros(info.tcpi_rtt.into()))
}

#[cfg(not(target_os = "linux"))]
fn round_trip(_: &OwnedFd) -> Option<Duration> {
    None
}

impl AsyncRead for Known {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.taken == this.ahead.len() {
            this.taken = 0;
            this.ahead.clear();
            this.ahead.reserve_exact(bounds::READ_AHEAD_BYTES);
            let read = pin!(this.stream.0.read_buf(&mut this.ahead)).poll(context);
            if read.is_pending() {
                // an idle connection keeps no memory
                this.ahead = Vec::new();
            }
            ready!(read)?;
        }
        let ahead = &this.ahead[this.taken..];
        let length = ahead.len().min(buffer.len());
        buffer[..length].copy_from_slice(&ahead[..length]);
        this.taken += length;
        Poll::Ready(Ok(length))
    }
}

impl AsyncWrite for Known {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(context)
    }
}
