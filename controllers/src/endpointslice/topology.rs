//! Hints by `service.kubernetes.io/topology-mode: Auto`: each zone is given as many endpoints as it has of all processors, of
//! its own as far as there are enough. Source: `k8s.io/endpointslice/topologycache`, KEP-2433.

use std::collections::BTreeMap;
use std::sync::Arc;

use steersman_framework::meta::StringMap;
use steersman_machinery::quantity::Quantity;

use crate::endpointslice::objects::{Endpoint, Hints, Named, Slice};
use crate::endpointslice::writing::{Changes, Content};
use crate::node_lifecycle::objects::Node;

/// The label of a node's zone.
pub(crate) const ZONE: &str = "topology.kubernetes.io/zone";
const MODE: &str = "service.kubernetes.io/topology-mode";
/// The former name of that annotation, which counts more.
const OLD_MODE: &str = "service.kubernetes.io/topology-aware-hints";
/// How much more than its part an endpoint may have to bear.
const OVERLOAD: f64 = 0.2;
/// Nodes with such a label are no place for endpoints.
const EXCLUDED: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// The part of all processors that each zone has.
pub type Ratios = BTreeMap<String, f64>;
/// How many endpoints are hinted to each zone.
pub type Distribution = BTreeMap<String, usize>;

/// Whether a service with these annotations wants such hints.
pub fn is_wanted(annotations: &StringMap) -> bool {
    matches!(annotations.get(OLD_MODE).or_else(|| annotations.get(MODE)), Some("Auto" | "auto"))
}

/// What the ready nodes have; `None` if one of them does not say, or if there are not two zones.
pub fn ratios(nodes: &[Arc<Node>]) -> Option<Ratios> {
    let mut zones: BTreeMap<&str, i64> = BTreeMap::new();
    for node in nodes {
        let labels = &node.metadata.labels;
        let is_ready = node.condition("Ready").is_some_and(|condition| condition.status == "True");
        if !is_ready || EXCLUDED.iter().any(|label| labels.get(label).is_some()) {
            continue;
        }
        let cpu = Quantity::parse(&node.status.allocatable.cpu).ok().map(Quantity::milli_value);
        let (zone, cpu) = labels.get(ZONE).filter(|zone| !zone.is_empty()).zip(cpu.filter(|cpu| *cpu > 0))?;
        *zones.entry(zone).or_default() += cpu;
    }
    let total: i64 = zones.values().sum();
    let part = |(zone, cpu): (&str, i64)| (zone.to_owned(), cpu as f64 / total as f64);
    (zones.len() > 1).then(|| zones.into_iter().map(part).collect())
}

/// How many endpoints a zone is to have.
struct Allocation {
    most: usize,
    desired: f64,
}

/// How many of so many endpoints each zone is to have; if that cannot be done, why.
fn allocate(ratios: Option<&Ratios>, endpoints: usize) -> Result<BTreeMap<&str, Allocation>, String> {
    const UNKNOWN: &str = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
    let ratios = ratios.ok_or(UNKNOWN)?;
    let counts = format!("({endpoints} endpoints, {} zones)", ratios.len());
    if ratios.len() > endpoints {
        return Err(format!("Insufficient number of endpoints {counts}"));
    }
    let least = |ratio: f64| (ratio * endpoints as f64 / (1.0 + OVERLOAD)).ceil() as usize;
    let all_least: usize = ratios.values().map(|ratio| least(*ratio)).sum();
    let spare = endpoints.checked_sub(all_least).ok_or_else(|| {
        format!(
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold {counts}"
        )
    })?;
    let allocation = |ratio: f64| Allocation {
        most: least(ratio) + spare,
        desired: (ratio * endpoints as f64).max(least(ratio) as f64),
    };
    Ok(ratios.iter().map(|(zone, ratio)| (zone.as_str(), allocation(*ratio))).collect())
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.ready == Some(true)
}

fn hint(zone: &str) -> Option<Hints> {
    Some(Hints { for_zones: vec![Named { name: zone.to_owned() }], for_nodes: Vec::new() })
}

