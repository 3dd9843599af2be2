//! Defaults and limits, by table.

use serde_json::json;

use super::*;

fn range(limits: Value) -> Value {
    json!({"spec": {"limits": limits}})
}

fn pod(containers: Value) -> Value {
    json!({"spec": {"containers": containers}})
}

#[test]
fn containers_get_what_they_do_not_say() {
    let limits = range(json!([
        {"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "100m"}},
        {"type": "Pod", "default": {"cpu": "9"}},
    ]));
    let mut object = pod(json!([{"name": "a", "resources": {"limits": {"cpu": "1"}}}, {"name": "b"}]));
    object["spec"]["initContainers"] = json!([{"name": "i", "resources": {"requests": {"cpu": "1"}}}]);
    set_defaults(&mut object, &limits);
    assert_eq!(
        meta::annotation(&object, ANNOTATION),
        Some(
            "LimitRanger plugin set: cpu request for container a; memory limit for container a; \
             cpu request for container b; cpu, memory limit for container b; cpu, memory limit for init container i"
        )
    );
    let of_a = json!({"limits": {"cpu": "1", "memory": "256Mi"}, "requests": {"cpu": "100m"}});
    assert_eq!(object["spec"]["containers"][0]["resources"], of_a);
    let before = object.clone();
    set_defaults(&mut object, &limits);
    assert_eq!(object, before);
}

#[test]
fn limits_are_told_in_upstreams_words() {
    let check = |limit: Value, resources: Value, expect: &[&str]| {
        let object = pod(json!([{"name": "a", "resources": resources}]));
        assert_eq!(check_pod(&object, &range(json!([limit]))), expect);
    };
    let asks = |request: &str, limit: &str| json!({"requests": {"cpu": request}, "limits": {"cpu": limit}});
    let min = json!({"type": "Container", "min": {"cpu": "100m"}});
    check(min.clone(), json!({}), &["minimum cpu usage per Container is 100m.  No request is specified"]);
    check(min.clone(), asks("50m", "1"), &["minimum cpu usage per Container is 100m, but request is 50m"]);
    check(min.clone(), asks("100m", "50m"), &["minimum cpu usage per Container is 100m, but limit is 50m"]);
    check(min, asks("100m", "100m"), &[]);
    let max = json!({"type": "Pod", "max": {"cpu": "1"}});
    check(max.clone(), json!({}), &["maximum cpu usage per Pod is 1.  No limit is specified"]);
    check(max.clone(), asks("1", "2"), &["maximum cpu usage per Pod is 1, but limit is 2"]);
    check(max.clone(), asks("2", "1"), &["maximum cpu usage per Pod is 1, but request is 2"]);
    check(max, asks("1", "1"), &[]);
    let ratio = json!({"type": "Container", "maxLimitRequestRatio": {"cpu": "1500m"}});
    let text = "cpu max limit to request ratio per Container is 1500m, but";
    check(ratio.clone(), json!({}), &[&format!("{text} no request is specified or request is 0")]);
    check(ratio.clone(), json!({"requests": {"cpu": "1"}}), &[&format!("{text} no limit is specified or limit is 0")]);
    check(ratio.clone(), asks("60m", "1"), &[&format!("{text} provided ratio is 16.666667")]);
    check(ratio, asks("1", "1500m"), &[]);
}

#[test]
fn a_pod_is_the_sum_of_its_containers() {
    let one = json!({"name": "a", "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}});
    let limits = range(json!([{"type": "Pod", "max": {"cpu": "2"}}]));
    assert_eq!(check_pod(&pod(json!([one, one])), &limits), Vec::<String>::new());
    let problems = check_pod(&pod(json!([one, one, one])), &limits);
    assert_eq!(problems, ["maximum cpu usage per Pod is 2, but limit is 3"]);
}

#[test]
fn claims_have_requests_only() {
    let limits =
        range(json!([{"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "5Gi"}}]));
    let check = |asked: &str, expect: &[&str]| {
        let claim = json!({"spec": {"resources": {"requests": {"storage": asked}}}});
        assert_eq!(check_claim(&claim, &limits), expect);
    };
    check("2Gi", &[]);
    check("1Mi", &["minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"]);
    check("10Gi", &["maximum storage usage per PersistentVolumeClaim is 5Gi, but request is 10Gi"]);
}
