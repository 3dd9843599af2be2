//! What is wrong with environment variables and with references to fields of the pod.

use steersman_machinery::names;
use steersman_machinery::quantity::Quantity;

use crate::kinds::check::{Cursor, amount, text};

/// The fields of a pod that have a label for the downward API.
const FIELD_LABELS: &[&str] = &[
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.host",
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.phase",
    "status.podIP",
    "status.podIPs",
];
/// The fields that an environment variable may have as its value.
const ENV_FIELDS: &[&str] = &[
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const CONTAINER_RESOURCES: &[&str] = &[
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// The units in which sizes are told.
const SIZES: &[&str] = &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];
const ONE_VALUE_SOURCE: &str =
    "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
const ONLY_ONE: &str = "may not have more than one field specified at a time";

/// `env` of a container.
pub(super) fn variables(env: &Cursor<'_>) {
    for variable in env.items() {
        variable.at("name").must_be_named(text::env_name);
        let from = variable.at("valueFrom");
        if from.is_set() {
            value_from(&from, !variable.at("value").is_empty());
        }
    }
}

fn value_from(from: &Cursor<'_>, has_value: bool) {
    let mut sources = 0;
    let mut source = |name: &str| {
        let source = from.at(name);
        sources += usize::from(source.is_set());
        source.is_set().then_some(source)
    };
    if let Some(field) = source("fieldRef") {
        field_selector(&field, ENV_FIELDS);
    }
    if let Some(resource) = source("resourceFieldRef") {
        resource_selector(&resource, false);
    }
    for name in ["configMapKeyRef", "secretKeyRef"] {
        if let Some(key) = source(name) {
            key.at("name").named(names::dns1123_subdomain);
            key.at("key").must_be_named(text::config_key);
        }
    }
    if let Some(file) = source("fileKeyRef") {
        file.at("key").must_be_named(text::env_name);
        file.at("volumeName").must_be_named(names::dns1123_label);
        let path = file.at("path");
        if path.must_be_set() {
            super::mounts::no_backsteps(&path);
        }
    }
    if sources == 0 {
        from.invalid_str("", ONE_VALUE_SOURCE);
    } else if has_value {
        from.invalid_str("", "may not be specified when `value` is not empty");
    } else if sources > 1 {
        from.invalid_str("", ONLY_ONE);
    }
}

/// `envFrom` of a container.
pub(super) fn sources(sources: &Cursor<'_>) {
    for source in sources.items() {
        let prefix = source.at("prefix");
        if !prefix.is_empty() {
            prefix.named(text::env_name);
        }
        let mut count = 0;
        for name in ["configMapRef", "secretRef"] {
            let reference = source.at(name);
            if reference.is_set() {
                count += 1;
                reference.at("name").must_be_named(names::dns1123_subdomain);
            }
        }
        match count {
            0 => sources.invalid_str("", "must specify one of: `configMapRef` or `secretRef`"),
            1 => {}
            _ => sources.invalid_str("", ONLY_ONE),
        }
    }
}

/// A reference to a field of the pod, one of `supported`.
pub(super) fn field_selector(selector: &Cursor<'_>, supported: &[&str]) {
    let path = selector.at("fieldPath");
    if !selector.at("apiVersion").must_be_set() || !path.must_be_set() {
        return;
    }
    let (field, subscript) = match path.text().strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        Some((field, key)) => (field, Some(key)),
        None => (path.text(), None),
    };
    if !FIELD_LABELS.contains(&field) {
        path.invalid_text(format!("error converting fieldPath: field label not supported: {}", path.text()));
        return;
    }
    match subscript {
        Some(key) if field == "metadata.annotations" || field == "metadata.labels" => {
            let lower = key.to_lowercase();
            let key = if field == "metadata.labels" { key } else { &lower };
            for complaint in names::qualified_name(key) {
                selector.invalid_str(key, complaint);
            }
        }
        Some(_) => selector.invalid_str(field, "does not support subscript"),
        None if field == "spec.host" || supported.contains(&field) => {}
        None => path.not_supported(supported),
    }
}

/// A reference to a resource of a container; in a volume it has to name the container.
pub(super) fn resource_selector(selector: &Cursor<'_>, in_volume: bool) {
    let container = selector.at("containerName");
    let resource = selector.at("resource");
    if in_volume && container.is_empty() {
        container.required("");
    } else if resource.is_empty() {
        resource.required("");
    } else if !CONTAINER_RESOURCES.contains(&resource.text())
        && !resource.text().starts_with("limits.hugepages-")
        && !resource.text().starts_with("requests.hugepages-")
    {
        resource.not_supported(CONTAINER_RESOURCES);
    }
    divisor(&selector.at("divisor"), resource.text());
}

/// In which unit a resource is told. The error shows the resource.
fn divisor(divisor: &Cursor<'_>, resource: &str) {
    let unit = amount::of(divisor.value);
    if unit == Quantity::default() {
        return;
    }
    let (_, sort) = resource.split_once('.').unwrap_or_default();
    let sort = match sort {
        "cpu" if [1, 1000].contains(&unit.milli_value()) => return,
        "cpu" => {
            divisor.invalid_str(resource, "only divisor's values 1m and 1 are supported with the cpu resource");
            return;
        }
        "memory" => "memory",
        "ephemeral-storage" => "local ephemeral storage",
        sort if sort.starts_with("hugepages-") => "hugepages",
        _ => return,
    };
    if !SIZES.contains(&unit.to_string().as_str()) {
        let sizes = SIZES.join(", ");
        divisor.invalid_str(resource, format!("only divisor's values {sizes} are supported with the {sort} resource"));
    }
}

/// Each variable from a file names a volume of the pod that is an empty directory.
pub(super) fn file_volumes(spec: &Cursor<'_>) {
    let containers = ["initContainers", "containers", "ephemeralContainers"];
    for container in containers.into_iter().flat_map(|field| spec.at(field).items()) {
        for variable in container.at("env").items() {
            let file = variable.at("valueFrom").at("fileKeyRef");
            if !file.is_set() {
                continue;
            }
            let name = file.at("volumeName");
            // Of volumes of the same name the last one counts.
            match spec.at("volumes").items().filter(|volume| volume.at("name").text() == name.text()).last() {
                None => name.not_found(),
                Some(volume) if !volume.at("emptyDir").is_set() => {
                    name.invalid_text("referenced volume must be of type emptyDir");
                }
                Some(_) => {}
            }
        }
    }
}