/// Gives hints to the slices of one family: those that are written anyway, and of the `unchanged` ones those whose hints do
/// not fit any more, which are written then.
///
/// # Errors
/// Why there can be no hints; they are taken away then.
pub fn give_hints(
    changes: &mut Changes,
    unchanged: Vec<Arc<Slice>>,
    ratios: Option<&Ratios>,
) -> Result<Distribution, String> {
    let written = changes.create.iter().chain(changes.update.iter().map(|(_, content)| content));
    let all = written.map(|content| &content.endpoints).chain(unchanged.iter().map(|slice| &slice.endpoints));
    let endpoints = all.flatten().filter(|endpoint| is_ready(endpoint)).count();
    let given = allocate(ratios, endpoints).and_then(|allocations| {
        let mut distribution = Distribution::new();
        for slice in &unchanged {
            match counted(slice, &distribution, &allocations) {
                Some(zones) => {
                    zones.into_iter().for_each(|(zone, count)| *distribution.entry(zone).or_default() += count)
                }
                None => changes.update.push(as_it_is(slice)),
            }
        }
        distribute(changes, &allocations, distribution)
    });
    if given.is_err() {
        let is_written = |changes: &Changes, slice: &Slice| {
            changes.update.iter().any(|(written, _)| written.metadata.name == slice.metadata.name)
        };
        for slice in unchanged.iter().filter(|slice| slice.endpoints.iter().any(|it| it.hints.is_some())) {
            if !is_written(changes, slice) {
                changes.update.push(as_it_is(slice));
            }
        }
        contents(changes).flat_map(|content| &mut content.endpoints).for_each(|endpoint| endpoint.hints = None);
        // One that was written for its hints alone and had none is left alone.
        changes.update.retain(|(slice, content)| {
            slice.endpoints != content.endpoints || unchanged.iter().all(|it| it.metadata.name != slice.metadata.name)
        });
    }
    given
}

fn contents(changes: &mut Changes) -> impl Iterator<Item = &mut Content> {
    changes.create.iter_mut().chain(changes.update.iter_mut().map(|(_, content)| content))
}

fn as_it_is(slice: &Arc<Slice>) -> (Arc<Slice>, Content) {
    let address_type = if slice.address_type == "IPv6" { "IPv6" } else { "IPv4" };
    let content = Content { address_type, ports: slice.ports.clone(), endpoints: slice.endpoints.clone() };
    (Arc::clone(slice), content)
}

/// How many endpoints of a slice are hinted to each zone; `None` if some are not, or if a zone has too many with them.
fn counted(slice: &Slice, before: &Distribution, allocations: &BTreeMap<&str, Allocation>) -> Option<Distribution> {
    let mut zones = Distribution::new();
    for endpoint in slice.endpoints.iter().filter(|endpoint| is_ready(endpoint)) {
        let hinted = endpoint.hints.as_ref().map(|hints| &hints.for_zones).filter(|zones| !zones.is_empty())?;
        for zone in hinted {
            *zones.entry(zone.name.clone()).or_default() += 1;
        }
    }
    let fits = |(zone, count): (&String, &usize)| {
        let sum = count + before.get(zone).copied().unwrap_or_default();
        allocations.get(zone.as_str()).is_some_and(|allocation| sum <= allocation.most)
    };
    zones.iter().all(fits).then_some(zones)
}

/// Hints each endpoint that is written to its own zone, and then as many to other zones as these lack.
fn distribute(
    changes: &mut Changes,
    allocations: &BTreeMap<&str, Allocation>,
    mut distribution: Distribution,
) -> Result<Distribution, String> {
    for endpoint in contents(changes).flat_map(|content| &mut content.endpoints) {
        if !is_ready(endpoint) {
            endpoint.hints = None;
            continue;
        }
        let zone = endpoint.zone.as_ref().ok_or("One or more endpoints do not have a zone specified")?;
        *distribution.entry(zone.clone()).or_default() += 1;
        endpoint.hints = hint(zone);
    }
    let (mut giving, mut receiving) = exchange(allocations, &distribution);
    for endpoint in contents(changes).flat_map(|content| &mut content.endpoints).filter(|it| is_ready(it)) {
        let Some(zone) = &endpoint.zone else { continue };
        let Some(left) = giving.get_mut(zone).filter(|left| **left > 0) else { continue };
        let Some((other, lacking)) = receiving.iter_mut().find(|(_, lacking)| **lacking > 0) else { break };
        (*left, *lacking) = (*left - 1, *lacking - 1);
        endpoint.hints = hint(other);
        distribution.entry(zone.clone()).and_modify(|count| *count -= 1);
        *distribution.entry(other.clone()).or_default() += 1;
    }
    Ok(distribution)
}

