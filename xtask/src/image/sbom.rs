//! The bill of materials: every crate that is in the programs, with its version and licence, and what depends on what.
//!
//! The format is CycloneDX 1.6 as JSON.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};
use serde_json::{Value, json};

use super::oci::sha256;

/// What the bill calls the image itself.
const IMAGE: &str = "image";

/// The bill of the packages that have the programs.
///
/// # Errors
/// If cargo resolved nothing.
pub(super) fn bill(metadata: &Metadata, programs: &BTreeSet<PackageId>, version: &str) -> Result<Value> {
    let edges = edges(metadata, programs)?;
    let components: BTreeMap<String, Value> =
        edges.keys().map(|id| &metadata[*id]).map(|package| (reference(package), component(package))).collect();
    let dependencies: BTreeMap<String, Value> = edges
        .iter()
        .map(|(id, on)| {
            let on: BTreeSet<String> = on.iter().map(|id| reference(&metadata[*id])).collect();
            let reference = reference(&metadata[*id]);
            (reference.clone(), json!({"ref": reference, "dependsOn": on}))
        })
        .collect();
    let components: Vec<Value> = components.into_values().collect();
    let own: BTreeSet<String> = programs.iter().map(|id| reference(&metadata[id])).collect();
    let image = json!({"ref": IMAGE, "dependsOn": own});
    let mut bill = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {"bom-ref": IMAGE, "type": "container", "name": "steersman", "version": version}},
        "components": components,
        "dependencies": std::iter::once(image).chain(dependencies.into_values()).collect::<Vec<_>>(),
    });
    bill["serialNumber"] = json!(serial_number(&serde_json::to_vec(&bill)?));
    Ok(bill)
}

/// What each package that ends up in a program needs there: not what only its build or its tests need.
fn edges<'a>(
    metadata: &'a Metadata,
    programs: &'a BTreeSet<PackageId>,
) -> Result<BTreeMap<&'a PackageId, Vec<&'a PackageId>>> {
    let resolve = metadata.resolve.as_ref().context("cargo metadata resolved nothing")?;
    let nodes: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, node)).collect();
    let mut edges = BTreeMap::new();
    let mut queue: Vec<&PackageId> = programs.iter().collect();
    while let Some(id) = queue.pop() {
        if edges.contains_key(id) {
            continue;
        }
        let node = nodes.get(id).with_context(|| format!("cargo metadata has no node {id}"))?;
        let normal =
            |kinds: &[cargo_metadata::DepKindInfo]| kinds.iter().any(|kind| kind.kind == DependencyKind::Normal);
        let on: Vec<&PackageId> = node.deps.iter().filter(|on| normal(&on.dep_kinds)).map(|on| &on.pkg).collect();
        queue.extend(&on);
        edges.insert(id, on);
    }
    Ok(edges)
}

fn reference(package: &Package) -> String {
    format!("pkg:cargo/{}@{}", package.name, package.version)
}

fn component(package: &Package) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": reference(package),
        "name": package.name.as_str(),
        "version": package.version.to_string(),
    });
    // What is not on crates.io has no package URL.
    if package.source.is_some() {
        component["purl"] = json!(reference(package));
    }
    if let Some(license) = &package.license {
        // Old manifests separate alternatives by a slash; an expression has words.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    component
}

/// The same for the same bill, in the form of a random UUID.
fn serial_number(content: &[u8]) -> String {
    let digest = sha256(content);
    let hex = digest.trim_start_matches("sha256:");
    format!("urn:uuid:{}-{}-4{}-8{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}

#[cfg(test)]
mod tests {
    use super::*;
    use cargo_metadata::MetadataCommand;

    #[test]
    fn the_bill_has_what_is_in_the_program_and_not_what_builds_or_tests_it() {
        let metadata = MetadataCommand::new().current_dir(crate::workspace::root()).exec().unwrap();
        let program = |package: &&Package| package.name.as_str() == "steersman";
        let programs = metadata.packages.iter().filter(program).map(|package| package.id.clone()).collect();
        let bill = bill(&metadata, &programs, "1").unwrap();
        let names: BTreeSet<_> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|component| component["name"].as_str().unwrap())
            .collect();
        for name in ["steersman", "steersman-apiserver", "kube", "ring", "serde"] {
            assert!(names.contains(name), "{name} is missing");
        }
        for name in ["xtask", "proptest", "cc"] {
            assert!(!names.contains(name), "{name} is in no program");
        }
        let references: BTreeSet<_> =
            bill["components"].as_array().unwrap().iter().map(|c| &c["bom-ref"]).map(Value::to_string).collect();
        for dependency in bill["dependencies"].as_array().unwrap() {
            for on in dependency["dependsOn"].as_array().unwrap() {
                assert!(references.contains(&on.to_string()), "{on} is no component");
            }
        }
    }

    #[test]
    fn the_serial_number_is_a_uuid() {
        let number = serial_number(b"x");
        assert_eq!(number.len(), "urn:uuid:".len() + 36);
        assert_eq!(number, serial_number(b"x"));
    }
}
