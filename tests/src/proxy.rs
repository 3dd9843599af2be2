//! A way to the API server that can be cut.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Passes bytes on between its port and another, until it is cut: then connections stay open, and nothing passes. It ends
/// when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    state: watch::Sender<State>,
    task: JoinHandle<()>,
}

/// What passes.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    cut: bool,
    /// How many connections there were so far.
    connections: usize,
    /// The first connection that does not hang.
    first: usize,
}

impl State {
    fn passes(&self, connection: usize) -> bool {
        !self.cut && connection >= self.first
    }
}

impl Proxy {
    /// Listens at a free port of the loopback.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start(target: SocketAddr) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port can be had");
        let address = listener.local_addr().expect("it listens");
        let state = watch::Sender::new(State::default());
        let own = state.clone();
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let number = own.borrow().connections;
                own.send_modify(|state| state.connections += 1);
                connections.spawn(pass_on(near, target, (number, own.subscribe())));
            }
        });
        Self { address, state, task }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing pass from now on.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cut = true);
    }

    /// Lets nothing pass any more on the connections that there are; later ones are as good as ever.
    pub fn hang(&self) {
        self.state.send_modify(|state| state.first = state.connections);
    }

    /// Lets everything pass again.
    pub fn mend(&self) {
        self.state.send_modify(|state| state.cut = false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass_on(near: TcpStream, target: SocketAddr, (number, state): (usize, watch::Receiver<State>)) {
    let mut open = state.clone();
    let _ = open.wait_for(|state| state.passes(number)).await;
    let Ok(far) = TcpStream::connect(target).await else { return };
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let there = one_way(near_read, far_write, (number, state.clone()));
    let back = one_way(far_read, near_write, (number, state));
    tokio::join!(there, back);
}

async fn one_way(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    (number, mut state): (usize, watch::Receiver<State>),
) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        // What was read while the way was cut waits, and what is behind it.
        let open = state.wait_for(|state| state.passes(number)).await.is_ok();
        if !open || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

/// An HTTP proxy that connects to whatever it is asked for. It ends when it is dropped.
pub struct Tunnels {
    address: SocketAddr,
    asked: watch::Receiver<Vec<String>>,
    task: JoinHandle<()>,
}

impl Tunnels {
    /// Listens at a free port of the loopback.
    ///
    /// # Panics
    /// If there is none.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port can be had");
        let address = listener.local_addr().expect("it listens");
        let (told, asked) = watch::channel(Vec::new());
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                connections.spawn(tunnel(near, told.clone()));
            }
        });
        Self { address, asked, task }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of what it was asked.
    pub fn asked(&self) -> Vec<String> {
        self.asked.borrow().clone()
    }
}

impl Drop for Tunnels {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn tunnel(mut near: TcpStream, told: watch::Sender<Vec<String>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(1..) = near.read_buf(&mut head).await else { return };
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let first = head.lines().next().unwrap_or_default().to_owned();
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    told.send_modify(|asked| asked.push(first));
    let Ok(mut far) = TcpStream::connect(target).await else { return };
    if near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_ok() {
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}
