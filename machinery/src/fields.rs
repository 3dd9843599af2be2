//! Field selectors: `spec.nodeName=n1,status.phase!=Running`.
//! Source: Kubernetes doc "Field Selectors"; `k8s.io/apimachinery/pkg/fields`, whose error texts these are.

use std::fmt;

/// Which objects are selected by the values of some of their fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition on a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The field, such as `metadata.name`.
    pub field: String,
    /// Whether the value must be equal; else it must differ.
    pub equals: bool,
    /// The value to compare with.
    pub value: String,
}

/// Why a text is no field selector; the texts are upstream's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A part has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    NoOperator {
        /// The whole text.
        selector: String,
        /// The part.
        part: String,
    },
    /// A backslash stands before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A value holds a character that needs a backslash.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(char),
}

impl Selector {
    /// Reads the form of the query parameter `fieldSelector`. An empty text selects everything. In a value, `\`, `,` and
    /// `=` stand after a backslash.
    ///
    /// # Errors
    /// If the text has another form.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parts = split(text);
        // Upstream sorts, which shows in which fault is reported.
        parts.sort_unstable();
        let mut requirements = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, equals, value) = operator(part)
                .ok_or_else(|| SelectorError::NoOperator { selector: text.to_owned(), part: part.to_owned() })?;
            let (field, value) = (field.to_owned(), unescape(value)?);
            requirements.push(Requirement { field, equals, value });
        }
        Ok(Self { requirements })
    }

    /// The conditions, all of which must hold.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The same conditions on fields of other names.
    #[must_use]
    pub fn renamed(mut self, name: impl for<'a> Fn(&'a str) -> &'a str) -> Self {
        for requirement in &mut self.requirements {
            requirement.field = name(&requirement.field).to_owned();
        }
        self
    }

    /// Whether everything is selected.
    pub fn is_everything(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that a field must have to be selected, if there is one.
    pub fn exact_match(&self, field: &str) -> Option<&str> {
        self.requirements.iter().find(|it| it.equals && it.field == field).map(|it| it.value.as_str())
    }

    /// Whether fields are selected; `get` looks one up, an absent one counts as empty.
    pub fn matches<'a>(&self, get: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|it| (get(&it.field).unwrap_or_default() == it.value) == it.equals)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Requirement { field, equals, value }) in self.requirements.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let operator = if *equals { "=" } else { "!=" };
            write!(f, "{comma}{field}{operator}{}", escape(value))?;
        }
        Ok(())
    }
}

/// The parts between commas that stand without a backslash.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

fn operator(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.char_indices().map(|(at, _)| at);
    at.map(|at| part.split_at(at)).find_map(|(field, rest)| {
        if let Some(value) = rest.strip_prefix("!=") {
            Some((field, false, value))
        } else {
            let value = rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?;
            Some((field, true, value))
        }
    })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(SelectorError::Escape(format!("\\{c}"))),
                None => return Err(SelectorError::Escape("\\".to_owned())),
            },
            ',' | '=' => return Err(SelectorError::Unescaped(c)),
            c => out.push(c),
        }
    }
    Ok(out)
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if matches!(c, '\\' | ',' | '=') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(field: &str) -> Option<&'static str> {
        match field {
            "metadata.name" => Some("a"),
            "x" => Some("a,b=c\\d"),
            _ => None,
        }
    }

    #[test]
    fn selectors_select() {
        let check = |text: &str, expect: bool| {
            let selector = Selector::parse(text).unwrap();
            assert_eq!(selector.matches(get), expect, "{text}");
            assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector, "{text} is written as {selector}");
        };
        for text in ["", ",", "metadata.name=a", "metadata.name==a,y=", "metadata.name!=b", r"x=a\,b\=c\\d", "y!=1"] {
            check(text, true);
        }
        for text in ["metadata.name=b", "metadata.name!=a", "metadata.name=a,y=1", "y!="] {
            check(text, false);
        }
        let selector = Selector::parse("metadata.name=a,y!=1").unwrap();
        assert_eq!((selector.exact_match("metadata.name"), selector.exact_match("y")), (Some("a"), None));
    }

    #[test]
    fn what_is_no_selector_gets_upstreams_words() {
        let check = |text: &str, expect: &str| {
            assert_eq!(Selector::parse(text).unwrap_err().to_string(), expect, "{text}");
        };
        check("metadata.name>a", "invalid selector: 'metadata.name>a'; can't understand 'metadata.name>a'");
        check("metadata.name in (a,b)", "invalid selector: 'metadata.name in (a,b)'; can't understand 'b)'");
        check(r"metadata.name=a\x", r"invalid field selector: invalid escape sequence: \x");
        check(r"a=b\", r"invalid field selector: invalid escape sequence: \");
        check("a=b=c", "invalid field selector: unescaped character in value: =");
    }
}
