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
    let mut messages = Messages::new();
    read_folder(&fetch(root)?.join("src"), &mut Vec::new(), &mut messages)?;
    add_supplement(include_str!("numbers.txt"), &mut messages)?;
    let types = fs::read_to_string(root.join(TYPES)).with_context(|| format!("reading {TYPES}"))?;
    let mut table = format!(
        "# The numbers of the fields of Kubernetes' protobuf messages. Generated: don't edit; `cargo xtask codegen`\n\
         # writes it, `--check` compares. Source: crate {CRATE} {VERSION} (Apache-2.0), xtask/src/codegen/numbers.txt.\n\
         # A line: type, then FIELD=NUMBER; FIELD=NUMBER.NUMBER for one in an embedded message.\n"
    );
    for (name, fields) in read_types(&types)? {
        table.push_str(name);
        if let Some(message) = find(&messages, &name.to_lowercase()) {
            for field in &fields {
                if let Some(path) = path(&messages, message, &plain(field), &fields) {
                    write!(table, " {field}={path}")?;
                }
            }
        }
        table.push('\n');
    }
    Ok(table)
}

/// The short names of the types with the names of their fields.
fn read_types(types: &str) -> Result<Vec<(&str, Vec<&str>)>> {
    let mut found: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in types.lines().filter(|line| !line.starts_with('#')) {
        if let Some(field) = line.strip_prefix(' ') {
            let name = field.split(' ').next().unwrap_or_default();
            found.last_mut().context("a field without a type")?.1.push(name);
        } else {
            let name = line.split(' ').nth(1).context("a type without a name")?;
            let start = name.rmatch_indices('.').nth(2).map_or(0, |(at, _)| at + 1);
            found.push((&name[start..], Vec::new()));
        }
    }
    Ok(found)
}

/// The message of a type; that of its beta version if the crate knows no other.
fn find<'a>(messages: &'a Messages, name: &str) -> Option<&'a Message> {
    messages.get(name).or_else(|| messages.get(&name.replacen(".v1.", ".v1beta1.", 1)))
}

/// The number of a field, or the numbers that lead to it through messages that JSON embeds.
fn path(messages: &Messages, message: &Message, field: &str, own: &[&str]) -> Option<String> {
    if let Some(found) = message.get(field) {
        return Some(found.number.to_string());
    }
    message.iter().filter(|(name, _)| !own.iter().any(|own| plain(own) == **name)).find_map(|(_, embedded)| {
        let inner = find(messages, embedded.message.as_ref()?)?;
        let rest = path(messages, inner, field, own)?;
        Some(format!("{}.{rest}", embedded.number))
    })
}

fn add_supplement(text: &str, messages: &mut Messages) -> Result<()> {
    for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let mut words = line.split(' ');
        let name = words.next().unwrap_or_default().to_lowercase();
        for word in words {
            let (field, number) = word.split_once('=').with_context(|| format!("numbers.txt: {line:?}"))?;
            let number = number.parse().with_context(|| format!("numbers.txt: {line:?}"))?;
            let added = Field { number, message: None };
            let before = messages.entry(name.clone()).or_default().insert(plain(field), added);
            ensure!(before.is_none(), "numbers.txt: {CRATE} {VERSION} has {name}.{field} by itself");
        }
    }
    Ok(())
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

/// A field of a message.
struct Field {
    number: u32,
    /// The message that it holds, if it is one of the same package.
    message: Option<String>,
}

/// The fields of a message by name, without the case that Rust writes differently.
type Message = BTreeMap<String, Field>;
/// Messages by name, likewise.
type Messages = BTreeMap<String, Message>;

fn read_folder(folder: &Path, modules: &mut Vec<String>, messages: &mut Messages) -> Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type()?.is_dir() {
            modules.push(name);
            read_folder(&entry.path(), modules, messages)?;
            modules.pop();
        } else if name.ends_with(".rs") {
            let last = modules.iter().rev().take(2).rev().cloned().collect::<Vec<_>>().join(".");
            read_messages(&fs::read_to_string(entry.path())?, &last, messages);
        }
    }
    Ok(())
}

fn read_messages(source: &str, module: &str, messages: &mut Messages) {
    let (mut message, mut number) = (String::new(), None);
    for line in source.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("pub struct ") {
            let name = rest.split([' ', '{']).next().unwrap_or_default();
            message = format!("{module}.{name}").to_lowercase();
        } else if line.starts_with("#[prost(") {
            number = line.rsplit("tag = \"").next().and_then(|rest| rest.split('"').next()?.parse().ok());
        } else if let (Some(rest), Some(number)) = (line.strip_prefix("pub "), number.take()) {
            let (field, ty) = rest.split_once(':').unwrap_or((rest, ""));
            let ty = ty.trim().strip_prefix("::core::option::Option<").and_then(|ty| ty.strip_suffix(">,"));
            let ty = ty.filter(|ty| ty.chars().all(char::is_alphanumeric));
            let field_message = ty.map(|ty| format!("{module}.{ty}").to_lowercase());
            let found = Field { number, message: field_message };
            messages.entry(message.clone()).or_default().insert(plain(field), found);
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
        let source = "pub struct PodStatus {\n #[prost(message, repeated, tag = \"12\")]\n pub pod_i_ps: Vec<PodIp>,\n}\n\
                      pub struct Volume {\n #[prost(message, optional, tag = \"2\")]\n pub volume_source: \
                      ::core::option::Option<VolumeSource>,\n}\npub struct VolumeSource {\n\
                      #[prost(message, optional, tag = \"7\")]\n pub nfs: ::core::option::Option<Nfs>,\n}\n";
        let mut messages = Messages::new();
        read_messages(source, "core.v1", &mut messages);
        assert_eq!(messages["core.v1.podstatus"][&plain("podIPs")].number, 12);
        let volume = &messages["core.v1.volume"];
        assert_eq!(path(&messages, volume, "nfs", &["nfs", "name"]).as_deref(), Some("2.7"));
        assert_eq!(path(&messages, volume, "name", &["nfs", "name"]), None);
    }

    #[test]
    fn the_supplement_adds_what_the_crate_lacks_and_nothing_else() {
        let mut messages = Messages::new();
        add_supplement("# why\n\na.v1.B c=3\n", &mut messages).unwrap();
        assert_eq!(messages["a.v1.b"]["c"].number, 3);
        assert!(add_supplement("a.v1.B c=4", &mut messages).is_err());
    }
}
