//! `DefaultTolerationSeconds`: pods stay five minutes on a node that is not ready or cannot be reached.

use serde_json::{Value, json};
use steersman_machinery::meta;

use super::{Attributes, Operation, Plugin, Verdict, pass};

/// The taints of a node in trouble.
const TAINTS: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];
/// How long a pod tolerates them.
const SECONDS: u32 = 300;

pub(super) struct DefaultTolerationSeconds;

impl Plugin for DefaultTolerationSeconds {
    fn name(&self) -> &'static str {
        "DefaultTolerationSeconds"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if attributes.is("", "pods") && attributes.operation != Operation::Delete {
            add_defaults(object);
        }
        pass()
    }
}

fn add_defaults(pod: &mut Value) {
    let tolerations = meta::items(pod, &["spec", "tolerations"]);
    let missing: Vec<&str> =
        TAINTS.into_iter().filter(|taint| !tolerations.iter().any(|it| tolerates(it, taint))).collect();
    if missing.is_empty() {
        return;
    }
    let mut all = tolerations.to_vec();
    all.extend(
        missing
            .into_iter()
            .map(|key| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": SECONDS})),
    );
    meta::set(pod, &["spec", "tolerations"], all);
}

fn tolerates(toleration: &Value, taint: &str) -> bool {
    let key = meta::text(toleration, &["key"]);
    let effect = meta::text(toleration, &["effect"]);
    (key.is_empty() || key == taint) && (effect.is_empty() || effect == "NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        let check = |tolerations: Value, expect: usize| {
            let mut pod = json!({"spec": {"tolerations": tolerations}});
            add_defaults(&mut pod);
            assert_eq!(meta::items(&pod, &["spec", "tolerations"]).len(), expect, "{pod}");
        };
        check(json!([]), 2);
        check(json!([{"operator": "Exists"}]), 1);
        check(json!([{"key": TAINTS[0], "effect": "NoExecute"}]), 2);
        check(json!([{"key": "x", "effect": "NoSchedule"}]), 3);
    }
}
