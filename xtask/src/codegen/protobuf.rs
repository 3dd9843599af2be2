//! The field numbers of Kubernetes' protobuf messages, as the crate `k8s-pb` carries them. Only the numbers are taken.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use xshell::{Shell, cmd};

use crate::workspace;

/// The crate that has the messages.
const CRATE: &str = "k8s-pb";
const VERSION: &str = "0.9.0";
/// The table of types whose fields are numbered.
const TYPES: &str = "machinery/src/schema/builtin.txt";
/// What is generated, below the workspace.
const TABLE: &str = "machinery/src/schema/protobuf.txt";

/// Writes the table, or with `check` fails if the committed one is stale.
pub(super) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    let table = generate(&root)?;
    let path = root.join(TABLE);
    if check {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        ensure!(committed == table, "{TABLE} is stale: run `cargo xtask codegen`");
        return Ok(());
    }
    fs::write(&path, &table).with_context(|| format!("writing {TABLE}"))
}

fn generate(root: &Path) -> Result<String> {
    let mut numbers = BTreeMap::new();
    read_folder(&fetch(root)?.join("src"), &mut Vec::new(), &mut numbers)?;
    let types = fs::read_to_string(root.join(TYPES)).with_context(|| format!("reading {TYPES}"))?;
    let mut table = format!(
        "# The numbers of the fields of Kubernetes' protobuf messages. Generated: don't edit; `cargo xtask codegen`\n\
         # writes it, `--check` compares. Source: crate {CRATE} {VERSION} (Apache-2.0). A line: type, then FIELD=NUMBER.\n"
    );
    let mut fields: Option<&BTreeMap<String, u32>> = None;
    for line in types.lines().filter(|line| !line.starts_with('#')) {
        if let Some(field) = line.strip_prefix(' ') {
            let name = field.split(' ').next().unwrap_or_default();
            if let Some(number) = fields.and_then(|fields| fields.get(&plain(name))) {
                write!(table, " {name}={number}")?;
            }
        } else {
            let name = line.split(' ').nth(1).context("a type without a name")?;
            let parts: Vec<&str> = name.rsplit('.').take(3).collect();
            let short = parts.into_iter().rev().collect::<Vec<_>>().join(".");
            fields = numbers.get(&short.to_lowercase());
            table.push('\n');
            table.push_str(&short);
        }
    }
    table.push('\n');
    Ok(table.replace("\n\n", "\n"))
}

/// The folder of the crate's source.
fn fetch(root: &Path) -> Result<PathBuf> {
    let folder = root.join("target/tools").join(CRATE);
    fs::create_dir_all(&folder)?;
    let manifest = format!(
        "[package]\nname = \"fetch\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n\
         [dependencies]\n{CRATE} = \"={VERSION}\"\n[workspace]\n"
    );
    fs::write(folder.join("Cargo.toml"), manifest)?;
    fs::write(folder.join("lib.rs"), "")?;
    let shell = Shell::new()?;
    shell.change_dir(&folder);
    cmd!(shell, "cargo fetch --quiet").quiet().run().with_context(|| format!("{CRATE} {VERSION} can't be had"))?;
    let metadata = cargo_metadata::MetadataCommand::new().manifest_path(folder.join("Cargo.toml")).exec()?;
    let package = metadata.packages.iter().find(|package| package.name.as_str() == CRATE);
    let manifest = &package.with_context(|| format!("no package {CRATE}"))?.manifest_path;
    Ok(manifest.parent().context("a manifest without a folder")?.into())
}

/// By message and field, both without the case that Rust writes differently.
type Numbers = BTreeMap<String, BTreeMap<String, u32>>;

fn read_folder(folder: &Path, modules: &mut Vec<String>, numbers: &mut Numbers) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            modules.push(name);
            read_folder(&entry.path(), modules, numbers)?;
            modules.pop();
        } else if name.ends_with(".rs") {
            let last = modules.iter().rev().take(2).rev().cloned().collect::<Vec<_>>().join(".");
            read_messages(&fs::read_to_string(entry.path())?, &last, numbers);
        }
    }
    Ok(())
}

fn read_messages(source: &str, module: &str, numbers: &mut Numbers) {
    let (mut message, mut number) = (String::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            let name = rest.split([' ', '{']).next().unwrap_or_default();
            message = format!("{module}.{name}").to_lowercase();
        } else if line.starts_with("#[prost(") {
            number = line.rsplit("tag = \"").next().and_then(|rest| rest.split('"').next()?.parse().ok());
        } else if let (Some(rest), Some(number)) = (line.strip_prefix("pub "), number.take()) {
            let field = rest.split(':').next().unwrap_or_default();
            numbers.entry(message.clone()).or_default().insert(plain(field), number);
        }
    }
}

/// A field's name without what Rust, JSON and protobuf write differently.
fn plain(name: &str) -> String {
    name.trim_start_matches("r#").chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_message_and_field() {
        let source =
            "pub struct PodStatus {\n #[prost(message, repeated, tag = \"12\")]\n pub pod_i_ps: Vec<PodIp>,\n}\n";
        let mut numbers = Numbers::new();
        read_messages(source, "core.v1", &mut numbers);
        assert_eq!(numbers["core.v1.podstatus"][&plain("podIPs")], 12);
    }
}
