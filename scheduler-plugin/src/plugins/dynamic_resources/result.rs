//! What a search has found, as it is written to the status of claims.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::random::Random;

use super::allocate::{Allocation, Search, Taken, main};
use crate::wire::{DeviceConfiguration, Requirement};

/// The most alternatives of a request; the first counts most when nodes are scored.
/// Source: `k8s.io/api/resource/v1.FirstAvailableDeviceRequestMaxSize`.
const MAX_ALTERNATIVES: usize = 8;

impl Search<'_> {
    /// What each claim gets.
    pub(super) fn allocations(&self, random: &Random) -> Vec<Allocation> {
        let claims: BTreeSet<usize> = self.requests.iter().map(|request| request.claim).collect();
        claims.into_iter().map(|claim| self.allocation(claim, random)).collect()
    }

    fn allocation(&self, claim: usize, random: &Random) -> Allocation {
        let taken: Vec<&Taken> = self.taken.iter().filter(|it| self.requests[it.request].claim == claim).collect();
        let mut devices = Vec::new();
        let mut results = Vec::new();
        for it in &taken {
            let wanted = &self.requests[it.request].alternatives[it.alternative].wanted;
            let amounts = it
                .share
                .as_ref()
                .map(|share| share.iter().map(|(name, amount)| (name.clone(), amount.to_string())).collect());
            results.push(self.result(it, amounts.as_ref().map(|amounts| (amounts, random.uuid()))));
            if !wanted.admin_access {
                devices.push((it.place.id(), amounts));
            }
        }
        let mut result = json!({"devices": {"results": results, "config": self.config(claim, &taken)}});
        if let Some(selector) = self.node_selector(&taken) {
            result["nodeSelector"] = selector;
        }
        Allocation { claim, result, devices, score: self.score(claim, &taken) }
    }

    fn name(&self, taken: &Taken) -> &str {
        &self.requests[taken.request].alternatives[taken.alternative].name
    }

    fn result(&self, taken: &Taken, share: Option<(&std::collections::BTreeMap<String, String>, String)>) -> Value {
        let (place, device) = (&taken.place, taken.place.device());
        let wanted = &self.requests[taken.request].alternatives[taken.alternative].wanted;
        let mut result = json!({
            "request": self.name(taken), "driver": place.driver(), "pool": place.pool(), "device": device.name,
        });
        if wanted.admin_access {
            result["adminAccess"] = json!(true);
        }
        let tolerations = wanted.tolerations.iter().map(|toleration| {
            let of = &toleration.of;
            let texts = [("key", &of.key), ("operator", &of.operator), ("value", &of.value), ("effect", &of.effect)];
            let texts = texts.into_iter().filter(|(_, text)| !text.is_empty());
            let mut fields: serde_json::Map<_, _> = texts.map(|(name, text)| (name.to_owned(), json!(text))).collect();
            fields.extend(toleration.seconds.map(|seconds| ("tolerationSeconds".to_owned(), json!(seconds))));
            Value::Object(fields)
        });
        let lists = [
            ("tolerations", tolerations.collect::<Vec<_>>()),
            ("bindingConditions", device.binding_conditions.iter().map(|it| json!(it)).collect()),
            ("bindingFailureConditions", device.binding_failure_conditions.iter().map(|it| json!(it)).collect()),
        ];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            result[name] = json!(list);
        }
        if let Some((amounts, id)) = share {
            result["shareID"] = json!(id);
            if !amounts.is_empty() {
                result["consumedCapacity"] = json!(amounts);
            }
        }
        result
    }

    /// How good the alternatives are that were taken.
    fn score(&self, claim: usize, taken: &[&Taken]) -> i64 {
        let requests = self.requests.iter().enumerate();
        let prioritized = requests.filter(|(_, request)| request.claim == claim && request.prioritized);
        let chosen = prioritized.filter_map(|(index, _)| taken.iter().find(|taken| taken.request == index));
        chosen.map(|taken| i64::try_from(MAX_ALTERNATIVES.saturating_sub(taken.alternative)).unwrap_or(0)).sum()
    }

    /// What drivers are told: of each class once, then of the claim. What concerns all requests names none.
    fn config(&self, claim: usize, taken: &[&Taken]) -> Vec<Value> {
        let mut config: Vec<(&str, Vec<&str>, &Value)> = Vec::new();
        let mut of_class: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
        let requests = self.requests.iter().enumerate().filter(|(_, request)| request.claim == claim);
        let count = requests.clone().count();
        for (index, request) in requests {
            let chosen = taken.iter().find(|taken| taken.request == index).map_or(0, |taken| taken.alternative);
            let chosen = &request.alternatives[chosen];
            let class = chosen.class.metadata.name.as_str();
            if let Some((_, known)) = of_class.iter().find(|(name, _)| *name == class) {
                config[known.clone()].iter_mut().for_each(|(_, requests, _)| requests.push(&chosen.name));
                continue;
            }
            let first = config.len();
            let opaque = chosen.class.spec.config.iter().filter_map(|it| it.opaque.as_ref());
            config.extend(opaque.map(|opaque| ("FromClass", vec![chosen.name.as_str()], opaque)));
            of_class.push((class, first..config.len()));
        }
        for it in &self.claims[claim].spec.devices.config {
            let names = it.requests.iter().map(String::as_str).collect::<Vec<_>>();
            let times = if names.is_empty() { 1 } else { self.concerned(claim, taken, it) };
            let opaque = it.opaque.iter();
            config.extend(opaque.flat_map(|opaque| std::iter::repeat_n(("FromClaim", names.clone(), opaque), times)));
        }
        let written = config.into_iter().map(|(source, requests, opaque)| {
            let mut written = json!({"source": source, "opaque": opaque});
            if !requests.is_empty() && requests.len() != count {
                written["requests"] = json!(requests);
            }
            written
        });
        written.collect()
    }

    /// How many requests of a claim a configuration names, itself or by what was chosen.
    fn concerned(&self, claim: usize, taken: &[&Taken], config: &DeviceConfiguration) -> usize {
        let requests = self.requests.iter().enumerate().filter(|(_, request)| request.claim == claim);
        let names = requests.map(|(index, request)| {
            let chosen = taken.iter().find(|taken| taken.request == index).map_or(0, |taken| taken.alternative);
            request.alternatives[chosen].name.as_str()
        });
        names.filter(|name| config.requests.iter().any(|it| it == name || it == main(name))).count()
    }

    /// The nodes that can reach all of these devices; `None` for every node.
    fn node_selector(&self, taken: &[&Taken]) -> Option<Value> {
        let (mut fields, mut expressions) = (Vec::new(), Vec::new());
        for place in taken.iter().map(|taken| &taken.place) {
            let reach = place.reach();
            if reach.node_name.is_some() || place.device().binds_to_node {
                // What is local to this node can be reached from here alone.
                let here = json!({"key": "metadata.name", "operator": "In", "values": [self.node()]});
                return Some(json!({"nodeSelectorTerms": [{"matchFields": [here]}]}));
            }
            if let Some(term) = reach.node_selector.as_ref().and_then(|it| it.node_selector_terms.first()) {
                add_new(&mut fields, &term.match_fields);
                add_new(&mut expressions, &term.match_expressions);
            }
        }
        let written = |it: &&Requirement| {
            let mut written = json!({"key": it.key, "operator": it.operator});
            if !it.values.is_empty() {
                written["values"] = json!(it.values);
            }
            written
        };
        let mut term = json!({});
        for (name, list) in [("matchFields", fields), ("matchExpressions", expressions)] {
            if !list.is_empty() {
                term[name] = list.iter().map(written).collect();
            }
        }
        (term != json!({})).then(|| json!({"nodeSelectorTerms": [term]}))
    }
}

fn add_new<'a>(to: &mut Vec<&'a Requirement>, from: &'a [Requirement]) {
    let values = |it: &'a Requirement| it.values.iter().collect::<BTreeSet<_>>();
    for it in from {
        let is_there = |have: &&Requirement| have.key == it.key && have.operator == it.operator;
        if !to.iter().filter(|have| is_there(have)).any(|have| values(have) == values(it)) {
            to.push(it);
        }
    }
}
