//! What is wrong with where a volume comes from: a disk, a share, a driver, which pods and persistent volumes may both
//! name. Source: `k8s.io/kubernetes/pkg/apis/core/validation/validation.go`.

use steersman_machinery::field::{FieldError, Path};
use steersman_machinery::names;

use crate::kinds::check::Cursor;
use crate::kinds::pod::mounts::no_backsteps;

/// What a name and a portal say that are too long together.
pub(crate) const TOO_LONG: &str = "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.";
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const QUOBYTE: &str = "must be a host:port pair or multiple pairs separated by commas";
const MANAGED_DISK: &str =
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}";
const BLOB_DISK: &str = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd";
const LONGEST_DRIVER: usize = 63;

/// What is wrong with the source `source` of the sort `name`, in a pod or in a persistent volume.
pub(crate) fn check(name: &str, source: &Cursor<'_>, persistent: bool) {
    match name {
        "hostPath" => host_path(source),
        "nfs" => nfs(source),
        "csi" if persistent => persistent_driver(source),
        "csi" => driver_of_pod(source),
        "iscsi" => iscsi(source, persistent),
        "fc" => fibre_channel(source),
        "gcePersistentDisk" => {
            let source = source.with(Some(source.value), sibling(source, name, "persistentDisk"));
            required(&source, &["pdName"]);
            up_to_255(&source.at("partition"));
        }
        "awsElasticBlockStore" => {
            required(source, &["volumeID"]);
            up_to_255(&source.at("partition"));
        }
        "cinder" => {
            required(source, &["volumeID"]);
            secret(source, persistent);
        }
        "azureDisk" => azure_disk(source),
        "azureFile" => {
            required(source, &["secretName", "shareName"]);
            let namespace = source.at("secretNamespace");
            if persistent && namespace.is_set() {
                namespace.must_be_set();
            }
        }
        "cephfs" => required(source, &["monitors"]),
        "rbd" => required(source, &["monitors", "image"]),
        "glusterfs" => glusterfs(source),
        "flocker" => flocker(source),
        "quobyte" => quobyte(source),
        "flexVolume" => flex(source),
        "vsphereVolume" => required(source, &["volumePath"]),
        "photonPersistentDisk" => required(source, &["pdID"]),
        "portworxVolume" => required(source, &["volumeID"]),
        "scaleIO" => required(source, &["gateway", "system", "volumeName"]),
        "storageos" => storage_os(source, persistent),
        _ => {}
    }
}

fn required(source: &Cursor<'_>, fields: &[&str]) {
    for field in fields {
        source.at(field).must_be_set();
    }
}

/// The path of `source` with another last name.
fn sibling(source: &Cursor<'_>, name: &str, other: &str) -> Path {
    let parent = source.path.as_str().strip_suffix(name).unwrap_or_default();
    Path::new(&format!("{parent}{other}"))
}

fn up_to_255(partition: &Cursor<'_>) {
    let number = partition.int().unwrap_or_default();
    if !(0..=255).contains(&number) {
        let rule = if partition.path.as_str().ends_with("lun") { (0, 255) } else { (1, 255) };
        partition.invalid_as(number.to_string(), format!("must be between {} and {}, inclusive", rule.0, rule.1));
    }
}

/// A directory of the node.
fn host_path(source: &Cursor<'_>) {
    let path = source.at("path");
    if path.must_be_set() {
        no_backsteps(&path);
        source.at("type").one_of(HOST_PATH_TYPES);
    }
}

fn nfs(source: &Cursor<'_>) {
    required(source, &["server", "path"]);
    let path = source.at("path");
    if !path.text().starts_with('/') {
        path.invalid_text("must be an absolute path");
    }
}

/// The name of a CSI driver.
pub(crate) fn driver_name(driver: &Cursor<'_>) {
    if !driver.must_be_set() {
        return;
    }
    if driver.text().len() > LONGEST_DRIVER {
        driver.push(FieldError::too_long(&driver.path, LONGEST_DRIVER));
    }
    for complaint in names::dns1123_subdomain(&driver.text().to_lowercase()) {
        driver.invalid_text(complaint);
    }
}

fn driver_of_pod(source: &Cursor<'_>) {
    driver_name(&source.at("driver"));
    let secret = source.at("nodePublishSecretRef");
    if secret.is_set() {
        let name = secret.at("name");
        if name.must_be_set() {
            source.with(Some(name.value), source.path.child("name")).named(names::dns1123_subdomain);
        }
    }
}

