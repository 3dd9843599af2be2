//! Named formats of texts.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/format.go`.

use steersman_machinery::names;

use super::{Outcome, no_overload};
use crate::functions::Implementation;
use crate::library::strings::found;
use crate::value::{Opaque, Value, parse_timestamp};

const NAMES: &[&str] = &[
    "dns1123Label",
    "dns1123Subdomain",
    "dns1035Label",
    "dns1123LabelPrefix",
    "dns1123SubdomainPrefix",
    "dns1035LabelPrefix",
    "qualifiedName",
    "labelValue",
    "uri",
    "uuid",
    "byte",
    "date",
    "datetime",
];

/// `format.dns1123Label()` and its like.
pub(crate) fn constructor(name: &str) -> Option<Implementation> {
    Some(match name.strip_prefix("format.")? {
        "dns1123Label" => |_| named_format(0),
        "dns1123Subdomain" => |_| named_format(1),
        "dns1035Label" => |_| named_format(2),
        "dns1123LabelPrefix" => |_| named_format(3),
        "dns1123SubdomainPrefix" => |_| named_format(4),
        "dns1035LabelPrefix" => |_| named_format(5),
        "qualifiedName" => |_| named_format(6),
        "labelValue" => |_| named_format(7),
        "uri" => |_| named_format(8),
        "uuid" => |_| named_format(9),
        "byte" => |_| named_format(10),
        "date" => |_| named_format(11),
        "datetime" => |_| named_format(12),
        _ => return None,
    })
}

fn named_format<'a>(at: usize) -> Outcome<'a> {
    Ok(Value::Opaque(Opaque::Format(NAMES[at])))
}

pub(crate) fn named<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Text(text)] => {
            let format = NAMES.iter().find(|name| **name == text.as_str());
            Ok(found(format.map(|name| Value::Opaque(Opaque::Format(name)))))
        }
        _ => no_overload(),
    }
}

/// The faults of a text, or nothing if it has none.
pub(crate) fn validate<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Format(format)), Value::Text(text)] = args else { return no_overload() };
    let faults = faults(format, text.as_str());
    let faults = (!faults.is_empty()).then(|| Value::list(faults.into_iter().map(Value::text).collect()));
    Ok(found(faults))
}

fn faults(format: &str, text: &str) -> Vec<String> {
    // The prefix of a name that is generated may end with a dash.
    let prefix = || {
        if text.ends_with('-') && text.len() > 1 { format!("{}a", &text[..text.len() - 1]) } else { text.to_owned() }
    };
    let unless = |valid: bool, fault: &str| if valid { Vec::new() } else { vec![fault.to_owned()] };
    match format {
        "dns1123Label" => names::dns1123_label(text),
        "dns1123Subdomain" => names::dns1123_subdomain(text),
        "dns1035Label" => names::dns1035_label(text),
        "dns1123LabelPrefix" => names::dns1123_label(&prefix()),
        "dns1123SubdomainPrefix" => names::dns1123_subdomain(&prefix()),
        "dns1035LabelPrefix" => names::dns1035_label(&prefix()),
        "qualifiedName" => names::qualified_name(text),
        "labelValue" => names::label_value(text),
        "uri" => match super::url::is_url(&[Value::text(text)]) {
            Ok(Value::Bool(true)) => Vec::new(),
            _ => vec!["invalid URI for request".to_owned()],
        },
        "uuid" => unless(is_uuid(text), "does not match the UUID format"),
        "byte" => {
            use base64::Engine as _;
            unless(base64::engine::general_purpose::STANDARD.decode(text).is_ok(), "invalid base64")
        }
        "date" => unless(text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(), "invalid date"),
        _ => unless(parse_timestamp(text).is_some(), "invalid datetime"),
    }
}

fn is_uuid(text: &str) -> bool {
    let digits: String = text.chars().filter(|it| *it != '-').collect();
    digits.len() == 32 && digits.chars().all(|it| it.is_ascii_hexdigit())
}