/// How many endpoints zones give away, and how many others get. Where zones differ by nothing, the first by name comes first.
fn exchange(
    allocations: &BTreeMap<&str, Allocation>,
    present: &Distribution,
) -> (BTreeMap<String, usize>, BTreeMap<String, usize>) {
    let surplus = |(zone, allocation): (&&str, &Allocation)| {
        let count = present.get(*zone).copied().unwrap_or_default();
        ((*zone).to_owned(), count as f64 - allocation.desired)
    };
    let all: BTreeMap<String, f64> = allocations.iter().map(surplus).collect();
    let side =
        |sign: f64| all.iter().map(move |(zone, surplus)| (zone.clone(), sign * surplus)).filter(|it| it.1 > 0.0);
    let (mut over, mut under): (BTreeMap<_, _>, BTreeMap<_, _>) = (side(1.0).collect(), side(-1.0).collect());
    let (mut giving, mut receiving) = <(BTreeMap<String, usize>, BTreeMap<String, usize>)>::default();
    let most = |zones: &BTreeMap<String, f64>| {
        let later = |best: Option<(String, f64)>, (zone, count): (&String, &f64)| match best {
            Some(best) if best.1 >= *count => Some(best),
            _ => Some((zone.clone(), *count)),
        };
        zones.iter().fold(None, later)
    };
    while let Some(((from, give), (to, get))) = most(&over).zip(most(&under)) {
        if give < 0.5 || get < 0.5 || (give < 1.0 && get < 1.0) {
            break;
        }
        *giving.entry(from.clone()).or_default() += 1;
        *receiving.entry(to.clone()).or_default() += 1;
        over.insert(from, give - 1.0);
        under.insert(to, get - 1.0);
    }
    (giving, receiving)
}

