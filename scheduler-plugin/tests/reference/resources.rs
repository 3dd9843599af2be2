//! What pods ask for, NodeResourcesFit and NodeResourcesBalancedAllocation.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::{Args, Code, NodeInfo, Refusal, Strategy};

pub type List = BTreeMap<String, i64>;

/// A quantity in whole units, cpu in thousandths, rounded up.
fn amount(name: &str, quantity: &Quantity) -> i64 {
    let text = quantity.0.as_str();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: i64 = text[..end].parse().unwrap();
    let scale = if name == "cpu" { 1000 } else { 1 };
    match &text[end..] {
        "m" if name == "cpu" => number,
        "m" => (number + 999) / 1000,
        "" => number * scale,
        "Ki" => (number * scale) << 10,
        "Mi" => (number * scale) << 20,
        "Gi" => (number * scale) << 30,
        other => panic!("{other:?} is no suffix that is used here"),
    }
}

fn list(map: Option<&BTreeMap<String, Quantity>>) -> List {
    map.into_iter().flatten().map(|(name, quantity)| (name.clone(), amount(name, quantity))).collect()
}

fn add(to: &mut List, what: &List) {
    for (name, amount) in what {
        *to.entry(name.clone()).or_default() += amount;
    }
}

fn raise(to: &mut List, what: &List) {
    for (name, amount) in what {
        let entry = to.entry(name.clone()).or_insert(*amount);
        *entry = (*entry).max(*amount);
    }
}

/// Whether a resize is not possible.
fn is_infeasible(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut pending = conditions.filter(|condition| condition.type_ == "PodResizePending");
    pending.any(|condition| condition.reason.as_deref() == Some("Infeasible"))
}

