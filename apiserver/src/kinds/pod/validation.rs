//! What is wrong with a pod specification. Source: `ValidatePodSpec` of `k8s.io/kubernetes/pkg/apis/core/validation`.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::{meta, names};

use super::{annotations, containers, environment, resources, scheduling, security, volumes};
use crate::kinds::check::dump::{self, Shape};
use crate::kinds::check::{Cursor, text};

const DNS_POLICIES: &[&str] = &["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
const MAX_NAMESERVERS: usize = 3;
const MAX_SEARCHES: usize = 32;
const MAX_SEARCH_BYTES: usize = 2048;
const LONGEST_HOSTNAME: usize = 64;

/// The pod specification at `spec`: of the pod that has this metadata, or of a template.
pub(crate) fn pod_spec(spec: &Cursor<'_>, metadata: Option<&Value>) {
    let name = metadata.map(|metadata| meta::text(metadata, &["name"])).unwrap_or_default();
    let volumes = volumes::all(&spec.at("volumes"), name);
    resource_claims(&spec.at("resourceClaims"), metadata);
    containers::all(spec, &volumes);
    resources::of_pod(spec);
    containers::host_network(spec, metadata.is_none());
    spec.at("restartPolicy").must_be_one_of(&["Always", "OnFailure", "Never"]);
    spec.at("dnsPolicy").must_be_one_of(DNS_POLICIES);
    spec.at("nodeSelector").labels();
    security::pod(spec);
    scheduling::affinity(&spec.at("affinity"));
    dns_config(spec);
    scheduling::gates(spec);
    scheduling::topology_spread(&spec.at("topologySpreadConstraints"));
    security::host_process(spec);
    security::host_users(spec);
    hostname_override(spec);
    identity(spec);
    scheduling::tolerations(&spec.at("tolerations"));
    host_aliases(&spec.at("hostAliases"));
    let class = spec.at("priorityClassName");
    if !class.is_empty() {
        class.named(names::dns1123_subdomain);
    }
    let class = spec.at("runtimeClassName");
    if class.is_set() {
        class.named(names::dns1123_subdomain);
    }
    let preemption = spec.at("preemptionPolicy");
    if preemption.is_set() {
        preemption.must_be_one_of(&["PreemptLowerPriority", "Never"]);
    }
    resources::overhead(&spec.at("overhead"));
    operating_system(spec);
    environment::file_volumes(spec);
}

/// The names that a pod goes by, and how long it may live.
fn identity(spec: &Cursor<'_>) {
    for field in ["serviceAccountName", "nodeName"] {
        let name = spec.at(field);
        if !name.is_empty() {
            name.named(names::dns1123_subdomain);
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

/// A hostname that is nobody else's to choose.
fn hostname_override(spec: &Cursor<'_>) {
    let name = spec.at("hostnameOverride");
    if !name.is_set() {
        return;
    }
    for field in ["setHostnameAsFQDN", "hostNetwork"] {
        if spec.at(field).is_true() {
            name.forbidden(format!("may not be specified when {field} is true"));
        }
    }
    if name.text().len() > LONGEST_HOSTNAME {
        name.push(FieldError::too_long(&name.path, LONGEST_HOSTNAME));
    }
    name.named(names::dns1123_subdomain);
}

const CLAIM: dump::Fields = &[
    ("Name", "name", Shape::Text),
    ("ResourceClaimName", "resourceClaimName", Shape::Same),
    ("ResourceClaimTemplateName", "resourceClaimTemplateName", Shape::Same),
];

fn resource_claims(claims: &Cursor<'_>, metadata: Option<&Value>) {
    let mirror =
        metadata.and_then(|metadata| metadata.get("annotations")?.get("kubernetes.io/config.mirror")).is_some();
    let mut seen = BTreeSet::new();
    for claim in claims.items() {
        if mirror {
            claim.with(None, Path::new("")).forbidden("static pods do not support resource claims");
            continue;
        }
        let invalid = |detail: &str| claim.invalid_as(dump::internal(claim.value, CLAIM), detail);
        let name = claim.at("name");
        if name.is_empty() {
            name.required("");
        } else if name.once(&mut seen) {
            name.named(names::dns1123_label);
        }
        let (direct, template) = (claim.at("resourceClaimName"), claim.at("resourceClaimTemplateName"));
        match (direct.is_set(), template.is_set()) {
            (true, true) => {
                invalid("at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified");
            }
            (false, false) => {
                invalid("must specify one of: `resourceClaimName`, `resourceClaimTemplateName`");
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
    let bytes: usize = searches.items().map(|search| search.text().len() + 1).sum();
    if bytes > MAX_SEARCH_BYTES + 1 {
        let rule =
            format!("must not have more than {MAX_SEARCH_BYTES} characters (including spaces) in the search list");
        searches.invalid(rule);
    }
    for search in searches.items().filter(|search| search.text() != ".") {
        let name = search.text().strip_suffix('.').unwrap_or(search.text());
        for complaint in text::subdomain_with_underscore(name) {
            search.invalid_str(name, complaint);
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
            hostname.named(names::dns1123_subdomain);
        }
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
        "" => name.required(""),
        "linux" => linux(spec),
        "windows" => windows(spec),
        _ => os.push(FieldError::not_supported(&os.path, name.text(), &["linux", "windows"])),
    }
}

fn linux(spec: &Cursor<'_>) {
    let contexts = security::every_container(spec).into_iter().map(|container| container.at("securityContext"));
    for context in std::iter::once(spec.at("securityContext")).chain(contexts) {
        let options = context.at("windowsOptions");
        if options.is_set() {
            options.forbidden("windows options cannot be set for a linux pod");
        }
    }
}

/// What Windows does not know, of a pod and of a container.
const NOT_OF_WINDOWS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "fsGroup",
    "fsGroupChangePolicy",
    "sysctls",
    "runAsUser",
    "runAsGroup",
    "supplementalGroups",
    "supplementalGroupsPolicy",
    "seLinuxChangePolicy",
];
const NOT_OF_CONTAINERS_OF_WINDOWS: &[&str] = &[
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
];

fn windows(spec: &Cursor<'_>) {
    let unset = |place: &Cursor<'_>, fields: &[&str]| {
        for field in fields {
            let field = place.at(field);
            if field.is_set() && !(field.path.as_str().ends_with("sysctls") && field.is_empty()) {
                field.forbidden("cannot be set for a windows pod");
            }
        }
    };
    unset(&spec.at("securityContext"), NOT_OF_WINDOWS);
    unset(spec, &["hostUsers"]);
    for field in ["hostPID", "hostIPC"] {
        if spec.at(field).is_true() {
            unset(spec, &[field]);
        }
    }
    unset(spec, &["shareProcessNamespace"]);
    for container in security::every_container(spec) {
        unset(&container.at("securityContext"), NOT_OF_CONTAINERS_OF_WINDOWS);
    }
}

/// What holds for pods beside their specification: what a template leaves open.
pub(super) fn pod(object: &Cursor<'_>) {
    let spec = object.at("spec");
    let metadata = object.at("metadata");
    annotations::all(&metadata.at("annotations"), &spec);
    pod_spec(&spec, Some(metadata.value));
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
            containers::unpadded_image(&container);
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
    let group = spec.at("schedulingGroup");
    if group.is_set() {
        group.at("podGroupName").must_be_named(names::dns1123_subdomain);
    }
    annotations::match_fields(&object.at("metadata").at("annotations"), &spec);
}

/// The addresses in the status of a pod: valid ones, at most one of each family. Addresses that `old` has already are
/// left alone.
pub(super) fn pod_addresses(status: &Cursor<'_>, old: &Value) {
    addresses(&status.at("podIPs"), meta::items(old, &["status", "podIPs"]));
    let hosts = status.at("hostIPs");
    if let Some(first) = hosts.items().next()
        && first.at("ip").text() != status.at("hostIP").text()
    {
        first.at("ip").invalid_text("must be equal to `hostIP`");
    }
    addresses(&hosts, meta::items(old, &["status", "hostIPs"]));
}

fn addresses(addresses: &Cursor<'_>, old: &[Value]) {
    let mut families = [0, 0];
    for address in addresses.items() {
        let ip = address.at("ip").text();
        families[usize::from(ip.contains(':'))] += 1;
        if old.iter().any(|old| meta::text(old, &["ip"]) == ip) {
            continue;
        }
        for complaint in text::ip(ip) {
            address.invalid_str(ip, complaint);
        }
    }
    if let Some(wrong) = addresses.items().find(|address| text::sloppy_ip(address.at("ip").text()).is_none())
        && addresses.len() > 1
    {
        let why = format!("failed to check for dual stack with error:invalid IP {}", wrong.at("ip").text());
        addresses.push(FieldError::internal(&addresses.path, why));
    }
    if addresses.len() > 1 && families != [1, 1] {
        let items = addresses.value.as_array().map(Vec::as_slice).unwrap_or_default();
        let shown = dump::internal_list(items, &[("IP", "ip", Shape::Text)]);
        addresses.invalid_as(shown, "may specify no more than one IP for each IP family");
    }
}
