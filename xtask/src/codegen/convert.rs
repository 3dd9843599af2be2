//! From OpenAPI definitions to the lines of the table.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use super::facts::Facts;

/// Types that are on the wire although no resource refers to them.
const WIRE_TYPES: [&str; 12] = [
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroup",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIGroupList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIResourceList",
    "io.k8s.apimachinery.pkg.apis.meta.v1.APIVersions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Condition",
    "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Status",
    "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent",
    "io.k8s.apimachinery.pkg.version.Info",
];

type Definitions = Map<String, Value>;

/// The lines of all definitions that the resources (in the form of `resources.txt`) and the wire types reach.
pub(super) fn table(definitions: &Definitions, resources: &str) -> Result<String> {
    let mut facts = Facts::read()?;
    let mut out = String::new();
    for name in reachable(definitions, roots(definitions, resources)?)? {
        if special(&name).is_none() {
            write_struct(&mut out, &name, &definitions[&name], &mut facts)
                .with_context(|| format!("definition {name}"))?;
        }
    }
    facts.finish()?;
    Ok(out)
}

/// The definitions of the kinds that `resources` lists, of their lists, and the wire types.
fn roots(definitions: &Definitions, resources: &str) -> Result<Vec<String>> {
    let mut wanted = BTreeSet::new();
    for line in resources.lines().filter(|line| !line.is_empty() && !line.starts_with(['#', ' '])) {
        let words: Vec<&str> = line.split(' ').collect();
        let [group_version, _, kind, ..] = words[..] else {
            bail!("resources.txt: {line:?}");
        };
        wanted.insert(format!("{group_version}/{kind}"));
    }
    let mut roots: Vec<String> = WIRE_TYPES.iter().map(|name| (*name).to_owned()).collect();
    let mut found = BTreeSet::new();
    for (name, definition) in definitions {
        for kind in kinds(definition) {
            if wanted.contains(&kind) {
                roots.push(name.clone());
                found.insert(kind);
            } else if kind.strip_suffix("List").is_some_and(|item| wanted.contains(item)) {
                roots.push(name.clone());
            }
        }
    }
    if let Some(missing) = wanted.difference(&found).next() {
        bail!("no definition has the kind {missing}");
    }
    Ok(roots)
}

/// `group/version/Kind`, or `version/Kind` of the core group, for each kind of a definition.
fn kinds(definition: &Value) -> Vec<String> {
    let list = definition["x-kubernetes-group-version-kind"].as_array();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    list.into_iter()
        .flatten()
        .map(|it| {
            let (group, version, kind) = (text(it, "group"), text(it, "version"), text(it, "kind"));
            if group.is_empty() { format!("{version}/{kind}") } else { format!("{group}/{version}/{kind}") }
        })
        .collect()
}

fn reachable(definitions: &Definitions, roots: Vec<String>) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    let mut todo = roots;
    while let Some(name) = todo.pop() {
        let definition = definitions.get(&name).with_context(|| format!("no definition {name}"))?;
        if seen.insert(name) {
            collect_refs(definition, &mut todo);
        }
    }
    Ok(seen)
}

fn collect_refs(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            // A property may itself be called `$ref`: then its value is not a text.
            out.extend(map.get("$ref").and_then(Value::as_str).map(target));
            map.values().for_each(|value| collect_refs(value, out));
        }
        Value::Array(items) => items.iter().for_each(|value| collect_refs(value, out)),
        _ => {}
    }
}

fn target(reference: &str) -> String {
    reference.trim_start_matches("#/$defs/").to_owned()
}

/// The last three parts of a definition's name: `core.v1.Pod`.
fn short(name: &str) -> &str {
    let start = name.rmatch_indices('.').nth(2).map_or(0, |(at, _)| at + 1);
    &name[start..]
}

/// The types with a JSON form of their own.
pub(super) fn special(name: &str) -> Option<&'static str> {
    Some(match short(name) {
        "meta.v1.Time" => "time",
        "meta.v1.MicroTime" => "microtime",
        "api.resource.Quantity" => "quantity",
        "util.intstr.IntOrString" => "int-or-string",
        "pkg.runtime.RawExtension"
        | "meta.v1.FieldsV1"
        | "apiextensions.v1.JSON"
        | "apiextensions.v1.JSONSchemaPropsOrArray"
        | "apiextensions.v1.JSONSchemaPropsOrBool"
        | "apiextensions.v1.JSONSchemaPropsOrStringArray" => "any",
        _ => return None,
    })
}

