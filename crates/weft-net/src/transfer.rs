//! Reading and writing the streams of one link. Each function runs until its
//! stream or its peer fails, and says why.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::{
    sync::mpsc,
    time::{Instant, error::Elapsed, sleep, timeout, timeout_at},
};
use weft_core::{Control, Direction, Message, bounds::CONTROL_BYTES};
use weft_record::codec;

use crate::{
    book::Told,
    bounds,
    event::NetEvent,
    fault::LinkFault,
    frame::{self, Subject},
    handle::{Shared, lock},
    link::{Link, Reply},
    session::Report,
    socket::Socket,
};

type Events = mpsc::Sender<NetEvent>;

/// Writes the control messages of a link, and an empty frame when there are none.
pub(crate) async fn write_control(
    mut stream: impl AsyncWrite + Unpin,
    link: Arc<Link>,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut next = timeout(bounds::KEEP_ALIVE_INTERVAL, link.control.pop())
            .await
            .ok();
        if next.is_none() {
            write(&mut stream, &0_u32.to_le_bytes(), stall).await?;
        }
        while let Some(body) = next {
            write(&mut stream, &(body.len() as u32).to_le_bytes(), stall).await?;
            write(&mut stream, &body, stall).await?;
            next = link.control.try_pop();
        }
        flush(&mut stream, stall).await?;
    }
}

/// Reads the control messages of a peer.
pub(crate) async fn read_control(
    mut stream: impl AsyncRead + Unpin,
    link: Arc<Link>,
    events: Events,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut length = [0; 4];
        timeout(bounds::SILENCE_TIMEOUT, stream.read_exact(&mut length))
            .await
            .map_err(|Elapsed { .. }| LinkFault::Stalled(bounds::SILENCE_TIMEOUT.as_secs()))?
            .map_err(stream_fault)?;
        let length = u32::from_le_bytes(length) as usize;
        if length == 0 {
            continue;
        }
        if length > CONTROL_BYTES {
            return Err(LinkFault::MessageLength {
                length,
                limit: CONTROL_BYTES,
            });
        }
        let mut body = vec![0; length];
        read(&mut stream, &mut body, stall, || ()).await?;
        let control: Control = codec::decode(&body, CONTROL_BYTES)
            .map_err(|error| LinkFault::Malformed(error.to_string()))?;
        deliver(&events, &link, Message::Control(control)).await?;
    }
}

/// Tells a member of others, whenever there is something else to tell.
pub(crate) async fn write_peers(
    mut stream: impl AsyncWrite + Unpin,
    link: Arc<Link>,
    shared: Arc<Shared>,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    let (mut changes, mut told) = (shared.book_changed.subscribe(), Vec::new());
    loop {
        changes.mark_unchanged();
        let now = codec::encode(&lock(&shared.book).told_to(&link.peer));
        if now != told {
            write(&mut stream, &(now.len() as u32).to_le_bytes(), stall).await?;
            write(&mut stream, &now, stall).await?;
            flush(&mut stream, stall).await?;
            told = now;
        }
        sleep(bounds::PEERS_PAUSE).await;
        // the sender lives as long as this node's network
        let _ = changes.changed().await;
    }
}

/// Reads what a member tells of others, and hands on whoever is new in it.
pub(crate) async fn read_peers(
    mut stream: impl AsyncRead + Unpin,
    link: Arc<Link>,
    shared: Arc<Shared>,
    (session, reports): (u64, mpsc::Sender<Report>),
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).await.map_err(stream_fault)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > bounds::PEERS_BYTES {
            let limit = bounds::PEERS_BYTES;
            return Err(LinkFault::MessageLength { length, limit });
        }
        let mut body = vec![0; length];
        read(&mut stream, &mut body, stall, || ()).await?;
        let told: Told = codec::decode(&body, bounds::PEERS_BYTES)
            .map_err(|error| LinkFault::Malformed(error.to_string()))?;
        let learned = lock(&shared.book).hear(&link.peer, told)?;
        shared.book_changed.send_replace(());
        let heard = Report::Heard { session, learned };
        let sent = reports.send(heard).await;
        sent.map_err(|_| LinkFault::Shutdown)?;
        // what is said meanwhile waits in its stream
        sleep(bounds::PEERS_PAUSE).await;
    }
}

