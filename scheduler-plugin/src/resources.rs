//! Resource arithmetic: quantities as integers, and what a pod as a whole asks for.
//! Source: `k8s.io/component-helpers/resource`, KEP-753 (sidecars), KEP-2837 (pod-level), KEP-1287 (in-place resize).

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::wire;

/// The most a node can be worth under one scoring plugin.
pub const MAX_NODE_SCORE: i64 = 100;
/// What a container that requests no cpu counts for when nodes are scored: 0.1 core.
const DEFAULT_MILLI_CPU: i64 = 100;
/// What a container that requests no memory counts for when nodes are scored: 200 MiB.
const DEFAULT_MEMORY: i64 = 200 * 1024 * 1024;

/// What a pod asks for, or a node has: cpu in thousandths, everything else in whole units, rounded up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Requests {
    /// Thousandths of a core.
    pub cpu: i64,
    /// Bytes.
    pub memory: i64,
    /// Bytes.
    pub ephemeral_storage: i64,
    /// Extended resources, huge pages, attachable volumes.
    pub scalars: BTreeMap<Arc<str>, i64>,
}

impl Requests {
    /// Whether nothing at all is asked for.
    pub fn is_empty(&self) -> bool {
        self.cpu == 0 && self.memory == 0 && self.ephemeral_storage == 0 && self.scalars.is_empty()
    }

    /// The amount of one resource; 0 if it is not asked for.
    pub fn get(&self, resource: &str) -> i64 {
        match resource {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "ephemeral-storage" => self.ephemeral_storage,
            scalar => self.scalars.get(scalar).copied().unwrap_or(0),
        }
    }
}

/// The most that a pod counts for, so that the sum of all pods of a node stays a number: a thousand pods of 8 PiB each.
const MAX_AMOUNT: i64 = 1 << 53;

impl From<List> for Requests {
    fn from(list: List) -> Self {
        let mut requests = Self::default();
        for (name, amount) in list {
            let amount = amount.min(MAX_AMOUNT);
            match name.as_str() {
                "cpu" => requests.cpu = amount,
                "memory" => requests.memory = amount,
                "ephemeral-storage" => requests.ephemeral_storage = amount,
                _ if is_scalar(&name) => _ = requests.scalars.insert(Arc::from(name), amount),
                _ => {}
            }
        }
        requests
    }
}

/// Amounts by resource name; keeps apart what is 0 and what is not mentioned.
type List = BTreeMap<String, i64>;

/// Whether this resource belongs to neither Kubernetes nor a quota.
pub fn is_extended(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    !native && !name.starts_with("requests.")
}

/// Whether this resource is counted beside cpu, memory, ephemeral storage and pods.
pub fn is_scalar(name: &str) -> bool {
    is_extended(name)
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

/// A quantity of that resource as an integer, rounded up: cpu in thousandths. Unreadable text counts 0: the API server
/// does not let it through.
pub fn amount(resource: &str, quantity: &str) -> i64 {
    let digits = if resource == "cpu" { 3 } else { 0 };
    parse_quantity(quantity, digits).unwrap_or(0)
}

/// The quantity times 10 to the power of `digits`, rounded up (away from zero), limited to what fits.
pub fn parse_quantity(text: &str, digits: i32) -> Option<i64> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let mut mantissa: i128 = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        mantissa = mantissa.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    let (ten, two) = suffix_powers(suffix)?;
    let exponent = ten + digits - i32::try_from(fraction.len()).ok()?;
    let limit = i128::from(i64::MAX);
    mantissa = mantissa.saturating_mul(1_i128 << two);
    let scale = 10_i128.checked_pow(exponent.unsigned_abs()).unwrap_or(i128::MAX);
    mantissa = if exponent >= 0 {
        mantissa.saturating_mul(scale)
    } else {
        mantissa / scale + i128::from(mantissa % scale != 0)
    };
    let amount = i64::try_from(mantissa.min(limit)).unwrap_or(i64::MAX);
    Some(if negative { -amount } else { amount })
}

/// The powers of ten and of two that a suffix stands for.
fn suffix_powers(suffix: &str) -> Option<(i32, u32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (exponent.parse().ok().filter(|power| (-30..=30).contains(power))?, 0)
        }
    })
}

/// What a pod as a whole asks for, in the three ways in which that is used.
pub struct PodRequests {
    /// What it asks for; for filters and for what a node has left.
    pub requests: Requests,
    /// The same with defaults for containers that ask for no cpu or no memory: what it counts for on its node.
    pub non_zero: [i64; 2],
    /// The same without pod-level requests: as what it counts when it is scored by NodeResourcesFit.
    pub scoring: Requests,
}

