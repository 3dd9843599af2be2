//! What is wrong with YAML, in the words of upstream's parser. Ours stops at the same faults but calls them otherwise.
//! Source: `sigs.k8s.io/yaml/goyaml.v2`, whose texts are those of libyaml.

/// Which line upstream names, given the line (from 1) at which our parser stops.
#[derive(Clone, Copy)]
enum Line {
    /// The scanner names that line.
    Here,
    /// The parser counts from 0.
    FromZero,
    /// The scanner has gone on to the next line before it notices.
    Next,
    /// The scanner names the end of the text.
    End,
    /// The parser names the end of the text, and counts from 0.
    EndFromZero,
}

/// What our parser says (a part of it), what upstream's says, and where.
const FAULTS: [(&str, &str, Line); 17] = [
    ("unclosed bracket '['", "did not find expected ',' or ']'", Line::EndFromZero),
    ("unclosed bracket '{'", "did not find expected ',' or '}'", Line::EndFromZero),
    ("illegal placement of ':' indicator", "did not find expected ',' or ']'", Line::FromZero),
    ("misplaced bracket", "did not find expected node content", Line::FromZero),
    ("mapping values are not allowed in this context", "mapping values are not allowed in this context", Line::Here),
    ("block sequence entries are not allowed", "block sequence entries are not allowed in this context", Line::Here),
    ("did not find expected '-' indicator", "did not find expected '-' indicator", Line::FromZero),
    ("did not find expected key", "did not find expected key", Line::FromZero),
    ("did not find expected node content", "did not find expected node content", Line::FromZero),
    ("simple key expected ':'", "could not find expected ':'", Line::Next),
    ("unclosed quote", "found unexpected end of stream", Line::End),
    ("tabs disallowed", "found character that cannot start any token", Line::Here),
    ("unexpected character", "found character that cannot start any token", Line::Here),
    ("unknown escape character", "found unknown escape character", Line::Here),
    ("invalid trailing content", "did not find expected key", Line::FromZero),
    ("unexpected end of stream", "found unexpected end of stream", Line::End),
    ("document start", "did not find expected <document start>", Line::FromZero),
];

/// The error that upstream gives for `text`, where our parser says `message`; without the `yaml: ` before it.
pub(super) fn translate(message: &str, text: &str) -> String {
    let first = message.lines().next().unwrap_or_default();
    let (line, column, fault) = position(first);
    if fault.contains("unknown anchor") {
        return format!("unknown anchor '{}' referenced", anchor(text, line, column));
    }
    let Some((_, words, place)) = FAULTS.iter().find(|(ours, ..)| fault.contains(ours)) else {
        return first.strip_prefix("error: ").unwrap_or(first).to_owned();
    };
    let lines = text.matches('\n').count();
    let (number, first) = match place {
        Line::Here => (line, 1),
        Line::FromZero => (line.saturating_sub(1), 0),
        Line::Next => (line + 1, 1),
        Line::End => (lines + 1, 1),
        Line::EndFromZero => (lines, 0),
    };
    // Upstream takes the first line for none.
    if number == first { (*words).to_owned() } else { format!("line {number}: {words}") }
}

/// Line, column and fault of `error: line 2 column 7: unclosed bracket`.
fn position(message: &str) -> (usize, usize, &str) {
    let message = message.strip_prefix("error: ").unwrap_or(message);
    let parse = || {
        let (line, rest) = message.strip_prefix("line ")?.split_once(" column ")?;
        let (column, fault) = rest.split_once(": ")?;
        Some((line.parse().ok()?, column.parse().ok()?, fault))
    };
    parse().unwrap_or((1, 1, message))
}

/// The name after the `*` at a place of the text.
fn anchor(text: &str, line: usize, column: usize) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let rest = line.chars().skip(column.saturating_sub(1)).skip_while(|c| *c == '*');
    rest.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[cfg(test)]
mod tests {
    use crate::handlers::yaml::parse;

    #[test]
    fn faults_are_named_as_upstream_names_them() {
        let cases = [
            ("apiVersion: v1\nkind: [ConfigMap\n", "line 2: did not find expected ',' or ']'"),
            ("a: {b\nc: d\n", "line 2: did not find expected ',' or '}'"),
            ("a: [b\nc: d\n", "line 1: did not find expected ',' or ']'"),
            ("a: b: c\n", "mapping values are not allowed in this context"),
            ("a: b\nc: d: e\n", "line 2: mapping values are not allowed in this context"),
            ("a:\n\tb: c\n", "line 2: found character that cannot start any token"),
            ("a: 'x\nb: c\n", "line 3: found unexpected end of stream"),
            ("- a\nb: c\n", "line 1: did not find expected '-' indicator"),
            ("a: b\n- c\n", "line 1: did not find expected key"),
            ("a: b\nfoo\n", "line 3: could not find expected ':'"),
            ("a: *x\n", "unknown anchor 'x' referenced"),
            ("a: @b\n", "found character that cannot start any token"),
            ("a: b\nc: ]\n", "line 1: did not find expected node content"),
        ];
        for (text, expect) in cases {
            assert_eq!(parse(text.as_bytes()).expect_err(text), expect, "{text:?}");
        }
    }
}
