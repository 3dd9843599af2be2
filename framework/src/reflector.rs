//! List and watch of one resource, for ever: whatever happens to the connection, the sink ends up knowing what is there.
//! Source: `k8s.io/client-go/tools/cache` reflector; Kubernetes doc "Efficient detection of changes".
//!
//! An object that cannot be read as the type that is asked for is told of as an error in the log and left out; a watch that meets
//! one goes on, with what was known of it before.
//!
//! Most controllers want an [`Informer`](crate::informer::Informer), which keeps what a reflector tells. A sink of one's own suits
//! who keeps something else, for instance columns instead of objects:
//!
//! ```no_run
//! use steersman_framework::api::{Api, Resource};
//! use steersman_framework::meta::Partial;
//! use steersman_framework::reflector::{Change, Reflector, Sink};
//! use steersman_framework::runtime::Context;
//!
//! static NODES: Resource = Resource::cluster("", "v1", "Node", "nodes");
//!
//! struct Print;
//!
//! impl Sink<Partial> for Print {
//!     fn take(&self, change: Change<Partial>, resource_version: &str) {
//!         println!("{resource_version}: {change:?}");
//!     }
//! }
//!
//! async fn run(context: Context) {
//!     let nodes = Reflector {
//!         api: Api::new(context.client.clone(), "printer"),
//!         resource: NODES.clone(),
//!         metadata_only: true,
//!         field_selector: String::new(),
//!         optional: false,
//!         version: |node: &Partial| &node.metadata.resource_version,
//!         sink: Print,
//!     };
//!     nodes.run(context.shutdown.clone()).await;
//! }
//! ```

mod lenient;

use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::Error;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::core::Request;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout};

use crate::api::{Api, Page, Resource, has_code, is_not_found};
use crate::reflector::lenient::{Lenient, Told};
use crate::runtime::Shutdown;

/// Objects a page of the initial list.
const PAGE: u32 = 500;
/// The first wait after a failure. No jitter: one trace for one input.
const RETRY_BASE: Duration = Duration::from_millis(100);
/// The longest wait after a failure.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A watch that lasted this long was a good one, even without events.
const HEALTHY: Duration = Duration::from_secs(5);
/// After this time the server is asked to end a watch, so that a silently dead connection is noticed.
const WATCH_SECONDS: u32 = 290;
/// A watch that lasts longer than it was asked to has no server any more that would end it.
const WATCH_MAX: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 30);
/// A page of a list that takes longer is not going to come: API servers give up after a minute.
const PAGE_MAX: Duration = Duration::from_secs(90);
/// How often an optional resource is looked for that the server does not have.
const ABSENT: Duration = Duration::from_secs(30);

/// What happened to the resource.
#[derive(Debug)]
pub enum Change<T> {
    /// This is all there is; what is not in it is gone.
    Replaced(Vec<T>),
    /// An object was created or changed.
    Applied(T),
    /// An object was removed; this is its last state.
    Deleted(T),
    /// Nothing, but the version moved on.
    Progress,
}

/// Takes the changes of a resource in.
pub trait Sink<T>: Send + Sync {
    /// Takes one change in, in the order of the server; `resource_version` is the version reached with it.
    fn take(&self, change: Change<T>, resource_version: &str);
}

/// What is listed and watched.
pub struct Reflector<T, S> {
    /// Reads with this.
    pub api: Api,
    /// The resource, over all namespaces.
    pub resource: Resource,
    /// Whether only the metadata of the objects is asked for.
    pub metadata_only: bool,
    /// Which of the objects; all of them if it is empty.
    pub field_selector: String,
    /// Whether servers may be without the resource: those of other versions, or without a definition. It counts as empty
    /// then, and is looked for every 30 seconds. Once it was there, it is not taken for gone: a server that starts may not
    /// have found it yet.
    pub optional: bool,
    /// Gives the version of an object.
    pub version: fn(&T) -> &str,
    /// Takes the changes in.
    pub sink: S,
}

/// What is known of the resource itself.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Unknown,
    Absent,
    Served,
}

/// Why a list or watch has to begin again.
enum Broken {
    /// Ask for a new watch from where the last one ended.
    Resume,
    /// The server has forgotten that version: list again.
    Expired,
    /// An object cannot be understood: resume, and take the next ones one by one.
    Odd,
    /// Something failed: wait, then resume.
    Failed(Error),
}

