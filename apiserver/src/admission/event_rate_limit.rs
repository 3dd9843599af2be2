//! `EventRateLimit` (off by default): no more events than so many a second, of everybody, of a namespace, of a user, or about one
//! object by one source. Source: Kubernetes doc "Admission Control in Kubernetes";
//! `kubernetes/plugin/pkg/admission/eventratelimit`.

use std::collections::BTreeMap;

use futures::future::FutureExt;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use steersman_machinery::meta;
use steersman_machinery::status::Status;
use steersman_machinery::token_bucket::TokenBucket;

use super::configuration::Configuration;
use super::{Attributes, Operation, Plugin, Verdict};

const NAME: &str = "EventRateLimit";
/// How many namespaces, users or sources are told apart at a time, unless the configuration says.
const CACHE_SIZE: usize = 4096;

/// Whose events are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
enum Together {
    Server,
    Namespace,
    User,
    SourceAndObject,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Limit {
    #[serde(rename = "type")]
    together: Together,
    qps: i32,
    burst: i32,
    #[serde(default)]
    cache_size: i32,
}

impl Limit {
    fn bucket(&self) -> TokenBucket {
        TokenBucket::new(f64::from(self.qps), u32::try_from(self.burst).unwrap_or_default())
    }
}

#[derive(Debug, Deserialize)]
struct Limits {
    #[serde(default)]
    limits: Vec<Limit>,
}

/// The plugin.
#[derive(Debug, Default)]
pub(super) struct EventRateLimit(Vec<Enforcer>);

impl EventRateLimit {
    /// # Errors
    /// If a limit is none. Without limits the plugin does nothing.
    pub(super) fn new(configuration: &Configuration) -> Result<Self, String> {
        let read = configuration.of::<Limits>(NAME, ("eventratelimit.admission.k8s.io", "Configuration"))?;
        let Some(Limits { limits }) = read else { return Ok(Self::default()) };
        for (index, limit) in limits.iter().enumerate() {
            let positive = [("burst", limit.burst, 1), ("qps", limit.qps, 1), ("cacheSize", limit.cache_size, 0)];
            for (field, value, least) in positive {
                if value < least && !(field == "cacheSize" && limit.together == Together::Server) {
                    let must = if least == 1 { "must be positive" } else { "must not be negative" };
                    return Err(format!(
                        "admission plugin {NAME:?}: limits[{index}].{field}: Invalid value: {value}: {must}"
                    ));
                }
            }
        }
        if limits.is_empty() {
            return Err(format!("admission plugin {NAME:?}: limits: Invalid value: []: must not be empty"));
        }
        Ok(Self(limits.into_iter().map(Enforcer::new).collect()))
    }
}

impl Plugin for EventRateLimit {
    fn name(&self) -> &'static str {
        NAME
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        let writes = matches!(attributes.operation, Operation::Create | Operation::Update) && !attributes.dry_run;
        let kind = attributes.kind();
        let mut verdict = Ok(());
        if let Some(event) = object.filter(|_| writes && kind.group.is_empty() && kind.kind == "Event") {
            // All count it, and the last one that refuses it tells.
            for enforcer in &self.0 {
                verdict = enforcer.count(attributes, event, attributes.server.clock.now()).and(verdict);
            }
        }
        futures::future::ready(verdict).left_future()
    }
}

/// One limit.
#[derive(Debug)]
struct Enforcer {
    limit: Limit,
    buckets: Mutex<Buckets>,
}

/// How many events may come, for each key; those that were not asked for the longest time are forgotten.
#[derive(Debug, Default)]
struct Buckets {
    of: BTreeMap<String, Bucket>,
    by_age: BTreeMap<u64, String>,
    asked: u64,
}

#[derive(Debug)]
struct Bucket {
    tokens: TokenBucket,
    at: Timestamp,
    age: u64,
}

