//! What names may look like. Each check returns the complaints in upstream's words, none if the text is fine.
//! Source: `k8s.io/apimachinery/pkg/util/validation`; Kubernetes doc "Object Names and IDs".

use crate::random::Random;

/// The most bytes of a DNS label.
pub const LABEL_MAX: usize = 63;
/// The most bytes of a DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;
/// The most bytes of the prefix of a generated name: 63 less the random suffix.
const GENERATE_PREFIX_MAX: usize = 58;
/// The characters that a generated name ends with.
const GENERATE_SUFFIX: usize = 5;

const LABEL_RULE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const LABEL_REGEX: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const SUBDOMAIN_REGEX: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const LABEL_1035_RULE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const LABEL_1035_REGEX: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const QUALIFIED_REGEX: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
const LABEL_VALUE_REGEX: &str = "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?";

fn regex_complaint(rule: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}'")).collect();
    format!("{rule} (e.g. {}, regex used for validation is '{regex}')", examples.join(",  or "))
}

/// The complaint about a name that is too long.
fn long_name_complaint(max: usize) -> String {
    format!("must be no more than {max} characters")
}

/// The complaint about a part of a label that is too long.
fn max_len_complaint(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-';
    !bytes.is_empty() && bytes.iter().all(inner) && bytes[0] != b'-' && bytes[bytes.len() - 1] != b'-'
}

fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let inner = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    !bytes.is_empty()
        && bytes.iter().all(inner)
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

/// A DNS-1123 label: namespaces, services, containers.
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > LABEL_MAX {
        complaints.push(long_name_complaint(LABEL_MAX));
    }
    if !is_label(text) && text.split('.').all(is_label) {
        complaints.push("must not contain dots".to_owned());
    } else if !is_label(text) {
        complaints.push(regex_complaint(LABEL_RULE, LABEL_REGEX, &["my-name", "123-abc"]));
    }
    complaints
}

/// A DNS-1123 subdomain: the names of most objects.
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        complaints.push(long_name_complaint(SUBDOMAIN_MAX));
    }
    if !text.split('.').all(is_label) {
        complaints.push(regex_complaint(SUBDOMAIN_RULE, SUBDOMAIN_REGEX, &["example.com"]));
    }
    complaints
}

/// A DNS-1035 label: like a DNS-1123 label, but it starts with a letter.
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > LABEL_MAX {
        complaints.push(long_name_complaint(LABEL_MAX));
    }
    if !is_label(text) || !text.as_bytes()[0].is_ascii_lowercase() {
        complaints.push(regex_complaint(LABEL_1035_RULE, LABEL_1035_REGEX, &["my-name", "abc-123"]));
    }
    complaints
}

/// A name that may stand in a path: RBAC roles and bindings. Not `.` or `..`, no `/`, no `%`.
pub fn path_segment(text: &str) -> Vec<String> {
    if text == "." || text == ".." {
        return vec![format!("may not be '{text}'")];
    }
    ['/', '%'].iter().filter(|c| text.contains(**c)).map(|c| format!("may not contain '{c}'")).collect()
}

/// A qualified name, `[prefix/]name`: keys of labels and annotations, finalizers, resource names.
pub fn qualified_name(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let examples = ["MyName", "my.name", "123-abc"];
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                complaints.push("prefix part must be non-empty".to_owned());
            } else {
                complaints.extend(dns1123_subdomain(prefix).into_iter().map(|text| format!("prefix part {text}")));
            }
            name
        }
        _ => {
            let rule = regex_complaint(&format!("a qualified name {QUALIFIED_RULE}"), QUALIFIED_REGEX, &examples);
            return vec![format!("{rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
        }
    };
    if name.is_empty() {
        complaints.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        complaints.push(format!("name part {}", max_len_complaint(LABEL_MAX)));
    }
    if !is_qualified_part(name) {
        complaints.push(format!("name part {}", regex_complaint(QUALIFIED_RULE, QUALIFIED_REGEX, &examples)));
    }
    complaints
}

/// The value of a label.
pub fn label_value(text: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    if text.len() > LABEL_MAX {
        complaints.push(max_len_complaint(LABEL_MAX));
    }
    if !text.is_empty() && !is_qualified_part(text) {
        let examples = ["MyValue", "my_value", "12345"];
        complaints.push(regex_complaint(LABEL_VALUE_RULE, LABEL_VALUE_REGEX, &examples));
    }
    complaints
}

/// A prefix in the form in which names are checked: it may end with a dash, since something follows. Not the dash alone but
/// the last two characters make room for a letter, so that the prefix may be one longer than a name.
/// Source: `maskTrailingDash` in `k8s.io/apimachinery/pkg/api/validation`.
pub fn mask_trailing_dash(prefix: &str) -> String {
    match prefix.strip_suffix('-').and_then(|rest| rest.char_indices().next_back()) {
        Some((end, _)) => format!("{}a", &prefix[..end]),
        None => prefix.to_owned(),
    }
}

/// A name for `metadata.generateName: prefix`: the prefix, cut to 58 bytes, and five random characters.
pub fn generate_name(prefix: &str, random: &Random) -> String {
    let mut end = prefix.len().min(GENERATE_PREFIX_MAX);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", &prefix[..end], random.name_suffix(GENERATE_SUFFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for name in ["a", "a-b", "1a", "web-7d4b"] {
            assert!(dns1123_label(name).is_empty(), "{name}");
        }
        assert!(dns1123_subdomain("a.b-c.d").is_empty());
        assert!(qualified_name("example.com/Some_Name.x").is_empty());
        assert!(label_value("").is_empty());
        assert!(path_segment("system:node").is_empty());
    }

    #[test]
    fn a_prefix_may_end_with_a_dash() {
        for (prefix, masked) in [("", ""), ("-", "-"), ("a-", "a"), ("web-", "wea"), ("web", "web"), ("a.-", "aa")] {
            assert_eq!(mask_trailing_dash(prefix), masked, "{prefix}");
        }
    }

    #[test]
    fn bad_names_get_upstreams_words() {
        assert_eq!(
            dns1123_subdomain("Bad_Name"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(
            dns1123_label("-"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns1123_label(&"a".repeat(64)), ["must be no more than 63 characters"]);
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert_eq!(path_segment("a/b"), ["may not contain '/'"]);
        assert_eq!(qualified_name("/x")[0], "prefix part must be non-empty");
        assert!(!dns1035_label("1a").is_empty());
    }

    #[test]
    fn generated_names_fit_a_label() {
        let random = Random::seeded(1);
        assert_eq!(generate_name(&"x".repeat(80), &random).len(), 63);
        assert!(generate_name("web-", &random).starts_with("web-"));
    }
}
