//! A TCP proxy before a store that can be shut or slowed down.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// Every connection is closed, the present ones too.
    Shut,
    /// Each piece is late.
    Slow(Duration),
}

/// The proxy; it ends with the test.
pub struct Door {
    pub address: SocketAddr,
    passage: Arc<watch::Sender<Passage>>,
    _end: DropGuard,
}

impl Door {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let passage = Arc::new(watch::Sender::new(Passage::Open));
        let (end, shown) = (CancellationToken::new(), Arc::clone(&passage));
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server, shown.subscribe()));
            }
        }));
        Self {
            address,
            passage,
            _end: end.drop_guard(),
        }
    }

    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut passage: watch::Receiver<Passage>) {
    let shut = passage.clone();
    let carried = async {
        let Ok(mut server) = TcpStream::connect(server).await else {
            return;
        };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
        let mut buffer = [0; 16 * 1024];
        let up = async {
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                let now = *shut.borrow();
                if let Passage::Slow(delay) = now {
                    sleep(delay).await;
                }
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            () = up => {}
            _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        }
    };
    tokio::select! {
        () = carried => {}
        _ = passage.wait_for(|passage| *passage == Passage::Shut) => {}
    }
}
