//! Extenders in the configuration file.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Node, Result, invalid};
use crate::configuration::extender::{ExtenderConfiguration, ExtenderTls, ManagedResource};
use crate::resources::is_extended;

/// How long an answer may take if nothing is said.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn extenders(root: &Node<'_>) -> Result<Vec<ExtenderConfiguration>> {
    let all: Vec<ExtenderConfiguration> = root.list("extenders")?.iter().map(extender).collect::<Result<_>>()?;
    let binders = all.iter().filter(|extender| !extender.bind_verb.is_empty()).count();
    if binders > 1 {
        let message = "only one extender can implement bind";
        let value = format!("found {binders} extenders implementing bind");
        return Err(invalid("extenders", format!("Invalid value: {value:?}: {message}")));
    }
    Ok(all)
}

fn extender(node: &Node<'_>) -> Result<ExtenderConfiguration> {
    node.fields(&[
        "urlPrefix",
        "filterVerb",
        "prioritizeVerb",
        "preemptVerb",
        "bindVerb",
        "weight",
        "enableHTTPS",
        "tlsConfig",
        "httpTimeout",
        "nodeCacheCapable",
        "managedResources",
        "ignorable",
    ])?;
    let text = |key| Ok(node.text(key)?.unwrap_or_default().to_owned());
    let extender = ExtenderConfiguration {
        url_prefix: text("urlPrefix")?,
        filter_verb: text("filterVerb")?,
        prioritize_verb: text("prioritizeVerb")?,
        preempt_verb: text("preemptVerb")?,
        bind_verb: text("bindVerb")?,
        weight: node.integer("weight")?.unwrap_or(0),
        enable_https: node.boolean("enableHTTPS")?,
        tls: node.get("tlsConfig").map_or_else(|| Ok(ExtenderTls::default()), |node| tls(&node))?,
        http_timeout: timeout(node)?,
        node_cache_capable: node.boolean("nodeCacheCapable")?,
        managed_resources: managed(node)?,
        ignorable: node.boolean("ignorable")?,
    };
    if !extender.prioritize_verb.is_empty() && extender.weight <= 0 {
        let message = format!("Invalid value: {}: must have a positive weight applied to it", extender.weight);
        return Err(invalid(&node.child_path("weight"), message));
    }
    Ok(extender)
}

fn timeout(node: &Node<'_>) -> Result<Duration> {
    let Some(text) = node.text("httpTimeout")? else { return Ok(DEFAULT_TIMEOUT) };
    let wrong = || invalid(&node.child_path("httpTimeout"), format!("time: invalid duration {text:?}"));
    let timeout = duration(text).ok_or_else(wrong)?;
    Ok(if timeout.is_zero() { DEFAULT_TIMEOUT } else { timeout })
}

/// A duration as Go writes it: `1m30s`, `100ms`, `0.5s`.
pub(in crate::configuration) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, 0.0);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(digits);
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let seconds = match &after[..unit] {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        sum += number.parse::<f64>().ok()? * seconds;
        rest = &after[unit..];
    }
    Duration::try_from_secs_f64(sum).ok()
}

fn managed(node: &Node<'_>) -> Result<Vec<ManagedResource>> {
    let mut seen = BTreeSet::new();
    let mut all = Vec::new();
    for resource in node.list("managedResources")? {
        resource.fields(&["name", "ignoredByScheduler"])?;
        let name = resource.text("name")?.unwrap_or_default().to_owned();
        if !is_extended(&name) {
            let message = format!("Invalid value: {name:?}: is an invalid extended resource name");
            return Err(invalid(&resource.path, message));
        }
        if !seen.insert(name.clone()) {
            let message = format!("Invalid value: {name:?}: duplicate extender managed resource name");
            return Err(invalid(&resource.path, message));
        }
        all.push(ManagedResource { name, ignored_by_scheduler: resource.boolean("ignoredByScheduler")? });
    }
    Ok(all)
}

fn tls(node: &Node<'_>) -> Result<ExtenderTls> {
    node.fields(&["insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"])?;
    let text = |key| Ok(node.text(key)?.unwrap_or_default().to_owned());
    let bytes = |key: &str| {
        let text = node.text(key)?.unwrap_or_default();
        let decoded: std::result::Result<k8s_openapi::ByteString, _> = serde_json::from_value(text.into());
        decoded.map(|bytes| bytes.0).map_err(|_| invalid(&node.child_path(key), "must be base64"))
    };
    Ok(ExtenderTls {
        insecure: node.boolean("insecure")?,
        server_name: text("serverName")?,
        cert_file: text("certFile")?,
        key_file: text("keyFile")?,
        ca_file: text("caFile")?,
        cert_data: bytes("certData")?,
        key_data: bytes("keyData")?,
        ca_data: bytes("caData")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Configuration;

    fn parse(extenders: &str) -> std::result::Result<Vec<ExtenderConfiguration>, String> {
        let text = format!(
            "{{apiVersion: kubescheduler.config.k8s.io/v1, kind: KubeSchedulerConfiguration, extenders: {extenders}}}"
        );
        Configuration::from_yaml(&text).map(|configuration| configuration.extenders).map_err(|error| error.to_string())
    }

    #[test]
    fn an_extender_has_upstreams_defaults() {
        let found = parse("[{urlPrefix: 'http://127.0.0.1:8888/scheduler', filterVerb: filter}]").unwrap();
        assert_eq!(found[0].http_timeout, Duration::from_secs(5));
        assert!(!found[0].ignorable && !found[0].enable_https && !found[0].node_cache_capable);
        let found = parse("[{httpTimeout: 1m0.5s, tlsConfig: {caData: aGk=}, managedResources: [{name: a.com/b}]}]");
        let found = found.unwrap();
        assert_eq!(found[0].http_timeout, Duration::from_millis(60_500));
        assert_eq!(found[0].tls.ca_data, b"hi");
    }

    #[test]
    fn faulty_extenders_are_refused_with_upstreams_words() {
        let check = |extenders: &str, expect: &str| assert_eq!(parse(extenders), Err(expect.to_owned()));
        check(
            "[{prioritizeVerb: p}]",
            "extenders[0].weight: Invalid value: 0: must have a positive weight applied to it",
        );
        check(
            "[{bindVerb: b}, {bindVerb: c}]",
            "extenders: Invalid value: \"found 2 extenders implementing bind\": only one extender can implement bind",
        );
        check(
            "[{managedResources: [{name: cpu}]}]",
            "extenders[0].managedResources[0]: Invalid value: \"cpu\": is an invalid extended resource name",
        );
        check(
            "[{managedResources: [{name: a.com/b}, {name: a.com/b}]}]",
            "extenders[0].managedResources[1]: Invalid value: \"a.com/b\": duplicate extender managed resource name",
        );
        check("[{httpTimeout: soon}]", "extenders[0].httpTimeout: time: invalid duration \"soon\"");
        check("[{verb: x}]", "strict decoding error: unknown field \"extenders[0].verb\"");
    }
}
