//! What is wrong with the mounts and devices of a container.

use std::collections::BTreeSet;

use super::volumes::Usable;
use crate::kinds::check::Cursor;

/// `volumeMounts` and `volumeDevices` of a container that can use these volumes.
pub(super) fn all(volumes: &Usable<'_>, container: &Cursor<'_>) {
    volume_mounts(container, volumes);
    volume_devices(container, volumes);
}

fn volume_mounts(container: &Cursor<'_>, volumes: &Usable<'_>) {
    let devices = container.at("volumeDevices");
    let mounts = container.at("volumeMounts");
    let mut paths = BTreeSet::new();
    for mount in mounts.items() {
        let (name, path) = (mount.at("name"), mount.at("mountPath"));
        name.must_be_set();
        if !volumes.contains_key(name.text()) {
            name.not_found();
        }
        path.must_be_set();
        if !paths.insert(path.text()) {
            path.invalid_text("must be unique");
        }
        let clashes = |field: &str, text: &str| devices.items().any(|device| device.at(field).text() == text);
        if clashes("name", name.text()) {
            name.invalid_text("must not already exist in volumeDevices");
        }
        if clashes("devicePath", path.text()) {
            path.invalid_text("must not already exist as a path in volumeDevices");
        }
        if volumes.get(name.text()).is_some_and(|volume| volume.at("image").is_set()) {
            for field in ["subPath", "subPathExpr"] {
                let field = mount.at(field);
                if !field.is_empty() {
                    field.invalid_text("not allowed in image volume sources");
                }
            }
        }
        sub_path(&mounts, &mount);
        propagation(container, &mounts, &mount);
    }
}

fn volume_devices(container: &Cursor<'_>, volumes: &Usable<'_>) {
    let mounts = container.at("volumeMounts");
    let (mut names, mut paths) = (BTreeSet::new(), BTreeSet::new());
    for device in container.at("volumeDevices").items() {
        let (name, path) = (device.at("name"), device.at("devicePath"));
        name.must_be_set();
        if !name.is_empty() && !names.insert(name.text()) {
            name.invalid_text("must be unique");
        }
        match volumes.get(name.text()) {
            None => name.not_found(),
            Some(volume) if volume.at("persistentVolumeClaim").is_set() || volume.at("ephemeral").is_set() => {}
            Some(_) => name
                .invalid_text("can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"),
        }
        path.must_be_set();
        if paths.contains(path.text()) {
            path.invalid_text("must be unique");
        }
        if goes_back(path.text()) {
            path.invalid_text("can not contain backsteps ('..')");
        } else {
            paths.insert(path.text());
        }
        let clashes = |field: &str, text: &str| mounts.items().any(|mount| mount.at(field).text() == text);
        if clashes("name", name.text()) {
            name.invalid_text("must not already exist in volumeMounts");
        }
        if clashes("mountPath", path.text()) {
            path.invalid_text("must not already exist as a path in volumeMounts");
        }
    }
}

/// Whether a path has `..` in it.
fn goes_back(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
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

/// Complains at `place` about a path that is absolute or goes back.
pub(super) fn relative(place: &Cursor<'_>, path: &str) {
    if path.starts_with('/') {
        place.invalid_str(path, "must be a relative path");
    }
    if goes_back(path) {
        place.invalid_str(path, "must not contain '..'");
    }
}

/// A path that stays below where it starts.
pub(super) fn descending(path: &Cursor<'_>) {
    relative(path, path.text());
}

/// A path without `..`.
pub(crate) fn no_backsteps(path: &Cursor<'_>) {
    if goes_back(path.text()) {
        path.invalid_text("must not contain '..'");
    }
}

/// These errors stand at the list too.
fn propagation(container: &Cursor<'_>, mounts: &Cursor<'_>, mount: &Cursor<'_>) {
    let place = |field: &str| mounts.with(mount.value.get(field), mounts.path.child(field));
    let propagation = place("mountPropagation");
    propagation.one_of(&["Bidirectional", "HostToContainer", "None"]);
    let privileged = container.at("securityContext").at("privileged").is_true();
    if propagation.text() == "Bidirectional" && !privileged {
        propagation.forbidden("Bidirectional mount propagation is available only to privileged containers");
    }
    let recursive = place("recursiveReadOnly");
    recursive.one_of(&["Disabled", "Enabled", "IfPossible"]);
    if matches!(recursive.text(), "Enabled" | "IfPossible") {
        if !mount.at("readOnly").is_true() {
            recursive.forbidden("may only be specified when readOnly is true");
        }
        if propagation.is_set() && propagation.text() != "None" {
            recursive.forbidden("may only be specified when mountPropagation is None or not specified");
        }
    }
}
