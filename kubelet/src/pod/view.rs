//! What is kept of a Pod: enough to run it, and no more, because there are many.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::object::{self, PodObject};
use crate::annotations::Script;

/// A pod as the kubelet was told to run it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodView {
    pub(super) key: Arc<Key>,
    pub(super) uid: Box<str>,
    pub(super) generation: i64,
    /// When the pod is to be gone at the latest, if it is being deleted.
    pub(super) deletion: Option<Timestamp>,
    /// Whether somebody will still look at the pod after it is deleted.
    pub(super) has_finalizers: bool,
    pub(super) restart_policy: RestartPolicy,
    pub(super) host_network: bool,
    pub(super) active_deadline: Option<Duration>,
    /// Init containers first, in their order. Shared by pods that are alike; see [`Pool`].
    pub(super) containers: Arc<[ContainerSpec]>,
    pub(super) gates: Box<[Gate]>,
    /// `None` if the annotations say nothing, as with most pods.
    pub(super) script: Option<Box<Script>>,
}

/// The name of a pod in its cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) namespace: Box<str>,
    pub(super) name: Box<str>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ContainerSpec {
    pub(super) name: Box<str>,
    pub(super) image: Arc<str>,
    pub(super) role: Role,
}

/// What part a container plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Runs before the others, to its end.
    Init,
    /// An init container that goes on beside the main ones (KEP-753).
    Sidecar,
    Main,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum RestartPolicy {
    #[default]
    Always,
    OnFailure,
    Never,
}

/// A readiness gate, and what its condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    pub(super) condition: Box<str>,
    /// `None` if the pod has no such condition.
    pub(super) status: Option<Box<str>>,
}

impl RestartPolicy {
    /// Whether a container that ended with that code is started again.
    pub(super) fn restarts(self, code: i32) -> bool {
        match self {
            Self::Always => true,
            Self::OnFailure => code != 0,
            Self::Never => false,
        }
    }
}

impl PodView {
    /// What the annotations say.
    pub(super) fn script(&self) -> Script {
        self.script.as_deref().copied().unwrap_or_default()
    }

    /// Reads an object.
    pub(super) fn new(pod: PodObject) -> Self {
        let annotations = &pod.metadata.annotations;
        let script = Script::parse(|name| annotations.get(name).map(String::as_str));
        let status = |condition: &str| {
            let found = pod.status.conditions.iter().find(|found| *found.type_ == *condition);
            found.map(|found| found.status.clone())
        };
        let gates = pod
            .spec
            .readiness_gates
            .iter()
            .map(|gate| Gate { status: status(&gate.condition_type), condition: gate.condition_type.clone() });
        let gates = gates.collect();
        let init = pod.spec.init_containers.into_iter().map(|container| {
            let sidecar = container.restart_policy.as_deref() == Some("Always");
            container_spec(container, if sidecar { Role::Sidecar } else { Role::Init })
        });
        let main = pod.spec.containers.into_iter();
        Self {
            key: Arc::new(Key { namespace: pod.metadata.namespace, name: pod.metadata.name }),
            uid: pod.metadata.uid,
            generation: pod.metadata.generation,
            deletion: pod.metadata.deletion_timestamp,
            has_finalizers: !pod.metadata.finalizers.is_empty(),
            restart_policy: match &*pod.spec.restart_policy {
                "OnFailure" => RestartPolicy::OnFailure,
                "Never" => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            host_network: pod.spec.host_network,
            active_deadline: pod
                .spec
                .active_deadline_seconds
                .and_then(|seconds| Some(Duration::from_secs(seconds.try_into().ok()?))),
            containers: init.chain(main.map(|container| container_spec(container, Role::Main))).collect(),
            gates,
            script: (script != Script::default()).then(|| Box::new(script)),
        }
    }
}

fn container_spec(container: object::Container, role: Role) -> ContainerSpec {
    ContainerSpec { name: container.name, image: container.image.into(), role }
}

/// The containers of all pods, each list once: the pods of a workload have the same.
#[derive(Debug, Default)]
pub(super) struct Pool {
    lists: BTreeSet<Arc<[ContainerSpec]>>,
    /// How many lists there may be before those that nobody has any more are looked for.
    limit: usize,
}

impl Pool {
    /// Lets a pod share its containers with those that have the same.
    pub(super) fn share(&mut self, view: &mut PodView) {
        if let Some(list) = self.lists.get(&view.containers) {
            view.containers = Arc::clone(list);
            return;
        }
        if self.lists.len() >= self.limit {
            self.lists.retain(|list| Arc::strong_count(list) > 1);
            // At least half of the next lists are new ones, so that looking costs little.
            self.limit = (2 * self.lists.len()).max(16);
        }
        self.lists.insert(Arc::clone(&view.containers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_share_what_is_the_same_and_nothing_is_kept_for_nobody() {
        let view = |image: &str| {
            let mut pod = crate::testing::pod("web");
            pod["spec"]["containers"][0]["image"] = image.into();
            PodView::new(serde_json::from_value(pod).expect("this is a pod"))
        };
        let (mut pool, mut first, mut second) = (Pool::default(), view("a"), view("a"));
        pool.share(&mut first);
        pool.share(&mut second);
        assert!(Arc::ptr_eq(&first.containers, &second.containers));
        for index in 0..1000 {
            pool.share(&mut view(&index.to_string()));
        }
        assert!(pool.lists.len() <= 16);
        pool.share(&mut second);
        assert!(Arc::ptr_eq(&first.containers, &second.containers));
    }
}