fn persistent_driver(source: &Cursor<'_>) {
    driver_name(&source.at("driver"));
    required(source, &["volumeHandle"]);
    for field in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        let secret = source.at(field);
        if secret.is_set() {
            secret.at("name").must_be_named(names::dns1123_subdomain);
            secret.at("namespace").must_be_named(names::dns1123_label);
        }
    }
}

fn iscsi(source: &Cursor<'_>, persistent: bool) {
    required(source, &["targetPortal"]);
    iscsi_names(source, persistent);
}

/// Who speaks with whom over iSCSI, and how they know each other.
pub(crate) fn iscsi_names(source: &Cursor<'_>, persistent: bool) {
    let starts =
        if persistent { "must be valid format" } else { "must be valid format starting with iqn, eui, or naa" };
    let named = |name: &Cursor<'_>| {
        let rule = match name.text().get(..3) {
            Some("iqn") if !is_iqn(name.text()) => "must be valid format",
            Some("eui") if !is_numbered(name.text(), 16) => "must be valid format",
            Some("naa") if !is_numbered(name.text(), 32) => "must be valid format",
            Some("iqn" | "eui" | "naa") => return,
            _ => starts,
        };
        name.invalid_text(rule);
    };
    let target = source.at("iqn");
    if target.must_be_set() {
        named(&target);
    }
    up_to_255(&source.at("lun"));
    let secret = source.at("secretRef");
    let authenticated = ["chapAuthDiscovery", "chapAuthSession"].iter().any(|field| source.at(field).is_true());
    if authenticated && !secret.is_set() {
        secret.required("");
    }
    if persistent && secret.is_set() {
        secret.at("name").must_be_set();
    }
    let initiator = source.at("initiatorName");
    if initiator.is_set() {
        named(&initiator.with(Some(initiator.value), source.path.child("initiatorname")));
    }
}

/// `iqn.2001-04.com.example:storage`; what stands before is not looked at.
fn is_iqn(name: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    let parts = || {
        let (date, rest) = name.strip_prefix("iqn.")?.split_once('.')?;
        let (year, month) = date.split_once('-')?;
        let (authority, target) = rest.split_once(':')?;
        Some((year, month, authority, target))
    };
    parts().is_some_and(|(year, month, authority, target)| {
        digits(year, 4)
            && digits(month, 2)
            && !authority.is_empty()
            && authority.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
            && !target.is_empty()
            && !target.contains([',', ';', '*', '&', '$', '|'])
            && !target.contains(char::is_whitespace)
    })
}

/// A scheme of three letters, one more character, and so many letters and digits.
fn is_numbered(name: &str, count: usize) -> bool {
    let rest = name.as_bytes().get(4..).unwrap_or_default();
    rest.len() == count && rest.iter().all(u8::is_ascii_alphanumeric)
}

fn fibre_channel(source: &Cursor<'_>) {
    let (targets, ids, lun) = (source.at("targetWWNs"), source.at("wwids"), source.at("lun"));
    if targets.is_empty() && ids.is_empty() {
        targets.required("must specify either targetWWNs or wwids, but not both");
    }
    if !targets.is_empty() && !ids.is_empty() {
        targets.invalid("targetWWNs and wwids can not be specified simultaneously");
    }
    if !targets.is_empty() && !lun.is_set() {
        lun.required("lun is required if targetWWNs is specified");
    } else if !targets.is_empty() {
        up_to_255(&lun);
    }
}

fn secret(source: &Cursor<'_>, persistent: bool) {
    let secret = source.at("secretRef");
    if secret.is_set() {
        secret.at("name").must_be_set();
        if persistent {
            secret.at("namespace").must_be_set();
        }
    }
}

fn glusterfs(source: &Cursor<'_>) {
    required(source, &["endpoints", "path"]);
    let namespace = source.at("endpointsNamespace");
    if namespace.is_set() && namespace.is_empty() {
        namespace.invalid_text("if the endpointnamespace is set, it must be a valid namespace name");
    } else if namespace.is_set() {
        namespace.named(names::dns1123_label);
    }
}

fn flocker(source: &Cursor<'_>) {
    let (name, uuid) = (source.at("datasetName"), source.at("datasetUUID"));
    if name.is_empty() && uuid.is_empty() {
        source.required("one of datasetName and datasetUUID is required");
    }
    if !name.is_empty() && !uuid.is_empty() {
        source.invalid_str("resource", "datasetName and datasetUUID can not be specified simultaneously");
    }
    if name.text().contains('/') {
        name.invalid_text("must not contain '/'");
    }
}

