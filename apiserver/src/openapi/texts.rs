//! What documents say of types, fields and parameters. The texts are read when a document is built and not kept: clients
//! keep documents.

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::DeflateDecoder;
use serde_json::Value;

/// Made by `cargo xtask codegen`, which describes the form.
const DESCRIPTIONS: &[u8] = include_bytes!("descriptions.deflate");
/// What the published definitions lack.
const SUPPLEMENT: &str = include_str!("texts.txt");
/// The values of fields.
const ENUMS: &str = include_str!("enums.txt");

/// All texts.
pub(super) struct Texts {
    types: BTreeMap<String, Described>,
    values: BTreeMap<&'static str, Vec<(&'static str, &'static str)>>,
}

#[derive(Default)]
struct Described {
    text: String,
    members: BTreeMap<String, String>,
}

impl Texts {
    pub(super) fn read() -> Self {
        let mut text = String::new();
        let read = DeflateDecoder::new(DESCRIPTIONS).read_to_string(&mut text);
        read.expect("the generated texts are well formed: a test reads them");
        text.push_str(SUPPLEMENT);
        let mut types: BTreeMap<String, Described> = BTreeMap::new();
        let mut current = String::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let member = line.strip_prefix(' ');
            let (name, json) = member.unwrap_or(line).split_once(' ').unwrap_or_default();
            let said: String = serde_json::from_str(json).unwrap_or_default();
            match member {
                Some(_) => drop(types.entry(current.clone()).or_default().members.insert(name.to_owned(), said)),
                None => {
                    name.clone_into(&mut current);
                    types.entry(current.clone()).or_default().text = said;
                }
            }
        }
        Self { types, values: values() }
    }

    /// What is said of a type; empty if nothing is.
    pub(super) fn of_type(&self, name: &str) -> &str {
        self.types.get(name).map_or("", |it| &it.text)
    }

    /// What is said of a field of a type; empty if nothing is.
    pub(super) fn of_field(&self, ty: &str, field: &str) -> &str {
        self.types.get(ty).and_then(|it| it.members.get(field)).map_or("", String::as_str)
    }

    /// What is said of a parameter of requests. PATCH says more of some.
    pub(super) fn of_parameter(&self, name: &str, method: &str) -> &str {
        let own = self.of_field("parameters", &format!("{name}@{method}"));
        let said = if own.is_empty() { self.of_field("parameters", name) } else { own };
        if said.is_empty() { self.of_field(super::DELETE_OPTIONS, name) } else { said }
    }

    /// What is said of an option of a subresource that has options of its own.
    pub(super) fn of_option(&self, kind: &str, option: &str) -> &str {
        self.of_field(&format!("options.{kind}"), option)
    }

    /// Says of a field what values it takes, if that is known.
    pub(super) fn add_values(&self, ty: &str, field: &str, schema: &mut Value) {
        let start = ty.rmatch_indices('.').nth(2).map_or(0, |(at, _)| at + 1);
        let Some(values) = self.values.get(format!("{}.{field}", &ty[start..]).as_str()) else {
            return;
        };
        let names: Vec<&str> = values.iter().map(|(value, _)| *value).collect();
        schema["enum"] = names.into();
        let lines: Vec<String> =
            values.iter().map(|(value, text)| format!(" - `\"{value}\"` {text}").trim_end().to_owned()).collect();
        let said = schema["description"].as_str().unwrap_or_default();
        schema["description"] = format!("{said}\n\nPossible enum values:\n{}", lines.join("\n")).into();
    }
}

fn values() -> BTreeMap<&'static str, Vec<(&'static str, &'static str)>> {
    let mut all = BTreeMap::new();
    for block in ENUMS.split("\n@ ").skip(1) {
        let mut lines = block.lines();
        let fields = lines.next().unwrap_or_default();
        let values: Vec<_> = lines.map(|line| line.split_once(' ').unwrap_or((line, ""))).collect();
        all.extend(fields.split(' ').map(|field| (field, values.clone())));
    }
    all
}

#[cfg(test)]
mod tests {
    use steersman_machinery::schema::builtin;

    use super::*;

    #[test]
    fn every_text_belongs_to_something() {
        let texts = Texts::read();
        assert!(texts.of_type("io.k8s.api.core.v1.Pod").starts_with("Pod is a collection"));
        let short = |name: &str| name[name.rmatch_indices('.').nth(2).map_or(0, |(at, _)| at + 1)..].to_owned();
        let mut types = BTreeMap::new();
        for definition in &builtin::schema().structs {
            let said = texts.types.get(&definition.name).expect(&definition.name);
            for name in said.members.keys() {
                assert!(definition.fields.iter().any(|field| field.name == *name), "{} {name}", definition.name);
            }
            types.insert(short(&definition.name), definition);
        }
        for field in texts.values.keys() {
            let (ty, name) = field.rsplit_once('.').unwrap();
            let definition = types.get(ty).expect(field);
            assert!(definition.fields.iter().any(|field| field.name == name), "{field}");
        }
    }
}