/// Computes what a pod asks for.
pub fn pod_requests(pod: &wire::Pod) -> PodRequests {
    let (pod_level, is_set) = pod_level(pod);
    let defaults = List::from([("cpu".to_owned(), DEFAULT_MILLI_CPU), ("memory".to_owned(), DEFAULT_MEMORY)]);
    let requests = total(pod, &List::new(), &pod_level);
    let mut missing = defaults.clone();
    if is_set {
        missing.retain(|name, _| !requests.contains_key(name));
    }
    let non_zero = total(pod, &missing, &pod_level);
    let of = |name: &str| non_zero.get(name).copied().unwrap_or(0).min(MAX_AMOUNT);
    PodRequests {
        non_zero: [of("cpu"), of("memory")],
        requests: requests.into(),
        scoring: total(pod, &defaults, &List::new()).into(),
    }
}

/// What is set for the pod as a whole, and whether anything is; while it is being resized, the most of what it asks, was
/// promised and has. Source: KEP-2837, KEP-5419.
fn pod_level(pod: &wire::Pod) -> (List, bool) {
    let supported = |name: &str| matches!(name, "cpu" | "memory") || name.starts_with("hugepages-");
    let mut requests = to_list(&pod.spec.resources.requests);
    requests.retain(|name, _| supported(name));
    let is_set = !requests.is_empty();
    if let Some(actual) = pod.status.resources.as_ref().filter(|_| is_set) {
        if is_infeasible(pod) {
            requests.clear();
        }
        raise(&mut requests, &to_list(&actual.requests));
        let allocated = pod.status.allocated_resources.as_deref().map(to_list);
        raise(&mut requests, &allocated.unwrap_or_default());
        requests.retain(|name, _| supported(name));
    }
    (requests, is_set)
}

/// Whether the node has said that the pod cannot be resized as it wishes.
fn is_infeasible(pod: &wire::Pod) -> bool {
    let pending = pod.status.conditions.iter().find(|condition| condition.condition_type == "PodResizePending");
    pending.is_some_and(|condition| condition.reason == "Infeasible")
}

/// The sum over containers or the peak during initialization, whichever is higher; then what is set for the whole pod.
fn total(pod: &wire::Pod, defaults: &List, pod_level: &List) -> List {
    let mut sum = List::new();
    for container in &pod.spec.containers {
        add(&mut sum, &container_requests(pod, container, defaults));
    }
    let mut sidecars = List::new();
    let mut peak = List::new();
    for container in &pod.spec.init_containers {
        if container.restart_policy == "Always" {
            let requests = container_requests(pod, container, defaults);
            add(&mut sum, &requests);
            add(&mut sidecars, &requests);
            raise(&mut peak, &sidecars);
        } else {
            let mut requests = to_list(&container.resources.requests);
            fill(&mut requests, defaults);
            add(&mut requests, &sidecars);
            raise(&mut peak, &requests);
        }
    }
    raise(&mut sum, &peak);
    for (name, amount) in pod_level {
        sum.insert(name.clone(), *amount);
    }
    add(&mut sum, &to_list(&pod.spec.overhead));
    sum
}

/// What one container asks for; while it is being resized, the most of what it asks, was promised and has.
fn container_requests(pod: &wire::Pod, container: &wire::Container, defaults: &List) -> List {
    let status = &pod.status;
    let mut statuses = status.container_statuses.iter().chain(&status.init_container_statuses);
    let found = statuses.find(|status| status.name == container.name);
    let mut requests = to_list(&container.resources.requests);
    if let Some((status, actual)) = found.and_then(|status| Some((status, status.resources.as_ref()?))) {
        if is_infeasible(pod) {
            requests.clear();
        }
        raise(&mut requests, &to_list(&actual.requests));
        raise(&mut requests, &to_list(&status.allocated_resources));
    }
    fill(&mut requests, defaults);
    requests
}

