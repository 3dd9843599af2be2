//! Whatever pods there are: what a ReplicaSet claims it owns alone, and what it deletes it owns.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;
use steersman_framework::meta::{Meta, OwnerReference};
use steersman_framework::ownership::{Claim, claim};

use crate::objects::{Phase, Pod, ReplicaSet};
use crate::replicaset::plan::{BURST, Scale, plan_scale};
use crate::replicaset::ranking::Rules;

const NOW: Timestamp = Timestamp::constant(1_700_000_000, 0);

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Pending, Phase::Unknown, Phase::Running, Phase::Succeeded, Phase::Failed])
}

/// A pod that we control, another controls, or nobody; that matches or does not; in any state.
fn pod() -> impl Strategy<Value = Pod> {
    let owner = prop::option::of(prop::sample::select(vec!["us", "them"]));
    let state = (phase(), any::<bool>(), prop::option::of(0..30_000_i64), 0..3_u8);
    let details = (any::<bool>(), any::<bool>(), -2..3_i32, 0..3_i32);
    (owner, state, details, any::<u64>()).prop_map(|(owner, (phase, ready, age, node), details, id)| {
        let (matches, deleting, deletion_cost, restarts) = details;
        let since = age.map(|age| NOW - SignedDuration::from_secs(age));
        let mut metadata = Meta {
            name: format!("pod-{id:x}"),
            namespace: "ns".to_owned(),
            uid: format!("{id:x}"),
            deletion_timestamp: deleting.then_some(NOW),
            creation_timestamp: since,
            ..Meta::default()
        };
        metadata.labels.insert("app", if matches { "web" } else { "api" });
        let reference =
            |uid: &str| OwnerReference { uid: uid.to_owned(), controller: Some(true), ..OwnerReference::default() };
        metadata.owner_references = owner.map(reference).into_iter().collect();
        let node_name = if node == 0 { String::new() } else { format!("node-{node}") };
        Pod { metadata, phase, ready, ready_since: since, node_name, deletion_cost, restarts, ..Pod::default() }
    })
}

fn set(replicas: i32, deleting: bool) -> ReplicaSet {
    let mut set: ReplicaSet = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "ns", "uid": "us"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}},
    }))
    .unwrap();
    set.metadata.deletion_timestamp = deleting.then_some(NOW);
    set
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_claimed_that_another_controls_and_nothing_deleted_that_we_do_not(
        pods in prop::collection::vec(pod(), 0..40),
        replicas in 0..30_i32,
        deleting in any::<bool>(),
    ) {
        let set = set(replicas, deleting);
        let controller = |pod: &Pod| pod.metadata.controller().map(|owner| owner.uid.clone());
        let mut claimed = Vec::new();
        for pod in pods.iter().filter(|pod| pod.is_active()) {
            let ours = controller(pod).as_deref() == Some("us");
            match claim(&set.metadata, &set.spec.selector, &pod.metadata) {
                Claim::Owned => prop_assert!(ours),
                // The server refuses a second controller, so that there is never more than one.
                Claim::Adopt => prop_assert!(controller(pod).is_none() && !deleting),
                Claim::Release => {
                    prop_assert!(ours && !deleting);
                    continue;
                }
                Claim::Ignore => continue,
            }
            claimed.push(Arc::new(pod.clone()));
        }
        let related: Vec<Arc<Pod>> = pods.iter().cloned().map(Arc::new).collect();
        let wanted = usize::try_from(replicas).unwrap();
        match plan_scale(&set, &claimed, &related, Rules { now: NOW, deletion_cost: true }) {
            Scale::Keep => prop_assert_eq!(claimed.len(), wanted),
            Scale::Create(count) => prop_assert_eq!(count, (wanted - claimed.len()).min(BURST)),
            Scale::Delete(victims) => {
                prop_assert_eq!(victims.len(), claimed.len() - wanted);
                let uids = |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.metadata.uid.clone()).collect::<BTreeSet<_>>();
                prop_assert_eq!(uids(&victims).len(), victims.len(), "each once");
                prop_assert!(uids(&victims).is_subset(&uids(&claimed)));
                prop_assert!(victims.iter().all(|pod| pod.is_active()));
            }
        }
    }
}
