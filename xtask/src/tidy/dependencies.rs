//! Who may import whom. The table is the one of ARCHITECTURE.md.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cargo_metadata::{CargoOpt, DependencyKind, Metadata, MetadataCommand, Package};

use super::Finding;

/// The folder of each crate and the crates of the workspace that it may import.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("machinery", &[]),
    ("crds", &["machinery"]),
    ("store", &["machinery"]),
    ("cel", &["machinery"]),
    ("apiserver", &["machinery", "crds", "store", "cel"]),
    ("framework", &["machinery"]),
    ("controllers", &["framework", "crds", "machinery"]),
    ("scheduler-plugin", &["framework", "crds", "machinery", "cel"]),
    ("kubelet", &["framework", "crds", "machinery"]),
    ("fuzz", &["machinery", "cel", "apiserver"]),
    ("xtask", &["crds", "machinery"]),
];

/// Crates that import whatever they like.
const MAY_IMPORT_EVERYTHING: &[&str] = &["steersman", "tests"];

/// The folder of crates for people to copy: each has one dependency, as that of a reader would. Its tests may start
/// clusters.
const SAMPLES: &str = "samples";

/// What `machinery` must not reach, not even through others: it does no I/O.
const NEVER_IN_MACHINERY: &[&str] = &["tokio", "kube", "kube-client", "hyper", "mio", "rustls"];

/// Reads `cargo metadata` and compares.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let metadata =
        MetadataCommand::new().current_dir(root).features(CargoOpt::AllFeatures).exec().context("cargo metadata")?;
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        findings.extend(match sample_folder(package) {
            Some(folder) => check_sample(&folder, package),
            None => check_package(&metadata, package),
        });
    }
    findings.extend(check_machinery(&metadata)?);
    Ok(findings)
}

fn check_package(metadata: &Metadata, package: &Package) -> Vec<Finding> {
    let folder = folder_of(package);
    let manifest = Path::new(folder).join("Cargo.toml");
    let names: BTreeSet<&str> = metadata.workspace_packages().iter().map(|p| p.name.as_str()).collect();
    // What a crate's own tests import counts as well: they have to build without the rest of the house.
    let imports = package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Build)
        .map(|dependency| dependency.name.as_str())
        .filter(|name| names.contains(name));
    let mut findings: Vec<Finding> = imports
        .filter_map(|import| refuse(folder, import))
        .map(|message| Finding::in_file(&manifest, message))
        .collect();
    if !package_name_fits(folder, &package.name) {
        let message = format!("the package is called {}; call it steersman-{folder}, after its folder", package.name);
        findings.push(Finding::in_file(&manifest, message));
    }
    findings
}

/// The folder of a package among the samples.
fn sample_folder(package: &Package) -> Option<PathBuf> {
    let folder = package.manifest_path.parent()?;
    let is_sample = folder.parent()?.file_name() == Some(SAMPLES);
    is_sample.then(|| Path::new(SAMPLES).join(folder.file_name().unwrap_or_default()))
}

fn check_sample(folder: &Path, package: &Package) -> Vec<Finding> {
    let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
    let names: Vec<&str> = normal.map(|dependency| dependency.name.as_str()).collect();
    if names.len() == 1 {
        return Vec::new();
    }
    let message = format!("a sample has one dependency; this has {}: export what it needs from one", names.join(", "));
    vec![Finding::in_file(&folder.join("Cargo.toml"), message)]
}

fn folder_of(package: &Package) -> &str {
    package
        .manifest_path
        .parent()
        .and_then(|folder| folder.file_name())
        .expect("a member of the workspace lies in a folder")
}

fn package_name_fits(folder: &str, name: &str) -> bool {
    name == folder || name.strip_prefix("steersman-") == Some(folder)
}

/// Why the crate in `folder` must not import the package `import`; `None` if it may.
fn refuse(folder: &str, import: &str) -> Option<String> {
    if MAY_IMPORT_EVERYTHING.contains(&folder) {
        return None;
    }
    let import = import.strip_prefix("steersman-").unwrap_or(import);
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else {
        return Some(format!(
            "the crate is new; say in xtask/src/tidy/dependencies.rs and in ARCHITECTURE.md what {folder} may import"
        ));
    };
    if allowed.contains(&import) {
        return None;
    }
    let list = if allowed.is_empty() { "no crate of the workspace".to_owned() } else { allowed.join(", ") };
    Some(format!("{folder} imports {import}; it may import {list}: move the code, or go through the API"))
}

fn check_machinery(metadata: &Metadata) -> Result<Vec<Finding>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let machinery = metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.name == "steersman-machinery")
        .context("there is no package steersman-machinery")?;
    let mut seen = BTreeSet::from([&machinery.id]);
    let mut queue = vec![&machinery.id];
    let mut findings = Vec::new();
    while let Some(id) = queue.pop() {
        let name = &metadata[id].name;
        if NEVER_IN_MACHINERY.contains(&name.as_str()) {
            let message = format!("machinery reaches {name}, and does no I/O: move what needs it to another crate");
            findings.push(Finding::in_file(Path::new("machinery/Cargo.toml"), message));
        }
        let node = resolve.nodes.iter().find(|node| node.id == *id);
        let normal = node
            .into_iter()
            .flat_map(|node| &node.deps)
            .filter(|dependency| dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal));
        queue.extend(normal.map(|dependency| &dependency.pkg).filter(|id| seen.insert(id)));
    }
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_import(folder: &str, import: &str, expect: bool) {
        assert_eq!(refuse(folder, import).is_none(), expect, "{folder} -> {import}");
    }

    #[test]
    fn components_speak_to_the_api_only() {
        for component in ["controllers", "scheduler-plugin", "kubelet"] {
            check_import(component, "steersman-framework", true);
            check_import(component, "steersman-machinery", true);
            check_import(component, "steersman-store", false);
            check_import(component, "steersman-apiserver", false);
            check_import(component, "steersman-kubelet", false);
            check_import(component, "steersman", false);
        }
    }

    #[test]
    fn machinery_imports_nobody_and_the_cluster_everybody() {
        check_import("machinery", "steersman-crds", false);
        check_import("steersman", "steersman-store", true);
        check_import("tests", "steersman", true);
        check_import("brand-new", "steersman-machinery", false);
    }

    #[test]
    fn packages_are_named_after_their_folders() {
        assert!(package_name_fits("store", "steersman-store"));
        assert!(package_name_fits("steersman", "steersman"));
        assert!(!package_name_fits("store", "store-steersman"));
    }
}
