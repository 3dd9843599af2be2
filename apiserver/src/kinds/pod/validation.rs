//! What is wrong with a pod specification. Source: `ValidatePodSpec` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::FieldError;
use steersman_machinery::names;

use super::{containers, resources, scheduling, security, volumes};
use crate::kinds::check::{Cursor, text};

const DNS_POLICIES: &[&str] = &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;

/// The pod specification at `spec`, of a pod or of a template.
pub(crate) fn pod_spec(spec: &Cursor<'_>) {
    volumes::all(&spec.at("volumes"));
    resource_claims(&spec.at("resourceClaims"));
    containers::all(spec);
    pod_resources(&spec.at("resources"));
    spec.at("restartPolicy").must_be_one_of(&["Always", "OnFailure", "Never"]);
    spec.at("dnsPolicy").must_be_one_of(DNS_POLICIES);
    spec.at("nodeSelector").labels();
    security::pod(spec);
    scheduling::affinity(&spec.at("affinity"));
    dns_config(spec);
    scheduling::gates(spec);
    scheduling::topology_spread(&spec.at("topologySpreadConstraints"));
    identity(spec);
    scheduling::tolerations(&spec.at("tolerations"));
    host_aliases(&spec.at("hostAliases"));
    for (field, rule) in [
        ("priorityClassName", names::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("runtimeClassName", names::dns1123_subdomain),
    ] {
        let name = spec.at(field);
        if !name.is_empty() {
            name.named(rule);
        }
    }
    spec.at("preemptionPolicy").one_of(&["Never", "PreemptLowerPriority"]);
    overhead(&spec.at("overhead"));
    operating_system(spec);
}

/// The names that a pod goes by, and how long it may live.
fn identity(spec: &Cursor<'_>) {
    for (field, rule) in [
        ("serviceAccountName", names::dns1123_subdomain as fn(&str) -> Vec<String>),
        ("nodeName", names::dns1123_subdomain),
    ] {
        let name = spec.at(field);
        if !name.is_empty() {
            name.named(rule);
        }
    }
    let deadline = spec.at("activeDeadlineSeconds");
    if deadline.is_set() {
        deadline.in_range(1, i64::from(i32::MAX));
    }
    for field in ["hostname", "subdomain"] {
        let name = spec.at(field);
        if !name.is_empty() {
            name.named(names::dns1123_label);
        }
    }
}

fn pod_resources(resources: &Cursor<'_>) {
    let (limits, requests) = (resources.at("limits"), resources.at("requests"));
    for list in [&limits, &requests] {
        for (name, entry) in list.entries() {
            if !matches!(name, "cpu" | "memory") && !resources::is_huge_page(name) {
                entry.not_supported(&["cpu", "hugepages-", "memory"]);
            }
            resources::quantity(&entry, name);
        }
    }
    for (name, _) in requests.entries() {
        resources::within_limit(&requests, &limits, name);
    }
}

fn resource_claims(claims: &Cursor<'_>) {
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        let name = claim.at("name");
        if name.is_empty() {
            name.required("");
        } else if name.once(&mut seen) {
            name.named(names::dns1123_label);
        }
        let (direct, template) = (claim.at("resourceClaimName"), claim.at("resourceClaimTemplateName"));
        match (direct.is_set(), template.is_set()) {
            (true, true) => {
                claim.invalid("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified")
            }
            (false, false) => {
                claim.invalid("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
            }
            _ => {}
        }
        for name in [direct, template] {
            if name.is_set() {
                name.named(names::dns1123_subdomain);
            }
        }
    }
}

fn dns_config(spec: &Cursor<'_>) {
    let config = spec.at("dnsConfig");
    let servers = config.at("nameservers");
    if spec.at("dnsPolicy").text() == "None" {
        if !config.is_set() {
            config.required("must provide `dnsConfig` when `dnsPolicy` is None");
            return;
        }
        if servers.is_empty() {
            servers.required("must provide at least one DNS nameserver when `dnsPolicy` is None");
            return;
        }
    }
    if servers.len() > MAX_NAMESERVERS {
        servers.invalid(format!("must not have more than {MAX_NAMESERVERS} nameservers"));
    }
    for server in servers.items() {
        server.named(text::ip);
    }
    let searches = config.at("searches");
    if searches.len() > MAX_SEARCHES {
        searches.invalid(format!("must not have more than {MAX_SEARCHES} search paths"));
    }
    for search in searches.items() {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        let name = name.replace('_', "-");
        if search.text() != "." {
            for complaint in names::dns1123_subdomain(&name) {
                search.invalid_text(complaint);
            }
        }
    }
    for option in config.at("options").items() {
        let name = option.at("name");
        if name.is_empty() {
            option.required("must not be empty");
        }
    }
}

fn host_aliases(aliases: &Cursor<'_>) {
    for alias in aliases.items() {
        alias.at("ip").named(text::ip);
        for hostname in alias.at("hostnames").items() {
            for complaint in names::dns1123_subdomain(hostname.text()) {
                alias.at("hostnames").invalid_str(hostname.text(), complaint);
            }
        }
    }
}

fn overhead(overhead: &Cursor<'_>) {
    for (name, entry) in overhead.entries() {
        resources::resource_name(&entry, name);
        resources::quantity(&entry, name);
    }
}

/// What the operating system forbids.
fn operating_system(spec: &Cursor<'_>) {
    let os = spec.at("os");
    if !os.is_set() {
        return;
    }
    let name = os.at("name");
    match name.text() {
        "" => name.required("cannot be empty"),
        "linux" => linux(spec),
        "windows" => windows(spec),
        _ => name.not_supported(&["linux", "windows"]),
    }
}

fn linux(spec: &Cursor<'_>) {
    let rule = "windows options cannot be set for a linux pod";
    let contexts = std::iter::once(spec.at("securityContext")).chain(
        ["containers", "initContainers", "ephemeralContainers"]
            .into_iter()
            .flat_map(|field| spec.at(field).items())
            .map(|container| container.at("securityContext")),
    );
    for context in contexts {
        let options = context.at("windowsOptions");
        if options.is_set() {
            options.forbidden(rule);
        }
    }
}

fn windows(spec: &Cursor<'_>) {
    let rule = "cannot be set for a windows pod";
    for field in ["hostPID", "hostIPC", "shareProcessNamespace"] {
        let field = spec.at(field);
        if field.is_true() {
            field.forbidden(rule);
        }
    }
    let context = spec.at("securityContext");
    for field in [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "runAsUser",
        "runAsGroup",
        "supplementalGroups",
    ] {
        let field = context.at(field);
        if !field.is_empty() {
            field.forbidden(rule);
        }
    }
}

/// What holds for pods beside their specification: what a template leaves open.
pub(super) fn pod(object: &Cursor<'_>) {
    let spec = object.at("spec");
    pod_spec(&spec);
    if spec.at("serviceAccountName").is_empty() {
        for volume in spec.at("volumes").items() {
            for source in volume.at("projected").at("sources").items() {
                let token = source.at("serviceAccountToken");
                if token.is_set() {
                    token.forbidden("must not be specified when serviceAccountName is not set");
                }
            }
        }
    }
    for field in ["containers", "initContainers"] {
        for container in spec.at(field).items() {
            let image = container.at("image");
            if image.text().trim() != image.text() {
                image.invalid_text("must not have leading or trailing whitespace");
            }
        }
    }
}

/// What holds for a new pod only.
pub(super) fn new_pod(object: &Cursor<'_>) {
    let spec = object.at("spec");
    let ephemeral = spec.at("ephemeralContainers");
    if !ephemeral.is_empty() {
        ephemeral.forbidden("cannot be set on create");
    }
    if !spec.at("schedulingGates").is_empty() && !spec.at("nodeName").is_empty() {
        spec.at("nodeName").forbidden("cannot be set until all schedulingGates have been cleared");
    }
}

/// The addresses in the status of a pod: valid ones, at most one of each family.
pub(super) fn pod_addresses(status: &Cursor<'_>) {
    for (field, shown) in [("podIPs", "IP"), ("hostIPs", "IP")] {
        let addresses = status.at(field);
        let mut families = [0, 0];
        let mut seen = BTreeSet::new();
        for address in addresses.items() {
            let ip = address.at("ip");
            for complaint in text::ip(ip.text()) {
                address.invalid_str(ip.text(), complaint);
            }
            families[usize::from(ip.text().contains(':'))] += 1;
            if !seen.insert(ip.text()) {
                address.push(FieldError::duplicate(&address.path, ip.value));
            }
        }
        if families.iter().any(|count| *count > 1) {
            let list: Vec<String> = addresses
                .items()
                .map(|address| format!("{{\"{shown}\":{}}}", Value::from(address.at("ip").text())))
                .collect();
            addresses.invalid_as(format!("[{}]", list.join(",")), "may specify no more than one IP for each IP family");
        }
    }
}
