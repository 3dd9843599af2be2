//! `Warning` headers: what the client is told although the request succeeds.
//! Source: KEP-1693; RFC 7234 section 5.5.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{HeaderMap, WARNING};
use parking_lot::Mutex;

/// The runes that all warnings of a response may have together.
const BUDGET: usize = 4096;
/// The runes that a warning is cut to once the budget is exceeded.
const CUT: usize = 256;

/// The warnings of one response: each text once, in order. Clones are the same list, so that whoever takes part in
/// answering a request can add to it.
#[derive(Clone, Debug, Default)]
pub struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    /// Adds a warning; empty texts and texts with control characters are dropped.
    pub fn add(&self, text: impl Into<String>) {
        let text = text.into();
        let mut texts = self.0.lock();
        // More than that are not told, whatever they say.
        if texts.len() > BUDGET {
            return;
        }
        if !text.is_empty() && !text.chars().any(char::is_control) && !texts.contains(&text) {
            texts.push(text);
        }
    }

    /// Adds several.
    pub fn extend(&self, texts: impl IntoIterator<Item = String>) {
        texts.into_iter().for_each(|text| self.add(text));
    }

    /// Writes the headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        let texts = self.0.lock();
        let total: usize = texts.iter().map(|text| text.chars().count()).sum();
        let mut left = BUDGET;
        for text in texts.iter() {
            let text: String = if total > BUDGET { text.chars().take(CUT).collect() } else { text.clone() };
            let length = text.chars().count();
            if length > left {
                return;
            }
            left -= length;
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
            if let Ok(value) = HeaderValue::from_bytes(format!("299 - \"{escaped}\"").as_bytes()) {
                headers.append(WARNING, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_written_once_and_escaped() {
        let warnings = Warnings::default();
        warnings.extend(["unknown field \"a\"".to_owned(), "unknown field \"a\"".to_owned(), "line\nbreak".to_owned()]);
        let mut headers = HeaderMap::new();
        warnings.write(&mut headers);
        let got: Vec<_> = headers.get_all(WARNING).iter().collect();
        assert_eq!(got, [r#"299 - "unknown field \"a\"""#]);
    }

    #[test]
    fn beyond_the_budget_texts_are_cut() {
        let warnings = Warnings::default();
        warnings.extend((0..20).map(|n| format!("{n:02}{}", "x".repeat(400))));
        let mut headers = HeaderMap::new();
        warnings.write(&mut headers);
        assert_eq!(headers.get_all(WARNING).iter().count(), BUDGET / CUT);
    }
}
