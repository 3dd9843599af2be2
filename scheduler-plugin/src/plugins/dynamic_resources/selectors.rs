//! Expressions about devices.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::Value as Json;
use steersman_cel::{Budget, DeclaredType, Environment, Opaque, Program, Type, Value, Variables};
use steersman_machinery::quantity::Quantity;

use crate::wire::Device;

/// What one expression about one device may cost.
/// Source: `k8s.io/api/resource/v1.CELSelectorExpressionMaxCost`.
const MAX_COST: u64 = 1_000_000;

/// Compiled expressions; each is compiled once.
#[derive(Default)]
pub(super) struct Selectors(Mutex<BTreeMap<String, Compiled>>);

type Compiled = Result<Arc<Program>, String>;

fn environment() -> Environment {
    let by_domain = |ty: Type| DeclaredType::map(DeclaredType::map(DeclaredType::plain(ty)));
    let device = DeclaredType::object(
        "kubernetes.DRADevice",
        [
            ("driver", DeclaredType::plain(Type::String)),
            ("attributes", by_domain(Type::Dyn)),
            ("capacity", by_domain(Type::Opaque("kubernetes.Quantity".into()))),
            ("allowMultipleAllocations", DeclaredType::plain(Type::Bool)),
        ],
    );
    Environment::kubernetes().variable("device", device)
}

impl Selectors {
    fn program(&self, expression: &str) -> Compiled {
        let mut known = self.0.lock();
        if let Some(compiled) = known.get(expression) {
            return compiled.clone();
        }
        let compiled = environment().compile(expression).map(Arc::new).map_err(|error| error.to_string());
        known.insert(expression.to_owned(), compiled.clone());
        compiled
    }

    /// Whether an expression holds of a device.
    pub(super) fn holds(&self, expression: &str, driver: &str, device: &Device) -> Result<bool, String> {
        let program = self.program(expression)?;
        let value = value_of(&program, driver, device)?;
        let variables = Variables::new().with("device", value);
        let result =
            program.evaluate(&variables, &mut Budget::new(MAX_COST)).map_err(|error| advised(error.to_string()))?;
        result.as_bool().ok_or_else(|| "CEL expression did not return bool".to_owned())
    }
}

/// An error, with advice where people often need it.
fn advised(error: String) -> String {
    if error.starts_with("no such key:") {
        return format!(
            "{error}. Consider using CEL optional chaining (?), has() macro, or orValue() for optional fields"
        );
    }
    error
}

/// The domain of an attribute, and its name there. Without a domain it belongs to the driver.
pub(super) fn split<'a>(name: &'a str, driver: &'a str) -> (&'a str, &'a str) {
    name.split_once('/').unwrap_or((driver, name))
}

fn value_of(program: &Program, driver: &str, device: &Device) -> Result<Value<'static>, String> {
    let (mut attributes, mut capacity) = (ByDomain::default(), ByDomain::default());
    // A domain that the device does not have is an empty map, so that `"x" in device.attributes["y"]` is false.
    for domain in literals(program.source()) {
        attributes.entry(domain.to_owned()).or_default();
        capacity.entry(domain.to_owned()).or_default();
    }
    for (name, attribute) in &device.attributes {
        let (domain, id) = split(name, driver);
        let value = attribute_value(attribute)?;
        attributes.entry(domain.to_owned()).or_default().push((id.to_owned(), value));
    }
    for (name, amount) in &device.capacity {
        let (domain, id) = split(name, driver);
        let quantity = Quantity::parse(&amount.value).map_err(|_| format!("capacity {name}: not a quantity"))?;
        let value = Value::Opaque(Opaque::Quantity(quantity));
        capacity.entry(domain.to_owned()).or_default().push((id.to_owned(), value));
    }
    let maps = |by_domain: ByDomain| Value::map(by_domain.into_iter().map(|(domain, it)| (domain, Value::map(it))));
    Ok(Value::map([
        ("driver".to_owned(), Value::text(driver)),
        ("attributes".to_owned(), maps(attributes)),
        ("capacity".to_owned(), maps(capacity)),
        ("allowMultipleAllocations".to_owned(), Value::Bool(device.allow_multiple_allocations)),
    ]))
}

type ByDomain = BTreeMap<String, Vec<(String, Value<'static>)>>;

/// The texts between quotes in an expression.
fn literals(source: &str) -> impl Iterator<Item = &str> {
    let inside = |quote| source.split(quote).skip(1).step_by(2);
    inside('"').chain(inside('\''))
}

fn attribute_value(attribute: &Json) -> Result<Value<'static>, String> {
    let one = |(kind, value): (&String, &Json)| match (kind.as_str(), value) {
        ("bool" | "bools", Json::Bool(value)) => Ok(Value::Bool(*value)),
        ("int" | "ints", Json::Number(value)) => Ok(Value::Int(value.as_i64().unwrap_or_default())),
        ("string" | "strings", Json::String(value)) => Ok(Value::text(value.as_str())),
        ("version" | "versions", Json::String(value)) => version(value),
        _ => Err(format!("unsupported attribute value of kind {kind}")),
    };
    let (kind, value) = attribute.as_object().and_then(|it| it.iter().next()).ok_or("empty attribute value")?;
    match value {
        Json::Array(items) => items.iter().map(|item| one((kind, item))).collect::<Result<_, _>>().map(Value::list),
        value => one((kind, value)),
    }
}

fn version(text: &str) -> Result<Value<'static>, String> {
    let program = Environment::kubernetes().compile(&format!("semver({text:?})")).map_err(|error| error.to_string())?;
    let value = program.evaluate(&Variables::new(), &mut Budget::new(MAX_COST)).map_err(|error| error.to_string())?;
    match value {
        Value::Opaque(Opaque::Semver(version)) => Ok(Value::Opaque(Opaque::Semver(version))),
        _ => Err(format!("version {text:?}: not a semantic version")),
    }
}
