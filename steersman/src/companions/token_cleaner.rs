//! Tokens in secrets that nobody has used for a year, and that nobody asked for: they are marked as invalid first, and deleted
//! when another year has passed. Source: KEP-2799; `k8s.io/kubernetes/pkg/controller/serviceaccount` (`LegacySATokenCleaner`).

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use kube::api::{DeleteParams, ListParams, Patch, Preconditions};
use serde_json::{Value, json};
use steersman_framework::api::{Api, Resource, is_conflict, is_not_found};
use steersman_framework::meta::ObjectKey;
use steersman_framework::runtime::Context;
use steersman_machinery::clock::parse_time;
use steersman_machinery::meta;
use steersman_machinery::pod::references;

const COMPONENT: &str = "legacy-service-account-token-cleaner";
/// How often is looked. Source: there (`DefaultCleanerSyncInterval`).
const PERIOD: Duration = Duration::from_secs(24 * 3600);
/// How long a token is kept that is not used, in days. Source: `--legacy-service-account-token-clean-up-period`.
const KEPT_DAYS: i64 = 365;
const TYPE: &str = "type=kubernetes.io/service-account-token";
const LAST_USED: &str = "kubernetes.io/legacy-token-last-used";
const INVALID_SINCE: &str = "kubernetes.io/legacy-token-invalid-since";
static SECRETS: Resource = Resource::namespaced("", "v1", "Secret", "secrets");
static ACCOUNTS: Resource = Resource::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
static PODS: Resource = Resource::namespaced("", "v1", "Pod", "pods");
static MAPS: Resource = Resource::namespaced("", "v1", "ConfigMap", "configmaps");

/// What becomes of a token.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    /// It is marked as invalid since that day.
    Marked(Date),
    Deleted,
}

