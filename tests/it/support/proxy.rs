//! A wire that can be cut: a TCP proxy before a server.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Passes bytes on to a server, and on demand keeps back those on their way to it.
pub struct Proxy {
    pub address: SocketAddr,
    flowing: watch::Sender<bool>,
    _end: DropGuard,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (flowing, flow) = watch::channel(true);
        let end = CancellationToken::new();
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(server).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, flow.clone()));
                tokio::spawn(pass(from_server, to_client, watch::channel(true).1));
            }
        }));
        Self {
            address,
            flowing,
            _end: end.drop_guard(),
        }
    }

    /// From now on nothing reaches the server; it is kept, not lost.
    pub fn hold(&self) {
        self.flowing.send_replace(false);
    }

    /// Everything that was kept reaches the server.
    pub fn release(&self) {
        self.flowing.send_replace(true);
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: watch::Receiver<bool>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // An error here means that the proxy is gone, and with it nobody who could hold anything.
        let _ = flow.wait_for(|flowing| *flowing).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