/// Asks on one chunk stream and reads the replies.
pub(crate) async fn request_chunks(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    link: Arc<Link>,
    events: Events,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    let (reader, writer) = stream.split();
    tokio::select! {
        fault = write_requests(writer, &link, stall) => fault,
        fault = read_replies(reader, &link, &events, stall) => fault,
    }
}

/// Reads requests from one chunk stream of the peer and writes replies.
pub(crate) async fn serve_chunks(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    link: Arc<Link>,
    socket: Option<Arc<Socket>>,
    events: Events,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    let (reader, writer) = stream.split();
    tokio::select! {
        fault = read_requests(reader, &link, &events) => fault,
        fault = write_replies(writer, &link, socket.as_deref(), stall) => fault,
    }
}

async fn write_requests(
    mut writer: impl AsyncWrite + Unpin,
    link: &Link,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let subject = link.requests.pop().await;
        let request = frame::encode_request(subject, link.gives_way());
        write(&mut writer, &request, stall).await?;
        flush(&mut writer, stall).await?;
    }
}

async fn read_replies(
    mut reader: impl AsyncRead + Unpin,
    link: &Link,
    events: &Events,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut header = [0; frame::REPLY_BYTES];
        // Between replies nothing may come for long; the link watches that what
        // was asked for keeps coming.
        reader.read_exact(&mut header).await.map_err(stream_fault)?;
        let (subject, length) = frame::decode_reply(&header)?;
        if !link.is_asked(subject) {
            return Err(LinkFault::Unasked);
        }
        link.progressed();
        let payload = match length {
            None => None,
            Some(length) => {
                let mut payload = vec![0; length];
                read_payload(&mut reader, &mut payload, link, stall).await?;
                Some(Bytes::from(payload))
            }
        };
        link.answered(subject);
        let message = match (subject, payload) {
            (Subject::Chunk(chunk), Some(payload)) => Message::Data(chunk, payload),
            (Subject::Chunk(chunk), None) => Message::Absent(chunk),
            (Subject::Blob(hash), Some(payload)) => Message::Blob(hash, payload),
            (Subject::Blob(hash), None) => Message::NoBlob(hash),
        };
        deliver(events, link, message).await?;
    }
}

async fn read_requests(
    mut reader: impl AsyncRead + Unpin,
    link: &Link,
    events: &Events,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut request = [0; frame::REQUEST_BYTES];
        reader
            .read_exact(&mut request)
            .await
            .map_err(stream_fault)?;
        let (subject, background) = frame::decode_request(&request)?;
        // While the window is full this waits, and further requests wait in the
        // peer's stream: that is the back-pressure.
        link.admit(subject, background).await;
        let message = match subject {
            Subject::Chunk(chunk) => Message::Get(chunk),
            Subject::Blob(hash) => Message::GetBlob(hash),
        };
        deliver(events, link, message).await?;
    }
}

async fn write_replies(
    mut writer: impl AsyncWrite + Unpin,
    link: &Link,
    socket: Option<&Socket>,
    stall: Duration,
) -> Result<Infallible, LinkFault> {
    loop {
        let mut next = Some(link.replies.pop().await);
        while let Some(reply) = next {
            write_reply(&mut writer, &reply, link, socket, stall).await?;
            next = link.replies.try_pop();
        }
        flush(&mut writer, stall).await?;
    }
}

