//! What is wrong with the mounts and devices of a container.

use std::collections::BTreeSet;

use crate::kinds::check::Cursor;

/// `volumeMounts` and `volumeDevices` of a container of the pod specification at `spec`.
pub(super) fn all(spec: &Cursor<'_>, container: &Cursor<'_>) {
    let volumes: BTreeSet<&str> = spec.at("volumes").items().map(|volume| volume.at("name").text()).collect();
    let devices = container.at("volumeDevices");
    let mounts = container.at("volumeMounts");
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        named_volume(&mount.at("name"), &volumes);
        let path = mount.at("mountPath");
        path.must_be_set();
        if !paths.insert(path.text()) {
            path.invalid_text("must be unique");
        }
        let clashes = |field: &str, text: &str| devices.items().any(|device| device.at(field).text() == text);
        if clashes("name", mount.at("name").text()) {
            mount.at("name").invalid_text("must not already exist in volumeDevices");
        }
        if clashes("devicePath", path.text()) {
            path.invalid_text("must not already exist as a path in volumeDevices");
        }
        sub_path(&mounts, &mount);
        propagation(container, &mount);
    }
    for device in devices.items() {
        let name = device.at("name");
        named_volume(&name, &volumes);
        let path = device.at("devicePath");
        if path.must_be_set() {
            no_backsteps(&path);
        }
    }
}

fn named_volume(name: &Cursor<'_>, volumes: &BTreeSet<&str>) {
    name.must_be_set();
    if name.is_empty() || !volumes.contains(name.text()) {
        name.not_found();
    }
}

/// The errors of the paths stand at the list, without the index of the mount.
fn sub_path(mounts: &Cursor<'_>, mount: &Cursor<'_>) {
    let (path, expression) = (mount.at("subPath"), mount.at("subPathExpr"));
    let place =
        |cursor: &Cursor<'_>, field: &str| relative(&mounts.with(None, mounts.path.child(field)), cursor.text());
    if !path.is_empty() {
        place(&path, "subPath");
    }
    if !expression.is_empty() {
        if !path.is_empty() {
            expression.invalid_text("subPathExpr and subPath are mutually exclusive");
        }
        place(&expression, "subPathExpr");
    }
}

fn relative(place: &Cursor<'_>, path: &str) {
    if path.starts_with('/') {
        place.invalid_str(path, "must be a relative path");
    }
    if path.split('/').any(|part| part == "..") {
        place.invalid_str(path, "must not contain '..'");
    }
}

/// A path that stays below where it starts.
pub(super) fn descending(path: &Cursor<'_>) {
    relative(path, path.text());
}

/// A path without `..`.
pub(super) fn no_backsteps(path: &Cursor<'_>) {
    if path.text().split('/').any(|part| part == "..") {
        path.invalid_text("must not contain '..'");
    }
}

fn propagation(container: &Cursor<'_>, mount: &Cursor<'_>) {
    let propagation = mount.at("mountPropagation");
    propagation.one_of(&["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.at("securityContext").at("privileged").is_true();
    if propagation.text() == "Bidirectional" && !privileged {
        propagation.forbidden("Bidirectional mount propagation is available only to privileged containers");
    }
    let recursive = mount.at("recursiveReadOnly");
    recursive.one_of(&["Disabled", "Enabled", "IfPossible"]);
    if recursive.is_set() && recursive.text() != "Disabled" {
        if !mount.at("readOnly").is_true() {
            recursive.forbidden("may only be specified when readOnly is true");
        }
        if propagation.is_set() && propagation.text() != "None" {
            recursive.forbidden("may only be specified when mountPropagation is None or not specified");
        }
    }
}
