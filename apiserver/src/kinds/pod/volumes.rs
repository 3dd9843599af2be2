//! What is wrong with volumes. Source: `k8s.io/kubernetes/pkg/apis/core/validation/validation.go`.

use std::collections::BTreeSet;

use steersman_machinery::names;

use super::environment::{field_selector, resource_selector};
use super::mounts::{descending, no_backsteps};
use crate::kinds::check::Cursor;

/// The sources of a volume, in the order in which upstream looks for them.
const SOURCES: &[&str] = &[
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "flocker",
    "downwardAPI",
    "fc",
    "flexVolume",
    "azureFile",
    "configMap",
    "vsphereVolume",
    "quobyte",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
];
const VOLUME_FIELDS: &[&str] =
    &["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];
const HOST_PATH_TYPES: &[&str] =
    &["", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"];
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const MORE_THAN_ONE_PER_SOURCE: &str = "may not specify more than 1 volume type per source";
const MODE_RULE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const CONFLICT: &str = "conflicting duplicate paths";
/// The shortest life of a token that a volume may ask for, and the longest.
const TOKEN_SECONDS: (i64, i64) = (600, 1 << 32);

/// `volumes` of a pod specification.
pub(super) fn all(volumes: &Cursor<'_>) {
    let mut names = BTreeSet::new();
    for volume in volumes.items() {
        let name = volume.at("name");
        if name.must_be_set() {
            name.named(names::dns1123_label);
            name.once(&mut names);
        }
        sources(&volume);
    }
}

fn sources(volume: &Cursor<'_>) {
    let mut count = 0;
    for name in SOURCES {
        let source = volume.at(name);
        if !source.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            source.forbidden(MORE_THAN_ONE);
        } else {
            one_source(name, &source);
        }
    }
    if count == 0 {
        volume.required("must specify a volume type");
    }
}

fn one_source(name: &str, source: &Cursor<'_>) {
    match name {
        "emptyDir" if source.at("sizeLimit").text().starts_with('-') => {
            source.at("sizeLimit").forbidden("SizeLimit field must be a valid resource quantity");
        }
        "hostPath" => host_path(source),
        "gitRepo" => {
            source.at("repository").must_be_set();
            descending(&source.at("directory"));
        }
        "secret" => keys(source, &source.at("secretName")),
        "configMap" => keys(source, &source.at("name")),
        "persistentVolumeClaim" => drop(source.at("claimName").must_be_set()),
        "downwardAPI" => {
            mode(&source.at("defaultMode"));
            for item in source.at("items").items() {
                downward_item(&source.with(Some(item.value), source.path.clone()));
            }
        }
        "projected" => {
            mode(&source.at("defaultMode"));
            projected(source);
        }
        "ephemeral" => drop(source.at("volumeClaimTemplate").must_be_set()),
        "image" => drop(source.at("reference").must_be_set()),
        _ => persistent(name, source),
    }
}

/// A source that a persistent volume may have too.
pub(crate) fn persistent(name: &str, source: &Cursor<'_>) {
    match name {
        "nfs" => {
            source.at("server").must_be_set();
            let path = source.at("path");
            if path.must_be_set() && !path.text().starts_with('/') {
                path.invalid_text("must be an absolute path");
            }
        }
        "csi" => source.at("driver").must_be_named(names::dns1123_subdomain),
        "iscsi" => {
            for field in ["targetPortal", "iqn"] {
                source.at(field).must_be_set();
            }
        }
        "gcePersistentDisk" => drop(source.at("pdName").must_be_set()),
        "awsElasticBlockStore" | "cinder" => drop(source.at("volumeID").must_be_set()),
        "azureDisk" => {
            source.at("diskName").must_be_set();
            source.at("diskURI").must_be_set();
        }
        "azureFile" => {
            source.at("secretName").must_be_set();
            source.at("shareName").must_be_set();
        }
        "cephfs" => drop(source.at("monitors").must_be_set()),
        "rbd" => {
            source.at("monitors").must_be_set();
            source.at("image").must_be_set();
        }
        "flexVolume" => drop(source.at("driver").must_be_set()),
        "vsphereVolume" => drop(source.at("volumePath").must_be_set()),
        _ => {}
    }
}

/// A directory of the node, in a pod or in a persistent volume.
pub(crate) fn host_path(source: &Cursor<'_>) {
    let path = source.at("path");
    if path.must_be_set() {
        no_backsteps(&path);
    }
    source.at("type").one_of(HOST_PATH_TYPES);
}

fn keys(source: &Cursor<'_>, name: &Cursor<'_>) {
    name.must_be_set();
    mode(&source.at("defaultMode"));
    for item in source.at("items").items() {
        key_to_path(&item);
    }
}

fn key_to_path(item: &Cursor<'_>) {
    item.at("key").must_be_set();
    let path = item.at("path");
    if path.must_be_set() {
        local_path(&path);
    }
    mode(&item.at("mode"));
}

/// A path below the volume that does not start with `..`: such names are the volume's own.
fn local_path(path: &Cursor<'_>) {
    descending(path);
    if path.text().starts_with("..") && !path.text().starts_with("../") {
        path.invalid_text("must not start with '..'");
    }
}

fn mode(mode: &Cursor<'_>) {
    if mode.int().is_some_and(|bits| !(0..=0o777).contains(&bits)) {
        mode.invalid(MODE_RULE);
    }
}

fn downward_item(item: &Cursor<'_>) {
    let path = item.at("path");
    if path.must_be_set() {
        local_path(&path);
    }
    let (field, resource) = (item.at("fieldRef"), item.at("resourceFieldRef"));
    if field.is_set() {
        field_selector(&field, VOLUME_FIELDS);
        if resource.is_set() {
            item.invalid_str("resource", "fieldRef and resourceFieldRef can not be specified simultaneously");
        }
    } else if resource.is_set() {
        resource_selector(&resource, true);
    } else {
        item.required("one of fieldRef and resourceFieldRef is required");
    }
    mode(&item.at("mode"));
}

fn projected(volume: &Cursor<'_>) {
    let mut paths = BTreeSet::new();
    for source in volume.at("sources").items() {
        let mut count = 0;
        for name in ["secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle"] {
            let part = source.at(name);
            if !part.is_set() {
                continue;
            }
            count += 1;
            if count > 1 {
                source.forbidden(MORE_THAN_ONE_PER_SOURCE);
                continue;
            }
            match name {
                "secret" | "configMap" => {
                    let from = part.at("name");
                    from.must_be_set();
                    projected_keys(volume, &part, &mut paths);
                }
                "downwardAPI" => projected_downward(volume, &part, &mut paths),
                "serviceAccountToken" => projected_token(volume, &part, &mut paths),
                _ => drop(part.at("path").must_be_set()),
            }
        }
    }
}

fn conflict(volume: &Cursor<'_>, path: &str, from: &str, paths: &mut BTreeSet<String>) {
    if !path.is_empty() && !paths.insert(path.to_owned()) {
        volume.invalid_str(from, CONFLICT);
    }
}

fn projected_keys(volume: &Cursor<'_>, part: &Cursor<'_>, paths: &mut BTreeSet<String>) {
    for item in part.at("items").items() {
        key_to_path(&item);
        conflict(volume, item.at("path").text(), part.at("name").text(), paths);
    }
}

fn projected_downward(volume: &Cursor<'_>, part: &Cursor<'_>, paths: &mut BTreeSet<String>) {
    for item in part.at("items").items() {
        downward_item(&part.with(Some(item.value), part.path.clone()));
        let path = item.at("path").text();
        conflict(volume, path, path, paths);
    }
}

fn projected_token(volume: &Cursor<'_>, token: &Cursor<'_>, paths: &mut BTreeSet<String>) {
    let expiration = token.at("expirationSeconds");
    let (least, most) = TOKEN_SECONDS;
    if expiration.int().is_some_and(|seconds| seconds < least) {
        expiration.invalid("may not specify a duration less than 10 minutes");
    } else if expiration.int().is_some_and(|seconds| seconds > most) {
        expiration.invalid("may not specify a duration larger than 2^32 seconds");
    }
    let path = volume.with(token.value.get("path"), volume.path.child("path"));
    if path.must_be_set() {
        local_path(&path);
        conflict(volume, path.text(), path.text(), paths);
    }
}
