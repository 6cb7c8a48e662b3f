//! A TCP proxy in front of a server, which can hold or cut connections.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Forwards bytes to a server, and on demand holds them back.
pub struct Proxy {
    pub address: SocketAddr,
    gate: Arc<Gate>,
    _end: DropGuard,
}

struct Gate {
    open: watch::Sender<bool>,
    /// The text before which it closes.
    closes_before: Mutex<Option<&'static str>>,
    /// The texts at which it hangs up.
    hangs_up_at: Mutex<&'static [&'static str]>,
    /// The text at which a connection breaks next, and which part is lost.
    breaks_at: Mutex<Option<(&'static str, Lost)>>,
}

/// What a connection loses when it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The client's command: the server does not get it.
    Command,
    /// The server's reply: it has run the command.
    Reply,
}

impl Proxy {
    pub async fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let gate = Arc::new(Gate {
            open: watch::Sender::new(true),
            closes_before: Mutex::new(None),
            hangs_up_at: Mutex::default(),
            breaks_at: Mutex::default(),
        });
        let (end, passed) = (CancellationToken::new(), Arc::clone(&gate));
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let gate = Arc::clone(&passed);
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    let ((from_client, mut to_client), (mut from_server, to_server)) = (client.split(), server.split());
                    // When either side hangs up, the other one is closed at once.
                    tokio::select! {
                        () = gate.pass(from_client, to_server) => {}
                        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
                    }
                });
            }
        }));
        Self {
            address,
            gate,
            _end: end.drop_guard(),
        }
    }

    /// Holds everything for the server from the first piece on that contains `text`.
    pub fn hold_before(&self, text: &'static str) {
        *self.gate.closes_before.lock().unwrap() = Some(text);
    }

    /// Closes a connection that sends one of these texts, as some proxies do at a command that they don't know.
    pub fn hang_up_at(&self, texts: &'static [&'static str]) {
        *self.gate.hangs_up_at.lock().unwrap() = texts;
    }

    /// Closes the next connection that sends `text`, once.
    pub fn break_at(&self, text: &'static str, lost: Lost) {
        *self.gate.breaks_at.lock().unwrap() = Some((text, lost));
    }

    /// True once the connection is broken.
    pub fn has_broken(&self) -> bool {
        self.gate.breaks_at.lock().unwrap().is_none()
    }

    /// Waits until something is held.
    pub async fn until_it_holds(&self) {
        super::until("the proxy holds something", || async { !*self.gate.open.borrow() }).await;
    }

    /// Sends the server everything that was held.
    pub fn release(&self) {
        self.gate.open.send_replace(true);
    }
}

impl Gate {
    async fn pass(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>) {
        let (mut buffer, mut open) = ([0; 16 * 1024], self.open.subscribe());
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let piece = &buffer[..count];
            let text = String::from_utf8_lossy(piece);
            if self.hangs_up_at.lock().unwrap().iter().any(|at| text.contains(at)) {
                return;
            }
            let breaks = self.breaks_at.lock().unwrap().take_if(|(at, _)| text.contains(*at));
            let lost = breaks.map(|(_, lost)| lost);
            if lost == Some(Lost::Command) {
                return;
            }
            self.close_before(piece);
            let _ = open.wait_for(|open| *open).await;
            if to.write_all(piece).await.is_err() || lost == Some(Lost::Reply) {
                return;
            }
        }
    }

    fn close_before(&self, piece: &[u8]) {
        let mut text = self.closes_before.lock().unwrap();
        if text.is_some_and(|text| String::from_utf8_lossy(piece).contains(text)) {
            *text = None;
            self.open.send_replace(false);
        }
    }
}
