//! Tests of the little Rust reader.

use super::*;

#[track_caller]
fn check_functions(text: &str, expect: &[(&str, usize, usize)]) {
    let functions = Source::parse(text).functions();
    let found: Vec<_> = functions.iter().map(|f| (f.name.as_str(), f.line, f.lines)).collect();
    assert_eq!(found, expect);
}

#[test]
fn functions_are_found_with_their_lengths() {
    check_functions("fn a() {\n}\n\npub fn b<'a>(x: &'a str) -> [u8; 2] {\n  {}\n}\n", &[("a", 1, 2), ("b", 4, 3)]);
    check_functions("trait T {\n    fn declared(&self);\n    fn given(&self) {}\n}\n", &[("given", 3, 1)]);
    check_functions("impl A {\n    fn m(&self) {\n        let f = |x: fn() -> u8| x();\n    }\n}\n", &[("m", 2, 3)]);
}

#[test]
fn braces_in_literals_and_comments_do_not_count() {
    for opaque in ["// }", "/* } /* } */ */", "\"}\\\"}\"", "r#\"}\"}\"#", "'}'", "'\\''; '}'", "b'}'", "br\"}\""] {
        let text = format!("fn a() {{\n    {opaque}\n}}\n");
        check_functions(&text, &[("a", 1, 3)]);
    }
    check_functions("fn a<'b>(b: &'b u8) {\n    let r#in = 'é';\n}\n", &[("a", 1, 3)]);
}

#[test]
fn test_code_is_left_out() {
    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\n#[cfg(test)]\nuse x::{y, z};\nfn c() {}\n";
    check_functions(text, &[("a", 1, 1), ("c", 9, 1)]);
    assert_eq!(Source::parse(text).production_lines(), 2);
    assert_eq!(Source::parse("fn a() {}\n#[cfg(test)]\nmod tests;\n").production_lines(), 1);
}
