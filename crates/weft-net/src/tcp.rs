//! The TCP transport: TLS 1.3 or Noise, yamux, and sockets that links can find.

use std::{io, sync::Arc, vec};

use futures::{
    AsyncRead, AsyncWrite, FutureExt as _, TryFutureExt as _,
    future::{BoxFuture, Either},
};
use futures_rustls::TlsStream;
use libp2p::{
    PeerId, Transport as _,
    core::{
        muxing::StreamMuxerBox,
        transport::Boxed,
        upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, UpgradeInfo, Version},
    },
    identity::Keypair,
    noise, tcp,
};

use crate::{
    bounds,
    config::{Security, StartError},
    mux::Yamux,
    socket::Sockets,
    tls::{self, Tls},
};

/// Connections are secured, carry many streams, and are known to `sockets`.
pub(crate) fn transport(secure: Secure, sockets: Arc<Sockets>) -> Boxed<(PeerId, StreamMuxerBox)> {
    tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .map(move |stream, point| sockets.adopt(stream, &point))
        .upgrade(Version::V1Lazy)
        .authenticate(secure)
        .multiplex(Yamux)
        .timeout(bounds::CONNECT_TIMEOUT)
        .boxed()
}

/// TLS where it is to be had, else Noise.
#[derive(Clone)]
pub(crate) struct Secure {
    tls: Option<Tls>,
    noise: noise::Config,
}

type Secured<C> = Either<TlsStream<C>, noise::Output<C>>;
type Handshake<C> = BoxFuture<'static, io::Result<(PeerId, Secured<C>)>>;

impl UpgradeInfo for Secure {
    type Info = &'static str;
    type InfoIter = vec::IntoIter<&'static str>;

    fn protocol_info(&self) -> Self::InfoIter {
        let tls = self.tls.iter().map(|_| tls::NAME);
        let all: Vec<_> = tls.chain(self.noise.protocol_info()).collect();
        all.into_iter()
    }
}

impl Secure {
    pub(crate) fn new(keypair: &Keypair, security: Security) -> Result<Self, StartError> {
        let tls = match security {
            Security::TlsPreferred => Some(Tls::new(keypair).map_err(StartError::Transport)?),
            Security::NoiseOnly => None,
        };
        let noise = noise::Config::new(keypair);
        let noise = noise.map_err(|error| StartError::Transport(error.to_string()))?;
        Ok(Self { tls, noise })
    }

    /// The one that was agreed on.
    fn agreed(self, name: &str) -> Either<Tls, noise::Config> {
        match self.tls {
            Some(tls) if name == tls::NAME => Either::Left(tls),
            _ => Either::Right(self.noise),
        }
    }
}

impl<C> InboundConnectionUpgrade<C> for Secure
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = Handshake<C>;

    fn upgrade_inbound(self, connection: C, name: Self::Info) -> Self::Future {
        match self.agreed(name) {
            Either::Left(tls) => tls
                .accept(connection)
                .map_ok(|(peer, stream)| (peer, Either::Left(stream)))
                .boxed(),
            Either::Right(noise) => noise
                .upgrade_inbound(connection, name)
                .map_ok(|(peer, stream)| (peer, Either::Right(stream)))
                .map_err(io::Error::other)
                .boxed(),
        }
    }
}

impl<C> OutboundConnectionUpgrade<C> for Secure
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    type Output = (PeerId, Secured<C>);
    type Error = io::Error;
    type Future = Handshake<C>;

    fn upgrade_outbound(self, connection: C, name: Self::Info) -> Self::Future {
        match self.agreed(name) {
            Either::Left(tls) => tls
                .connect(connection)
                .map_ok(|(peer, stream)| (peer, Either::Left(stream)))
                .boxed(),
            Either::Right(noise) => noise
                .upgrade_outbound(connection, name)
                .map_ok(|(peer, stream)| (peer, Either::Right(stream)))
                .map_err(io::Error::other)
                .boxed(),
        }
    }
}
