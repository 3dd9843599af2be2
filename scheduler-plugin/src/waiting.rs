//! Pods that a Permit plugin holds back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::status::Status;

/// The longest that Permit can hold a pod.
pub(crate) const MAX_PERMIT_WAIT: Duration = Duration::from_secs(15 * 60);

/// Pods whose PreBind runs, by uid: until it has ended they can be called back. Source: `podsInPreBindMap` in
/// `pkg/scheduler/framework/runtime`.
#[derive(Clone, Debug, Default)]
pub(crate) struct PreBinding(Arc<Mutex<BTreeMap<Arc<str>, Arc<Notify>>>>);

impl PreBinding {
    /// PreBind begins for a pod.
    pub(crate) fn begin(&self, uid: Arc<str>) -> Recall {
        let called = Arc::new(Notify::new());
        self.0.lock().insert(uid.clone(), called.clone());
        Recall { pods: self.clone(), uid, called }
    }

    /// The pod has to make room before it is bound. Whether its PreBind was running.
    pub(crate) fn preempt(&self, uid: &str) -> bool {
        let called = self.0.lock().remove(uid);
        called.inspect(|called| called.notify_one()).is_some()
    }
}

/// That a pod can be called back; no longer when this is dropped.
pub(crate) struct Recall {
    pods: PreBinding,
    uid: Arc<str>,
    called: Arc<Notify>,
}

impl Recall {
    /// Waits until the pod is called back.
    pub(crate) async fn called(&self) {
        self.called.notified().await;
    }

    /// From now on the pod can't be called back any more; false if it was.
    pub(crate) fn end(self) -> bool {
        self.pods.0.lock().remove(&self.uid).is_some()
    }
}

impl Drop for Recall {
    fn drop(&mut self) {
        self.pods.0.lock().remove(&self.uid);
    }
}

/// All pods that are held at Permit, by uid. Plugins get it through [`crate::registry::Handle`].
#[derive(Clone, Debug, Default)]
pub struct WaitingPods(Arc<Mutex<BTreeMap<Arc<str>, WaitingPod>>>);

#[derive(Debug)]
struct WaitingPod {
    /// Who still holds the pod.
    plugins: BTreeMap<&'static str, Instant>,
    verdict: watch::Sender<Option<Status>>,
}

impl WaitingPods {
    /// The uids of all waiting pods.
    pub fn uids(&self) -> Vec<Arc<str>> {
        self.0.lock().keys().cloned().collect()
    }

    /// How many pods wait.
    pub fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A plugin lets the pod go; it goes on when nobody else holds it.
    pub fn allow(&self, uid: &str, plugin: &str) {
        if let Some(pod) = self.0.lock().get_mut(uid) {
            pod.plugins.remove(plugin);
            if pod.plugins.is_empty() {
                pod.verdict.send_replace(Some(Status::success()));
            }
        }
    }

    /// A plugin rejects the pod; the attempt ends.
    pub fn reject(&self, uid: &str, plugin: &'static str, message: impl Into<String>) {
        if let Some(pod) = self.0.lock().get_mut(uid) {
            pod.verdict.send_replace(Some(Status::unschedulable(message.into()).by(plugin)));
        }
    }

    /// The pod has to make room before it is bound: its attempt ends as if by an error. Whether it was waiting.
    pub(crate) fn preempt(&self, uid: &str) -> bool {
        match self.0.lock().get_mut(uid) {
            Some(pod) => pod.verdict.send_replace(Some(Status::error("preempted"))).is_none(),
            None => false,
        }
    }

    /// The pod is gone: its attempt ends.
    pub(crate) fn forget(&self, uid: &str) {
        if let Some(pod) = self.0.lock().get_mut(uid) {
            pod.verdict.send_replace(Some(Status::error("the waiting pod was deleted")));
        }
    }

