//! A TCP proxy in front of a store, which can close or slow down connections, or answer itself.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";

/// What happens to connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Open,
    /// Every connection is closed, the present ones too.
    Shut,
    /// Each piece is late.
    Slow(Duration),
    /// Requests are answered with 503, and don't reach the store.
    Refusing,
}

/// The proxy; it ends with the test.
pub struct StoreProxy {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    _end: DropGuard,
}

struct Shared {
    mode: watch::Sender<Mode>,
    /// Connections that were shut, slowed down or refused.
    disturbed: AtomicU64,
}

impl StoreProxy {
    pub async fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            mode: watch::Sender::new(Mode::Open),
            disturbed: AtomicU64::new(0),
        });
        let (end, carrier) = (CancellationToken::new(), Arc::clone(&shared));
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                let carrier = Arc::clone(&carrier);
                tokio::spawn(async move { carrier.carry(client, server).await });
            }
        }));
        Self {
            address,
            shared,
            _end: end.drop_guard(),
        }
    }

    pub fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
    }

    /// Closes the present connections.
    pub async fn hang_up(&self) {
        self.set(Mode::Shut);
        sleep(Duration::from_millis(50)).await;
        self.set(Mode::Open);
    }

    /// How many connections a fault has met.
    pub fn disturbed(&self) -> u64 {
        self.shared.disturbed.load(Ordering::Relaxed)
    }
}

impl Shared {
    async fn carry(&self, client: TcpStream, server: SocketAddr) {
        let mut mode = self.mode.subscribe();
        let met = tokio::select! {
            met = self.pass(client, server) => met,
            _ = mode.wait_for(|mode| *mode == Mode::Shut) => true,
        };
        self.disturbed.fetch_add(u64::from(met), Ordering::Relaxed);
    }

    /// Passes both ways until one end closes; whether a fault has met it.
    async fn pass(&self, mut client: TcpStream, server: SocketAddr) -> bool {
        let Ok(mut server) = TcpStream::connect(server).await else {
            return false;
        };
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.split(), server.split());
        let (mut buffer, mut met) = (vec![0; 16 * 1024], false);
        let up = async {
            while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
                let mode = *self.mode.borrow();
                match mode {
                    Mode::Open | Mode::Shut => {}
                    Mode::Slow(delay) => {
                        met = true;
                        sleep(delay).await;
                    }
                    Mode::Refusing => return true,
                }
                if to_server.write_all(&buffer[..count]).await.is_err() {
                    break;
                }
            }
            false
        };
        let refused = tokio::select! {
            refused = up => refused,
            _ = tokio::io::copy(&mut from_server, &mut to_client) => false,
        };
        if refused {
            let _ = to_client.write_all(REFUSAL).await;
        }
        met || refused
    }
}
