//! Watches what the loop is about, keeps the last state of every object, and prints what happens.

use std::collections::BTreeMap;
use std::io::Write;
use std::pin::Pin;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::stream::SelectAll;
use futures::{Stream, StreamExt, TryStreamExt};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::watcher;
use serde_json::Value;
use tokio::time::Instant;

use super::paint::Paint;
use super::story;

/// A stage that takes longer has failed; all five together stay below ten seconds.
const PATIENCE: Duration = Duration::from_millis(1900);

/// When nothing has happened for this long, a stage is over: events are written after what they are about.
const QUIET: Duration = Duration::from_millis(30);

const KINDS: &[(&str, &str, &str)] =
    &[("apps", "v1", "Deployment"), ("apps", "v1", "ReplicaSet"), ("", "v1", "Pod"), ("", "v1", "Event")];

type Event = (&'static str, watcher::Event<DynamicObject>);
type Events = Pin<Box<dyn Stream<Item = Result<Event, watcher::Error>> + Send>>;

/// Sees and tells.
pub(crate) struct Narrator {
    events: SelectAll<Events>,
    seen: View,
    start: Instant,
    paint: Paint,
}

/// The last state of every object, by kind and name.
#[derive(Default)]
pub(crate) struct View(BTreeMap<(String, String), Value>);

impl View {
    /// The objects of a kind.
    pub(crate) fn all<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.0.iter().filter(move |((of, _), _)| of == kind).map(|(_, object)| object)
    }

    /// One object.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.0.get(&(kind.to_owned(), name.to_owned()))
    }
}

impl Narrator {
    /// Begins to watch the namespace `default`; returns when nothing can happen unseen any more.
    pub(crate) async fn start(client: &Client, paint: Paint) -> Result<Self> {
        let watch = |(group, version, kind): &(&str, &str, &'static str)| -> Events {
            let kind = *kind;
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api: Api<DynamicObject> = Api::default_namespaced_with(client.clone(), &resource);
            watcher(api, watcher::Config::default()).map_ok(move |event| (kind, event)).boxed()
        };
        let mut events = futures::stream::select_all(KINDS.iter().map(watch));
        for _ in KINDS {
            while !matches!(next(&mut events).await?, (_, watcher::Event::InitDone)) {}
        }
        Ok(Self { events, seen: View::default(), start: Instant::now(), paint })
    }

    /// Announces a stage.
    pub(crate) fn begin(&mut self, title: &str) -> Result<()> {
        self.start = Instant::now();
        self.print(&format!("\n{}", self.paint.title(title)))
    }

    /// Tells what happens until `done`, and that it is done; `result` says how the outcome looks.
    pub(crate) async fn until(&mut self, done: impl Fn(&View) -> bool, result: impl Fn(&View) -> String) -> Result<()> {
        let deadline = self.start + PATIENCE;
        while !done(&self.seen) {
            let Ok(event) = tokio::time::timeout_at(deadline, next(&mut self.events)).await else {
                self.print(&self.paint.bad("✘ this did not converge"))?;
                bail!("the stage did not converge in {PATIENCE:?}");
            };
            self.take(event?)?;
        }
        let took = self.start.elapsed();
        while let Ok(event) = tokio::time::timeout(QUIET, next(&mut self.events)).await {
            self.take(event?)?;
        }
        let line = format!("✔ converged in {} ms: {}", took.as_millis(), result(&self.seen));
        self.print(&self.paint.good(&line))
    }

    fn take(&mut self, (kind, event): Event) -> Result<()> {
        let (object, exists) = match event {
            watcher::Event::Apply(object) | watcher::Event::InitApply(object) => (object, true),
            watcher::Event::Delete(object) => (object, false),
            watcher::Event::Init | watcher::Event::InitDone => return Ok(()),
        };
        let mut object = serde_json::to_value(object)?;
        // The items of a list don't say what they are.
        object["kind"] = kind.into();
        let key = (kind.to_owned(), story::text(&object, "/metadata/name").to_owned());
        let old = self.seen.0.remove(&key);
        let new = exists.then_some(&object);
        for line in story::tell(old.as_ref(), new) {
            let at = format!("{:>7.1} ms", self.start.elapsed().as_secs_f64() * 1000.0);
            self.print(&format!("  {}  {}  {}", self.paint.faint(&at), self.paint.who(&line.who), line.what))?;
        }
        if exists {
            self.seen.0.insert(key, object);
        }
        Ok(())
    }

    fn print(&self, line: &str) -> Result<()> {
        writeln!(std::io::stdout(), "{line}").context("nobody reads what is printed")
    }
}

async fn next(events: &mut SelectAll<Events>) -> Result<Event> {
    events.try_next().await.context("a watch failed")?.context("all watches ended")
}