/// What one container asks for. Of containers that stay, the node says what it has set aside and what is in force.
fn own(pod: &Pod, container: &Container, stays: bool, defaults: &List) -> List {
    let mut own = list(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    let mut statuses = pod.status.iter().flat_map(|status| {
        status.container_statuses.iter().flatten().chain(status.init_container_statuses.iter().flatten())
    });
    let status = statuses.find(|status| status.name == container.name && stays);
    if let Some((status, actual)) = status.and_then(|status| Some((status, status.resources.as_ref()?))) {
        let mut most = if is_infeasible(pod) { List::new() } else { own };
        raise(&mut most, &list(actual.requests.as_ref()));
        raise(&mut most, &list(status.allocated_resources.as_ref()));
        own = most;
    }
    for (name, amount) in defaults {
        own.entry(name.clone()).or_insert(*amount);
    }
    own
}

/// What a pod asks for; with defaults for containers, and with or without what is set for the pod as a whole.
fn total(pod: &Pod, defaults: &List, with_pod_level: bool) -> List {
    let spec = pod.spec.as_ref().unwrap();
    let mut sum = List::new();
    for container in &spec.containers {
        add(&mut sum, &own(pod, container, true, defaults));
    }
    let (mut sidecars, mut peak) = (List::new(), List::new());
    for container in spec.init_containers.iter().flatten() {
        let stays = container.restart_policy.as_deref() == Some("Always");
        let mut now = own(pod, container, stays, defaults);
        if stays {
            add(&mut sum, &now);
            add(&mut sidecars, &now);
            now = sidecars.clone();
        } else {
            add(&mut now, &sidecars);
        }
        raise(&mut peak, &now);
    }
    raise(&mut sum, &peak);
    if with_pod_level {
        for (name, amount) in pod_level(pod) {
            sum.insert(name, amount);
        }
    }
    add(&mut sum, &list(spec.overhead.as_ref()));
    sum
}

fn supported(name: &str) -> bool {
    name == "cpu" || name == "memory" || name.starts_with("hugepages-")
}

/// What the specification gives for the pod as a whole.
fn given(pod: &Pod) -> List {
    let resources = pod.spec.as_ref().unwrap().resources.as_ref();
    let mut given = list(resources.and_then(|resources| resources.requests.as_ref()));
    given.retain(|name, _| supported(name));
    given
}

fn pod_level(pod: &Pod) -> List {
    let given = given(pod);
    let status = pod.status.as_ref();
    let Some(actual) = status.and_then(|status| status.resources.as_ref()).filter(|_| !given.is_empty()) else {
        return given;
    };
    let mut most = if is_infeasible(pod) { List::new() } else { given };
    raise(&mut most, &list(actual.requests.as_ref()));
    raise(&mut most, &list(status.and_then(|status| status.allocated_resources.as_ref())));
    most.retain(|name, _| supported(name));
    most
}

fn defaults() -> List {
    List::from([("cpu".to_owned(), 100), ("memory".to_owned(), 200 << 20)])
}

pub fn requests(pod: &Pod) -> List {
    total(pod, &List::new(), true)
}

/// Cpu and memory as they count on the node when it is scored.
fn non_zero(pod: &Pod) -> List {
    let mut missing = defaults();
    if !given(pod).is_empty() {
        let mentioned = requests(pod);
        missing.retain(|name, _| !mentioned.contains_key(name));
    }
    total(pod, &missing, true)
}

fn get(list: &List, name: &str) -> i64 {
    list.get(name).copied().unwrap_or(0)
}

fn allocatable(info: &NodeInfo) -> List {
    list(info.node.status.as_ref().and_then(|status| status.allocatable.as_ref()))
}

fn requested(info: &NodeInfo) -> List {
    let mut sum = List::new();
    info.pods.iter().for_each(|pod| add(&mut sum, &requests(pod)));
    sum
}

fn is_native(name: &str) -> bool {
    !name.contains('/') || name.contains("kubernetes.io/")
}

fn is_extended(name: &str) -> bool {
    !is_native(name) && !name.starts_with("requests.")
}

fn is_scalar(name: &str) -> bool {
    is_extended(name)
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

pub fn fit(pod: &Pod, args: &Args, info: &NodeInfo) -> Result<(), Refusal> {
    let (wants, has, used) = (requests(pod), allocatable(info), requested(info));
    let mut reasons = Vec::new();
    let mut code = Code::Unschedulable;
    if i64::try_from(info.pods.len()).unwrap() + 1 > get(&has, "pods") {
        reasons.push("Too many pods".to_owned());
    }
    for (name, want) in &wants {
        let native = ["cpu", "memory", "ephemeral-storage"].contains(&name.as_str());
        let group = name.split('/').next().unwrap();
        let ignored = args.ignored_resources.contains(name) || args.ignored_groups.contains(group);
        if *want == 0 || !native && !is_scalar(name) || is_extended(name) && ignored {
            continue;
        }
        if *want > get(&has, name) - get(&used, name) {
            reasons.push(format!("Insufficient {name}"));
            if *want > get(&has, name) {
                code = Code::Unresolvable;
            }
        }
    }
    if reasons.is_empty() { Ok(()) } else { Err(Refusal { plugin: "NodeResourcesFit", code, reasons }) }
}

/// What the node has of a resource and what would be asked of it; `None` if the resource plays no role.
fn share(
    name: &str,
    pod: i64,
    info: &NodeInfo,
    used: impl Fn(&Pod) -> List,
    used_scalar: impl Fn(&Pod) -> List,
) -> Option<(i64, i64)> {
    if pod == 0 && is_scalar(name) {
        return None;
    }
    let has = get(&allocatable(info), name);
    let sum: i64 = match name {
        "cpu" | "memory" => info.pods.iter().map(|pod| get(&used(pod), name)).sum(),
        _ if name == "ephemeral-storage" || is_scalar(name) => {
            info.pods.iter().map(|pod| get(&used_scalar(pod), name)).sum()
        }
        _ => return None,
    };
    (has != 0).then_some((has, sum + pod))
}

fn interpolate(shape: &[(i64, i64)], at: i64) -> i64 {
    let Some(next) = shape.iter().position(|(utilization, _)| at <= *utilization) else {
        return shape.last().unwrap().1 * 10;
    };
    let (to, score) = shape[next];
    if next == 0 {
        return score * 10;
    }
    let (from, before) = shape[next - 1];
    before * 10 + (score * 10 - before * 10) * (at - from) / (to - from)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rule rounds so")]
pub fn fit_score(pod: &Pod, args: &Args, info: &NodeInfo) -> i64 {
    // The score does not know what is set for the pod as a whole.
    let wants = total(pod, &defaults(), false);
    let (mut sum, mut weights) = (0, 0);
    for (name, weight) in &args.fit_resources {
        let Some((has, asked)) = share(name, get(&wants, name), info, non_zero, requests) else { continue };
        let score = match args.strategy {
            Strategy::Least if asked > has => 0,
            Strategy::Least => (has - asked) * 100 / has,
            Strategy::Most => asked.min(has) * 100 / has,
            Strategy::Ratio => {
                let utilization = if asked > has { 100 } else { asked * 100 / has };
                let score = interpolate(&args.shape, utilization);
                if score <= 0 {
                    continue;
                }
                score
            }
        };
        sum += score * weight;
        weights += weight;
    }
    match args.strategy {
        _ if weights == 0 => 0,
        Strategy::Ratio => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

pub fn changes_balance(pod: &Pod, args: &Args) -> bool {
    args.balanced_resources.iter().any(|name| get(&requests(pod), name) != 0)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rule rounds so")]
fn balance(shares: &[(i64, i64)]) -> i64 {
    let fractions: Vec<f64> = shares.iter().map(|(has, asked)| (*asked as f64 / *has as f64).min(1.0)).collect();
    let deviation = match fractions.as_slice() {
        [] | [_] => 0.0,
        [one, other] => ((one - other) / 2.0).abs(),
        many => {
            let mut sum = 0.0;
            many.iter().for_each(|fraction| sum += fraction);
            let mean = sum / many.len() as f64;
            let mut squares = 0.0;
            many.iter().for_each(|fraction| squares += (fraction - mean) * (fraction - mean));
            (squares / many.len() as f64).sqrt()
        }
    };
    ((1.0 - deviation) * 100.0) as i64
}

pub fn balanced_score(pod: &Pod, args: &Args, info: &NodeInfo) -> i64 {
    let wants = requests(pod);
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for name in &args.balanced_resources {
        let want = get(&wants, name);
        if let Some((has, asked)) = share(name, want, info, requests, requests) {
            with.push((has, asked));
            without.push((has, asked - want));
        }
    }
    50 + (50 + balance(&with) - balance(&without)) / 2
}
