//! From RE2's syntax to that of the `regex` crate, where they differ: classes are ASCII, punctuation may always be
//! escaped, a brace that begins no repetition stands for itself, and classes have no set operations.

/// The pattern in the other syntax.
pub(super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(first) = rest.chars().next() {
        let after = &rest[first.len_utf8()..];
        rest = match (first, class) {
            ('\\', _) => escape(after, class != Class::Outside, &mut out),
            ('[', Class::Outside) => {
                let negated = after.starts_with('^');
                out.push_str(if negated { "[^" } else { "[" });
                class = Class::Start;
                if negated { &after[1..] } else { after }
            }
            (']', Class::Start) => {
                out.push_str("\\]");
                class = Class::Inside;
                after
            }
            (']', Class::Inside) => {
                out.push(']');
                class = Class::Outside;
                after
            }
            ('[', _) if after.starts_with(':') => match after.find(":]") {
                Some(end) => {
                    out.push('[');
                    out.push_str(&after[..end + 2]);
                    class = Class::Inside;
                    &after[end + 2..]
                }
                None => literal(first, after, &mut class, &mut out),
            },
            ('-', Class::Inside) if after.starts_with('-') => {
                out.push_str("-\\-");
                &after[1..]
            }
            ('[' | '&' | '~', Class::Start | Class::Inside) => literal(first, after, &mut class, &mut out),
            ('{', Class::Outside) if !is_repetition(after) => literal(first, after, &mut class, &mut out),
            (other, _) => {
                out.push(other);
                if class == Class::Start {
                    class = Class::Inside;
                }
                after
            }
        };
        if class == Class::Start && !rest.starts_with(']') {
            class = Class::Inside;
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// At its beginning, where a bracket stands for itself.
    Start,
    Inside,
}

fn literal<'p>(character: char, after: &'p str, class: &mut Class, out: &mut String) -> &'p str {
    out.push('\\');
    out.push(character);
    if *class == Class::Start {
        *class = Class::Inside;
    }
    after
}

fn is_repetition(after: &str) -> bool {
    let Some((bounds, _)) = after.split_once('}') else { return false };
    let (min, max) = bounds.split_once(',').unwrap_or((bounds, ""));
    !min.is_empty() && min.chars().chain(max.chars()).all(|it| it.is_ascii_digit())
}

/// What follows a backslash.
fn escape<'p>(after: &'p str, in_class: bool, out: &mut String) -> &'p str {
    let Some(escaped) = after.chars().next() else {
        out.push('\\');
        return after;
    };
    let rest = &after[escaped.len_utf8()..];
    match escaped {
        'd' => out.push_str("[0-9]"),
        'D' => out.push_str("[^0-9]"),
        'w' => out.push_str("[0-9A-Za-z_]"),
        'W' => out.push_str("[^0-9A-Za-z_]"),
        's' => out.push_str(r"[\t\n\x0C\r ]"),
        'S' => out.push_str(r"[^\t\n\x0C\r ]"),
        'b' if !in_class => out.push_str(r"(?-u:\b)"),
        'Q' if !in_class => {
            let (quoted, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(quoted));
            return rest;
        }
        other if other.is_ascii_alphanumeric() => {
            out.push('\\');
            out.push(other);
        }
        // A backslash before a letter of the syntax is kept, before others it means nothing.
        other => out.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
    }
    rest
}
