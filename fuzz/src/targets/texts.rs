//! Small languages: selectors, quantities, times, paths, queries, headers, expressions.

use http::HeaderMap;
use http::HeaderValue;
use serde_json::json;
use steersman_apiserver::crd::json_path::JsonPath;
use steersman_apiserver::http::negotiate::{self, Endpoint};
use steersman_apiserver::http::query::Query;
use steersman_apiserver::options;
use steersman_cel::{Budget, Environment, Value, Variables};
use steersman_machinery::decode;
use steersman_machinery::quantity::Quantity;
use steersman_machinery::{fields, labels};

fn with_text(input: &[u8], run: impl FnOnce(&str)) {
    if let Ok(text) = std::str::from_utf8(input) {
        run(text);
    }
}

/// A selector decides about any labels.
pub(super) fn label_selector(input: &[u8]) {
    with_text(input, |text| {
        if let Ok(selector) = labels::Selector::parse(text) {
            let _ = selector.matches(|_| None);
            let _ = selector.matches(|key| (key.len() > 1).then_some("5"));
        }
    });
}

/// A selector decides about any fields.
pub(super) fn field_selector(input: &[u8]) {
    with_text(input, |text| {
        if let Ok(selector) = fields::Selector::parse(text) {
            let _ = selector.matches(|_| Some("a"));
            let _ = selector.exact_match("metadata.name");
        }
    });
}

/// A quantity is written as one that means the same, and that stays as it is.
pub(super) fn quantity(input: &[u8]) {
    with_text(input, |text| {
        let Ok(quantity) = Quantity::parse(text) else {
            return;
        };
        for written in [quantity.to_string(), Quantity::rewrite(text).expect("it was read before")] {
            let again = Quantity::parse(&written).expect("what was written is a quantity");
            assert_eq!(again, quantity, "{text} and {written} mean the same");
            assert_eq!(again.to_string(), quantity.to_string(), "the canonical form is one");
        }
        let nothing = Quantity::default();
        let _ = (quantity.value(), quantity.milli_value(), quantity + quantity, nothing - quantity);
    });
}

/// A time that is read is written as one that reads the same.
pub(super) fn time(input: &[u8]) {
    with_text(input, |text| {
        let _ = decode::parse_time(text);
        for canonical in [decode::canonical_time, decode::canonical_micro_time] {
            if let Ok(written) = canonical(text) {
                assert_eq!(canonical(&written), Ok(written.clone()), "times read back");
            }
        }
    });
}

/// A path finds something or nothing.
pub(super) fn json_path(input: &[u8]) {
    with_text(input, |text| {
        if let Some(path) = JsonPath::parse(text) {
            let document =
                json!({"a": [{"type": "Ready", "status": "True"}, {"b": {"c": 1}}], "spec": {"replicas": 1}});
            let _ = path.find(&document);
            let _ = path.fields();
        }
    });
}

/// A query reads the same when it was written again; the options that are in it are read or refused.
pub(super) fn query(input: &[u8]) {
    with_text(input, |text| {
        let query = Query::parse(text);
        assert_eq!(Query::parse(&query.encode()).encode(), query.encode(), "a query reads back");
        let _ = options::ListOptions::read(&query, false);
        let _ = options::ListOptions::read(&query, true);
        let _ = options::DeleteOptions::read(None, &query);
        let _ = query.integer("timeoutSeconds");
        let _ = query.optional_flag("pretty");
    });
}

/// What is acceptable is found out or refused.
pub(super) fn accept(input: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(input) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert("accept", value.clone());
    headers.insert("content-type", value);
    let query = Query::parse("");
    let _ = negotiate::clauses(&headers);
    for endpoint in [Endpoint::BuiltIn, Endpoint::Custom] {
        let _ = negotiate::output(&headers, &query, endpoint);
    }
    let _ = negotiate::error_output(&headers, &query);
    let _ = negotiate::body_form(&headers, true);
    let _ = negotiate::route_produces(&headers, &negotiate::ACCEPTED);
}

/// An expression compiles or does not; one that does ends within its budget.
pub(super) fn cel(input: &[u8]) {
    with_text(input, |text| {
        let environment = Environment::kubernetes().dynamic("self").dynamic("oldSelf");
        let Ok(program) = environment.compile(text) else {
            return;
        };
        let _ = program.estimate();
        let object = json!({"x": 1, "y": ["a", "b"], "z": {"w": "10Gi"}});
        let variables = Variables::new()
            .with("self", Value::from_json(&object, None))
            .with("oldSelf", Value::from_json(&object, None));
        let _ = program.evaluate(&variables, &mut Budget::new(10_000));
    });
}
