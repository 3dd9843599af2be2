//! One limit of a limit range, against what is asked for.

use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::quantity::Quantity;
use steersman_machinery::resource_list::{self, ResourceList};

/// What a container or a pod asks for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    pub(super) requests: ResourceList,
    pub(super) limits: ResourceList,
}

/// A rule about one resource, given what is requested and what the limit is.
type Rule = fn(&Bound<'_>, Option<Quantity>, Option<Quantity>) -> Option<String>;

/// What of `limit` does not hold for a container or pod.
pub(super) fn broken(limit: &Value, asked: &Asked) -> Vec<String> {
    check(limit, asked, &[("min", min), ("max", max), ("maxLimitRequestRatio", ratio)])
}

/// What of `limit` does not hold for something that has no limits.
pub(super) fn broken_by_request(limit: &Value, requests: ResourceList) -> Vec<String> {
    check(limit, &Asked { requests, ..Asked::default() }, &[("min", min), ("max", max_request)])
}

fn check(limit: &Value, asked: &Asked, rules: &[(&str, Rule)]) -> Vec<String> {
    let kind = meta::text(limit, &["type"]);
    let mut broken = Vec::new();
    for (list, rule) in rules {
        for (name, amount) in resource_list::parse(limit.get(list)) {
            let (request, most) = (asked.requests.get(&name).copied(), asked.limits.get(&name).copied());
            broken.extend(rule(&Bound { name: &name, kind, amount }, request, most));
        }
    }
    broken
}

/// A bound on the amount of one resource.
struct Bound<'a> {
    name: &'a str,
    kind: &'a str,
    amount: Quantity,
}

impl Bound<'_> {
    fn missing(&self, which: &str, what: &str) -> String {
        let Self { name, kind, amount } = self;
        format!("{which} {name} usage per {kind} is {amount}.  No {what} is specified")
    }

    fn passed(&self, which: &str, what: &str, by: Quantity) -> String {
        let Self { name, kind, amount } = self;
        format!("{which} {name} usage per {kind} is {amount}, but {what} is {by}")
    }
}

fn min(bound: &Bound<'_>, request: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let low = |amount: &Quantity| *amount < bound.amount;
    match (request, limit.filter(low)) {
        (None, _) => Some(bound.missing("minimum", "request")),
        (Some(request), _) if low(&request) => Some(bound.passed("minimum", "request", request)),
        (_, Some(limit)) => Some(bound.passed("minimum", "limit", limit)),
        _ => None,
    }
}

fn max(bound: &Bound<'_>, request: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let high = |amount: &Quantity| *amount > bound.amount;
    match (limit, request.filter(high)) {
        (None, _) => Some(bound.missing("maximum", "limit")),
        (Some(limit), _) if high(&limit) => Some(bound.passed("maximum", "limit", limit)),
        (_, Some(request)) => Some(bound.passed("maximum", "request", request)),
        _ => None,
    }
}

fn max_request(bound: &Bound<'_>, request: Option<Quantity>, _limit: Option<Quantity>) -> Option<String> {
    match request {
        None => Some(bound.missing("maximum", "request")),
        Some(request) if request > bound.amount => Some(bound.passed("maximum", "request", request)),
        _ => None,
    }
}

fn ratio(bound: &Bound<'_>, request: Option<Quantity>, limit: Option<Quantity>) -> Option<String> {
    let Bound { name, kind, amount } = bound;
    let text = format!("{name} max limit to request ratio per {kind} is {amount}, but");
    let given = |amount: &Quantity| !amount.is_zero();
    let Some(request) = request.filter(given) else {
        return Some(format!("{text} no request is specified or request is 0"));
    };
    let Some(limit) = limit.filter(given) else {
        return Some(format!("{text} no limit is specified or limit is 0"));
    };
    let provided = limit.milli_value() as f64 / request.milli_value() as f64;
    (provided * 1000.0 > amount.milli_value() as f64).then(|| format!("{text} provided ratio is {provided:.6}"))
}
