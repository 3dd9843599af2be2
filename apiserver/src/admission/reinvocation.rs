//! The second round of mutation: what changed an object may concern what was asked before.
//! Source: `k8s.io/apiserver/pkg/admission` (`ReinvocationContext`); Kubernetes doc "Dynamic Admission Control", section
//! "Reinvocation policy".

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value;

/// What the mutating plugins of one write remember between its rounds. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Reinvocation(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    second: bool,
    wanted: bool,
    plugins: BTreeMap<&'static str, Asked>,
}

/// Whom a plugin asked: webhooks or policies, by an identifier.
#[derive(Debug, Default)]
struct Asked {
    before: BTreeSet<String>,
    due: BTreeSet<String>,
    output: Option<Value>,
}

impl Asked {
    fn all_are_due(&mut self) {
        self.due.append(&mut self.before);
    }
}

impl Reinvocation {
    /// Whether this is the second round.
    pub fn is_second_round(&self) -> bool {
        self.0.lock().second
    }

    /// Begins a plugin's turn. If others changed the object since its last turn, it asks everybody again.
    pub fn begin(&self, plugin: &'static str, object: &Value) {
        let mut state = self.0.lock();
        let second = state.second;
        let asked = state.plugins.entry(plugin).or_default();
        if second && asked.output.as_ref() != Some(object) {
            asked.all_are_due();
        }
    }

    /// Whether somebody is to be asked: in the first round everybody, in the second those who are due.
    pub fn is_due(&self, plugin: &'static str, id: &str) -> bool {
        let state = self.0.lock();
        !state.second || state.plugins.get(plugin).is_some_and(|asked| asked.due.contains(id))
    }

    /// Somebody whom a plugin asked changed the object: whoever was asked before is due, in a second round.
    pub fn changed(&self, plugin: &'static str) {
        let mut state = self.0.lock();
        state.wanted = true;
        state.plugins.entry(plugin).or_default().all_are_due();
    }

    /// Somebody was asked who may be asked again (`reinvocationPolicy: IfNeeded`).
    pub fn asked(&self, plugin: &'static str, id: &str) {
        self.0.lock().plugins.entry(plugin).or_default().before.insert(id.to_owned());
    }

    /// Ends a plugin's turn, which leaves the object as it is now.
    pub fn end(&self, plugin: &'static str, object: &Value) {
        self.0.lock().plugins.entry(plugin).or_default().output = Some(object.clone());
    }

    /// Begins the second round if one is wanted; there is no third.
    pub(super) fn next_round(&self) -> bool {
        let mut state = self.0.lock();
        !std::mem::replace(&mut state.second, true) && state.wanted
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn who_was_asked_before_a_change_is_asked_again_once() {
        let rounds = Reinvocation::default();
        rounds.begin("p", &json!(1));
        rounds.asked("p", "first");
        rounds.changed("p");
        rounds.asked("p", "second");
        rounds.end("p", &json!(2));
        assert!(rounds.next_round());
        rounds.begin("p", &json!(2));
        assert!(rounds.is_due("p", "first") && !rounds.is_due("p", "second"));
        assert!(!rounds.next_round());
    }

    #[test]
    fn a_change_by_others_concerns_everybody() {
        let rounds = Reinvocation::default();
        rounds.begin("p", &json!(1));
        rounds.asked("p", "first");
        rounds.end("p", &json!(1));
        rounds.changed("q");
        assert!(rounds.next_round());
        rounds.begin("p", &json!(2));
        assert!(rounds.is_due("p", "first"));
    }
}