    /// Starts to hold a pod for these plugins.
    pub(crate) fn hold(&self, uid: Arc<str>, plugins: &[(&'static str, Duration)], now: Instant) -> Held {
        let (verdict, receiver) = watch::channel(None);
        let until = |wait: &Duration| now + (*wait).min(MAX_PERMIT_WAIT);
        let timers = plugins.iter().map(|(plugin, wait)| (*plugin, until(wait))).collect();
        let pod = WaitingPod { plugins: timers, verdict };
        self.0.lock().insert(uid.clone(), pod);
        Held { pods: self.clone(), uid, receiver, plugins: plugins.to_vec() }
    }

    /// The plugin whose time is up first, and when.
    fn first_timeout(&self, uid: &str) -> Option<(&'static str, Instant)> {
        let pods = self.0.lock();
        let timers = pods.get(uid)?.plugins.iter();
        timers.map(|(plugin, until)| (*plugin, *until)).min_by_key(|(_, until)| *until)
    }
}

/// A pod that is held; no longer when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pods: WaitingPods,
    uid: Arc<str>,
    receiver: watch::Receiver<Option<Status>>,
    plugins: Vec<(&'static str, Duration)>,
}

impl Held {
    /// The answer, if there is one already: Success if nobody holds the pod any more.
    pub(crate) fn settled(&self) -> Option<Status> {
        self.receiver.borrow().clone()
    }

    /// Who held the pod in the beginning.
    pub(crate) fn plugins(&self) -> impl Iterator<Item = &'static str> {
        self.plugins.iter().map(|(plugin, _)| *plugin)
    }

    /// Waits until the pod is allowed or rejected, or a plugin's time is up.
    pub(crate) async fn verdict(mut self) -> Status {
        loop {
            if let Some(status) = self.receiver.borrow_and_update().clone() {
                return status;
            }
            let Some((plugin, until)) = self.pods.first_timeout(&self.uid) else {
                return Status::success();
            };
            let wait = self.plugins.iter().find(|(name, _)| *name == plugin);
            tokio::select! {
                biased;
                changed = self.receiver.changed() => {
                    if changed.is_err() {
                        return Status::error("the waiting pod was forgotten");
                    }
                }
                () = tokio::time::sleep_until(until) => {
                    // Another plugin may hold the pod longer by now; only a timer that still runs rejects.
                    if self.pods.first_timeout(&self.uid).is_some_and(|(_, until)| until <= Instant::now()) {
                        let wait = wait.map_or(Duration::ZERO, |(_, wait)| (*wait).min(MAX_PERMIT_WAIT));
                        let reason = format!("rejected due to timeout after waiting {wait:?} at plugin {plugin}");
                        return Status::unschedulable(reason).by(plugin);
                    }
                }
            }
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.pods.0.lock().remove(&self.uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_held_pod_goes_on_when_all_allow_it() {
        let pods = WaitingPods::default();
        let minute = Duration::from_secs(60);
        let held = pods.hold("u".into(), &[("A", minute), ("B", minute * 2)], Instant::now());
        pods.allow("u", "A");
        pods.allow("u", "B");
        assert!(held.verdict().await.is_success());
        assert!(pods.uids().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_timer_to_end_rejects() {
        let pods = WaitingPods::default();
        let seconds = Duration::from_secs;
        let start = Instant::now();
        let held = pods.hold("u".into(), &[("A", seconds(9)), ("B", seconds(5))], start);
        let status = held.verdict().await;
        assert_eq!(status.message(), "rejected due to timeout after waiting 5s at plugin B");
        assert_eq!(status.plugin(), "B");
        assert_eq!(start.elapsed(), seconds(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejected_pod_says_why() {
        let pods = WaitingPods::default();
        let held = pods.hold("u".into(), &[("A", Duration::from_secs(9))], Instant::now());
        pods.reject("u", "A", "no");
        assert_eq!(held.verdict().await, Status::unschedulable("no").by("A"));
    }
}