impl<T: Clone + DeserializeOwned + Send + 'static, S: Sink<T>> Reflector<T, S> {
    /// Lists and watches until `shutdown` is requested.
    pub async fn run(self, shutdown: Shutdown) {
        tokio::select! {
            biased;
            () = shutdown.requested() => {}
            () = self.forever() => {}
        }
    }

    async fn forever(&self) {
        let mut retry = RETRY_BASE;
        let mut version: Option<String> = None;
        let mut stage = Stage::Unknown;
        let mut lenient = false;
        loop {
            let begun = Instant::now();
            let result = match version.as_mut() {
                None => match self.list().await {
                    Ok(listed) => {
                        version = Some(listed);
                        lenient = false;
                        stage = Stage::Served;
                        continue;
                    }
                    Err(error) if self.optional && stage != Stage::Served && is_not_found(&error) => {
                        if stage == Stage::Unknown {
                            tracing::warn!(resource = %self.resource, "the API server does not have this resource");
                            self.sink.take(Change::Replaced(Vec::new()), "");
                        }
                        stage = Stage::Absent;
                        tokio::time::sleep(ABSENT).await;
                        continue;
                    }
                    Err(error) => Broken::Failed(error),
                },
                Some(version) => timeout(WATCH_MAX, self.watch(version, lenient)).await.unwrap_or(Broken::Resume),
            };
            if begun.elapsed() >= HEALTHY {
                retry = RETRY_BASE;
            }
            match result {
                Broken::Resume if begun.elapsed() >= HEALTHY => continue,
                Broken::Resume => {}
                Broken::Expired => version = None,
                Broken::Odd => lenient = true,
                Broken::Failed(error) => {
                    tracing::debug!(resource = %self.resource, %error, "list or watch failed, retrying");
                    if has_code(&error, 410) {
                        version = None;
                    }
                }
            }
            tokio::time::sleep(retry).await;
            retry = (retry * 2).min(RETRY_MAX);
        }
    }

    fn field_selector(&self) -> Option<String> {
        Some(self.field_selector.clone()).filter(|selector| !selector.is_empty())
    }

    async fn list(&self) -> Result<String, Error> {
        let mut items = Vec::new();
        let mut params = ListParams { field_selector: self.field_selector(), ..ListParams::default().limit(PAGE) };
        loop {
            let page = match self.page::<T>(&params).await {
                Err(Error::SerdeError(_)) => {
                    let page = self.page::<Lenient<T>>(&params).await?;
                    let understood = page
                        .items
                        .into_iter()
                        .filter_map(|Lenient(object)| object.inspect_err(|odd| odd.tell(&self.resource)).ok());
                    Page { items: understood.collect(), metadata: page.metadata }
                }
                page => page?,
            };
            items.extend(page.items);
            if page.metadata.continue_token.is_empty() {
                let version = page.metadata.resource_version;
                self.sink.take(Change::Replaced(items), &version);
                return Ok(version);
            }
            params = params.continue_token(&page.metadata.continue_token);
        }
    }

    async fn page<O: DeserializeOwned>(&self, params: &ListParams) -> Result<Page<O>, Error> {
        let page = async {
            match self.metadata_only {
                true => self.api.list_metadata(&self.resource, "", params).await,
                false => self.api.list(&self.resource, "", params).await,
            }
        };
        let late = |_| Error::Service("a page of a list did not come in time".into());
        timeout(PAGE_MAX, page).await.map_err(late)?
    }

    async fn watch(&self, version: &mut String, lenient: bool) -> Broken {
        let params = WatchParams {
            timeout: Some(WATCH_SECONDS),
            bookmarks: true,
            field_selector: self.field_selector(),
            ..WatchParams::default()
        };
        let collection = Request::new(self.resource.path(""));
        let request = if self.metadata_only {
            collection.watch_metadata(&params, version)
        } else {
            collection.watch(&params, version)
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Broken::Failed(Error::BuildRequest(error)),
        };
        let client = self.api.client();
        match lenient {
            false => match client.request_events::<T>(request).await {
                Ok(events) => self.follow(events.map(|event| event.map(Told::Event)), version).await,
                Err(error) => Broken::Failed(error),
            },
            true => match client.request_events::<Lenient<T>>(request).await {
                Ok(events) => self.follow(events.map(|event| event.map(Told::of)), version).await,
                Err(error) => Broken::Failed(error),
            },
        }
    }

    async fn follow(&self, events: impl Stream<Item = Result<Told<T>, Error>>, version: &mut String) -> Broken {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            let broken = match event {
                Ok(Told::Event(event)) => self.take(event, version),
                // What was known of it before stays known.
                Ok(Told::Odd(odd)) => {
                    odd.tell(&self.resource);
                    odd.resource_version.clone_into(version);
                    self.sink.take(Change::Progress, version);
                    None
                }
                Ok(Told::OddGone) => Some(Broken::Expired),
                Err(Error::SerdeError(_)) => Some(Broken::Odd),
                // What is no event is taken for a status by kube, which anything is: but for one that says nothing.
                Err(Error::Api(status)) if status.code == 0 => Some(Broken::Odd),
                Err(error) => Some(Broken::Failed(error)),
            };
            if let Some(broken) = broken {
                return broken;
            }
        }
        Broken::Resume
    }

    fn take(&self, event: WatchEvent<T>, version: &mut String) -> Option<Broken> {
        let change = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                (self.version)(&object).clone_into(version);
                Change::Applied(object)
            }
            WatchEvent::Deleted(object) => {
                (self.version)(&object).clone_into(version);
                Change::Deleted(object)
            }
            WatchEvent::Bookmark(bookmark) => {
                *version = bookmark.metadata.resource_version;
                Change::Progress
            }
            WatchEvent::Error(status) if status.code == 410 => return Some(Broken::Expired),
            WatchEvent::Error(status) => return Some(Broken::Failed(Error::Api(status))),
        };
        self.sink.take(change, version);
        None
    }
}
