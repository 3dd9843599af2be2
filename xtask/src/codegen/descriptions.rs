//! What Kubernetes says of its types and fields, for OpenAPI documents: texts only, compressed, since nobody reads them
//! before a client asks for a document.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde_json::{Map, Value};

/// What is generated, below the workspace: a line a type, `NAME "TEXT"`, and below it a line a field, indented by a blank.
const TEXTS: &str = "apiserver/src/openapi/descriptions.deflate";

/// Writes the texts of the types that `table` has, or with `check` fails if the committed ones are stale.
pub(super) fn run(root: &Path, definitions: &Map<String, Value>, table: &str, check: bool) -> Result<()> {
    let texts = texts(definitions, table)?;
    let path = root.join(TEXTS);
    if check {
        let mut committed = String::new();
        let bytes = fs::read(&path).unwrap_or_default();
        let stale = DeflateDecoder::new(bytes.as_slice()).read_to_string(&mut committed).is_err() || committed != texts;
        ensure!(!stale, "{TEXTS} is stale: run `cargo xtask codegen`");
        return Ok(());
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(texts.as_bytes())?;
    fs::write(&path, encoder.finish()?).with_context(|| format!("writing {TEXTS}"))
}

fn texts(definitions: &Map<String, Value>, table: &str) -> Result<String> {
    let of_table = table.lines().filter_map(|line| line.strip_prefix("struct ")?.split(' ').next());
    // Types that the table knows by their JSON form, and those that only documents name.
    let others = definitions
        .keys()
        .map(String::as_str)
        .filter(|name| super::convert::special(name).is_some() || name.ends_with(".meta.v1.Patch"));
    let names: BTreeSet<&str> = of_table.chain(others).collect();
    let mut out = String::new();
    for name in names {
        let definition = definitions.get(name).with_context(|| format!("no definition {name}"))?;
        writeln!(out, "{name} {}", text(definition))?;
        for (field, property) in definition["properties"].as_object().into_iter().flatten() {
            writeln!(out, " {field} {}", text(property))?;
        }
    }
    Ok(out)
}

/// The description as a JSON text.
fn text(described: &Value) -> Value {
    Value::from(described["description"].as_str().unwrap_or_default())
}