/// Whether a zone has too few endpoints by now, so that they would bear too much.
pub fn is_overloaded(distribution: &Distribution, ratios: Option<&Ratios>) -> bool {
    let total: usize = distribution.values().sum();
    let Some(ratios) = ratios else { return total > 0 };
    let has_too_few = |(zone, ratio): (&String, &f64)| {
        let least = (total as f64 * ratio / (1.0 + OVERLOAD)).ceil() as usize;
        distribution.get(zone).is_none_or(|count| *count < least)
    };
    !distribution.is_empty() && ratios.iter().any(has_too_few)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(zone: &str, cpu: &str, ready: &str, role: &str) -> Arc<Node> {
        let labels = json!({ZONE: zone, role: ""});
        let conditions = json!([{"type": "Ready", "status": ready}]);
        let status = json!({"conditions": conditions, "allocatable": {"cpu": cpu}});
        Arc::new(serde_json::from_value(json!({"metadata": {"labels": labels}, "status": status})).unwrap())
    }

    #[test]
    fn zones_count_by_the_processors_of_their_ready_nodes() {
        let check = |nodes: &[Arc<Node>], expect: Value| assert_eq!(json!(ratios(nodes)), expect);
        let (a, b) = (node("a", "1", "True", "x"), node("b", "3000m", "True", "x"));
        check(&[Arc::clone(&a), Arc::clone(&b)], json!({"a": 0.25, "b": 0.75}));
        check(&[Arc::clone(&a)], json!(null));
        let no = [node("a", "8", "False", "x"), node("c", "8", "True", EXCLUDED[0])];
        check(&[&[Arc::clone(&a), Arc::clone(&b)], &no[..]].concat(), json!({"a": 0.25, "b": 0.75}));
        for poor in [node("", "1", "True", "x"), node("c", "0", "True", "x"), node("c", "", "True", "x")] {
            check(&[Arc::clone(&a), Arc::clone(&b), poor], json!(null));
        }
    }

    fn endpoint(zone: &str, ready: bool) -> Endpoint {
        serde_json::from_value(json!({"addresses": ["10.0.0.1"], "conditions": {"ready": ready}, "zone": zone}))
            .unwrap()
    }

    fn content(zones: &[&str]) -> Content {
        let endpoints = zones.iter().map(|zone| endpoint(zone, true)).collect();
        Content { address_type: "IPv4", ports: Vec::new(), endpoints }
    }

    fn even(zones: &[&str]) -> Ratios {
        zones.iter().map(|zone| ((*zone).to_owned(), 1.0 / zones.len() as f64)).collect()
    }

    fn hints(content: &Content) -> String {
        let of =
            |endpoint: &Endpoint| endpoint.hints.as_ref().map_or("-".to_owned(), |it| it.for_zones[0].name.clone());
        content.endpoints.iter().map(of).collect::<Vec<_>>().join("")
    }

    #[test]
    fn endpoints_are_hinted_to_their_zones_and_some_to_where_they_lack() {
        let check = |zones: &[&str], ratios: &Ratios, expect: Result<&str, &str>| {
            let mut changes = Changes { create: vec![content(zones)], ..Changes::default() };
            let given = give_hints(&mut changes, Vec::new(), Some(ratios));
            assert_eq!(given.as_ref().err().map(String::as_str), expect.err(), "{zones:?}");
            assert_eq!(hints(&changes.create[0]), expect.unwrap_or(&"-".repeat(zones.len())), "{zones:?}");
        };
        check(&["a", "b"], &even(&["a", "b"]), Ok("ab"));
        check(&["a", "a", "a", "b"], &even(&["a", "b"]), Ok("baab"));
        check(
            &["a", "a", "b"],
            &even(&["a", "b"]),
            Err("Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
             (3 endpoints, 2 zones)"),
        );
        check(&["a"], &even(&["a", "b"]), Err("Insufficient number of endpoints (1 endpoints, 2 zones)"));
        let uneven = Ratios::from([("a".to_owned(), 0.75), ("b".to_owned(), 0.25)]);
        check(&["a", "b", "b", "b"], &uneven, Ok("aaab"));
        check(&["a", "c", "a", "b"], &even(&["a", "b"]), Ok("acab"));
    }

    #[test]
    fn slices_are_written_only_if_their_hints_do_not_fit() {
        let slice = |name: &str, zones: &[&str], hinted: &[&str]| {
            let mut endpoints = content(zones).endpoints;
            endpoints.iter_mut().zip(hinted).for_each(|(endpoint, zone)| endpoint.hints = hint(zone));
            let mut slice = Slice { address_type: "IPv4".to_owned(), endpoints, ..Slice::default() };
            slice.metadata.name = name.to_owned();
            Arc::new(slice)
        };
        let right = slice("right", &["a", "b"], &["a", "b"]);
        let mut changes = Changes::default();
        let given = give_hints(&mut changes, vec![Arc::clone(&right)], Some(&even(&["a", "b"])));
        assert_eq!((given, changes), (Ok(Distribution::from([("a".into(), 1), ("b".into(), 1)])), Changes::default()));
        let mut changes = Changes::default();
        give_hints(&mut changes, vec![slice("none", &["a", "b"], &[])], Some(&even(&["a", "b"]))).unwrap();
        assert_eq!(hints(&changes.update[0].1), "ab");
        // Without hints there is nothing to take away.
        for (slice, writes) in [(slice("none", &["a", "b"], &[]), 0), (right, 1)] {
            let mut changes = Changes::default();
            assert!(
                give_hints(&mut changes, vec![slice], None).unwrap_err().starts_with("Insufficient Node information")
            );
            assert_eq!(changes.update.len(), writes);
        }
    }

    #[test]
    fn a_zone_with_too_few_endpoints_is_overloaded() {
        let counts = |a: usize, b: usize| Distribution::from([("a".to_owned(), a), ("b".to_owned(), b)]);
        let ratios = even(&["a", "b"]);
        assert!(!is_overloaded(&counts(5, 5), Some(&ratios)) && is_overloaded(&counts(7, 3), Some(&ratios)));
        assert!(is_overloaded(&counts(5, 5), Some(&even(&["a", "b", "c"]))) && is_overloaded(&counts(1, 1), None));
        assert!(!is_overloaded(&Distribution::new(), None));
    }
}