/// Looks once a day, until shutdown.
pub(super) async fn run(context: &Context) {
    let api = Api::new(context.client.clone(), COMPONENT);
    loop {
        if let Err(error) = clean(&api, context.clock.now()).await {
            tracing::warn!(error = %error, "tokens that nobody uses could not be looked for");
        }
        tokio::select! {
            biased;
            () = context.shutdown.requested() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

async fn clean(api: &Api, now: Timestamp) -> kube::Result<()> {
    let name = ObjectKey::new("kube-system", "kube-apiserver-legacy-service-account-token-tracking");
    let tracking: Value = match api.get(&MAPS, &name).await {
        Err(error) if is_not_found(&error) => return Ok(()),
        tracking => tracking?,
    };
    let today = now.to_zoned(TimeZone::UTC).date();
    let since = meta::text(&tracking, &["data", "since"]).parse::<Date>().ok();
    // From the day on that follows, all uses are noted.
    if since.is_none_or(|since| today < since.saturating_add((KEPT_DAYS + 1).days())) {
        return Ok(());
    }
    let everything = ListParams::default();
    let accounts = api.list::<Value>(&ACCOUNTS, "", &everything).await?.items;
    let pods = api.list::<Value>(&PODS, "", &everything).await?.items;
    for secret in api.list::<Value>(&SECRETS, "", &ListParams::default().fields(TYPE)).await?.items {
        let key = ObjectKey::new(meta::namespace(&secret), meta::name(&secret));
        if !accounts.iter().any(|account| is_generated(account, &secret)) || mounted(&pods, &key) {
            continue;
        }
        let done = match fate(&secret, today) {
            Fate::Kept => Ok(()),
            Fate::Marked(day) => {
                let metadata = json!({"uid": meta::uid(&secret), "labels": {INVALID_SINCE: day.to_string()}});
                api.patch::<Value>(&SECRETS, &key, &Patch::Merge(json!({"metadata": metadata}))).await.map(drop)
            }
            Fate::Deleted => {
                let version = Some(meta::resource_version(&secret).to_owned());
                let preconditions = Some(Preconditions { uid: None, resource_version: version });
                api.delete(&SECRETS, &key, &DeleteParams { preconditions, ..DeleteParams::default() }).await
            }
        };
        match done {
            Err(error) if !is_not_found(&error) && !is_conflict(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether a secret was made for the account by itself: then the account knows it.
fn is_generated(account: &Value, secret: &Value) -> bool {
    let says =
        |key: &str| meta::annotation(secret, &format!("kubernetes.io/service-account.{key}")).unwrap_or_default();
    let knows =
        || meta::items(account, &["secrets"]).iter().any(|kept| meta::text(kept, &["name"]) == meta::name(secret));
    let name = says("name");
    meta::namespace(account) == meta::namespace(secret)
        && !name.is_empty()
        && meta::name(account) == name
        && ["", meta::uid(account)].contains(&says("uid"))
        && knows()
}

/// Whether a pod uses the secret.
fn mounted(pods: &[Value], key: &ObjectKey) -> bool {
    let mut pods = pods.iter().filter(|pod| meta::namespace(pod) == key.namespace);
    pods.any(|pod| references::secrets(pod).any(|name| name == key.name))
}

fn fate(secret: &Value, today: Date) -> Fate {
    let limit = today.saturating_sub(KEPT_DAYS.days());
    let made = parse_time(meta::text(secret, &["metadata", "creationTimestamp"]));
    let made = made.map(|made| made.to_zoned(TimeZone::UTC).date());
    if meta::deletion_timestamp(secret).is_some() || made.is_none_or(|made| made >= limit) {
        return Fate::Kept;
    }
    // What cannot be read says nothing, and is kept.
    match meta::label(secret, LAST_USED).map(str::parse::<Date>) {
        Some(Err(_)) => return Fate::Kept,
        Some(Ok(used)) if used >= limit => return Fate::Kept,
        _ => {}
    }
    match meta::label(secret, INVALID_SINCE).and_then(|since| since.parse::<Date>().ok()) {
        None => Fate::Marked(today),
        Some(since) if since >= limit => Fate::Kept,
        Some(_) => Fate::Deleted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_is_not_used_is_marked_and_a_year_later_deleted() {
        let today: Date = "2026-06-01".parse().unwrap();
        let check = |made: &str, used: &str, invalid: &str, expect: Fate| {
            let mut secret = json!({"metadata": {"creationTimestamp": format!("{made}T10:00:00Z")}});
            for (label, day) in [(LAST_USED, used), (INVALID_SINCE, invalid)] {
                if !day.is_empty() {
                    meta::set(&mut secret, &["metadata", "labels", label], day);
                }
            }
            assert_eq!(fate(&secret, today), expect, "{secret}");
        };
        check("2025-06-02", "", "", Fate::Kept);
        check("2025-05-31", "", "", Fate::Marked(today));
        check("2024-01-01", "2025-06-01", "", Fate::Kept);
        check("2024-01-01", "2025-05-31", "", Fate::Marked(today));
        check("2024-01-01", "some day", "", Fate::Kept);
        check("2024-01-01", "", "some day", Fate::Marked(today));
        check("2024-01-01", "", "2025-06-01", Fate::Kept);
        check("2024-01-01", "", "2025-05-31", Fate::Deleted);
        check("2024-01-01", "2026-05-31", "2025-05-31", Fate::Kept);
    }

    #[test]
    fn secrets_in_use_and_those_that_somebody_made_are_left_alone() {
        let account = json!({"metadata": {"namespace": "a", "name": "b", "uid": "u"}, "secrets": [{"name": "t"}]});
        let secret = |name: &str, uid: &str| {
            let annotations =
                json!({"kubernetes.io/service-account.name": "b", "kubernetes.io/service-account.uid": uid});
            json!({"metadata": {"namespace": "a", "name": name, "annotations": annotations}})
        };
        assert!(is_generated(&account, &secret("t", "u")) && is_generated(&account, &secret("t", "")));
        assert!(!is_generated(&account, &secret("own", "u")) && !is_generated(&account, &secret("t", "v")));
        let key = ObjectKey::new("a", "t");
        for spec in [
            json!({"volumes": [{"secret": {"secretName": "t"}}]}),
            json!({"volumes": [{"projected": {"sources": [{"secret": {"name": "t"}}]}}]}),
            json!({"containers": [{"envFrom": [{"secretRef": {"name": "t"}}]}]}),
            json!({"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "t"}}}]}]}),
            json!({"imagePullSecrets": [{"name": "t"}]}),
        ] {
            assert!(mounted(&[json!({"metadata": {"namespace": "a"}, "spec": spec})], &key), "{spec}");
            assert!(!mounted(&[json!({"metadata": {"namespace": "b"}, "spec": spec})], &key), "{spec}");
        }
        assert!(!mounted(&[json!({"metadata": {"namespace": "a"}, "spec": {"containers": [{"name": "t"}]}})], &key));
    }
}
