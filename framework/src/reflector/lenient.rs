//! Reads objects one by one, so that one that cannot be understood does not stand in the way of all others. A server checks
//! what it stores, but not against our types: a custom resource may have an older schema, a newer server other values.

use kube::api::WatchEvent;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::Value;

/// An object, or what is known of it if it cannot be understood.
#[derive(Clone)]
pub(super) struct Lenient<T>(pub(super) Result<T, Odd>);

/// An object that cannot be understood.
#[derive(Clone, Debug)]
pub(super) struct Odd {
    /// `namespace/name`.
    object: String,
    pub(super) resource_version: String,
    /// Why not.
    error: String,
}

impl Odd {
    /// Somebody has to act: nothing is done about this object until it is changed.
    pub(super) fn tell(&self, resource: &crate::api::Resource) {
        let Self { object, error, .. } = self;
        tracing::error!(%resource, object, error, "an object cannot be understood and is left alone");
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for Lenient<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let text = |path: &str| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
        let resource_version = text("/metadata/resourceVersion");
        Ok(Self(serde_json::from_value(value).map_err(|error| Odd {
            object: format!("{namespace}/{name}"),
            resource_version,
            error: error.to_string(),
        })))
    }
}

/// An event about an object that is understood, or about one that is not.
pub(super) enum Told<T> {
    Event(WatchEvent<T>),
    /// It has come or changed.
    Odd(Odd),
    /// It has gone; what it was when it was understood is not known here.
    OddGone,
}

impl<T> Told<T> {
    pub(super) fn of(event: WatchEvent<Lenient<T>>) -> Self {
        match event {
            WatchEvent::Added(Lenient(Ok(object))) | WatchEvent::Modified(Lenient(Ok(object))) => {
                Self::Event(WatchEvent::Modified(object))
            }
            WatchEvent::Added(Lenient(Err(odd))) | WatchEvent::Modified(Lenient(Err(odd))) => Self::Odd(odd),
            WatchEvent::Deleted(Lenient(Ok(object))) => Self::Event(WatchEvent::Deleted(object)),
            WatchEvent::Deleted(Lenient(Err(_))) => Self::OddGone,
            WatchEvent::Bookmark(bookmark) => Self::Event(WatchEvent::Bookmark(bookmark)),
            WatchEvent::Error(status) => Self::Event(WatchEvent::Error(status)),
        }
    }
}