fn quobyte(source: &Cursor<'_>) {
    let (registry, tenant) = (source.at("registry"), source.at("tenant"));
    if registry.is_empty() {
        registry.required(QUOBYTE);
    } else if tenant.text().len() >= 65 {
        tenant.required("must be a UUID and may not exceed a length of 64 characters");
    } else {
        for pair in registry.text().split(',') {
            let is_pair = pair
                .rsplit_once(':')
                .is_some_and(|(host, _)| !host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
            if !is_pair {
                registry.invalid_text(QUOBYTE);
            }
        }
    }
    required(source, &["volume"]);
}

fn flex(source: &Cursor<'_>) {
    required(source, &["driver"]);
    for (key, option) in source.at("options").entries() {
        let namespace = key.split_once('/').map_or(key, |(namespace, _)| namespace).to_lowercase();
        let reserved = ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|domain| namespace == *domain || namespace.ends_with(&format!(".{domain}")));
        if reserved {
            option.invalid_str(key, "kubernetes.io and k8s.io namespaces are reserved");
        }
    }
}

fn azure_disk(source: &Cursor<'_>) {
    required(source, &["diskName", "diskURI"]);
    source.at("cachingMode").one_of(&["None", "ReadOnly", "ReadWrite"]);
    let (kind, uri) = (source.at("kind"), source.at("diskURI"));
    kind.one_of(&["Dedicated", "Managed", "Shared"]);
    match kind.text() {
        "Managed" if !uri.text().starts_with("/subscriptions/") => uri.not_supported(&[MANAGED_DISK]),
        "Managed" => {}
        _ if kind.is_set() && !uri.text().starts_with("https://") => uri.not_supported(&[BLOB_DISK]),
        _ => {}
    }
}

fn storage_os(source: &Cursor<'_>, persistent: bool) {
    source.at("volumeName").must_be_named(names::dns1123_label);
    let namespace = source.at("volumeNamespace");
    if !namespace.is_empty() {
        namespace.named(names::dns1123_label);
    }
    secret(source, persistent);
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::kinds::check::{collect, messages};

    #[track_caller]
    fn sources(name: &str, source: &Value, persistent: bool, expect: &[&str]) {
        let object = json!({name: source});
        let errors = collect(&object, |root| check(name, &root.at(name), persistent));
        assert_eq!(messages(&errors), expect, "{name}");
    }

    #[test]
    fn every_source_says_what_it_needs() {
        sources(
            "nfs",
            &json!({}),
            false,
            &[
                "nfs.server: Required value",
                "nfs.path: Required value",
                r#"nfs.path: Invalid value: "": must be an absolute path"#,
            ],
        );
        sources(
            "gcePersistentDisk",
            &json!({"partition": 256}),
            false,
            &[
                "persistentDisk.pdName: Required value",
                "persistentDisk.partition: Invalid value: 256: must be between 1 and 255, inclusive",
            ],
        );
        sources(
            "iscsi",
            &json!({"targetPortal": "a", "iqn": "x", "lun": -1, "chapAuthSession": true}),
            false,
            &[
                r#"iscsi.iqn: Invalid value: "x": must be valid format starting with iqn, eui, or naa"#,
                "iscsi.lun: Invalid value: -1: must be between 0 and 255, inclusive",
                "iscsi.secretRef: Required value",
            ],
        );
        sources("iscsi", &json!({"targetPortal": "a", "iqn": "iqn.2001-04.com.example:disk", "lun": 0}), true, &[]);
        sources(
            "fc",
            &json!({"targetWWNs": ["a"]}),
            false,
            &["fc.lun: Required value: lun is required if targetWWNs is specified"],
        );
        sources(
            "azureDisk",
            &json!({"diskName": "a", "diskURI": "b", "kind": "Managed"}),
            false,
            &[&format!("azureDisk.diskURI: Unsupported value: \"b\": supported values: \"{MANAGED_DISK}\"")],
        );
        sources(
            "flexVolume",
            &json!({"driver": "a", "options": {"X.k8s.io/a": "b"}}),
            true,
            &[
                r#"flexVolume.options[X.k8s.io/a]: Invalid value: "X.k8s.io/a": kubernetes.io and k8s.io namespaces are reserved"#,
            ],
        );
        sources(
            "cinder",
            &json!({"volumeID": "a", "secretRef": {}}),
            true,
            &["cinder.secretRef.name: Required value", "cinder.secretRef.namespace: Required value"],
        );
        sources(
            "csi",
            &json!({"driver": "D.example.com", "nodePublishSecretRef": {"name": "a_b"}}),
            false,
            &[&format!("csi.name: Invalid value: \"a_b\": {}", names::dns1123_subdomain("a_b")[0])],
        );
    }
}