impl Enforcer {
    fn new(limit: Limit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    fn count(&self, attributes: &Attributes<'_>, event: &Value, now: Timestamp) -> Result<(), Status> {
        let key = match self.limit.together {
            Together::Server => String::new(),
            Together::Namespace => attributes.namespace.to_owned(),
            Together::User => attributes.origin.user.name.clone(),
            Together::SourceAndObject => {
                let about = ["kind", "namespace", "name", "uid", "apiVersion"].map(|field| ["involvedObject", field]);
                let source = [["source", "component"], ["source", "host"]];
                source.iter().chain(&about).map(|path| meta::text(event, path)).collect()
            }
        };
        if self.take(&key, now) {
            return Ok(());
        }
        let why = format!("limit reached on type {:?} for key {key}", self.limit.together);
        Err(Status::failure(429, "TooManyRequests", format!("Too many requests: {why}")))
    }

    /// Whether one more may come now.
    fn take(&self, key: &str, now: Timestamp) -> bool {
        let size = usize::try_from(self.limit.cache_size).ok().filter(|size| *size > 0).unwrap_or(CACHE_SIZE);
        let buckets = &mut *self.buckets.lock();
        buckets.asked += 1;
        let age = buckets.asked;
        let bucket =
            buckets.of.entry(key.to_owned()).or_insert_with(|| Bucket { tokens: self.limit.bucket(), at: now, age });
        buckets.by_age.remove(&bucket.age);
        buckets.by_age.insert(age, key.to_owned());
        // No time has passed for a clock that was set back.
        bucket.tokens.fill(now.duration_since(bucket.at).try_into().unwrap_or_default());
        (bucket.at, bucket.age) = (now, age);
        let may = bucket.tokens.take();
        if buckets.of.len() > size
            && let Some((_, oldest)) = buckets.by_age.pop_first()
        {
            buckets.of.remove(&oldest);
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_events_pass_and_then_one_at_a_time() {
        let limit = Limit { together: Together::User, qps: 2, burst: 3, cache_size: 2 };
        let enforcer = Enforcer::new(limit);
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let times = |key: &str, now| (0..10).filter(|_| enforcer.take(key, now)).count();
        assert_eq!((times("a", at(0)), times("a", at(400)), times("a", at(500))), (3, 0, 1));
        assert_eq!(times("b", at(500)), 3, "another one has events of its own");
        assert_eq!(times("a", at(60_000)), 3, "no more are saved up");
        assert_eq!(times("c", at(60_000)), 3);
        assert_eq!(times("b", at(60_000)), 3, "who was not seen for long begins anew");
        assert_eq!(enforcer.buckets.lock().of.len(), 2);
        assert_eq!(enforcer.buckets.lock().by_age.len(), 2);
    }

    #[test]
    fn limits_must_make_sense() {
        let with = |limits: &str| {
            let configuration = format!(
                "{{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration, limits: {limits}}}"
            );
            let text = format!(
                "{{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{{name: {NAME}, \
                 configuration: {configuration}}}]}}"
            );
            let none = |path: &str| Err(path.to_owned());
            EventRateLimit::new(&Configuration::from_yaml(&text, none).unwrap()).map(|plugin| plugin.0.len())
        };
        assert_eq!(
            with("[{type: Server, qps: 5, burst: 10}, {type: Namespace, qps: 1, burst: 1, cacheSize: 9}]"),
            Ok(2)
        );
        for (limits, expect) in [
            ("[]", "limits: Invalid value: []: must not be empty"),
            ("[{type: User, qps: 0, burst: 1}]", "limits[0].qps: Invalid value: 0: must be positive"),
            ("[{type: User, qps: 1, burst: 1, cacheSize: -1}]", "cacheSize: Invalid value: -1: must not be negative"),
            ("[{type: Pod, qps: 1, burst: 1}]", "unknown variant `Pod`"),
        ] {
            let why = with(limits).unwrap_err();
            assert!(why.contains(expect), "{why}");
        }
    }
}
