//! `TaintNodesByCondition`: a new node gets no pods before somebody has seen that it is ready.
//! Source: Kubernetes doc "Taints and Tolerations", section "Taint Nodes by Condition".

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict, pass};

const NOT_READY: &str = "node.kubernetes.io/not-ready";
const EFFECT: &str = "NoSchedule";

pub(super) struct TaintNodesByCondition;

impl Plugin for TaintNodesByCondition {
    fn name(&self) -> &'static str {
        "TaintNodesByCondition"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if attributes.operation == Operation::Create && attributes.is("", "nodes") {
            taint(object);
        }
        pass()
    }
}

fn taint(node: &mut Value) {
    let mut taints = meta::items(node, &["spec", "taints"]).to_vec();
    let is_it = |taint: &Value| meta::text(taint, &["key"]) == NOT_READY && meta::text(taint, &["effect"]) == EFFECT;
    if !taints.iter().any(is_it) {
        taints.push(json!({"key": NOT_READY, "effect": EFFECT}));
        meta::set(node, &["spec", "taints"], taints);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_tainted_once() {
        let mut node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}});
        taint(&mut node);
        let once = node.clone();
        taint(&mut node);
        assert_eq!(node, once);
        assert_eq!(once["spec"]["taints"][1], json!({"key": NOT_READY, "effect": EFFECT}));
    }
}
