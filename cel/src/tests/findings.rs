//! What is said about expressions that do not compile.

use proptest::prelude::*;
use serde_json::json;

use crate::{Budget, CompileError, DeclaredType, Environment, Program, Value, Variables};

const STARTS: &str =
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";

fn own() -> DeclaredType {
    let schema = json!({"type": "object", "properties": {
        "replicas": {"type": "integer"}, "name": {"type": "string", "maxLength": 50},
        "tags": {"type": "array", "maxItems": 10, "items": {"type": "string", "maxLength": 20}},
        "when": {"type": "string", "format": "date-time"}, "port": {"x-kubernetes-int-or-string": true},
        "dash-ed": {"type": "integer"}, "namespace": {"type": "string"},
        "nested": {"type": "object", "properties": {"a": {"type": "string"}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer"}}}}}});
    DeclaredType::from_schema("self", &schema, false).expect("the schema has a type")
}

fn compile(source: &str) -> Result<Program, CompileError> {
    Environment::kubernetes().variable("self", own()).compile(source)
}

/// The findings without the lines that show where they are.
fn findings(source: &str) -> Vec<String> {
    let message = compile(source).expect_err(source).message;
    message.lines().filter_map(|line| line.strip_prefix("ERROR: <input>:")).map(str::to_owned).collect()
}

#[test]
fn findings_are_shown_as_upstream_shows_them() {
    let shown = |source: &str| compile(source).expect_err(source).message;
    assert_eq!(
        shown("self.nothing == 1"),
        "ERROR: <input>:1:5: undefined field 'nothing'\n | self.nothing == 1\n | ....^"
    );
    assert_eq!(
        shown("self.replicas >"),
        format!(
            "ERROR: <input>:1:16: Syntax error: mismatched input '<EOF>' expecting {STARTS}\n | self.replicas >\n | ...............^"
        )
    );
    assert_eq!(shown("true &&\n\tself.x"), "ERROR: <input>:2:6: undefined field 'x'\n |  self.x\n | .....^");
}

#[test]
fn syntax_errors_are_antlrs() {
    for (source, expected) in [
        ("'a' +", vec![format!("1:6: Syntax error: mismatched input '<EOF>' expecting {STARTS}")]),
        (
            "1 + $",
            vec![
                "1:5: Syntax error: token recognition error at: '$'".to_owned(),
                format!("1:6: Syntax error: mismatched input '<EOF>' expecting {STARTS}"),
            ],
        ),
        (
            "*@a | b",
            vec![
                format!("1:1: Syntax error: extraneous input '*' expecting {STARTS}"),
                "1:2: Syntax error: token recognition error at: '@'".to_owned(),
                "1:5: Syntax error: token recognition error at: '| '".to_owned(),
                "1:7: Syntax error: extraneous input 'b' expecting <EOF>".to_owned(),
            ],
        ),
        (
            "self.replicas = 1",
            vec![
                "1:15: Syntax error: token recognition error at: '= '".to_owned(),
                "1:17: Syntax error: extraneous input '1' expecting <EOF>".to_owned(),
            ],
        ),
        ("size(self.name", vec!["1:15: Syntax error: missing ')' at '<EOF>'".to_owned()]),
        ("self.tags[1", vec!["1:12: Syntax error: missing ']' at '<EOF>'".to_owned()]),
        ("self.", vec!["1:6: Syntax error: no viable alternative at input '.'".to_owned()]),
        ("", vec![format!("1:1: Syntax error: mismatched input '<EOF>' expecting {STARTS}")]),
        ("[1 2]", vec!["1:4: Syntax error: extraneous input '2' expecting {']', ','}".to_owned()]),
        ("true ? 1", vec!["1:9: Syntax error: mismatched input '<EOF>' expecting ':'".to_owned()]),
        ("a b c", vec!["1:3: Syntax error: mismatched input 'b' expecting <EOF>".to_owned()]),
        (
            "self.in > 1",
            vec![
                "1:6: Syntax error: no viable alternative at input '.in'".to_owned(),
                format!("1:9: Syntax error: extraneous input '>' expecting {STARTS}"),
            ],
        ),
        ("as", vec!["1:1: reserved identifier: as".to_owned()]),
        ("self.tags.all(1, true)", vec!["1:15: argument must be a simple name".to_owned()]),
        ("self.tags.map(1, true)", vec!["1:15: argument is not an identifier".to_owned()]),
        ("has(self)", vec!["1:5: invalid argument to has() macro".to_owned()]),
        ("99999999999999999999 == 1", vec!["1:1: invalid int literal".to_owned()]),
    ] {
        assert_eq!(findings(source), expected, "{source}");
    }
}

#[test]
fn type_errors_are_cel_gos() {
    for (source, expected) in [
        ("frobnicate(self)", "1:11: undeclared reference to 'frobnicate' (in container '')"),
        ("object.replicas > 1", "1:1: undeclared reference to 'object' (in container '')"),
        ("self.replicas == 'three'", "1:15: found no matching overload for '_==_' applied to '(int, string)'"),
        (
            "self.replicas.startsWith('a')",
            "1:25: found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        ("self.name.startsWith(1)", "1:21: found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("self.replicas.a == 1", "1:14: type 'int' does not support field selection"),
        (
            "self.replicas.all(x, true)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("[1, 'a'] == []", "1:5: expected type 'int' but found 'string'"),
        ("self.tags.all(x, x)", "1:14: found no matching overload for '_&&_' applied to '(bool, string)'"),
        ("self.tags == [1]", "1:11: found no matching overload for '_==_' applied to '(list(string), list(int))'"),
        ("self.nested.b == ''", "1:12: undefined field 'b'"),
        ("self.name.matches('[')", "1:19: invalid matches argument"),
        ("duration('x') > duration('1s')", "1:10: invalid duration argument"),
        ("timestamp('x') < self.when", "1:11: invalid timestamp argument"),
        ("size(1) == 1", "1:5: found no matching overload for 'size' applied to '(int)'"),
        ("math.greatest(1, 2) == 2", "1:1: undeclared reference to 'math' (in container '')"),
        ("jsonpatch.escapeKey('a') == 'a'", "1:1: undeclared reference to 'jsonpatch' (in container '')"),
        ("Foo{a: 1} == 1", "1:4: undeclared reference to 'Foo' (in container '')"),
    ] {
        assert_eq!(findings(source)[0], expected, "{source}");
    }
}

#[test]
fn schemas_give_types_and_views() {
    let object = json!({"replicas": 3, "when": "2020-01-01T00:00:00Z", "port": "http", "dash-ed": 1, "namespace": "n",
        "labels": {"a": "b"}, "set": ["a", "b"], "map": [{"k": "a", "v": 1}, {"k": "b", "v": 2}], "tags": ["x"]});
    let own = own();
    for source in [
        "self.when.getFullYear() == 2020",
        "type(self.port) == int ? self.port > 0 : self.port == 'http'",
        "self.dash__dash__ed == 1 && self.__namespace__ == 'n' && self.namespace == 'n'",
        "self.set == ['b', 'a'] && self.set + ['b', 'c'] == ['c', 'b', 'a']",
        "self.map + self.map == self.map && (self.map + self.map).size() == 2",
        "self.labels.all(k, v, k == 'a' && v == 'b') && !has(self.name) && self.?name.orValue('x') == 'x'",
    ] {
        let program = compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let variables = Variables::new().with("self", Value::from_json(&object, Some(&own)));
        let result = program.evaluate(&variables, &mut Budget::per_object());
        assert_eq!(result.map(|it| it.as_bool()), Ok(Some(true)), "{source}");
    }
}

#[test]
fn costs_are_counted_and_limited() {
    let expensive = "lists.range(1000).all(x, lists.range(1000).all(y, x + y >= 0))";
    let program = Environment::kubernetes().compile(expensive).expect("it is well typed");
    let error = program.evaluate(&Variables::new(), &mut Budget::per_object()).expect_err("it costs too much");
    assert_eq!(error.to_string(), "operation cancelled: actual cost limit exceeded");
    let mut budget = Budget::new(50);
    let cheap = Environment::kubernetes().compile("[1, 2].map(x, x + 1).size() == 2").expect("it is well typed");
    assert!(cheap.evaluate(&Variables::new(), &mut budget).is_ok());
    assert_eq!(budget.last_cost(), 31);
    assert!(cheap.evaluate(&Variables::new(), &mut budget).is_err());
    assert_eq!(budget.left(), 0);
}

#[test]
fn static_costs_follow_the_schema() {
    for (source, min, max) in [
        ("self.replicas > 1", 3, 3),
        ("self.name == 'abc'", 3, 3),
        ("self.name.startsWith('abc')", 3, 3),
        ("self.tags.all(x, x == 'a')", 3, 53),
        ("has(self.name)", 1, 1),
        ("type(self.port) == int ? self.port > 0 : self.port == 'http'", 7, 7),
    ] {
        let estimate = compile(source).expect(source).estimate();
        assert_eq!((estimate.min, estimate.max), (min, max), "{source}");
    }
    assert_eq!(
        compile("'not ' + string(self.replicas) == ''").expect("it is well typed").estimate().max,
        1_844_674_407_370_955_264 + 3
    );
}

#[test]
fn what_is_taken_from_a_result_has_the_size_of_self() {
    let text = DeclaredType::from_schema("self", &json!({"type": "string", "maxLength": 317}), false);
    let environment = Environment::kubernetes().variable("self", text.expect("the schema has a type"));
    for (source, min, max) in [
        ("self.split('/')[0].matches('^a$')", 3, 383),
        ("self.split('/').all(x, x.contains('a'))", 2, 255 + 1268 * 131 + 1),
    ] {
        let estimate = environment.clone().compile(source).expect(source).estimate();
        assert_eq!((estimate.min, estimate.max), (min, max), "{source}");
    }
}

#[test]
fn nesting_has_a_limit_that_fits_the_stack() {
    for source in
        ["(".repeat(240) + "1" + &")".repeat(240), "[".repeat(240) + &"]".repeat(240), "!".repeat(5000) + "true"]
    {
        let _ = Environment::kubernetes().compile(&(source + " == 1"));
    }
    for source in [
        "(".repeat(5000),
        "[".repeat(5000),
        "-(".repeat(5000),
        vec!["1"; 5000].join("+"),
        "self".to_owned() + &".a".repeat(5000),
        "a.map(x,".repeat(3000),
        "true?1:".repeat(3000),
    ] {
        let error = Environment::kubernetes().compile(&source).expect_err("it is too deep").message;
        assert!(error.contains("expression recursion limit exceeded: 250"), "{error}");
    }
    let wide = vec!["true"; 10_000].join(" && ");
    assert!(Environment::kubernetes().compile(&wide).is_ok());
    let long = "1".repeat(100_001);
    let error = Environment::kubernetes().compile(&long).expect_err("it is too long").message;
    assert!(error.contains("expression code point size exceeds limit: size: 100001, limit 100000"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn nothing_panics_on_any_text(source in "\\PC{0,60}") {
        let _ = compile(&source);
    }

    #[test]
    fn nothing_panics_on_any_pattern(pattern in "[-a\\[\\]{}()^$&~|*+?.:\\\\QEdbé0-9,]{0,16}") {
        let _ = crate::library::regex::compile(&pattern);
    }

    #[test]
    fn nothing_panics_on_any_tokens(parts in prop::collection::vec(prop::sample::select(vec![
        "self", ".", "name", "tags", "map", "all", "exists", "(", ")", "x", ",", "[", "]", "{", "}", ":", "?", "+", "-", "*",
        "/", "%", "==", "!", "&&", "||", "in", "1", "0", "-9223372036854775808", "2u", "1.5", "'a'", "b'a'", "null", "true",
        "size", "optMap", "sortBy", "transformMap", "has", "duration", "timestamp", "'1h'", "split", "substring", "replace",
        "lists.range", "dyn", "flatten", "slice", "labels", "format", "'%s%d'", "lastIndexOf", "indexOf", "string", "int",
    ]), 0..16)) {
        if let Ok(program) = compile(&parts.concat()).or_else(|_| compile(&parts.join(" "))) {
            let own = own();
            let object = json!({"name": "aé", "tags": ["a", "b"], "replicas": 1, "labels": {"a": "b"}});
            let variables = Variables::new().with("self", Value::from_json(&object, Some(&own)));
            let _ = program.evaluate(&variables, &mut Budget::per_object());
            program.estimate();
        }
    }

    #[test]
    fn functions_on_texts_never_panic(text in "[aé%b.]{0,6}", part in "[aé]{0,2}", from in -3_i64..9, to in -3_i64..9) {
        let environment = Environment::kubernetes().dynamic("t").dynamic("p").dynamic("a").dynamic("b");
        for source in ["t.substring(a, b)", "t.indexOf(p, a)", "t.lastIndexOf(p, a)", "t.charAt(a)", "t.split(p, a)",
            "t.replace(p, t, a)", "t.format([dyn(a), b, t])", "t.findAll(p, a)", "[a, b].slice(a, b)", "a / b", "a % b"] {
            let program = environment.compile(source).expect("it is well typed");
            let variables = Variables::new().with("t", Value::text(text.as_str())).with("p", Value::text(part.as_str()))
                .with("a", Value::Int(from)).with("b", Value::Int(to));
            let _ = program.evaluate(&variables, &mut Budget::per_object());
        }
    }
}
