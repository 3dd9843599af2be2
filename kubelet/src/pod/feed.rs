//! One list and watch of all bound pods, whichever node they are on.

use std::collections::VecDeque;
use std::time::Duration;

use futures::Stream;
use futures::stream::{BoxStream, StreamExt};
use kube::Client;
use kube::api::{ListParams, WatchParams};
use kube::core::{Request, WatchEvent};
use tokio::time::Instant;

use super::object::{Page, PodObject};
use crate::api;

/// All pods.
const PODS: &str = "/api/v1/pods";

/// Pods that are on some node.
const BOUND: &str = "spec.nodeName!=";

/// Pods in one page: 1–2 MB of JSON at most while a cluster of any size is read.
const PAGE: u32 = 500;

/// A watch that ends sooner than this was not worth its request: the next one waits, lest the loop spins.
const SHORT_WATCH: Duration = Duration::from_secs(1);

/// What became known of the pods.
#[derive(Debug)]
pub(super) enum Change {
    /// All pods follow as [`Change::Applied`], then [`Change::ListEnds`].
    ListBegins,
    /// Pods that were not told since the list began are gone.
    ListEnds,
    /// A pod is new or changed.
    Applied(Box<PodObject>),
    /// A pod is gone.
    Deleted(Box<PodObject>),
}

/// All changes, for ever: failures are waited out, and a watch that fell behind begins with a list again.
pub(super) fn changes(client: Client) -> impl Stream<Item = Change> {
    let feed = Feed { client, state: State::List { next: None }, ready: VecDeque::new(), failures: 0 };
    futures::stream::unfold(feed, |mut feed| async move {
        let change = feed.next().await;
        Some((change, feed))
    })
}

struct Feed {
    client: Client,
    state: State,
    ready: VecDeque<Change>,
    failures: u32,
}

type Events = BoxStream<'static, kube::Result<WatchEvent<PodObject>>>;

enum State {
    /// The page to be asked for is the first, or the one of that token.
    List {
        next: Option<String>,
    },
    /// A watch is to be opened after that version.
    Open {
        version: String,
    },
    Watch {
        version: String,
        since: Instant,
        events: Events,
    },
}

impl Feed {
    async fn next(&mut self) -> Change {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return change;
            }
            if let Err(error) = self.step().await {
                self.failures += 1;
                tracing::warn!(%error, "cannot follow the pods; shall retry");
                tokio::time::sleep(api::retry_delay(self.failures)).await;
            }
        }
    }

    /// Makes one request or reads one event.
    async fn step(&mut self) -> kube::Result<()> {
        let state = std::mem::replace(&mut self.state, State::List { next: None });
        self.state = match state {
            State::List { next } => self.list(next).await?,
            State::Open { version } => self.open(version).await?,
            State::Watch { version, since, events } => self.read(version, since, events).await?,
        };
        Ok(())
    }

    async fn list(&mut self, next: Option<String>) -> kube::Result<State> {
        let params = ListParams {
            field_selector: Some(BOUND.to_owned()),
            limit: Some(PAGE),
            continue_token: next.clone(),
            ..ListParams::default()
        };
        let request = Request::new(PODS).list(&params).map_err(kube::Error::BuildRequest)?;
        // After a failure the list begins anew: the token may have expired.
        let page: Page = self.client.request(request).await?;
        if next.is_none() {
            self.ready.push_back(Change::ListBegins);
        }
        let pods = page.items.into_iter();
        self.ready.extend(pods.map(|pod| Change::Applied(Box::new(pod))));
        self.failures = 0;
        match page.metadata.next.filter(|token| !token.is_empty()) {
            Some(token) => Ok(State::List { next: Some(token) }),
            None => {
                self.ready.push_back(Change::ListEnds);
                Ok(State::Open { version: page.metadata.resource_version })
            }
        }
    }

    async fn open(&mut self, version: String) -> kube::Result<State> {
        let params = WatchParams::default().fields(BOUND);
        let request = Request::new(PODS).watch(&params, &version).map_err(kube::Error::BuildRequest)?;
        match self.client.request_events(request).await {
            Ok(events) => Ok(State::Watch { version, since: Instant::now(), events: events.boxed() }),
            Err(error) if api::code(&error) == 410 => Ok(State::List { next: None }),
            Err(error) => {
                self.state = State::Open { version };
                Err(error)
            }
        }
    }

    async fn read(&mut self, version: String, since: Instant, mut events: Events) -> kube::Result<State> {
        let (version, change) = match events.next().await {
            Some(Ok(WatchEvent::Added(pod) | WatchEvent::Modified(pod))) => {
                (pod.metadata.resource_version.to_string(), Some(Change::Applied(Box::new(pod))))
            }
            Some(Ok(WatchEvent::Deleted(pod))) => {
                (pod.metadata.resource_version.to_string(), Some(Change::Deleted(Box::new(pod))))
            }
            Some(Ok(WatchEvent::Bookmark(bookmark))) => (bookmark.metadata.resource_version, None),
            Some(Ok(WatchEvent::Error(status))) => {
                tracing::debug!(message = status.message, "the watch fell behind; listing anew");
                return if status.code == 410 { Ok(State::List { next: None }) } else { Err(kube::Error::Api(status)) };
            }
            Some(Err(error)) => {
                self.state = State::Open { version };
                return Err(error);
            }
            None => {
                let length = since.elapsed();
                if length < SHORT_WATCH {
                    tokio::time::sleep(SHORT_WATCH - length).await;
                }
                return Ok(State::Open { version });
            }
        };
        self.failures = 0;
        self.ready.extend(change);
        Ok(State::Watch { version, since, events })
    }
}
