//! Bootstrap tokens: secrets by which nodes that are to join say who they are.
//! Source: Kubernetes doc "Authenticating with Bootstrap Tokens"; `plugin/pkg/auth/authenticator/token/bootstrap`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use ring::digest::{self, SHA256};
use serde_json::Value;
use steersman_machinery::clock::parse_time;
use steersman_machinery::meta;

use super::UserInfo;
use crate::server::Server;

/// The type of the secrets, and what their names begin with.
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const SECRET_PREFIX: &str = "bootstrap-token-";
/// The group of whoever comes with one, and what the names of further groups begin with.
const GROUP: &str = "system:bootstrappers";
const GROUP_PREFIX: &str = "system:bootstrappers:";
/// The most characters of what follows.
const MAX_GROUP: usize = 256;

/// Whose token it is; `None` if it is none, or one that does not count now: then nobody is told why.
pub(super) async fn authenticate(server: &Server, token: &str) -> Option<UserInfo> {
    let (id, secret) = split(token)?;
    let object = server.read("secrets", "kube-system", &format!("{SECRET_PREFIX}{id}")).await.ok()??;
    user(&object, (id, secret), server.clock.now())
}

/// Id and secret of a text that has the form of a token.
fn split(token: &str) -> Option<(&str, &str)> {
    let plain = |part: &str, length| {
        part.len() == length && part.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit())
    };
    token.split_once('.').filter(|(id, secret)| plain(id, 6) && plain(secret, 16))
}

fn user(object: &Value, (id, secret): (&str, &str), now: Timestamp) -> Option<UserInfo> {
    let value = |key: &str| {
        let bytes = STANDARD.decode(meta::text(object, &["data", key])).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    let counts = meta::text(object, &["type"]) == SECRET_TYPE
        && meta::text(object, &["metadata", "deletionTimestamp"]).is_empty()
        && same(&value("token-secret"), secret)
        && value("token-id") == id
        && !is_over(&value("expiration"), now)
        && value("usage-bootstrap-authentication") == "true";
    let groups = groups(&value("auth-extra-groups")).filter(|_| counts)?;
    Some(UserInfo { name: format!("system:bootstrap:{id}"), groups, ..UserInfo::default() })
}

/// Compares digests: how long that takes says nothing about where two secrets differ.
fn same(one: &str, other: &str) -> bool {
    let digest = |text: &str| digest::digest(&SHA256, text.as_bytes());
    digest(one).as_ref() == digest(other).as_ref()
}

/// A time that cannot be read is over.
fn is_over(expiration: &str, now: Timestamp) -> bool {
    !expiration.is_empty() && parse_time(expiration).is_none_or(|end| now > end)
}

/// The groups, sorted; `None` if one of them may not be had in this way.
fn groups(extra: &str) -> Option<Vec<String>> {
    let mut groups = vec![GROUP.to_owned()];
    for group in extra.split(',').filter(|_| !extra.is_empty()) {
        let rest = group.strip_prefix(GROUP_PREFIX)?;
        let fits = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-' || it == b':';
        let ends = rest.bytes().last().is_some_and(|it| it.is_ascii_lowercase() || it.is_ascii_digit());
        if !ends || rest.len() > MAX_GROUP || !rest.bytes().all(fits) {
            return None;
        }
        groups.push(group.to_owned());
    }
    groups.sort();
    groups.dedup();
    Some(groups)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SECRET: &str = "0123456789abcdef";

    /// A secret with these values changed.
    fn secret(changes: &[(&str, &str)]) -> Value {
        let mut object = json!({"type": SECRET_TYPE, "metadata": {"name": "bootstrap-token-abcdef"}, "data": {}});
        let values = [("token-id", "abcdef"), ("token-secret", SECRET), ("usage-bootstrap-authentication", "true")];
        for (key, value) in values.iter().chain(changes) {
            object["data"][*key] = json!(STANDARD.encode(value));
        }
        object
    }

    fn check(object: &Value, expect: Option<&[&str]>) {
        let now = "2026-05-01T10:00:00Z".parse().unwrap();
        let got = user(object, ("abcdef", SECRET), now).map(|user| {
            assert_eq!(user.name, "system:bootstrap:abcdef");
            user.groups
        });
        assert_eq!(
            got.as_deref(),
            expect.map(|it| it.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>()).as_deref()
        );
    }

    #[test]
    fn a_token_counts_as_long_as_its_secret_says_so() {
        check(&secret(&[]), Some(&[GROUP]));
        check(&secret(&[("expiration", "2026-05-01T10:00:01Z")]), Some(&[GROUP]));
        for changes in [
            ("expiration", "2026-05-01T09:59:59Z"),
            ("expiration", "tomorrow"),
            ("token-id", "abcdeg"),
            ("token-secret", "0123456789abcdeg"),
            ("token-secret", ""),
            ("usage-bootstrap-authentication", "false"),
            ("usage-bootstrap-authentication", "TRUE"),
        ] {
            check(&secret(&[changes]), None);
        }
        let mut other = secret(&[]);
        other["type"] = json!("Opaque");
        check(&other, None);
        let mut deleted = secret(&[]);
        deleted["metadata"]["deletionTimestamp"] = json!("2026-05-01T09:00:00Z");
        check(&deleted, None);
    }

    #[test]
    fn further_groups_are_those_of_bootstrappers_only() {
        let with = |groups: &str| secret(&[("auth-extra-groups", groups)]);
        check(&with(""), Some(&[GROUP]));
        check(
            &with("system:bootstrappers:kubeadm:default-node-token,system:bootstrappers:a"),
            Some(&[GROUP, "system:bootstrappers:a", "system:bootstrappers:kubeadm:default-node-token"]),
        );
        let long = format!("system:bootstrappers:{}", "a".repeat(257));
        for groups in
            ["system:masters", "system:bootstrappers:", "system:bootstrappers:A", "system:bootstrappers:a-", &long]
        {
            check(&with(groups), None);
            check(&with(&format!("system:bootstrappers:a,{groups}")), None);
        }
    }

    #[test]
    fn tokens_have_a_form() {
        assert_eq!(split("abcdef.0123456789abcdef"), Some(("abcdef", SECRET)));
        for text in [
            "abcdef",
            "abcde.0123456789abcdef",
            "abcdeF.0123456789abcdef",
            "abcdef.0123456789abcdef.x",
            "../../a.0123456789abcdef",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }
}
