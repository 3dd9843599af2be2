//! Who uses what.

use serde_json::Value;
use steersman_machinery::meta;

/// Whether a pod has a claim. One that has no node yet does not: it will not be started with a claim that is going.
pub fn uses_claim(pod: &Value, claim: &Value) -> bool {
    let name = meta::name(claim);
    let shut_down = meta::deletion_timestamp(pod).is_some() && meta::deletion_grace_period(pod) == Some(0);
    let is_own = || meta::controller_of(claim).is_some_and(|owner| meta::text(owner, &["uid"]) == meta::uid(pod));
    let uses = |volume: &Value| {
        let generated = || format!("{}-{}", meta::name(pod), meta::text(volume, &["name"]));
        let ephemeral = volume.get("ephemeral").is_some_and(Value::is_object);
        meta::text(volume, &["persistentVolumeClaim", "claimName"]) == name
            || (ephemeral && !shut_down && generated() == name && is_own())
    };
    !meta::text(pod, &["spec", "nodeName"]).is_empty() && meta::items(pod, &["spec", "volumes"]).iter().any(uses)
}

/// Whether a claim has, wants or is getting the attributes of a class.
pub fn claim_uses_class(claim: &Value, class: &str) -> bool {
    const PLACES: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    PLACES.iter().any(|path| meta::text(claim, path) == class)
}

/// Whether a volume has the attributes of a class.
pub fn volume_uses_class(volume: &Value, class: &str) -> bool {
    meta::text(volume, &["spec", "volumeAttributesClassName"]) == class
}

/// Whether a pod belongs to a group and has not ended.
pub fn is_in_group(pod: &Value, group: &Value) -> bool {
    let ended = matches!(meta::text(pod, &["status", "phase"]), "Succeeded" | "Failed");
    !ended && meta::text(pod, &["spec", "schedulingGroup", "podGroupName"]) == meta::name(group)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_is_used_by_pods_that_have_a_node() {
        let claim = json!({"metadata": {"name": "data"}});
        let own = json!({"metadata": {"name": "p-v", "ownerReferences": [{"uid": "u", "controller": true}]}});
        let pod = |node: &str, volume: Value| json!({"metadata": {"name": "p", "uid": "u"}, "spec": {"nodeName": node, "volumes": [volume]}});
        let named = json!({"name": "v", "persistentVolumeClaim": {"claimName": "data"}});
        let ephemeral = json!({"name": "v", "ephemeral": {}});
        assert!(uses_claim(&pod("n", named.clone()), &claim));
        assert!(!uses_claim(&pod("", named), &claim));
        assert!(uses_claim(&pod("n", ephemeral.clone()), &own));
        assert!(!uses_claim(&pod("n", ephemeral), &json!({"metadata": {"name": "p-v"}})));
        assert!(!uses_claim(&pod("n", json!({"name": "v", "emptyDir": {}})), &claim));
    }

    #[test]
    fn a_group_is_used_by_pods_that_have_not_ended() {
        let pod = |group: &str, phase: &str| json!({"spec": {"schedulingGroup": {"podGroupName": group}}, "status": {"phase": phase}});
        let group = json!({"metadata": {"name": "g"}});
        for (pod, used) in [
            (pod("g", "Pending"), true),
            (pod("g", "Running"), true),
            (pod("g", "Succeeded"), false),
            (pod("g", "Failed"), false),
            (pod("h", "Running"), false),
            (json!({}), false),
        ] {
            assert_eq!(is_in_group(&pod, &group), used, "{pod}");
        }
    }

    #[test]
    fn a_class_is_used_by_claims_and_volumes() {
        assert!(claim_uses_class(&json!({"status": {"currentVolumeAttributesClassName": "gold"}}), "gold"));
        assert!(!claim_uses_class(&json!({"spec": {"volumeAttributesClassName": "silver"}}), "gold"));
        assert!(volume_uses_class(&json!({"spec": {"volumeAttributesClassName": "gold"}}), "gold"));
    }
}
