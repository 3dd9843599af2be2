//! Objects that plugins ask for: any resource, custom ones too. What upstream's plugins do with informers of their own.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use serde::de::DeserializeOwned;
use serde_json::Value;
use steersman_framework::api::Resource;
use steersman_framework::reflector::Change;

use crate::cluster_event::ActionType;

/// Namespace and name; the namespace is empty for objects that have none.
pub type Key = (String, String);

/// What plugins have asked for. A plugin gets it through [`crate::registry::Handle`].
#[derive(Clone, Default)]
pub struct Watches(Arc<Mutex<Vec<Arc<dyn Source>>>>);

impl Watches {
    /// Keeps all objects of a resource at hand. Pods are not scheduled before the first list has come, if the API server
    /// has that resource; if not, there are no objects. What can't be read as a `T` is left out. Changes come as events of
    /// the resource [`EventResource::Custom`](crate::cluster_event::EventResource::Custom) with its full name
    /// (`podgroups.scheduling.x-k8s.io`).
    pub fn watch<T: DeserializeOwned + Send + Sync + 'static>(&self, resource: &Resource) -> Watched<T> {
        self.add(resource, None)
    }

    /// The same for a resource that can only be listed: it is asked for again after each such time.
    pub fn poll<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        resource: &Resource,
        every: Duration,
    ) -> Watched<T> {
        self.add(resource, Some(every))
    }

    /// Plugins of several profiles share what they have in common.
    fn add<T: DeserializeOwned + Send + Sync + 'static>(
        &self,
        resource: &Resource,
        every: Option<Duration>,
    ) -> Watched<T> {
        let mut sources = self.0.lock();
        let mut same = sources.iter().filter(|source| source.resource() == resource);
        if let Some(objects) = same.find_map(|source| source.objects().downcast_ref::<Objects<T>>().cloned()) {
            return Watched { objects };
        }
        let watched = Watched { objects: Objects::<T>::default() };
        sources.push(Arc::new(Entry { resource: resource.clone(), every, objects: watched.objects.clone() }));
        watched
    }

    /// Everything that was asked for.
    pub(crate) fn sources(&self) -> Vec<Arc<dyn Source>> {
        self.0.lock().clone()
    }

    /// Gives an object to whom it concerns; whether there is anybody.
    pub(crate) fn offer(&self, object: &Value) -> bool {
        let (version, kind) = (object["apiVersion"].as_str(), object["kind"].as_str());
        let wanted = |source: &Arc<dyn Source>| {
            let resource = source.resource();
            kind == Some(&*resource.kind) && version == Some(&*resource.api_version())
        };
        let sources: Vec<_> = self.sources().into_iter().filter(wanted).collect();
        for source in &sources {
            source.apply(Change::Applied(object.clone()));
        }
        !sources.is_empty()
    }
}

impl std::fmt::Debug for Watches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.sources().iter().map(|source| source.resource().to_string())).finish()
    }
}

type Objects<T> = Arc<RwLock<BTreeMap<Key, Arc<T>>>>;

/// Objects of one resource, as the API last showed them. Clones share them.
#[derive(Debug)]
pub struct Watched<T> {
    objects: Objects<T>,
}

impl<T> Clone for Watched<T> {
    fn clone(&self) -> Self {
        Self { objects: self.objects.clone() }
    }
}

impl<T> Watched<T> {
    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<T>> {
        self.objects.read().get(&(namespace.to_owned(), name.to_owned())).cloned()
    }

    /// All objects, in order of their names.
    pub fn all(&self) -> Vec<Arc<T>> {
        self.objects.read().values().cloned().collect()
    }
}

/// A resource that was asked for, whatever its type.
pub(crate) trait Source: Send + Sync {
    fn resource(&self) -> &Resource;

    /// How often it is listed; `None` if it is watched.
    fn every(&self) -> Option<Duration>;

    /// Takes a change in; what happened to which objects.
    fn apply(&self, change: Change<Value>) -> Vec<(ActionType, Key)>;

    fn objects(&self) -> &(dyn Any + Send + Sync);
}

struct Entry<T> {
    resource: Resource,
    every: Option<Duration>,
    objects: Objects<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Source for Entry<T> {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn every(&self) -> Option<Duration> {
        self.every
    }

    fn apply(&self, change: Change<Value>) -> Vec<(ActionType, Key)> {
        let mut objects = self.objects.write();
        let set = |objects: &mut BTreeMap<Key, Arc<T>>, object: Value| {
            let key = key(&object);
            match T::deserialize(object) {
                Ok(object) => {
                    let old = objects.insert(key.clone(), Arc::new(object));
                    Some((if old.is_some() { ActionType::UPDATE } else { ActionType::ADD }, key))
                }
                Err(error) => {
                    tracing::warn!(resource = %self.resource, object = key.1, %error, "an object can't be read");
                    None
                }
            }
        };
        match change {
            Change::Applied(object) => set(&mut objects, object).into_iter().collect(),
            Change::Deleted(object) => {
                let key = key(&object);
                objects.remove(&key).map(|_| (ActionType::DELETE, key)).into_iter().collect()
            }
            Change::Replaced(all) => {
                let mut old = std::mem::take(&mut *objects);
                let mut happened: Vec<_> = all.into_iter().filter_map(|object| set(&mut objects, object)).collect();
                for (action, key) in &mut happened {
                    if old.remove(key).is_some() {
                        *action = ActionType::UPDATE;
                    }
                }
                happened.extend(old.into_keys().map(|key| (ActionType::DELETE, key)));
                happened
            }
            Change::Progress => Vec::new(),
        }
    }

    fn objects(&self) -> &(dyn Any + Send + Sync) {
        &self.objects
    }
}

fn key(object: &Value) -> Key {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    (text("namespace"), text("name"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Thing {
        size: u32,
    }

    #[test]
    fn plugins_that_ask_for_the_same_share_it_and_what_can_not_be_read_is_left_out() {
        const THINGS: Resource = Resource::namespaced("example.com", "v1", "Thing", "things");
        let watches = Watches::default();
        let (one, two) = (watches.watch::<Thing>(&THINGS), watches.watch::<Thing>(&THINGS));
        assert_eq!(watches.sources().len(), 1);
        let thing = |name: &str, size: Value| json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": name, "namespace": "n"}, "size": size});
        assert!(watches.offer(&thing("a", json!(1))));
        assert!(!watches.offer(&json!({"apiVersion": "v1", "kind": "Thing"})));
        assert_eq!((one.get("n", "a").map(|it| it.size), two.all().len()), (Some(1), 1));
        let source = &watches.sources()[0];
        let happened = source.apply(Change::Replaced(vec![thing("b", json!(2)), thing("c", json!("x"))]));
        let of = |name: &str| ("n".to_owned(), name.to_owned());
        assert_eq!(happened, [(ActionType::ADD, of("b")), (ActionType::DELETE, of("a"))]);
        assert_eq!(two.all().iter().map(|it| it.size).collect::<Vec<_>>(), [2]);
    }
}
