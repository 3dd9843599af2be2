use serde_json::json;

use super::*;

const LABELS: [(&str, &str); 3] = [("app", "web"), ("tier", "2"), ("empty", "")];

fn get(key: &str) -> Option<&'static str> {
    LABELS.iter().find(|(have, _)| *have == key).map(|(_, value)| *value)
}

#[test]
fn selectors_select() {
    let check = |text: &str, expect: bool| {
        let selector = Selector::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"));
        assert_eq!(selector.matches(get), expect, "{text}");
        let again = Selector::parse(&selector.to_string()).unwrap();
        assert_eq!(again, selector, "{text} is written as {selector}");
    };
    for text in [
        "",
        "app",
        "!x",
        "app=web",
        "app == web",
        "app!=db",
        "x!=y",
        "app in (web,db)",
        " app in ( web ) , tier",
        "x notin (a)",
        "tier>1",
        "tier<3",
        "empty=",
        "empty in (,a)",
        "empty",
        "app in (db,,web)",
        "in notin (a)",
    ] {
        check(text, true);
    }
    for text in ["!app", "x", "app=db", "app!=web", "app notin (web)", "x in (a)", "tier>2", "app>1", "x=", "app=web,x"]
    {
        check(text, false);
    }
}

#[test]
fn the_canonical_form_is_sorted() {
    let check = |text: &str, expect: &str| assert_eq!(Selector::parse(text).unwrap().to_string(), expect, "{text}");
    check("b=1, a in (y,x,y)", "a in (x,y),b=1");
    check("! a,c,b==2,d notin(x),e>1", "!a,b==2,c,d notin (x),e>1");
}

#[test]
fn what_is_no_selector_gets_upstreams_words() {
    let check = |text: &str, expect: &str| assert_eq!(Selector::parse(text).unwrap_err().to_string(), expect, "{text}");
    let requirement = |text: &str, expect: &str| check(text, &format!("unable to parse requirement: {expect}"));
    requirement("bad selector =", "found 'selector', expected: in, notin, =, ==, !=, gt, lt");
    requirement("a in (", "found '', expected: ',', ')' or identifier");
    requirement("a in x", "found 'x' expected: '('");
    requirement("a in (x", "found '', expected: ',' or ')'");
    requirement("a in ()", "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty");
    requirement("a=(", "found '(', expected: identifier");
    requirement("!", "found '', expected: identifier");
    requirement("a>x", r#"values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer"#);
    check("a,", "found '', expected: identifier after ','");
    check("a=b c", "found 'c', expected: ',' or 'end of string'");
    check(",", "found ',', expected: !, identifier, or 'end of string'");
    let bad_key = Selector::parse("-a=b").unwrap_err().to_string();
    assert!(
        bad_key.starts_with(r#"unable to parse requirement: <nil>: Invalid value: "-a": name part must"#),
        "{bad_key}"
    );
    let bad_value = Selector::parse("a=-b").unwrap_err().to_string();
    assert!(bad_value.starts_with(r#"unable to parse requirement: values[0][a]: Invalid value: "-b": a valid label"#));
}

#[test]
fn label_selectors_select() {
    let read = |value: Value| Selector::from_label_selector(&value);
    assert!(!read(Value::Null).unwrap().matches(get));
    assert!(read(json!({})).unwrap().is_everything());
    let selector = read(json!({"matchLabels": {"tier": "2"}, "matchExpressions": [
        {"key": "app", "operator": "In", "values": ["web", "db"]}, {"key": "x", "operator": "DoesNotExist"}]}));
    let selector = selector.unwrap();
    assert_eq!(selector.to_string(), "app in (db,web),tier=2,!x");
    assert!(selector.matches(get));
    assert!(selector.matches_object(&json!({"metadata": {"labels": {"app": "db", "tier": "2"}}})));
    assert!(!selector.matches_object(&json!({"metadata": {}})));
    let error = read(json!({"matchExpressions": [{"key": "a", "operator": "in"}]})).unwrap_err();
    assert_eq!(error.to_string(), r#""in" is not a valid label selector operator"#);
    let error = read(json!({"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]})).unwrap_err();
    assert!(error.to_string().ends_with("values set must be empty for exists and does not exist"), "{error}");
}
