//! The name of a signer: a domain and a path.

use steersman_machinery::field::FieldError;
use steersman_machinery::names::{self, LABEL_MAX, SUBDOMAIN_MAX};

use crate::kinds::check::Cursor;

const RULE: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
/// A domain, a slash, a namespace, a dot and a name.
const MAX: usize = SUBDOMAIN_MAX + 1 + LABEL_MAX + 1 + SUBDOMAIN_MAX;

/// Checks a name that has to be there.
pub(super) fn validate(name: &Cursor<'_>) {
    if !name.must_be_set() {
        return;
    }
    let text = name.text();
    let segments: Vec<&str> = text.split('/').collect();
    let [domain, path] = segments[..] else {
        name.invalid(RULE);
        return;
    };
    if domain.len() > SUBDOMAIN_MAX {
        name.push(FieldError::too_long(&name.path, SUBDOMAIN_MAX));
    }
    first_wrong_label(name, domain, names::dns1123_label);
    if !domain.contains('.') {
        name.invalid_str(domain, "should be a domain with at least two segments separated by dots");
    }
    first_wrong_label(name, path, names::dns1123_subdomain);
    if text.len() > MAX {
        name.push(FieldError::too_long(&name.path, MAX));
    }
}

fn first_wrong_label(name: &Cursor<'_>, part: &str, complaints: fn(&str) -> Vec<String>) {
    let wrong = part.split('.').map(|label| (label, complaints(label))).find(|(_, why)| !why.is_empty());
    for (label, complaint) in wrong.into_iter().flat_map(|(label, why)| why.into_iter().map(move |it| (label, it))) {
        name.invalid_str(part, format!("validating label {label:?}: {complaint}"));
    }
}