fn write_struct(out: &mut String, name: &str, definition: &Value, facts: &mut Facts) -> Result<()> {
    write!(out, "struct {name}")?;
    // Option types have a kind in every group: one is enough.
    let mut kinds = kinds(definition);
    if kinds.len() > 1 {
        kinds.retain(|kind| kind.starts_with("v1/"));
    }
    for kind in kinds {
        write!(out, " {kind}")?;
    }
    match definition["x-kubernetes-map-type"].as_str() {
        Some("atomic") => out.push_str(" atomic"),
        None => {}
        Some(other) => bail!("unknown map type {other}"),
    }
    out.push('\n');
    let required: BTreeSet<&str> =
        definition["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (field, property) in definition["properties"].as_object().into_iter().flatten() {
        let mut flags = field_flags(property)?;
        let ty = type_of(property).with_context(|| format!("field {field}"))?;
        if required.contains(field.as_str()) {
            flags.push("required".to_owned());
        }
        flags.extend(facts.of(short(name), field));
        let is_said = flags.iter().any(|flag| matches!(flag.as_str(), "always" | "required" | "pointer"));
        if matches!(field.as_str(), "metadata" | "spec" | "status") && ty.contains('.') && !is_said {
            flags.push("always".to_owned());
        }
        writeln!(out, " {field} {ty}{}{}", if flags.is_empty() { "" } else { " " }, flags.join(" "))?;
    }
    Ok(())
}

/// The flags that the OpenAPI extensions of a field give.
fn field_flags(property: &Value) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    if property.get("$ref").is_some() && property["x-kubernetes-map-type"] == "atomic" {
        flags.push("atomic".to_owned());
    }
    let key = property["x-kubernetes-patch-merge-key"].as_str();
    for strategy in property["x-kubernetes-patch-strategy"].as_str().into_iter().flat_map(|it| it.split(',')) {
        flags.push(match (strategy, key) {
            ("merge", Some(key)) => format!("merge={key}"),
            ("merge" | "replace" | "retainKeys", _) => strategy.to_owned(),
            _ => bail!("unknown patch strategy {strategy}"),
        });
    }
    Ok(flags)
}

fn type_of(property: &Value) -> Result<String> {
    if let Some(reference) = property["$ref"].as_str() {
        let name = target(reference);
        return Ok(special(&name).unwrap_or(short(&name)).to_owned());
    }
    // `["string", "null"]` and `"string"` differ in nothing that matters here.
    let name = match &property["type"] {
        Value::String(name) => name.as_str(),
        Value::Array(names) => names[0].as_str().unwrap_or_default(),
        _ => "",
    };
    Ok(match (name, property["format"].as_str()) {
        ("string", None) => "string".to_owned(),
        ("string", Some("byte")) => "bytes".to_owned(),
        ("string", Some("date-time")) => "time".to_owned(),
        ("integer", Some(format @ ("int32" | "int64"))) => format.to_owned(),
        ("number", Some("double")) => "number".to_owned(),
        ("boolean", None) => "boolean".to_owned(),
        ("array", None) => format!("[{}]{}", list_kind(property)?, type_of(&property["items"])?),
        ("object", None) => match property.get("additionalProperties") {
            Some(values) if property["x-kubernetes-map-type"] == "atomic" => format!("{{atomic}}{}", type_of(values)?),
            Some(values) => format!("{{}}{}", type_of(values)?),
            None => "free-form".to_owned(),
        },
        (name, format) => bail!("unknown type {name:?} with format {format:?}"),
    })
}

fn list_kind(property: &Value) -> Result<String> {
    let keys = property["x-kubernetes-list-map-keys"].as_array();
    let keys: Vec<&str> = keys.into_iter().flatten().filter_map(Value::as_str).collect();
    Ok(match property["x-kubernetes-list-type"].as_str() {
        None | Some("atomic") => String::new(),
        Some("set") => "set".to_owned(),
        Some("map") => keys.join(","),
        Some(other) => bail!("unknown list type {other}"),
    })
}