/// Under a cap only a few payloads are under way at once, and one on a connection where it
/// gives way to other traffic. Whoever would wait too long for
/// its turn is told that there is nothing here.
async fn write_reply(
    writer: &mut (impl AsyncWrite + Unpin),
    reply: &Reply,
    link: &Link,
    socket: Option<&Socket>,
    stall: Duration,
) -> Result<(), LinkFault> {
    let bucket = link.bucket(Direction::Serve);
    let behind = || socket.filter(|_| reply.is_behind() || link.gives_way());
    let (mut payload, mut turns) = (reply.payload.as_ref(), None);
    if payload.is_some() {
        let lane = match behind() {
            Some(socket) => Some(socket.lane.turn().await),
            None => None,
        };
        let turn = bucket.turn().await;
        let has_waited = turn.is_capped() || lane.is_some();
        turns = Some((turn, lane));
        if has_waited && reply.is_late() {
            (payload, turns) = (None, None);
        }
    }
    let header = frame::encode_reply(reply.subject, payload.map(Bytes::len));
    if payload.is_some() {
        link.pay(Direction::Serve, header.len()).await;
    }
    write(writer, &header, stall).await?;
    let mut rest = payload.map_or(&[][..], Bytes::as_ref);
    while !rest.is_empty() {
        let behind = behind();
        let most = behind.map_or(usize::MAX, |socket| socket.lane.piece_bytes());
        let most = most.min(link.piece_bytes(Direction::Serve));
        let (piece, later) = rest.split_at(rest.len().min(most));
        if let Some(socket) = behind {
            let round_trip = || socket.round_trip();
            socket.lane.pay(piece.len(), round_trip).await;
        }
        link.pay(Direction::Serve, piece.len()).await;
        write(writer, piece, stall).await?;
        link.traffic.sent(link.path, piece.len());
        rest = later;
    }
    drop(turns);
    Ok(())
}

/// Fills the buffer piece by piece as the cap allows. The time that this node itself waits is
/// not held against the peer.
async fn read_payload(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    link: &Link,
    stall: Duration,
) -> Result<(), LinkFault> {
    link.pay(Direction::Fetch, frame::REPLY_BYTES).await;
    let mut rest = buffer;
    let (mut due, mut since_bytes) = (Instant::now() + stall, 0);
    while !rest.is_empty() {
        let (piece, later) = rest.split_at_mut(rest.len().min(link.piece_bytes(Direction::Fetch)));
        let waits = Instant::now();
        link.pay(Direction::Fetch, piece.len()).await;
        due += waits.elapsed();
        link.progressed();
        timeout_at(due, reader.read_exact(piece))
            .await
            .map_err(|Elapsed { .. }| LinkFault::Stalled(stall.as_secs()))?
            .map_err(stream_fault)?;
        since_bytes += piece.len();
        if since_bytes >= bounds::PROGRESS_BYTES {
            (due, since_bytes) = (Instant::now() + stall, 0);
        }
        link.traffic.received(link.path, piece.len());
        rest = later;
    }
    link.progressed();
    Ok(())
}

async fn deliver(events: &Events, link: &Link, message: Message<Bytes>) -> Result<(), LinkFault> {
    let event = NetEvent::Message(link.peer, message);
    events.send(event).await.map_err(|_| LinkFault::Shutdown)
}

/// Fills the buffer; every [`bounds::PROGRESS_BYTES`] must come within `stall`.
async fn read(
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut [u8],
    stall: Duration,
    progressed: impl Fn(),
) -> Result<(), LinkFault> {
    for piece in buffer.chunks_mut(bounds::PROGRESS_BYTES) {
        timeout(stall, reader.read_exact(piece))
            .await
            .map_err(|Elapsed { .. }| LinkFault::Stalled(stall.as_secs()))?
            .map_err(stream_fault)?;
        progressed();
    }
    Ok(())
}

/// Writes it all; every [`bounds::PROGRESS_BYTES`] must go within `stall`.
async fn write(
    writer: &mut (impl AsyncWrite + Unpin),
    bytes: &[u8],
    stall: Duration,
) -> Result<(), LinkFault> {
    for piece in bytes.chunks(bounds::PROGRESS_BYTES) {
        timeout(stall, writer.write_all(piece))
            .await
            .map_err(|Elapsed { .. }| LinkFault::Stalled(stall.as_secs()))?
            .map_err(stream_fault)?;
    }
    Ok(())
}

async fn flush(writer: &mut (impl AsyncWrite + Unpin), stall: Duration) -> Result<(), LinkFault> {
    timeout(stall, writer.flush())
        .await
        .map_err(|Elapsed { .. }| LinkFault::Stalled(stall.as_secs()))?
        .map_err(stream_fault)
}

fn stream_fault(error: std::io::Error) -> LinkFault {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => LinkFault::Closed,
        _ => LinkFault::Stream(error.to_string()),
    }
}
