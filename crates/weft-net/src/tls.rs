//! TLS 1.3 as libp2p wants it, with the cipher that this machine is fast at.
//!
//! What the handshake says and how the peer's certificate is judged is the libp2p
//! specification's, and its crate's: here only the order of the ciphers differs, because
//! chunks are many bytes, and AES in hardware takes a fraction of the time of ChaCha20.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use futures::{AsyncRead, AsyncWrite};
use futures_rustls::{
    TlsAcceptor, TlsConnector, TlsStream,
    rustls::{
        self, ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig,
        SignatureScheme, SupportedCipherSuite,
        client::{
            Resumption,
            danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        },
        crypto::{CryptoProvider, aws_lc_rs},
        pki_types::{CertificateDer, ServerName, UnixTime},
        server::danger::{ClientCertVerified, ClientCertVerifier},
        sign::{CertifiedKey, SingleCertAndKey},
        version::TLS13,
    },
};
use libp2p::{PeerId, identity::Keypair, tls::certificate};

/// As it is agreed on in both directions.
pub(crate) const NAME: &str = "/tls/1.0.0";
const ALPN: &[u8] = b"libp2p";

/// Both sides of the handshake.
#[derive(Clone)]
pub(crate) struct Tls {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new(keypair: &Keypair) -> Result<Self, String> {
        Self::with(keypair, has_aes())
    }

    fn with(keypair: &Keypair, has_aes: bool) -> Result<Self, String> {
        let (certificate, key) =
            certificate::generate(keypair).map_err(|error| error.to_string())?;
        let refused = |error: rustls::Error| error.to_string();
        let provider = Arc::new(CryptoProvider {
            cipher_suites: suites(has_aes),
            ..aws_lc_rs::default_provider()
        });
        let verifier = Arc::new(Verifier);
        // certificates of libp2p have an extension that rustls' own look at them refuses
        let key = aws_lc_rs::sign::any_ecdsa_type(&key).map_err(refused)?;
        let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
        let shown = Arc::new(shown);
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(refused)?
            .with_client_cert_verifier(verifier.clone())
            .with_cert_resolver(shown.clone());
        server.alpn_protocols = vec![ALPN.to_vec()];
        // whoever is slow at AES decides, on either side
        server.ignore_client_order = !has_aes;
        server.send_tls13_tickets = 0;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .map_err(refused)?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(shown);
        client.alpn_protocols = vec![ALPN.to_vec()];
        // every handshake proves who the peer is; all have the same name here
        client.resumption = Resumption::disabled();
        Ok(Self {
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    pub(crate) async fn accept<C>(self, connection: C) -> io::Result<(PeerId, TlsStream<C>)>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = TlsAcceptor::from(self.server).accept(connection).await?;
        known(accepted.into())
    }

    pub(crate) async fn connect<C>(self, connection: C) -> io::Result<(PeerId, TlsStream<C>)>
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        // the specification wants no name to be sent, and for an address none is
        let nobody = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
        let connected = TlsConnector::from(self.client).connect(nobody, connection);
        known(connected.await?.into())
    }
}

/// Who the peer has proven to be.
fn known<C>(stream: TlsStream<C>) -> io::Result<(PeerId, TlsStream<C>)> {
    let (_, session) = stream.get_ref();
    let [only] = session.peer_certificates().unwrap_or_default() else {
        return Err(io::Error::other("the peer showed no certificate"));
    };
    let certificate = certificate::parse(only).map_err(io::Error::other)?;
    let peer = certificate.peer_id();
    Ok((peer, stream))
}

fn suites(has_aes: bool) -> Vec<SupportedCipherSuite> {
    let aes = [
        aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256,
        aws_lc_rs::cipher_suite::TLS13_AES_256_GCM_SHA384,
    ];
    let chacha20 = [aws_lc_rs::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256];
    if has_aes {
        [&aes[..], &chacha20].concat()
    } else {
        [&chacha20[..], &aes].concat()
    }
}

/// Whether this machine computes AES-GCM in hardware.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_aes = is_x86_feature_detected!("aes") && is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has_aes = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has_aes = false;
    has_aes
}

/// Exactly one certificate, signed by itself, in which the peer's key vouches for it.
#[derive(Debug)]
struct Verifier;

impl Verifier {
    fn certificate(
        only: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<(), rustls::Error> {
        if !others.is_empty() {
            return Err(rustls::Error::General("more than one certificate".into()));
        }
        certificate::parse(only)?;
        Ok(())
    }

    fn signature(
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let certificate = certificate::parse(certificate)?;
        certificate.verify_signature(signature.scheme, message, signature.signature())?;
        Ok(HandshakeSignatureValid::assertion())
    }

    fn is_never_asked() -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken".into()))
    }

