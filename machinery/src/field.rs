//! Field paths and field errors: where in an object something is wrong, and what.
//! Source: `k8s.io/apimachinery/pkg/util/validation/field`; the texts are those that kubectl shows.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

/// From this length on, a path is not told further. Only a key can be as long.
const LONGEST: usize = 4096;

/// As much of a path as is told.
pub fn told(path: &str) -> &str {
    let end = (0..=LONGEST.min(path.len())).rev().find(|at| path.is_char_boundary(*at));
    &path[..end.unwrap_or_default()]
}

/// The way to a field: `spec.containers[0].image`, `metadata.annotations[foo]`. The default is the way to nowhere, which
/// shows as `<nil>`.
///
/// Validation makes one for every field that it looks at, nearly all of which nobody ever reads: usual ones are kept without an
/// allocation.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Path(Text);

/// How long the path of a usual field is at most.
const USUAL: usize = 94;

/// A text, in the first form that fits.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
enum Text {
    #[default]
    None,
    /// Zeros fill the rest.
    Short(u8, [u8; USUAL]),
    Long(String),
}

impl Text {
    fn with<const N: usize>(&self, parts: [&str; N]) -> Self {
        let mut end = self.bytes().len();
        if end + parts.iter().map(|part| part.len()).sum::<usize>() > USUAL {
            return Self::Long([self.as_str(), &parts.concat()].concat());
        }
        let mut text = if let Self::Short(_, text) = self { *text } else { [0; USUAL] };
        for part in parts {
            text[end..end + part.len()].copy_from_slice(part.as_bytes());
            end += part.len();
        }
        Self::Short(u8::try_from(end).expect("it was just compared"), text)
    }

    fn as_str(&self) -> &str {
        str::from_utf8(self.bytes()).expect("a path is made of texts alone")
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::Short(len, text) => &text[..usize::from(*len)],
            Self::Long(text) => text.as_bytes(),
        }
    }
}

impl Path {
    /// A path of one step; one without a name, of which nothing shows, is the object as a whole.
    pub fn new(name: &str) -> Self {
        Self(Text::None.with([name]))
    }

    /// The field `name` below this one.
    pub fn child(&self, name: &str) -> Self {
        if self.0 == Text::None { Self::new(name) } else { self.followed_by([".", name]) }
    }

    /// The list item at `index`.
    pub fn index(&self, index: usize) -> Self {
        self.followed_by(["[", &index.to_string(), "]"])
    }

    /// The map entry `key`.
    pub fn key(&self, key: &str) -> Self {
        self.followed_by(["[", key, "]"])
    }

    /// What is below a key of a million letters must not cost as much again, each.
    fn followed_by<const N: usize>(&self, parts: [&str; N]) -> Self {
        match &self.0 {
            Text::Long(text) if text.len() > LONGEST => Self::new(told(text)),
            text => Self(text.with(parts)),
        }
    }

    /// The path as text; empty for the way to nowhere.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Path").field(&self.as_str()).finish()
    }
}

impl From<&str> for Path {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == Text::None { "<nil>" } else { self.as_str() })
    }
}

/// The type of a field error; [`ErrorType::reason`] is what a Status cause carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// A mandatory field is absent.
    Required,
    /// The value is not acceptable.
    Invalid,
    /// The value has the wrong type.
    TypeInvalid,
    /// The value is not one of an enumeration.
    NotSupported,
    /// The value is well formed but not allowed here.
    Forbidden,
    /// The value stands twice where it may stand once.
    Duplicate,
    /// The value refers to something that is not there.
    NotFound,
    /// A text is too long.
    TooLong,
    /// A list has too many items.
    TooMany,
    /// A list has too few items.
    TooFew,
    /// Something failed that is not the caller's fault.
    Internal,
}

impl ErrorType {
    /// The machine-readable reason of a Status cause.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Required => "FieldValueRequired",
            Self::Invalid => "FieldValueInvalid",
            Self::TypeInvalid => "FieldValueTypeInvalid",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Forbidden => "FieldValueForbidden",
            Self::Duplicate => "FieldValueDuplicate",
            Self::NotFound => "FieldValueNotFound",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::TooFew => "FieldValueTooFew",
            Self::Internal => "InternalError",
        }
    }

    fn human(self) -> &'static str {
        match self {
            Self::Required => "Required value",
            Self::Invalid | Self::TypeInvalid => "Invalid value",
            Self::NotSupported => "Unsupported value",
            Self::Forbidden => "Forbidden",
            Self::Duplicate => "Duplicate value",
            Self::NotFound => "Not found",
            Self::TooLong => "Too long",
            Self::TooMany => "Too many",
            Self::TooFew => "Too few",
            Self::Internal => "Internal error",
        }
    }

    fn prints_value(self) -> bool {
        !matches!(self, Self::Required | Self::Forbidden | Self::TooLong | Self::Internal)
    }
}

/// One thing that is wrong with an object.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldError {
    /// What kind of fault it is.
    pub error_type: ErrorType,
    /// The field at fault.
    pub field: Path,
    /// The value at fault, already in the form in which it is shown (see [`show`]); empty if none is shown.
    pub value: String,
    /// What to do about it.
    pub detail: String,
}

impl FieldError {
    fn make(error_type: ErrorType, field: &Path, value: String, detail: impl Into<String>) -> Self {
        Self { error_type, field: field.clone(), value, detail: detail.into() }
    }

