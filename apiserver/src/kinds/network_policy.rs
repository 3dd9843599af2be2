//! NetworkPolicies. Source: `k8s.io/kubernetes/pkg/apis/networking/{v1,validation}`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use steersman_machinery::field::ErrorList;
use steersman_machinery::meta;

use super::check::{self, Cursor, text};
use super::pod::defaults::each;
use super::pod::probes;
use crate::registry::strategy::{Rules, Strategy};

/// The strategy of network policies.
#[derive(Clone, Copy, Debug)]
pub struct NetworkPolicy;

impl Strategy for NetworkPolicy {
    fn revalidates_metadata(&self) -> bool {
        true
    }

    fn rules(&self) -> Rules {
        Rules { tracks_generation: true, ..Rules::DEFAULT }
    }

    fn default(&self, object: &mut Value) {
        meta::set_default(object, &["spec", "podSelector"], json!({}));
        let Some(spec) = object.get_mut("spec") else {
            return;
        };
        for direction in ["ingress", "egress"] {
            each(spec, direction, |rule| {
                each(rule, "ports", |port| meta::set_default(port, &["protocol"], "TCP"));
            });
        }
        if meta::items(spec, &["policyTypes"]).is_empty() {
            let leaving = !meta::items(spec, &["egress"]).is_empty();
            let types = if leaving { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
            meta::set(spec, &["policyTypes"], types);
        }
    }

    fn validate(&self, object: &Value) -> ErrorList {
        check::collect(object, |root| policy(&root.at("spec"), &BTreeSet::new()))
    }

    fn validate_update(&self, object: &Value, old: &Value) -> ErrorList {
        check::collect(object, |root| policy(&root.at("spec"), &networks(old)))
    }

    fn warnings(&self, object: &Value, _old: Option<&Value>) -> Vec<String> {
        let mut warnings = Vec::new();
        for (direction, peers) in RULES {
            for (i, rule) in meta::items(object, &["spec", direction]).iter().enumerate() {
                for (j, peer) in meta::items(rule, &[peers]).iter().enumerate() {
                    let place = format!("spec.{direction}[{i}].{peers}[{j}].ipBlock");
                    let cidr = meta::text(peer, &["ipBlock", "cidr"]);
                    warnings.extend(text::cidr_warnings(&format!("{place}.cidr"), cidr));
                    for (k, except) in meta::items(peer, &["ipBlock", "except"]).iter().enumerate() {
                        let except = except.as_str().unwrap_or_default();
                        warnings.extend(text::cidr_warnings(&format!("{place}.except[{k}]"), except));
                    }
                }
            }
        }
        warnings
    }
}

/// The two directions, and the field for the other side of each.
const RULES: [(&str, &str); 2] = [("ingress", "from"), ("egress", "to")];

/// All networks of a policy. Where they were let in before they are not looked at again.
fn networks(policy: &Value) -> BTreeSet<&str> {
    RULES
        .iter()
        .flat_map(|(direction, peers)| {
            meta::items(policy, &["spec", direction]).iter().flat_map(|rule| meta::items(rule, &[peers]))
        })
        .flat_map(|peer| {
            let excepted = meta::items(peer, &["ipBlock", "except"]).iter().filter_map(Value::as_str);
            excepted.chain([meta::text(peer, &["ipBlock", "cidr"])])
        })
        .collect()
}

fn policy(spec: &Cursor<'_>, known: &BTreeSet<&str>) {
    spec.at("podSelector").label_selector();
    for (direction, peers) in RULES {
        for rule in spec.at(direction).items() {
            rule.at("ports").items().for_each(|port| policy_port(&port));
            rule.at(peers).items().for_each(|peer| policy_peer(&peer, known));
        }
    }
    let types = spec.at("policyTypes");
    if types.len() > 2 {
        types.invalid("may not specify more than two policyTypes");
        return;
    }
    types.items().for_each(|sort| sort.one_of(&["Ingress", "Egress"]));
}

fn policy_port(port: &Cursor<'_>) {
    port.at("protocol").one_of(&["TCP", "UDP", "SCTP"]);
    let (number, end) = (port.at("port"), port.at("endPort"));
    if number.is_set() {
        if number.value.is_string() && end.is_set() {
            end.invalid("may not be specified when `port` is non-numeric");
        }
        probes::port(&number);
        if !number.value.is_string() && end.is_set() {
            if end.int() < number.int() {
                end.with(Some(number.value), end.path.clone()).invalid("must be greater than or equal to `port`");
            }
            end.port();
        }
    } else if end.is_set() {
        end.invalid("may not be specified when `port` is not specified");
    }
}

/// One other side: pods, namespaces, both together, or a block of addresses.
fn policy_peer(peer: &Cursor<'_>, known: &BTreeSet<&str>) {
    let mut count = 0;
    for field in ["podSelector", "namespaceSelector"] {
        let selector = peer.at(field);
        count += usize::from(selector.is_set());
        selector.label_selector();
    }
    let block = peer.at("ipBlock");
    if block.is_set() {
        ip_block(&block, known);
        if count > 0 {
            peer.forbidden("may not specify both ipBlock and another peer");
        }
    } else if count == 0 {
        peer.required("must specify a peer");
    }
}

fn ip_block(block: &Cursor<'_>, known: &BTreeSet<&str>) {
    let cidr = block.at("cidr");
    if !cidr.must_be_set() {
        return;
    }
    let valid = |network: &Cursor<'_>| {
        if !known.contains(network.text()) {
            network.named(text::cidr);
        }
        text::sloppy_cidr(network.text())
    };
    let Some((network, bits)) = valid(&cidr) else {
        return;
    };
    for except in block.at("except").items() {
        let Some((address, more)) = valid(&except) else {
            continue;
        };
        if more <= bits || !text::contains(network, bits, text::masked(address, more)) {
            except.invalid("must be a strict subset of `cidr`");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(spec: Value, expect: &[&str]) {
        let mut object = json!({"spec": spec});
        NetworkPolicy.default(&mut object);
        assert_eq!(check::messages(&NetworkPolicy.validate(&object)), expect);
    }

    #[test]
    fn peers_and_ports_are_checked() {
        check(json!({}), &[]);
        check(json!({"ingress": [{"from": [{}]}]}), &["spec.ingress[0].from[0]: Required value: must specify a peer"]);
        check(
            json!({"egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/8", "10.0.0.128/25"]}}]}]}),
            &[
                r#"spec.egress[0].to[0].ipBlock.except[0]: Invalid value: "10.0.0.0/8": must be a strict subset of `cidr`"#,
            ],
        );
        check(
            json!({"ingress": [{"ports": [{"port": 10, "endPort": 5}, {"endPort": 5}]}]}),
            &[
                "spec.ingress[0].ports[0].endPort: Invalid value: 10: must be greater than or equal to `port`",
                "spec.ingress[0].ports[1].endPort: Invalid value: 5: may not be specified when `port` is not specified",
            ],
        );
    }

    #[test]
    fn policies_with_egress_rules_are_about_egress() {
        let mut object = json!({"spec": {"egress": [{}]}});
        NetworkPolicy.default(&mut object);
        assert_eq!(object["spec"]["policyTypes"], json!(["Ingress", "Egress"]));
    }
}
