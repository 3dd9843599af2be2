//! A bad network in between: connections that are refused, cut, or that hang, some before they are cut, some for
//! ever.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use steersman_machinery::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

/// What becomes of a connection after a while.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It is refused at once.
    Refused,
    /// It is cut after this time.
    Cut(Duration),
    /// Nothing goes through any more after the first time; it is cut after the second.
    Hangs(Duration, Duration),
    /// Nothing goes through any more after this time, and nobody says so: who waits has to give up by himself.
    Silent(Duration),
}

/// Forwards connections to a place that may change; badly, until it is told to be good.
pub struct BadNetwork {
    address: SocketAddr,
    state: Arc<State>,
    task: JoinHandle<()>,
}

struct State {
    target: Mutex<SocketAddr>,
    /// `None` once the network is good.
    random: Mutex<Option<Random>>,
    harmed: AtomicUsize,
}

impl BadNetwork {
    /// At a free port; the seed decides what happens to whom.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start(target: SocketAddr, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let random = Mutex::new(Some(Random::seeded(seed)));
        let state = Arc::new(State { target: Mutex::new(target), random, harmed: AtomicUsize::new(0) });
        let task = tokio::spawn(accept(listener, state.clone()));
        Self { address, state, task }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on connections go there.
    ///
    /// # Panics
    /// Never: the lock is not poisoned.
    pub fn forward_to(&self, target: SocketAddr) {
        *self.state.target.lock().expect("nobody panics while holding it") = target;
    }

    /// From now on nothing happens to new connections.
    ///
    /// # Panics
    /// Never: the lock is not poisoned.
    pub fn be_good(&self) {
        *self.state.random.lock().expect("nobody panics while holding it") = None;
    }

    /// To how many connections something happened.
    pub fn harmed(&self) -> usize {
        self.state.harmed.load(Ordering::Relaxed)
    }
}

impl Drop for BadNetwork {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl State {
    fn fate(&self) -> Option<Fate> {
        let mut random = self.random.lock().expect("nobody panics while holding it");
        let random = random.as_mut()?;
        let time = |seconds: f64| Duration::from_secs_f64(random.unit() * seconds);
        let (long, short) = (time(6.0), time(3.0));
        let dice = random.unit();
        Some(match dice {
            dice if dice < 0.15 => Fate::Refused,
            dice if dice < 0.55 => Fate::Cut(long),
            dice if dice < 0.95 => Fate::Hangs(long, short),
            _ => Fate::Silent(long),
        })
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection(stream, state.clone()));
            }
        }
    }
}

async fn connection(mut client: TcpStream, state: Arc<State>) {
    let fate = state.fate();
    if fate.is_some() {
        state.harmed.fetch_add(1, Ordering::Relaxed);
    }
    if matches!(fate, Some(Fate::Refused)) {
        return;
    }
    let target = *state.target.lock().expect("nobody panics while holding it");
    // A server that is down refuses.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    match fate {
        None | Some(Fate::Refused) => copy(&mut client, &mut server).await,
        Some(Fate::Cut(after)) => {
            let _ = tokio::time::timeout(after, copy(&mut client, &mut server)).await;
        }
        Some(Fate::Hangs(after, rest)) => {
            if tokio::time::timeout(after, copy(&mut client, &mut server)).await.is_err() {
                sleep(rest).await;
            }
        }
        Some(Fate::Silent(after)) => {
            if tokio::time::timeout(after, copy(&mut client, &mut server)).await.is_err() {
                // The server may be gone meanwhile: the client is not told.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Forwards in both directions until one side ends.
async fn copy(client: &mut TcpStream, server: &mut TcpStream) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = pipe(&mut from_client, &mut to_server);
    let down = pipe(&mut from_server, &mut to_client);
    tokio::select! {
        biased;
        () = up => {}
        () = down => {}
    }
}

async fn pipe(from: &mut (impl AsyncReadExt + Unpin), to: &mut (impl AsyncWriteExt + Unpin)) {
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