    /// `Required value`; the detail may be empty.
    pub fn required(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Required, field, String::new(), detail)
    }

    /// `Invalid value: <value>: <detail>`.
    pub fn invalid(field: &Path, value: &Value, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Invalid, field, show(value), detail)
    }

    /// [`FieldError::invalid`] for a text.
    pub fn invalid_str(field: &Path, value: &str, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Invalid, field, go_quote(value), detail)
    }

    /// [`FieldError::invalid`] with a value that is already in the form in which it is to be shown.
    pub fn invalid_shown(field: &Path, value: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Invalid, field, value.into(), detail)
    }

    /// `Invalid value: <value>: <detail>` whose cause is FieldValueTypeInvalid.
    pub fn type_invalid(field: &Path, value: &Value, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::TypeInvalid, field, show(value), detail)
    }

    /// `Unsupported value: <value>: supported values: "a", "b"`. The values are listed in the order given.
    pub fn not_supported(field: &Path, value: &str, supported: &[&str]) -> Self {
        let list: Vec<String> = supported.iter().map(|value| go_quote(value)).collect();
        Self::make(ErrorType::NotSupported, field, go_quote(value), format!("supported values: {}", list.join(", ")))
    }

    /// `Forbidden: <detail>`.
    pub fn forbidden(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Forbidden, field, String::new(), detail)
    }

    /// `Duplicate value: <value>`.
    pub fn duplicate(field: &Path, value: &Value) -> Self {
        Self::make(ErrorType::Duplicate, field, show(value), "")
    }

    /// `Not found: <value>`.
    pub fn not_found(field: &Path, value: &Value) -> Self {
        Self::make(ErrorType::NotFound, field, show(value), "")
    }

    /// `Too long: may not be more than N bytes`.
    pub fn too_long(field: &Path, max_bytes: usize) -> Self {
        let detail = format!("may not be more than {max_bytes} bytes");
        Self::make(ErrorType::TooLong, field, String::new(), detail)
    }

    /// `Too many: <actual>: must have at most N items`.
    pub fn too_many(field: &Path, actual: usize, max: usize) -> Self {
        let detail = format!("must have at most {max} item{}", if max == 1 { "" } else { "s" });
        Self::make(ErrorType::TooMany, field, actual.to_string(), detail)
    }

    /// `Internal error: <detail>`.
    pub fn internal(field: &Path, detail: impl Into<String>) -> Self {
        Self::make(ErrorType::Internal, field, String::new(), detail)
    }

    /// The message of a Status cause: everything but the field.
    pub fn body(&self) -> String {
        let mut text = self.error_type.human().to_owned();
        if self.error_type.prints_value() && !self.value.is_empty() {
            text.push_str(": ");
            text.push_str(&self.value);
        }
        if !self.detail.is_empty() {
            text.push_str(": ");
            text.push_str(&self.detail);
        }
        text
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.body())
    }
}

/// All that is wrong with an object, in the order in which it was found.
pub type ErrorList = Vec<FieldError>;

/// How many errors are told of an object at most. Upstream tells all; an object that is made to be wrong in a million places
/// would be answered with more than was sent.
pub const TOLD: usize = 10_000;

/// The text of several errors: one alone as it is, several as `[a, b]`, duplicates once.
pub fn aggregate(errors: &[FieldError]) -> String {
    let mut seen = BTreeSet::new();
    let texts = errors.iter().take(TOLD).map(ToString::to_string);
    let mut texts: Vec<String> = texts.filter(|text| seen.insert(text.clone())).collect();
    match texts.len() {
        1 => texts.remove(0),
        _ => format!("[{}]", texts.join(", ")),
    }
}

/// A value as a field error shows it: texts quoted, numbers and booleans bare, `null`, other values as JSON.
pub fn show(value: &Value) -> String {
    match value {
        Value::String(text) => go_quote(text),
        other => other.to_string(),
    }
}

/// A text as Go's `%q` prints it.
pub fn go_quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn errors_read_as_kubectl_shows_them() {
        let replicas = Path::new("spec").child("replicas");
        let image = Path::new("spec").child("containers").index(0).child("image");
        let cases = [
            (
                FieldError::invalid(&replicas, &json!(-1), "must be greater than or equal to 0"),
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            ),
            (FieldError::required(&image, ""), "spec.containers[0].image: Required value"),
            (
                FieldError::not_supported(&Path::new("type"), "x", &["a", "b"]),
                r#"type: Unsupported value: "x": supported values: "a", "b""#,
            ),
            (FieldError::duplicate(&Path::new("a").key("b"), &json!("c")), r#"a[b]: Duplicate value: "c""#),
            (FieldError::too_long(&Path::new("a"), 5), "a: Too long: may not be more than 5 bytes"),
            (FieldError::too_many(&Path::new("a"), 4, 3), "a: Too many: 4: must have at most 3 items"),
            (FieldError::forbidden(&Path::new("spec"), "no"), "spec: Forbidden: no"),
            (FieldError::forbidden(&Path::default(), "no"), "<nil>: Forbidden: no"),
            (FieldError::forbidden(&Path::new(""), "no"), ": Forbidden: no"),
        ];
        for (error, expect) in cases {
            assert_eq!(error.to_string(), expect);
        }
    }

    #[test]
    fn of_too_many_errors_the_first_are_told() {
        let errors: Vec<FieldError> =
            (0..100_000).map(|index| FieldError::required(&Path::new("a").index(index), "")).collect();
        let told = aggregate(&errors);
        assert!(told.ends_with("a[9999]: Required value]"), "{} bytes", told.len());
    }

    #[test]
    fn aggregates_drop_duplicates() {
        let a = FieldError::required(&Path::new("a"), "");
        let b = FieldError::required(&Path::new("b"), "");
        assert_eq!(aggregate(&[a.clone(), a.clone()]), "a: Required value");
        assert_eq!(aggregate(&[a.clone(), b, a]), "[a: Required value, b: Required value]");
    }
}