fn to_list(map: &wire::Map) -> List {
    map.iter().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

fn add(to: &mut List, what: &List) {
    for (name, amount) in what {
        let sum = to.entry(name.clone()).or_default();
        *sum = sum.saturating_add(*amount);
    }
}

fn raise(to: &mut List, what: &List) {
    for (name, amount) in what {
        let most = to.entry(name.clone()).or_insert(*amount);
        *most = (*most).max(*amount);
    }
}

fn fill(to: &mut List, defaults: &List) {
    for (name, amount) in defaults {
        to.entry(name.clone()).or_insert(*amount);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_round_up() {
        let check = |text, digits, expect| assert_eq!(parse_quantity(text, digits), expect, "{text}");
        check("2", 3, Some(2000));
        check("100m", 3, Some(100));
        check("0.5", 3, Some(500));
        check("1u", 3, Some(1));
        check("1.5Gi", 0, Some(1_610_612_736));
        check("500m", 0, Some(1));
        check("12e6", 0, Some(12_000_000));
        check("1E", 0, Some(1_000_000_000_000_000_000));
        check("100Ei", 0, Some(i64::MAX));
        check("-1k", 0, Some(-1000));
        check("", 0, None);
        check("1x", 0, None);
        check("1.2.3", 0, None);
    }

    fn requests(spec: serde_json::Value) -> PodRequests {
        pod_requests(&serde_json::from_value(json!({"spec": spec})).unwrap())
    }

    fn cpu(name: &str, cpu: &str) -> serde_json::Value {
        json!({"name": name, "resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(name: &str, request: &str) -> serde_json::Value {
        let mut container = cpu(name, request);
        container["restartPolicy"] = json!("Always");
        container
    }

    #[test]
    fn the_sum_of_the_largest_pods_is_still_a_number() {
        let found = requests(json!({"containers": [cpu("a", "9E"), cpu("b", "9223372036854775807")]}));
        assert!(found.requests.cpu.checked_mul(1000).is_some() && found.non_zero[0].checked_mul(1000).is_some());
    }

    #[test]
    fn a_pod_needs_its_sum_or_its_initial_peak() {
        let check = |init: serde_json::Value, expect| {
            let spec = json!({"containers": [cpu("a", "1"), cpu("b", "500m")], "initContainers": init});
            assert_eq!(requests(spec).requests.cpu, expect);
        };
        check(json!([]), 1500);
        check(json!([cpu("i", "1")]), 1500);
        check(json!([cpu("i", "3"), cpu("j", "2")]), 3000);
        // A sidecar runs beside the containers, and beside the init containers after it.
        check(json!([sidecar("s", "1"), cpu("i", "2")]), 3000);
        check(json!([cpu("i", "2"), sidecar("s", "1")]), 2500);
        check(json!([sidecar("s", "1"), sidecar("t", "1")]), 3500);
    }

    #[test]
    fn containers_without_requests_count_a_little_when_scored() {
        let explicit_zero = json!({"name": "z", "resources": {"requests": {"cpu": "0", "memory": "0"}}});
        let spec = json!({"containers": [{"name": "a"}, cpu("b", "300m"), explicit_zero], "overhead": {"cpu": "50m"}});
        let found = requests(spec);
        assert_eq!(found.requests.cpu, 350);
        assert_eq!(found.requests.memory, 0);
        assert_eq!(found.non_zero, [450, 2 * DEFAULT_MEMORY]);
    }

    #[test]
    fn pod_level_requests_replace_the_sum_except_in_the_fit_score() {
        let spec = json!({"containers": [cpu("a", "1")], "resources": {"requests": {"cpu": "3"}}});
        let found = requests(spec);
        assert_eq!(found.requests.cpu, 3000);
        assert_eq!(found.non_zero, [3000, DEFAULT_MEMORY]);
        assert_eq!(found.scoring.cpu, 1000);
    }

    #[test]
    fn a_resize_of_the_pod_as_a_whole_counts_the_most_of_wish_promise_and_possession() {
        let pod = |wish: &str, status: serde_json::Value| {
            let spec = json!({"containers": [cpu("a", "1")], "resources": {"requests": {"cpu": wish}}});
            let pod = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
            pod_requests(&pod).requests.cpu
        };
        let mut status = json!({"resources": {"requests": {"cpu": "2"}}, "allocatedResources": {"cpu": "3"}});
        assert_eq!(pod("1", status.clone()), 3000);
        assert_eq!(pod("4", status.clone()), 4000);
        status["conditions"] = json!([{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}]);
        assert_eq!(pod("4", status.clone()), 3000);
        status["resources"] = json!(null);
        assert_eq!(pod("4", status), 4000, "nothing is in force yet");
    }

    #[test]
    fn a_resize_counts_the_most_of_wish_promise_and_possession() {
        let pod = |wish: &str, condition: serde_json::Value| {
            let pod = json!({
                "spec": {"containers": [cpu("a", wish)]},
                "status": {"conditions": [condition], "containerStatuses": [
                    {"name": "a", "allocatedResources": {"cpu": "2"}, "resources": {"requests": {"cpu": "1"}}}]}
            });
            pod_requests(&serde_json::from_value(pod).unwrap()).requests.cpu
        };
        let none = json!({"type": "Ready", "status": "True"});
        let infeasible = json!({"type": "PodResizePending", "status": "True", "reason": "Infeasible"});
        assert_eq!(pod("500m", none.clone()), 2000);
        assert_eq!(pod("3", none), 3000);
        assert_eq!(pod("3", infeasible), 2000);
    }
}
