//! iroh-blobs with its file store, one to one: no relay, no discovery, the addresses given.
//!
//! - `weft-peers serve STORE FILE BIND` takes the file into the store, prints a ticket and
//!   serves it.
//! - `weft-peers fetch STORE TICKET BIND` fetches it into the store and prints `done` when
//!   all of it is verified and there.
//!
//! Both go on until standard input ends, so that whoever started them can read their times.

use std::{net::SocketAddr, path::Path};

use anyhow::{Context as _, Result, bail};
use iroh::{Endpoint, EndpointAddr, RelayMode, endpoint::presets, protocol::Router};
use iroh_blobs::{BlobsProtocol, store::fs::FsStore, ticket::BlobTicket};
use tokio::io::AsyncReadExt as _;

#[tokio::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["serve", store, file, bind] => serve(store, file, bind.parse()?).await,
        ["fetch", store, ticket, bind] => fetch(store, ticket.parse()?, bind.parse()?).await,
        _ => bail!("weft-peers serve STORE FILE BIND, or weft-peers fetch STORE TICKET BIND"),
    }
}

async fn serve(store: &str, file: &str, bind: SocketAddr) -> Result<()> {
    let store = FsStore::load(store).await?;
    let tag = store
        .blobs()
        .add_path(std::path::absolute(Path::new(file))?)
        .await?;
    let endpoint = endpoint(bind).await?;
    let bound = endpoint.bound_sockets();
    let bound = bound.first().context("no socket is bound")?;
    let address = EndpointAddr::new(endpoint.id()).with_ip_addr(*bound);
    println!("{}", BlobTicket::new(address, tag.hash, tag.format));
    let blobs = BlobsProtocol::new(&store, None);
    let router = Router::builder(endpoint)
        .accept(iroh_blobs::ALPN, blobs)
        .spawn();
    input_ends().await?;
    router.shutdown().await?;
    Ok(())
}

async fn fetch(store: &str, ticket: BlobTicket, bind: SocketAddr) -> Result<()> {
    let store = FsStore::load(store).await?;
    let endpoint = endpoint(bind).await?;
    let connection = endpoint
        .connect(ticket.addr().clone(), iroh_blobs::ALPN)
        .await?;
    store
        .remote()
        .fetch(connection.clone(), ticket.hash())
        .await?;
    anyhow::ensure!(store.blobs().has(ticket.hash()).await?, "not complete");
    println!("done");
    input_ends().await?;
    connection.close(0_u32.into(), b"done");
    endpoint.close().await;
    store.shutdown().await?;
    Ok(())
}

async fn endpoint(bind: SocketAddr) -> Result<Endpoint> {
    let builder = Endpoint::builder(presets::Minimal)
        .relay_mode(RelayMode::Disabled)
        .clear_address_lookup()
        .clear_ip_transports()
        .bind_addr(bind)?;
    Ok(builder.bind().await?)
}

async fn input_ends() -> Result<()> {
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}
