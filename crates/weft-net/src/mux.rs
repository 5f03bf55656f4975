//! Many streams over one connection: yamux, with frames that are worth their cost.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io, iter,
    pin::Pin,
    task::{Context, Poll, Waker, ready as yield_pending},
};

use futures::{AsyncRead, AsyncWrite};
use libp2p::core::{
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo},
};
use yamux::{Connection, ConnectionError, Mode};

use crate::bounds;

/// yamux as libp2p agrees on it.
#[derive(Clone, Copy)]
pub(crate) struct Yamux;

impl Yamux {
    fn over<C>(connection: C, mode: Mode) -> Mux<C>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let mut config = yamux::Config::default();
        config.set_max_num_streams(bounds::STREAMS_PER_CONNECTION);
        config.set_split_send_size(bounds::FRAME_BYTES);
        Mux {
            connection: Connection::new(connection, config, mode),
            opened: VecDeque::new(),
            waker: None,
        }
    }
}

impl UpgradeInfo for Yamux {
    type Info = &'static str;
    type InfoIter = iter::Once<Self::Info>;

    fn protocol_info(&self) -> Self::InfoIter {
        iter::once("/yamux/1.0.0")
    }
}

impl<C> InboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Mux<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Mux<C>>>;

    fn upgrade_inbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Self::over(connection, Mode::Server)))
    }
}

impl<C> OutboundConnectionUpgrade<C> for Yamux
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Mux<C>;
    type Error = io::Error;
    type Future = Ready<io::Result<Mux<C>>>;

    fn upgrade_outbound(self, connection: C, _: Self::Info) -> Self::Future {
        ready(Ok(Self::over(connection, Mode::Client)))
    }
}

/// One connection and its streams.
pub(crate) struct Mux<C> {
    connection: Connection<C>,
    /// Streams of the peer that nobody took yet: no more than the peer may open.
    opened: VecDeque<yamux::Stream>,
    waker: Option<Waker>,
}

impl<C> Mux<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    /// Everything moves by asking for the next stream.
    fn advance(&mut self, context: &mut Context<'_>) -> Poll<io::Result<yamux::Stream>> {
        let next = yield_pending!(self.connection.poll_next_inbound(context));
        Poll::Ready(match next {
            Some(stream) => stream.map_err(fault),
            None => Err(fault(ConnectionError::Closed)),
        })
    }
}

impl<C> StreamMuxer for Mux<C>
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    type Substream = yamux::Stream;
    type Error = io::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        if let Some(stream) = self.opened.pop_front() {
            return Poll::Ready(Ok(stream));
        }
        let polled = self.advance(context);
        if polled.is_pending() {
            self.waker = Some(context.waker().clone());
        }
        polled
    }

    fn poll_outbound(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        self.connection.poll_new_outbound(context).map_err(fault)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.connection.poll_close(context).map_err(fault)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<StreamMuxerEvent>> {
        let stream = yield_pending!(self.advance(context))?;
        if self.opened.len() < bounds::STREAMS_PER_CONNECTION {
            self.opened.push_back(stream);
        }
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        // there may be more
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

fn fault(error: ConnectionError) -> io::Error {
    match error {
        ConnectionError::Io(error) => error,
        other => io::Error::other(other),
    }
}
