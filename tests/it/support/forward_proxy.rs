//! A forward proxy, as companies have them: it requires a password, makes tunnels (`CONNECT`), forwards plain requests,
//! speaks SOCKS too, and resolves names that only it knows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};

const USER: &str = "gateway";
/// Contains characters that a URL must escape.
pub const PROXY_PASSWORD: &str = "proxy-pw/4d1@c9e27f";

/// The proxy; it ends with the test.
pub struct ForwardProxy {
    address: SocketAddr,
    state: Arc<State>,
    _end: DropGuard,
}

struct State {
    /// Maps `host:port` to an address.
    names: BTreeMap<String, SocketAddr>,
    authorization: String,
    /// Every request: `CONNECT host:port` or `GET host:port`.
    asked: Mutex<Vec<String>>,
    refused: Mutex<usize>,
}

impl ForwardProxy {
    /// A proxy that reaches these names and nothing else.
    pub async fn start(names: &[(&str, SocketAddr)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            names: names.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect(),
            authorization: format!("Basic {}", base64(&format!("{USER}:{PROXY_PASSWORD}"))),
            asked: Mutex::default(),
            refused: Mutex::default(),
        });
        let end = CancellationToken::new();
        let served = Arc::clone(&state);
        tokio::spawn(end.clone().run_until_cancelled_owned(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&served)));
            }
        }));
        Self {
            address,
            state,
            _end: end.drop_guard(),
        }
    }

    /// Its URL, with user and password.
    pub fn url(&self) -> String {
        self.url_with(PROXY_PASSWORD)
    }

    pub fn url_with(&self, password: &str) -> String {
        let password = super::encode_uri_component(password);
        format!("http://{USER}:{password}@{}", self.address)
    }

    /// The same for SOCKS, with names resolved by the proxy.
    pub fn socks_url(&self) -> String {
        self.url().replace("http://", "socks5h://")
    }

    /// The requests so far: method and `host:port`.
    pub fn asked(&self) -> Vec<String> {
        self.state.asked.lock().unwrap().clone()
    }

    /// How many requests came without the password.
    pub fn refused(&self) -> usize {
        *self.state.refused.lock().unwrap()
    }
}

/// The forms in which its password may show.
pub fn proxy_password_forms() -> [String; 3] {
    [
        PROXY_PASSWORD.to_owned(),
        super::encode_uri_component(PROXY_PASSWORD),
        base64(&format!("{USER}:{PROXY_PASSWORD}")),
    ]
}

fn base64(text: &str) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(text)
}

/// Serves one connection: a tunnel, or plain requests to one host.
async fn pass(mut client: TcpStream, state: Arc<State>) {
    let mut first = [0];
    if client.peek(&mut first).await.is_ok() && first == [5] {
        // If a client breaks off, its own test fails.
        let _ = socks(client, state).await;
        return;
    }
    let Some(head) = head(&mut client).await else { return };
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let plain = target
        .strip_prefix("http://")
        .map(|rest| rest.split('/').next().unwrap());
    let host = plain.unwrap_or(target);
    let host = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:80")
    };
    let header = format!("proxy-authorization: {}", state.authorization);
    let allowed = head.lines().any(|line| line.eq_ignore_ascii_case(&header));
    if !allowed {
        *state.refused.lock().unwrap() += 1;
        let answer = "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    }
    state.asked.lock().unwrap().push(format!("{method} {host}"));
    let Some(at) = state.names.get(&host) else {
        let answer = "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = client.write_all(answer.as_bytes()).await;
        return;
    };
    let mut server = TcpStream::connect(at).await.unwrap();
    let began = if plain.is_some() {
        // A server understands the absolute form too.
        server.write_all(head.as_bytes()).await
    } else {
        client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await
    };
    if began.is_ok() {
        let _ = copy_bidirectional(&mut client, &mut server).await;
    }
}

/// SOCKS 5 (RFC 1928) with user and password (RFC 1929), to hosts named by name.
async fn socks(mut client: TcpStream, state: Arc<State>) -> std::io::Result<()> {
    client.read_u8().await?;
    counted(&mut client).await?;
    client.write_all(&[5, 2]).await?;
    client.read_u8().await?;
    let (user, password) = (counted(&mut client).await?, counted(&mut client).await?);
    if (user.as_str(), password.as_str()) != (USER, PROXY_PASSWORD) {
        *state.refused.lock().unwrap() += 1;
        return client.write_all(&[1, 1]).await;
    }
    client.write_all(&[1, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    assert_eq!(request, [5, 1, 0, 3], "a connection to a host by its name");
    let host = format!("{}:{}", counted(&mut client).await?, client.read_u16().await?);
    state.asked.lock().unwrap().push(format!("SOCKS {host}"));
    let mut server = TcpStream::connect(state.names[&host]).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

/// Text with its length before it.
async fn counted(client: &mut TcpStream) -> std::io::Result<String> {
    let mut text = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut text).await?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Reads up to the end of a request's head, and no further.
async fn head(client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
