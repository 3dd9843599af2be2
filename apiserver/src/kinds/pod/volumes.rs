//! What is wrong with volumes. Source: `k8s.io/kubernetes/pkg/apis/core/validation/validation.go`.

use std::collections::{BTreeMap, BTreeSet};

use steersman_machinery::names;

use super::containers;
use super::environment::{field_selector, resource_selector};
use super::mounts::descending;
use crate::kinds::check::Cursor;
use crate::kinds::persistent_volume_claim;

pub(crate) mod sources;

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
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
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
const MORE_THAN_ONE: &str = "may not specify more than 1 volume type";
const MORE_THAN_ONE_PER_SOURCE: &str = "may not specify more than 1 volume type per source";
const MODE_RULE: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const CONFLICT: &str = "conflicting duplicate paths";
/// The shortest life of a token that a volume may ask for, and the longest.
const TOKEN_SECONDS: (i64, i64) = (600, 1 << 32);

/// The volumes that a container can use, by their names.
pub(super) type Usable<'a> = BTreeMap<&'a str, Cursor<'a>>;

/// `volumes` of the specification of the pod `pod`, or of a template where that is empty. What has an error cannot be
/// used.
pub(super) fn all<'a>(volumes: &Cursor<'a>, pod: &str) -> Usable<'a> {
    let made: BTreeSet<String> = volumes
        .items()
        .filter(|volume| !pod.is_empty() && volume.at("ephemeral").is_set())
        .map(|volume| format!("{pod}-{}", volume.at("name").text()))
        .collect();
    let mut usable = Usable::new();
    for volume in volumes.items() {
        let before = volume.errors();
        sources(&volume, pod);
        let name = volume.at("name");
        name.must_be_named(names::dns1123_label);
        if usable.contains_key(name.text()) {
            name.duplicate();
        }
        if volume.errors() == before {
            usable.insert(name.text(), volume.clone());
        }
        let claim = volume.at("persistentVolumeClaim").at("claimName");
        if made.contains(claim.text()) {
            claim.invalid_text("must not reference a PVC that gets created for an ephemeral volume");
        }
    }
    usable
}

fn sources(volume: &Cursor<'_>, pod: &str) {
    let mut count = 0;
    for name in SOURCES {
        let source = volume.at(name);
        if !source.is_set() {
            continue;
        }
        count += 1;
        if count > 1 {
            let path = volume.path.child(misspelt(name));
            source.with(None, path).forbidden(MORE_THAN_ONE);
        } else {
            one_source(name, &source);
            if *name == "ephemeral" {
                claim_name(&volume.at("name"), pod);
            }
        }
        let portal = source.at("targetPortal").text();
        let own = volume.at("name");
        if source.at("initiatorName").is_set() && own.text().len() + 1 + portal.len() > 64 {
            own.invalid_text(sources::TOO_LONG);
        }
    }
    if count == 0 {
        volume.required("must specify a volume type");
    }
}

/// Where upstream complains about a second source of this sort.
fn misspelt(source: &str) -> &str {
    match source {
        "cephfs" => "cephFS",
        "downwardAPI" => "downwarAPI",
        other => other,
    }
}

/// The claim of an ephemeral volume is named after the pod and the volume.
fn claim_name(volume: &Cursor<'_>, pod: &str) {
    if pod.is_empty() || volume.is_empty() {
        return;
    }
    let claim = format!("{pod}-{}", volume.text());
    for complaint in names::dns1123_subdomain(&claim) {
        volume.invalid_text(format!("PVC name \"{claim}\": {complaint}"));
    }
}

fn one_source(name: &str, source: &Cursor<'_>) {
    match name {
        "emptyDir" if source.at("sizeLimit").text().starts_with('-') => {
            source.at("sizeLimit").forbidden("SizeLimit field must be a valid resource quantity");
        }
        "emptyDir" => {}
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
        "ephemeral" => {
            let template = source.at("volumeClaimTemplate");
            if template.must_be_set_at_all() {
                persistent_volume_claim::template(&template);
            }
        }
        "image" => {
            source.at("reference").must_be_set();
            source.at("pullPolicy").must_be_one_of(containers::PULL_POLICIES);
        }
        _ => sources::check(name, source, false),
    }
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
    path.must_be_set();
    local_path(&path);
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
    path.must_be_set();
    local_path(&path);
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
        for name in ["secret", "configMap", "downwardAPI", "serviceAccountToken"] {
            let part = source.at(name);
            if !part.is_set() {
                continue;
            }
            count += 1;
            match name {
                "downwardAPI" => projected_downward(volume, &part, &mut paths),
                "serviceAccountToken" => projected_token(volume, &part),
                _ => {
                    part.at("name").must_be_set();
                    projected_keys(volume, &part, &mut paths);
                }
            }
        }
        if count > 1 {
            source.forbidden(MORE_THAN_ONE_PER_SOURCE);
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

fn projected_token(volume: &Cursor<'_>, token: &Cursor<'_>) {
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
    }
}