    /// What the specification allows but RSA, which no weft node signs with.
    fn schemes() -> Vec<SignatureScheme> {
        vec![
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::ECDSA_NISTP384_SHA384,
            SignatureScheme::ED25519,
        ]
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        only: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Self::certificate(only, others)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::is_never_asked()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        only: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Self::certificate(only, others)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::is_never_asked()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Self::signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        Self::schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::{AsyncReadExt, AsyncWriteExt, FutureExt, future::try_join};
    use futures_rustls::rustls::CipherSuite;
    use libp2p::{
        core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
        tcp::tokio::TcpStream,
        tls,
    };
    use tokio::net;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (dialed, accepted) = try_join(net::TcpStream::connect(address), listener.accept())
            .await
            .unwrap();
        (TcpStream(dialed), TcpStream(accepted.0))
    }

    async fn agreed(dialer_has_aes: bool, listener_has_aes: bool) -> CipherSuite {
        let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
        let dialer = Tls::with(&keys[0], dialer_has_aes).unwrap();
        let listener = Tls::with(&keys[1], listener_has_aes).unwrap();
        let (out, inward) = pair().await;
        let ((server, mut one), (client, mut other)) =
            try_join(dialer.connect(out), listener.accept(inward))
                .await
                .unwrap();
        assert_eq!(server, keys[1].public().to_peer_id());
        assert_eq!(client, keys[0].public().to_peer_id());
        let mut heard = [0; 5];
        one.write_all(b"chunk").await.unwrap();
        one.flush().await.unwrap();
        other.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"chunk");
        let (_, session) = one.get_ref();
        session.negotiated_cipher_suite().unwrap().suite()
    }

    #[tokio::test]
    async fn whoever_is_slow_at_aes_decides() {
        let chacha20 = CipherSuite::TLS13_CHACHA20_POLY1305_SHA256;
        let aes = CipherSuite::TLS13_AES_128_GCM_SHA256;
        assert_eq!(agreed(true, true).await, aes);
        assert_eq!(agreed(true, false).await, chacha20);
        assert_eq!(agreed(false, true).await, chacha20);
        assert_eq!(agreed(false, false).await, chacha20);
    }

    #[tokio::test]
    async fn libp2p_s_own_is_understood_both_ways() {
        let keys = [Keypair::generate_ed25519(), Keypair::generate_ed25519()];
        let ours = Tls::new(&keys[0]).unwrap();
        let theirs = || tls::Config::new(&keys[1]).unwrap();
        let (out, inward) = pair().await;
        let accept = theirs().upgrade_inbound(inward, NAME);
        let ((server, _one), (client, _other)) = try_join(
            ours.clone().connect(out),
            accept.map(|done| done.map_err(io::Error::other)),
        )
        .await
        .unwrap();
        assert_eq!(server, keys[1].public().to_peer_id());
        assert_eq!(client, keys[0].public().to_peer_id());
        let (out, inward) = pair().await;
        let connect = theirs().upgrade_outbound(out, NAME);
        let ((client, _one), (server, _other)) = try_join(
            ours.accept(inward),
            connect.map(|done| done.map_err(io::Error::other)),
        )
        .await
        .unwrap();
        assert_eq!(client, keys[1].public().to_peer_id());
        assert_eq!(server, keys[0].public().to_peer_id());
    }

    /// Shows these certificates, proven with this key, to a node, as the listener and as the
    /// dialer; tells whether it was taken for somebody.
    async fn is_believed(certified: CertifiedKey) -> bool {
        let shown = Arc::new(SingleCertAndKey::from(certified));
        let node = Tls::new(&Keypair::generate_ed25519()).unwrap();
        let mut liar = Tls::new(&Keypair::generate_ed25519()).unwrap();
        Arc::make_mut(&mut liar.server).cert_resolver = shown.clone();
        Arc::make_mut(&mut liar.client).client_auth_cert_resolver = shown;
        let (out, inward) = pair().await;
        let (dialed, _) = tokio::join!(node.clone().connect(out), liar.clone().accept(inward));
        let (out, inward) = pair().await;
        let (_, accepted) = tokio::join!(liar.connect(out), node.accept(inward));
        assert_eq!(dialed.is_ok(), accepted.is_ok());
        dialed.is_ok()
    }

    #[tokio::test]
    async fn nobody_is_taken_for_somebody_else() {
        let of = |keypair: &Keypair| certificate::generate(keypair).unwrap();
        let (own, key) = of(&Keypair::generate_ed25519());
        let (stolen, _) = of(&Keypair::generate_ed25519());
        let key = aws_lc_rs::sign::any_ecdsa_type(&key).unwrap();
        let show = |certificates| is_believed(CertifiedKey::new(certificates, key.clone()));
        assert!(show(vec![own.clone()]).await);
        assert!(!show(vec![stolen.clone()]).await, "with the key of another");
        assert!(!show(vec![own.clone(), stolen]).await, "two certificates");
        let mut forged = own.as_ref().to_vec();
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert!(!show(vec![forged.into()]).await, "a forged signature");
        assert!(!show(vec![vec![0x30; 300].into()]).await, "no certificate");
    }
}
