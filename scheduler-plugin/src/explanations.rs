//! What the running scheduler decided lately and why, for whoever asks: over HTTP, and as an annotation of the pod.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;

use crate::cycle::{Limits, Summary};

/// The annotation that has the explanation of a pod's last attempt, as JSON.
pub const ANNOTATION: &str = "steersman.dev/scheduling-explanation";
/// The path at which [`Explanations::answer`] is meant to be served.
pub const PATH: &str = "/debug/explain";
/// How much is told of a decision: what fits in an annotation (8 groups of 5 names and 20 scores are some 8 KiB of the 256
/// that annotations may have) and what thousands of decisions may take of memory.
pub(crate) const LIMITS: Limits = Limits::READABLE;

/// The last decisions, explained. Clones share them.
#[derive(Clone, Debug)]
pub struct Explanations {
    keep: usize,
    annotate: bool,
    told: Arc<Mutex<Told>>,
}

#[derive(Debug, Default)]
struct Told {
    by_pod: BTreeMap<String, Arc<Summary>>,
    /// The one that was told longest ago comes first.
    order: VecDeque<String>,
}

impl Explanations {
    /// Keeps the last decision about each of this many pods.
    pub fn new(keep: usize) -> Self {
        Self { keep, annotate: false, told: Arc::default() }
    }

    /// Writes them on the pods as well ([`ANNOTATION`]): one more write an attempt that says something new.
    #[must_use]
    pub fn annotating(mut self) -> Self {
        self.annotate = true;
        self
    }

    /// Whether pods are annotated.
    pub(crate) fn annotates(&self) -> bool {
        self.annotate
    }

    /// The last decision about a pod (`namespace/name`).
    pub fn get(&self, pod: &str) -> Option<Arc<Summary>> {
        self.told.lock().by_pod.get(pod).cloned()
    }

    /// The pods about which something is known, the latest first.
    pub fn pods(&self) -> Vec<String> {
        self.told.lock().order.iter().rev().cloned().collect()
    }

    /// Remembers a decision; whether it differs from the last one about the pod.
    pub(crate) fn tell(&self, summary: Summary) -> bool {
        let mut told = self.told.lock();
        let pod = summary.pod.clone();
        let old = told.by_pod.insert(pod.clone(), Arc::new(summary));
        if old.is_some() {
            told.order.retain(|other| *other != pod);
        }
        told.order.push_back(pod.clone());
        while told.order.len() > self.keep {
            if let Some(oldest) = told.order.pop_front() {
                told.by_pod.remove(&oldest);
            }
        }
        old.as_deref() != told.by_pod.get(&pod).map(Arc::as_ref)
    }

    /// Answers a GET with this query: `pod=namespace/name` explains the last decision about a pod, as JSON or with
    /// `format=text` for people; without it, the pods about which something is known. Gives status, content type and body.
    pub fn answer(&self, query: &str) -> (StatusCode, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        const JSON: &str = "application/json";
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            let value = pairs.into_iter().find(|(key, _)| *key == name).map(|(_, value)| value);
            value.map(|value| value.replace("%2F", "/").replace("%2f", "/"))
        };
        let Some(pod) = parameter("pod") else {
            return (StatusCode::OK, JSON, json!({"pods": self.pods()}).to_string());
        };
        let Some(summary) = self.get(&pod) else {
            let why = format!("nothing is known of pod {pod}: the last {} decisions were not about it\n", self.keep);
            return (StatusCode::NOT_FOUND, TEXT, why);
        };
        match parameter("format").as_deref() {
            Some("text") => (StatusCode::OK, TEXT, summary.to_string()),
            None | Some("json") => (StatusCode::OK, JSON, json!(*summary).to_string()),
            Some(other) => (StatusCode::BAD_REQUEST, TEXT, format!("format {other:?}: expected json or text\n")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(pod: &str, message: &str) -> Summary {
        Summary {
            pod: pod.to_owned(),
            scheduler_name: "s".to_owned(),
            node: None,
            message: message.to_owned(),
            nodes: 1,
            weights: BTreeMap::new(),
            groups: Vec::new(),
            untold: 0,
        }
    }

    #[test]
    fn the_last_decisions_are_kept_and_no_more() {
        let explanations = Explanations::new(2);
        assert!(explanations.tell(summary("d/a", "x")));
        assert!(!explanations.tell(summary("d/a", "x")), "nothing new");
        assert!(explanations.tell(summary("d/a", "y")));
        explanations.tell(summary("d/b", ""));
        explanations.tell(summary("d/c", ""));
        assert_eq!(explanations.pods(), ["d/c", "d/b"]);
    }

    #[test]
    fn who_asks_gets_json_or_text_or_what_is_wrong() {
        let explanations = Explanations::new(2);
        explanations.tell(summary("d/a", "why"));
        let check = |query: &str, status: u16, part: &str| {
            let (code, _, body) = explanations.answer(query);
            assert!(code == status && body.contains(part), "{query}: {code} {body}");
        };
        check("", 200, r#"{"pods":["d/a"]}"#);
        check("pod=d/a", 200, r#""message":"why""#);
        check("pod=d%2Fa&format=text", 200, "d/a: no node, of 1 node\n  why\n");
        check("pod=d/a&format=xml", 400, "expected json or text");
        check("pod=d/b", 404, "nothing is known of pod d/b");
    }
}
