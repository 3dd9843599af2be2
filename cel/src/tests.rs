//! Tables of expressions and what they give.

use serde_json::{Value as Json, json};

use crate::{Budget, Environment, Value, Variables, functions};

mod conformance;
mod findings;

/// The result of an expression without variables: as JSON, or the error's text.
fn run(source: &str) -> Result<Json, String> {
    run_with(source, &json!({}))
}

fn run_with(source: &str, object: &Json) -> Result<Json, String> {
    let environment = Environment::kubernetes().dynamic("object");
    let program = environment.compile(source).map_err(|error| error.to_string())?;
    let variables = Variables::new().with("object", Value::from_json(object, None));
    let value = program.evaluate(&variables, &mut Budget::per_object()).map_err(|error| error.to_string())?;
    value.to_json().map_err(|error| error.to_string())
}

#[test]
fn every_function_that_is_declared_is_carried_out() {
    let special = ["_&&_", "_||_", "_?_:_", "@not_strictly_false"];
    for name in functions::names().filter(|name| !special.contains(name)) {
        assert!(functions::dispatch::implementation(name).is_some(), "{name}");
    }
}
